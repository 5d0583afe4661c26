//! Who vouches for an image, and may it be used: signature × image policy × root hash × mixed partitions.

use std::fs;

use ddi_gpt::verity_guids;
use ddi_verity::RootHash;

use crate::support::hostile::crc32;
use crate::support::image::{Image, ImageBuilder, erofs, hash_tree, signature_partition};
use crate::support::{Ended, Folder, ddi, require_tool, run};

/// Keys with a certificate each, in a folder of their own, and what is trusted of them.
struct Keys {
    folder: Folder,
}

impl Keys {
    /// `signer`, `expired` (since yesterday) and `twin` (another key, with signer's name and serial number); none of
    /// them without openssl.
    fn new() -> Option<Keys> {
        let keys = Keys { folder: Folder::new() };
        if !require_tool("openssl") {
            return None;
        }
        for (name, subject, days) in [
            ("signer", "signer", "2"),
            ("expired", "expired", "-1"),
            ("stranger", "stranger", "2"),
            ("twin", "signer", "2"),
        ] {
            let file = |kind: &str| keys.folder.file(&format!("{name}.{kind}"));
            let (key, request, certificate) = (file("key"), file("csr"), file("pem"));
            let curve = "ec_paramgen_curve:P-256";
            run("openssl", ["genpkey", "-algorithm", "EC", "-pkeyopt", curve, "-out", &key]).unwrap();
            let subject = format!("/O=ddi/CN={subject}");
            run("openssl", ["req", "-new", "-key", &key, "-subj", &subject, "-out", &request]).unwrap();
            let sign = ["x509", "-req", "-in", &request, "-signkey", &key, "-set_serial", "7", "-days", days];
            run("openssl", sign.into_iter().chain(["-out", &certificate])).unwrap();
        }
        fs::create_dir(keys.folder.file("trusted")).unwrap();
        for name in ["signer", "expired"] {
            let to = keys.folder.file(&format!("trusted/{name}.crt"));
            fs::copy(keys.folder.file(&format!("{name}.pem")), to).unwrap();
        }
        fs::create_dir(keys.folder.file("none")).unwrap();
        Some(keys)
    }

    /// The folder with the certificates that are trusted: those of `signer` and `expired`.
    fn trusted(&self) -> String {
        self.folder.file("trusted")
    }

    /// A folder without certificates: that of the machine may have some.
    fn none(&self) -> String {
        self.folder.file("none")
    }

    /// A signature over `root_hash`, as systemd's documentation makes it.
    fn sign(&self, name: &str, root_hash: &RootHash) -> Vec<u8> {
        let text = self.folder.write("text", root_hash.to_string().as_bytes());
        let file = |kind: &str| self.folder.file(&format!("{name}.{kind}"));
        let (key, certificate, output) = (file("key"), file("pem"), file("p7s"));
        let sign = ["smime", "-sign", "-nocerts", "-noattr", "-binary", "-outform", "der", "-in", &text];
        let with = ["-signer", &certificate, "-inkey", &key, "-out", &output];
        run("openssl", sign.into_iter().chain(with)).unwrap();
        fs::read(output).unwrap()
    }
}

/// What the signature of an image is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signature {
    Absent,
    /// One bit of the signature itself is another.
    Broken,
    /// By a key that is not trusted.
    OtherKey,
    /// By the right key, over another root hash than the one that it comes with.
    OtherRootHash,
    Good,
    /// By a trusted key whose certificate has expired.
    Expired,
}
use Signature::*;

/// Which data, hash tree and signature are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Swap {
    /// All of version A.
    None,
    /// The data of version A, hash tree and signature of version B.
    Mixed,
}

impl Signature {
    /// The content of the signature partition for `root_hash`.
    fn partition(self, keys: &Keys, root_hash: &RootHash) -> Option<Vec<u8>> {
        let other = RootHash::from_bytes(&[7; 32]).unwrap();
        let pkcs7 = match self {
            Absent => return None,
            Broken => {
                let mut pkcs7 = keys.sign("signer", root_hash);
                *pkcs7.last_mut().unwrap() ^= 1;
                pkcs7
            }
            OtherKey => keys.sign("stranger", root_hash),
            OtherRootHash => keys.sign("signer", &other),
            Good => keys.sign("signer", root_hash),
            Expired => keys.sign("expired", root_hash),
        };
        Some(signature_partition(root_hash, &pkcs7))
    }

    /// What `--json` says of it, with the certificates of `signer` and `expired` trusted.
    fn state(self) -> Option<&'static str> {
        match self {
            Absent => None,
            Broken | OtherRootHash => Some("failed"),
            OtherKey => Some("not-trusted"),
            Good | Expired => Some("verified"),
        }
    }
}

