//! `ddi check extension`, and the question whether an extension matches, put to systemd-sysext too.

use std::fs;

use ddi_gpt::Architecture;
use ddi_os::metadata::{EnvFile, ExtensionClass};
use ddi_os::{ExtensionHost, ExtensionScope, match_extension};

use super::{assert_exit, codes, corpus, image, image_of};
use crate::support::image::ImageBuilder;
use crate::support::{Folder, ddi, require_root, require_tool, run, skip};

#[test]
fn images_of_the_corpus() {
    let Some(corpus) = corpus() else { return };
    let folder = Folder::new();
    let host = |text: &str| folder.write("os-release", text.as_bytes());
    let check = |names: &[&str], host: &str, more: &[&str]| {
        let images: Vec<_> = names.iter().map(|name| image(&corpus, name)).collect();
        let args = ["check", "extension", "--json", "--host", host].map(str::to_owned).into_iter();
        ddi(args.chain(images).chain(more.iter().map(|arg| (*arg).to_owned())))
    };
    let demo = host("ID=demoos\nVERSION_ID=1.0\nSYSEXT_LEVEL=1\n");
    let x86 = ["--architecture", "x86-64"];
    let ended = check(&["ext-sys", "ext-conf"], &demo, &x86);
    assert_exit(&ended, 0);
    assert_eq!(codes(&ended), [""; 0]);
    let facts = &ended.json()["facts"];
    assert_eq!(
        (&facts["sysext-order"][0], &facts["confext-order"][0]),
        (&"ext-sys".into(), &"ext-conf".into())
    );
    // its release file is for another name
    let ended = check(&["ext-sys-bare"], &demo, &x86);
    assert_exit(&ended, 1);
    assert_eq!(codes(&ended), ["no-extension-release", "release-of-other-name"]);
    let ended = check(&["ext-sys"], &demo, &["--architecture", "arm64"]);
    assert_exit(&ended, 1);
    assert_eq!(codes(&ended), ["other-architecture"]);
    assert_eq!(codes(&check(&["ext-sys"], &demo, &["--scope", "initrd"])), ["other-scope"]);
    assert_exit(&check(&["ext-sys"], &demo, &["--scope", "portable", "--architecture", "x86-64"]), 0);
    assert_eq!(codes(&check(&["ext-conf"], &demo, &["--class", "sysext"])), ["no-extension-release"]);
    // an image as the host: it has a version and no level
    let ended = check(&["ext-sys"], &image(&corpus, "ext-portable"), &[]);
    assert_exit(&ended, 1);
    assert_eq!(codes(&ended), ["no-version-id"]);
    assert!(ended.json()["facts"]["host"].as_array().unwrap().contains(&"VERSION_ID=1.0".into()));
    // an operating system is no extension
    let ended = check(&["ext-portable"], &demo, &[]);
    assert_exit(&ended, 1);
    assert_eq!(codes(&ended), ["no-extension-release"]);
}

