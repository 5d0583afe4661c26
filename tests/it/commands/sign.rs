//! `ddi sign`: against OpenSSL, both ways round, and with what is wrong.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::hostile::faults::{FAULTS, WRITES, assert_at_least, assert_told, at_every_call};
use crate::hostile::format_faults::strace_works;
use crate::support::image::{Image, ImageBuilder, erofs, hash_tree};
use crate::support::{DDI, Folder, ddi, require_tool, run, run_within};

/// Keys that sign nothing but tests.
fn key(name: &str) -> String {
    format!("{}/crates/ddi-signature/tests/data/sign/{name}", env!("CARGO_MANIFEST_DIR"))
}

const ROOT_HASH: &str = "262757df7d5755c592d74c7fa869421aae036b0b3a40039445a493da59efc8eb";

/// An image whose signature partition is empty.
fn unsigned(seed: u64) -> Image {
    let mut image = ImageBuilder::new()
        .verity("root-x86-64", "os", erofs(300, seed))
        .partition("esp", "esp", vec![0; 1 << 16])
        .build();
    let range = image.partitions[2];
    image.bytes[range.offset as usize..][..range.size as usize].fill(0);
    image
}

/// What OpenSSL says to a signature of `text`, by `smime` as systemd asks it, and by `cms`.
fn openssl_takes(signature: &str, text: &str, certificate: &str) -> [bool; 2] {
    let verify = |tool: &str| {
        let args =
            [tool, "-verify", "-inform", "der", "-in", signature, "-content", text, "-certfile", certificate];
        run("openssl", args.into_iter().chain(["-nointern", "-noverify", "-binary"])).ok()
    };
    [verify("smime"), verify("cms")]
}

#[test]
fn openssl_takes_what_we_sign() {
    if !require_tool("openssl") {
        return;
    }
    let folder = Folder::new();
    let image = unsigned(1);
    let path = folder.write("os.raw", &image.bytes);
    let text = folder.write("text", image.root_hashes[0].to_string().as_bytes());
    let other = folder.write("other", ROOT_HASH.as_bytes());
    let p7s = folder.file("os.roothash.p7s");
    for name in ["rsa2048", "rsa2060", "rsa3072", "rsa4096", "p256", "p384"] {
        let (private, certificate) = (key(&format!("{name}.pem")), key(&format!("{name}.crt")));
        let by = ["--private-key", &private, "--certificate", &certificate];
        for bind in [&[][..], &["--bind-size"]] {
            let ended = ddi(["sign", &path].iter().chain(&by).chain(bind));
            assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{name}: {ended:?}");
            assert!(ended.stdout.starts_with(&format!("{p7s}: signature of {} ", image.root_hashes[0])));
            assert_eq!(ended.stdout.contains(" and of 1228800 bytes of data"), !bind.is_empty());
            assert_eq!(openssl_takes(&p7s, &text, &certificate), [true, true], "{name} {bind:?}");
            assert_eq!(openssl_takes(&p7s, &other, &certificate), [false, false], "{name} {bind:?}");
            // and our own reader, in any case
            let verified = ddi(["verify", &path, "--certificate", &certificate]);
            assert!(verified.ok(), "{verified:?}");
            let demanded = ddi(["verify", &path, "--certificate", &certificate, "--require-bound-size"]);
            assert_eq!(demanded.code, Some(if bind.is_empty() { 1 } else { 0 }), "{demanded:?}");
            assert_eq!(demanded.stdout.contains("no trusted key signed how many bytes"), bind.is_empty());

            let first = fs::read(&p7s).unwrap();
            if bind.is_empty() && name.starts_with("rsa") {
                let theirs = folder.file("theirs");
                let args =
                    ["smime", "-sign", "-nocerts", "-noattr", "-binary", "-in", &text, "-outform", "der"];
                let signer = ["-inkey", &private, "-signer", &certificate, "-out", &theirs];
                run("openssl", args.into_iter().chain(signer)).unwrap();
                assert!(first == fs::read(&theirs).unwrap(), "{name}");
            }
            // the same each time, also of a curve
            assert!(ddi(["sign", &path].iter().chain(&by).chain(bind)).ok());
            assert!(first == fs::read(&p7s).unwrap(), "{name}");
        }
    }
    // the parameters are in what OpenSSL shows
    let shown =
        run("openssl", ["cms", "-cmsout", "-print", "-noout", "-inform", "der", "-in", &p7s]).unwrap();
    assert!(shown.contains("2.25.328078896124198064657230790474676665732"), "{shown}");
}

