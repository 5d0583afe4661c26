//! Which files a block belongs to, against what fails when that block cannot be read.

use std::collections::BTreeMap;
use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ddi_io::ReadAt;

use super::corpus::{corpus, file_systems};
use super::hostile::Random;
use crate::probe::FsKind;
use crate::{self as files, Budget, FileSystem, FileType, MAX_OWNERS, Node, Step, Unknown, Vfs, Walk};

const BLOCK: u64 = 4096;

/// Of which one range cannot be read.
#[derive(Clone)]
struct Hurt {
    source: Arc<dyn ReadAt>,
    range: Range<u64>,
}

impl ReadAt for Hurt {
    fn size(&self) -> u64 {
        self.source.size()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if offset < self.range.end && offset + buf.len() as u64 > self.range.start {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.source.read_exact_at(offset, buf)
    }
}

/// Path, node and type of everything.
fn everything(fs: &Arc<dyn FileSystem>) -> BTreeMap<Vec<u8>, (Node, FileType)> {
    let tree = Vfs::new(Some(Arc::clone(fs)));
    let mut all = BTreeMap::new();
    let mut walk = Walk::new(Budget::default());
    walk.tree(&tree, tree.root(), &mut |_, visit| {
        all.insert(visit.path.to_vec(), (visit.place.node(), visit.stat.unwrap().file_type));
        Ok(Step::Continue)
    })
    .unwrap();
    all
}

/// Returns true if all of a file can be read.
fn is_good(fs: &dyn FileSystem, node: Node, file_type: FileType) -> bool {
    let mut buf = vec![0; 1 << 17];
    let mut content = || match file_type {
        FileType::Regular => {
            let mut at = 0;
            loop {
                match fs.read_at(node, at, &mut buf)? {
                    0 => return Ok(()),
                    n => at += n as u64,
                }
            }
        }
        FileType::Directory => fs.list(node, &mut |_| ControlFlow::Continue(())),
        FileType::Symlink => fs.link_target(node).map(|_| ()),
        _ => Ok(()),
    };
    fs.stat(node).and_then(|_| fs.xattrs(node)).map(|_| ()).and_then(|()| content()).is_ok()
}

#[test]
fn owners_are_the_files_that_fail() {
    let Some(corpus) = corpus() else { return };
    let mut compared = BTreeMap::<FsKind, (u32, u64, u64)>::new();
    for (name, kind, source, _) in file_systems(&corpus) {
        let tells = matches!(kind, FsKind::Erofs | FsKind::Squashfs | FsKind::Ext4 | FsKind::Ext2);
        if !tells || !(name.starts_with("fs-") || name.starts_with("ddi-blocks")) {
            continue;
        }
        let all = everything(&files::open(Arc::clone(&source), kind).unwrap());
        let mut random = Random(7);
        let blocks = source.size() / BLOCK;
        // metadata is at the beginning or at the end
        let mut numbers: Vec<u64> = (0..6).map(|_| random.below(blocks as usize) as u64).collect();
        numbers.extend((1..5).chain(blocks - 5..blocks));
        numbers.extend((0..6).map(|_| random.below(blocks.div_ceil(16) as usize) as u64));
        numbers.extend((0..6).map(|_| blocks - 1 - random.below(blocks.div_ceil(16) as usize) as u64));
        let start = Instant::now();
        for block in numbers {
            if start.elapsed() > Duration::from_secs(4) {
                break;
            }
            let range = block * BLOCK..(block + 1) * BLOCK;
            let hurt = Hurt { source: Arc::clone(&source), range: range.clone() };
            // without superblock and root there is nothing to tell
            let Ok(fs) = files::open(Arc::new(hurt), kind) else { continue };
            let owners =
                files::owners(&fs, std::slice::from_ref(&range), Walk::new(Budget::default())).unwrap();
            let found = &owners.ranges[0];
            let bad = |path: &[u8]| {
                let (node, file_type) = all[path];
                !is_good(&*fs, node, file_type)
            };
            for owner in &found.owners {
                let path = String::from_utf8_lossy(&owner.path);
                assert!(bad(&owner.path), "{name}: block {block}: {path} can be read: {found:?}");
            }
            assert_eq!(
                found.owners.len() as u64,
                found.count.min(MAX_OWNERS as u64),
                "{name}: block {block}"
            );
            // each name whose file cannot be told, and that can be reached, is there
            let reached = |path: &[u8]| {
                let above = (1..path.len()).filter(|at| path[*at] == b'/').map(|at| &path[..at]);
                !bad(b"/") && above.into_iter().all(|path| !bad(path))
            };
            let is_told = |path: &[u8]| {
                let untold = owners.untold.iter().filter(|untold| untold.what == Unknown::Inode);
                found.owners.iter().any(|owner| owner.path == path)
                    || untold.into_iter().any(|u| u.path == path)
            };
            let all_kept =
                found.owners.len() as u64 == found.count && owners.untold.len() as u64 == owners.untold_count;
            for (path, (node, _)) in all.iter().filter(|_| all_kept) {
                if fs.stat(*node).is_err() && reached(path) {
                    assert!(
                        is_told(path),
                        "{name}: block {block}: {} is not told",
                        String::from_utf8_lossy(path)
                    );
                }
            }
            let total = compared.entry(kind).or_default();
            total.0 += 1;
            total.1 += found.count;
            if owners.is_complete() {
                let failing: Vec<_> = all.keys().filter(|path| bad(path)).collect();
                let shown: Vec<_> = failing.iter().map(|path| String::from_utf8_lossy(path)).collect();
                assert_eq!(failing.len() as u64, found.count, "{name}: block {block}: {shown:?} {found:?}");
                total.2 += 1;
            }
        }
    }
    eprintln!("blocks, owners, blocks with nothing untold: {compared:?}");
}
