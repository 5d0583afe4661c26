//! Directories whose names are not what they seem, on FAT12 with clusters of one sector.

use std::sync::Arc;

use super::*;
use crate::Vfs;

/// Where the FAT, the root directory and cluster 2 are.
const FAT: usize = 512;
const ROOT_DIRECTORY: usize = 3 * 512;
const DATA: usize = 10 * 512;

fn short(name: &[u8; 11], attributes: u8, cluster: u16, size: u32) -> Vec<u8> {
    let mut entry = name.to_vec();
    entry.resize(32, 0);
    entry[11] = attributes;
    entry[26..28].copy_from_slice(&cluster.to_le_bytes());
    entry[28..].copy_from_slice(&size.to_le_bytes());
    entry
}

/// The entries of a long name, and the short one that it belongs to.
fn long(name: &str, short: &[u8]) -> Vec<u8> {
    let sum = short[..11].iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
    let mut units: Vec<u16> = name.encode_utf16().collect();
    if !units.len().is_multiple_of(13) {
        units.push(0);
    }
    units.resize(units.len().next_multiple_of(13), u16::MAX);
    let parts: Vec<&[u16]> = units.chunks(13).collect();
    let mut entries = Vec::new();
    for (i, part) in parts.iter().enumerate().rev() {
        let mut entry = [0; 32];
        entry[0] = (i as u8 + 1) | if i + 1 == parts.len() { LAST_LONG_ENTRY } else { 0 };
        (entry[11], entry[13]) = (ATTR_LONG_NAME, sum);
        for (unit, at) in part.iter().zip((1..11).step_by(2).chain((14..26).step_by(2)).chain([28, 30])) {
            entry[at..at + 2].copy_from_slice(&unit.to_le_bytes());
        }
        entries.extend(entry);
    }
    entries.extend(short);
    entries
}

fn image(root: &[u8], clusters: &[&[u8]]) -> Arc<Vfat> {
    let mut image = vec![0; 400 * 512];
    for (at, field) in [(11, 512_u16), (14, 1), (17, 112), (19, 400), (22, 2)] {
        image[at..at + 2].copy_from_slice(&field.to_le_bytes());
    }
    (image[13], image[16]) = (1, 1);
    image[FAT..FAT + 1024].fill(0xff);
    image[ROOT_DIRECTORY..ROOT_DIRECTORY + root.len()].copy_from_slice(root);
    for (i, bytes) in clusters.iter().enumerate() {
        image[DATA + i * 512..][..bytes.len()].copy_from_slice(bytes);
    }
    Arc::new(Vfat::open(Disk::new(Arc::new(image))).unwrap())
}

/// What the file of that name begins with.
fn read(fs: &Arc<Vfat>, name: &str) -> Result<u8, Error> {
    let fs: Arc<dyn FileSystem> = Arc::<Vfat>::clone(fs);
    let content = Vfs::new(Some(fs)).read_path(name.as_bytes(), 1)?;
    Ok(content[0])
}

fn names(fs: &Vfat) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    fs.list(fs.root(), &mut |entry| {
        names.push(String::from_utf8(entry.name.to_vec()).unwrap());
        ControlFlow::Continue(())
    })?;
    Ok(names)
}

/// A file of this name stands before the one that is meant, and Unicode would say that they are the same.
#[test]
fn no_letter_outside_of_ascii_is_one_of_it() {
    for (decoy, real) in [
        ("bootx64.e\u{fb01}", "BOOTX64.EFI"),
        ("e\u{fb01}", "EFI"),
        ("\u{17f}ecure.cfg", "secure.cfg"),
        ("l\u{131}nux", "LINUX"),
        ("\u{212a}ernel", "kernel"),
        ("stra\u{df}e", "STRASSE"),
    ] {
        let root =
            [long(decoy, &short(b"DECOY~1    ", 0x20, 2, 1)), long(real, &short(b"REAL~1     ", 0x20, 3, 1))];
        let fs = image(&root.concat(), &[b"D", b"R"]);
        assert_eq!(names(&fs).unwrap(), [decoy, real]);
        assert_eq!(read(&fs, real).unwrap(), b'R', "{real}");
        assert_eq!(read(&fs, &real.to_ascii_lowercase()).unwrap(), b'R', "{real}");
        assert_eq!(read(&fs, &real.to_ascii_uppercase()).unwrap(), b'R', "{real}");
        assert_eq!(read(&fs, decoy).unwrap(), b'D', "{decoy}");
    }
}

