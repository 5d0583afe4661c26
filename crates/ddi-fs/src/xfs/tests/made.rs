//! Images by mkfs.xfs, which fills them from a list without being root.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, process};

use super::*;

/// Returns true if it is here, and says so if not; where tools are required, that is a failure.
fn has(tool: &str) -> bool {
    let found = Command::new(tool).arg("-V").output().is_ok();
    if !found {
        eprintln!("skipped: no {tool}");
        assert!(env::var_os("DDI_REQUIRE_TOOLS").is_none_or(|value| value != "1"), "no {tool}");
    }
    found
}

/// What a file is, without its content, and that.
#[derive(Debug, PartialEq)]
struct File {
    file_type: FileType,
    permissions: u16,
    owner: (u32, u32),
    rdev: (u32, u32),
    content: Vec<u8>,
}

/// A folder that goes away, with the list for mkfs.xfs and what that says.
struct Made {
    folder: PathBuf,
    list: String,
    expected: BTreeMap<String, File>,
    directory: String,
}

impl Drop for Made {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Made {
    fn new(name: &str) -> Self {
        let folder = env::temp_dir().join(format!("ddi-xfs-{name}-{}", process::id()));
        fs::create_dir_all(&folder).unwrap();
        let list = "/\n0 0\nd--755 0 0\n".to_owned();
        Made { folder, list, expected: BTreeMap::new(), directory: String::new() }
    }

