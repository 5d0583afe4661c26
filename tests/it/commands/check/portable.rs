//! `ddi check portable`.

use super::{assert_exit, codes, corpus, image, image_of, writable_image_of};
use crate::support::image::ImageBuilder;
use crate::support::{Folder, ddi};

const UNIT: &str = "[Service]\nExecStart=/bin/true\n";

/// The files of an image that is accepted as `foo.raw`.
const GOOD: [(&str, &str); 10] = [
    ("/proc/", ""),
    ("/sys/", ""),
    ("/dev/", ""),
    ("/run/", ""),
    ("/tmp/", ""),
    ("/var/tmp/", ""),
    ("/etc/machine-id", ""),
    ("/etc/resolv.conf", ""),
    ("/usr/lib/os-release", "ID=a\nVERSION_ID=1\n"),
    ("/usr/lib/systemd/system/foo.service", UNIT),
];

#[test]
fn images_of_the_corpus() {
    let Some(corpus) = corpus() else { return };
    let check = |name: &str, more: &[&str]| {
        ddi(["check", "portable", "--json", &image(&corpus, name)].iter().chain(more))
    };
    let ended = check("ext-portable", &[]);
    assert_exit(&ended, 0);
    assert_eq!(codes(&ended), [""; 0]);
    let value = ended.json();
    assert_eq!(value["facts"]["units"].as_array().unwrap().len(), 5);
    assert_eq!(value["facts"]["log-fields"][1], "PORTABLE_NAME_AND_VERSION=demoos_1.0");

    let ended = check("ext-portable", &["other"]);
    assert_exit(&ended, 1);
    assert_eq!(codes(&ended), ["prefix-not-allowed"]);
    // named otherwise than its units
    assert_eq!(codes(&check("ext-portable-bare", &[])), ["prefix-not-allowed", "no-units"]);
    // for the level of another system than this, which has a version alone
    let ended = check("ext-portable", &["--extension", &image(&corpus, "ext-sys")]);
    assert_exit(&ended, 1);
    assert_eq!(codes(&ended), ["no-version-id"]);
    // any system, but only the root image's own units
    let ended = check("ext-portable", &["--extension", &image(&corpus, "ext-conf")]);
    assert_exit(&ended, 0);
    // no operating system at all
    let ended = check("ext-sys", &[]);
    assert_exit(&ended, 1);
    assert!(codes(&ended).contains(&"no-os-release".to_owned()));
}

/// Each is [`GOOD`] without one file, or with another.
#[test]
fn each_rule_broken_once() {
    let without = |path: &str| GOOD.into_iter().filter(|(known, _)| *known != path).collect::<Vec<_>>();
    let with = |path: &'static str, content: &'static str| {
        without(path).into_iter().chain([(path, content)]).collect::<Vec<_>>()
    };
    let os = "/usr/lib/os-release";
    let unit = "/usr/lib/systemd/system/foo.service";
    for (files, expected, code) in [
        (GOOD.to_vec(), &[][..], 0),
        (without(os), &["no-os-release"], 1),
        (without(unit), &["no-units"], 1),
        (without("/proc/"), &["no-mount-point"], 1),
        (without("/var/tmp/"), &["no-mount-point"], 1),
        (without("/etc/machine-id"), &["no-mount-point"], 1),
        (without("/etc/resolv.conf"), &["no-mount-point"], 0),
        (with("/etc/resolv.conf", "->../run/stub"), &["no-mount-point"], 0),
        (with("/etc/os-release", "->../usr/lib/os-release"), &[], 0),
        (with(os, "NAME=a\n"), &["no-id"], 1),
        (with(os, "ID=a\nPORTABLE_PREFIXES=bar\n"), &["prefix-not-allowed"], 1),
        (with(os, "ID=a\nPORTABLE_SCOPE=user\n"), &["other-scope"], 1),
        (with(os, "ID=a\nPORTABLE_SCOPE=nobody\n"), &["invalid-scope"], 1),
        (with("/etc/systemd/system/foo.service", ""), &["unit-empty"], 0),
        (with("/etc/systemd/system/foo.service", "->/dev/null"), &["unit-masked"], 0),
        (with("/etc/systemd/system/foo.service", "->../gone"), &["unit-link-broken"], 0),
        (with("/etc/systemd/system/foo-x.service", "->/usr/lib/x"), &["unit-link-absolute"], 0),
        (with("/etc/systemd/system/foo-x.service", "->../system"), &["unit-not-a-file"], 1),
        (with("/etc/systemd/system/foo@.service", UNIT), &[], 0),
    ] {
        let folder = Folder::new();
        let Some(path) = image_of(&folder, "foo.raw", &files) else { return };
        let ended = ddi(["check", "portable", "--json", &path]);
        assert_exit(&ended, code);
        assert_eq!(codes(&ended), expected, "{files:?}");
    }
}

