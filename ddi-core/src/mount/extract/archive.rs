//! Files as a tar stream.

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::ops::Range;

use ddi_fs::{Error as FileError, FileType, Place, Walk};
use ddi_io::{TarEntry, TarKind, TarWriter};

use super::error::ExtractError;
use super::{ExtractNotice, ExtractOptions, Extracted, Found, LeftOut, Source, stretches};

/// Files up to this size are held in memory; larger ones are read twice, as where their holes are comes before their content.
const WHOLE: u64 = 1 << 20;
/// Zeros that are worth a hole. A file with holes is read by fewer programs than one without.
const HOLE: u64 = 64 << 10;
/// Places with data in one file; what follows the last of them has no holes.
const MAX_PLACES: usize = 1 << 16;
/// Bytes that it takes to remember a file for its other names, beside its path.
const REMEMBERED: u64 = 64;
const BUFFER: usize = 1 << 16;

/// Writes all of it; the end only if `check` says that it may be told.
pub(super) fn write(
    source: &Source<'_>,
    out: impl Write,
    options: ExtractOptions<'_>,
    check: &dyn Fn() -> Result<(), ExtractError>,
) -> Result<Extracted, ExtractError> {
    let budget = options.budget;
    let mut archive = Archive {
        source,
        options,
        tar: TarWriter::new(BufWriter::with_capacity(BUFFER, out)),
        scan: Walk::new(budget),
        links: HashMap::new(),
        remembered: 0,
        has_copies: false,
        extracted: Extracted::default(),
    };
    source.walk(budget, |walk, found| archive.visit(walk, &found))?;
    check()?;
    let Archive { tar, extracted, .. } = archive;
    tar.finish().map_err(ExtractError::Stream)?;
    Ok(extracted)
}

/// A file with more than one name, when the first of them is in the stream.
struct Link {
    /// That name.
    path: Vec<u8>,
    /// How many are still to come.
    left: u32,
}

struct Archive<'a, 'b, W: Write> {
    source: &'a Source<'a>,
    options: ExtractOptions<'b>,
    tar: TarWriter<BufWriter<W>>,
    /// Looks for holes, on an account of its own: what is read twice counts once.
    scan: Walk,
    links: HashMap<Place, Link>,
    /// Bytes of memory for these.
    remembered: u64,
    has_copies: bool,
    extracted: Extracted,
}

impl<W: Write> Archive<'_, '_, W> {
    fn visit(&mut self, walk: &mut Walk, found: &Found<'_>) -> Result<(), ExtractError> {
        let is_directory = found.stat.file_type == FileType::Directory;
        let path = match found.path {
            // a file alone has its own name
            b"/" if !is_directory => super::last_part(&self.source.path),
            path => path.strip_prefix(b"/").unwrap_or(path),
        };
        if let Some(first) = self.first_name(found.place) {
            return self.start(found, path, TarKind::HardLink(&first));
        }
        let (major, minor) = found.stat.rdev;
        match found.stat.file_type {
            FileType::Directory => self.start(found, path, TarKind::Directory),
            FileType::Regular => self.regular(walk, found, path),
            FileType::Symlink => {
                let target = self.source.link_target(found)?;
                self.start(found, path, TarKind::Symlink(&target))
            }
            FileType::CharDevice => self.start(found, path, TarKind::CharDevice { major, minor }),
            FileType::BlockDevice => self.start(found, path, TarKind::BlockDevice { major, minor }),
            FileType::Fifo => self.start(found, path, TarKind::Fifo),
            FileType::Socket => {
                self.extracted.left_out = self.extracted.left_out.saturating_add(1);
                let path = self.source.path_of(found.path);
                let (file_type, why) = (found.stat.file_type, LeftOut::NotInTar);
                self.tell(&ExtractNotice::LeftOut { path, file_type, why });
                return Ok(());
            }
        }?;
        if found.has_names() {
            self.remember(found, path);
        }
        Ok(())
    }

    fn tell(&mut self, notice: &ExtractNotice) {
        if let Some(tell) = &mut self.options.tell {
            tell(notice);
        }
    }

    /// The name under which this file is in the stream already; forgotten with its last one.
    fn first_name(&mut self, place: Place) -> Option<Vec<u8>> {
        let link = self.links.get_mut(&place)?;
        link.left = link.left.saturating_sub(1);
        if link.left > 0 {
            return Some(link.path.clone());
        }
        let link = self.links.remove(&place)?;
        self.remembered = self.remembered.saturating_sub(remembered(&link.path));
        Some(link.path)
    }