#[test]
fn each_rule_broken_once() {
    const RELEASE: &str = "/usr/lib/extension-release.d/extension-release.x";
    let good = "ID=a\nVERSION_ID=1\n";
    for (name, files, expected, code) in [
        ("x.raw", &[(RELEASE, good), ("/usr/bin/x", "")][..], &[][..], 0),
        ("x_2.raw", &[(RELEASE, good)], &["release-by-base-name"], 0),
        ("y.raw", &[(RELEASE, good)], &["no-extension-release", "release-of-other-name"], 1),
        ("x.raw", &[("/usr/bin/x", "")], &["no-extension-release"], 1),
        ("x.raw", &[(RELEASE, "ID=b\n")], &["other-id"], 1),
        ("x.raw", &[(RELEASE, "ID=a\nVERSION_ID=2\n")], &["other-version-id"], 1),
        ("x.raw", &[(RELEASE, "ID=a\n")], &["no-version-id"], 1),
        ("x.raw", &[(RELEASE, "VERSION_ID=1\n")], &["no-id"], 1),
        ("x.raw", &[(RELEASE, "")], &["empty-extension-release"], 1),
        ("x.raw", &[(RELEASE, good), ("/usr/lib/os-release", "ID=a\n")], &["os-release-inside"], 1),
        ("x.raw", &[(RELEASE, good), ("/etc/x.conf", "")], &["outside-hierarchies"], 0),
        ("x.raw", &[(RELEASE, good), ("/etc/", ""), ("/opt/x", "")], &[], 0),
        ("x.raw", &[(RELEASE, "->gone")], &["no-extension-release", "release-not-regular"], 1),
    ] {
        let folder = Folder::new();
        let host = folder.write("os-release", good.as_bytes());
        let Some(path) = image_of(&folder, name, files) else { return };
        let ended = ddi(["check", "extension", "--json", "--host", &host, &path]);
        assert_exit(&ended, code);
        assert_eq!(codes(&ended), expected, "{name} {files:?}");
    }
}

/// Whoever writes an image must not be able to make it the user's own word.
#[test]
fn who_speaks_for_the_host() {
    const RELEASE: &str = "/usr/lib/extension-release.d/extension-release.x";
    let folder = Folder::new();
    let Some(data) = image_of(&folder, "data", &[(RELEASE, "ID=a\n")]) else { return };
    let image = ImageBuilder::new().verity("root-x86-64", "x", fs::read(data).unwrap()).build();
    let root_hash = image.root_hashes[0].to_string();
    let path = folder.write("x.raw", &image.bytes);
    let named = folder.write("os-release", b"ID=a\n");
    let other = folder.write("host.raw", b"ID=a\n");
    let directory = super::tree(&folder, "system", &[("/etc/os-release", "ID=a\n")]);
    let directory = directory.to_str().unwrap();
    let check = |option: &str, host: &str, demanded: bool| {
        let args = ["check", "extension", "--json", "--architecture", "x86-64", option, host, &path];
        let trust = if demanded { &["--root-hash", &*root_hash][..] } else { &[] };
        ddi(args.iter().chain(trust))
    };
    for (option, host, demanded) in [
        ("--host", &*named, true),
        ("--host", directory, true),
        ("--host-os-release", &other, true),
        ("--host", &other, false),
    ] {
        let ended = check(option, host, demanded);
        assert_exit(&ended, 0);
        let json = ended.json();
        assert_eq!(json["assurance"], if demanded { "authenticated" } else { "intact" }, "{json}");
        let from = json["facts"]["host-from"][0].as_str().unwrap().to_owned();
        assert!(from.starts_with("file ") && from.ends_with(", taken as it is"), "{from}");
    }
    let ended = check("--host", &other, true);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("--host-os-release"), "{ended:?}");
    // an image is not taken at its word
    let system = [("/etc/os-release", "ID=a\n")];
    let Some(bare) = image_of(&folder, "bare.raw", &system) else { return };
    let ended = check("--host", &bare, false);
    assert_eq!(ended.json()["facts"]["host-from"][0], format!("image {bare}, claimed"));
    assert_ne!(check("--host", &bare, true).code, Some(0));
    assert_eq!(check("--host-os-release", &bare, true).code, Some(2));
}

