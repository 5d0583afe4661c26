//! An image: its bytes, its partition table, and what each part holds, each looked at once.

pub(crate) mod file;
pub mod mbr;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use ddi_gpt::{BlockSize, ByteRange, Examination, Gpt, Mode};
use ddi_io::{Container, ReadAt, Section};
use ddi_signature::{MAX_SIGNATURE_SIZE, MAX_SIGNATURE_TEXT, RootHashSignature, SignatureError};

use self::mbr::Mbr;
use crate::error::{Error, Step};
use crate::image::file::{ImageFile, Sidecars, image_name};
use crate::trust::Role;
use crate::trust::signature::SignatureFacts;
use ddi_fs::Meter;
use ddi_fs::probe::Candidate;
use ddi_fs::{FsKind, Probe, probe as fs};
use ddi_io::ReadOnce;
use ddi_io::{SpoolOptions, spool};

/// Bytes of all signature partitions together that are looked at: sixteen of the largest, 4,096 as systemd-repart makes
/// them.
const MAX_SIGNATURES_SIZE: u64 = 64 << 20;
/// Bytes of a signature partition that are read at a time. systemd-repart makes it of 16 KiB.
const CHUNK: usize = 16 << 10;
/// So much of its beginning is read through what is kept.
const KEPT: usize = 128 << 10;

/// The partition table of an image.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Table {
    /// A GPT of which a copy is good.
    Gpt(Box<Gpt>),
    /// An MBR that is none of a GPT.
    Mbr(Mbr, Vec<mbr::Partition>),
    /// There is a GPT, and it cannot be used.
    Broken(ddi_gpt::Error),
    /// There is an MBR, and it cannot be used.
    BrokenMbr(Mbr, mbr::Error),
    /// There is none.
    None,
}

/// One partition of the table in use, of either kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartitionRange {
    pub(crate) number: u32,
    pub(crate) range: ByteRange,
}

/// An image, opened for reading.
pub struct Image {
    /// Read through it: what says what is where. Data and hash trees are read from the source below.
    metadata: Arc<ReadOnce<Arc<dyn ReadAt>>>,
    file_name: Option<OsString>,
    sidecars: Sidecars,
    examination: Examination,
    table: Table,
    whole: ProbeResult,
    parts: Vec<Part>,
    meter: Meter,
}

/// A partition and what is in it, once somebody has asked.
struct Part {
    place: PartitionRange,
    // of most partitions of a large table nobody asks
    looked: OnceLock<Box<ProbeResult>>,
    /// What it says, not the signature itself, of which there may be thousands.
    signature: OnceLock<Box<Result<SignatureFacts, Error>>>,
    /// One of the last signature partitions, of too many.
    is_left_out: bool,
}

/// The partition table of `source`, both copies, judged and compared. `block_size` is that of the storage where it is known;
/// else it is found by content.
///
/// # Errors
/// [`Error::Io`] if it cannot be read. Whatever is wrong with the table is in the [`Examination`].
pub fn examine_source(source: &dyn ReadAt, block_size: Option<BlockSize>) -> Result<Examination, Error> {
    let mut failed_at = 0;
    ddi_gpt::examine(source.size(), block_size, |offset, buf: &mut [u8]| {
        failed_at = offset;
        source.read_exact_at(offset, buf)
    })
    .map_err(|error| Error::Io { step: Step::Table, offset: Some(failed_at), error: Arc::new(error) })
}

/// What a piece of storage looks like.
#[derive(Debug)]
pub struct ProbeResult {
    any: Result<Option<Probe>, Arc<fs::Error>>,
    /// As systemd sees it, which looks for few kinds only; `None` if that makes no difference.
    candidate: Option<Result<Option<Probe>, Arc<fs::Error>>>,
}

