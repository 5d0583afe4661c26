//! Definitions and a disk, turned into places, sizes and names.

mod allocate;
mod area;
mod names;
mod planner;
mod show;

use planner::Planner;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ddi_gpt::{
    Attributes, BlockSize, Builder, Gpt, Guid, LbaRange, Name, NewPartition, PartitionType, Seed,
    WrittenTable,
};
use ddi_verity::{Params, RootHash};

use crate::compatibility::Compatibility;
use crate::definitions::{CopyBlocks, Definitions, Format, Notice};
use crate::error::{Error, PlanFault};
use crate::geometry::Geometry;

/// Bytes of a signature partition.
pub(crate) const SIGNATURE_SIZE: u64 = 16384;
const MEBIBYTE: u64 = 1 << 20;
/// Entries of a table that is new.
const ENTRIES: u32 = 128;
/// Bytes over which no image is planned: an offset in a file has 63 bits.
const MAX_SIZE: u64 = 1 << 62;

/// How large an image shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ImageSize {
    /// As large as the partitions need it.
    #[default]
    Auto,
    /// So many bytes, rounded up to 4 KiB.
    Bytes(u64),
}

/// What a disk may have on it (`--empty=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Empty {
    /// It must have a table.
    #[default]
    Refuse,
    /// A table is made if there is none.
    Allow,
    /// It must have none.
    Require,
    /// A new table is made, whatever is there.
    Force,
    /// It is not there yet.
    Create,
}

impl Empty {
    /// The table to plan into; `None` for a new one.
    ///
    /// # Errors
    /// [`PlanFault::NoTable`] and [`PlanFault::HasTable`].
    pub fn choose(self, table: Option<&Gpt>) -> Result<Option<&Gpt>, Error> {
        match (self, table) {
            (Self::Refuse, None) => Err(PlanFault::NoTable.into()),
            (Self::Require | Self::Create, Some(_)) => Err(PlanFault::HasTable.into()),
            (Self::Force, _) => Ok(None),
            (_, table) => Ok(table),
        }
    }
}

/// What a plan is made for.
#[derive(Clone, Debug)]
pub struct PlanOptions<'a> {
    seed: Seed,
    size: ImageSize,
    sector_size: Option<BlockSize>,
    file_system_sector_size: Option<u32>,
    table: Option<&'a Gpt>,
    relocate: bool,
    image: PathBuf,
    defer: Vec<PartitionType>,
    factory_reset: bool,
    split: bool,
    sizes: Sizes,
    signer: bool,
}

/// How many bytes the contents of partitions have, by the number of the definition: files of `CopyBlocks=`, and file systems
/// with `Minimize=`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sizes(BTreeMap<usize, u64>);

impl Sizes {
    /// None are known.
    pub fn new() -> Self {
        Self::default()
    }

    /// The content of this definition has so many bytes.
    #[must_use]
    pub fn with(mut self, definition: usize, bytes: u64) -> Self {
        self.0.insert(definition, bytes);
        self
    }

    pub(crate) fn set(&mut self, definition: usize, bytes: u64) {
        self.0.insert(definition, bytes);
    }

    pub(crate) fn get(&self, definition: usize) -> Option<u64> {
        self.0.get(&definition).copied()
    }
}

impl<'a> PlanOptions<'a> {
    /// A new image as small as can be, with all ids from this seed.
    pub fn new(seed: Guid) -> Self {
        Self {
            seed: Seed::new(seed),
            size: ImageSize::Auto,
            sector_size: None,
            file_system_sector_size: None,
            table: None,
            relocate: true,
            image: PathBuf::from("image.raw"),
            defer: Vec::new(),
            factory_reset: false,
            split: false,
            sizes: Sizes::default(),
            signer: true,
        }
    }

    /// Of this size. With a [`table`](Self::table), at least that of the disk it is on.
    #[must_use]
    pub fn size(mut self, size: ImageSize) -> Self {
        self.size = size;
        self
    }

    /// With sectors of this size, in the table and in file systems and hash trees (`--sector-size=`). Without it, the table has
    /// sectors of 512 bytes, and file systems and hash trees blocks of 4096.
    #[must_use]
    pub fn sector_size(mut self, sector_size: BlockSize) -> Self {
        self.sector_size = Some(sector_size);
        self.file_system_sector_size = Some(sector_size.bytes());
        self
    }

    /// Into this table, which keeps what it has.
    #[must_use]
    pub fn table(mut self, table: &'a Gpt) -> Self {
        self.table = Some(table);
        self
    }

