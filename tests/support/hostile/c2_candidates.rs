//! Several partitions that could be meant, and sets whose parts do not belong together.

use ddi_gpt::Guid;

use super::Class;
use super::base::{GOOD, Part, Verity, disk};
use crate::support::image::{erofs, signature_partition};

pub(crate) fn images() -> Class {
    let mut class = Class::new("C2");
    let fs = erofs(4, 5);
    let other = Verity::erofs(41);
    let generic = |label: &str| Part::new("linux-generic", label, &fs);
    let root = GOOD.parts("root-x86-64", "os_1");
    let usr = other.parts("usr-x86-64", "os_1");
    let ask = format!("verify --root-hash {}", GOOD.hex());

    let mut inspect = |what: &str, parts: &[Part], status, answer| {
        class.add(what, disk(parts), "inspect", status, answer);
    };
    inspect(
        "two generic partitions, each of which could be root",
        &[generic("a"), generic("b")],
        1,
        "several-generic-roots",
    );
    let many: Vec<_> = (0..100).map(|i| generic(&format!("p{i}"))).collect();
    inspect("a hundred generic partitions", &many, 1, "several-generic-roots");
    inspect("hash trees for root and for usr", &[&root[..], &usr].concat(), 1, "root-and-usr-verity");
    let plain_usr = Part::new("usr-x86-64", "os_1", &fs);
    inspect(
        "a hash tree for root, and a usr without",
        &[&root[..], &[plain_usr]].concat(),
        1,
        "root-verity-with-usr",
    );
    let arm_usr = Part::new("usr-arm64", "os_1", &fs);
    let plain_root = Part::new("root-x86-64", "os_1", &fs);
    inspect("root for x86-64, usr for arm64", &[plain_root.clone(), arm_usr], 1, "architectures-differ");
    inspect("a hash tree without data", &root[1..], 1, "verity-without-data");
    let signature =
        Part::new("root-x86-64-verity-sig", "os_1_s", &signature_partition(&GOOD.root, &[0x30, 0]));
    inspect("a signature alone", std::slice::from_ref(&signature), 1, "verity-without-data");
    inspect(
        "data and signature without hash tree",
        &[root[0].clone(), signature.clone()],
        1,
        "signature-without-verity",
    );
    inspect(
        "nothing but a partition of unknown type",
        &[Part::new("user-home", "x", &fs)],
        1,
        "nothing-usable",
    );
    let mut unused = root.clone();
    unused[0] = Part::new("root-x86-64", "_empty", &GOOD.data);
    inspect("the data is a free slot by its label, its hash tree is not", &unused, 1, "verity-without-data");

    // A/B slots of which systemd takes the data of one and the tree of the other
    let a = GOOD.parts("root-x86-64", "os_1");
    let b = other.parts("root-x86-64", "os_2");
    let mixed = [a[0].clone().labelled("os_3"), a[1].clone(), b[0].clone(), b[1].clone()];
    inspect("the data of the older version is labelled as the newest", &mixed, 1, "versions-mixed");
    let same = [a.clone(), other.parts("root-x86-64", "os_1")].concat();
    inspect("two sets with the same label", &same, 0, "not-chosen");
    let foreign = [a[0].clone(), GOOD.parts("root-arm64", "os_1")[1].clone()];
    inspect("the data is for x86-64, its tree for arm64", &foreign, 1, "verity-without-data");

    // the halves of the root hash are the GUIDs
    let mut wrong = a.clone();
    wrong[0] = wrong[0].clone().guid(Guid::from_u128(77));
    inspect("the data has a GUID of its own", &wrong, 1, "binding-tree");
    let mut wrong = a.clone();
    wrong[1] = wrong[1].clone().guid(Guid::from_u128(77));
    inspect("the hash tree has a GUID of its own", &wrong, 1, "binding-tree");
    let crossed = [a[0].clone(), a[1].clone().content(&other.hash)];
    inspect("the tree of another image under the GUID of this one", &crossed, 1, "binding-tree");
    let signed = |root| Part::new("root-x86-64-verity-sig", "os_1_s", &signature_partition(root, &[0x30, 0]));
    inspect(
        "the signature names another root hash",
        &[&a[..], &[signed(&other.root)]].concat(),
        1,
        "binding-guid",
    );

    // under a root hash that is given
    let mut verify = |what: &str, parts: &[Part], status, answer| {
        class.add(what, disk(parts), &ask, status, answer);
    };
    verify("the partitions of the root hash that was given are not there", &b, 1, "no-data-for-root-hash");
    verify("only the data of the root hash that was given is there", &a[..1], 1, "no-hash-for-root-hash");
    verify(
        "only the tree of the root hash that was given is there",
        &[a[1].clone(), b[0].clone()],
        1,
        "no-data-for-root-hash",
    );
    verify(
        "a usr partition under the root hash for root",
        &GOOD.parts("usr-x86-64", "os_1"),
        1,
        "no-data-for-root-hash",
    );
    let newer = [&a[..], &other.parts("root-x86-64", "os_9")].concat();
    verify("a newer version beside the one that was asked for", &newer, 0, "trusted-and-proven");
    let bait = [&[Part::new("root-x86-64", "os_9", &fs)], &a[..]].concat();
    verify("an unprotected root with a newer label", &bait, 0, "trusted-and-proven");
    class.add("two whole versions, nothing given", disk(&newer), "verify", 3, "intact-unvouched");
    class.add("an unprotected root alone", disk(&[plain_root]), "verify", 1, "unprotected");
    class.add(
        "an unprotected root, and a root hash for something else",
        disk(&[Part::new("root-x86-64", "os_9", &fs)]),
        &ask,
        1,
        "no-data-for-root-hash",
    );
    for (policy, parts, answer) in [
        ("root=signed", &a[..], "policy-protection"),
        ("root=signed", &a[..1], "policy-protection"),
        ("root=verity", &a[..1], "policy-protection"),
        ("root=absent", &a[..], "policy-present"),
        ("usr=verity", &a[..], "policy-missing"),
        ("root=encrypted", &a[..], "policy-encryption"),
    ] {
        class.add(
            format!("{} partitions under the policy {policy}", parts.len()),
            disk(parts),
            &format!("verify --image-policy {policy}"),
            1,
            answer,
        );
    }
    class
}