/// Keys as OpenSSL makes them, encrypted with its defaults.
#[test]
fn keys_that_openssl_makes() {
    if !require_tool("openssl") {
        return;
    }
    let folder = Folder::new();
    let (private, certificate, out) = (folder.file("key"), folder.file("crt"), folder.file("out"));
    let passphrase = folder.write("passphrase", "päss phrase\n".as_bytes());
    for options in [
        &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"][..],
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    ] {
        let pass = format!("file:{passphrase}");
        let generate = ["genpkey", "-aes256", "-pass", &pass, "-out", &private];
        run("openssl", generate.iter().chain(options)).unwrap();
        let request =
            ["req", "-x509", "-new", "-key", &private, "-passin", &pass, "-subj", "/CN=new", "-out"];
        run("openssl", request.into_iter().chain([&*certificate])).unwrap();
        let sign = ["sign", ROOT_HASH, "--private-key", &private, "--certificate", &certificate, "-o", &out];
        ddi(sign.iter().chain(&["--passphrase-file", &passphrase])).unwrap();
        let text = folder.write("text", ROOT_HASH.as_bytes());
        assert_eq!(openssl_takes(&out, &text, &certificate), [true, true]);

        // from a descriptor, and to standard output
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec "$0" sign "$1" --private-key "$2" --certificate "$3" --passphrase-fd 7 -o - 7<"$4" >"$5""#]);
        command.args([DDI, ROOT_HASH, &private, &certificate, &passphrase, &folder.file("piped")]);
        run_within(command, Duration::from_secs(60)).unwrap();
        assert!(openssl_takes(&folder.file("piped"), &text, &certificate) == [true, true]);

        for (more, says) in [
            (&[][..], "private key is encrypted, and no passphrase was given"),
            (&["--passphrase-file", &text][..], "wrong passphrase for the private key"),
        ] {
            let ended = ddi(sign.iter().chain(more));
            assert_eq!(ended.code, Some(2), "{ended:?}");
            assert!(ended.stderr.contains(says) && !ended.stderr.contains(ROOT_HASH), "{ended:?}");
        }
    }
}

