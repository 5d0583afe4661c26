//! Damaged images: whatever they say, a walk ends, in bounded memory and without a panic.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, fs};

use ddi_io::ReadAt;

use super::corpus::{corpus, file_systems};
use crate::probe::FsKind;
use crate::{self as files, Budget, Error, Extent, FileType, Step, Vfs, Walk};

/// An image with a few bytes changed and its end cut off.
struct Damaged {
    image: Arc<Vec<u8>>,
    size: u64,
    changes: Vec<(u64, u8)>,
}

impl ReadAt for Damaged {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = offset + buf.len() as u64;
        if end > self.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buf.copy_from_slice(&self.image[offset as usize..end as usize]);
        for (at, byte) in &self.changes {
            if (offset..end).contains(at) {
                buf[(at - offset) as usize] = *byte;
            }
        }
        Ok(())
    }
}

/// SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// Everything that can be asked, of everything that is found. What comes out does not matter.
/// Content is read of every 16th file: decompression would take all the time.
fn read_all(source: Arc<dyn ReadAt>, kind: FsKind, budget: Budget, seed: u64) -> Result<(), Error> {
    let mut count = seed;
    let fs = files::open(source, kind)?;
    let mut told: u64 = 0;
    let mut tell = |extent: Extent| {
        told += u64::from(extent.size != 0);
        if told < 1 << 20 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let _ = fs.system_extents(&mut tell);
    let tree = Vfs::new(Some(Arc::clone(&fs)));
    Walk::new(budget).tree(&tree, tree.root(), &mut |walk, visit| {
        let Ok(stat) = visit.stat else { return Ok(Step::Continue) };
        count += 1;
        let _ = tree.xattrs(visit.place);
        let _ = fs.extents(visit.place.node(), &mut tell);
        match stat.file_type {
            FileType::Symlink => {
                let _ = tree.link_target(visit.place);
                let _ = tree.resolve(visit.path);
            }
            FileType::Regular if !count.is_multiple_of(16) => {}
            FileType::Regular => match walk.content(&tree, visit.place, &mut |_| Ok(())) {
                Err(error @ Error::Budget(_)) => return Err(error),
                _ => {
                    let mut buf = [0; 100];
                    let _ = tree.read_at(visit.place, stat.size / 2, &mut buf);
                    let _ = tree.read_at(visit.place, u64::MAX - 5, &mut buf);
                }
            },
            _ => {}
        }
        Ok(Step::Continue)
    })
}

fn peak_memory_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// Changes 1 to 4 bytes, or cuts the end off; `DDI_DAMAGE_SECONDS` is how long for each image.
#[test]
fn damaged_images_do_no_harm() {
    let Some(corpus) = corpus() else { return };
    let seconds = env::var("DDI_DAMAGE_SECONDS").ok().and_then(|s| s.parse().ok()).unwrap_or(0.4);
    let time = Duration::from_secs_f64(seconds);
    let budget =
        Budget { entries: 5000, names: 1 << 20, depth: 40, bytes: 16 << 20, time: Duration::from_secs(5) };
    let mut slowest = Duration::ZERO;
    for (name, kind, source, _) in file_systems(&corpus) {
        let wanted = name.starts_with("fs-") || name.starts_with("ext-") || name == "uki-ok 1";
        if !wanted || !files::READABLE.contains(&kind) {
            continue;
        }
        let mut image = vec![0; source.size() as usize];
        source.read_exact_at(0, &mut image).unwrap();
        let image = Arc::new(image);
        // zeros stay zeros: nothing reads them
        let used: Vec<usize> =
            (0..image.len() / 64).filter(|n| image[n * 64..][..64].iter().any(|byte| *byte != 0)).collect();
        let start = Instant::now();
        let mut seed: u64 = 0;
        while start.elapsed() < time {
            seed += 1;
            let mut random = Random(seed);
            let mut damaged =
                Damaged { image: Arc::clone(&image), size: image.len() as u64, changes: Vec::new() };
            if random.below(20) == 0 {
                damaged.size = random.below(image.len()) as u64;
            }
            for _ in 0..1 + random.below(4) {
                // metadata is at the beginning or at the end
                let place = match random.below(3) {
                    0 => used[random.below(used.len().div_ceil(16))],
                    1 => used[used.len() - 1 - random.below(used.len().div_ceil(16))],
                    _ => used[random.below(used.len())],
                };
                let at = place * 64 + random.below(64);
                let byte = match random.below(4) {
                    0 => 0xff,
                    1 => image[at] ^ 1 << random.below(8),
                    2 => 0,
                    _ => random.next() as u8,
                };
                damaged.changes.push((at as u64, byte));
            }
            let begin = Instant::now();
            let _ = read_all(Arc::new(damaged), kind, budget, seed);
            slowest = slowest.max(begin.elapsed());
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "{name}: seed {seed} took {:?}",
                begin.elapsed()
            );
        }
        eprintln!("{name}: {seed} damaged images");
    }
    let peak = peak_memory_kib();
    eprintln!("slowest {slowest:?}, peak memory of all tests {peak} KiB");
    assert!(peak < 1 << 20, "{peak} KiB");
}
