use super::*;
use ddi_testing::memory::Memory;

#[test]
fn prefixes_of_file_names() {
    for (name, prefix) in [
        ("foo.raw", Some("foo")),
        ("foo", Some("foo")),
        ("foo_1.raw", Some("foo")),
        ("foo_1_2", Some("foo")),
        ("foo.raw.v", Some("foo")),
        ("foo.v", Some("foo")),
        ("foo.img", Some("foo.img")),
        ("foo.raw.xz", Some("foo.raw.xz")),
        ("foo-1.2.raw", Some("foo-1.2")),
        ("foo.raw_1", Some("foo.raw")),
        ("_1.raw", None),
        (".raw", None),
        ("..raw", None),
        ("a b.raw", None),
        ("a@b.raw", None),
        ("a:b.raw", None),
        ("ä.raw", None),
    ] {
        assert_eq!(portable_prefix(name).as_deref(), prefix, "{name}");
    }
}

#[test]
fn matching_of_units() {
    for (unit, prefixes, expected) in [
        ("foo.service", &["foo"][..], true),
        ("foo-bar.service", &["foo"], true),
        ("foo@.service", &["foo"], true),
        ("foo@x.service", &["foo"], true),
        ("foo.bar.timer", &["foo"], true),
        ("foo.service", &["foo.service"], true),
        ("foobar.service", &["foo"], false),
        ("foo_bar.service", &["foo"], false),
        ("foo.service", &["bar", "foo"], true),
        ("foo.service", &[], true),
        ("foo.mount", &[], false),
        ("foo.slice", &["foo"], false),
        ("foo.socket", &["foo"], true),
        ("foo.target", &["foo"], true),
        ("foo.path", &["foo"], true),
        ("foo.service.d", &["foo"], false),
        ("foo", &["foo"], false),
    ] {
        assert_eq!(portable_unit_matches(unit, prefixes), expected, "{unit} {prefixes:?}");
    }
    for (name, valid) in [
        ("a.service", true),
        ("a@.service", true),
        ("a@b.service", true),
        ("a\\x2d.service", true),
        ("@a.service", false),
        (".service", false),
        ("service", false),
        ("a b.service", false),
        ("ä.service", false),
    ] {
        assert_eq!(is_unit_name(name), valid, "{name}");
    }
    assert!(!is_unit_name(&format!("{}.service", "x".repeat(248))));
}

const UNIT: &str = "[Service]\nExecStart=/bin/true\n";

/// An image that is accepted as `foo.raw`, without its os-release.
fn bare() -> Memory {
    let mut memory = Memory::new();
    for path in DIRECTORIES {
        memory.dir(path);
    }
    memory.file("/etc/machine-id", "").file("/etc/resolv.conf", "")
}

fn good() -> Memory {
    bare()
        .file("/usr/lib/os-release", "ID=a\nVERSION_ID=1\n")
        .file("/usr/lib/systemd/system/foo.service", UNIT)
}

fn layer(name: &str, files: &'static Files) -> ExtensionImage<'static> {
    ExtensionImage {
        shown: name.into(),
        file_name: Some(name.into()),
        name: ddi_core::steps::image_name(name.as_ref()),
        files,
    }
}

fn files(memory: Memory) -> &'static Files {
    Box::leak(Box::new(Files::new(memory.tree(), Vec::new())))
}

fn check(
    name: &str,
    memory: Memory,
    extensions: Vec<(&str, Memory)>,
    prefixes: &[&str],
    scope: PortableScope,
) -> CheckReport {
    let extensions: Vec<_> =
        extensions.into_iter().map(|(name, memory)| layer(name, files(memory))).collect();
    let prefixes: Vec<_> = prefixes.iter().map(|prefix| (*prefix).to_owned()).collect();
    portable(&layer(name, files(memory)), &extensions, &prefixes, scope, "x86-64").unwrap()
}

fn codes(report: &CheckReport) -> Vec<&'static str> {
    report.findings.iter().map(|finding| finding.code).collect()
}

fn fact<'a>(report: &'a CheckReport, name: &str) -> &'a [String] {
    report.facts.iter().find(|(known, _)| *known == name).map_or(&[], |(_, values)| values)
}

