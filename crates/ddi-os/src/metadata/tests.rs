use super::*;
use ddi_testing::memory::Memory;

fn value<T: Clone>(fact: &Fact<T>) -> Option<T> {
    fact.as_ref().unwrap().as_ref().map(|found| found.value.clone())
}

#[test]
fn an_empty_image_says_nothing() {
    let metadata = Metadata::read(&Vfs::new(None), Some("x"));
    assert_eq!(value(&metadata.hostname), None);
    assert_eq!(metadata.machine_id_state(), Some(MachineId::Missing));
    assert!(value(&metadata.os_release).is_none());
    assert!(!metadata.has_init);
    assert_eq!(metadata.use_as(true), UseAs::default());
}

#[test]
fn an_operating_system() {
    let tree = Memory::new()
        .file("/usr/lib/os-release", "ID=demo\nPORTABLE_PREFIXES=\n")
        .link("/etc/os-release", "../usr/lib/os-release")
        .file("/etc/hostname", "\n# a comment\n  demo_host  \nother\n")
        .file("/etc/machine-id", "uninitialized\n")
        .file("/etc/machine-info", "PRETTY_HOSTNAME='A host'\n")
        .file("/usr/lib/systemd/systemd", "")
        .link("/sbin/init", "/usr/lib/systemd/systemd")
        .tree();
    let metadata = Metadata::read(&tree, Some("demo"));
    let os = metadata.os_release.as_ref().unwrap().as_ref().unwrap();
    assert_eq!((&*os.path, os.value.get("ID")), (&b"/usr/lib/os-release"[..], Some("demo")));
    assert_eq!(value(&metadata.hostname).as_deref(), Some("demohost"));
    assert_eq!(metadata.machine_id_state(), Some(MachineId::Uninitialized));
    assert_eq!(value(&metadata.machine_info).unwrap().get("PRETTY_HOSTNAME"), Some("A host"));
    let expected =
        UseAs { bootable_container: true, portable_service: true, bootable_uefi: true, ..UseAs::default() };
    assert_eq!(metadata.use_as(true), expected);
    assert_eq!(metadata.use_as(false), UseAs { bootable_uefi: false, ..expected });
}

#[test]
fn etc_comes_first_even_if_it_is_bad() {
    let tree = Memory::new().file("/etc/os-release", "A=\u{e4}").file("/usr/lib/os-release", "A=usr").tree();
    assert_eq!(value(&Metadata::read(&tree, None).os_release).unwrap().get("A"), Some("\u{e4}"));
    let tree = Memory::new().fifo("/etc/os-release").file("/usr/lib/os-release", "A=usr").tree();
    assert!(matches!(Metadata::read(&tree, None).os_release, Err(Error::File(files::Error::NotAFile))));
    // a link that leads nowhere is as good as nothing
    let tree = Memory::new().link("/etc/os-release", "gone").file("/usr/lib/os-release", "A=usr").tree();
    assert_eq!(value(&Metadata::read(&tree, None).os_release).unwrap().get("A"), Some("usr"));
}

#[test]
fn a_file_of_more_than_64_kib_is_not_taken() {
    let tree = Memory::new().file("/etc/os-release", &"#".repeat(65537)).tree();
    let error = Metadata::read(&tree, None).os_release.unwrap_err();
    assert!(matches!(error, Error::File(files::Error::TooLarge { size: 65537, limit: MAX_FILE })));
}

#[test]
fn an_initrd_needs_a_field() {
    let initrd = |text| {
        let tree = Memory::new().file("/etc/initrd-release", text).tree();
        Metadata::read(&tree, None).use_as(false).initrd
    };
    assert!(initrd("ID=x") && !initrd("# nothing"));
}

fn sysext(fs: Memory, image: &str) -> Result<ExtensionRelease, Error> {
    ExtensionRelease::find(&fs.tree(), ExtensionClass::Sysext, Some(image))
}

const DIR: &str = "/usr/lib/extension-release.d/extension-release.";

fn release(name: &str) -> Memory {
    Memory::new().file(&format!("{DIR}{name}"), "ID=_any\n")
}