/// What is mounted over is made where that is possible.
#[test]
fn a_writable_image_needs_no_mount_points() {
    let folder = Folder::new();
    let Some(path) = writable_image_of(&folder, "foo.raw", &GOOD[8..]) else { return };
    let ended = ddi(["check", "portable", "--json", &path]);
    assert_exit(&ended, 0);
    assert_eq!(codes(&ended), ["no-mount-point"; 8]);
}

/// The attribute of its partition says so too.
#[test]
fn a_read_only_partition_is_not_writable() {
    let folder = Folder::new();
    let Some(root) = writable_image_of(&folder, "root", &GOOD[8..]) else { return };
    let root = std::fs::read(root).unwrap();
    let check = |builder: ImageBuilder| {
        let path = folder.write("foo.raw", &builder.build().bytes);
        ddi(["check", "portable", "--json", "--architecture", "x86-64", &path])
    };
    let builder = || ImageBuilder::new().partition("root-x86-64", "foo", root.clone());
    assert_exit(&check(builder()), 1);
    assert_exit(&check(builder().writable()), 0);
}

#[test]
fn prefixes_and_scopes_of_the_command_line() {
    let folder = Folder::new();
    let Some(path) = image_of(&folder, "foo_1.2.raw", &GOOD) else { return };
    let check = |more: &[&str]| ddi(["check", "portable", "--json", &path].iter().chain(more));
    assert_exit(&check(&[]), 0);
    assert_eq!(check(&[]).json()["facts"]["prefixes"][0], "foo");
    assert_exit(&check(&["bar", "foo"]), 0);
    assert_eq!(codes(&check(&["bar"])), ["no-units"]);
    assert_eq!(codes(&check(&["-"])), ["all-units"]);
    assert_eq!(codes(&check(&["--scope", "user"])), ["other-scope", "no-units"]);
}

/// F7: an extension is merged into the root image, and what it hides of that is told.
#[test]
fn f7_what_an_extension_hides_of_the_root_image() {
    let folder = Folder::new();
    let root: Vec<_> =
        GOOD.into_iter().chain([("/usr/bin/ls", "x"), ("/usr/sbin", "->bin"), ("/opt/", "")]).collect();
    let Some(root) = image_of(&folder, "foo.raw", &root) else { return };
    let release = ("/usr/lib/extension-release.d/extension-release.ext", "ID=_any\n");
    for (file, expected, code) in [
        ("/usr/bin/more", &[][..], 0),
        ("/usr/bin/ls", &["replaces-host-file"], 0),
        ("/usr/sbin/more", &["hides-host-link"], 1),
        ("/usr/bin/ls/more", &["hides-host-file"], 1),
    ] {
        let folder = Folder::new();
        let Some(extension) = image_of(&folder, "ext.raw", &[release, (file, "y")]) else { return };
        let ended = ddi(["check", "portable", "--json", &root, "--extension", &extension]);
        assert_exit(&ended, code);
        assert_eq!(codes(&ended), expected, "{file}");
        assert_eq!(ended.json()["facts"]["layers"][0], "/usr: the root image, ext");
    }
}