/// An image, and the root hash of its data.
fn image(keys: &Keys, signature: Signature, swap: Swap) -> (Image, RootHash) {
    let (a, b) = (erofs(300, 1), erofs(300, 2));
    let (root_a, tree_a) = hash_tree(&a);
    let (root_b, tree_b) = hash_tree(&b);
    let (root, tree) = match swap {
        Swap::None => (root_a, tree_a),
        Swap::Mixed => (root_b, tree_b),
    };
    let (data_guid, _) = verity_guids(root_a.as_bytes()).unwrap();
    let (_, hash_guid) = verity_guids(root.as_bytes()).unwrap();
    let mut builder = ImageBuilder::new().with_guid("root-x86-64", data_guid, "os_1", a).with_guid(
        "root-x86-64-verity",
        hash_guid,
        "os_1_v",
        tree,
    );
    if let Some(json) = signature.partition(keys, &root) {
        builder = builder.partition("root-x86-64-verity-sig", "os_1_s", json);
    }
    (builder.build(), root_a)
}

/// Every outcome, written by hand. A letter is an exit status with the first words of the verdict:
/// `V` 0 VERIFIED, `I` 3 INTACT ONLY, `R` 1 REFUSED (the blocks match, the policy does not allow it), `N` 1 NOT PROVEN.
#[rustfmt::skip]
const TABLE: [(Signature, Swap, &str); 12] = [
    // image policy                    open   verity  signed
    // root hash (- not given)         - +    - +     - +

    // What vouches for nothing, there or not, is the same. By itself the image is intact and nobody's; a policy that
    // wants verity wants it under a root hash that somebody vouches for, and the caller does; but the word of the
    // caller is no signature, whatever the partition is called.
    (Absent,        Swap::None,       "I V    R V     R R"),
    (Broken,        Swap::None,       "I V    R V     R R"),
    (OtherKey,      Swap::None,       "I V    R V     R R"),
    (OtherRootHash, Swap::None,       "I V    R V     R R"),

    // A trusted key vouches: the root hash need not be given, and does no harm. As in systemd, a certificate is a key
    // with a name: when it expires does not matter, or an image would stop to boot by itself.
    (Good,          Swap::None,       "V V    V V     V V"),
    (Expired,       Swap::None,       "V V    V V     V V"),

    // The data of one version under the tree of another match nothing, and who signed what makes no difference.
    (Absent,        Swap::Mixed,      "N N    N N     N N"),
    (Broken,        Swap::Mixed,      "N N    N N     N N"),
    (OtherKey,      Swap::Mixed,      "N N    N N     N N"),
    (OtherRootHash, Swap::Mixed,      "N N    N N     N N"),
    (Good,          Swap::Mixed,      "N N    N N     N N"),
    (Expired,       Swap::Mixed,      "N N    N N     N N"),
];

const POLICIES: [&str; 3] = ["*", "root=verity", "root=signed"];

#[test]
fn truth_table() {
    let Some(keys) = Keys::new() else { return };
    let trusted = keys.trusted();
    let mut rows = 0;
    for (signature, swap, outcomes) in TABLE {
        let (image, root_hash) = image(&keys, signature, swap);
        let path = keys.folder.write("image.raw", &image.bytes);
        let root_hash = root_hash.to_string();
        let mut outcomes = outcomes.split_whitespace();
        for policy in POLICIES {
            for given in [false, true] {
                let mut args = vec!["verify", &path, "--certificate", &trusted, "--image-policy", policy];
                if given {
                    args.extend(["--root-hash", &root_hash]);
                }
                let (code, verdict) = match outcomes.next().unwrap() {
                    "V" => (0, "VERIFIED "),
                    "I" => (3, "INTACT ONLY "),
                    "R" => (1, "REFUSED "),
                    "N" => (1, "NOT PROVEN "),
                    other => panic!("{other}"),
                };
                let row = format!("{signature:?}, {swap:?}, {policy}, root hash given: {given}");
                let ended = ddi(&args);
                assert_eq!(ended.code, Some(code), "{row}: {ended:?}");
                assert!(ended.stdout.starts_with(verdict), "{row}: {ended:?}");

                args.push("--json");
                let ended = ddi(&args);
                assert_eq!(ended.code, Some(code), "{row}: {ended:?}");
                let json = ended.json();
                assert_eq!(json["exitStatus"], code, "{row}");
                let allowed = json["imagePolicy"]["verdict"] == "allowed";
                assert!(allowed || code == 1, "{row}: {json:#}");
                if swap == Swap::None {
                    let proof = &json["proofs"][0];
                    let state = proof["signatures"][0]["state"].as_str();
                    assert_eq!(state, signature.state(), "{row}");
                    let by: Vec<&str> =
                        [(matches!(signature, Good | Expired), "signature"), (given, "caller")]
                            .into_iter()
                            .filter_map(|(holds, word)| holds.then_some(word))
                            .collect();
                    assert_eq!(proof["trustedBy"], serde_json::json!(by), "{row}");
                    assert_eq!(proof["trusted"], !by.is_empty(), "{row}");
                }
                rows += 1;
            }
        }
    }
    assert_eq!(rows, 72);
}

