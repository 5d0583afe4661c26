use std::io::Read;

use super::*;

/// A member as its bytes: header and contents.
#[derive(Clone)]
struct Made<'a> {
    name: &'a [u8],
    kind: u8,
    size: &'a str,
    link: &'a [u8],
    contents: Vec<u8>,
}

fn file<'a>(name: &'a str, contents: &[u8]) -> Made<'a> {
    Made { name: name.as_bytes(), kind: b'0', size: "", link: b"", contents: contents.to_vec() }
}

fn link<'a>(kind: u8, name: &'a str, to: &'a str) -> Made<'a> {
    Made { name: name.as_bytes(), kind, size: "", link: to.as_bytes(), contents: Vec::new() }
}

fn directory(name: &str) -> Made<'_> {
    link(b'5', name, "")
}

fn extended(kind: u8, records: &[(&str, &[u8])]) -> Made<'static> {
    let mut contents = Vec::new();
    for (key, value) in records {
        let rest = key.len() + value.len() + 3;
        let length = (rest..).find(|length| rest + length.to_string().len() == *length).unwrap();
        contents.extend(format!("{length} {key}=").bytes());
        contents.extend_from_slice(value);
        contents.push(b'\n');
    }
    Made { name: b"PaxHeader", kind, size: "", link: b"", contents }
}

impl Made<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut block = [0_u8; 512];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, self.name);
        put(100, b"0000644\0");
        let size = match self.size {
            "" => format!("{:011o}", self.contents.len()),
            size => size.to_owned(),
        };
        put(124, size.as_bytes());
        put(136, b"14524770400\0");
        put(148, b"        ");
        put(156, &[self.kind]);
        put(157, self.link);
        put(257, b"ustar\x0000");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let mut bytes = block.to_vec();
        bytes.extend_from_slice(&self.contents);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }
}

