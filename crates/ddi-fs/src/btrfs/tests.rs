//! Small images of four leaves: root tree, chunk tree, and two subvolumes.

use std::sync::Arc;

use super::*;

const NODE: usize = 4096;
const ROOTS: usize = 0x1_1000;
const CHUNKS: usize = 0x1_2000;
const TOP: usize = 0x1_3000;
const CHILD: usize = 0x1_4000;
const DATA: usize = 0x1_5000;
const SIZE: usize = DATA + 4 * NODE;
/// A, 4096 times, by zlib.
const PACKED: [u8; 28] = [
    0x78, 0x9c, 0xed, 0xc1, 0x01, 0x0d, 0x00, 0x00, 0x00, 0xc2, 0xa0, 0x6c, 0xef, 0x5f, 0xca, 0x1e, 0x0e,
    0x28, 0x00, 0x00, 0x00, 0xe0, 0xdd, 0x00, 0xff, 0xad, 0x10, 0x3d,
];

type Item = (Key, Vec<u8>);

/// `len` bytes with fields in them.
fn fields(len: usize, fields: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; len];
    for (at, field) in fields {
        bytes[*at..at + field.len()].copy_from_slice(field);
    }
    bytes
}

fn key(object: u64, kind: u8, offset: u64) -> Key {
    Key { object, kind, offset }
}

fn key_bytes(key: Key) -> Vec<u8> {
    [&key.object.to_le_bytes()[..], &[key.kind], &key.offset.to_le_bytes()].concat()
}

fn inode(number: u64, mode: u32, size: usize) -> Item {
    let item = fields(160, &[(16, &(size as u64).to_le_bytes()), (52, &mode.to_le_bytes())]);
    (key(number, INODE_ITEM, 0), item)
}

fn entry(index: u64, name: &[u8], location: Key) -> Item {
    let len = (name.len() as u16).to_le_bytes();
    let item = fields(30 + name.len(), &[(0, &key_bytes(location)), (27, &len), (29, &[2]), (30, name)]);
    (key(FIRST_FREE, DIR_INDEX, index), item)
}

fn extent(inode: u64, start: usize, len: u64, at: usize) -> Item {
    compressed(inode, start, len, (0, at, len))
}

/// The codec, and where the data is and how long.
fn compressed(inode: u64, start: usize, len: u64, (codec, at, stored): (u8, usize, u64)) -> Item {
    let len = len.to_le_bytes();
    let at = (at as u64).to_le_bytes();
    let item =
        [(8, &len[..]), (16, &[codec]), (20, &[1]), (21, &at), (29, &stored.to_le_bytes()), (45, &len)];
    (key(inode, EXTENT_DATA, start as u64), fields(53, &item))
}

fn root(id: u64, at: usize, refs: u32) -> Item {
    (key(id, ROOT_ITEM, 0), fields(439, &[(176, &(at as u64).to_le_bytes()), (216, &refs.to_le_bytes())]))
}

fn reference(id: u64, directory: u64, name: &[u8]) -> Item {
    let len = (name.len() as u16).to_le_bytes();
    let item = fields(18 + name.len(), &[(0, &directory.to_le_bytes()), (16, &len), (18, name)]);
    (key(FS_TREE, ROOT_REF, id), item)
}

fn leaf(image: &mut [u8], at: usize, mut items: Vec<Item>) {
    items.sort_by_key(|(key, _)| *key);
    let node = &mut image[at..at + NODE];
    node[0x30..0x38].copy_from_slice(&(at as u64).to_le_bytes());
    node[0x60..0x64].copy_from_slice(&(items.len() as u32).to_le_bytes());
    let mut end = NODE;
    for (i, (key, item)) in items.iter().enumerate() {
        end -= item.len();
        node[end..end + item.len()].copy_from_slice(item);
        let place = [((end - 101) as u32).to_le_bytes(), (item.len() as u32).to_le_bytes()].concat();
        node[101 + i * 25..][..25].copy_from_slice(&[key_bytes(*key), place].concat());
    }
}

