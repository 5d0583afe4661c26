//! Examples of the manual pages. Each is a command line that is understood: a test parses them.

/// A command line, and what it does.
type Example = (&'static str, &'static str);

pub(crate) const EXAMPLES: [Example; 35] = [
    ("ddi inspect image.raw", "Show what an image is, and what is odd about it."),
    (
        "ddi inspect image.raw --certificate vendor.crt --html report.html",
        "Keep a report of it that opens in any browser.",
    ),
    ("ddi inspect image.raw --json", "The same for programs: all keys of systemd-dissect, and more."),
    (
        "ddi verify image.raw --certificate vendor.crt",
        "Prove every protected block under a root hash that the vendor signed.",
    ),
    (
        "ddi verify image.raw --root-hash image.roothash",
        "Prove it under the root hash in a file that comes from somebody you trust.",
    ),
    (
        "ddi verify image.raw.xz --certificate vendor.crt --image-policy root=signed",
        "Refuse an image whose root is not signed.",
    ),
    (
        "ddi read image.raw --partition root --certificate vendor.crt --output root.erofs",
        "Take a partition out, of which each block was proven first.",
    ),
    ("ddi ls image.raw /usr/lib", "List a directory without mounting anything."),
    (
        "ddi cat image.raw /etc/os-release --certificate vendor.crt",
        "Print a file, of which no byte is unproven.",
    ),
    ("ddi extract image.raw /usr/share/doc doc", "Copy a directory out of an image."),
    ("ddi mtree image.raw", "List every file with its SHA-256, as systemd-dissect does."),
    ("ddi policy show sysext", "Say what the policy for system extensions allows."),
    ("ddi policy check root=signed image.raw", "Say what a policy allows of an image."),
    ("ddi check portable service.raw", "Find out why portablectl would not attach a service."),
    ("ddi check extension tool.raw --host /", "Find out whether an extension goes with this system."),
    (
        "ddi check golden image.raw --sarif ddi.sarif",
        "Find what must not be in an image that many machines boot, for a forge.",
    ),
    ("ddi check boot image.raw", "Find out whether the kernels in the image boot this image."),
    ("ddi check update updates --match os_@v.raw", "Find out whether an update is complete."),
    ("ddi build image.raw --definitions repart.d", "Make an image from definitions of systemd-repart."),
    (
        "ddi sign image.raw --certificate vendor.crt --private-key vendor.key",
        "Sign the root hash of an image.",
    ),
    (
        "ddi sign attach image.raw --certificate vendor.crt --signature root.p7s",
        "Put a signature that was made elsewhere into its partition.",
    ),
    ("ddi plan image.raw --size 64G", "Say what systemd-repart will do on a disk of that size."),
    ("ddi bench", "Measure how fast this machine hashes."),
    ("ddi verity format data.img hash.img", "Make a hash tree, and print the root hash."),
    (
        "ddi verity verify data.img hash.img 0000000000000000000000000000000000000000000000000000000000000000",
        "Check data against a hash tree and a root hash.",
    ),
    ("ddi verity dump hash.img", "Show the parameters of a hash tree."),
    (
        "ddi verity repair data.img hash.img 0000000000000000000000000000000000000000000000000000000000000000 --fec-device parity --in-place",
        "Heal damaged blocks.",
    ),
    ("ddi policy show root=signed+verity:=ignore", "Say what a policy that is written out allows."),
    ("ddi check golden image.raw --markdown", "Print a summary for the page of a CI run."),
    ("ddi verity format --fec-device parity data.img hash.img", "Make a hash tree with parity to heal from."),
    (
        "ddi bake sysext tree -o tool.raw --certificate vendor.crt --private-key vendor.key",
        "Make a signed system extension from a folder.",
    ),
    (
        "ddi serve image.raw --certificate vendor.crt --socket image.socket",
        "Serve an image to QEMU and others, each byte proven before it is sent.",
    ),
    (
        "ddi split image.raw --output parts --sums",
        "Write each partition into a file of its own, with their SHA-256.",
    ),
    ("ddi table image.raw", "Show what is where, free space included."),
    ("ddi table image.raw --repair --yes", "Make both copies of the partition table good again."),
];

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::EXAMPLES;
    use crate::cli::Cli;

    #[test]
    fn examples_are_understood() {
        for (line, what) in EXAMPLES {
            if let Err(error) = Cli::try_parse_from(line.split(' ')) {
                panic!("{line}: {error}");
            }
            assert!(what.ends_with('.'), "{what}");
        }
    }
}