fn archive(members: &[Made<'_>]) -> Vec<u8> {
    let mut bytes: Vec<u8> = members.iter().flat_map(Made::bytes).collect();
    bytes.extend([0; 1024]);
    bytes
}

fn options() -> ArchiveOptions {
    ArchiveOptions::new().folder(std::env::temp_dir())
}

fn read(bytes: &[u8]) -> Result<Archive, Error> {
    Archive::read("a.tar", &mut &*bytes, &options())
}

/// The paths, with what they are.
fn listed(archive: &Archive) -> Vec<String> {
    let shown = |(key, entry): (&Key, &Entry)| {
        let path = crate::content::tree::show_key(key);
        match &entry.kind {
            Kind::File { .. } => {
                let contents = archive.read_file(&path, 1 << 20).unwrap().unwrap();
                format!("{path}={}", String::from_utf8_lossy(&contents))
            }
            Kind::Symlink(target) => format!("{path}->{}", String::from_utf8_lossy(target)),
            kind => format!("{path} {}", kind.name()),
        }
    };
    archive.entries.iter().skip(1).map(shown).collect()
}

#[test]
fn the_last_of_a_name_counts_and_links_keep_the_first() {
    let found = read(&archive(&[
        directory("d/"),
        file("d/a", b"old"),
        link(b'1', "d/b", "./d/a"),
        file("d/a", b"new"),
        link(b'2', "link", "/anywhere/../.."),
        file("link", b"is a file now"),
        directory("./d"),
        file("x/y/z", b""),
        link(b'6', "fifo", ""),
        directory("./"),
    ]));
    let expected =
        ["/d directory", "/d/a=new", "/d/b=old", "/fifo FIFO", "/link=is a file now", "/x directory"];
    assert_eq!(listed(&found.unwrap())[..6], expected);
}

#[test]
fn names_are_stripped() {
    let bytes = archive(&[
        directory("app-1.0/"),
        file("README", b"x"),
        file("app-1.0/usr/bin/app", b"app"),
        link(b'1', "app-1.0/usr/bin/also", "app-1.0/usr/bin/app"),
    ]);
    let found = Archive::read("a.tar", &mut &bytes[..], &options().strip_components(1)).unwrap();
    assert_eq!(
        listed(&found),
        ["/usr directory", "/usr/bin directory", "/usr/bin/also=app", "/usr/bin/app=app"]
    );
    // what a link leads to is left out
    let error = Archive::read("a.tar", &mut &bytes[..], &options().strip_components(4)).unwrap();
    assert_eq!(listed(&error).len(), 0);
    let bytes = archive(&[file("a", b""), link(b'1', "b/c", "a")]);
    let error = Archive::read("a.tar", &mut &bytes[..], &options().strip_components(1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a.tar: b/c, at byte 512: is a hard link to a, which is not there before it"
    );
}

/// Each hostile archive: one error with the name of the member and the place of its header.
#[test]
fn hostile_members_are_refused_by_name_and_place() {
    let sized = |kind: u8, size: &'static str| Made { kind, size, ..file("big", b"") };
    let pax = |records: &[(&str, &[u8])]| extended(b'x', records);
    let long = "n".repeat(256);
    let deep = "d/".repeat(2049);
    let cases: Vec<(Vec<Made<'_>>, &str)> = vec![
        (vec![file("../x", b"")], "../x, at byte 512: a name with .. in it"),
        (vec![file("a/../../x", b"")], "a/../../x, at byte 512: a name with .. in it"),
        (vec![file("/etc/passwd", b"")], "/etc/passwd, at byte 512: an absolute name"),
        (vec![pax(&[("path", b"a\0b")]), file("x", b"")], "a\\u{0}b, at byte 1536: a NUL in a name"),
        (
            vec![pax(&[("path", long.as_bytes())]), file("x", b"")],
            "at byte 1536: a name with a part of more than 255",
        ),
        (
            vec![pax(&[("path", deep.as_bytes())]), file("x", b"")],
            "at byte 5632: a name of more than 4096 bytes",
        ),
        (vec![pax(&[("path", b"\x1b[31m")]), file("x", b"..")], ""),
        (
            vec![link(b'2', "a", "/etc"), file("a/passwd", b"")],
            "a/passwd, at byte 1024: a is a symbolic link already",
        ),
        (vec![file("a", b""), directory("a")], "a, at byte 1024: a is a file already"),
        (vec![directory("a/b"), file("a", b"")], "a, at byte 1024: a is a directory already"),
        (vec![file(".", b"")], "., at byte 512:  is a directory already"),
        (vec![link(b'1', "a", "b")], "a, at byte 512: is a hard link to b, which is not there before it"),
        (vec![link(b'1', "a", "../../etc/shadow")], "a, at byte 512: a name with .. in it"),
        (vec![link(b'1', "a", "/etc/shadow")], "a, at byte 512: an absolute name"),
        (vec![directory("d"), link(b'1', "a", "d")], "a, at byte 1024: is a hard link to d, a directory"),
        (vec![link(b'2', "a", "")], "a, at byte 512: is a link with a target that cannot be"),
        (vec![sized(b'0', "777777777777")], "big, at byte 512: ends early"),
        (vec![sized(b'0', "\u{0}7777777777a")], "big, at byte 512: size is no number"),
        (vec![pax(&[("size", b"9223372036854775807")]), file("x", b"")], "x, at byte 1536: ends early"),
        (vec![pax(&[("size", b"9223372036854775808")]), file("x", b"")], "at byte 512: size is no number"),
        (vec![pax(&[("size", b"-1")]), file("x", b"")], "at byte 512: size is no number"),
        (vec![pax(&[("uid", b"4294967296")]), file("x", b"")], "at byte 512: uid is no number"),
        (vec![sized(b'5', "00000001000")], "big, at byte 512: is no regular file, and claims 512 bytes"),
        (vec![sized(b'1', "00000001000")], "big, at byte 512: is no regular file, and claims 512 bytes"),
        (vec![sized(b'x', "00100000000")], "at byte 512: more than 8388608 bytes in an extended header"),
        (vec![link(b'M', "m", "")], "m, at byte 512: members of kind 'M' are not supported"),
        (vec![link(0x1b, "m", "")], "m, at byte 512: members of kind '\\u{1b}' are not supported"),
        (vec![pax(&[])], "at byte 1024: extended header: no member follows it"),
        (vec![pax(&[]), pax(&[]), file("x", b"")], "at byte 1024: extended header: another one is before"),
        (
            vec![extended(b'g', &[("path", b"x")]), file("y", b"")],
            "at byte 512: extended header: a global one",
        ),
        (
            vec![pax(&[("SCHILY.xattr.", b"x")]), file("y", b"")],
            "at byte 512: an attribute has a name that cannot be",
        ),
        (
            vec![pax(&[("GNU.sparse.map", b"0,1,0,1"), ("GNU.sparse.size", b"9")]), file("s", b"ab")],
            "s, at byte 1536: sparse file: its parts overlap",
        ),
        (
            vec![pax(&[("GNU.sparse.map", b"8,2"), ("GNU.sparse.size", b"9")]), file("s", b"ab")],
            "s, at byte 1536: sparse file: a part ends behind the file",
        ),
        (
            vec![pax(&[("GNU.sparse.map", b"0,1"), ("GNU.sparse.size", b"9")]), file("s", b"ab")],
            "s, at byte 1536: sparse file: its map does not say where",
        ),
        (
            vec![pax(&[("GNU.sparse.map", b"0,1,2"), ("GNU.sparse.size", b"9")]), file("s", b"ab")],
            "s, at byte 1536: sparse file: its map ends within a part",
        ),
        (
            vec![
                pax(&[("GNU.sparse.map", b""), ("GNU.sparse.size", b"9223372036854775807")]),
                file("s", b""),
            ],
            "s, at byte 1536: more than 68719476736 bytes of files, holes counted",
        ),
        (
            vec![
                pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"5")]),
                file("s", b"99999999\n"),
            ],
            "s, at byte 1536: more than 262144 parts of a sparse file",
        ),
        (
            vec![
                pax(&[("GNU.sparse.major", b"1"), ("GNU.sparse.minor", b"0"), ("GNU.sparse.realsize", b"5")]),
                file("s", b"1\n0\n"),
            ],
            "s, at byte 1536: sparse file: its map is malformed",
        ),
        (
            vec![pax(&[("GNU.sparse.size", b"5")]), directory("s")],
            "s, at byte 1536: sparse file: it is no regular file",
        ),
    ];
    for (members, message) in cases {
        // something good before it
        let members = [vec![directory("good")], members].concat();
        match read(&archive(&members)) {
            Err(error) => {
                let text = error.to_string();
                assert!(!message.is_empty() && text.contains(message), "{text}: {message}");
                assert!(text.starts_with("a.tar: ") && !text.contains('\x1b'), "{text}");
                assert_eq!(error.kind(), crate::ErrorKind::Format);
            }
            Ok(found) => assert_eq!(message, "", "{:?}", listed(&found)),
        }
    }
}