/// Nothing is written, and nothing of a key is said.
#[test]
fn what_does_not_sign() {
    let folder = Folder::new();
    let image = unsigned(1);
    let path = folder.write("os.raw", &image.bytes);
    let damaged = folder.write("damaged.raw", &image.damage(image.partitions[0].offset + 70_000).bytes);
    let bare = folder.write("bare.raw", &erofs(20, 1));
    let (private, certificate) = (key("p256.pem"), key("p256.crt"));
    let mut garbage = fs::read(key("rsa2048.der")).unwrap();
    // the private exponent
    garbage[400] ^= 1;
    let (garbage, empty) = (folder.write("garbage.der", &garbage), folder.write("empty", b""));
    let before = folder.names();
    let by = ["--private-key", &private, "--certificate", &certificate];
    let rsa = ["--private-key", &garbage, "--certificate", &key("rsa2048.crt")];
    let out = folder.file("out");
    let cases: &[(&[&str], &[&str], i32, &str)] = &[
        (&[&damaged], &by, 1, "not every block of root matches the root hash: it is not signed"),
        // nothing of several is written if one is not good
        (&[&path, &damaged], &by, 1, "not every block"),
        (&[&bare], &by, 2, "no hash tree, so there is no root hash to sign"),
        (&["/nowhere"], &by, 2, "/nowhere: "),
        (&[ROOT_HASH], &by, 2, "-o must say where its signature goes"),
        (&[ROOT_HASH, &path, "-o", &out], &by, 2, "-o is for one signature"),
        (&[ROOT_HASH, "-o", &out, "--bind-size"], &by, 2, "--bind-size is for an image"),
        (&[&ROOT_HASH[24..], "-o", &out], &by, 1, "root hash has 20 bytes, signed ones have 32, 48 or 64"),
        (&[&path], &rsa, 2, "private key is no key: its numbers do not belong together"),
        (&[&path], &["--certificate", &certificate], 2, "--private-key or --sign-command must be given"),
        (&[&path], &["--private-key", &private], 2, "--certificate"),
        (
            &[&path],
            &["--private-key", &private, "--certificate", &key("repart.crt")],
            2,
            "private key (P-256) is not that of the certificate (rsa-2048)",
        ),
        (
            &[&path],
            &["--private-key", &key("repart.pem"), "--certificate", &key("rsa2048.crt")],
            2,
            "private key (rsa-2048) is not that of the certificate",
        ),
        (
            &[&path],
            &["--private-key", &certificate, "--certificate", &certificate],
            2,
            "a certificate, expected its private key",
        ),
        (&[&path], &["--private-key", &empty, "--certificate", &certificate], 2, "no private key in it"),
        (&[&path], &["--private-key", &private, "--certificate", &private], 2, "no certificate in it"),
        (&[&path], &["--sign-command", "exit 7", "--certificate", &certificate], 2, "exit status: 7"),
        (&[&path], &["--sign-command", "cat", "--certificate", &certificate], 1, "PKCS#7"),
        // who asks for too much of a program
        (
            &[&path, "--bind-size"],
            &[
                "--sign-command",
                &format!("'{DDI}' sign $(cat) -o - --private-key '{private}' --certificate '{certificate}'"),
                "--certificate",
                &certificate,
            ],
            1,
            "signature says nothing of the size of the data",
        ),
    ];
    for (what, by, code, says) in cases {
        let ended = ddi(["sign"].iter().chain(*what).chain(*by));
        assert_eq!(ended.code, Some(*code), "{what:?} {by:?}: {ended:?}");
        assert!(ended.stderr.contains(says), "{what:?} {by:?}: {ended:?}");
        assert_eq!(folder.names(), before, "{what:?} {by:?}");
        // no line of any key
        for line in fs::read_to_string(key("rsa2048.pem")).unwrap().lines().filter(|l| !l.starts_with('-')) {
            assert!(!ended.stderr.contains(line) && !ended.stdout.contains(line));
        }
    }
}

#[test]
fn s5_sign_writes_over_nothing_that_it_reads() {
    let folder = Folder::new();
    let path = folder.write("os.raw", &unsigned(1).bytes);
    let copy = |name: &str| folder.write(name, &fs::read(key(name)).unwrap());
    let (private, certificate) = (copy("p256.pem"), copy("p256.crt"));
    let passphrase = folder.write("passphrase", b"x");
    let root_hash = folder.write("os.roothash", ROOT_HASH.as_bytes());
    let by = ["--private-key", &private, "--certificate", &certificate, "--passphrase-file", &passphrase];
    let link = folder.file("link");
    std::os::unix::fs::symlink(&private, &link).unwrap();
    let before = |path: &String| fs::read(path).unwrap();
    for output in [&path, &private, &certificate, &passphrase, &root_hash, &link] {
        let content = before(output);
        let ended = ddi(["sign", &path, "-o", output].iter().chain(&by));
        assert_eq!(ended.code, Some(2), "{output}: {ended:?}");
        assert!(ended.stderr.contains("must not be overwritten"), "{output}: {ended:?}");
        assert!(before(output) == content);
    }
    // a signature that is the image
    let ended = ddi(["sign", "attach", &path, "--signature", &path, "--certificate", &certificate]);
    assert!(ended.stderr.contains("must not be overwritten"), "{ended:?}");
    // two images that have one place for their signatures
    let twin = folder.file("os");
    fs::copy(&path, &twin).unwrap();
    let ended = ddi(["sign", &path, &twin].iter().chain(&by));
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(!Path::new(&folder.file("os.roothash.p7s")).exists());
}

