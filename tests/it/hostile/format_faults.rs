//! `ddi verity format` that is killed, has no room, or gets an error: the output is complete or absent, or, in place,
//! invalid; and success is never claimed without need.

use std::fs;
use std::os::unix::fs::symlink;

use crate::hostile::faults::{FAULTS, assert_at_least, assert_told, at_every_call};
use crate::support::{Chance, DDI, Folder, ddi, require_root, require_tool, run, skip};

/// Calls that write, in the order in which `format` first makes them.
const CALLS: [&str; 5] = ["pwrite64", "fsync", "linkat", "rename", "write"];

/// Returns true if strace can be used, and says that the test is skipped if not.
pub(crate) fn strace_works() -> bool {
    if !require_tool("strace") {
        return false;
    }
    let works = run("strace", ["-f", "-qq", "-o", "/dev/null", "true"]).ok();
    if !works {
        skip("strace may not trace here");
    }
    works
}

struct Setup {
    folder: Folder,
    data: String,
    out: String,
}

const SALT: &str = "--salt=00112233";

impl Setup {
    /// 300 blocks of 512 bytes: a tree of three levels, in a few writes.
    fn new() -> Self {
        let folder = Folder::new();
        fs::create_dir(folder.file("out")).unwrap();
        fs::create_dir(folder.file("tmp")).unwrap();
        let data = folder.write("data", &Chance(5).bytes(300 * 512));
        let out = folder.file("out/tree");
        Setup { folder, data, out }
    }
    fn out_folder(&self) -> String {
        self.folder.file("out")
    }
    fn options(&self, salt: &'static str) -> [&'static str; 3] {
        ["--data-block-size=512", "--hash-block-size=512", salt]
    }
    fn format(&self, salt: &'static str) -> String {
        let args = ["verity", "format", &self.data, &self.out, "--json"];
        let ended = ddi(args.into_iter().chain(self.options(salt)));
        assert!(ended.ok(), "{ended:?}");
        ended.json()["rootHash"].as_str().unwrap().to_owned()
    }
    fn verifies(&self, root_hash: &str) -> bool {
        ddi(["verity", "verify", &self.data, &self.out, root_hash]).ok()
    }
    fn is_invalid(&self) -> bool {
        ddi(["verity", "dump", &self.out]).code == Some(2)
    }
}

#[test]
fn a_new_file_is_complete_or_absent_and_no_fault_is_success() {
    if !strace_works() {
        return;
    }
    let setup = Setup::new();
    let root_hash = setup.format(SALT);
    let (out, [a, b, c]) = (&setup.out, setup.options(SALT));
    let args = ["verity", "format", &setup.data, out, a, b, c];
    let prepare = || drop(fs::remove_file(out));
    for kind in FAULTS {
        let faults = at_every_call(kind, &setup.folder, (&CALLS, &args), prepare, |ended, fault| {
            if fault.is_error() {
                assert_told(ended, fault);
            }
            // it may be there once it had all of its content: an error that comes later is told, not undone
            match fs::exists(out).unwrap() {
                true => assert!(setup.verifies(&root_hash), "{fault}: {ended:?}"),
                false => assert!(!ended.ok(), "{fault}: {ended:?}"),
            }
            let names = fs::read_dir(setup.out_folder()).unwrap().count();
            assert!(names <= 1, "{fault}: something is left behind");
        });
        // three levels and a superblock; the tree, the superblock and the folder
        assert_at_least(&faults, &[("pwrite64", 4), ("fsync", 3), ("write", 1)]);
        assert!(faults.contains_key("linkat") || faults.contains_key("rename"), "{faults:?}");
    }
}

#[test]
fn a_tree_in_place_is_old_or_invalid_or_complete_and_no_fault_is_success() {
    if strace_works() {
        in_place(&Setup::new());
    }
}

