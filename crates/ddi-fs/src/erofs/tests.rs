//! Small images with one thing wrong, or odd.

use super::*;

/// A metabox that is a fragment of a packed inode which is inside the metabox.
#[test]
fn a_metabox_inside_itself_is_corrupt() {
    let mut image = vec![0; 8192];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(1024, &MAGIC.to_le_bytes());
    put(1024 + 12, &[12]);
    put(1024 + 80, &(INCOMPAT_48BIT | INCOMPAT_METABOX | INCOMPAT_FRAGMENTS).to_le_bytes());
    put(1024 + 96, &(IN_METABOX | 2).to_le_bytes());
    put(1024 + 112, &(IN_METABOX | 1).to_le_bytes());
    put(1024 + 13, &[1]);
    put(1024 + 128, &40_u64.to_le_bytes());
    // regular, compressed, as a whole in the packed inode
    put(40 * 32, &[2, 0, 0, 0]);
    put(40 * 32 + 4, &0o100_644_u16.to_le_bytes());
    put(40 * 32 + 8, &4096_u32.to_le_bytes());
    put(40 * 32 + 32 + 7, &[0x80]);
    let error = Erofs::open(Disk::new(Arc::new(image))).unwrap_err();
    assert!(matches!(error, Error::Corrupt { what: "fragment of the packed inode", .. }), "{error:?}");
}

const BLOCK: usize = 4096;

/// An image of one inode, which is the root directory too where it says so: features, and what is put where.
fn image(incompat: u32, parts: &[(usize, &[u8])]) -> Vec<u8> {
    let mut image = vec![0; 8 * BLOCK];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(1024, &MAGIC.to_le_bytes());
    put(1024 + 12, &[12]);
    put(1024 + 14, &(ROOT as u16).to_le_bytes());
    put(1024 + 80, &incompat.to_le_bytes());
    put(ROOT * 32 + 4, &0o040_755_u16.to_le_bytes());
    for (at, bytes) in parts {
        put(*at, bytes);
    }
    image
}

/// Nodes of the root directory, and of a file.
const ROOT: usize = 40;
const FILE: usize = 42;

fn open(image: Vec<u8>) -> Result<Erofs, Error> {
    Erofs::open(Disk::new(Arc::new(image)))
}

#[test]
fn times_before_1970_are_before_1970() {
    let epoch = 1024 + 24;
    // of a compact inode, which counts from the epoch, and of an extended one
    for (since, count, expected) in [(-1_i64, 0, -1), (-100, 40, -60), (i64::MIN, 1, i64::MIN + 1)] {
        let parts: [(usize, &[u8]); 2] =
            [(epoch, &since.to_le_bytes()), (ROOT * 32 + 12, &u32::to_le_bytes(count))];
        let fs = open(image(0, &parts)).unwrap();
        assert_eq!(fs.stat(fs.root()).unwrap().mtime, expected);
    }
    for time in [-1_i64, i64::MIN, i64::MAX, 5] {
        let fs = open(image(0, &[(ROOT * 32, &[1]), (ROOT * 32 + 32, &time.to_le_bytes())])).unwrap();
        assert_eq!(fs.stat(fs.root()).unwrap().mtime, time);
    }
    let error = open(image(0, &[(epoch, &i64::MAX.to_le_bytes()), (ROOT * 32 + 12, &[1])])).unwrap_err();
    assert!(matches!(error, Error::Corrupt { what: "inode", .. }), "{error:?}");
}