fn rule(fs: Memory, image: &str) -> Option<NameRule> {
    sysext(fs, image).unwrap().found.map(|(_, rule)| rule)
}

#[test]
fn the_release_file_has_the_name_of_the_image() {
    assert_eq!(rule(release("foo"), "foo"), Some(NameRule::Exact));
    // followed under its own name alone
    let link = || release("foo").link(&format!("{DIR}bar"), "extension-release.foo");
    assert_eq!(rule(link(), "bar"), Some(NameRule::Exact));
    let fallback = sysext(link(), "baz").unwrap();
    let why: Vec<_> = fallback.passed_over.iter().map(|passed| passed.why).collect();
    assert_eq!((fallback.found, why), (None, vec![Passed::NotRegular, Passed::OtherName]));
}

#[test]
fn another_name_needs_the_xattr() {
    const STRICT: &str = "user.extension-release.strict";
    assert_eq!(rule(release("foo"), "bar"), None);
    for (xattr, expected) in [
        ("0", Some(NameRule::NotStrict)),
        ("No", Some(NameRule::NotStrict)),
        ("1", None),
        ("maybe", None),
        ("", None),
    ] {
        assert_eq!(rule(release("foo").xattr(STRICT, xattr), "bar"), expected, "{xattr:?}");
    }
    let two = release("foo").xattr(STRICT, "0").file(&format!("{DIR}other"), "ID=x").xattr(STRICT, "0");
    assert!(matches!(sysext(two, "bar"), Err(Error::AmbiguousExtension)));
}

/// All files of the directory are looked at, however many come first.
#[test]
fn many_files_hide_none() {
    let many = |last: &[&str]| {
        let mut fs = Memory::new();
        for number in 0..1500 {
            fs = fs.file(&format!("/usr/lib/extension-release.d/extension-release.a{number:04}"), "ID=a\n");
        }
        for name in last {
            let path = format!("/usr/lib/extension-release.d/extension-release.{name}");
            fs = fs.file(&path, "ID=a\n").xattr("user.extension-release.strict", "0");
        }
        fs
    };
    let found = sysext(many(&["y"]), "x").unwrap();
    assert_eq!(
        (found.found.map(|(_, rule)| rule), found.passed_over.len()),
        (Some(NameRule::NotStrict), 1000)
    );
    assert!(matches!(sysext(many(&["y", "z"]), "x"), Err(Error::AmbiguousExtension)));
}

#[test]
fn a_version_in_the_image_name_does_not_matter() {
    assert_eq!(rule(release("foo"), "foo_1.2"), Some(NameRule::BaseName));
    assert_eq!(rule(release("foo"), "foo+3-0"), Some(NameRule::BaseName));
    assert_eq!(rule(release("foo"), "foo-1.2"), None);
    assert_eq!(rule(release("foo_1"), "foo_1.2"), None);
}

#[test]
fn scopes() {
    let scopes = |text: &str| {
        let fs = Memory::new().file(&format!("{DIR}x"), text);
        Metadata::read(&fs.tree(), Some("x")).use_as(false)
    };
    let default = UseAs { sysext: true, sysext_portable: true, ..UseAs::default() };
    assert_eq!(scopes("ID=_any"), default);
    assert_eq!(scopes("ID=_any\nSYSEXT_SCOPE=initrd"), UseAs { sysext_initrd: true, ..UseAs::default() });
    assert_eq!(scopes("ID=_any\nSYSEXT_SCOPE="), UseAs::default());
    assert_eq!(scopes(""), UseAs::default());
    let confext =
        Memory::new().file("/etc/extension-release.d/extension-release.x", "ID=a\nCONFEXT_SCOPE=system");
    let expected = UseAs { confext: true, ..UseAs::default() };
    assert_eq!(Metadata::read(&confext.tree(), Some("x")).use_as(true), expected);
}

#[test]
fn names_of_images() {
    for name in ["foo", "a.b_1", "ä"] {
        assert!(is_image_name(name), "{name}");
    }
    for name in ["", ".", "..", ".#x", "a/b", "a\nb", &"x".repeat(256)] {
        assert!(!is_image_name(name), "{name}");
    }
}