/// Verdict and exit status of `ddi verify IMAGE` and more arguments.
#[track_caller]
fn verify(path: &str, args: &[&str], code: i32, verdict: &str) -> Ended {
    let ended = ddi(["verify", path].iter().chain(args));
    assert_eq!(ended.code, Some(code), "{args:?}: {ended:?}");
    assert!(ended.stdout.starts_with(verdict), "{args:?}: {ended:?}");
    ended
}

#[test]
fn presence_and_verification_are_two_states() {
    let Some(keys) = Keys::new() else { return };
    let (image, root_hash) = image(&keys, Broken, Swap::None);
    let path = keys.folder.write("image.raw", &image.bytes);
    let root_hash = root_hash.to_string();
    let (trusted, none) = (keys.trusted(), keys.none());
    let (trusted, none) = (["--certificate", trusted.as_str()], ["--certificate", none.as_str()]);

    // systemd sees a signature; it is no good, and we say both
    let args = [&trusted[..], &["--image-policy", "root=signed", "--systemd-reading"]].concat();
    let ended = verify(&path, &args, 1, "REFUSED ");
    assert!(
        ended.stdout.contains("systemd-dissect --validate, as of version 261")
            && ended.stdout.contains("would accept it")
    );
    assert!(ended.stdout.contains("signature in partition 3: no good: "), "{ended:?}");
    // whose signature it claims to be is nobody we trust: another state again
    let ended = verify(&path, &none, 3, "INTACT ONLY ");
    assert!(ended.stdout.contains("no trusted certificate has issuer"), "{ended:?}");
    assert!(ended.stdout.contains("trusted certificates: none"), "{ended:?}");

    let inspect = |args: &[&str]| ddi(["inspect", &path, "--json"].iter().chain(args)).json();
    let state = |args: &[&str]| inspect(args)["verity"][0]["signatures"][0]["state"].clone();
    assert_eq!(state(&trusted), "failed");
    assert_eq!(state(&none), "not-trusted");
    assert_eq!(inspect(&trusted)["mounts"][0]["verity"], "signed", "systemd's word for presence");

    // by whose word
    let (image, _) = image_good(&keys);
    let path = keys.folder.write("image.raw", &image.bytes);
    let ended = verify(&path, &trusted, 0, "VERIFIED ");
    assert!(
        ended.first_line().ends_with("every block of root matches a root hash signed by CN=signer,O=ddi")
    );
    let ended = verify(&path, &[&trusted[..], &["--root-hash", &root_hash]].concat(), 0, "VERIFIED ");
    assert!(
        ended.first_line().contains("the root hash that you gave, signed by CN=signer,O=ddi"),
        "{ended:?}"
    );
    let ended = verify(&path, &[&none[..], &["--root-hash", &root_hash]].concat(), 0, "VERIFIED ");
    assert!(ended.first_line().ends_with("the root hash that you gave"), "{ended:?}");
}

fn image_good(keys: &Keys) -> (Image, RootHash) {
    image(keys, Good, Swap::None)
}

#[test]
fn a_namesake_of_the_signer_is_not_the_signer() {
    let Some(keys) = Keys::new() else { return };
    let data = erofs(20, 1);
    let (root_hash, _) = hash_tree(&data);
    let json = signature_partition(&root_hash, &keys.sign("twin", &root_hash));
    let mut image = ImageBuilder::new().verity("root-x86-64", "os", data).build();
    image.bytes[image.partitions[2].offset as usize..][..json.len()].copy_from_slice(&json);
    let path = keys.folder.write("image.raw", &image.bytes);
    let certificate = keys.trusted();
    let ended = verify(&path, &["--certificate", &certificate, "--json"], 3, "");
    let signature = &ended.json()["proofs"][0]["signatures"][0];
    assert_eq!(signature["state"], "failed");
    assert_eq!(signature["error"]["code"], "signature-bad", "{signature:#}");
}