impl ProbeResult {
    pub(crate) fn new(source: &dyn ReadAt, partitions: &[core::ops::Range<u64>]) -> Self {
        // both times the same bytes
        let source = &ReadOnce::new(source);
        let any =
            fs::probe_with(source, &fs::Options::default().with_partitions(partitions)).map_err(Arc::new);
        let same = match &any {
            Ok(None) => true,
            Ok(Some(probe)) => FsKind::SYSTEMD_CANDIDATES.contains(&probe.kind),
            Err(_) => false,
        };
        let candidates = fs::Options::only(FsKind::SYSTEMD_CANDIDATES).with_partitions(partitions);
        let candidate = (!same).then(|| fs::probe_with(source, &candidates).map_err(Arc::new));
        ProbeResult { any, candidate }
    }

    /// Of all the kinds there are.
    pub fn any(&self) -> Result<Option<&Probe>, &Arc<fs::Error>> {
        self.any.as_ref().map(Option::as_ref)
    }

    /// Of all the kinds there are, as long as whoever looks for few of them only sees no other one.
    pub(crate) fn agreed(&self) -> Result<Option<&Probe>, Arc<fs::Error>> {
        let any = self.any().map_err(Arc::clone)?;
        let candidate = |probe: &Probe| Candidate { kind: probe.kind, offset: probe.magic_offset };
        match (any, self.candidate().map_err(Arc::clone)?) {
            (Some(any), Some(other)) if any.kind != other.kind => {
                let candidates = [candidate(any), candidate(other)].into();
                Err(Arc::new(fs::Error::Ambiguous { candidates }))
            }
            _ => Ok(any),
        }
    }

    /// Of the kinds that systemd looks for.
    pub fn candidate(&self) -> Result<Option<&Probe>, &Arc<fs::Error>> {
        self.candidate.as_ref().unwrap_or(&self.any).as_ref().map(Option::as_ref)
    }
}