#[test]
fn each_rule_broken_once() {
    let system = PortableScope::System;
    let with =
        |os: &str| bare().file("/usr/lib/os-release", os).file("/etc/systemd/system/foo.service", UNIT);
    let at = |path: &str| bare().file("/usr/lib/os-release", "ID=a\n").file(path, UNIT);
    let link = |target: &str| {
        bare().file("/usr/lib/os-release", "ID=a\n").link("/etc/systemd/system/foo.service", target)
    };
    for (name, memory, prefixes, scope, expected) in [
        ("foo.raw", good(), &[][..], system, &[][..]),
        ("foo_1.raw", good(), &[], system, &[]),
        ("bar.raw", good(), &["foo"], system, &[]),
        ("bar.raw", good(), &[], system, &["no-units"]),
        ("b r.raw", good(), &[], system, &["no-prefix"]),
        ("foo.raw", good(), &["-"], system, &["all-units"]),
        // one of several prefixes is enough
        ("foo.raw", good(), &["-", "foo"], system, &[]),
        ("foo.raw", bare().file("/etc/systemd/system/foo.service", UNIT), &[], system, &["no-os-release"]),
        ("foo.raw", with("VERSION_ID=1\n"), &[], system, &["no-id"]),
        ("foo.raw", with("ID=a\nPORTABLE_PREFIXES=\n"), &[], system, &[]),
        ("foo.raw", with("ID=a\nPORTABLE_PREFIXES='bar foo'\n"), &[], system, &[]),
        ("foo.raw", with("ID=a\nPORTABLE_PREFIXES=bar\n"), &[], system, &["prefix-not-allowed"]),
        ("foo.raw", with("ID=a\nPORTABLE_PREFIXES=' '\n"), &[], system, &["prefix-not-allowed"]),
        ("foo.raw", with("ID=a\nPORTABLE_SCOPE=any\n"), &[], system, &[]),
        ("foo.raw", with("ID=a\nPORTABLE_SCOPE=system\n"), &[], system, &[]),
        ("foo.raw", with("ID=a\nPORTABLE_SCOPE=user\n"), &[], system, &["other-scope"]),
        ("foo.raw", with("ID=a\nPORTABLE_SCOPE=host\n"), &[], system, &["invalid-scope"]),
        ("foo.raw", good(), &[], PortableScope::User, &["other-scope", "no-units"]),
        ("foo.raw", at("/usr/lib/systemd/user/foo.service"), &[], PortableScope::User, &["other-scope"]),
        ("foo.raw", at("/lib/systemd/system/foo.service"), &[], system, &[]),
        ("foo.raw", at("/usr/lib/systemd/foo.service"), &[], system, &["no-units"]),
        ("foo.raw", at("/etc/systemd/system/foo.service/x"), &[], system, &["no-units"]),
        ("foo.raw", link("/dev/null"), &[], system, &["unit-masked", "no-units"]),
        ("foo.raw", link("/usr/lib/foo"), &[], system, &["unit-link-absolute", "no-units"]),
        ("foo.raw", link("gone"), &[], system, &["unit-link-broken", "no-units"]),
        ("foo.raw", link("../../../usr"), &[], system, &["unit-not-a-file", "no-units"]),
        ("foo.raw", link("../../../usr/lib/os-release"), &[], system, &[]),
        ("foo.raw", good().file("/etc/systemd/system/foo.service", ""), &[], system, &["unit-empty"]),
    ] {
        let report = check(name, memory, Vec::new(), prefixes, scope);
        assert_eq!(codes(&report), expected, "{name} {prefixes:?} {report:?}");
    }
}

#[test]
fn what_is_mounted_over() {
    for missing in DIRECTORIES.iter().chain(&["/etc/machine-id", "/etc/resolv.conf"]) {
        let mut memory = Memory::new();
        for path in DIRECTORIES.iter().filter(|path| path != &missing) {
            memory.dir(path);
        }
        for path in ["/etc/machine-id", "/etc/resolv.conf"].iter().filter(|path| path != &missing) {
            memory = memory.file(path, "");
        }
        let memory = memory.file("/etc/os-release", "ID=a\n").file("/etc/systemd/system/foo.service", UNIT);
        let report = check("foo.raw", memory, Vec::new(), &[], PortableScope::System);
        assert_eq!(codes(&report), ["no-mount-point"], "{missing}");
        assert_eq!(report.passed(), *missing == "/etc/resolv.conf");
    }
    let memory = Memory::new().file("/proc", "");
    let report = check("foo.raw", memory, Vec::new(), &[], PortableScope::System);
    assert!(codes(&report).contains(&"not-a-directory"));
}