#[test]
fn signature_partitions_that_are_for_something_else() {
    let Some(keys) = Keys::new() else { return };
    let certificate = keys.trusted();
    let certificate = ["--certificate", certificate.as_str()];
    let data = erofs(20, 1);
    let (root_hash, _) = hash_tree(&data);
    let hex = root_hash.to_string();
    let given = [&certificate[..], &["--root-hash", &hex]].concat();
    let other = RootHash::from_bytes(&[7; 32]).unwrap();
    let good = ImageBuilder::new().verity("root-x86-64", "os", data).build();
    let with = |json: &[u8]| {
        let mut image = good.clone();
        image.bytes[image.partitions[2].offset as usize..][..json.len()].copy_from_slice(json);
        keys.folder.write("image.raw", &image.bytes)
    };

    // a good signature, together with the root hash that it is for: but that is not the one of the data
    let path = with(&signature_partition(&other, &keys.sign("signer", &other)));
    verify(&path, &certificate, 1, "NOT PROVEN ");
    let ended = verify(&path, &given, 0, "VERIFIED ");
    assert!(ended.stdout.contains(&format!("present, but for the root hash {other}")), "{ended:?}");
    let signed = [&given[..], &["--image-policy", "root=signed"]].concat();
    verify(&path, &signed, 1, "REFUSED ");

    // no JSON at all
    let path = with(b"{]");
    let ended = verify(&path, &certificate, 3, "INTACT ONLY ");
    assert!(ended.stdout.contains("signature in partition 3: no good: "), "{ended:?}");
    // systemd gives up (EINVAL), and the image as a whole is not what was asked for
    verify(&path, &given, 1, "NOT PROVEN ");
}

#[test]
fn an_old_version_that_is_signed_does_not_vouch_for_the_new_one() {
    let Some(keys) = Keys::new() else { return };
    let certificate = keys.trusted();
    let certificate = ["--certificate", certificate.as_str()];
    let image = ImageBuilder::new()
        .verity("root-x86-64", "os_1", erofs(20, 1))
        .verity("root-x86-64", "os_2", erofs(20, 2))
        .build();
    let with_signatures = |signed: &[usize]| {
        let mut image = image.clone();
        for set in signed {
            let root_hash = image.root_hashes[*set];
            let json = signature_partition(&root_hash, &keys.sign("signer", &root_hash));
            let partition = image.partitions[3 * set + 2];
            image.bytes[partition.offset as usize..][..json.len()].copy_from_slice(&json);
        }
        keys.folder.write("image.raw", &image.bytes)
    };
    let signed = [&certificate[..], &["--image-policy", "root=signed"]].concat();

    let path = with_signatures(&[0, 1]);
    verify(&path, &certificate, 0, "VERIFIED ");
    verify(&path, &signed, 0, "VERIFIED ");
    let path = with_signatures(&[0]);
    verify(&path, &certificate, 3, "INTACT ONLY ");
    verify(&path, &signed, 1, "REFUSED ");
    // the policy is about the version in use; that the old one is nobody's still counts
    let path = with_signatures(&[1]);
    verify(&path, &certificate, 3, "INTACT ONLY ");
    let ended = verify(&path, &signed, 3, "INTACT ONLY ");
    assert!(ended.stdout.contains("image policy root=signed: allowed"), "{ended:?}");
    // the caller's root hash says which version is meant, and that another one is signed changes nothing
    let path = with_signatures(&[0]);
    let new = image.root_hashes[1].to_string();
    verify(&path, &[&certificate[..], &["--root-hash", &new]].concat(), 0, "VERIFIED ");
    verify(&path, &[&signed[..], &["--root-hash", &new]].concat(), 1, "REFUSED ");
}

#[test]
fn signature_beside_a_bare_image() {
    let Some(keys) = Keys::new() else { return };
    let certificate = keys.trusted();
    let none = keys.none();
    let data = erofs(20, 1);
    let (root_hash, tree) = hash_tree(&data);
    let folder = Folder::new();
    let path = folder.write("image.raw", &data);
    folder.write("image.verity", &tree);
    folder.write("image.roothash", root_hash.to_string().as_bytes());
    folder.write("image.roothash.p7s", &keys.sign("signer", &root_hash));

    let ended = verify(&path, &["--certificate", &certificate], 0, "VERIFIED ");
    assert!(ended.stdout.contains("signature in a file beside the image: verified, by "), "{ended:?}");
    let signed = ["--certificate", &certificate, "--image-policy", "root=signed"];
    verify(&path, &signed, 0, "VERIFIED ");
    verify(&path, &["--certificate", &none], 3, "INTACT ONLY ");
    // the root hash beside the image is the word of who could write the image, and now it is another one
    folder.write("image.roothash", "07".repeat(32).as_bytes());
    verify(&path, &["--certificate", &certificate], 1, "NOT PROVEN ");
}