#[test]
fn order_and_conflicts() {
    let folder = Folder::new();
    let release = |name: &str| format!("/usr/lib/extension-release.d/extension-release.{name}");
    let make = |name: &str, more: &[(&str, &str)]| {
        let release = release(name);
        let files: Vec<_> = [(&*release, "ID=_any\n")].into_iter().chain(more.iter().copied()).collect();
        image_of(&folder, &format!("{name}.raw"), &files)
    };
    let Some(upper) = make("x-10", &[("/usr/bin/tool", "10"), ("/usr/bin/ten", "")]) else { return };
    let Some(lower) = make("x-9", &[("/usr/bin/tool", "9"), ("/opt/nine", "")]) else { return };
    let host = folder.write("os-release", b"ID=a\n");
    let ended = ddi(["check", "extension", "--json", "--host", &host, &upper, &lower]);
    assert_exit(&ended, 0);
    let value = ended.json();
    assert_eq!(value["facts"]["sysext-order"], serde_json::json!(["x-9", "x-10"]));
    let findings = value["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{value}");
    assert_eq!(findings[0]["code"], "conflict");
    assert_eq!(findings[0]["path"], "/usr/bin/tool");
    assert_eq!(findings[0]["image"], upper.as_str());
}

/// F7: a merged-usr host, as a folder and as an image, and extensions that hide what it has.
#[test]
fn f7_what_the_host_loses() {
    const RELEASE: &str = "/usr/lib/extension-release.d/extension-release.x";
    let system = [
        ("/usr/lib/os-release", "ID=a\n"),
        // absolute links lead to the host's files, not to those of this machine
        ("/etc/os-release", "->/usr/lib/os-release"),
        ("/usr/bin/ls", "ls"),
        ("/usr/lib/libc.so.6", "so"),
        ("/usr/sbin", "->/usr/bin"),
        ("/usr/lib64", "->lib"),
        ("/usr/share/doc/", ""),
        ("/usr/share/doc/a", "a"),
        ("/bin", "->usr/bin"),
        ("/sbin", "->usr/sbin"),
        ("/opt/", ""),
    ];
    let folder = Folder::new();
    let directory = super::tree(&folder, "host", &system);
    let Some(image) = image_of(&folder, "host.raw", &system) else { return };
    for (at, (files, expected, code)) in [
        (&[("/usr/bin/x", "")][..], &[][..], 0),
        (&[("/usr/sbin/daemon", "")], &[("hides-host-link", "/usr/sbin")], 1),
        (&[("/usr/lib64/libx.so", "")], &[("hides-host-link", "/usr/lib64")], 1),
        (&[("/usr/bin", "x")], &[("hides-host-directory", "/usr/bin")], 1),
        (&[("/usr/share/doc", "->/opt/doc")], &[("hides-host-directory", "/usr/share/doc")], 1),
        (&[("/usr/sbin", "->bin"), ("/usr/bin/x", "")], &[], 0),
        (&[("/usr/bin/ls", "x")], &[("replaces-host-file", "/usr/bin/ls")], 0),
        (&[("/bin/x", "")], &[("outside-hierarchies", "/bin/x")], 0),
    ]
    .into_iter()
    .enumerate()
    {
        let folder = Folder::new();
        let files: Vec<_> = [(RELEASE, "ID=_any\n")].into_iter().chain(files.iter().copied()).collect();
        let Some(extension) = image_of(&folder, "x.raw", &files) else { return };
        for host in [directory.to_str().unwrap(), &*image] {
            let ended = ddi(["check", "extension", "--json", "--host", host, &extension]);
            assert_exit(&ended, code);
            let value = ended.json();
            let found: Vec<_> = value["findings"].as_array().unwrap().iter().collect();
            let found: Vec<_> = found
                .iter()
                .map(|found| (found["code"].as_str().unwrap(), found["path"].as_str().unwrap()))
                .collect();
            assert_eq!(found, expected, "{at} on {host}");
            assert_eq!(value["facts"]["sysext-layers"], serde_json::json!(["/usr: the host, x"]));
        }
    }
}

/// F7: a `usr` that is a link is merged, and what is beside it is not.
#[test]
fn f7_a_usr_that_is_a_link() {
    let folder = Folder::new();
    let host = super::tree(&folder, "host", &[("/usr/lib/os-release", "ID=a\n"), ("/usr/bin/ls", "")]);
    let files = [
        ("/usr", "->real"),
        ("/real/lib/extension-release.d/extension-release.x", "ID=_any\n"),
        ("/real/bin", "over the directory"),
    ];
    let Some(extension) = image_of(&folder, "x.raw", &files) else { return };
    let ended = ddi(["check", "extension", "--json", "--host", host.to_str().unwrap(), &extension]);
    assert_exit(&ended, 1);
    assert_eq!(codes(&ended), ["hides-host-directory"]);
    assert_eq!(ended.json()["findings"][0]["path"], "/usr/bin");
}