    /// Sets whether the end of the table is first moved to the end of the disk, if the disk has grown. A real run does
    /// that; a dry run of systemd-repart does not, and finds no room.
    #[must_use]
    pub fn relocate(mut self, relocate: bool) -> Self {
        self.relocate = relocate;
        self
    }

    /// The path of the image, from which names of partitions and split files are made.
    #[must_use]
    pub fn image(mut self, path: impl Into<PathBuf>) -> Self {
        self.image = path.into();
        self
    }

    /// Partitions of these types get a place, a number and a UUID, and are neither written nor entered into the table.
    #[must_use]
    pub fn defer(mut self, types: impl IntoIterator<Item = PartitionType>) -> Self {
        self.defer.extend(types);
        self
    }

    /// As if what definitions with `FactoryReset=yes` belong to were not there.
    #[must_use]
    pub fn factory_reset(mut self, reset: bool) -> Self {
        self.factory_reset = reset;
        self
    }

    /// Each partition also becomes a file of its own.
    #[must_use]
    pub fn split(mut self, split: bool) -> Self {
        self.split = split;
        self
    }

    /// Sets whether root hashes will be signed, at once or later. If not, a plan with a new signature partition that is not
    /// deferred is refused.
    #[must_use]
    pub fn signer(mut self, signer: bool) -> Self {
        self.signer = signer;
        self
    }

    /// How large contents are.
    #[must_use]
    pub fn sizes(mut self, sizes: Sizes) -> Self {
        self.sizes = sizes;
        self
    }
}

/// What is to be done to a disk: every partition with its place, size, names and source.
///
/// ```
/// use ddi_build::{DefinitionOptions, Definitions, Plan, PlanOptions};
///
/// let texts = [("10-var.conf", "[Partition]\nType=var\nSizeMinBytes=4M\n")];
/// let definitions = Definitions::from_texts(texts, &DefinitionOptions::new())?;
/// let seed = "11111111-2222-4333-8444-555555555555".parse()?;
/// let plan = Plan::new(&definitions, &PlanOptions::new(seed))?;
/// let [var] = plan.partitions() else { unreachable!() };
/// assert_eq!((var.offset, var.size), (1 << 20, 4 << 20));
/// assert_eq!(var.guid.unwrap().to_string(), "27f8fbe2-435d-43a7-96f1-9dbc2a923802");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) geometry: Geometry,
    pub(crate) disk_guid: Guid,
    pub(crate) partitions: Vec<PlannedPartition>,
    pub(crate) trees: Vec<PlannedTree>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) dropped: Vec<Dropped>,
    pub(crate) image: PathBuf,
    pub(crate) compatibility: Compatibility,
    pub(crate) entries: u32,
    /// The size that would do for all that was not dropped.
    pub(crate) needed_size: u64,
}

/// A definition that there was no room for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Its file.
    pub file: Arc<Path>,
    /// Its priority.
    pub priority: i32,
    /// Bytes that it would need at least.
    pub min_size: u64,
}

/// What becomes of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activity {
    /// It is new.
    Create,
    /// It grows.
    Resize,
    /// It stays as it is.
    Unchanged,
}

impl Activity {
    /// The name that systemd-repart has for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Resize => "resize",
            Self::Unchanged => "unchanged",
        }
    }
}

/// What the bytes of a partition come from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// They stay as they are; in a new partition they are zeros.
    None,
    /// Copied, so many of them.
    Copy {
        /// From where.
        source: CopyBlocks,
        /// Bytes.
        size: u64,
    },
    /// A file system, made for this partition.
    FileSystem {
        /// Its kind.
        format: Format,
        /// Bytes it has, if it was made before to know that.
        minimized: Option<u64>,
        /// It is encrypted.
        encrypted: bool,
    },
    /// The hash tree of this number.
    HashTree(usize),
    /// The signature of the root hash of the tree of this number.
    Signature(usize),
}