/// A bare file system, its tree and its root hash beside it: what comes beside them is what systemd looks for.
#[test]
fn a_bare_image_is_signed() {
    let folder = Folder::new();
    let data = erofs(300, 1);
    let (root_hash, tree) = hash_tree(&data);
    let path = folder.write("app.raw", &data);
    folder.write("app.verity", &tree);
    folder.write("app.usrhash", root_hash.to_string().as_bytes());
    let (private, certificate) = (key("rsa2048.pem"), key("rsa2048.crt"));
    let by = ["--private-key", &private, "--certificate", &certificate, "--bind-size"];
    ddi(["sign", &path].iter().chain(&by)).unwrap();
    assert_eq!(folder.names(), ["app.raw", "app.usrhash", "app.usrhash.p7s", "app.verity"]);
}

/// A program that has the key: OpenSSL, or another `ddi`.
#[test]
fn a_command_signs() {
    if !require_tool("openssl") {
        return;
    }
    let folder = Folder::new();
    let path = folder.write("os.raw", &unsigned(1).bytes);
    let (private, certificate) = (key("p384.pem"), key("p384.crt"));
    for command in [
        format!(
            "openssl smime -sign -binary -noattr -outform der -inkey '{private}' -signer '{certificate}'"
        ),
        format!("'{DDI}' sign $(cat) -o - --private-key '{private}' --certificate '{certificate}'"),
        // it knows the image
        format!(
            "'{DDI}' sign '{path}' -o - --private-key '{private}' --certificate '{certificate}' --bind-size"
        ),
    ] {
        let bind: &[&str] = if command.ends_with("--bind-size") { &["--bind-size"] } else { &[] };
        let args = ["sign", &path, "--sign-command", &command, "--certificate", &certificate];
        ddi(args.iter().chain(bind)).unwrap();
        assert!(ddi(["verify", &path, "--certificate", &certificate]).ok());
    }
}

/// The signature goes into the partition that is there for it, and nowhere else.
#[test]
fn attach_fills_the_empty_partition() {
    let folder = Folder::new();
    let image = unsigned(1);
    let path = folder.write("os.raw", &image.bytes);
    let (private, certificate) = (key("p256.pem"), key("p256.crt"));
    let p7s = folder.file("p7s");
    let range = image.partitions[2];
    let (start, size) = (range.offset as usize, range.size as usize);
    let sign = |root_hash: &str, to: &str| {
        ddi(["sign", root_hash, "--private-key", &private, "--certificate", &certificate, "-o", to]).unwrap()
    };
    let attach = |signature: &str, certificate: &str| {
        ddi(["sign", "attach", &path, "--signature", signature, "--certificate", certificate])
    };
    assert_eq!(ddi(["verify", &path, "--certificate", &certificate]).code, Some(3));
    // not good: nothing is written
    sign(ROOT_HASH, &p7s);
    for (signature, certificate, says) in [
        (&p7s, &certificate, "signature does not match the root hash"),
        (&certificate, &certificate, "PKCS#7: is PEM"),
        (&p7s, &key("p384.crt"), "no trusted certificate for the signer"),
    ] {
        let ended = attach(signature, certificate);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(says), "{ended:?}");
        assert!(fs::read(&path).unwrap() == image.bytes);
    }
    sign(&image.root_hashes[0].to_string(), &p7s);
    let ended = attach(&p7s, &certificate);
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{ended:?}");
    assert!(ended.stdout.starts_with(&format!("{path}, partition 3: signature of ")), "{ended:?}");
    let written = fs::read(&path).unwrap();
    assert!(
        written[..start] == image.bytes[..start] && written[start + size..] == image.bytes[start + size..]
    );
    assert!(
        written[start..].starts_with(format!(r#"{{"rootHash":"{}","c"#, image.root_hashes[0]).as_bytes())
    );
    assert!(ddi(["verify", &path, "--certificate", &certificate]).ok());

    // once more is the same; what an interruption left is gone on with
    assert!(attach(&p7s, &certificate).ok() && fs::read(&path).unwrap() == written);
    let mut half = written.clone();
    half[start + 100..start + 300].fill(0);
    fs::write(&path, half).unwrap();
    assert!(attach(&p7s, &certificate).ok() && fs::read(&path).unwrap() == written);
    // another one is not written over it
    let by = ["--private-key", &key("rsa4096.pem"), "--certificate", &key("rsa4096.crt")];
    let ended = ddi(["sign", "attach", &path].iter().chain(&by));
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("partition 3 holds something already"), "{ended:?}");
    assert!(fs::read(&path).unwrap() == written);
}

