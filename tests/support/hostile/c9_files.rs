//! Files inside file systems: links, names, types, sizes and directories that mean ill, and facts that are none.
//!
//! The file systems are made once, by their ordinary tools; where one of these is missing, so are its images. What no
//! tool makes is patched in by hand: in ext4 without checksums, of 1024-byte blocks and one group.

use std::fs;
use std::sync::LazyLock;

use super::base::{Part, disk};
use super::c4_file_systems::{Kind, volume};
use super::{Class, Media, Node};
use crate::support::{Folder, require_tool, run};

/// A file of the machine that builds and runs this, which no image may show.
const OF_THE_MACHINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
const UUID: &str = "c9c9c9c9-0001-4002-8003-c9c9c9c9c9c9";
const RELEASE: &str = "/etc/os-release";

type Files = Vec<(String, Node)>;

fn text(path: &str, text: impl AsRef<[u8]>) -> (String, Node) {
    (path.into(), Node::File(text.as_ref().to_vec()))
}

fn link(path: &str, target: &str) -> (String, Node) {
    (path.into(), Node::Symlink(target.into()))
}

fn directory(path: &str) -> (String, Node) {
    (path.into(), Node::Directory)
}

/// A tree in a folder of its own, and the file system that `program` makes of it.
fn made(files: &Files, program: &str, args: impl Fn(&str, &str) -> Vec<String>) -> Vec<u8> {
    let folder = Folder::new();
    let (tree, image) = (folder.file("tree"), folder.file("image"));
    fs::create_dir(&tree).unwrap();
    for (name, node) in files {
        let path = folder.path().join("tree").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        node.make(&path);
    }
    run(program, args(&tree, &image)).unwrap();
    fs::read(image).unwrap()
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

fn squashfs(files: &Files) -> Vec<u8> {
    made(files, "mksquashfs", |tree, image| {
        let plain = "-noI -noD -noF -noX -all-root -noappend -quiet -no-progress";
        words(&format!("{tree} {image} {plain}"))
    })
}

fn erofs(files: &Files) -> Vec<u8> {
    let mut bytes =
        made(files, "mkfs.erofs", |tree, image| words(&format!("-T0 --quiet -U{UUID} {image} {tree}")));
    // it has no checksum any more
    bytes[1024 + 8] &= !1;
    bytes
}

/// An ext4 file system to be patched.
#[derive(Clone)]
struct Ext(Vec<u8>);

impl Ext {
    fn new(files: &Files) -> Self {
        Ext(made(files, "mke2fs", |tree, image| {
            let features = "^has_journal,^metadata_csum,^resize_inode,^64bit";
            words(&format!(
                "-q -F -t ext4 -O {features} -b 1024 -I 256 -N 512 -U {UUID} -d {tree} {image} 1M"
            ))
        }))
    }

    fn u32(&self, at: usize) -> usize {
        u32::from_le_bytes(self.0[at..at + 4].try_into().unwrap()) as usize
    }

    /// Where `name` stands in the entry of a directory.
    fn name(&self, name: &str) -> usize {
        let len = name.len();
        let is_entry = |at: usize| {
            self.0[at..at + len] == *name.as_bytes()
                && usize::from(self.0[at - 2]) == len
                && (1..=512).contains(&self.u32(at - 8))
        };
        (8..self.0.len() - len).find(|at| is_entry(*at)).unwrap_or_else(|| panic!("no {name}"))
    }

    /// Where the inode of `name` begins. The table of inodes is told by the descriptor in block 2.
    fn inode(&self, name: &str) -> usize {
        let number = self.u32(self.name(name) - 8);
        self.u32(2048 + 8) * 1024 + (number - 1) * 256
    }

    /// Another type for `name`: the four bits of its mode, and what the directory says.
    fn typed(mut self, name: &str, bits: u8, in_directory: u8) -> Self {
        let inode = self.inode(name);
        self.0[inode + 1] = self.0[inode + 1] & 0x0f | bits << 4;
        let at = self.name(name);
        self.0[at - 1] = in_directory;
        self
    }

    fn sized(mut self, name: &str, size: u64) -> Self {
        let inode = self.inode(name);
        let bytes = size.to_le_bytes();
        self.0[inode + 4..inode + 8].copy_from_slice(&bytes[..4]);
        self.0[inode + 108..inode + 112].copy_from_slice(&bytes[4..]);
        self
    }

    /// The entry of `name` leads to the inode of `other`.
    fn leading(mut self, name: &str, other: &str) -> Self {
        let (at, from) = (self.name(name), self.name(other));
        self.0.copy_within(from - 8..from - 4, at - 8);
        self
    }

    fn named(mut self, name: &str, other: &[u8]) -> Self {
        let at = self.name(name);
        self.0[at..at + name.len()].copy_from_slice(other);
        self
    }

    /// `user.extension-release.strict` is 0, in the inode itself.
    fn not_strict(mut self, name: &str) -> Self {
        let inode = self.inode(name);
        let extra = usize::from(u16::from_le_bytes([self.0[inode + 128], self.0[inode + 129]]));
        let at = inode + 128 + extra;
        self.0[at..inode + 256].fill(0);
        self.0[at..at + 4].copy_from_slice(&[0, 0, 2, 0xea]);
        // length of the name, `user.`, where the value is, and its size
        let entry = at + 4;
        self.0[entry..entry + 4].copy_from_slice(&[24, 1, 80, 0]);
        self.0[entry + 8] = 1;
        self.0[entry + 16..entry + 40].copy_from_slice(b"extension-release.strict");
        self.0[entry + 80] = b'0';
        self
    }

    fn media(self) -> Media {
        media(self.0)
    }
}

fn media(bytes: Vec<u8>) -> Media {
    Media::new((bytes.len() as u64).next_multiple_of(4096)).with(0, bytes)
}

/// So many links in a row, and at their end a file.
fn row_of_links(count: u32) -> Files {
    let mut files: Files =
        (1..count).map(|n| link(&format!("link-{n}"), &format!("link-{}", n + 1))).collect();
    files.push(link(&format!("link-{count}"), "bottom"));
    files.push(text("bottom", "the bottom\n"));
    files
}

fn links(class: &mut Class) {
    let ext = |files: Files| Ext::new(&files).media();
    class.add(
        "os-release is a link to itself",
        ext(vec![link("etc/os-release", "os-release")]),
        "inspect",
        0,
        "no osRelease",
    );
    let ring = || vec![link("a", "b"), link("b", "a"), link("etc/os-release", "/a")];
    class.add("two links to each other, as os-release", ext(ring()), "inspect", 0, "no osRelease");
    class.add("two links to each other, read", ext(ring()), "cat {image} /a", 2, "link-loop");
    class.add("two links to each other, listed", ext(ring()), "ls -R {image}", 0, "etc/os-release");
    class.add("40 links in a row", ext(row_of_links(40)), "cat {image} /link-1", 0, "the bottom");
    class.add("41 links in a row", ext(row_of_links(41)), "cat {image} /link-1", 2, "link-loop");
    class.add(
        "41 links in a row, not the last one followed",
        ext(row_of_links(41)),
        "ls -l {image} /link-1",
        0,
        "link-2",
    );
    let up = || link("etc/os-release", "../../../../../../../../etc/passwd");
    class.add("os-release is a link far up, to no file", ext(vec![up()]), "inspect", 0, "no osRelease");
    class.add(
        "a link far up, to no file, read",
        ext(vec![up()]),
        &format!("cat {{image}} {RELEASE}"),
        2,
        "not-found",
    );
    class.add(
        "os-release is a link far up, to a file of the image",
        ext(vec![up(), text("etc/passwd", "ID=inside\n")]),
        "inspect",
        0,
        "ID=inside",
    );
    let out = || link("etc/os-release", OF_THE_MACHINE);
    class.add(
        "os-release is a link to a file of this machine",
        ext(vec![out()]),
        "inspect",
        0,
        "no osRelease",
    );
    for (ask, destination) in [("cat", ""), ("extract", " {dir}/out")] {
        class.add(
            "a link to a file of this machine",
            ext(vec![out()]),
            &format!("{ask} {{image}} {RELEASE}{destination}"),
            2,
            "not-found",
        );
    }
    let absolute = || vec![text("etc/hostname", "inside\n"), link("name", "/etc/hostname")];
    class.add(
        "an absolute link to a name that this machine has too",
        ext(absolute()),
        "cat {image} /name",
        0,
        "inside",
    );
    class.add(
        "hostname is an absolute link",
        ext(vec![text("etc/name", "inside\n"), link("etc/hostname", "/etc/name")]),
        "inspect",
        0,
        "hostname=inside",
    );
    class.add(
        "links out of the tree, written down",
        ext(vec![out(), link("up", "../../..")]),
        "extract {image} / {dir}/out",
        0,
        "up",
    );
    class.add(
        "a path through a link that leads out of the tree",
        ext(vec![link("up", "/../../.."), text("etc/hostname", "inside\n")]),
        "cat {image} /up/../up/etc/hostname",
        0,
        "inside",
    );
}

fn types_and_sizes(class: &mut Class) {
    let base = Ext::new(&vec![text("etc/os-release", "ID=c9\n")]);
    for (what, bits, in_directory) in
        [("a FIFO", 1, 5), ("a character device", 2, 3), ("a block device", 6, 4), ("a socket", 12, 6)]
    {
        let image = base.clone().typed("os-release", bits, in_directory).media();
        class.add(format!("os-release is {what}"), image.clone(), "inspect", 0, "not-a-file");
        class.add(format!("{what}, read"), image, &format!("cat {{image}} {RELEASE}"), 2, "not-a-file");
    }
    let folder = Ext::new(&vec![directory("etc/os-release")]).media();
    class.add("os-release is a directory", folder.clone(), "inspect", 0, "not-a-file");
    class.add("a directory, read", folder, &format!("cat {{image}} {RELEASE}"), 2, "not-a-file");
    class.add(
        "a path through a file",
        base.clone().media(),
        &format!("cat {{image}} {RELEASE}/x"),
        2,
        "not-a-directory",
    );
    for (len, answer) in [((64 << 10) - 6, "ID=c9"), ((64 << 10) - 5, "too-large")] {
        let mut content = b"ID=c9\n".to_vec();
        content.resize(6 + len, b'#');
        class.add(
            format!("an os-release of {} bytes", content.len()),
            Ext::new(&vec![text("etc/os-release", content)]).media(),
            "inspect",
            0,
            answer,
        );
    }
    let claiming = |size| base.clone().sized("os-release", size).media();
    class.add("os-release of nearly 8 EiB", claiming(i64::MAX as u64), "inspect", 0, "too-large");
    class.add(
        "a file of nearly 8 EiB",
        claiming(i64::MAX as u64),
        &format!("cat --max-size 1048576 {{image}} {RELEASE}"),
        2,
        "too-many-bytes",
    );
    class.add(
        "a file of a negative size",
        claiming(u64::MAX),
        &format!("cat --max-size 1048576 {{image}} {RELEASE}"),
        1,
        "corrupt-file-system",
    );
    let linked = Ext::new(&vec![link("link", "target")]).sized("link", 0xffff_fff0);
    class.add("a link whose target has 4 GiB, ext4", linked.media(), "ls -l {image}", 2, "too-large");
}

fn facts(class: &mut Class) {
    let ext = |path: &str, content: &[u8]| Ext::new(&vec![text(path, content)]).media();
    let release = "etc/os-release";
    class.add("os-release with NUL", ext(release, b"ID=c9\nA=b\0c\n"), "inspect", 0, "env-file-nul");
    class.add("os-release with \\xff", ext(release, b"ID=c9\nA=\xff\n"), "inspect", 0, "env-file-not-utf-8");
    class.add(
        "os-release with codes of terminals and other directions",
        ext(release, "ID=c9\nA=\x1b[31mred\x1b]0;title\x07\u{202e}txt\u{9b}2J\n".as_bytes()),
        "inspect",
        0,
        "ID=c9",
    );
    class.add("machine-id of letters", ext("etc/machine-id", &[b'x'; 32]), "inspect", 0, "machineId=invalid");
    class.add(
        "machine-id with codes of terminals",
        ext("etc/machine-id", b"\x1b[2J00112233445566778899aabbccddeeff\n"),
        "inspect",
        0,
        "machineId=invalid",
    );
    class.add(
        "hostname with codes of terminals",
        ext("etc/hostname", "\x1b[31mc9\u{202e}\n".as_bytes()),
        "inspect",
        0,
        "hostname=31mc9",
    );
    class.add(
        "hostname of nothing else",
        ext("etc/hostname", b"\x1b\x1b[\n"),
        "inspect",
        0,
        "invalid-hostname",
    );
    let folder = "usr/lib/extension-release.d";
    let two = vec![
        text(&format!("{folder}/extension-release.one"), "ID=one\n"),
        text(&format!("{folder}/extension-release.two"), "ID=two\n"),
    ];
    let two = Ext::new(&two).not_strict("extension-release.one").not_strict("extension-release.two");
    class.add("two extension-release files", two.media(), "inspect", 0, "ambiguous-extension-release");
}

fn names_and_directories(class: &mut Class) {
    class.add(
        "names with codes of terminals and other directions",
        Ext::new(&vec![
            text("a\x1b[31m\n\u{202e}b", ""),
            text("victim\u{200b}", ""),
            link("c", "\x1b]0;t\x07"),
        ])
        .media(),
        "ls -R -l {image}",
        0,
        "victim",
    );
    class.add(
        "a name that is not UTF-8",
        Ext::new(&vec![text("victim", "")]).named("victim", b"vic\xff\x9bm").media(),
        "ls -R {image}",
        0,
        "vic",
    );
    for (what, name) in [("a slash", &b"vic/im"[..]), ("a NUL", b"vic\0im")] {
        class.add(
            format!("a name with {what}"),
            Ext::new(&vec![text("victim", "")]).named("victim", name).media(),
            "extract {image} / {dir}/out",
            1,
            "corrupt-file-system",
        );
    }
    class.add(
        // taken for the parent, as the kernel does, and not for a file
        "a file whose name is `..`",
        Ext::new(&vec![text("vi", "")]).named("vi", b"..").media(),
        "extract {image} / {dir}/out",
        0,
        "lost+found",
    );
    let looping = Ext::new(&vec![directory("outer/inner")]).leading("inner", "outer").media();
    for ask in ["ls -R {image}", "extract {image} / {dir}/out"] {
        class.add("a directory that is inside itself", looping.clone(), ask, 1, "directory-loop");
    }
    let deep = |levels| Ext::new(&vec![directory(&["d"; 201][..levels].join("/"))]).media();
    class.add("201 directories inside each other", deep(201), "ls -R {image}", 2, "too-deep");
    class.add("nothing of 201 directories is left", deep(201), "extract {image} / {dir}/out", 2, "too-deep");
}

fn whole_file_systems(class: &mut Class) {
    let locked = disk(&[Part::new("root-x86-64", "os_1", &volume(&[Kind::Luks]))]);
    class.add("a root in LUKS, read", locked.clone(), "ls {image}", 2, "encrypted");
    class.add("a root in LUKS, inspected", locked, "inspect", 0, "encrypted");
    if require_tool("mke2fs") {
        let mut ext = Ext::new(&vec![text("etc/os-release", "ID=c9\n")]);
        ext.0[1024 + 0x60 + 3] |= 0x80;
        let ext = ext.media();
        let answer = "unknown-file-system-features";
        class.add("a feature that nobody knows, inspected", ext.clone(), "inspect", 0, answer);
        class.add("a feature that nobody knows, read", ext, "cat {image} /etc/os-release", 2, answer);
    }
    let files = vec![text("etc/os-release", "ID=c9\n"), link("link", "where-it-leads")];
    if require_tool("mkfs.erofs") {
        let mut bytes = erofs(&files);
        let number = |at: usize, len: usize| {
            bytes[at..at + len].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
        };
        let inode = number(1024 + 40, 4) * 4096 + number(1024 + 14, 2) * 32;
        let xattrs = number(inode + 2, 2);
        let entries = inode
            + if bytes[inode] & 1 == 1 { 64 } else { 32 }
            + if xattrs > 0 { 12 + (xattrs - 1) * 4 } else { 0 };
        bytes[entries + 8..entries + 10].fill(0xff);
        let image = media(bytes);
        let what = "erofs whose first name is behind its directory";
        class.add(what, image.clone(), "ls {image}", 1, "corrupt-file-system");
        class.add(what, image, "extract {image} / {dir}/out", 1, "corrupt-file-system");
    }
    if require_tool("mksquashfs") {
        let good = squashfs(&files);
        let number = |at: usize| u64::from_le_bytes(good[at..at + 8].try_into().unwrap()) as usize;
        let mut typed = good.clone();
        // where the inodes begin, where that of the root is there, and the length of the block
        typed[number(64) + 2 + (number(32) & 0xffff)] = 0xff;
        class.add("squashfs whose root has no type", media(typed), "ls {image}", 1, "corrupt-file-system");
        let mut beyond = good.clone();
        beyond[34..38].fill(0x7f);
        class.add("squashfs whose root is nowhere", media(beyond), "ls {image}", 1, "corrupt-file-system");
        let mut long = good.clone();
        let target = long.windows(14).position(|found| found == b"where-it-leads").unwrap();
        long[target - 4..target].fill(0xff);
        class.add("a link whose target has 4 GiB, squashfs", media(long), "ls -l {image}", 2, "too-large");
    }
}

fn made_images() -> Class {
    let mut class = Class::new("C9");
    if require_tool("mke2fs") {
        links(&mut class);
        types_and_sizes(&mut class);
        facts(&mut class);
        names_and_directories(&mut class);
    }
    whole_file_systems(&mut class);
    class
}

pub(crate) fn images() -> Class {
    static MADE: LazyLock<Class> = LazyLock::new(made_images);
    MADE.clone()
}