    fn remember(&mut self, found: &Found<'_>, path: &[u8]) {
        let sum = self.remembered.saturating_add(remembered(path));
        if sum > self.options.budget.names {
            if !self.has_copies {
                self.tell(&ExtractNotice::Copied(io::Error::other("these are too many to remember")));
            }
            self.has_copies = true;
            return;
        }
        self.remembered = sum;
        self.links
            .insert(found.place, Link { path: path.to_vec(), left: found.stat.nlink.saturating_sub(1) });
    }

    /// Begins with a file.
    fn start(&mut self, found: &Found<'_>, path: &[u8], kind: TarKind<'_>) -> Result<(), ExtractError> {
        let stat = &found.stat;
        let xattrs = match kind {
            // they came with the first name
            TarKind::HardLink(_) => Vec::new(),
            _ => self.source.xattrs(found)?,
        };
        let xattrs: Vec<(&[u8], &[u8])> = xattrs.iter().map(|xattr| (&*xattr.name, &*xattr.value)).collect();
        let entry = TarEntry {
            path,
            kind,
            mode: u32::from(stat.permissions & 0o7777),
            owner: (stat.uid, stat.gid),
            mtime: (stat.mtime, stat.mtime_nsec),
            xattrs: &xattrs,
        };
        self.tar.start(&entry).map_err(ExtractError::Stream)?;
        self.extracted.files = self.extracted.files.saturating_add(1);
        Ok(())
    }

    fn regular(&mut self, walk: &mut Walk, found: &Found<'_>, path: &[u8]) -> Result<(), ExtractError> {
        let source = self.source;
        let cannot = |error| ExtractError::read(source.path_of(found.path), error);
        let is_small = found.stat.size <= WHOLE;
        let mut places = Places::default();
        let mut whole = Vec::new();
        let scan = if is_small { &mut *walk } else { &mut self.scan };
        let size = scan.content(&source.files.tree, found.place, &mut |bytes| {
            places.add(bytes);
            if is_small {
                whole.extend_from_slice(bytes);
            }
            Ok(())
        });
        let size = size.map_err(cannot)?;
        let data = places.finish();
        let kind = match &*data {
            [] if size == 0 => TarKind::Regular { size },
            [all] if *all == (0..size) => TarKind::Regular { size },
            data => TarKind::Sparse { size, data },
        };
        self.start(found, path, kind)?;
        let mut copy = Copy { tar: &mut self.tar, left: &data, offset: 0 };
        if is_small {
            return copy.piece(&whole).map_err(ExtractError::Stream);
        }
        let mut failed = None;
        let read = walk.content(&source.files.tree, found.place, &mut |bytes| {
            copy.piece(bytes).map_err(|error| {
                failed = Some(error);
                // ends the reading; what it was is told below
                FileError::NotFound
            })
        });
        if let Some(error) = failed {
            return Err(ExtractError::Stream(error));
        }
        if read.map_err(cannot)? != size {
            let what = "it changed while it was read";
            return Err(ExtractError::Impossible { path: source.path_of(found.path), what });
        }
        Ok(())
    }
}

fn remembered(path: &[u8]) -> u64 {
    u64::try_from(path.len()).unwrap_or(u64::MAX).saturating_add(REMEMBERED)
}

/// Where a file has data, found piece by piece.
#[derive(Default)]
struct Places {
    data: Vec<Range<u64>>,
    size: u64,
}

impl Places {
    /// The next bytes of the file.
    fn add(&mut self, bytes: &[u8]) {
        let base = self.size;
        for (start, stretch, is_zero) in stretches(bytes) {
            let start = base.saturating_add(u64::try_from(start).unwrap_or_default());
            let end = start.saturating_add(u64::try_from(stretch.len()).unwrap_or_default());
            if !is_zero {
                self.join(start, end);
            }
            self.size = end;
        }
    }

    /// There is data up to `end`, and from `start` on if it is worth to leave out what comes before.
    fn join(&mut self, start: u64, end: u64) {
        let is_full = self.data.len() >= MAX_PLACES;
        let before = self.data.last().map_or(0, |last| last.end);
        let is_near = is_full || start.saturating_sub(before) < HOLE;
        match self.data.last_mut() {
            Some(last) if is_near => last.end = end,
            None if is_near => self.data.push(0..end),
            _ => self.data.push(start..end),
        }
    }