/// Signed and attached at once, with the size; and what there is no place for.
#[test]
fn attach_signs_too() {
    let folder = Folder::new();
    let image = unsigned(1);
    let path = folder.write("os.raw", &image.bytes);
    // its text has more than what goes there last
    let by = ["--private-key", &key("rsa4096.pem"), "--certificate", &key("rsa4096.crt"), "--bind-size"];
    ddi(["sign", "attach", &path].iter().chain(&by)).unwrap();
    let verify = ["verify", &path, "--require-bound-size", "--certificate", &key("rsa4096.crt")];
    let verified = ddi(verify);
    assert!(
        verified.ok() && verified.stdout.contains("with the size of the data (1228800 bytes)"),
        "{verified:?}"
    );
    let json = ddi(verify.iter().chain(&["--json"])).json();
    let bound = &json["proofs"][0]["signatures"][0]["signer"]["boundTree"];
    assert_eq!(bound["dataSize"], 1_228_800, "{json:#}");

    // the superblock says less than was signed: the tree is another one
    let mut smaller = fs::read(&path).unwrap();
    let blocks = image.partitions[1].offset as usize + 72;
    smaller[blocks..blocks + 8].copy_from_slice(&299_u64.to_le_bytes());
    let smaller = folder.write("smaller.raw", &smaller);
    let ended = ddi(["verify", &smaller, "--certificate", &key("rsa4096.crt")]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains("1224704 bytes of data, and 1228800 were signed"), "{ended:?}");

    let none = ImageBuilder::new().partition("esp", "esp", vec![0; 1 << 16]).build();
    let none = folder.write("none.raw", &none.bytes);
    assert_eq!(ddi(["sign", "attach", &none].iter().chain(&by)).code, Some(2));
    let damaged = image.damage(image.partitions[0].offset + 9000).bytes;
    let damaged = folder.write("damaged.raw", &damaged);
    let before = fs::read(&damaged).unwrap();
    assert_eq!(ddi(["sign", "attach", &damaged].iter().chain(&by)).code, Some(1));
    assert!(fs::read(&damaged).unwrap() == before);
}