/// Every combination of fields, and which extensions the systemd-sysext of this machine would merge.
///
/// It wants to mount, and so a mount namespace of its own; what it says comes before it mounts anything that matters.
/// `ID_LIKE`, which older versions do not ask for, is left to the unit tests.
#[test]
fn what_systemd_sysext_would_merge() {
    let native = Architecture::NATIVE.map_or("", Architecture::name);
    if !require_root() || !require_tool("systemd-sysext") || !require_tool("unshare") {
        return;
    }
    let fields = |key: &str, values: &[&str]| -> Vec<String> {
        [String::new()].into_iter().chain(values.iter().map(|value| format!("{key}={value}\n"))).collect()
    };
    let mut releases = Vec::new();
    for id in fields("ID", &["a", "b", "_any", ""]) {
        for version in fields("VERSION_ID", &["1", "2", ""]) {
            for level in fields("SYSEXT_LEVEL", &["1", "2"]) {
                releases.push([&*id, &version, &level].concat());
            }
        }
    }
    let other = if native == "arm64" { "x86-64" } else { "arm64" };
    for architecture in fields("ARCHITECTURE", &[native, other, "_any", "any", ""]) {
        for scope in
            fields("SYSEXT_SCOPE", &["system", "initrd", "'portable initrd'", "''", "'initrd system'"])
        {
            releases.push(format!("ID=_any\n{architecture}{scope}"));
        }
    }
    let hosts = ["", "VERSION_ID=1\n", "SYSEXT_LEVEL=1\n", "VERSION_ID=1\nSYSEXT_LEVEL=1\n"];
    let (mut compared, mut taken) = (0, 0);
    for host in hosts {
        let host = format!("ID=a\n{host}");
        let folder = Folder::new();
        let root = folder.path();
        for directory in ["usr/lib", "etc", "run", "var/lib/extensions"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        fs::write(root.join("usr/lib/os-release"), &host).unwrap();
        for (number, release) in releases.iter().enumerate() {
            let directory = root.join(format!("var/lib/extensions/e{number}/usr/lib/extension-release.d"));
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join(format!("extension-release.e{number}")), release).unwrap();
        }
        let script = format!(
            "mount -t tmpfs tmpfs /run && exec env SYSTEMD_LOG_LEVEL=info systemd-sysext --root={} merge",
            root.display()
        );
        let ended = run("unshare", ["-m", "sh", "-c", &script]);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        let Some(line) = said.lines().find(|line| line.contains("Using extensions '")) else {
            return skip(&format!("systemd-sysext does not come as far here: {}", said.trim()));
        };
        let merged: Vec<&str> = line.split('\'').skip(1).step_by(2).collect();
        let os_release = EnvFile::parse(host.as_bytes()).unwrap();
        let about = ExtensionHost { os_release: &os_release, architecture: native, tree: None };
        for (number, release) in releases.iter().enumerate() {
            let fields = EnvFile::parse(release.as_bytes()).unwrap();
            let ours = match_extension(&fields, ExtensionClass::Sysext, &about, Some(ExtensionScope::System));
            let theirs = merged.contains(&&*format!("e{number}"));
            assert_eq!(ours.is_ok(), theirs, "{release:?} on {host:?}: {ours:?}");
            compared += 1;
            taken += usize::from(theirs);
        }
    }
    println!("{compared} pairs compared with systemd-sysext, {taken} match");
    assert!(compared == 4 * releases.len() && taken > 50 && taken < compared);
}