/// Of the root tree, what is not the top-level subvolume's; of the two subvolumes, what is not their root directory.
fn image(roots: Vec<Item>, top: Vec<Item>, child: Vec<Item>) -> Arc<Btrfs> {
    let mut image = vec![0; SIZE];
    for (i, block) in image[DATA..].chunks_mut(NODE).enumerate() {
        block.fill(b'a' + i as u8);
    }
    image[SIZE - NODE..][..28].copy_from_slice(&PACKED);
    let chunk = fields(80, &[(0, &(SIZE as u64).to_le_bytes()), (44, &[1]), (48, &[1])]);
    let chunk_key = key(FIRST_FREE, CHUNK_ITEM, 0);
    let superblock = fields(
        4096,
        &[
            (0x40, MAGIC),
            (0x50, &ROOTS.to_le_bytes()),
            (0x58, &CHUNKS.to_le_bytes()),
            (0x80, &[6]),
            (0x90, &NODE.to_le_bytes()[..4]),
            (0x94, &NODE.to_le_bytes()[..4]),
            (0xa0, &[97]),
            (0xc9, &[1]),
            (0x32b, &[key_bytes(chunk_key), chunk.clone()].concat()),
        ],
    );
    image[SUPERBLOCK as usize..][..4096].copy_from_slice(&superblock);
    leaf(&mut image, CHUNKS, vec![(chunk_key, chunk)]);
    leaf(&mut image, ROOTS, [vec![root(FS_TREE, TOP, 1)], roots].concat());
    for (at, items) in [(TOP, top), (CHILD, child)] {
        leaf(&mut image, at, [vec![inode(FIRST_FREE, 0o040_755, 0)], items].concat());
    }
    Arc::new(Btrfs::open(Disk::new(Arc::new(image))).unwrap())
}

fn read(fs: &Btrfs, inode: u64, offset: usize, len: usize) -> Result<Vec<u8>, Error> {
    let mut buf = vec![0; len];
    let n = fs.read_at(Node(inode), offset as u64, &mut buf)?;
    buf.truncate(n);
    Ok(buf)
}

const FILE: u64 = 257;

#[test]
fn extents_that_overlap_are_corrupt_wherever_reading_begins() {
    let size = 4 * NODE;
    let file = |extents: &[(usize, u64)]| {
        let mut items = vec![inode(FILE, 0o100_644, size)];
        items.extend(extents.iter().map(|(start, len)| extent(FILE, *start, *len, DATA)));
        image(vec![], items, vec![])
    };
    let block = NODE as u64;
    let fs = file(&[(0, block), (NODE, block), (3 * NODE, block)]);
    let all = read(&fs, FILE, 0, size + 1).unwrap();
    assert_eq!(all, [vec![b'a'; 2 * NODE], vec![0; NODE], vec![b'a'; NODE]].concat());
    for start in (0..size).step_by(1000) {
        assert_eq!(read(&fs, FILE, start, 5000).unwrap(), all[start..(start + 5000).min(size)]);
    }
    // all of the second extent, or one byte
    for extents in [
        &[(0, 3 * block), (NODE, block)][..],
        &[(0, block + 1), (NODE, block)],
        &[(0, block), (NODE, 2 * block + 1), (3 * NODE, block)],
    ] {
        let fs = file(extents);
        let last = extents.len() - 1;
        let first = extents[last].0.saturating_sub(if last == 2 { 2 * NODE } else { NODE });
        for start in [first, first + 10, extents[last].0, extents[last].0 + 10, size - 1] {
            let error = read(&fs, FILE, start, 1).unwrap_err();
            assert!(
                matches!(error, Error::Corrupt { what: "overlapping extents", .. }),
                "{start}: {error:?}"
            );
        }
    }
    let fs = file(&[(NODE, u64::MAX)]);
    let error = read(&fs, FILE, NODE, 1).unwrap_err();
    assert!(matches!(error, Error::Corrupt { what: "tree item", .. }), "{error:?}");
}

