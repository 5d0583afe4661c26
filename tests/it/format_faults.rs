//! `ddi verity format` that is killed, has no room, or gets an error: the output is complete or absent, or, in place,
//! invalid; and success is never claimed without need.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{Chance, DDI, Ended, Folder, ddi, require_root, require_tool, run, skip};

/// Calls that write, in the order in which `format` first makes them.
const CALLS: [&str; 5] = ["pwrite64", "fsync", "linkat", "rename", "write"];

/// Runs `ddi verity format` with the `number`th call of this name not as it should be. `None` if it never came so far.
fn format_with(inject: &str, number: u32, args: &[&str]) -> Ended {
    let inject = format!("inject={inject}:when={number}");
    let strace = ["-f", "-qq", "-o", "/dev/null", "-e", &inject, DDI, "verity", "format"];
    run("strace", strace.iter().chain(args))
}

/// Can strace be used? If not, says that the test is skipped.
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
}

const SALT: &str = "--salt=00112233";

impl Setup {
    /// 300 blocks of 512 bytes: a tree of three levels, in a few writes.
    fn new() -> Self {
        let folder = Folder::new();
        fs::create_dir(folder.path().join("out")).unwrap();
        let data = folder.write("data", &Chance(5).bytes(300 * 512));
        Setup { folder, data }
    }
    fn out(&self) -> String {
        self.folder.file("out/tree")
    }
    fn options(&self, salt: &'static str) -> [&'static str; 3] {
        ["--data-block-size=512", "--hash-block-size=512", salt]
    }
    fn format(&self, salt: &'static str) -> String {
        let out = self.out();
        let args = ["verity", "format", &self.data, &out, "--json"];
        let ended = ddi(args.into_iter().chain(self.options(salt)));
        assert!(ended.ok(), "{ended:?}");
        ended.json()["rootHash"].as_str().unwrap().to_owned()
    }
    fn verifies(&self, root_hash: &str) -> bool {
        ddi(["verity", "verify", &self.data, &self.out(), root_hash]).ok()
    }
    fn is_invalid(&self) -> bool {
        ddi(["verity", "dump", &self.out()]).code == Some(2)
    }
}

/// Does `check` after a fault in the first, second, … call of each kind, until the program no longer makes so many.
/// Says how many faults there were.
fn at_every_call(fault: &str, check: impl Fn(&str, u32) -> bool) -> u32 {
    let mut faults = 0;
    for call in CALLS {
        for number in 1.. {
            assert!(number < 1000);
            if !check(&format!("{call}:{fault}"), number) {
                break;
            }
            faults += 1;
        }
    }
    faults
}

#[test]
fn killed_at_any_call_a_new_file_is_complete_or_absent() {
    if !strace_works() {
        return;
    }
    let setup = Setup::new();
    let root_hash = setup.format(SALT);
    let faults = at_every_call("signal=KILL", |inject, number| {
        let _ = fs::remove_file(setup.out());
        let [a, b, c] = setup.options(SALT);
        let ended = format_with(inject, number, &[&setup.data, &setup.out(), a, b, c]);
        let names = fs::read_dir(setup.folder.path().join("out")).unwrap().count();
        match fs::exists(setup.out()).unwrap() {
            true => assert!(setup.verifies(&root_hash), "{inject} {number}"),
            false => assert!(!ended.ok(), "{inject} {number}: {ended:?}"),
        }
        assert!(names <= 1, "{inject} {number}: something is left behind");
        !ended.ok()
    });
    assert!(faults >= 4, "{faults}");
}

#[test]
fn killed_at_any_call_a_tree_in_place_is_old_or_invalid_or_complete() {
    if !strace_works() {
        return;
    }
    let setup = Setup::new();
    let new = setup.format("--salt=ff");
    let old = setup.format(SALT);
    let before = fs::read(setup.out()).unwrap();
    let faults = at_every_call("signal=KILL", |inject, number| {
        fs::write(setup.out(), &before).unwrap();
        let [a, b, c] = setup.options("--salt=ff");
        let ended = format_with(inject, number, &[&setup.data, &setup.out(), a, b, c]);
        let untouched = fs::read(setup.out()).unwrap() == before;
        let found = (untouched && setup.verifies(&old), setup.is_invalid(), setup.verifies(&new));
        assert!(
            matches!(found, (true, false, false) | (false, true, false) | (false, false, true)),
            "{found:?}"
        );
        assert!(!ended.ok() || found.2, "{inject} {number}");
        !ended.ok()
    });
    assert!(faults >= 4, "{faults}");
}

#[test]
fn no_room_or_a_bad_disk_is_never_success() {
    if !strace_works() {
        return;
    }
    let setup = Setup::new();
    let root_hash = setup.format(SALT);
    for error in ["error=ENOSPC", "error=EIO"] {
        let faults = at_every_call(error, |inject, number| {
            let _ = fs::remove_file(setup.out());
            let [a, b, c] = setup.options(SALT);
            let ended = format_with(inject, number, &[&setup.data, &setup.out(), a, b, c]);
            if ended.ok() {
                assert!(setup.verifies(&root_hash));
                return false;
            }
            assert_eq!(ended.code, Some(2), "{inject} {number}: {ended:?}");
            assert!(ended.stderr.starts_with("ddi: error: "), "{ended:?}");
            // the file may be there once it had all of its content: an error that comes later is told, not undone
            if fs::exists(setup.out()).unwrap() {
                assert!(setup.verifies(&root_hash), "{inject} {number}");
            }
            true
        });
        assert!(faults >= 4, "{faults}");
    }
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