/// Cut anywhere but behind a block of zeros it is not an archive; with anything behind its end neither.
#[test]
fn truncated_and_continued() {
    let bytes = archive(&[
        directory("d"),
        file("d/f", &[7; 700]),
        extended(b'x', &[("path", b"n")]),
        file("x", b"y"),
    ]);
    let end = bytes.len() - 1024;
    for size in (0..bytes.len()).step_by(64) {
        let found = read(&bytes[..size]);
        assert_eq!(found.is_ok(), size >= end + 512, "{size}");
    }
    assert!(read(&[&bytes[..], &[0; 9216]].concat()).is_ok());
    let error = read(&[&bytes[..], &[0; 9216], &bytes].concat()).unwrap_err();
    let offset = bytes.len() + 9216;
    assert_eq!(
        error.to_string(),
        format!("a.tar: at byte {offset}: something follows the end of the archive")
    );
    // a flipped bit of a header
    let mut broken = bytes.clone();
    broken[512 + 3] ^= 1;
    assert_eq!(
        read(&broken).unwrap_err().to_string(),
        "a.tar: at byte 512: the checksum of the header is wrong"
    );
    assert_eq!(read(&[7; 5000]).unwrap_err().to_string(), "a.tar: at byte 0: is no tar archive");
    assert_eq!(read(b"").unwrap_err().to_string(), "a.tar: at byte 0: ends early");
}

