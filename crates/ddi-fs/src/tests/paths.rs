//! The resolver and the walk, on trees made up here.

use std::time::Duration;

use super::memory::Memory;
use crate::{Budget, Error, FileType, Limit, Step, Vfs, Walk};

fn read(tree: &Vfs, path: &str) -> Result<String, Error> {
    tree.read_path(path.as_bytes(), 1 << 16).map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn links_stay_inside() {
    let tree = Memory::new()
        .file("/etc/passwd", "inside")
        .link("/up", "../../../../../etc/passwd")
        .link("/etc/abs", "/etc/passwd")
        .link("/a/b/rel", "../../etc/passwd")
        .link("/dir", "/etc")
        .link("/empty", "")
        .link("/etc/self", ".")
        .tree();
    for path in [
        "/etc/passwd",
        "etc//passwd",
        "up",
        "etc/abs",
        "a/b/rel",
        "dir/passwd",
        "/../etc/./passwd",
        "dir/../etc/self/passwd",
    ] {
        assert_eq!(read(&tree, path).unwrap(), "inside", "{path}");
    }
    assert_eq!(tree.locate(b"/dir/self/abs", true).unwrap().1, b"/etc/passwd");
    assert_eq!(tree.locate(b"/..", true).unwrap().1, b"/");
    assert!(matches!(read(&tree, "etc/passwd/"), Err(Error::NotADirectory)));
    assert!(matches!(read(&tree, "etc/passwd/.."), Err(Error::NotADirectory)));
    assert!(matches!(read(&tree, "empty"), Err(Error::NotFound)));
    assert!(matches!(read(&tree, "dir"), Err(Error::NotAFile)));
    assert!(matches!(read(&tree, "nothing/.."), Err(Error::NotFound)));
    let kind = |path: &[u8]| tree.stat(tree.resolve_link(path).unwrap()).unwrap().file_type;
    assert_eq!(kind(b"dir"), FileType::Symlink);
    assert_eq!(kind(b"dir/"), FileType::Directory);
}

#[test]
fn link_loops_end() {
    let mut fs =
        Memory::new().link("/a", "b").link("/b", "a").link("/wide", "wide/wide/wide/wide").file("/0", "x");
    for i in 0..41 {
        fs = fs.link(&format!("/{}", i + 1), &format!("{i}"));
    }
    let tree = fs.tree();
    for path in ["a", "b/x", "wide", "41"] {
        assert!(matches!(read(&tree, path), Err(Error::LinkLoop)), "{path}");
    }
    assert_eq!(read(&tree, "40").unwrap(), "x");
}

#[test]
fn devices_are_not_content() {
    let tree = Memory::new().fifo("/etc/os-release").tree();
    assert!(matches!(read(&tree, "/etc/os-release"), Err(Error::NotAFile)));
}

#[test]
fn usr_is_mounted_over_root() {
    let usr = Memory::new().file("/lib/os-release", "usr").link("/up", "../etc/x").arc();
    let root = Memory::new().file("/usr/lib/os-release", "hidden").file("/etc/x", "root");
    let root = root.link("/etc/os-release", "../usr/lib/os-release").tree();
    let tree = root.with_mount(b"usr", usr.clone());
    assert_eq!(read(&tree, "/etc/os-release").unwrap(), "usr");
    assert_eq!(read(&tree, "/usr/up").unwrap(), "root");
    assert_eq!(tree.locate(b"/usr/..", true).unwrap().0, tree.root());
    assert_eq!(
        paths(&tree),
        ["/", "/etc", "/etc/os-release", "/etc/x", "/usr", "/usr/lib", "/usr/lib/os-release", "/usr/up"]
    );
    let alone = Vfs::new(None).with_mount(b"usr", usr);
    assert_eq!(paths(&alone), ["/", "/usr", "/usr/lib", "/usr/lib/os-release", "/usr/up"]);
    assert!(matches!(read(&alone, "/usr/up"), Err(Error::NotFound)));
}

fn paths(tree: &Vfs) -> Vec<String> {
    let mut all = Vec::new();
    let mut walk = Walk::new(Budget::default());
    walk.tree(tree, tree.root(), &mut |_, visit| {
        all.push(String::from_utf8(visit.path.to_vec()).unwrap());
        visit.stat.map(|_| Step::Continue)
    })
    .unwrap();
    all
}

/// How a walk that stops for nothing else ends.
fn walk(tree: &Vfs, budget: Budget) -> (usize, Option<Error>, Vec<&'static str>) {
    let mut visits = 0;
    let mut errors = Vec::new();
    let mut walk = Walk::new(budget);
    let outcome = walk.tree(tree, tree.root(), &mut |_, visit| {
        visits += 1;
        errors.extend(visit.stat.err().map(|error| error.code()));
        Ok(Step::Continue)
    });
    (visits, outcome.err(), errors)
}

#[test]
fn a_directory_inside_itself_is_met_once() {
    let mut fs = Memory::new().file("/a/b/file", "x");
    let a = fs.dir("/a");
    fs.name("/a/b/again", a);
    fs.name("/a/b/root", 0);
    let (visits, outcome, errors) = walk(&fs.tree(), Budget::default());
    assert!(outcome.is_none());
    assert_eq!(errors, ["directory-loop"; 2]);
    assert_eq!(visits, 8);
}

#[test]
fn each_limit_of_the_budget() {
    let mut fs = Memory::new();
    for i in 0..500 {
        fs = fs.file(&format!("/many/{i}"), "0123456789");
    }
    fs.dir(&"/d".repeat(300));
    let tree = fs.tree();
    let default = Budget::default();
    let end = |budget| match walk(&tree, budget).1 {
        Some(Error::Budget(limit)) => Some(limit),
        other => panic!("{other:?}"),
    };
    assert_eq!(end(Budget { entries: 400, depth: 500, ..default }), Some(Limit::Entries));
    assert_eq!(end(Budget { depth: 200, ..default }), Some(Limit::Depth));
    assert_eq!(end(Budget { time: Duration::ZERO, depth: 500, ..default }), Some(Limit::Time));
    assert!(walk(&tree, Budget { depth: 301, ..default }).1.is_none());
    // `/many` and `/d` are held, and while the files are gone through their names
    let names = 4 + 1 + 10 + 90 * 2 + 400 * 3 + 502 * 24;
    assert!(walk(&tree, Budget { names, depth: 301, ..default }).1.is_none());
    assert_eq!(end(Budget { names: names - 1, depth: 301, ..default }), Some(Limit::Names));
    let few = Walk::new(Budget { bytes: 15, ..default });
    let file = tree.resolve(b"/many/7").unwrap();
    few.content(&tree, file, &mut |_| Ok(())).unwrap();
    let error = few.content(&tree, file, &mut |_| Ok(())).unwrap_err();
    assert!(matches!(error, Error::Budget(Limit::Bytes)));
}

/// Threads that read through one walk have its budget together, to the byte.
#[test]
fn x4_threads_share_the_budget_of_a_walk() {
    let tree = Memory::new().file("/a", "0123456789").tree();
    let file = tree.resolve(b"/a").unwrap();
    for reads in [40, 41, 47] {
        let walk = Walk::new(Budget { bytes: 400, ..Budget::default() });
        let good: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    let (walk, tree) = (&walk, &tree);
                    scope.spawn(move || {
                        let mine = (thread..reads).step_by(4);
                        mine.filter(|_| walk.content(tree, file, &mut |_| Ok(())).is_ok()).count()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((good, walk.bytes()), (40, reads as u64 * 10));
    }
}

#[test]
fn a_file_larger_than_wanted_is_not_read() {
    let tree = Memory::new().file("/f", "0123456789").tree();
    assert!(matches!(tree.read_path(b"/f", 9), Err(Error::TooLarge { size: 10, limit: 9 })));
    assert_eq!(tree.read_path(b"/f", 10).unwrap(), b"0123456789");
}

#[test]
fn the_names_of_one_directory() {
    let tree = Memory::new().file("/b", "").file("/a/b", "").damaged("/c").tree();
    let list = |budget| Walk::new(budget).names(&tree, tree.root());
    let (names, error) = list(Budget::default()).unwrap();
    assert!(error.is_none());
    assert!(names.iter().map(|(name, _)| name).eq([b"a", b"b", b"c"]));
    assert!(names.iter().all(|(name, place)| tree.resolve_link(name).unwrap() == place));
    let less = list(Budget { names: 3 * 25 - 1, ..Budget::default() });
    assert!(matches!(less, Err(Error::Budget(Limit::Names))));
    let file = tree.resolve(b"/b").unwrap();
    let (names, error) = Walk::new(Budget::default()).names(&tree, file).unwrap();
    assert!(names.iter().next().is_none() && matches!(error, Some(Error::NotADirectory)));
}

#[test]
fn the_way_to_a_file_is_bounded() {
    let deep = |times| format!("/{}", "d/../".repeat(times));
    let tree = |size| Memory::new().file("/d/file", "x").directory_size(size).tree();
    // each time one name, and the size of the directory
    for (size, most) in [(0, 1_999_998), (64 << 10, 974)] {
        let tree = tree(size);
        assert_eq!(read(&tree, &format!("{}d/file", deep(most))).unwrap(), "x", "{size}");
        let far = read(&tree, &format!("{}d/file", deep(most + 1)));
        assert!(matches!(far, Err(Error::Budget(Limit::Lookup))), "{size}: {far:?}");
    }
    assert!(matches!(read(&tree(u64::MAX), "/d"), Err(Error::Budget(Limit::Lookup))));
}