/// A root hash for usr opens no root file system, which is what an image without partitions is.
#[test]
fn a_root_hash_for_usr_beside_a_bare_image() {
    let folder = Folder::new();
    let data = erofs(20, 1);
    let (root_hash, tree) = hash_tree(&data);
    let hex = root_hash.to_string();
    let path = folder.write("image.raw", &data);
    folder.write("image.verity", &tree);
    folder.write("image.usrhash", hex.as_bytes());
    let (root, usr) = (["--root-hash", hex.as_str()], ["--usr-hash", hex.as_str()]);
    for (policy, root_code, usr_code) in [("root=verity", 0, 1), ("root=unprotected", 1, 0), ("*", 0, 0)] {
        for (given, code) in [(root, root_code), (usr, usr_code)] {
            let ended = ddi(["policy", "check", policy, &path].iter().chain(&given));
            assert_eq!(ended.code, Some(code), "{policy} {given:?}: {ended:?}");
        }
    }
    // each block is as it should be in a /usr, and that is all that is said
    let ended = verify(&path, &usr, 0, "VERIFIED ");
    assert!(
        ended.first_line().ends_with(": every block of usr matches the root hash that you gave"),
        "{ended:?}"
    );
    let required = ["--image-policy", "root=verity"];
    verify(&path, &[&usr[..], &required].concat(), 1, "REFUSED ");
    verify(&path, &[&root[..], &required].concat(), 0, "VERIFIED ");
    let read = |given: &[&str]| {
        ddi(["read", &path, "--partition", "root", "--output", "/dev/null"].iter().chain(given))
    };
    assert_eq!((read(&root).code, read(&usr).code, read(&usr[..0]).code), (Some(0), Some(1), Some(1)));
    // the file system of the test is a superblock alone; it is not even looked at
    let ended = ddi(["ls", &path, "/"].iter().chain(&usr));
    assert!(
        ended.code == Some(1) && ended.stderr.contains("no usr partition for the root hash"),
        "{ended:?}"
    );
}

/// Beside a proven root: one that another machine would use, and all else that would be mounted.
#[test]
fn s7_verified_does_not_keep_quiet() {
    let folder = Folder::new();
    let build = |others: &[&str]| {
        let image = ImageBuilder::new().verity("root-x86-64", "os_1", erofs(20, 1));
        let image =
            others.iter().fold(image, |image, kind| image.partition(kind, "evil", erofs(20, 9))).build();
        (folder.write("image.raw", &image.bytes), image.root_hashes[0].to_string())
    };
    let (path, root) = build(&["root-arm64"]);
    let given = ["--root-hash", root.as_str()];
    let told =
        "  not proven: partition 4 (root arm64): not protected, and used by machines of that architecture\n";
    let ended = verify(&path, &given, 1, "NOT PROVEN ");
    assert!(ended.stdout.contains(told) && ended.stdout.contains("--architecture"), "{ended:?}");
    let json = ddi(["verify", "--json", &path].iter().chain(&given)).json();
    assert_eq!((&json["exitStatus"], &json["unproven"][0]["exposed"]), (&1.into(), &true.into()), "{json}");
    let one = ["--root-hash", &root, "--architecture", "x86-64"];
    let ended = verify(&path, &one, 0, "VERIFIED ");
    assert!(ended.stdout.contains(told), "{ended:?}");
    for (policy, args, code) in [
        ("root=verity", &given[..], 1),
        ("root=verity", &one[..], 0),
        ("root=verity+unprotected", &given[..], 0),
    ] {
        let ended = ddi(["policy", "check", policy, &path].iter().chain(args));
        assert_eq!(ended.code, Some(code), "{policy} {args:?}: {ended:?}");
        assert!(ended.stdout.contains(told), "{ended:?}");
        if code == 1 {
            assert!(ended.first_line().ends_with("not met on machines of another architecture"), "{ended:?}");
        }
    }

    let kinds = ["home", "srv", "var", "tmp", "xbootldr", "esp", "swap"];
    let (path, root) = build(&kinds);
    let ended = verify(&path, &["--root-hash", &root], 0, "VERIFIED ");
    let json = ddi(["verify", "--json", &path, "--root-hash", &root]).json();
    for (number, kind) in (4..).zip(kinds) {
        let told = format!("  not proven: partition {number} ({kind}): used, and nothing of it is proven\n");
        assert!(ended.stdout.contains(&told), "{told}: {ended:?}");
        let place = usize::try_from(number - 4).unwrap();
        assert_eq!(json["unproven"][place]["designator"], kind);
    }
    let ended = ddi(["policy", "check", "root=verity", &path, "--root-hash", &root]);
    let told = "  not proven: partition 4 (home): left alone by the policy, and nothing of it is proven\n";
    assert!(ended.code == Some(0) && ended.stdout.contains(told), "{ended:?}");
}