/// Members one after the other, without a file for them.
struct Endless {
    number: usize,
    rest: Vec<u8>,
}

impl Read for Endless {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            self.number += 1;
            let name = format!("d{}/f{}", self.number % 1000, self.number);
            self.rest = file(&name, b"").bytes();
        }
        let count = buf.len().min(self.rest.len());
        buf[..count].copy_from_slice(&self.rest[..count]);
        self.rest.drain(..count);
        Ok(count)
    }
}

#[test]
fn many_members_and_endless_streams() {
    let count = 50_000;
    let mut stream = Endless { number: 0, rest: Vec::new() }.take(count * 512).chain(&[0_u8; 1024][..]);
    let found = Archive::read("-", &mut stream, &options()).unwrap();
    assert_eq!(found.members(), 50_000);
    assert_eq!(found.entries.len(), 51_001);
    let mut stream = Endless { number: 0, rest: Vec::new() };
    let error = Archive::read("-", &mut stream, &options().max_size(1 << 20)).unwrap_err();
    assert_eq!(error.to_string(), "-: would have more than 1048576 bytes unpacked");
}

/// An archive that is read where it is, and written to meanwhile.
#[test]
fn an_archive_that_changes() {
    let path = std::env::temp_dir().join(format!("ddi-archive-{}.tar", std::process::id()));
    std::fs::write(&path, archive(&[file("a", b"one")])).unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    let found = Archive::open(&path, &options()).unwrap();
    assert_eq!(listed(&found), ["/a=one"]);
    std::fs::write(&path, archive(&[file("a", b"two")])).unwrap();
    let error = found.read_file("a", 10).unwrap_err();
    assert!(matches!(error, Error::Changed { fault: SourceFault::Rewritten, .. }), "{error}");
    std::fs::write(&path, b"").unwrap();
    let error = found.read_file("a", 10).unwrap_err();
    assert!(matches!(error, Error::Changed { fault: SourceFault::Shrank, .. }), "{error}");
    std::fs::remove_file(&path).unwrap();
}

proptest::proptest! {
    /// Whatever the bytes are, there is an answer.
    #[test]
    fn any_bytes(flips in proptest::collection::vec((0_usize..4096, 0_u8..=255), 1..8)) {
        let mut bytes = archive(&[
            extended(b'g', &[("comment", b"x")]),
            extended(b'x', &[("path", b"long/name"), ("mtime", b"1.5"), ("SCHILY.xattr.user.a", b"\n")]),
            file("x", b"contents"),
            extended(b'x', &[("GNU.sparse.map", b"0,1,5,1"), ("GNU.sparse.size", b"9")]),
            file("s", b"ab"),
            link(b'1', "l", "s"),
        ]);
        for (at, value) in flips {
            // the checksum stays right, so that what is behind it is reached
            let block = at / 512 * 512;
            let old = bytes[at];
            bytes[at] = value;
            if !(148..156).contains(&(at - block)) && bytes[block + 257..block + 262] == *b"ustar" {
                let text = String::from_utf8_lossy(&bytes[block + 148..block + 154]).into_owned();
                if let Ok(sum) = u32::from_str_radix(&text, 8) {
                    let sum = sum + u32::from(value) - u32::from(old);
                    bytes[block + 148..block + 156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
                }
            }
        }
        let _ = read(&bytes);
    }
}