/// An extent of four logical clusters, by its own word on how far the next head is; but there is a head inside it.
/// Read from the front it would hold other bytes than read from there.
#[test]
fn an_extent_does_not_reach_over_a_head() {
    // the index: type, where in the cluster, then the address of a head, or distances back and forward
    let head = |address: u8| [0, 0, 0, 0, address, 0, 0, 0];
    let inside = |back: u16, forward: u8| {
        let [low, high] = back.to_le_bytes();
        [2, 0, 0, 0, low, high, forward, 0]
    };
    let compressed = |index: [[u8; 8]; 4]| {
        let at = FILE * 32;
        let fill = [b'A', b'B', b'C', b'D', b'E', b'F'].map(|byte| [byte; BLOCK]).concat();
        let image = image(
            0,
            &[
                (at, &[2]),
                (at + 4, &0o100_644_u16.to_le_bytes()),
                (at + 8, &(4 * BLOCK as u32).to_le_bytes()),
                // extents of more than one block
                (at + 32 + 4, &[6]),
                (at + 32 + 16, &index.concat()),
                (2 * BLOCK, &fill),
            ],
        );
        open(image).unwrap()
    };
    let at = |fs: &Erofs, offset: usize| {
        let mut buf = [0];
        fs.read_at(Node(FILE as u64), offset as u64, &mut buf).map(|_| buf[0])
    };

    // two extents of two clusters, the distances right, unknown, or short of the head
    for forward in [1, 0] {
        let fs = compressed([head(2), inside(0x802, forward), head(6), inside(0x802, 9)]);
        let read: Vec<u8> = (0..4).map(|i| at(&fs, i * BLOCK).unwrap()).collect();
        assert_eq!(read, *b"ABEF");
    }
    for forward in [2, 3, 200] {
        for order in [[0, 2], [2, 0]] {
            let fs = compressed([head(2), inside(0x804, forward), head(6), inside(0x802, 1)]);
            for i in order {
                let read = at(&fs, i * BLOCK);
                if i == 0 {
                    let error = read.unwrap_err();
                    let index = matches!(error, Error::Corrupt { what: "compression index", .. });
                    assert!(index, "{forward}: {error:?}");
                } else {
                    assert_eq!(read.unwrap(), b'E');
                }
            }
        }
    }
    // and no cluster belongs to what is before the head before it
    let fs = compressed([head(2), inside(0x804, 1), head(6), inside(3, 1)]);
    let error = at(&fs, 3 * BLOCK).unwrap_err();
    assert!(matches!(error, Error::Corrupt { what: "compression index", .. }), "{error:?}");
}

/// A file with a table of extents, of records of `record` bytes, and what is read of it.
fn tabled(record: usize, size: usize, advise: u16, table: &[u8]) -> Result<Vec<u8>, Error> {
    let at = FILE * 32;
    let log = (record / 4).ilog2() as u16;
    let count = if record > 8 { table.len() / record } else { 0 };
    let fill = [b'A', b'B', b'C', b'D', b'E', b'F'].map(|byte| [byte; BLOCK]).concat();
    let begin = (at + 32 + 8).next_multiple_of(record);
    let fs = open(image(
        INCOMPAT_48BIT | INCOMPAT_FRAGMENTS,
        &[
            (1024 + 96, &(PACKED as u64).to_le_bytes()),
            (PACKED * 32 + 4, &0o100_644_u16.to_le_bytes()),
            (PACKED * 32 + 8, &(6 * BLOCK as u32).to_le_bytes()),
            (PACKED * 32 + 16, &2_u32.to_le_bytes()),
            (at, &[2]),
            (at + 4, &0o100_644_u16.to_le_bytes()),
            (at + 8, &(size as u32).to_le_bytes()),
            (at + 32, &(count as u32).to_le_bytes()),
            (at + 32 + 4, &(advise | 1 | log << 1).to_le_bytes()),
            (begin, table),
            (2 * BLOCK, &fill),
        ],
    ))?;
    let mut bytes = vec![0xff; size];
    fs.read_at(Node(FILE as u64), 0, &mut bytes)?;
    // and each byte alone, from the end
    for i in (0..size).rev().step_by(509) {
        let mut one = [0];
        fs.read_at(Node(FILE as u64), i as u64, &mut one)?;
        assert_eq!(one[0], bytes[i], "byte {i}");
    }
    Ok(bytes)
}

/// The packed inode.
const PACKED: usize = 80;

/// Runs of equal bytes.
fn runs(bytes: &[u8]) -> Vec<(u8, usize)> {
    bytes.chunk_by(|a, b| a == b).map(|run| (run[0], run.len())).collect()
}

