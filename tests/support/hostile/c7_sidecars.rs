//! What lies beside an image. Whoever can write the image can write these: none of them may raise trust, and none may be
//! waited for.

use super::base::{GOOD, Verity};
use super::c6_pkcs7::{CERTIFICATE, signed, trusted};
use super::der::Signer;
use super::{Class, Hostile, Media, Node, base};

pub(crate) fn images() -> Class {
    let mut class = Class::new("C7");
    let hex = GOOD.hex();
    let other = "5a".repeat(32);
    let loops = || Node::Symlink("image.roothash".into());
    let link = |to: &str| Node::Symlink(to.into());
    let file = |text: &str| Node::File(text.into());

    // of no use, and no reason to look for another root hash
    for (what, node) in [
        ("a FIFO", Node::Fifo),
        ("a directory", Node::Directory),
        ("a socket", Node::Socket),
        ("a link to itself", loops()),
        ("a link to /dev/zero", link("/dev/zero")),
        ("a link to /dev/null", link("/dev/null")),
        ("a link to a file of /proc that cannot be read at its beginning", link("/proc/self/mem")),
        ("a link to the environment of the process", link("/proc/self/environ")),
        ("a link to the image", link("image.raw")),
        ("1 GiB of zeros", Node::Sparse(1 << 30)),
        ("16 TiB less a block of zeros", Node::Sparse((16 << 40) - 4096)),
        ("empty", Node::File(Vec::new())),
        ("a line feed and the root hash", file(&format!("\n{hex}\n"))),
        ("no hexadecimal text", file("this is no root hash")),
        ("one digit too many", file(&format!("{hex}0"))),
        ("an odd number of digits", file(&hex[1..])),
        (
            "the root hash with NUL bytes between its digits",
            Node::File(hex.bytes().flat_map(|b| [b, 0]).collect()),
        ),
        ("no UTF-8", Node::File(vec![0xff; 64])),
        ("an escape sequence", file("\x1b]0;title\x07")),
    ] {
        // systemd ends with an error at what is malformed; links out of the folder it follows, and we do not
        let (status, answer) = match &node {
            Node::Symlink(to) if to != "image.raw" => (0, "beside"),
            _ => (1, "beside-malformed"),
        };
        class.add(format!("the .roothash file is {what}"), base(), "inspect", status, answer);
        beside(&mut class, "image.roothash", node);
    }
    for (what, node) in [
        ("a FIFO", Node::Fifo),
        ("a directory", Node::Directory),
        ("empty", Node::File(Vec::new())),
        ("1 GiB of zeros", Node::Sparse(1 << 30)),
        ("a link to /dev/zero", link("/dev/zero")),
    ] {
        class.add(format!("the .roothash.p7s file is {what}"), base(), "inspect", 0, "beside");
        beside(&mut class, "image.roothash.p7s", node);
    }
    for (what, node) in [
        ("a FIFO", Node::Fifo),
        ("a directory", Node::Directory),
        ("a socket", Node::Socket),
        ("empty", Node::File(Vec::new())),
    ] {
        // that something has its name is enough to systemd
        class.add(format!("the .verity file is {what}"), base(), "inspect", 1, "external-verity-with-table");
        beside(&mut class, "image.verity", node);
    }
    class.add(
        "a .verity file beside an image with a table",
        base(),
        "inspect",
        1,
        "external-verity-with-table",
    );
    beside(&mut class, "image.verity", Node::File(GOOD.hash.clone()));

    // root hashes that nobody vouches for
    class.add("a .roothash file with the right root hash", base(), "verify", 3, "intact-unvouched");
    beside(&mut class, "image.roothash", file(&hex));
    class.add("a .roothash file for another image", base(), "inspect", 1, "no-data-for-root-hash");
    beside(&mut class, "image.roothash", file(&other));
    class.add("a .roothash file for another image", base(), "verify", 1, "no-data-for-root-hash");
    beside(&mut class, "image.roothash", file(&other));
    let given = format!("verify --root-hash {other}");
    class.add(
        "a .roothash file with the right root hash, and another one given",
        base(),
        &given,
        1,
        "no-data-for-root-hash",
    );
    beside(&mut class, "image.roothash", file(&hex));
    class.add("a .usrhash file with the root hash of root", base(), "inspect", 1, "no-data-for-root-hash");
    beside(&mut class, "image.usrhash", file(&hex));

    // a bare file system with its tree beside it
    let bare = || Media::new(GOOD.data.len() as u64).with(0, GOOD.data.clone());
    let ask = format!("verify --root-hash {hex}");
    for (what, hash, answer) in [
        ("of another image", Verity::erofs(41).hash, "verity-too-short"),
        ("without superblock", GOOD.hash[4096..].to_vec(), "verity-signature"),
        ("that ends with the superblock", GOOD.hash[..4096].to_vec(), "verity-too-short"),
        ("of 100 bytes", GOOD.hash[..100].to_vec(), "verity-too-short"),
        ("with one bit changed", changed(&GOOD.hash, 4096 + 32), "root-hash-mismatch"),
    ] {
        class.add(format!("a bare file system, and a .verity file {what}"), bare(), &ask, 1, answer);
        beside(&mut class, "image.verity", Node::File(hash));
    }
    class.add(
        "a bare file system, and a .verity file of 1 GiB of zeros",
        bare(),
        &ask,
        1,
        "verity-signature",
    );
    beside(&mut class, "image.verity", Node::Sparse(1 << 30));
    class.add("a bare file system, and a FIFO as .verity file", bare(), &ask, 1, "unprotected");
    beside(&mut class, "image.verity", Node::Fifo);
    class.add(
        "a bare file system, its tree and root hash beside it, nothing given",
        bare(),
        "verify",
        3,
        "intact-unvouched",
    );
    beside(&mut class, "image.verity", Node::File(GOOD.hash.clone()));
    beside(&mut class, "image.roothash", file(&hex));

    // a signature beside the image
    let ask = format!("verify --certificate {{dir}}/{CERTIFICATE}");
    let message = |text: &str| Signer::get().plain(text).der();
    for (what, message, answer) in [
        ("of another root hash", message(&other), "signature-bad"),
        ("that is no DER", b"no DER".to_vec(), "pkcs7-truncated"),
        ("in PEM", b"-----BEGIN PKCS7-----\n".to_vec(), "signature-not-der"),
    ] {
        trusted(class.add(format!("a .roothash.p7s file {what}"), base(), &ask, 3, answer));
        beside(&mut class, "image.roothash", file(&hex));
        beside(&mut class, "image.roothash.p7s", Node::File(message));
    }
    // the control: this one vouches
    trusted(class.add("a .roothash.p7s file that is good", base(), &ask, 0, "trusted-and-proven"));
    beside(&mut class, "image.roothash", file(&hex));
    beside(&mut class, "image.roothash.p7s", Node::File(message(&hex)));
    trusted(class.add(
        "a signature partition that is good",
        signed(&message(&hex)),
        &ask,
        0,
        "trusted-and-proven",
    ));
    class
}

fn beside(class: &mut Class, name: &str, node: Node) {
    let last: &mut Hostile = class.list.last_mut().unwrap();
    last.files.push((name.into(), node));
}

fn changed(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}
