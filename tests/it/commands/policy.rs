//! `ddi policy`: what a policy means, and whether an image meets it.

use crate::support::image::{ImageBuilder, erofs};
use crate::support::{Folder, ddi, require_tool, run, say_skipped};

#[test]
fn shown_as_systemd_shows_it() {
    // systemd-analyze 257, image-policy root=signed+read-only-on+growfs-off:usr=verity+read-only-on:srv=unused:=absent
    let shown = "\
Analyzing policy: root=signed+read-only-on+growfs-off:usr=verity+read-only-on:srv=unused:=absent
       Long form: root=signed+read-only-on+growfs-off:usr=verity+read-only-on+growfs-off+growfs-on:srv=unused:=absent

PARTITION       MODE        READ-ONLY GROWFS
root            signed      yes       no
usr             verity      yes       -
home            absent      -         -
srv             unused      -         -
esp             absent      -         -
xbootldr        absent      -         -
swap            absent      -         -
root-verity     unprotected yes       no
usr-verity      unprotected yes       -
root-verity-sig unprotected yes       no
usr-verity-sig  absent      -         -
tmp             absent      -         -
var             absent      -         -
default         absent      -         -
";
    let policy =
        "srv=unused:root=growfs-off+signed+read-only-on:usr=verity+read-only-on+growfs-on+growfs-off:=absent";
    assert_eq!(ddi(["policy", "show", policy]).unwrap(), shown);
    let json = ddi(["policy", "show", policy, "--json"]).json();
    assert_eq!(
        json["designators"][0]["effective"],
        serde_json::json!(["signed", "read-only-on", "growfs-off"])
    );
    assert_eq!(json["designators"][7]["written"], serde_json::Value::Null);
}

#[test]
fn agrees_with_systemd_analyze() {
    if !require_tool("systemd-analyze") {
        return;
    }
    let asked = run("systemd-analyze", ["image-policy", "*"]);
    if !asked.ok() {
        // 252, the one of CI, does not know it yet
        assert!(asked.stderr.contains("Unknown command verb"), "{asked:?}");
        return say_skipped("this systemd-analyze has no image-policy");
    }
    // a flag that systemd has since 260
    let older = |text: String| {
        let text = text.replace("+encryptedwithintegrity", "");
        // the column is as wide as its widest cell
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let policies = [
        "",
        "-",
        "*",
        "~",
        "swap=open",
        "root=signed",
        "root=verity+signed:=absent",
        "=",
        "=ignore",
        "home=verity",
        "root=ignore:=ignore",
        "root=verity:root-verity-sig=unused+absent",
        "usr=verity+read-only-on:swap=encrypted",
        "root=encrypted+read-only-off:srv=encrypted+absent:swap=absent",
        "root=read-only-on:=open",
        "@sysext",
        "@sysext-strict",
        "@confext",
        "@container",
        "@host",
        "@service",
    ];
    for policy in policies {
        let theirs = run("systemd-analyze", ["image-policy", policy]).unwrap();
        assert_eq!(older(ddi(["policy", "show", policy]).unwrap()), older(theirs), "{policy}");
    }
}

#[test]
fn names_and_mistakes() {
    let named = ddi(["policy", "show", "sysext"]).unwrap();
    assert_eq!(named, ddi(["policy", "show", "@sysext"]).unwrap());
    assert!(named.starts_with("Analyzing policy: root=verity+signed+"), "{named}");
    for policy in ["nonsense", "root", "root=shiny", "attic=open", "root=open:root=absent", "root=open:"] {
        let ended = ddi(["policy", "show", policy]);
        assert_eq!(ended.code, Some(2), "{policy}: {ended:?}");
        assert!(ended.stderr.starts_with("ddi: error: ") && ended.stdout.is_empty(), "{ended:?}");
    }
}

#[test]
fn checked_by_what_was_proven() {
    let folder = Folder::new();
    let image = ImageBuilder::new()
        .partition("esp", "esp", vec![0; 1 << 16])
        .verity("root-x86-64", "os_1", erofs(20, 1))
        .build();
    let path = folder.write("image.raw", &image.bytes);
    let root_hash = image.root_hashes[0].to_string();
    let damaged = folder.write("damaged.raw", &image.damage(image.partitions[1].offset + 9 * 4096).bytes);
    let none = folder.file("none");
    std::fs::create_dir(&none).unwrap();

    // policy; exit status without and with the root hash, and for the damaged image with it
    for (policy, codes) in [
        ("*", [0, 0, 0]),
        ("~", [1, 1, 1]),
        ("-", [1, 1, 1]),
        // with a root hash for a tree that the policy says to leave alone, there is nothing to use it on
        ("root=unprotected", [0, 1, 1]),
        ("root=verity", [1, 0, 1]),
        ("root=verity+unprotected", [0, 0, 0]),
        ("root=signed", [1, 1, 1]),
        ("root=encrypted", [1, 1, 1]),
        // one of two that are both not so
        ("root=signed+encrypted", [1, 1, 1]),
        ("root=absent", [1, 1, 1]),
        ("root=verity:esp=absent", [1, 1, 1]),
        ("root=verity:home=unprotected", [1, 1, 1]),
        ("root=verity+read-only-on", [1, 0, 1]),
        ("root=verity+read-only-off", [1, 1, 1]),
        ("root=verity:=absent", [1, 1, 1]),
        ("sysext", [0, 0, 0]),
        ("sysext-strict", [1, 1, 1]),
    ] {
        let given = [&["--root-hash", root_hash.as_str()][..], &["--certificate", &none]].concat();
        for ((path, args), code) in
            [(&path, &given[2..]), (&path, &given[..]), (&damaged, &given[..])].into_iter().zip(codes)
        {
            let ended = ddi(["policy", "check", policy, path].iter().chain(args));
            assert_eq!(ended.code, Some(code), "{policy} {path} {args:?}: {ended:?}");
            assert!(ended.stdout.starts_with(if code == 0 { "ALLOWED " } else { "REFUSED " }), "{ended:?}");
        }
    }
    // 2: could not tell
    let junk = folder.write("junk.raw", &[7; 100_000]);
    for path in [&junk, &folder.file("absent")] {
        let ended = ddi(["policy", "check", "*", path]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
    }
    let json = ddi(["policy", "check", "root=signed", &path, "--root-hash", &root_hash, "--json"]).json();
    assert_eq!(json["verdict"], "refused");
    assert_eq!(json["systemdReading"]["accepts"], true, "there is a signature partition");
    assert_eq!(json["designators"][0]["violation"]["code"], "policy-protection");
    assert_eq!(json["designators"][0]["proof"], "root-hash");
}