/// Of what UEFI forbids and libblkid does not ask, systemd is not said to refuse it; and the model has its name.
#[test]
fn f3_systemd_is_not_blamed_for_our_rules() {
    let folder = Folder::new();
    let good = ImageBuilder::new().partition("root-x86-64", "os", erofs(20, 1)).build();
    let path = folder.write("good.raw", &good.bytes);
    let ended = ddi(["policy", "check", "*", &path, "--systemd-reading"]);
    assert!(ended.stdout.contains("systemd-dissect --validate, as of version 261"), "{ended:?}");
    let json = ddi(["policy", "check", "*", &path, "--json"]).json();
    assert_eq!(json["systemdReading"]["models"], "systemd-dissect --validate 261");
    assert_eq!(json["systemdReading"]["accepts"], true);

    // two partitions with one GUID
    let guid = "5a3d1e00-0000-4000-8000-000000000011".parse().unwrap();
    let twice = ImageBuilder::new()
        .with_guid("root-x86-64", guid, "os", erofs(20, 1))
        .partition("home", "home", erofs(20, 2))
        .build();
    let mut bytes = twice.bytes;
    let end = bytes.len();
    for (header, array) in [(512, 1024), (end - 512, end - 33 * 512)] {
        let own = bytes[array + 16..array + 32].to_vec();
        bytes[array + 128 + 16..array + 128 + 32].copy_from_slice(&own);
        let crc = crc32(&bytes[array..array + 128 * 128]);
        bytes[header + 88..header + 92].copy_from_slice(&crc.to_le_bytes());
        bytes[header + 16..header + 20].fill(0);
        let crc = crc32(&bytes[header..header + 92]);
        bytes[header + 16..header + 20].copy_from_slice(&crc.to_le_bytes());
    }
    let path = folder.write("twice.raw", &bytes);
    let ended = ddi(["inspect", &path]);
    assert!(
        ended.code == Some(1) && ended.stdout.contains("by UEFI this image is not to be used"),
        "{ended:?}"
    );
    assert!(!ended.stdout.contains("261 would not use"), "{ended:?}");
    let json = ddi(["policy", "check", "*", &path, "--json"]).json();
    assert!(json["systemdReading"]["accepts"].is_null(), "{json}");
    assert_eq!(json["systemdReading"]["error"]["code"], "gpt-duplicate-guid");
    assert!(json["systemdReading"]["error"]["errno"].is_null(), "{json}");
    // it was read, and is refused for what was found: that is an answer
    let ended = ddi(["policy", "check", "*", &path]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.first_line().ends_with(": the image is refused as a whole"), "{ended:?}");
    let ended = ddi(["ls", &path]);
    assert!(
        ended.code == Some(1) && ended.stderr.contains("by a rule of UEFI the image is refused: "),
        "{ended:?}"
    );
    let json = ddi(["check", "golden", "--json", &path]).json();
    assert_eq!(json["findings"][0]["code"], "image-refused");
    assert_eq!(json["findings"][0]["rule"], "UEFI");
}

#[test]
fn each_role_is_used_by_its_own_root_hash() {
    let folder = Folder::new();
    let image = ImageBuilder::new()
        .verity("root-x86-64", "os_1", erofs(20, 1))
        .verity("usr-x86-64", "os_1", erofs(20, 2))
        .verity("usr-x86-64", "os_2", erofs(20, 3))
        .build();
    let path = folder.write("image.raw", &image.bytes);
    let [root, usr, _] = [0, 1, 2].map(|set: usize| image.root_hashes[set].to_string());
    let given = ["--root-hash", root.as_str(), "--usr-hash", &usr];
    verify(&path, &given, 0, "VERIFIED ");
    let inspected = ddi(["inspect", "--json", &path].iter().chain(&given)).json();
    let selected: Vec<_> = (inspected["verity"].as_array().unwrap().iter())
        .map(|set| (set["data"]["partition"].as_u64().unwrap(), set["selected"].as_bool().unwrap()))
        .collect();
    assert_eq!(selected, [(1, true), (4, true), (7, false)]);
    // systemd refuses trees for both as a whole: everything could be looked at
    let ended = verify(&path, &[&given[..], &["--image-policy", "*"]].concat(), 1, "REFUSED ");
    assert!(
        ended.first_line().contains("every block matches, but the image is refused as a whole"),
        "{ended:?}"
    );
    let ended = ddi(["policy", "check", "*", &path].iter().chain(&given));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.first_line().ends_with(": the image is refused as a whole"), "{ended:?}");
    assert!(ended.stdout.contains("  as a whole: verity partitions for both root and usr\n"), "{ended:?}");
}

