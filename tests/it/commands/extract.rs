//! `ddi extract` where others may write, where links cannot be made, with little memory and few descriptors: images and
//! neighbours that mean ill.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::hostile::format_faults::strace_works;
use crate::support::{DDI, Ended, Folder, require_root, require_tool, run, run_within};

const MINUTE: Duration = Duration::from_secs(60);

/// A folder with `image.raw`, an erofs image of what `make` puts into a tree, and nothing else.
fn image(make: impl FnOnce(&Path)) -> Option<Folder> {
    if !require_tool("mkfs.erofs") {
        return None;
    }
    let folder = Folder::new();
    let tree = folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    make(&tree);
    run("mkfs.erofs", ["-T0", &folder.file("image.raw"), &folder.file("tree")]).unwrap();
    fs::remove_dir_all(tree).unwrap();
    Some(folder)
}

/// A line of shell in `folder`, in which `$DDI` is the program.
fn shell(folder: &Folder, script: &str) -> Ended {
    let mut command = Command::new("sh");
    command.args(["-c", script]).env("DDI", DDI).current_dir(folder.path());
    run_within(command, MINUTE)
}

fn inode(folder: &Folder, name: &str) -> u64 {
    fs::metadata(folder.file(name)).unwrap().ino()
}

#[test]
fn the_name_is_the_one_that_was_asked_for() {
    let Some(folder) = image(|tree| {
        fs::create_dir_all(tree.join(".git/hooks")).unwrap();
        fs::write(tree.join(".bash_profile"), "x").unwrap();
        symlink("/.bash_profile", tree.join("config")).unwrap();
        symlink(".git", tree.join("src")).unwrap();
    }) else {
        return;
    };
    for asked in ["/config", "src//"] {
        assert_eq!(shell(&folder, &format!("$DDI extract image.raw {asked}")).code, Some(0), "{asked}");
    }
    assert_eq!(folder.names(), ["config", "image.raw", "src"]);
    assert_eq!(fs::read(folder.file("config")).unwrap(), b"x");
    assert!(Path::new(&folder.file("src/hooks")).is_dir());
    for asked in ["/", ".", "/src/.", "/src/..", "//"] {
        let ended = shell(&folder, &format!("$DDI extract image.raw {asked}"));
        assert!(ended.code == Some(2) && ended.stderr.contains("say where to"), "{asked}: {ended:?}");
    }
    assert_eq!(folder.names(), ["config", "image.raw", "src"]);
}

/// erofs: `depth` directories inside each other, with names of 255 bytes, and in the last one empty files of which each
/// says that it has another name.
fn deep_with_links(depth: u64, files: u64) -> Vec<u8> {
    const BLOCK: usize = 4096;
    let inodes = depth + files + 2;
    let data_start = 1 + (inodes as usize * 32).div_ceil(BLOCK);
    let mut data = Vec::new();
    let inode = |mode: u16, size: usize, block: usize| {
        let mut bytes = [0; 32];
        bytes[4..6].copy_from_slice(&mode.to_le_bytes());
        bytes[6] = 2;
        bytes[8..12].copy_from_slice(&(size as u32).to_le_bytes());
        bytes[16..20].copy_from_slice(&(block as u32).to_le_bytes());
        bytes[20] = 1;
        bytes
    };
    // inode 1 is the root
    let mut meta = vec![0; 32];
    for number in 1..=depth {
        let mut entries =
            vec![(".".to_owned(), number, 2), ("..".to_owned(), number.saturating_sub(1).max(1), 2)];
        if number < depth {
            entries.push(("x".repeat(255), number + 1, 2));
        } else {
            entries.extend((0..files).map(|i| (format!("f{i:07}"), depth + 1 + i, 1)));
        }
        let start = data_start + data.len() / BLOCK;
        let mut size = 0;
        let mut rest = &entries[..];
        while !rest.is_empty() {
            let mut taken = 0;
            let mut used = 0;
            while taken < rest.len() && used + 12 + rest[taken].0.len() <= BLOCK {
                used += 12 + rest[taken].0.len();
                taken += 1;
            }
            let (block, mut name_at) = (data.len(), 12 * taken);
            for (name, inode, kind) in &rest[..taken] {
                data.extend(inode.to_le_bytes());
                data.extend((name_at as u16).to_le_bytes());
                data.extend([*kind, 0]);
                name_at += name.len();
            }
            data.extend(rest[..taken].iter().flat_map(|(name, ..)| name.bytes()));
            size = block - (start - data_start) * BLOCK + used;
            data.resize(block + BLOCK, 0);
            rest = &rest[taken..];
        }
        meta.extend(inode(0o40755, size, start));
    }
    for _ in 0..files {
        meta.extend(inode(0o100644, 0, 0));
    }
    meta.resize((data_start - 1) * BLOCK, 0);
    let mut superblock = vec![0; BLOCK];
    superblock[1024..1028].copy_from_slice(&[0xe2, 0xe1, 0xf5, 0xe0]);
    superblock[1024 + 12] = 12;
    superblock[1024 + 14] = 1;
    superblock[1024 + 16..1024 + 24].copy_from_slice(&inodes.to_le_bytes());
    let blocks = (data_start + data.len() / BLOCK) as u32;
    superblock[1024 + 36..1024 + 40].copy_from_slice(&blocks.to_le_bytes());
    superblock[1024 + 40] = 1;
    [superblock, meta, data].concat()
}