/// One compressed extent, of which two files say something else.
#[test]
fn an_extent_is_read_as_each_file_says() {
    let block = NODE as u64;
    let at = SIZE - NODE;
    let (good, other, short) = (FILE, FILE + 1, FILE + 2);
    let items = vec![
        inode(good, 0o100_644, NODE),
        inode(other, 0o100_644, NODE),
        inode(short, 0o100_644, NODE),
        compressed(good, 0, block, (1, at, 28)),
        compressed(other, 0, block, (3, at, 28)),
        compressed(short, 0, block, (1, at, 9)),
    ];
    let fs = image(vec![], items, vec![]);
    for _ in 0..2 {
        assert_eq!(read(&fs, good, 0, NODE).unwrap(), [b'A'; NODE]);
        for bad in [other, short] {
            let error = read(&fs, bad, 0, NODE).unwrap_err();
            assert!(matches!(error, Error::Corrupt { what: "tree item", .. }), "{error:?}");
        }
    }
}

fn names(fs: &Btrfs, dir: Node) -> Vec<(Vec<u8>, Node)> {
    let mut names = Vec::new();
    fs.list(dir, &mut |entry| {
        names.push((entry.name.to_vec(), entry.node));
        ControlFlow::Continue(())
    })
    .unwrap();
    names
}

#[test]
fn a_subvolume_is_where_it_knows_itself_to_be() {
    let subvolume = |id| key(id, ROOT_ITEM, u64::MAX);
    let open = |roots| {
        let entries = vec![entry(2, b"sub", subvolume(300)), entry(3, b"also", subvolume(301))];
        image(roots, entries, vec![entry(2, b"inside", key(FILE, INODE_ITEM, 0)), inode(FILE, 0o100_644, 0)])
    };
    let fs = open(vec![root(300, CHILD, 1), reference(300, FIRST_FREE, b"sub")]);
    let found = names(&fs, fs.root());
    let [(first, sub), (second, also)] = &found[..] else { panic!("{found:?}") };
    assert_eq!((&first[..], &second[..]), (&b"sub"[..], &b"also"[..]));
    let inside = names(&fs, *sub);
    assert_eq!(inside.len(), 1);
    assert_eq!(inside[0].0, b"inside");
    assert_eq!(names(&fs, *also), []);

    for roots in [
        // no reference, one from elsewhere, of another name, of a deleted subvolume, of one that is gone
        vec![root(300, CHILD, 1)],
        vec![root(300, CHILD, 1), reference(300, 257, b"sub")],
        vec![root(300, CHILD, 1), reference(300, FIRST_FREE, b"suc")],
        vec![root(300, CHILD, 1), reference(301, FIRST_FREE, b"sub")],
        vec![root(300, CHILD, 0), reference(300, FIRST_FREE, b"sub")],
        vec![reference(300, FIRST_FREE, b"sub")],
    ] {
        let fs = open(roots);
        let found = names(&fs, fs.root());
        assert_ne!(found[0].1, found[1].1);
        for (_, node) in found {
            assert_eq!(fs.stat(node).unwrap(), EMPTY_DIRECTORY);
            assert_eq!(names(&fs, node), []);
            assert_eq!(fs.xattrs(node).unwrap(), []);
            assert!(matches!(fs.read_at(node, 0, &mut [0]), Err(Error::NotAFile)));
            assert!(matches!(fs.link_target(node), Err(Error::NotALink)));
        }
    }
}

#[test]
fn a_default_subvolume_that_is_gone_is_corrupt() {
    let mut default = entry(0, b"default", key(300, ROOT_ITEM, u64::MAX));
    default.0 = key(6, DIR_ITEM, 1);
    let fs = image(
        vec![default.clone(), root(300, CHILD, 1)],
        vec![],
        vec![entry(2, b"x", key(FILE, INODE_ITEM, 0))],
    );
    assert_eq!(names(&fs, fs.root()).len(), 1);

    let mut broken = vec![0; SIZE];
    fs.disk.metadata(0, &mut broken).unwrap();
    leaf(&mut broken, ROOTS, vec![default, root(FS_TREE, TOP, 1)]);
    let error = Btrfs::open(Disk::new(Arc::new(broken))).unwrap_err();
    assert!(matches!(error, Error::Corrupt { what: "subvolume number", .. }), "{error:?}");
}