#[test]
fn hash_blocks_are_no_data() {
    let folder = Folder::new();
    let data = erofs(256, 1);
    let (root_hash, tree) = hash_tree(&data);
    let (confused, above) = hash_tree(&tree[2 * 4096..4 * 4096]);
    assert_eq!(confused, root_hash);
    let (data_guid, hash_guid) = verity_guids(root_hash.as_bytes()).unwrap();
    let image = ImageBuilder::new()
        .with_guid("root-x86-64", data_guid, "os", tree[2 * 4096..4 * 4096].to_vec())
        .with_guid("root-x86-64-verity", hash_guid, "os", above)
        .build();
    let path = folder.write("image.raw", &image.bytes);
    let root_hash = root_hash.to_string();
    for (command, args) in
        [("verify", &[][..]), ("inspect", &[]), ("inspect", &["--image-policy", "root=verity"])]
    {
        let ended = ddi([command, &path, "--root-hash", &root_hash].iter().chain(args));
        assert_eq!(ended.code, Some(1), "{command} {args:?}: {ended:?}");
    }
    let json =
        ddi(["inspect", "--json", &path, "--root-hash", &root_hash, "--image-policy", "root=verity"]).json();
    assert_eq!(json["imagePolicy"]["ifProven"][0]["proof"], "none", "{json:#}");
}

#[test]
fn what_systemd_repart_signed() {
    const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sample.raw");
    const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sample.crt");
    let ended =
        verify(SAMPLE, &["--certificate", CERTIFICATE, "--image-policy", "root=signed"], 0, "VERIFIED ");
    assert!(ended.first_line().ends_with("matches a root hash signed by CN=ddi sample"), "{ended:?}");
    let ended = ddi(["read", SAMPLE, "-p", "root", "--certificate", CERTIFICATE, "-o", "/dev/null"]);
    assert!(ended.ok() && ended.stderr.is_empty(), "{ended:?}");
}

#[test]
fn certificates_that_are_none() {
    let folder = Folder::new();
    let image = ImageBuilder::new().verity("root-x86-64", "os", erofs(20, 1)).build();
    let path = folder.write("image.raw", &image.bytes);
    for (name, content) in [("empty.pem", &b""[..]), ("text.pem", b"no certificate")] {
        let file = folder.write(name, content);
        let ended = ddi(["verify", &path, "--certificate", &file]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.starts_with("ddi: error: ") && ended.stdout.is_empty(), "{ended:?}");
    }
    let absent = folder.file("absent");
    for command in ["verify", "inspect"] {
        assert_eq!(ddi([command, &path, "--certificate", &absent]).code, Some(2));
    }
    // in a folder, what is no certificate is passed over, aloud
    folder.write("broken.crt", b"no certificate");
    let here = folder.path().display().to_string();
    let ended = ddi(["verify", &path, "--certificate", &here]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("broken.crt"), "{ended:?}");
}

/// As people make them with openssl, each a little wrong: what it is, is told, and none of them vouches.
#[test]
fn f9_signatures_as_people_make_them() {
    let Some(keys) = Keys::new() else { return };
    let (root_hash, tree) = hash_tree(&erofs(8, 1));
    let text = root_hash.to_string();
    let file = |name: &str| keys.folder.file(name);
    let openssl = |content: &[u8], args: &[&str]| {
        let (input, output) = (keys.folder.write("signed", content), file("made"));
        let _ = fs::remove_file(&output);
        run("openssl", args.iter().copied().chain(["-in", &input, "-out", &output])).unwrap();
        fs::read(output).unwrap()
    };
    let (key, certificate) = (file("signer.key"), file("signer.pem"));
    let smime = |content: &[u8], more: &[&str]| {
        let args = ["smime", "-sign", "-binary", "-signer", &certificate, "-inkey", &key];
        openssl(content, &args.into_iter().chain(more.iter().copied()).collect::<Vec<_>>())
    };
    let der: &[&str] = &["-noattr", "-nocerts", "-outform", "der"];
    let good = smime(text.as_bytes(), der);
    let upper = text.to_uppercase();
    let base64 = openssl(&good, &["base64", "-A"]);
    let signed = "what was signed is the root hash";
    let (line, not_der) = ("with an end of line behind it", "expected DER");
    let cases: Vec<(Vec<u8>, i32, String)> = vec![
        (good, 0, "verified, by ".into()),
        (smime(text.as_bytes(), &["-outform", "der"]), 0, "verified, by ".into()),
        (smime(format!("{text}\n").as_bytes(), der), 3, format!("{signed} {line}")),
        (smime(format!("{text}\r\n").as_bytes(), der), 3, format!("{signed} {line}")),
        // with attributes, by their digest
        (smime(format!("{text}\n").as_bytes(), &["-outform", "der"]), 3, format!("{signed} {line}")),
        (smime(root_hash.as_bytes(), der), 3, format!("{signed} as bytes, not as text")),
        (smime(upper.as_bytes(), der), 3, format!("{signed} in upper case")),
        (smime(format!("{upper}\n").as_bytes(), der), 3, format!("{signed} in upper case")),
        (smime(b"another", der), 3, "[signature-bad]".into()),
        (smime(text.as_bytes(), &["-outform", "pem"]), 3, format!("is PEM, {not_der}")),
        (smime(text.as_bytes(), &[]), 3, format!("is a mail in S/MIME, {not_der}")),
        (base64, 3, "is in base64, expected DER itself [signature-not-der]".into()),
    ];
    for (pkcs7, code, says) in cases {
        let folder = Folder::new();
        let path = folder.write("image.raw", &erofs(8, 1));
        folder.write("image.verity", &tree);
        folder.write("image.roothash", text.as_bytes());
        folder.write("image.roothash.p7s", &pkcs7);
        let ended = ddi(["verify", &path, "--certificate", &keys.trusted()]);
        assert_eq!(ended.code, Some(code), "{says}: {ended:?}");
        assert!(ended.stdout.contains(&says), "{says}: {ended:?}");
    }
}