#[test]
fn a_tree_on_a_device_is_old_or_invalid_or_complete_and_no_fault_is_success() {
    if !require_root() || !require_tool("losetup") || !strace_works() {
        return;
    }
    struct Device(String);
    impl Drop for Device {
        fn drop(&mut self) {
            run("losetup", ["--detach", &self.0]);
        }
    }
    let mut setup = Setup::new();
    let file = setup.folder.write("device", &[0; 40 * 512]);
    let ended = run("losetup", ["--find", "--show", &file]);
    if !ended.ok() {
        return skip("no loop devices here");
    }
    let device = Device(ended.stdout.trim().to_owned());
    setup.out = device.0.clone();
    in_place(&setup);
}

/// A tree is written over another, which is at `setup.out`.
fn in_place(setup: &Setup) {
    let new = setup.format("--salt=ff");
    let old = setup.format(SALT);
    let (out, [a, b, c]) = (&setup.out, setup.options("--salt=ff"));
    let before = fs::read(out).unwrap();
    // a file of text that is there is replaced, not written in place
    let root_hash_file = setup.folder.file("roothash");
    let args = ["verity", "format", &setup.data, out, a, b, c, "--root-hash-file", &root_hash_file];
    let prepare = || {
        fs::write(out, &before).unwrap();
        fs::write(&root_hash_file, &old).unwrap();
    };
    for kind in FAULTS {
        let faults = at_every_call(kind, &setup.folder, (&CALLS, &args), prepare, |ended, fault| {
            if fault.is_error() {
                assert_told(ended, fault);
            }
            let untouched = fs::read(out).unwrap() == before;
            let found = (untouched && setup.verifies(&old), setup.is_invalid(), setup.verifies(&new));
            assert!(
                matches!(found, (true, false, false) | (false, true, false) | (false, false, true)),
                "{fault}: {found:?}"
            );
            let told = fs::read_to_string(&root_hash_file).unwrap();
            assert!(told == old || (told == new && found.2), "{fault}: {told}");
            assert!(!ended.ok() || told == new, "{fault}: {told}");
        });
        // the old superblock, three levels, the new superblock; each of the three, and then the root hash and its folder
        assert_at_least(&faults, &[("pwrite64", 5), ("fsync", 5), ("write", 2), ("rename", 1)]);
    }
}

/// What a kill does not show, since what was written stays in the memory of the kernel: the disk may lose, or have first,
/// anything that was written since the last `fsync`.
#[test]
fn nothing_is_written_before_what_it_rests_on_is_on_the_disk() {
    if !strace_works() {
        return;
    }
    let setup = Setup::new();
    let log = setup.folder.file("log");
    let (out, [a, b, c]) = (&setup.out, setup.options(SALT));
    let steps = || {
        let strace = ["-f", "-qq", "-s", "0", "-o", &log, "-e", "trace=pwrite64,fsync,linkat,rename", DDI];
        run("strace", strace.into_iter().chain(["verity", "format", &setup.data, out, a, b, c])).unwrap();
        let mut steps: Vec<_> = fs::read_to_string(&log)
            .unwrap()
            .lines()
            .map(|line| match line.split_once(' ').unwrap().1.trim_start() {
                line if line.starts_with("fsync(") => "fsync",
                line if line.starts_with("linkat(") || line.starts_with("rename(") => "name",
                line if line.contains(", 512, 0)") => "superblock",
                line if line.starts_with("pwrite64(") => "tree",
                line => panic!("{line}"),
            })
            .collect();
        steps.dedup();
        steps.join(" ")
    };
    assert_eq!(steps(), "tree fsync superblock fsync name fsync");
    assert_eq!(steps(), "superblock fsync tree fsync superblock fsync");
}

