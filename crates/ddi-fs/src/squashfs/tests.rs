//! Small images in which two files disagree about the same bytes.

use super::*;

const BLOCK: usize = 4096;
/// A, 4096 times, by zlib.
const PACKED: [u8; 28] = [
    0x78, 0x9c, 0xed, 0xc1, 0x01, 0x0d, 0x00, 0x00, 0x00, 0xc2, 0xa0, 0x6c, 0xef, 0x5f, 0xca, 0x1e, 0x0e,
    0x28, 0x00, 0x00, 0x00, 0xe0, 0xdd, 0x00, 0xff, 0xad, 0x10, 0x3d,
];

fn put(image: &mut [u8], at: usize, bytes: &[u8]) {
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

/// What all inodes begin with.
fn head(inode_type: u16, number: u32) -> Vec<u8> {
    let mut inode = inode_type.to_le_bytes().to_vec();
    inode.extend([0xa4, 0x01, 0, 0, 0, 0, 0, 0, 0, 0]);
    inode.extend(number.to_le_bytes());
    inode
}

/// A file without a fragment, of one block.
fn file(number: u32, len: u32, size: u32) -> Vec<u8> {
    let mut inode = head(2, number);
    for field in [96, u32::MAX, 0, len, size] {
        inode.extend(field.to_le_bytes());
    }
    inode
}

/// An image of `data`, of inodes, and of a root directory with `names` at offsets in them.
fn image(data: &[u8], inodes: &[u8], names: &[(&[u8], usize)]) -> Squashfs {
    let mut image = vec![0; 96];
    image.extend(data);
    let mut listing = Vec::new();
    for field in [names.len() as u32 - 1, 0, 2] {
        listing.extend(field.to_le_bytes());
    }
    for (i, (name, at)) in names.iter().enumerate() {
        for field in [*at as u16, i as u16, 2, name.len() as u16 - 1] {
            listing.extend(field.to_le_bytes());
        }
        listing.extend(*name);
    }
    let mut inodes = inodes.to_vec();
    let root = inodes.len();
    inodes.extend(head(1, 1));
    inodes.extend([0, 0, 0, 0, 2, 0, 0, 0]);
    inodes.extend((listing.len() as u16 + 3).to_le_bytes());
    inodes.extend([0; 6]);
    let mut tables = Vec::new();
    for table in [&inodes[..], &listing, &[0; 4]] {
        tables.push(image.len() as u64);
        image.extend((METADATA_PLAIN | table.len() as u16).to_le_bytes());
        image.extend(table);
    }
    let ids = image.len() as u64;
    image.extend(tables[2].to_le_bytes());
    let used = image.len() as u64;
    for (at, field) in [(0, MAGIC), (4, 3), (12, BLOCK as u32)] {
        put(&mut image, at, &field.to_le_bytes());
    }
    for (at, field) in [(20, 1_u16), (22, 12), (26, 1), (28, 4)] {
        put(&mut image, at, &field.to_le_bytes());
    }
    let no = NO_TABLE;
    for (i, field) in [root as u64, used, ids, no, tables[0], tables[1], no, no].into_iter().enumerate() {
        put(&mut image, 32 + i * 8, &field.to_le_bytes());
    }
    Squashfs::open(Disk::new(Arc::new(image))).unwrap()
}

fn find(fs: &Squashfs, name: &[u8]) -> Node {
    let mut node = None;
    fs.list(fs.root(), &mut |entry| {
        node = node.or(Some(entry.node).filter(|_| entry.name == name));
        ControlFlow::Continue(())
    })
    .unwrap();
    node.unwrap()
}

fn read(fs: &Squashfs, name: &[u8], len: usize) -> Result<Vec<u8>, Error> {
    let node = find(fs, name);
    let mut buf = vec![0; len];
    let n = fs.read_at(node, 0, &mut buf)?;
    buf.truncate(n);
    Ok(buf)
}

/// In every order, and twice.
fn reads(fs: &Squashfs, expected: &[(&[u8], Vec<u8>)]) {
    for first in 0..expected.len() {
        for i in 0..expected.len() * 2 {
            let (name, bytes) = &expected[(first + i) % expected.len()];
            assert!(read(fs, name, BLOCK).unwrap() == *bytes, "{}", name.escape_ascii());
        }
    }
}

/// The second inode is inside the first one: its list of sizes is the same, where its data begins is not.
#[test]
fn files_with_one_list_of_sizes_have_their_own_data() {
    let mut inode = head(9, 2);
    for field in [96_u64, 2, 3 << 32] {
        inode.extend(field.to_le_bytes());
    }
    for field in [96 + 28, u32::MAX, 0, 28, 28 | DATA_PLAIN] {
        inode.extend(field.to_le_bytes());
    }
    let fs = image(&[[b'A'; 28], [b'B'; 28]].concat(), &inode, &[(b"a", 0), (b"b", 24)]);
    let [a, b] = [b"a", b"b"].map(|name| fs.inode(find(&fs, name)).unwrap());
    let (Content::File { sizes: of_a, .. }, Content::File { sizes: of_b, .. }) = (a.content, b.content)
    else {
        panic!("files");
    };
    assert_eq!(of_a, of_b);
    reads(&fs, &[(b"a", vec![b'A'; 2]), (b"b", vec![b'B'; 28])]);
}

/// One block, once compressed and once plain, and once with less room to decompress it into.
#[test]
fn a_block_is_read_as_each_file_says() {
    let size = PACKED.len() as u32;
    let inodes = [file(2, 4096, size), file(3, size, size | DATA_PLAIN)].concat();
    let fs = image(&PACKED, &inodes, &[(b"a", 0), (b"b", 36)]);
    reads(&fs, &[(b"a", vec![b'A'; BLOCK]), (b"b", PACKED.to_vec())]);

    // and with less room, which is all of its file
    let inodes = [file(2, 4096, size), file(3, 4000, size)].concat();
    let fs = image(&PACKED, &inodes, &[(b"a", 0), (b"b", 36)]);
    reads(&fs, &[(b"b", vec![b'A'; 4000]), (b"a", vec![b'A'; BLOCK])]);
}