/// 4000 paths of 49,920 bytes would be 200 MB.
#[test]
fn memory_does_not_grow_with_hard_links() {
    let folder = Folder::new();
    folder.write("image.raw", &deep_with_links(195, 4000));
    let ended = shell(&folder, "ulimit -v 150000; $DDI extract image.raw / out");
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    let found = run("sh", ["-c", &format!("find {} -type f -links 1 | wc -l", folder.file("out"))]);
    assert_eq!(found.stdout.trim(), "4000");
    assert_eq!(folder.names(), ["image.raw", "out"]);
}

/// To clean up takes no descriptor that the extraction did not have.
#[test]
fn nothing_is_left_where_descriptors_run_out() {
    let folder = Folder::new();
    folder.write("image.raw", &deep_with_links(40, 3));
    let mut failed = 0;
    for limit in 4..30 {
        let ended = shell(&folder, &format!("ulimit -n {limit}; $DDI extract image.raw / out"));
        if ended.code != Some(127) {
            assert_eq!(ended.code, Some(2), "{limit}: {ended:?}");
            assert!(!ended.stderr.contains("warning"), "{limit}: {ended:?}");
            failed += u32::from(ended.stderr.contains("xxx"));
        }
        assert_eq!(folder.names(), ["image.raw"], "{limit}");
    }
    assert!(failed > 10, "{failed}");
}