/// Killed, out of space or with an error at any call: the signature is whole, or what was there before.
#[test]
fn k1_k2_k3_a_signature_is_complete_or_absent() {
    if !strace_works() {
        return;
    }
    let folder = Folder::new();
    fs::create_dir(folder.file("tmp")).unwrap();
    let (private, certificate) = (key("p256.pem"), key("p256.crt"));
    let out = folder.file("out");
    let args = ["sign", ROOT_HASH, "--private-key", &private, "--certificate", &certificate, "-o", &out];
    ddi(args).unwrap();
    let whole = fs::read(&out).unwrap();
    for before in [None, Some(&b"what was there before"[..])] {
        for kind in FAULTS {
            let prepare = || match before {
                Some(before) => fs::write(&out, before).unwrap(),
                None => drop(fs::remove_file(&out)),
            };
            let faults = at_every_call(kind, &folder, (&WRITES, &args), prepare, |ended, fault| {
                let found = fs::read(&out).ok();
                let is_whole = found.as_deref() == Some(&whole[..]);
                assert!(is_whole || found.as_deref() == before, "{fault}: {ended:?}");
                assert!(!ended.ok() || is_whole, "{fault}: {ended:?}");
                if fault.is_error() && fault.call != "write" {
                    assert_told(ended, fault);
                }
            });
            assert_at_least(&faults, &[("write", 1), ("fsync", 1)]);
        }
    }
}

/// The same of a partition: empty or whole, nothing else of the image changes, and what was interrupted is gone on with.
#[test]
fn k1_k2_k3_an_attached_signature_is_complete_or_absent() {
    if !strace_works() {
        return;
    }
    let folder = Folder::new();
    fs::create_dir(folder.file("tmp")).unwrap();
    let image = unsigned(1);
    let path = folder.file("os.raw");
    let (private, certificate) = (key("rsa2048.pem"), key("rsa2048.crt"));
    let args = ["sign", "attach", &path, "--private-key", &private, "--certificate", &certificate];
    fs::write(&path, &image.bytes).unwrap();
    ddi(args).unwrap();
    let whole = fs::read(&path).unwrap();
    for kind in FAULTS {
        let prepare = || fs::write(&path, &image.bytes).unwrap();
        let faults = at_every_call(kind, &folder, (&WRITES, &args), prepare, |ended, fault| {
            let found = fs::read(&path).unwrap();
            assert!(found == whole || found == image.bytes, "{fault}: {ended:?}");
            assert!(!ended.ok() || found == whole, "{fault}: {ended:?}");
            if fault.is_error() && fault.call != "write" {
                assert_told(ended, fault);
            }
            ddi(args).unwrap();
            assert!(fs::read(&path).unwrap() == whole, "{fault}");
        });
        assert_at_least(&faults, &[("pwrite64", 1), ("fsync", 1)]);
    }
}

/// A signature with so many certificates that it has more than one block.
#[test]
fn attach_takes_what_is_long() {
    if !require_tool("openssl") {
        return;
    }
    let folder = Folder::new();
    let image = unsigned(1);
    let path = folder.write("os.raw", &image.bytes);
    let text = folder.write("text", image.root_hashes[0].to_string().as_bytes());
    let all: Vec<u8> = ["rsa3072.crt", "rsa4096.crt", "rsa2060.crt", "p384.crt", "repart.crt"]
        .iter()
        .flat_map(|name| fs::read(key(name)).unwrap())
        .collect();
    let (all, p7s) = (folder.write("all.crt", &all), folder.file("p7s"));
    let (private, certificate) = (key("rsa2048.pem"), key("rsa2048.crt"));
    let sign = ["smime", "-sign", "-binary", "-noattr", "-outform", "der", "-in", &text, "-out", &p7s];
    run("openssl", sign.into_iter().chain(["-inkey", &private, "-signer", &certificate, "-certfile", &all]))
        .unwrap();
    let args = ["sign", "attach", &path, "--signature", &p7s, "--certificate", &certificate];
    ddi(args).unwrap();
    let whole = fs::read(&path).unwrap();
    let start = image.partitions[2].offset as usize;
    assert!(whole[start + 4096] != 0 && ddi(["verify", &path, "--certificate", &certificate]).ok());
    // interrupted between the two parts
    let mut half = whole.clone();
    half[start..start + 4096].fill(0);
    fs::write(&path, half).unwrap();
    assert_eq!(ddi(["verify", &path, "--certificate", &certificate]).code, Some(3));
    ddi(args).unwrap();
    assert!(fs::read(&path).unwrap() == whole);
}