/// systemd goes by no chain, nor do we: that is told where the issuer is what is trusted.
#[test]
fn f9_a_ca_is_trusted_and_not_the_leaf() {
    let Some(keys) = Keys::new() else { return };
    let file = |name: &str| keys.folder.file(name);
    let (root_hash, tree) = hash_tree(&erofs(8, 1));
    let (request, leaf) = (file("stranger.csr"), file("leaf.pem"));
    let (ca, ca_key) = (file("signer.pem"), file("signer.key"));
    let sign = ["x509", "-req", "-in", &request, "-CA", &ca, "-CAkey", &ca_key, "-set_serial", "9"];
    run("openssl", sign.into_iter().chain(["-out", &leaf])).unwrap();
    fs::copy(&leaf, file("stranger.pem")).unwrap();
    let folder = Folder::new();
    let path = folder.write("image.raw", &erofs(8, 1));
    folder.write("image.verity", &tree);
    folder.write("image.roothash", root_hash.to_string().as_bytes());
    folder.write("image.roothash.p7s", &keys.sign("stranger", &root_hash));
    let ended = ddi(["verify", &path, "--certificate", &ca]);
    let says = "CN=signer,O=ddi is that of the issuer: what counts is the signer's own";
    assert!(ended.code == Some(3) && ended.stdout.contains(says), "{ended:?}");
    let ended = ddi(["verify", &path, "--certificate", &leaf]);
    assert!(ended.ok() && !ended.stdout.contains("issuer"), "{ended:?}");
    // a stranger's issuer is nobody
    let ended = ddi(["verify", &path, "--certificate", &file("expired.pem")]);
    assert!(ended.code == Some(3) && !ended.stdout.contains(says), "{ended:?}");
}

/// F3: the signatures of two versions are swapped: each is good, and systemd takes the one that is for the other data.
#[test]
fn f3_a_signature_of_other_data_is_told() {
    let Some(corpus) = crate::support::corpus() else { return };
    let mut bytes = fs::read(corpus.join("images/ab.raw")).unwrap();
    let truth: serde_json::Value =
        serde_json::from_slice(&fs::read(corpus.join("expected/ab.json")).unwrap()).unwrap();
    let at = |number: u64| {
        let partitions = truth["partitions"].as_array().unwrap();
        let found = partitions.iter().find(|part| part["number"] == number).unwrap();
        let field = |name: &str| found[name].as_u64().unwrap() as usize;
        field("offset")..field("offset") + field("size")
    };
    let (first, second) = (bytes[at(4)].to_vec(), bytes[at(7)].to_vec());
    let folder = Folder::new();
    let good = folder.write("good.raw", &bytes);
    bytes[at(4)].copy_from_slice(&second);
    bytes[at(7)].copy_from_slice(&first);
    let swapped = folder.write("swapped.raw", &bytes);
    let certificate = corpus.join("keys/a.crt.pem");
    let inspect = |path: &str| {
        let json = ddi(["inspect", path, "--json", "--certificate", certificate.to_str().unwrap()]).json();
        let findings = json["findings"].as_array().unwrap().clone();
        findings.into_iter().find(|finding| finding["code"] == "signature-of-other-data")
    };
    assert_eq!(inspect(&good), None);
    let finding = inspect(&swapped).unwrap();
    assert_eq!((&finding["partition"], &finding["severity"]), (&7.into(), &"error".into()));
    assert_eq!(finding["authority"], "systemd 257");
}
