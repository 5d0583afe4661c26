//! Images made here by hand, with one thing wrong; and images by mkfs.xfs, against what it was told to make.

mod made;

use super::*;

const BLOCK: usize = 4096;
const INODE: usize = 512;
const BLOCKS: usize = 64;
/// Inode numbers: 8 in a block.
const ROOT: u64 = 64;
const FILE: u64 = 65;
/// Blocks for content.
const CONTENT: u64 = 16;

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

/// A file system of one group, with an empty root directory.
fn empty(version: u8) -> Vec<u8> {
    let mut image = vec![0; BLOCKS * BLOCK];
    put(&mut image, 0, b"XFSB");
    for (at, field) in
        [(4, BLOCK as u32), (84, BLOCKS as u32), (88, 1), (216, INCOMPAT_FTYPE), (200, FEATURES2_FTYPE)]
    {
        put(&mut image, at, &field.to_be_bytes());
    }
    put(&mut image, 8, &(BLOCKS as u64).to_be_bytes());
    put(&mut image, 56, &ROOT.to_be_bytes());
    put(&mut image, 100, &[0, version]);
    put(&mut image, 104, &(INODE as u16).to_be_bytes());
    (image[123], image[124]) = (3, 6);
    inode(&mut image, ROOT, 0o040_755, LOCAL, 6);
    image
}

/// Where it begins, and its data fork.
fn inode(image: &mut [u8], number: u64, mode: u16, format: u8, size: u64) -> (usize, usize) {
    let at = number as usize * INODE;
    let version = if image[101] == 5 { 3 } else { 2 };
    put(image, at, b"IN");
    put(image, at + 2, &mode.to_be_bytes());
    put(image, at + 4, &[version, format]);
    put(image, at + 56, &size.to_be_bytes());
    (at, at + if version == 3 { 176 } else { 100 })
}

fn extents(image: &mut [u8], inode: usize, fork: usize, extents: &[(u64, u64, u64)]) {
    put(image, inode + 76, &(extents.len() as u32).to_be_bytes());
    for (i, extent) in extents.iter().enumerate() {
        put(image, fork + i * 16, &record(*extent));
    }
}

/// Where in the file, which block, how many of them.
fn record((start, block, count): (u64, u64, u64)) -> [u8; 16] {
    (u128::from(start) << 73 | u128::from(block) << 21 | u128::from(count)).to_be_bytes()
}

fn open(image: Vec<u8>) -> Xfs {
    Xfs::open(Disk::new(Arc::new(image))).unwrap()
}

fn names(fs: &Xfs) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    fs.list(fs.root(), &mut |entry| {
        names.push(String::from_utf8(entry.name.to_vec()).unwrap());
        ControlFlow::Continue(())
    })?;
    Ok(names)
}

/// A root directory of one block.
fn directory(count: u32, stale: u32) -> Vec<u8> {
    let mut image = empty(5);
    let (at, fork) = inode(&mut image, ROOT, 0o040_755, 2, BLOCK as u64);
    extents(&mut image, at, fork, &[(0, CONTENT, 1)]);
    let block = CONTENT as usize * BLOCK;
    put(&mut image, block, b"XDB3");
    let mut end = block + 64;
    for name in [".", "..", "one", "two"] {
        put(&mut image, end, &FILE.to_be_bytes());
        put(&mut image, end + 8, &[name.len() as u8]);
        put(&mut image, end + 9, name.as_bytes());
        end += (12 + name.len()).next_multiple_of(8);
    }
    // the rest is free, up to an index of 8 entries
    let index = block + BLOCK - 8 - 8 * 8;
    put(&mut image, end, &[0xff, 0xff]);
    put(&mut image, end + 2, &((index - end) as u16).to_be_bytes());
    put(&mut image, block + BLOCK - 8, &count.to_be_bytes());
    put(&mut image, block + BLOCK - 4, &stale.to_be_bytes());
    image
}

#[test]
fn no_entry_is_lost_by_a_wrong_count() {
    assert_eq!(names(&open(directory(8, 4))).unwrap(), ["one", "two"]);
    for (count, stale) in [
        // into the head, before the block, before memory
        (504, 500),
        (511, 0),
        (60_000, 0),
        (u32::MAX, u32::MAX),
        // up to the end of an entry or of the free part, and of entries that are not there
        (8, 5),
        (8, 3),
        (8, 9),
        (7, 3),
        (9, 5),
        (0, 0),
    ] {
        let error = names(&open(directory(count, stale))).unwrap_err();
        assert!(matches!(error, Error::Corrupt { what: "directory", .. }), "{count} {stale}: {error:?}");
    }
}

#[test]
fn no_block_of_a_directory_is_lost() {
    for (size, list) in [(2 * BLOCK, &[(0, CONTENT, 1)][..]), (BLOCK, &[]), (0, &[])] {
        let mut image = directory(8, 4);
        let (at, fork) = inode(&mut image, ROOT, 0o040_755, 2, size as u64);
        extents(&mut image, at, fork, list);
        let error = names(&open(image)).unwrap_err();
        assert!(matches!(error, Error::Corrupt { what: "inode", .. }), "{size}: {error:?}");
    }
}