/// As an ordinary user, for whom directories may be closed.
#[test]
fn hard_links_are_kept_through_closed_directories() {
    let Some(folder) = image(|tree| {
        for name in ["a", "b", "c"] {
            fs::create_dir(tree.join(name)).unwrap();
        }
        fs::write(tree.join("a/file"), "content").unwrap();
        fs::hard_link(tree.join("a/file"), tree.join("b/file")).unwrap();
        fs::hard_link(tree.join("a/file"), tree.join("c/file")).unwrap();
        for (name, mode) in [("a", 0o600), ("b", 0), ("c", 0o500)] {
            fs::set_permissions(tree.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
    }) else {
        return;
    };
    fs::copy(DDI, folder.file("ddi")).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let drop = if require_root() {
        if !require_tool("setpriv") {
            return;
        }
        "setpriv --reuid 65534 --regid 65534 --clear-groups"
    } else {
        ""
    };
    for option in ["", "--preserve"] {
        let ended = shell(&folder, &format!("{drop} ./ddi extract image.raw / out {option}"));
        assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
        for (name, mode) in [("a", 0o600), ("b", 0), ("c", 0o500)] {
            let found = fs::metadata(folder.file(&format!("out/{name}"))).unwrap();
            assert_eq!((found.mode() & 0o7777, found.mtime()), (mode, 0), "{name}");
            fs::set_permissions(folder.file(&format!("out/{name}")), fs::Permissions::from_mode(0o700))
                .unwrap();
        }
        let inodes = ["a", "b", "c"].map(|name| inode(&folder, &format!("out/{name}/file")));
        assert!(inodes.iter().all(|inode| *inode == inodes[0]), "{inodes:?}");
        assert_eq!(fs::metadata(folder.file("out/a/file")).unwrap().nlink(), 3);
        fs::remove_dir_all(folder.file("out")).unwrap();
    }
    assert_eq!(folder.names(), ["ddi", "image.raw"]);
}

/// Where the file system of the destination makes no links, or no more of them.
#[test]
fn what_cannot_be_linked_is_copied_with_one_warning() {
    if !strace_works() {
        return;
    }
    let Some(folder) = image(|tree| {
        for (first, others) in [("a", ["b", "c"]), ("x", ["y", "z"])] {
            fs::write(tree.join(first), first).unwrap();
            for other in others {
                fs::hard_link(tree.join(first), tree.join(other)).unwrap();
            }
        }
    }) else {
        return;
    };
    // the inodes of a, b, c, x, y, z: which are alike
    for (fault, alike) in [
        ("EPERM", [0, 1, 2, 3, 4, 5]),
        // a is kept, b is not linked, is kept in its place, and c is linked
        ("EMLINK:when=2", [0, 1, 1, 3, 3, 3]),
    ] {
        let strace = format!("strace -f -qq -o trace -e trace=linkat -e inject=linkat:error={fault}");
        let ended = shell(&folder, &format!("{strace} $DDI extract image.raw / out"));
        assert_eq!(ended.code, Some(0), "{fault}: {ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{fault}: {ended:?}");
        assert!(ended.stderr.contains("files with more than one name are copied"), "{fault}: {ended:?}");
        let names = ["a", "b", "c", "x", "y", "z"];
        let inodes = names.map(|name| inode(&folder, &format!("out/{name}")));
        let found = inodes.map(|inode| inodes.iter().position(|other| *other == inode).unwrap());
        assert_eq!(found, alike, "{fault}");
        for (name, content) in names.iter().zip(["a", "a", "a", "x", "x", "x"]) {
            assert_eq!(fs::read_to_string(folder.file(&format!("out/{name}"))).unwrap(), content);
        }
        fs::remove_dir_all(folder.file("out")).unwrap();
        assert_eq!(folder.names(), ["image.raw", "trace"], "{fault}");
    }
}

/// While `ddi extract` waits after it has made its n-th directory, `precious` takes the name of its folder, which is given.
fn swapped(folder: &Folder, nth: u32) -> (Ended, String) {
    let inject = format!("inject=mkdirat:delay_exit=3000000:when={nth}");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=mkdirat", "-e", &inject, DDI]);
    command.args(["extract", "image.raw", "/", "out"]).current_dir(folder.path());
    thread::scope(|scope| {
        let extracting = scope.spawn(|| run_within(command, MINUTE));
        let ours = loop {
            let ours = folder.names().into_iter().find(|name| name.starts_with(".ddi-extract-"));
            if let Some(ours) = ours
                && (nth == 1 || fs::exists(folder.file(&format!("{ours}/item"))).unwrap())
            {
                break ours;
            }
            assert!(!extracting.is_finished());
            thread::sleep(Duration::from_millis(1));
        };
        fs::rename(folder.file(&ours), folder.file("moved")).unwrap();
        fs::rename(folder.file("precious"), folder.file(&ours)).unwrap();
        // so that it fails in the end
        fs::write(folder.file("out"), "taken").unwrap();
        (extracting.join().unwrap(), ours)
    })
}

#[test]
fn a_folder_that_takes_the_place_of_ours_stays_as_it_is() {
    if !strace_works() {
        return;
    }
    for nth in [1, 2] {
        let Some(folder) = image(|tree| fs::write(tree.join("file"), "x").unwrap()) else { return };
        fs::create_dir_all(folder.file("precious/item/deep")).unwrap();
        fs::set_permissions(folder.file("precious"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(folder.file("precious/data"), "precious").unwrap();
        let (ended, ours) = swapped(&folder, nth);
        fs::rename(folder.file(&ours), folder.file("precious")).unwrap();
        assert_eq!(ended.code, Some(2), "{nth}: {ended:?}");
        let said = if nth == 1 { "not ours alone" } else { "cannot be removed" };
        assert!(ended.stderr.contains(said), "{nth}: {ended:?}");
        assert_eq!(fs::read(folder.file("precious/data")).unwrap(), b"precious", "{nth}");
        assert!(Path::new(&folder.file("precious/item/deep")).is_dir(), "{nth}");
        assert_eq!(fs::read_dir(folder.file("precious")).unwrap().count(), 2, "{nth}");
        // what we made is removed, wherever it is now
        assert_eq!(fs::read_dir(folder.file("moved")).unwrap().count(), 0, "{nth}");
        assert_eq!(folder.names(), ["image.raw", "moved", "out", "precious"], "{nth}");
    }
}

/// Whatever takes the place of a directory between the moment that it is made and the one that it is opened, at any depth:
/// what a link leads to is neither filled nor changed.
#[test]
fn d5_a_link_in_the_place_of_a_folder_is_not_followed_at_any_depth() {
    if !strace_works() {
        return;
    }
    // the folder of ours, that which is extracted, and what is in it
    for (nth, at) in [(1, ""), (2, "item"), (3, "item/a"), (4, "item/a/b")] {
        let Some(folder) = image(|tree| {
            fs::create_dir_all(tree.join("a/b")).unwrap();
            fs::write(tree.join("a/b/file"), "x").unwrap();
            fs::set_permissions(tree.join("a/b"), fs::Permissions::from_mode(0o711)).unwrap();
        }) else {
            return;
        };
        let precious = folder.file("precious");
        fs::create_dir(&precious).unwrap();
        fs::set_permissions(&precious, fs::Permissions::from_mode(0o700)).unwrap();
        let inject = format!("inject=mkdirat:delay_exit=2000000:when={nth}");
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=mkdirat", "-e", &inject, DDI]);
        command.args(["extract", "image.raw", "/", "out"]).current_dir(folder.path());
        let ended = thread::scope(|scope| {
            let extracting = scope.spawn(|| run_within(command, MINUTE));
            let made = loop {
                let ours = folder.names().into_iter().find(|name| name.starts_with(".ddi-extract-"));
                let made = ours.map(|ours| folder.file(&format!("{ours}/{at}")));
                if let Some(made) = made.filter(|made| Path::new(made).exists()) {
                    break made.trim_end_matches('/').to_owned();
                }
                assert!(!extracting.is_finished(), "{at}");
                thread::sleep(Duration::from_millis(1));
            };
            fs::remove_dir(&made).unwrap();
            symlink(&precious, &made).unwrap();
            extracting.join().unwrap()
        });
        assert_eq!(ended.code, Some(2), "{at}: {ended:?}");
        assert_eq!(fs::read_dir(&precious).unwrap().count(), 0, "{at}: {ended:?}");
        assert_eq!(fs::metadata(&precious).unwrap().mode() & 0o7777, 0o700, "{at}");
        assert!(!Path::new(&folder.file("out")).exists(), "{at}");
    }
}

/// Cleaning up follows no link either: here one takes the place of a directory that is about to be emptied.
#[test]
fn d5_a_link_in_the_place_of_a_folder_is_not_emptied() {
    if !strace_works() {
        return;
    }
    let Some(folder) = image(|tree| {
        fs::create_dir(tree.join("a")).unwrap();
        fs::write(tree.join("a/file"), "x").unwrap();
    }) else {
        return;
    };
    let precious = folder.file("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(folder.file("precious/data"), "precious").unwrap();
    fs::set_permissions(&precious, fs::Permissions::from_mode(0o711)).unwrap();
    // it cannot get its name, and when `a` is not removed because something is in it, there is time
    let mut command = Command::new("strace");
    let removing = "inject=unlinkat:delay_exit=5000000:when=4";
    command.args(["-f", "-qq", "-o", "trace", "-e", "trace=unlinkat,renameat2", "-e", removing]);
    command.args(["-e", "inject=renameat2:error=EEXIST", DDI]);
    command.args(["extract", "image.raw", "/", "out"]).current_dir(folder.path());
    let ended = thread::scope(|scope| {
        let extracting = scope.spawn(|| run_within(command, MINUTE));
        let trace = folder.file("trace");
        // item, item, a; and then a once more, which says ENOTEMPTY and is not in the trace before it returns
        while fs::read_to_string(&trace).unwrap_or_default().matches("= -1").count() < 4 {
            assert!(!extracting.is_finished());
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_secs(1));
        let ours = folder.names().into_iter().find(|name| name.starts_with(".ddi-extract-")).unwrap();
        fs::rename(folder.file(&format!("{ours}/item/a")), folder.file("moved")).unwrap();
        symlink(&precious, folder.file(&format!("{ours}/item/a"))).unwrap();
        extracting.join().unwrap()
    });
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert_eq!(fs::read(folder.file("precious/data")).unwrap(), b"precious", "{ended:?}");
    assert_eq!(fs::metadata(&precious).unwrap().mode() & 0o7777, 0o711);
}

/// As tar does for an ordinary user. The sticky bit goes, and with it what made it safe that all may write.
#[test]
fn s6_extract_heeds_the_umask() {
    const MODES: [u32; 6] = [0o1777, 0o2775, 0o4755, 0o666, 0o777, 0o640];
    let Some(folder) = image(|tree| {
        for mode in MODES {
            let (directory, file) = (tree.join(format!("d{mode:o}")), tree.join(format!("f{mode:o}")));
            fs::create_dir(&directory).unwrap();
            fs::write(&file, "").unwrap();
            for path in [directory, file] {
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
        fs::set_permissions(tree, fs::Permissions::from_mode(0o1777)).unwrap();
    }) else {
        return;
    };
    for umask in [0o022, 0o002, 0o077, 0] {
        for (option, allowed) in [("", 0o777 & !umask), ("--preserve", 0o7777)] {
            let ended = shell(&folder, &format!("umask {umask:03o}; $DDI extract image.raw / out {option}"));
            assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
            let mode = |name: &str| fs::metadata(folder.file(name)).unwrap().mode() & 0o7777;
            assert_eq!(mode("out"), 0o1777 & allowed, "{umask:o} {option}");
            for found in MODES.iter().flat_map(|mode| [(mode, 'd'), (mode, 'f')]) {
                let name = format!("out/{}{:o}", found.1, found.0);
                assert_eq!(mode(&name), found.0 & allowed, "{umask:o} {option} {name}");
            }
            fs::remove_dir_all(folder.file("out")).unwrap();
        }
        // a file alone too
        assert_eq!(
            shell(&folder, &format!("umask {umask:03o}; $DDI extract image.raw /f666 out")).code,
            Some(0)
        );
        let found = fs::metadata(folder.file("out")).unwrap().mode() & 0o7777;
        assert_eq!(found, 0o666 & !umask);
        fs::remove_file(folder.file("out")).unwrap();
    }
}

/// Also an empty one, where others may write into it or it is another's.
#[test]
fn a_folder_of_others_is_not_filled() {
    if !strace_works() || !require_root() {
        return;
    }
    for (mode, owner) in [(0o733, 0), (0o700, 65534)] {
        let Some(folder) = image(|tree| fs::write(tree.join("file"), "x").unwrap()) else { return };
        let precious = folder.file("precious");
        fs::create_dir(&precious).unwrap();
        fs::set_permissions(&precious, fs::Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(&precious, Some(owner), None).unwrap();
        let (ended, _) = swapped(&folder, 1);
        assert_eq!(ended.code, Some(2), "{mode:o}: {ended:?}");
        assert!(ended.stderr.contains("not ours alone"), "{mode:o}: {ended:?}");
        // which was empty, and went
        assert_eq!(folder.names(), ["image.raw", "moved", "out"], "{mode:o}");
    }
}

fn with_special_files(tree: &Path) {
    let path = |name: &str| tree.join(name).into_os_string().into_string().unwrap();
    run("mkfifo", [path("fifo")]).unwrap();
    run("mknod", [&path("null"), "c", "1", "3"]).unwrap();
    run("mknod", [&path("disk"), "b", "7", "0"]).unwrap();
}

#[test]
fn root_is_root_without_proc() {
    if !require_root() || !require_tool("unshare") {
        return;
    }
    let Some(folder) = image(with_special_files) else { return };
    let script = "mount -t tmpfs none /proc && $DDI extract image.raw / out --preserve";
    let ended = shell(&folder, &format!("unshare --mount sh -c '{script}'"));
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    let null = fs::symlink_metadata(folder.file("out/null")).unwrap();
    assert!(null.file_type().is_char_device());
}

#[test]
fn what_is_left_out_is_called_by_its_name_and_with_the_reason() {
    if !require_root() || !require_tool("setpriv") {
        return;
    }
    let Some(folder) = image(with_special_files) else { return };
    fs::copy(DDI, folder.file("ddi")).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let drop = "setpriv --reuid 65534 --regid 65534 --clear-groups";
    let said = |args: &str| {
        let ended = shell(&folder, &format!("{drop} ./ddi extract image.raw {args}"));
        (ended.code, ended.stderr)
    };
    let (plain, root) = ("made with --preserve only", "made by root only");
    for (args, text) in [
        ("/null out", format!("error: image.raw: /null: a character device is {plain}\n")),
        ("/disk out", format!("error: image.raw: /disk: a block device is {plain}\n")),
        ("/fifo out", format!("error: image.raw: /fifo: a FIFO is {plain}\n")),
        ("/disk out --preserve", format!("error: image.raw: /disk: a block device is {root}\n")),
    ] {
        assert_eq!(said(args), (Some(2), format!("ddi: {text}")), "{args}");
    }
    let warning = "ddi: warning:";
    let device = |why: &str| {
        (
            format!("{warning} /disk is left out: a block device is {why}\n"),
            format!("{warning} /null is left out: a character device is {why}\n"),
        )
    };
    let (disk, null) = device(plain);
    let text = format!("{disk}{warning} /fifo is left out: a FIFO is {plain}\n{null}");
    assert_eq!(said("/ plain"), (Some(0), text));
    let (disk, null) = device(root);
    assert_eq!(said("/ preserved --preserve"), (Some(0), format!("{disk}{null}")));
    assert_eq!(folder.names(), ["ddi", "image.raw", "plain", "preserved"]);
    assert_eq!(fs::read_dir(folder.file("preserved")).unwrap().count(), 1);
}

/// Each type of file with all that it has; without `--preserve` all is ours, and only the times are kept.
#[test]
fn what_each_type_has_is_preserved() {
    if !require_root() || !require_tool("setfattr") || !require_tool("mkfs.erofs") {
        return;
    }
    let folder = Folder::new();
    let tree = folder.path().join("tree");
    fs::create_dir(&tree).unwrap();
    with_special_files(&tree);
    std::os::unix::net::UnixListener::bind(tree.join("socket")).unwrap();
    fs::create_dir(tree.join("dir")).unwrap();
    // blocks that are zeros, and some that are not but for a byte at either end
    let mut content = vec![0; (3 << 20) + 5];
    for (at, byte) in content.iter_mut().enumerate().filter(|(at, _)| at % 65_536 < 8192) {
        *byte = (at % 251) as u8;
    }
    let last = content.len() - 1;
    (content[20 * 4096], content[40 * 4096 - 1], content[last]) = (1, 2, 3);
    fs::write(tree.join("file"), &content).unwrap();
    // which ends with a hole
    fs::write(tree.join("dir/zeros"), [&[1; 4096][..], &[0; 10_000]].concat()).unwrap();
    symlink("file", tree.join("link")).unwrap();
    run("setfattr", ["-n", "user.a", "-v", "value", &folder.file("tree/file")]).unwrap();
    run("setfattr", ["-n", "trusted.user.", "-v", "value", &folder.file("tree/file")]).unwrap();
    let names = ["dir", "disk", "fifo", "file", "link", "null", "socket"];
    for (id, name) in names.iter().enumerate() {
        let path = tree.join(name);
        std::os::unix::fs::lchown(&path, Some(1000 + id as u32), Some(2000 + id as u32)).unwrap();
        if *name != "link" {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o710 + id as u32)).unwrap();
        }
        run("touch", ["-h", "-d", &format!("@{}.5", 1_000_000_000 + id), path.to_str().unwrap()]).unwrap();
    }
    run("mkfs.erofs", ["--quiet", &folder.file("image.raw"), tree.to_str().unwrap()]).unwrap();
    let facts = |place: &str, name: &str| {
        let found = fs::symlink_metadata(folder.file(&format!("{place}/{name}"))).unwrap();
        ((found.mode(), found.uid(), found.gid(), found.rdev()), (found.mtime(), found.mtime_nsec()))
    };
    let ended = ddi(&folder, "/ kept --preserve");
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    for name in names {
        assert_eq!(facts("kept", name), facts("tree", name), "{name}");
    }
    let attributes = run("getfattr", ["-d", "-m", "-", &folder.file("kept/file")]).unwrap();
    let attributes: Vec<_> = attributes.lines().filter(|line| line.contains('=')).collect();
    assert_eq!(attributes, ["user.a=\"value\""]);
    assert!(fs::read(folder.file("kept/file")).unwrap() == content);
    let blocks = fs::metadata(folder.file("kept/file")).unwrap().blocks();
    assert!(blocks < content.len() as u64 / 512 / 4, "{blocks}");

    let ended = ddi(&folder, "/ plain");
    assert_eq!((ended.code, ended.stderr.lines().count()), (Some(0), 4), "{ended:?}");
    for name in ["dir", "file", "link"] {
        let ((_, uid, gid, _), times) = facts("plain", name);
        assert_eq!(((uid, gid), times), ((0, 0), facts("tree", name).1), "{name}");
    }
    assert!(fs::read(folder.file("plain/file")).unwrap() == content);
    assert_eq!(fs::read(folder.file("plain/dir/zeros")).unwrap(), [&[1; 4096][..], &[0; 10_000]].concat());
    assert_eq!(run("getfattr", ["-d", "-m", "-", &folder.file("plain/file")]).unwrap(), "");
    let ended = ddi(&folder, "/file - | cmp - kept/file");
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    // each by itself too
    for name in ["link", "null", "disk", "fifo", "socket"] {
        let target = if name == "link" { "file" } else { name };
        assert_eq!(ddi(&folder, &format!("/{name} one-{name} --preserve")).code, Some(0), "{name}");
        assert_eq!(facts(".", &format!("one-{name}")), facts("tree", target), "{name}");
    }
}

fn ddi(folder: &Folder, args: &str) -> Ended {
    shell(folder, &format!("$DDI extract image.raw {args}"))
}

#[test]
fn no_more_than_64_are_named_that_are_left_out() {
    for (count, told, last) in [(64, 64, " is left out"), (65, 65, "1 more are left out"), (70, 65, "6 more")]
    {
        let Some(folder) = image(|tree| {
            for number in 0..count {
                run("mkfifo", [tree.join(format!("{number:02}")).to_str().unwrap()]).unwrap();
            }
        }) else {
            return;
        };
        let ended = ddi(&folder, "/ out");
        let lines: Vec<_> = ended.stderr.lines().collect();
        assert_eq!((ended.code, lines.len()), (Some(0), told), "{ended:?}");
        assert!(lines.last().unwrap().contains(last), "{ended:?}");
        assert!(lines[0].contains("/00 is left out"), "{ended:?}");
    }
}

/// Its owner may not move a directory that he may not write into, and has it all the same.
#[test]
fn a_directory_that_is_closed_takes_its_place() {
    let Some(folder) = image(|tree| {
        for (name, mode) in [("closed", 0o555), ("open", 0o755), ("none", 0)] {
            fs::create_dir(tree.join(name)).unwrap();
            fs::write(tree.join(name).join("file"), "x").unwrap();
            fs::set_permissions(tree.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
    }) else {
        return;
    };
    fs::copy(DDI, folder.file("ddi")).unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let drop = if require_root() {
        if !require_tool("setpriv") {
            return;
        }
        "setpriv --reuid 65534 --regid 65534 --clear-groups"
    } else {
        ""
    };
    for (name, mode) in [("closed", 0o555), ("open", 0o755), ("none", 0)] {
        for option in ["", "--preserve"] {
            let out = format!("out-{name}{option}");
            let ended = shell(&folder, &format!("{drop} ./ddi extract image.raw /{name} {out} {option}"));
            assert_eq!((ended.code, &*ended.stderr), (Some(0), ""), "{out}");
            let found = fs::metadata(folder.file(&out)).unwrap();
            assert_eq!((found.mode() & 0o7777, found.mtime()), (mode, 0), "{out}");
            fs::set_permissions(folder.file(&out), fs::Permissions::from_mode(0o700)).unwrap();
            assert_eq!(fs::read(folder.file(&format!("{out}/file"))).unwrap(), b"x");
        }
    }
}

/// A link, and then a file of the same name, which is not written to where the link leads.
#[test]
fn a_file_is_not_written_through_a_link_of_its_name() {
    let Some(folder) = image(|tree| {
        symlink(tree.parent().unwrap().join("outside"), tree.join("name-a")).unwrap();
        fs::write(tree.join("name-b"), "planted").unwrap();
    }) else {
        return;
    };
    let mut bytes = fs::read(folder.file("image.raw")).unwrap();
    let at = bytes.windows(6).position(|name| name == b"name-b").unwrap();
    bytes[at + 5] = b'a';
    // no checksum of the superblock
    bytes[1024 + 8] &= !1;
    fs::write(folder.file("image.raw"), &bytes).unwrap();
    for option in ["", "--preserve"] {
        let ended = ddi(&folder, &format!("/ out {option}"));
        assert!(matches!(ended.code, Some(1 | 2)), "{ended:?}");
        assert_eq!(folder.names(), ["image.raw"]);
    }
}