#[test]
fn latin_letters_have_no_case() {
    for (a, b, expected) in [
        ("\u{c0}b\u{de}", "\u{e0}B\u{fe}", true),
        ("\u{d6}\u{d8}", "\u{f6}\u{f8}", true),
        // × and ÷, ß and ÿ, Greek, and what only looks alike
        ("\u{d7}", "\u{f7}", false),
        ("\u{df}", "\u{ff}", false),
        ("\u{3a9}", "\u{3c9}", false),
        ("\u{130}", "i", false),
        ("[", "{", false),
        ("a", "aa", false),
    ] {
        assert_eq!(same(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
        assert_eq!(same(b.as_bytes(), a.as_bytes()), expected, "{b} {a}");
    }
}

#[test]
fn the_name_as_it_is_comes_before_one_in_another_case() {
    let (one, two) = (short(b"A~1        ", 0x20, 2, 1), short(b"A~2        ", 0x20, 3, 1));
    let fs = image(&[long("Readme", &one), long("README", &two)].concat(), &[b"1", b"2"]);
    for (name, expected) in [("Readme", b'1'), ("README", b'2'), ("readme", b'1'), ("a~2", b'2')] {
        assert_eq!(read(&fs, name).unwrap(), expected, "{name}");
    }
    // and before a short name that nobody is shown
    let (one, two) = (short(b"INIT       ", 0x20, 2, 1), short(b"A~2        ", 0x20, 3, 1));
    let fs = image(&[long("other", &one), long("INIT", &two)].concat(), &[b"1", b"2"]);
    assert_eq!(read(&fs, "INIT").unwrap(), b'2');
}

#[test]
fn a_long_name_that_is_none_is_corrupt() {
    let entry = short(b"EVIL       ", 0x20, 2, 1);
    for name in ["..", ".", "a/b", "/", &"x".repeat(256), &"\u{1f600}".repeat(128)] {
        let fs = image(&long(name, &entry), &[b"E"]);
        let error = names(&fs).unwrap_err();
        assert!(matches!(error, Error::Corrupt { what: "directory entry", .. }), "{name}: {error:?}");
        let error = read(&fs, "evil").unwrap_err();
        assert!(matches!(error, Error::Corrupt { what: "directory entry", .. }), "{name}: {error:?}");
    }
    for name in [&*"x".repeat(255), &*"\u{20ac}".repeat(255), "...", "a."] {
        let fs = image(&long(name, &entry), &[b"E"]);
        assert_eq!((names(&fs).unwrap(), read(&fs, name).unwrap()), (vec![name.to_owned()], b'E'));
    }
    // more entries than a name has: as if they were not there
    let fs = image(&long(&"x".repeat(261), &entry), &[b"E"]);
    assert_eq!(names(&fs).unwrap(), ["EVIL"]);
}

#[test]
fn dots_are_told_by_their_short_names() {
    let dots = [short(b".          ", 0x10, 2, 0), short(b"..         ", 0x10, 0, 0)];
    let fs = image(&[&dots[0], &*long("shown", &dots[1])].concat(), &[]);
    assert_eq!(names(&fs).unwrap(), [""; 0]);
    // nothing, a dot, and a dot for an extension
    let fs = image(&short(b"        .  ", 0x10, 2, 0), &[]);
    let error = names(&fs).unwrap_err();
    assert!(matches!(error, Error::Corrupt { what: "directory entry", .. }), "{error:?}");
}