#[test]
fn full_file_system() {
    if !require_root() {
        return;
    }
    let folder = Folder::new();
    let data = folder.write("data", &Chance(6).bytes(40 << 20));
    let small = folder.file("small");
    fs::create_dir(&small).unwrap();
    if !run("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", &small]).ok() {
        skip("no tmpfs may be mounted here");
        return;
    }
    let out = folder.file("small/tree");
    let fresh = ddi(["verity", "format", &data, &out]);
    let left: Vec<_> = fs::read_dir(&small).unwrap().collect();
    // in place: a tree of less data was there
    let less = folder.write("less", &Chance(6).bytes(1 << 20));
    let before = ddi(["verity", "format", &less, &out]);
    let in_place = ddi(["verity", "format", &data, &out]);
    let dump = ddi(["verity", "dump", &out]);
    run("umount", [&small]).unwrap();

    assert_eq!(fresh.code, Some(2), "{fresh:?}");
    assert!(left.is_empty(), "{left:?}");
    assert!(before.ok(), "{before:?}");
    assert_eq!(in_place.code, Some(2), "{in_place:?}");
    assert_eq!(dump.code, Some(2), "{dump:?}");
}

#[test]
fn the_data_is_never_overwritten() {
    let folder = Folder::new();
    let bytes = Chance(8).bytes(64 * 4096);
    let data = folder.write("data", &bytes);
    let (link, hard) = (folder.file("link"), folder.file("hard"));
    symlink(&data, &link).unwrap();
    fs::hard_link(&data, &hard).unwrap();
    let far = (64 * 4096).to_string();
    for out in [&data, &link, &hard] {
        for offset in ["0", "512", "4096", "262143", "258048"] {
            let ended = ddi(["verity", "format", &data, out, "--hash-offset", offset]);
            assert_eq!(ended.code, Some(2), "{out} {offset}: {ended:?}");
            assert!(fs::read(&data).unwrap() == bytes, "{out} {offset}");
        }
    }
    // behind the data there is room, whichever name it has
    let text = ddi(["verity", "format", &data, &hard, "--hash-offset", &far]).unwrap();
    let root = text.lines().find_map(|line| line.strip_prefix("Root hash:")).unwrap().trim();
    assert!(fs::read(&data).unwrap()[..bytes.len()] == bytes);
    let verified = ddi(["verity", "verify", &data, &link, root, "--hash-offset", &far]);
    assert!(verified.ok(), "{verified:?}");
}

#[test]
fn what_cannot_be_written_is_said() {
    let folder = Folder::new();
    let data = folder.write("data", &[1; 8192]);
    symlink("nowhere", folder.file("dangling")).unwrap();
    for out in [
        folder.file("missing/tree"),
        folder.path().display().to_string(),
        folder.file("dangling"),
        "/dev/null".into(),
    ] {
        let ended = ddi(["verity", "format", &data, &out]);
        assert_eq!(ended.code, Some(2), "{out}: {ended:?}");
        assert!(ended.stderr.contains(&out) && ended.stdout.is_empty(), "{ended:?}");
    }
    assert_eq!(folder.names(), ["dangling", "data"]);
}

#[test]
fn a_tail_without_protection_is_named() {
    let folder = Folder::new();
    let data = folder.write("data", &[1; 3 * 4096 + 100]);
    let hash = folder.file("hash");
    let ended = ddi(["verity", "format", &data, &hash]);
    assert!(ended.ok());
    assert_eq!(ended.stderr, "ddi: warning: the last 100 bytes of the data are not protected\n");
    let root =
        ended.stdout.lines().find_map(|line| line.strip_prefix("Root hash:")).unwrap().trim().to_owned();

    let refused = ddi(["verity", "verify", &data, &hash, &root]);
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stdout.starts_with("NOT PROVEN\n") && refused.stdout.contains("--data-blocks"),
        "{refused:?}"
    );
    let named = ddi(["verity", "verify", &data, &hash, &root, "--data-blocks=3"]);
    assert!(named.ok(), "{named:?}");
    assert_eq!(named.stderr, "ddi: warning: 100 bytes of data are not protected\n");
}
