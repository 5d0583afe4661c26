//! The file-system readers.

use std::sync::Arc;
use std::time::Duration;

use ddi_fs::FsKind;
use ddi_fs::{self as files, Budget, Error, FileType, Step, Vfs, Walk};

use super::input::{Input, Sparse, let_others_panic};

/// Enough for every seed; what a hostile image asks for beyond that is refused.
const BUDGET: Budget =
    Budget { entries: 300, names: 1 << 20, depth: 16, bytes: 512 << 10, time: Duration::from_secs(2) };

/// Asserts, as do the next ones: everything can be asked of everything in a file system, without a panic and within the
/// budget; a file that is read to its end has the size that it says, the same bytes the second time, and nothing behind its end;
/// names are names.
pub fn fs_btrfs(input: &[u8]) {
    walk(input, FsKind::Btrfs);
}

/// As [`fs_btrfs`].
pub fn fs_erofs(input: &[u8]) {
    walk(input, FsKind::Erofs);
}

/// As [`fs_btrfs`].
pub fn fs_ext4(input: &[u8]) {
    walk(input, FsKind::Ext4);
}

/// As [`fs_btrfs`].
pub fn fs_squashfs(input: &[u8]) {
    walk(input, FsKind::Squashfs);
}

/// As [`fs_btrfs`].
pub fn fs_vfat(input: &[u8]) {
    walk(input, FsKind::Vfat);
}

/// As [`fs_btrfs`].
pub fn fs_xfs(input: &[u8]) {
    walk(input, FsKind::Xfs);
}

fn walk(input: &[u8], kind: FsKind) {
    let_others_panic();
    let disk = Sparse::from_runs(&mut Input(input), 1 << 40);
    let fs = match files::open(Arc::new(disk), kind) {
        Ok(fs) => fs,
        Err(error) => return drop((error.to_string(), error.code())),
    };
    let tree = Vfs::new(Some(fs));
    let outcome = Walk::new(BUDGET).tree(&tree, tree.root(), &mut |walk, visit| {
        let name = visit.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        assert!(
            visit.path == b"/" || !(name.is_empty() || name == b"." || name == b".." || name.contains(&0))
        );
        let Ok(stat) = visit.stat else { return Ok(Step::Continue) };
        let _ = (stat.mtime_ns(), tree.xattrs(visit.place));
        match stat.file_type {
            FileType::Symlink => {
                if let Ok(target) = tree.link_target(visit.place) {
                    assert!(target.len() as u64 <= files::MAX_LINK);
                }
                let _ = tree.resolve(visit.path);
            }
            FileType::Regular => {
                let mut content = Vec::new();
                match walk.content(&tree, visit.place, &mut |piece| {
                    content.extend_from_slice(piece);
                    Ok(())
                }) {
                    Ok(size) => {
                        assert_eq!((size, content.len() as u64), (stat.size, stat.size));
                        let mut buf = [0x5a; 100];
                        let from = content.len() / 2;
                        let count = tree
                            .read_at(visit.place, from as u64, &mut buf)
                            .expect("it has been read before");
                        assert!(
                            buf[..count] == content[from..from + count]
                                && count == buf.len().min(content.len() - from)
                        );
                        assert!(!matches!(tree.read_at(visit.place, stat.size, &mut buf), Ok(1..)));
                    }
                    Err(error @ Error::Budget(_)) => return Err(error),
                    Err(error) => drop((error.to_string(), error.code())),
                }
                assert!(!matches!(tree.read_at(visit.place, u64::MAX - 5, &mut [0; 100]), Ok(1..)));
            }
            _ => {}
        }
        Ok(Step::Continue)
    });
    if let Err(error) = outcome {
        assert!(matches!(error, Error::Budget(_)), "{error}");
    }
}
