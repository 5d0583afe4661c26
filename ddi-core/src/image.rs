//! An image: its bytes, its partition table, and what each part holds, each looked at once.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::string_slice
    )
)]

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use ddi_gpt::{BlockSize, ByteRange, Examination, Gpt, Mode};
use ddi_verity::{MAX_SIGNATURE_SIZE, ReadAt, RootHashSignature, Section, SignatureError};

use crate::error::{Error, Step};
use crate::fs::{self, FsKind, Probe};
use crate::kept::Kept;
use crate::mbr::{self, Mbr};
use crate::source::{ImageFile, Sidecars, image_name};
use crate::spool::{SpoolOptions, spool};

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
pub(crate) struct Place {
    pub(crate) number: u32,
    pub(crate) range: ByteRange,
}

/// An image, opened for reading.
pub struct Image {
    /// Read through it: what says what is where. Data and hash trees are read from the source below.
    metadata: Kept<Arc<dyn ReadAt>>,
    file_name: Option<OsString>,
    sidecars: Sidecars,
    examination: Examination,
    table: Table,
    whole: Looked,
    parts: Vec<Part>,
}

/// A partition and what is in it, once somebody has asked.
struct Part {
    place: Place,
    looked: OnceLock<Looked>,
    signature: OnceLock<Result<RootHashSignature, Error>>,
}

/// What a piece of storage looks like.
pub(crate) struct Looked {
    any: Result<Option<Probe>, Arc<fs::Error>>,
    /// As systemd sees it, which looks for few kinds only; `None` if that makes no difference.
    candidate: Option<Result<Option<Probe>, Arc<fs::Error>>>,
}

impl Looked {
    pub(crate) fn new(source: &dyn ReadAt, partitions: &[core::ops::Range<u64>]) -> Self {
        // both times the same bytes
        let source = &Kept::new(source);
        let any =
            fs::probe_with(source, &fs::Options::default().with_partitions(partitions)).map_err(Arc::new);
        let same = match &any {
            Ok(None) => true,
            Ok(Some(probe)) => FsKind::SYSTEMD_CANDIDATES.contains(&probe.kind),
            Err(_) => false,
        };
        let candidates = fs::Options::only(FsKind::SYSTEMD_CANDIDATES).with_partitions(partitions);
        let candidate = (!same).then(|| fs::probe_with(source, &candidates).map_err(Arc::new));
        Looked { any, candidate }
    }

    /// Of all the kinds there are.
    pub(crate) fn any(&self) -> Result<Option<&Probe>, &Arc<fs::Error>> {
        self.any.as_ref().map(Option::as_ref)
    }

    /// Of the kinds that systemd looks for.
    pub(crate) fn candidate(&self) -> Result<Option<&Probe>, &Arc<fs::Error>> {
        self.candidate.as_ref().unwrap_or(&self.any).as_ref().map(Option::as_ref)
    }
}

impl Image {
    /// Opens the image at `path`, looks for files beside it, and reads its partition table.
    ///
    /// # Errors
    /// As [`ImageFile::open`]; [`Error::Io`] if the table cannot be read. What is *wrong* with a table is no error
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
    /// [`Error::Empty`]; [`Error::Io`] if the table cannot be read.
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
        let metadata = Kept::new(Arc::from(source));
        let size = metadata.size();
        if size == 0 {
            return Err(Error::Empty);
        }
        let mut failed_at = 0;
        let examination = ddi_gpt::examine(size, block_size, |offset, buf: &mut [u8]| {
            failed_at = offset;
            metadata.read_exact_at(offset, buf)
        })
        .map_err(|error| Error::Io {
            step: Step::Table,
            offset: Some(failed_at),
            error: Arc::new(error),
        })?;
        let table = find_table(&examination);
        let parts: Vec<_> = places(&table)
            .into_iter()
            .map(|place| Part { place, looked: OnceLock::new(), signature: OnceLock::new() })
            .collect();
        let ranges: Vec<_> =
            parts.iter().map(|part| part.place.range.offset..part.place.range.end()).collect();
        let whole = Looked::new(&metadata, &ranges);
        Ok(Image { metadata, file_name, sidecars, examination, table, whole, parts })
    }

    /// The bytes.
    pub fn source(&self) -> &dyn ReadAt {
        &**self.metadata.source()
    }

    /// The bytes, of which what was read before is given again. For what says where things are.
    pub(crate) fn metadata(&self) -> &dyn ReadAt {
        &self.metadata
    }

    /// The bytes, for readers that outlive the image.
    pub(crate) fn shared_source(&self) -> Arc<dyn ReadAt> {
        Arc::clone(self.metadata.source())
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
    pub(crate) fn whole(&self) -> &Looked {
        &self.whole
    }

    /// What partition `number` holds.
    pub(crate) fn looked(&self, number: u32) -> Option<&Looked> {
        let part = self.part(number)?;
        let section = self.partition_metadata(number)?;
        Some(part.looked.get_or_init(|| Looked::new(&section, &[])))
    }

    /// The content of signature partition `number`. That it is there says nothing about who made it.
    ///
    /// # Errors
    /// [`Error::Signature`] if it is not what it should be, [`Error::Io`].
    pub fn signature(&self, number: u32) -> Result<&RootHashSignature, Error> {
        let none = || Error::Signature { partition: number, error: SignatureError::EmptyPartition };
        let part = self.part(number).ok_or_else(none)?;
        let read = || {
            let section = self.partition_metadata(number).ok_or_else(none)?;
            let error = |error| Error::Signature { partition: number, error };
            let size = usize::try_from(section.size()).unwrap_or(usize::MAX);
            if size > MAX_SIGNATURE_SIZE {
                return Err(error(SignatureError::TooLarge { size, max: MAX_SIGNATURE_SIZE }));
            }
            let mut content = vec![0; size];
            section.read_exact_at(0, &mut content).map_err(|error| Error::Io {
                step: Step::Signature,
                offset: Some(part.place.range.offset),
                error: Arc::new(error),
            })?;
            RootHashSignature::parse(&content).map_err(error)
        };
        part.signature.get_or_init(read).as_ref().map_err(Clone::clone)
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

fn places(table: &Table) -> Vec<Place> {
    match table {
        Table::Gpt(gpt) => {
            gpt.partitions().iter().map(|p| Place { number: p.number, range: p.range }).collect()
        }
        Table::Mbr(_, partitions) => {
            let range = |p: &mbr::Partition| ByteRange { offset: p.offset, size: p.size };
            partitions.iter().map(|p| Place { number: p.number, range: range(p) }).collect()
        }
        Table::Broken(_) | Table::BrokenMbr(..) | Table::None => Vec::new(),
    }
}