#[test]
fn content_on_another_device_is_unsupported() {
    let mut image = empty(5);
    let (at, fork) = inode(&mut image, FILE, 0o100_644, 2, BLOCK as u64);
    extents(&mut image, at, fork, &[(0, CONTENT, 1)]);
    image[CONTENT as usize * BLOCK] = b'x';
    let read = |image: Vec<u8>| {
        let mut buf = [0];
        open(image).read_at(Node(FILE), 0, &mut buf).map(|_| buf[0])
    };
    assert_eq!(read(image.clone()).unwrap(), b'x');
    image[at + 91] = FLAG_REALTIME as u8;
    let error = read(image).unwrap_err();
    assert!(matches!(error, Error::Unsupported { what: "file on a realtime device" }), "{error:?}");
}

/// Head of a remote block: magic, offset, bytes, owner.
fn remote(image: &mut [u8], block: u64, magic: &[u8; 4], offset: usize, len: usize) -> usize {
    let at = block as usize * BLOCK;
    put(image, at, magic);
    put(image, at + 4, &(offset as u32).to_be_bytes());
    put(image, at + 8, &(len as u32).to_be_bytes());
    put(image, at + 32, &FILE.to_be_bytes());
    at + 56
}

/// What is changed in the head of a block: where, to what.
const WRONG: [(usize, u8); 5] = [(0, 0), (3, b'N'), (7, 1), (11, 1), (39, 66)];

#[test]
fn a_long_link_has_its_heads() {
    let target: Vec<u8> = (0..MAX_LINK).map(|i| b'a' + (i % 26) as u8).collect();
    // version 4 has none
    let mut image = empty(4);
    let (at, fork) = inode(&mut image, FILE, 0o120_777, 2, MAX_LINK);
    extents(&mut image, at, fork, &[(0, CONTENT, 1)]);
    put(&mut image, CONTENT as usize * BLOCK, &target);
    assert_eq!(open(image).link_target(Node(FILE)).unwrap(), target);

    // one extent, or two with a head each
    let room = BLOCK - 56;
    for two in [false, true] {
        let (first, blocks) = if two { (room, 1) } else { (target.len(), 2) };
        let mut image = empty(5);
        let (at, fork) = inode(&mut image, FILE, 0o120_777, 2, MAX_LINK);
        extents(&mut image, at, fork, &[(0, CONTENT, blocks), (blocks, CONTENT + 4, 1)]);
        let data = remote(&mut image, CONTENT, b"XSLM", 0, first);
        put(&mut image, data, &target[..first]);
        if two {
            let data = remote(&mut image, CONTENT + 4, b"XSLM", first, target.len() - first);
            put(&mut image, data, &target[first..]);
        }
        assert_eq!(open(image.clone()).link_target(Node(FILE)).unwrap(), target);
        for (at, byte) in WRONG {
            for block in [CONTENT, CONTENT + 4] {
                if block != CONTENT && !two {
                    continue;
                }
                let mut image = image.clone();
                put(&mut image, block as usize * BLOCK + at, &[byte]);
                let error = open(image).link_target(Node(FILE)).unwrap_err();
                assert!(matches!(error, Error::Corrupt { what: "symbolic link", .. }), "{at}: {error:?}");
            }
        }
    }
}

#[test]
fn a_long_attribute_has_its_heads() {
    let value: Vec<u8> = (0..5000).map(|i| i as u8).collect();
    for version in [4, 5] {
        let room = if version == 5 { BLOCK - 56 } else { BLOCK };
        let mut image = empty(version);
        let (at, fork) = inode(&mut image, FILE, 0o100_644, 2, 0);
        put(&mut image, at + 80, &[0, 1, 4, 2]);
        put(&mut image, fork + 32, &record((0, CONTENT, 3)));
        let leaf = CONTENT as usize * BLOCK;
        // the old leaf has a smaller head
        let (magic, head) = if version == 5 { (0x3bee_u16, (56, 80)) } else { (0xfbee, (12, 32)) };
        put(&mut image, leaf + 8, &magic.to_be_bytes());
        put(&mut image, leaf + head.0, &[0, 1]);
        put(&mut image, leaf + head.1 + 4, &[0x0f, 0]);
        let entry = [&[0, 0, 0, 1][..], &(value.len() as u32).to_be_bytes(), &[4], b"long"].concat();
        put(&mut image, leaf + 0xf00, &entry);
        for (i, part) in value.chunks(room).enumerate() {
            let block = CONTENT + 1 + i as u64;
            let data = match version {
                5 => remote(&mut image, block, b"XARM", i * room, part.len()),
                _ => block as usize * BLOCK,
            };
            put(&mut image, data, part);
        }
        let expected = Xattr { name: b"user.long".to_vec(), value: value.clone() };
        assert_eq!(open(image.clone()).xattrs(Node(FILE)).unwrap(), [expected]);
        for block in [CONTENT + 1, CONTENT + 2].into_iter().filter(|_| version == 5) {
            for (at, byte) in WRONG {
                let mut image = image.clone();
                put(&mut image, block as usize * BLOCK + at, &[byte]);
                let error = open(image).xattrs(Node(FILE)).unwrap_err();
                assert!(matches!(error, Error::Corrupt { what: "attribute value", .. }), "{at}: {error:?}");
            }
        }
    }
}