/// A partition as it will be.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlannedPartition {
    /// Place in the table, from 0.
    pub number: u32,
    /// Its type.
    pub partition_type: PartitionType,
    /// Its name.
    pub label: String,
    /// Its GUID; `None` while it is still to follow from a root hash.
    pub guid: Option<Guid>,
    /// Its attributes.
    pub attributes: Attributes,
    /// The number of its definition; `None` for partitions that are there and have none.
    pub definition: Option<usize>,
    /// Those that were taken into it (`SupplementFor=`).
    pub supplements: Vec<usize>,
    /// The file of its definition.
    pub file: Option<Arc<Path>>,
    /// What else was read for it.
    pub drop_ins: Vec<Arc<Path>>,
    /// First byte.
    pub offset: u64,
    /// Bytes before; 0 if it is new.
    pub old_size: u64,
    /// Bytes.
    pub size: u64,
    /// Free bytes behind it before.
    pub old_padding: u64,
    /// Free bytes behind it.
    pub padding: u64,
    /// What becomes of it.
    pub activity: Activity,
    /// What its bytes come from.
    pub content: Content,
    /// Label and GUID as they stay in the table, of a partition without a definition: what is shown may be filled in.
    pub(crate) kept: Option<(String, Guid)>,
    /// Its definition has `Verity=`.
    pub(crate) verity_by_definition: bool,
    /// It belongs to the tree of this number.
    pub tree: Option<usize>,
    /// It has a place, and is neither written nor entered into the table.
    pub deferred: bool,
    /// Sector size of its file system.
    pub file_system_sector_size: u32,
    /// UUID of its file system.
    pub file_system_uuid: Guid,
    /// Its name as a file of its own, with what is still to be filled in; `None` if it becomes none.
    pub(crate) split_name: Option<names::SplitName>,
}

/// A hash tree that is to be made.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlannedTree {
    /// Its parameters.
    pub params: Params,
    /// UUID of its superblock.
    pub uuid: Guid,
    /// Its root hash, once it was made.
    pub root_hash: Option<RootHash>,
    /// The partition of the data, by its place in [`Plan::partitions`].
    pub data: usize,
    /// That of the tree.
    pub hash: usize,
    /// That of the signature.
    pub signature: Option<usize>,
}

impl Plan {
    /// Plans the definitions onto a disk.
    ///
    /// # Errors
    /// [`Error::Plan`]; [`Error::Definition`] for settings that do not go with the disk or the contents.
    pub fn new(definitions: &Definitions, options: &PlanOptions<'_>) -> Result<Self, Error> {
        Planner::new(definitions, options)?.plan()
    }

    /// The path of the image.
    pub fn image(&self) -> &Path {
        &self.image
    }

    /// The disk.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The GUID of the table.
    pub fn disk_guid(&self) -> Guid {
        self.disk_guid
    }

    /// The partitions, in the order in which systemd-repart prints them: that on the disk, but by the rules of version 257 that
    /// of the definitions, and behind them what has none.
    pub fn partitions(&self) -> &[PlannedPartition] {
        &self.partitions
    }

    /// Whose rules it follows.
    pub fn compatibility(&self) -> Compatibility {
        self.compatibility
    }

    /// The bytes of the table. Each partition that is entered into it must have its GUID.
    ///
    /// # Errors
    /// [`PlanFault::Unfinished`] while root hashes are missing; [`PlanFault::Table`] for what ddi-gpt refuses.
    pub fn table(&self) -> Result<WrittenTable, PlanFault> {
        let Geometry { size, sector_size, usable, .. } = self.geometry;
        let mut builder = Builder::new(size, sector_size, self.disk_guid)
            .entries(self.entries, ddi_gpt::Entry::SIZE)
            .usable(usable);
        for partition in self.partitions.iter().filter(|partition| !partition.deferred) {
            let (label, guid) = match &partition.kept {
                Some((label, guid)) => (label, *guid),
                None => (&partition.label, partition.guid.ok_or(PlanFault::Unfinished)?),
            };
            let first = sector_size.whole_blocks(partition.offset);
            let lbas = LbaRange::with_blocks(first, sector_size.whole_blocks(partition.size));
            let name: Name = label.parse().map_err(PlanFault::Table)?;
            builder = builder.partition(
                NewPartition::new(partition.partition_type.guid().unwrap_or(Guid::NIL), guid)
                    .number(partition.number.saturating_add(1))
                    .lbas(lbas.ok_or(PlanFault::TooLarge { size: partition.size })?)
                    .attributes(partition.attributes)
                    .name(name),
            );
        }
        builder.build().map_err(PlanFault::Table)
    }

    /// The hash trees.
    pub fn trees(&self) -> &[PlannedTree] {
        &self.trees
    }

    /// What a person should know.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Definitions that there was no room for.
    pub fn dropped(&self) -> &[Dropped] {
        &self.dropped
    }

    /// Bytes of the smallest disk on which all that was not dropped fits, if it were new.
    pub fn needed_size(&self) -> u64 {
        self.needed_size
    }
}