#[test]
fn the_first_directory_and_the_first_image_win() {
    let memory = good()
        .file("/etc/systemd/system/foo.service", UNIT)
        .file("/usr/lib/systemd/system/foo-b.socket", UNIT);
    let release = "/usr/lib/extension-release.d/extension-release.ext";
    let extension = || {
        Memory::new()
            .file(release, "ID=a\nVERSION_ID=1\nSYSEXT_ID=e\nSYSEXT_VERSION_ID=2\n")
            .file("/usr/lib/systemd/system/foo.service", UNIT)
            .file("/usr/lib/systemd/system/foo@.service", UNIT)
    };
    let report = check("foo_1.raw", memory, vec![("ext.raw", extension())], &[], PortableScope::System);
    // it is the root image's unit that is attached, and the extension's file that the service sees
    assert_eq!(codes(&report), ["replaces-host-file"]);
    assert_eq!(
        fact(&report, "units"),
        [
            "foo-b.socket (/usr/lib/systemd/system/foo-b.socket)",
            "foo.service (/etc/systemd/system/foo.service)",
            "foo@.service (ext.raw: /usr/lib/systemd/system/foo@.service)",
        ]
    );
    assert_eq!(
        fact(&report, "log-fields"),
        [
            "PORTABLE=foo_1.raw",
            "PORTABLE=ext.raw",
            "PORTABLE_ROOT=foo_1.raw",
            "PORTABLE_ROOT_NAME_AND_VERSION=a_1",
            "PORTABLE_EXTENSION=ext.raw",
            "PORTABLE_EXTENSION_NAME_AND_VERSION=e_2",
        ]
    );
    assert_eq!(
        fact(&report, "drop-ins"),
        [
            "foo-b.socket.d/20-portable.conf",
            "foo.service.d/10-profile.conf",
            "foo.service.d/20-portable.conf",
            "foo@.service.d/10-profile.conf",
            "foo@.service.d/20-portable.conf",
        ]
    );
    let alone = check("foo_1.raw", good(), Vec::new(), &[], PortableScope::System);
    assert_eq!(fact(&alone, "log-fields"), ["PORTABLE=foo_1.raw", "PORTABLE_NAME_AND_VERSION=a_1"]);
}

#[test]
fn extensions_must_go_with_the_root_image() {
    let sysext = "/usr/lib/extension-release.d/extension-release.ext";
    let confext = "/etc/extension-release.d/extension-release.ext";
    let good_release = "ID=a\nVERSION_ID=1\n";
    let of = |path: &str, text: &str| Memory::new().file(path, text);
    for (memory, expected) in [
        (of(sysext, good_release), &[][..]),
        (of(confext, good_release), &[]),
        (of(sysext, "ID=_any\n"), &[]),
        (of(sysext, "ID=b\n"), &["other-id"]),
        (of(sysext, "ID=a\nVERSION_ID=2\n"), &["other-version-id"]),
        (of(sysext, "ID=_any\nSYSEXT_SCOPE=system\n"), &["other-scope"]),
        // the keys of a system extension are asked of both
        (of(confext, "ID=_any\nSYSEXT_SCOPE=system\n"), &["other-scope"]),
        (of(confext, "ID=_any\nCONFEXT_SCOPE=system\n"), &[]),
        // as a sysext it has one: the other class is not asked
        (
            of(sysext, good_release)
                .file("/etc/extension-release.d/extension-release.y", "ID=b\n")
                .xattr("user.extension-release.strict", "0")
                .file("/etc/extension-release.d/extension-release.z", "ID=b\n")
                .xattr("user.extension-release.strict", "0"),
            &[],
        ),
        (Memory::new(), &["no-extension-release"]),
        (of(sysext, good_release).file("/usr/lib/os-release", "ID=a\n"), &["os-release-inside"]),
    ] {
        let report = check("foo.raw", good(), vec![("ext.raw", memory)], &[], PortableScope::System);
        assert_eq!(codes(&report), expected, "{report:?}");
        assert!(report.findings.iter().all(|finding| finding.image.as_deref() == Some("ext.raw")));
    }
    let two = vec![("ext.raw", of(sysext, good_release)), ("ext.img", of(sysext, good_release))];
    assert_eq!(codes(&check("foo.raw", good(), two, &[], PortableScope::System)), ["duplicate-name"]);
}