impl Image {
    /// Opens the image at `path`, looks for files beside it, and reads its partition table.
    ///
    /// # Errors
    /// As [`ImageFile::open`] and [`new`](Self::new). What is *wrong* with a table is no error
    /// here, see [`table`](Self::table).
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        Self::from_file(ImageFile::open(path)?)
    }

    /// As [`open`](Self::open), but a compressed image is decompressed to a temporary file, which takes time and space on
    /// the disk. See [`spool`] for what bounds them.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`Error::Unpack`].
    pub fn open_unpacked(path: impl AsRef<Path>, options: &SpoolOptions<'_>) -> Result<Self, Error> {
        Self::from_file(ImageFile::open(path)?.unpack(options)?)
    }

    /// The image that comes out of `stream`, compressed or not, which is kept in a temporary file. It has no name, and
    /// nothing beside it.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::Unpack`].
    pub fn from_stream(stream: &mut dyn Read, options: &SpoolOptions<'_>) -> Result<Self, Error> {
        let (source, _) = spool(stream, options).map_err(Error::Unpack)?;
        Self::new(Box::new(source))
    }

    /// The image in a file that is open, as it is.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_file(file: ImageFile) -> Result<Self, Error> {
        let sidecars = file.sidecars();
        let (source, file_name) = file.into_parts();
        Self::with_sidecars(Box::new(source), Some(file_name), sidecars, None)
    }

    /// An image from any source, with nothing beside it.
    ///
    /// # Errors
    /// [`Error::Empty`]; [`Error::Io`] if the table cannot be read; [`Error::Container`] if it is a file of a virtual machine, and
    /// not the bytes of a disk.
    pub fn new(source: Box<dyn ReadAt>) -> Result<Self, Error> {
        Self::with_sidecars(source, None, Sidecars::default(), None)
    }

    /// An image from any source. `block_size` is that of the storage where that is known; else it is found by content.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_sidecars(
        source: Box<dyn ReadAt>,
        file_name: Option<OsString>,
        sidecars: Sidecars,
        block_size: Option<BlockSize>,
    ) -> Result<Self, Error> {
        let metadata = Arc::new(ReadOnce::new(Arc::from(source)));
        let size = metadata.size();
        if size == 0 {
            return Err(Error::Empty);
        }
        let examination = examine_source(&*metadata, block_size)?;
        let table = find_table(&examination);
        let parts = parts(&table);
        let ranges: Vec<_> =
            parts.iter().map(|part| part.place.range.offset..part.place.range.end()).collect();
        let whole = ProbeResult::new(&*metadata, &ranges);
        // in one that is not compressed, the backup table may lie just at the end
        if matches!(table, Table::None | Table::Broken(_)) && matches!(whole.any(), Ok(None)) {
            refuse_container(&*metadata)?;
        }
        let meter = Meter::for_size(size);
        Ok(Image { metadata, file_name, sidecars, examination, table, whole, parts, meter })
    }

    /// The bytes.
    pub fn source(&self) -> &dyn ReadAt {
        &**self.metadata.source()
    }

    /// The bytes, of which what was read before is given again. For what says where things are.
    pub(crate) fn metadata(&self) -> &dyn ReadAt {
        &*self.metadata
    }

    /// The same, for readers that outlive a borrow.
    pub(crate) fn shared_metadata(&self) -> Arc<dyn ReadAt> {
        self.metadata.clone()
    }

    /// The bytes, for readers that outlive the image.
    pub(crate) fn shared_source(&self) -> Arc<dyn ReadAt> {
        Arc::clone(self.metadata.source())
    }

    /// The account that all work for its files is charged to, whoever reads them and how often: nothing more is done when
    /// it is spent. A caller that keeps an image for long may give it [more](Meter::set_limit).
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// [`shared_source`](Self::shared_source), each read of which is charged to the [`meter`](Self::meter).
    pub(crate) fn metered_source(&self) -> Arc<dyn ReadAt> {
        self.meter.over(self.shared_source())
    }

    /// The last part of the path, if the image has one.
    pub fn file_name(&self) -> Option<&OsStr> {
        self.file_name.as_deref()
    }

    /// The name of the image, for extensions: see [`image_name`].
    pub fn name(&self) -> Option<String> {
        image_name(self.file_name.as_deref()?)
    }

    /// What lies beside it.
    pub fn sidecars(&self) -> &Sidecars {
        &self.sidecars
    }

    /// Both copies of the GPT, good or bad.
    pub fn examination(&self) -> &Examination {
        &self.examination
    }

    /// The partition table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// Size of a block in bytes: that of the GPT, else 512.
    pub fn block_size(&self) -> u32 {
        match self.examination.block_size {
            Ok(Some(block_size)) => block_size.bytes(),
            _ => BlockSize::B512.bytes(),
        }
    }

    /// The bytes of partition `number`.
    pub fn partition(&self, number: u32) -> Option<Section<&dyn ReadAt>> {
        let range = self.part(number)?.place.range;
        Section::new(self.source(), range.offset, range.size).ok()
    }

    /// The same, through [`metadata`](Self::metadata).
    pub(crate) fn partition_metadata(&self, number: u32) -> Option<Section<&dyn ReadAt>> {
        let range = self.part(number)?.place.range;
        Section::new(self.metadata(), range.offset, range.size).ok()
    }

    /// Where partition `number` is.
    pub(crate) fn range(&self, number: u32) -> Option<ByteRange> {
        Some(self.part(number)?.place.range)
    }

    /// The numbers of the partitions in the table, ascending.
    pub fn partition_numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.parts.iter().map(|part| part.place.number)
    }

    /// What the image is when taken as a whole.
    pub fn whole(&self) -> &ProbeResult {
        &self.whole
    }

    /// What partition `number` holds.
    pub fn probe(&self, number: u32) -> Option<&ProbeResult> {
        let part = self.part(number)?;
        let section = self.partition_metadata(number)?;
        Some(part.looked.get_or_init(|| Box::new(ProbeResult::new(&section, &[]))))
    }

    /// What signature partition `number` says, looked at once. That it is there says nothing about who made it.
    ///
    /// # Errors
    /// [`Error::Signature`] if it is not what it should be, [`Error::Io`].
    pub fn signature(&self, number: u32) -> Result<&SignatureFacts, Error> {
        let none = Error::Signature { partition: number, error: SignatureError::EmptyPartition };
        let part = self.part(number).ok_or(none)?;
        let facts = || self.read_signature(number).map(|signature| SignatureFacts::of(&signature));
        (**part.signature.get_or_init(|| Box::new(facts()))).as_ref().map_err(Clone::clone)
    }

    /// The content of signature partition `number`, read anew: what comes of checking it holds for what is given here, and
    /// not for what [`signature`](Self::signature) said.
    ///
    /// # Errors
    /// As [`signature`](Self::signature).
    pub fn read_signature(&self, number: u32) -> Result<RootHashSignature, Error> {
        let text = self.signature_text(number)?;
        RootHashSignature::parse(&text).map_err(|error| Error::Signature { partition: number, error })
    }

    /// What is in front of the NULs of signature partition `number`. Only that much of it is in memory.
    fn signature_text(&self, number: u32) -> Result<Vec<u8>, Error> {
        let fault = |error| Error::Signature { partition: number, error };
        let (Some(part), Some(kept), Some(rest)) =
            (self.part(number), self.partition_metadata(number), self.partition(number))
        else {
            return Err(fault(SignatureError::EmptyPartition));
        };
        let size = usize::try_from(kept.size()).unwrap_or(usize::MAX);
        if size > MAX_SIGNATURE_SIZE {
            return Err(fault(SignatureError::TooLarge { size, max: MAX_SIGNATURE_SIZE }));
        }
        if part.is_left_out {
            return Err(fault(SignatureError::TooManyBytes { max: MAX_SIGNATURES_SIZE }));
        }
        let mut chunk = vec![0; CHUNK];
        let (mut text, mut text_size, mut has_ended, mut offset) = (Vec::new(), 0_usize, false, 0_usize);
        while let Some(next) = rest.next_data(wide(offset)).and_then(|next| usize::try_from(next).ok()) {
            // a hole is zeros
            has_ended |= next > offset;
            offset = next;
            let Some(chunk) = chunk.get_mut(..CHUNK.min(size.saturating_sub(offset))) else { break };
            let source: &dyn ReadAt = if offset < KEPT { &kept } else { &rest };
            source.read_exact_at(wide(offset), chunk).map_err(|error| Error::Io {
                step: Step::Signature,
                offset: Some(part.place.range.offset.saturating_add(wide(offset))),
                error: Arc::new(error),
            })?;
            let end = if has_ended { Some(0) } else { chunk.iter().position(|byte| *byte == 0) };
            let (now, padding) = chunk.split_at(end.unwrap_or(chunk.len()));
            has_ended |= end.is_some();
            if let Some(at) = padding.iter().position(|byte| *byte != 0) {
                let offset = offset.saturating_add(now.len()).saturating_add(at);
                return Err(fault(SignatureError::DataAfterNul { offset }));
            }
            text_size = text_size.saturating_add(now.len());
            if text_size <= MAX_SIGNATURE_TEXT {
                text.extend_from_slice(now);
            }
            offset = offset.saturating_add(chunk.len());
        }
        if text_size > MAX_SIGNATURE_TEXT {
            return Err(fault(SignatureError::TooLarge { size: text_size, max: MAX_SIGNATURE_TEXT }));
        }
        Ok(text)
    }

    fn part(&self, number: u32) -> Option<&Part> {
        let at = self.parts.binary_search_by_key(&number, |part| part.place.number).ok()?;
        self.parts.get(at)
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("file_name", &self.file_name)
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

/// As libblkid: a GPT needs its protective MBR; without one, whatever headers there are, the MBR counts.
fn find_table(examination: &Examination) -> Table {
    let mbr = examination.boot_sector.as_ref().and_then(|sector| Mbr::parse(sector).ok());
    let is_certain = examination.block_size.is_err() || examination.protective_mbr.is_ok();
    if examination.is_gpt() && (is_certain || mbr.is_none()) {
        return match examination.gpt(Mode::Tolerant) {
            Ok(gpt) => Table::Gpt(Box::new(gpt)),
            Err(error) => Table::Broken(error),
        };
    }
    // libblkid: the units of an MBR are 512 bytes, whatever the device
    match mbr.map(|mbr| (mbr, mbr.partitions(512, examination.disk_size))) {
        None => Table::None,
        Some((mbr, Ok(partitions))) => Table::Mbr(mbr, partitions),
        Some((mbr, Err(error))) => Table::BrokenMbr(mbr, error),
    }
}

/// Refuses what is no disk by its beginning. Asked where nothing that can be used is recognised.
fn refuse_container(source: &dyn ReadAt) -> Result<(), Error> {
    let mut start = [0; Container::MAGIC_SIZE];
    let len = usize::try_from(source.size()).unwrap_or(usize::MAX).min(start.len());
    let start = start.get_mut(..len).unwrap_or_default();
    source.read_exact_at(0, start).map_err(|error| Error::Io {
        step: Step::Open,
        offset: Some(0),
        error: Arc::new(error),
    })?;
    Container::of(start).map_or(Ok(()), |container| Err(Error::Container(container)))
}

fn wide(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

fn parts(table: &Table) -> Vec<Part> {
    let mut left = MAX_SIGNATURES_SIZE;
    let is_signature = |number| {
        let Table::Gpt(gpt) = table else { return false };
        gpt.partition(number).is_some_and(|partition| {
            let designator = partition.partition_type().designator();
            !partition.name.is_empty_slot()
                && partition.range.size <= wide(MAX_SIGNATURE_SIZE)
                && Role::ALL.iter().any(|role| Some(role.signature()) == designator)
        })
    };
    let part = |place: PartitionRange| {
        let mut is_left_out = false;
        if is_signature(place.number) {
            match left.checked_sub(place.range.size) {
                Some(rest) => left = rest,
                None => is_left_out = true,
            }
        }
        Part { place, looked: OnceLock::new(), signature: OnceLock::new(), is_left_out }
    };
    places(table).into_iter().map(part).collect()
}

fn places(table: &Table) -> Vec<PartitionRange> {
    match table {
        Table::Gpt(gpt) => {
            gpt.partitions().iter().map(|p| PartitionRange { number: p.number, range: p.range }).collect()
        }
        Table::Mbr(_, partitions) => {
            let range = |p: &mbr::Partition| ByteRange { offset: p.offset, size: p.size };
            partitions.iter().map(|p| PartitionRange { number: p.number, range: range(p) }).collect()
        }
        Table::Broken(_) | Table::BrokenMbr(..) | Table::None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use ddi_gpt::{Builder, Guid, NewPartition, PartitionType};

    use super::*;
    use crate::testing::{Disk, DiskImage as _};

    const SIGNATURE: &str = "root-x86-64-verity-sig";

    /// JSON of this many bytes.
    fn json(size: usize) -> Vec<u8> {
        let mut json = format!(r#"{{"rootHash":"{}","signature":"MAA="}}"#, "ab".repeat(32)).into_bytes();
        assert!(json.len() <= size);
        json.resize(size, b' ');
        json
    }

    #[test]
    fn a_signature_partition_in_pieces_is_what_it_is_in_one() {
        let mut contents = Vec::new();
        for size in [200, CHUNK - 1, CHUNK, CHUNK + 1, KEPT, 5 * CHUNK, MAX_SIGNATURE_TEXT] {
            for padding in [0, 1, CHUNK - 1, CHUNK, 3 * CHUNK] {
                let mut content = json(size);
                content.resize((size + padding).next_multiple_of(512), 0);
                contents.push(content.clone());
                for at in [size + 1, size + CHUNK, content.len() - 1] {
                    let mut damaged = content.clone();
                    if let Some(byte) = damaged.get_mut(at).filter(|_| at > size) {
                        *byte = b'x';
                        contents.push(damaged);
                    }
                }
            }
        }
        contents.push(vec![0; 3 * CHUNK]);
        contents.push(json(MAX_SIGNATURE_TEXT + 512));
        contents.push(json(MAX_SIGNATURE_SIZE));
        contents.push(json(MAX_SIGNATURE_SIZE + 512));
        let mut outcomes = std::collections::BTreeMap::<_, u32>::new();
        for content in contents {
            let image = Disk::new().part(SIGNATURE, "", &content).image();
            let expected = RootHashSignature::parse(&content);
            let code = expected.as_ref().map_or_else(SignatureError::code, |_| "");
            *outcomes.entry(code).or_default() += 1;
            let facts = image.signature(1).cloned().map_err(|error| error.to_string());
            match (image.read_signature(1), expected) {
                (Ok(found), Ok(expected)) => {
                    assert_eq!(found, expected);
                    assert_eq!(facts.unwrap(), SignatureFacts::of(&expected));
                }
                (Err(Error::Signature { partition: 1, error }), Err(expected)) => {
                    assert_eq!(error, expected);
                    assert!(facts.unwrap_err().ends_with(&expected.to_string()));
                }
                (found, expected) => panic!("{found:?} {expected:?}"),
            }
        }
        let codes: Vec<_> = outcomes.into_keys().collect();
        assert_eq!(
            codes,
            ["", "signature-data-after-nul", "signature-partition-empty", "signature-too-large"]
        );
    }

    /// JSON, a hole, JSON again; and how often a byte is read.
    #[test]
    fn holes_are_not_read() {
        struct Holes(Vec<u8>, std::sync::atomic::AtomicUsize);
        impl ReadAt for Holes {
            fn size(&self) -> u64 {
                self.0.size()
            }
            fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
                self.1.fetch_add(buf.len(), std::sync::atomic::Ordering::Relaxed);
                self.0.read_exact_at(offset, buf)
            }
            fn next_data(&self, offset: u64) -> Option<u64> {
                let rest = self.0.get(offset as usize..)?;
                rest.iter().position(|byte| *byte != 0).map(|at| offset + at as u64)
            }
        }
        // the text ends before the hole, or where it begins
        for (size, last) in [(1000, 0), (1000, b'x'), (CHUNK, 0), (CHUNK, b' ')] {
            let mut content = json(size);
            content.resize(MAX_SIGNATURE_SIZE, 0);
            *content.last_mut().unwrap() = last;
            let disk = Disk::new().part(SIGNATURE, "", &content).bytes();
            let source = Arc::new(Holes(disk, 0.into()));
            let image = Image::new(Box::new(source.clone())).unwrap();
            let before = source.1.load(std::sync::atomic::Ordering::Relaxed);
            let found = image.read_signature(1).map_err(|error| error.code());
            assert_eq!(found.map(|_| ()), if last == 0 { Ok(()) } else { Err("signature-data-after-nul") });
            assert!(source.1.load(std::sync::atomic::Ordering::Relaxed) - before <= 2 * CHUNK);
        }
    }

    #[test]
    fn signature_partitions_together_are_bounded() {
        let guid = |name: &str| PartitionType::from_name(name, None).unwrap().guid().unwrap();
        let mut builder = Builder::new(200 << 20, BlockSize::B512, Guid::from_u128(1));
        let largest = wide(MAX_SIGNATURE_SIZE);
        // a free slot, one that is too large and data do not count
        let mut add = |number: u128, name: &str, label: &str, size| {
            let partition = NewPartition::new(guid(name), Guid::from_u128(0x10 + number)).size(size);
            builder = builder.clone().partition(partition.name(label.parse().unwrap()));
        };
        add(1, SIGNATURE, "_empty", largest);
        add(2, SIGNATURE, "", largest + 4096);
        add(3, "root-x86-64", "", largest);
        (4..20).for_each(|number| add(number, SIGNATURE, "", largest));
        add(20, "usr-x86-64-verity-sig", "", 4096);
        let image = Image::new(Box::new(builder.build().unwrap().to_disk())).unwrap();
        let code = |number| image.signature(number).unwrap_err().code();
        assert_eq!(code(2), "signature-too-large");
        for number in [1, 3, 4, 19] {
            assert_eq!(code(number), "signature-partition-empty", "{number}");
        }
        assert_eq!(code(20), "signature-too-many-bytes");
    }
}