    fn content(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// `letter` as mkfs.xfs has it, and what follows mode and owner.
    fn add(
        &mut self,
        name: &str,
        letter: char,
        permissions: u16,
        owner: (u32, u32),
        more: &str,
        file: Kind<'_>,
    ) {
        let (uid, gid) = owner;
        let mode = format!(
            "{letter}{}{}{:03o}",
            if permissions & 0o4000 != 0 { 'u' } else { '-' },
            if permissions & 0o2000 != 0 { 'g' } else { '-' },
            permissions & 0o777
        );
        writeln!(self.list, "{name} {mode} {uid} {gid} {more}").unwrap();
        let (file_type, rdev, content) = file;
        let file = File { file_type, permissions, owner, rdev, content: content.to_vec() };
        self.expected.insert(format!("{}/{name}", self.directory), file);
    }

    /// Files in a directory of its own; every second one is empty.
    fn directory(&mut self, name: &str, count: usize, len: impl Fn(usize) -> usize) {
        self.add(name, 'd', 0o750, (3, 4), "", (FileType::Directory, (0, 0), b""));
        self.directory = format!("/{name}");
        for i in 0..count {
            let name = format!("{i:05}-{}", "y".repeat(len(i)));
            let content: &[u8] = if i % 2 == 0 { b"" } else { b"small\n" };
            let path = self.folder.join(if i % 2 == 0 { "empty" } else { "small" });
            let path = path.display().to_string();
            self.add(&name, '-', 0o640, (i as u32, 70_000), &path, (FileType::Regular, (0, 0), content));
        }
        self.directory.clear();
        self.list.push_str("$\n");
    }

    fn image(&self, options: &[&str]) -> Vec<u8> {
        let (list, image) = (self.content("list", self.list.as_bytes()), self.folder.join("image"));
        let _ = fs::remove_file(&image);
        fs::File::create(&image).unwrap().set_len(SIZE).unwrap();
        let size = format!("size={SIZE},agcount=1");
        let output = Command::new("mkfs.xfs")
            .args(["--unsupported", "-q", "-f", "-d", &size, "-p"])
            .args([&list])
            .args(options)
            .arg(&image)
            .output()
            .unwrap();
        assert!(output.status.success(), "{options:?}: {}", String::from_utf8_lossy(&output.stderr));
        fs::read(image).unwrap()
    }
}

/// Type, device, content or target.
type Kind<'a> = (FileType, (u32, u32), &'a [u8]);

const SIZE: u64 = 48 << 20;

/// What the reader finds, by path; and what was wrong with a link.
fn everything(fs: &Xfs, dir: Node, path: &str, found: &mut BTreeMap<String, File>) {
    let mut entries = Vec::new();
    fs.list(dir, &mut |entry| {
        let name = String::from_utf8(entry.name.to_vec()).unwrap();
        entries.push((format!("{path}/{name}"), entry.node, entry.file_type));
        ControlFlow::Continue(())
    })
    .unwrap();
    for (path, node, hint) in entries {
        let stat = fs.stat(node).unwrap();
        assert!(hint.is_none_or(|hint| hint == stat.file_type), "{path}");
        let content = match stat.file_type {
            FileType::Regular => {
                let mut content = vec![0; stat.size as usize + 1];
                let n = fs.read_at(node, 0, &mut content).unwrap();
                content.truncate(n);
                // from the middle on, too
                let mut rest = vec![0; n];
                let m = fs.read_at(node, stat.size / 2, &mut rest).unwrap();
                assert_eq!(rest[..m], content[n / 2..], "{path}");
                content
            }
            FileType::Symlink => match fs.link_target(node) {
                // up to 6.11 or so mkfs.xfs left the heads out, and the kernel does not read that either
                Err(Error::Corrupt { what: "symbolic link", .. }) if fs.version == 5 => Vec::new(),
                target => target.unwrap(),
            },
            _ => Vec::new(),
        };
        let file = File {
            file_type: stat.file_type,
            permissions: stat.permissions,
            owner: (stat.uid, stat.gid),
            rdev: stat.rdev,
            content,
        };
        assert!(found.insert(path.clone(), file).is_none(), "{path} twice");
        if stat.file_type == FileType::Directory {
            everything(fs, node, &path, found);
        }
    }
}

fn find(fs: &Xfs, name: &str) -> Node {
    let mut node = None;
    fs.list(fs.root(), &mut |entry| {
        node = node.or(Some(entry.node).filter(|_| entry.name == name.as_bytes()));
        ControlFlow::Continue(())
    })
    .unwrap();
    node.unwrap()
}

/// Magic of the first block of a directory, and the format of its fork.
fn shape(fs: &Xfs, path: &str) -> (u8, Option<[u8; 4]>) {
    let node = find(fs, path);
    let inode = fs.inode(node.0).unwrap();
    let format = inode.data().unwrap().format;
    let magic = (format != LOCAL).then(|| {
        let mut magic = [0; 4];
        fs.read_extents(&fs.data_extents(&inode).unwrap(), 0, &mut magic).unwrap();
        magic
    });
    (format, magic)
}

#[test]
fn what_mkfs_was_given_is_read_back() {
    if !has("mkfs.xfs") {
        return;
    }
    let big: Vec<u8> = (0..300_001_u32).map(|i| (i * 7 + i / 4096) as u8).collect();
    let long = vec!["abcdefghi"; 100].join("/");
    let mut made = Made::new("list");
    let path = made.content("big", &big).display().to_string();
    made.content("empty", b"");
    made.content("small", b"small\n");
    made.directory("few", 3, |i| i);
    made.directory("block", 40, |_| 10);
    made.directory("leaf", 200, |_| 60);
    made.directory("node", 2500, |i| i % 150);
    made.add("big", '-', 0o6755, (1000, 70_000), &path, (FileType::Regular, (0, 0), &big));
    made.add("short", 'l', 0o777, (0, 0), "../usr/lib", (FileType::Symlink, (0, 0), b"../usr/lib"));
    made.add("long", 'l', 0o777, (0, 0), &long, (FileType::Symlink, (0, 0), long.as_bytes()));
    made.add("console", 'c', 0o600, (0, 5), "5 1", (FileType::CharDevice, (5, 1), b""));
    made.add("disk", 'b', 0o660, (0, 6), "259 70000", (FileType::BlockDevice, (259, 70_000), b""));
    made.add("pipe", 'p', 0o644, (0, 0), "", (FileType::Fifo, (0, 0), b""));
    made.list.push_str("$\n");

    for (options, block, data) in [
        (&["-m", "crc=1"][..], b"XDB3", b"XDD3"),
        (&["-m", "crc=1", "-b", "size=1024", "-n", "size=4096"], b"XDB3", b"XDD3"),
        (&["-m", "crc=1", "-i", "size=1024", "-n", "size=16384"], b"XDB3", b"XDD3"),
        (&["-m", "crc=0"], b"XD2B", b"XD2D"),
        (&["-m", "crc=0", "-n", "ftype=0", "-b", "size=512", "-n", "size=4096"], b"XD2B", b"XD2D"),
    ] {
        let fs = open(made.image(options));
        let mut found = BTreeMap::new();
        everything(&fs, fs.root(), "", &mut found);
        assert!(found.keys().eq(made.expected.keys()), "{options:?}");
        for (path, file) in &mut found {
            let expected = &made.expected[path];
            // see above
            if path == "/long" && fs.version == 5 && file.content.is_empty() {
                file.content = long.clone().into_bytes();
            }
            assert!(file == expected, "{options:?} {path}: {:?}", File { content: Vec::new(), ..*file });
        }
        // so that all that there is was tried: the entries in the inode, in one block, in several, and a tree of extents
        assert_eq!(shape(&fs, "few"), (LOCAL, None), "{options:?}");
        if !options.contains(&"size=16384") {
            assert_eq!(shape(&fs, "leaf").1, Some(*data), "{options:?}");
            assert_eq!(shape(&fs, "node"), (3, Some(*data)), "{options:?}");
        }
        assert_eq!(shape(&fs, "block").1, Some(*block), "{options:?}");
    }
}

/// What mkfs.xfs cannot do: attributes, which xfs_db can.
#[test]
fn attributes_by_xfs_db_are_read() {
    if !has("mkfs.xfs") || !has("xfs_db") {
        return;
    }
    let mut made = Made::new("attributes");
    let path = made.content("empty", b"").display().to_string();
    made.add("file", '-', 0o644, (0, 0), &path, (FileType::Regular, (0, 0), b""));
    made.list.push_str("$\n");
    for options in [["-m", "crc=1"], ["-m", "crc=0"]] {
        let image = made.folder.join("image");
        let mut fs = open(made.image(&options));
        let node = find(&fs, "file");
        assert_eq!(fs.xattrs(node).unwrap(), []);
        let mut expected = Vec::new();
        // in the inode, in a leaf, in blocks of its own, and in many leaves
        let sizes = [5, 300, 9000, 65_536].into_iter().chain([200; 30]);
        for (i, len) in sizes.enumerate() {
            let (flag, prefix) = [("-u", "user."), ("-r", "trusted."), ("-s", "security.")][i % 3];
            let set = format!("attr_set {flag} -v {len} name-{i}");
            let seek = format!("inode {}", node.0);
            let output = xfs_db(&image, &[&seek, &set]);
            assert!(output.is_empty(), "{output}");
            expected.push((format!("{prefix}name-{i}").into_bytes(), len));
            if i % 9 != 4 && i > 5 {
                continue;
            }
            fs = open(fs::read(&image).unwrap());
            let mut found = fs.xattrs(node).unwrap();
            found.sort();
            let mut wanted = expected.clone();
            wanted.sort();
            assert!(
                found.iter().map(|xattr| (xattr.name.clone(), xattr.value.len())).eq(wanted),
                "{options:?} {i}"
            );
            // its values are of one letter
            for xattr in found {
                assert!(xattr.value.iter().all(|byte| *byte == b'v'), "{options:?} {i}");
            }
        }
    }
}

fn xfs_db(image: &Path, commands: &[&str]) -> String {
    let mut command = Command::new("xfs_db");
    command.arg("-x");
    for step in commands {
        command.args(["-c", step]);
    }
    let output = command.arg(image).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}