/// F7: extensions are merged into the root image of the service, all three hierarchies together.
#[test]
fn f7_what_extensions_take_from_the_root_image() {
    use Severity::{Error, Note, Warning};
    let base = || good().file("/usr/bin/ls", "").link("/usr/sbin", "bin").file("/etc/a.conf", "");
    let sysext = "/usr/lib/extension-release.d/extension-release.";
    let confext = "/etc/extension-release.d/extension-release.";
    let new = Memory::new;
    let found = |root: Memory, layers: Vec<(&'static str, &'static str, Memory)>| {
        let extensions = layers.into_iter().map(|(name, release, memory)| {
            (name, memory.file(&format!("{release}{}", name.trim_end_matches(".raw")), "ID=_any\n"))
        });
        check("foo.raw", root, extensions.collect(), &[], PortableScope::System)
    };
    for (release, extension, expected) in [
        (sysext, new().file("/usr/bin/x", ""), &[][..]),
        (sysext, new().file("/usr/bin/ls", ""), &[("replaces-host-file", Note, "/usr/bin/ls")]),
        (sysext, new().file("/usr/sbin/d", ""), &[("hides-host-link", Error, "/usr/sbin")]),
        (sysext, new().file("/usr/bin/ls/x", ""), &[("hides-host-file", Error, "/usr/bin/ls")]),
        // a system extension is merged into /etc too, and a configuration extension into /usr
        (sysext, new().file("/etc/a.conf", ""), &[("replaces-host-file", Note, "/etc/a.conf")]),
        (confext, new().file("/usr/bin", ""), &[("hides-host-directory", Error, "/usr/bin")]),
        (sysext, new().file("/opt/x", ""), &[("no-hierarchy", Warning, "/opt")]),
        (sysext, new().file("/srv/x", ""), &[("outside-hierarchies", Warning, "/srv/x")]),
        // the layers of an extension are not looked for through links
        (confext, new().link("/usr", "etc"), &[("hierarchy-not-a-directory", Warning, "/usr")]),
        (confext, new().file("/usr", ""), &[("hierarchy-not-a-directory", Warning, "/usr")]),
    ] {
        let report = found(base(), vec![("ext.raw", release, extension)]);
        let told: Vec<_> =
            report.findings.iter().map(|found| (found.code, found.severity, found.subject.clone())).collect();
        let expected: Vec<_> = expected
            .iter()
            .map(|(code, severity, path)| (*code, *severity, Subject::Path((*path).into())))
            .collect();
        assert_eq!(told, expected);
        let whose = |reason: &str| !reason.contains("the host");
        assert!(report.findings.iter().all(|found| whose(&found.reason)), "{report:?}");
    }
    // in the order that they are given in, not in that of their names
    let layers = |first, second| {
        let of = |name| (name, sysext, new().file("/usr/bin/same", ""));
        let report = found(base(), vec![of(first), of(second)]);
        assert_eq!(codes(&report), ["conflict"]);
        assert_eq!(report.findings[0].image.as_deref(), Some(second));
        fact(&report, "layers").to_vec()
    };
    assert_eq!(layers("a.raw", "b.raw"), ["/usr: the root image, a, b"]);
    assert_eq!(layers("b.raw", "a.raw"), ["/usr: the root image, b, a"]);
    // the hierarchy of the root image may be a link, and must lead to a directory
    let opt = || vec![("ext.raw", sysext, new().file("/opt/x", ""))];
    assert_eq!(codes(&found(base().link("/opt", "srv/opt").file("/srv/opt/y", ""), opt())), [""; 0]);
    let report = found(base().file("/opt", ""), opt());
    assert_eq!(codes(&report), ["hierarchy-not-a-directory"]);
    assert!(!report.passed());
    // what is not attached hides nothing
    let refused = new().file("/usr/bin/ls/x", "").file("/usr/lib/os-release", "");
    assert_eq!(codes(&found(base(), vec![("ext.raw", sysext, refused)])), ["os-release-inside"]);
}

/// Those of the root image and of its extensions are put together.
#[test]
fn prefixes_of_extensions() {
    let sysext = "/usr/lib/extension-release.d/extension-release.ext";
    let extension = |text: &str| Memory::new().file(sysext, text);
    let check = |text: &str| {
        let report = check("foo.raw", good(), vec![("ext.raw", extension(text))], &[], PortableScope::System);
        (codes(&report), fact(&report, "portable-prefixes").to_vec())
    };
    assert_eq!(check("ID=_any\nPORTABLE_PREFIXES='foo bar'\n"), (vec![], vec!["bar".into(), "foo".into()]));
    assert_eq!(check("ID=_any\nPORTABLE_PREFIXES=bar\n"), (vec!["prefix-not-allowed"], vec!["bar".into()]));
}