    /// All of them, if that was all of the file.
    fn finish(mut self) -> Vec<Range<u64>> {
        let before = self.data.last().map_or(0, |last| last.end);
        if before < self.size && self.size.saturating_sub(before) < HOLE {
            self.join(before, self.size);
        }
        self.data
    }
}

/// Writes what of a file lies in the places with data.
struct Copy<'a, W> {
    tar: &'a mut TarWriter<W>,
    /// The places that are not behind us.
    left: &'a [Range<u64>],
    offset: u64,
}

impl<W: Write> Copy<'_, W> {
    /// The next bytes of the file.
    fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.offset.saturating_add(u64::try_from(bytes.len()).unwrap_or_default());
        while let Some((place, behind)) = self.left.split_first().filter(|(place, _)| place.start < end) {
            let at = |offset: u64| usize::try_from(offset.saturating_sub(self.offset)).unwrap_or(usize::MAX);
            let range = at(place.start)..at(place.end.min(end));
            self.tar.content(bytes.get(range).unwrap_or_default())?;
            if place.end > end {
                break;
            }
            self.left = behind;
        }
        self.offset = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of 4 KiB: `x` is data, `.` zeros; given away in pieces of 128 KiB.
    fn places(shape: &str) -> Vec<(u64, u64)> {
        let bytes: Vec<u8> = shape.bytes().flat_map(|byte| [u8::from(byte == b'x'); 4096]).collect();
        let mut places = Places::default();
        bytes.chunks(1 << 17).for_each(|piece| places.add(piece));
        places.finish().into_iter().map(|place| (place.start / 4096, place.end / 4096)).collect()
    }

    #[test]
    fn short_zeros_are_data() {
        let zeros = |count| ".".repeat(count);
        assert_eq!(places(""), []);
        assert_eq!(places("x"), [(0, 1)]);
        assert_eq!(places(&format!("x{}x", zeros(15))), [(0, 17)]);
        assert_eq!(places(&format!("x{}x", zeros(16))), [(0, 1), (17, 18)]);
        assert_eq!(places(&format!("{}x", zeros(15))), [(0, 16)]);
        assert_eq!(places(&format!("{}x", zeros(16))), [(16, 17)]);
        assert_eq!(places(&format!("x{}", zeros(15))), [(0, 16)]);
        assert_eq!(places(&format!("x{}", zeros(16))), [(0, 1)]);
        assert_eq!(places(&zeros(15)), [(0, 15)]);
        assert_eq!(places(&zeros(40)), []);
        // over the end of a piece
        assert_eq!(places(&format!("{}{}x", "x".repeat(24), zeros(16))), [(0, 24), (40, 41)]);
    }

    #[test]
    fn after_so_many_places_there_are_no_more_holes() {
        let mut places = Places::default();
        for number in 0..u64::try_from(MAX_PLACES).unwrap() + 5 {
            let start = number * 2 * HOLE;
            places.join(start, start + 1);
        }
        let data = places.finish();
        assert_eq!(data.len(), MAX_PLACES);
        let last = data.last().unwrap();
        assert_eq!(last.end - last.start, 10 * HOLE + 1);
    }

    #[test]
    fn pieces_are_cut_to_the_places() {
        let bytes: Vec<u8> = (0..=255).collect();
        let data = [0..3, 10..70, 200..256];
        let expected: Vec<u8> = data.iter().cloned().flat_map(|place| place.map(|at| at as u8)).collect();
        for piece in [1, 7, 64, 256] {
            let mut tar = TarWriter::new(Vec::new());
            let kind = TarKind::Sparse { size: 256, data: &data };
            let entry = TarEntry { path: b"a", kind, mode: 0, owner: (0, 0), mtime: (0, 0), xattrs: &[] };
            tar.start(&entry).unwrap();
            let mut copy = Copy { tar: &mut tar, left: &data, offset: 0 };
            bytes.chunks(piece).for_each(|piece| copy.piece(piece).unwrap());
            let stream = tar.finish().unwrap();
            let content = &stream[stream.len() - 1024 - 512..][..expected.len()];
            assert_eq!(content, expected, "{piece}");
        }
    }
}