#[test]
fn f8_tables_of_extents_of_each_size_of_record() {
    let block = BLOCK as u32;
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    // in a row from the start of block 3; the second one is a hole
    let table = words(&[3 * block, 0, block, 0, block]);
    let read = tabled(4, 2 * BLOCK + 100, 0, &table).unwrap();
    assert_eq!(runs(&read), [(b'B', BLOCK), (0, BLOCK), (b'C', 100)]);
    // each has its place, in bytes
    let table = words(&[block, 7 * block - 50, 0, 0, 60, 4 * block - 50]);
    let error = tabled(8, 3 * BLOCK, 0, &table).unwrap_err();
    assert!(matches!(error, Error::Corrupt { what: "compressed data", .. }), "60 bytes for 4096: {error:?}");
    let table = words(&[block, 7 * block - 50, 0, 0, 60, 4 * block - 50]);
    let read = tabled(8, 2 * BLOCK + 60, 0, &table).unwrap();
    assert_eq!(runs(&read), [(b'E', 50), (b'F', BLOCK - 50), (0, BLOCK), (b'B', 50), (b'C', 10)]);
    // and begins anywhere
    for record in [16, 32] {
        let room = vec![0; record / 4 - 4];
        let row = |length: u32, place: u32, start: u32| [&[length, place, 0, start][..], &room].concat();
        let table = words(&[row(100, 2 * block, 0), row(0, 0, 100), row(10, 3 * block - 5, 9000)].concat());
        let read = tabled(record, 9010, 0, &table).unwrap();
        assert_eq!(runs(&read), [(b'A', 100), (0, 8900), (b'A', 5), (b'B', 5)]);
        // the last one in the packed inode, from byte 4095 of that
        let table = words(&[row(100, 2 * block, 0), row(block - 1, 0, 100)].concat());
        let read = tabled(record, 110, ADVISE_FRAGMENT, &table).unwrap();
        assert_eq!(runs(&read), [(b'A', 101), (b'B', 9)]);
        // turned around, as its block begins in the middle of a block of the file
        let table = words(&[row(0, 0, 0), row(block, 2 * block, 1000)].concat());
        let read = tabled(record, 5000, ADVISE_INTERLACED, &table).unwrap();
        assert_eq!(runs(&read), [(0, 1000), (b'A', 4000)]);
        // not in order, nothing at the start, and a method that is not known
        let table = words(&[row(9, 2 * block, 0), row(9, 0, 5000), row(9, 0, 100)].concat());
        assert!(tabled(record, 6000, 0, &table).is_err());
        let error = tabled(record, 100, 0, &words(&row(100, 0, 1))).unwrap_err();
        assert!(matches!(error, Error::Corrupt { what: "compression index", .. }), "{error:?}");
        let error = tabled(record, 100, 0, &words(&row(100 | 9 << 28, 0, 0))).unwrap_err();
        assert!(matches!(error, Error::Unsupported { what: "unknown compression" }), "{error:?}");
        let error = tabled(record, 100, 0, &words(&row((1 << 20) + 1, 0, 0))).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
    }
}

const ADVISE_INTERLACED: u16 = 0x10;
const ADVISE_FRAGMENT: u16 = 0x20;

/// The last logical block of a table of lengths that goes over many [steps](encoded).
#[test]
fn f8_lengths_are_added_up_once() {
    let count = 5000;
    let lengths: Vec<u8> =
        (0..count).flat_map(|i| u32::to_le_bytes(if i == count - 1 { 7 } else { 1 })).collect();
    let table = [&(u64::from(3 * BLOCK as u32 - 4999)).to_le_bytes()[..], &lengths].concat();
    let at = FILE * 32;
    let size = (count - 1) * BLOCK as u32 + 7;
    let fs = open(image(
        INCOMPAT_48BIT,
        &[
            (at, &[2]),
            (at + 4, &0o100_644_u16.to_le_bytes()),
            (at + 8, &size.to_le_bytes()),
            (at + 32 + 4, &[1]),
            (at + 40, &table),
        ],
    ));
    let fs = fs.unwrap();
    let table = fs.inode(Node(FILE as u64)).unwrap();
    let place = fs.place(&table, u64::from(size - 1)).unwrap();
    assert!(
        matches!(place.place, extent::Place::Disk { offset, size: 7 } if offset == 3 * BLOCK as u64),
        "{place:?}"
    );
    let sums = fs.sums.lock().unwrap();
    assert_eq!((sums.len(), sums[0].len()), (1, 10));
    drop(sums);
    for i in [0, 1, 511, 512, 513, 1024, 4998] {
        let place = fs.place(&table, i * BLOCK as u64 + 5).unwrap();
        let expected = 3 * BLOCK as u64 - 4999 + i;
        assert!(
            matches!(place.place, extent::Place::Disk { offset, size: 1 } if offset == expected),
            "{i}: {place:?}"
        );
    }
}

/// What a later version of the format adds is not an error of the image.
#[test]
fn f8_what_is_not_known_is_not_corrupt() {
    for format in [0x20_u16, 0x8000, 5 << 1, 6 << 1, 7 << 1] {
        let error = open(image(0, &[(ROOT * 32, &format.to_le_bytes())])).unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{format:#x}: {error:?}");
    }
    for bits in [0x200_u32, 1 << 31] {
        let error = open(image(bits, &[])).unwrap_err();
        assert!(matches!(error, Error::Features { field: "feature_incompat", .. }), "{error:?}");
    }
}
