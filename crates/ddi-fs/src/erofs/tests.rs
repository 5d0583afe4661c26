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
    put(1024 + 120, &40_u64.to_le_bytes());
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
