//! Definitions of partitions, parsed and checked.

mod parser;
mod source;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ddi_gpt::{Architecture, Guid, PartitionType, Seed};

use crate::compatibility::Compatibility;
use crate::error::{DefinitionFault, Error, Place, ValueFault};
use crate::root::Root;
use crate::specifiers::Specifiers;
use parser::Parser;
use source::Files;

/// Where definitions are below a root, the most important first.
pub const DEFINITION_FOLDERS: [&str; 4] =
    ["etc/repart.d", "run/repart.d", "usr/local/lib/repart.d", "usr/lib/repart.d"];

/// Definitions that are taken: twice as many as a usual table has entries.
pub const MAX_DEFINITIONS: usize = 256;

/// What sizes are rounded to.
const ROUND: u64 = 4096;

/// How definitions are read.
#[derive(Clone, Debug)]
pub struct DefinitionOptions {
    compatibility: Compatibility,
    native: Option<Architecture>,
    architecture: Option<Architecture>,
    specifiers: Specifiers,
    include: Vec<PartitionType>,
    exclude: Vec<PartitionType>,
}

impl Default for DefinitionOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl DefinitionOptions {
    /// By the newest rules, for this machine's architecture, without an os-release.
    pub fn new() -> Self {
        Self {
            compatibility: Compatibility::default(),
            native: Architecture::NATIVE,
            architecture: None,
            specifiers: Specifiers::new(Architecture::NATIVE),
            include: Vec::new(),
            exclude: Vec::new(),
        }
    }

    /// By the rules of this version.
    #[must_use]
    pub fn compatibility(mut self, compatibility: Compatibility) -> Self {
        self.compatibility = compatibility;
        self
    }

    /// What `root`, `usr` and the like mean, and `%a`, unless [`architecture`](Self::architecture) says otherwise.
    #[must_use]
    pub fn native(mut self, native: Architecture) -> Self {
        self.native = Some(native);
        self.specifiers = Specifiers::new(self.native);
        self
    }

    /// The architecture of every type that has one, also of those that name another one (`--architecture=`).
    #[must_use]
    pub fn architecture(mut self, architecture: Architecture) -> Self {
        self.architecture = Some(architecture);
        self
    }

    /// What specifiers stand for.
    #[must_use]
    pub fn specifiers(mut self, specifiers: Specifiers) -> Self {
        self.specifiers = specifiers;
        self
    }

    /// As if there were definitions of these types alone (`--include-partitions=`). With none, all are taken.
    #[must_use]
    pub fn include(mut self, types: impl IntoIterator<Item = PartitionType>) -> Self {
        self.include.extend(types);
        self
    }

    /// As if there were no definitions of these types (`--exclude-partitions=`).
    #[must_use]
    pub fn exclude(mut self, types: impl IntoIterator<Item = PartitionType>) -> Self {
        self.exclude.extend(types);
        self
    }

    /// Reads the name or GUID of a partition type as definitions have it.
    pub fn partition_type(&self, name: &str) -> Option<PartitionType> {
        let found = PartitionType::from_name(name, self.native.or(self.architecture)).ok()?;
        let PartitionType::Designated(designator, Some(_)) = found else { return Some(found) };
        let Some(wanted) = self.architecture else { return Some(found) };
        let replaced = PartitionType::Designated(designator, Some(wanted));
        Some(if replaced.guid().is_some() { replaced } else { found })
    }
}

/// Reads a size as definitions have it: `10M`, `1.5G`, bytes without a suffix.
///
/// # Errors
/// [`ValueFault::NotASize`], [`ValueFault::TooLarge`].
pub fn parse_size(text: &str) -> Result<u64, ValueFault> {
    value::size(text)
}

/// The definitions of an image, in their order: parsed and checked against themselves. Nothing on the disk was touched.
///
/// ```
/// use ddi_build::{Definitions, DefinitionOptions};
///
/// let texts = [
///     ("10-root.conf", "[Partition]\nType=root\nSizeMinBytes=64M\nSizeMaxBytes=64M\n"),
///     ("20-var.conf", "[Partition]\nType=var\nWeigth=500\n"),
/// ];
/// let error = Definitions::from_texts(texts, &DefinitionOptions::new()).unwrap_err();
/// assert_eq!(error.to_string(), "20-var.conf:3: unknown key Weigth=");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    pub(crate) list: Vec<Definition>,
    pub(crate) compatibility: Compatibility,
    /// What sizes were rounded, for people.
    pub(crate) notices: Vec<Notice>,
    pub(crate) specifiers: Option<Specifiers>,
}

/// Something that a person should know, and that changes no verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Where it comes from.
    pub place: Place,
    /// What it is.
    pub text: String,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// What a partition's bytes are copied from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyBlocks {
    /// A file, by its path below the root.
    File(String),
    /// Part of an image.
    Range {
        /// The image.
        image: PathBuf,
        /// First byte.
        offset: u64,
        /// How many.
        size: u64,
    },
    /// The partition of this type that the running system was started from: for plans alone.
    Auto,
}

/// A file system.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Format {
    Erofs,
    Squashfs,
    Vfat,
    Ext4,
    Swap,
    /// Nothing at all, and a partition of this kind is marked so.
    Empty,
    /// One that is planned for and not made.
    Other(String),
}

impl Format {
    pub(super) fn from_name(name: &str) -> Self {
        match name {
            "erofs" => Self::Erofs,
            "squashfs" => Self::Squashfs,
            "vfat" => Self::Vfat,
            "ext4" => Self::Ext4,
            "swap" => Self::Swap,
            "empty" => Self::Empty,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The name that definitions have for it.
    pub fn name(&self) -> &str {
        match self {
            Self::Erofs => "erofs",
            Self::Squashfs => "squashfs",
            Self::Vfat => "vfat",
            Self::Ext4 => "ext4",
            Self::Swap => "swap",
            Self::Empty => "empty",
            Self::Other(name) => name,
        }
    }

    pub(crate) fn is_read_only(&self) -> bool {
        matches!(self, Self::Erofs | Self::Squashfs)
    }
}

/// Files that go into a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CopyFiles {
    pub(crate) source: String,
    pub(crate) target: String,
    pub(crate) place: Place,
}

/// A file that is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exclude {
    pub(crate) path: String,
    /// A folder itself stays.
    pub(crate) contents_only: bool,
}

/// `Minimize=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Minimize {
    #[default]
    Off,
    Guess,
    Best,
}

/// What a partition is to verity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VerityRole {
    /// The bytes that are protected.
    Data,
    /// Their hash tree.
    Hash,
    /// The signature of the root hash.
    Signature,
}

impl VerityRole {
    /// The name that definitions have for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Hash => "hash",
            Self::Signature => "signature",
        }
    }
}

/// `Encrypt=`: for plans alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Encrypt {
    #[default]
    Off,
    KeyFile,
    Tpm2,
    KeyFileTpm2,
}

/// One definition.
#[derive(Clone, Debug)]
pub struct Definition {
    pub(crate) file: Arc<Path>,
    pub(crate) name: String,
    pub(crate) drop_ins: Vec<Arc<Path>>,
    /// The line that each key was last set in.
    places: BTreeMap<&'static str, Place>,
    pub(crate) partition_type: PartitionType,
    pub(crate) label: Option<String>,
    pub(crate) uuid: Option<Guid>,
    pub(crate) priority: i32,
    pub(crate) weight: u64,
    pub(crate) padding_weight: u64,
    pub(crate) size_min: Option<u64>,
    pub(crate) size_max: Option<u64>,
    pub(crate) padding_min: Option<u64>,
    pub(crate) padding_max: Option<u64>,
    pub(crate) copy_blocks: Option<CopyBlocks>,
    pub(crate) format: Option<Format>,
    pub(crate) copy_files: Vec<CopyFiles>,
    pub(crate) exclude_files: Vec<Exclude>,
    pub(crate) exclude_files_target: Vec<Exclude>,
    pub(crate) make_directories: Vec<String>,
    pub(crate) make_symlinks: Vec<(String, String)>,
    pub(crate) minimize: Minimize,
    pub(crate) compression: Option<String>,
    pub(crate) compression_level: Option<String>,
    pub(crate) verity: Option<VerityRole>,
    pub(crate) match_key: Option<String>,
    pub(crate) data_block_size: Option<u32>,
    pub(crate) hash_block_size: Option<u32>,
    /// Of this set: data, hash, signature.
    pub(crate) siblings: [Option<usize>; 3],
    pub(crate) encrypt: Encrypt,
    pub(crate) flags: u64,
    pub(crate) no_auto: Option<bool>,
    pub(crate) read_only: Option<bool>,
    pub(crate) grow_file_system: Option<bool>,
    pub(crate) split_name: Option<String>,
    pub(crate) factory_reset: bool,
    pub(crate) supplement_for: Option<String>,
    pub(crate) sector_size: Option<u32>,
    /// What was asked for and is not done; a plan may be made nevertheless.
    unsupported: Vec<(Place, DefinitionFault)>,
}

impl Definition {
    fn new(name: &str, file: Arc<Path>, partition_type: PartitionType) -> Self {
        Self {
            file,
            name: name.to_owned(),
            drop_ins: Vec::new(),
            places: BTreeMap::new(),
            partition_type,
            label: None,
            uuid: None,
            priority: 0,
            weight: 1000,
            padding_weight: 0,
            size_min: None,
            size_max: None,
            padding_min: None,
            padding_max: None,
            copy_blocks: None,
            format: None,
            copy_files: Vec::new(),
            exclude_files: Vec::new(),
            exclude_files_target: Vec::new(),
            make_directories: Vec::new(),
            make_symlinks: Vec::new(),
            minimize: Minimize::Off,
            compression: None,
            compression_level: None,
            verity: None,
            match_key: None,
            data_block_size: None,
            hash_block_size: None,
            siblings: [None; 3],
            encrypt: Encrypt::Off,
            flags: 0,
            no_auto: None,
            read_only: None,
            grow_file_system: None,
            split_name: None,
            factory_reset: false,
            supplement_for: None,
            sector_size: None,
            unsupported: Vec::new(),
        }
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What else was read for it.
    pub fn drop_ins(&self) -> impl Iterator<Item = &Path> {
        self.drop_ins.iter().map(|path| &**path)
    }

    /// What the partition is for.
    pub fn partition_type(&self) -> PartitionType {
        self.partition_type
    }

    /// What the partition is to verity.
    pub fn verity(&self) -> Option<VerityRole> {
        self.verity
    }

    /// What its bytes are copied from.
    pub fn copy_blocks(&self) -> Option<&CopyBlocks> {
        self.copy_blocks.as_ref()
    }

    /// Its file system, also if that follows from other settings.
    pub fn format(&self) -> Option<&Format> {
        self.format.as_ref()
    }

    /// Where a key was set; else the file.
    pub(crate) fn place(&self, key: &str) -> Place {
        let whole = || Place { file: self.file.clone(), line: 0 };
        self.places.get(key).cloned().unwrap_or_else(whole)
    }

    pub(crate) fn is_set(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }

    /// Returns true if the file system or hash tree is made first, to know its size.
    pub(crate) fn is_minimized(&self) -> bool {
        self.minimize != Minimize::Off
    }

    pub(crate) fn has_content(&self) -> bool {
        !self.copy_files.is_empty() || !self.make_directories.is_empty() || !self.make_symlinks.is_empty()
    }
}

impl Definitions {
    /// Reads the definitions in these folders. Of two files with one name that in the earlier folder counts.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::TooMany`], [`Error::Definition`].
    pub fn from_folders<P: AsRef<Path>>(
        folders: impl IntoIterator<Item = P>,
        options: &DefinitionOptions,
    ) -> Result<Self, Error> {
        let mut files = Files::default();
        for folder in folders {
            files.add_folder(folder.as_ref(), true)?;
        }
        Self::parse(files, options)
    }

    /// Reads the definitions that systemd-repart finds below this root. Links lead to what they would lead to if it were the
    /// root of a system, and never out of it.
    ///
    /// # Errors
    /// As [`from_folders`](Self::from_folders).
    pub fn from_root(root: &Root, options: &DefinitionOptions) -> Result<Self, Error> {
        let mut files = Files::below(root);
        for folder in DEFINITION_FOLDERS {
            files.add_folder(Path::new(folder), false)?;
        }
        Self::parse(files, options)
    }

    /// Takes names and texts: `10-root.conf`, and for drop-ins `10-root.conf.d/50-size.conf`. An empty text is a mask.
    ///
    /// # Errors
    /// As [`from_folders`](Self::from_folders).
    pub fn from_texts<'a>(
        texts: impl IntoIterator<Item = (&'a str, &'a str)>,
        options: &DefinitionOptions,
    ) -> Result<Self, Error> {
        let mut files = Files::default();
        for (name, text) in texts {
            files.add(name, text)?;
        }
        Self::parse(files, options)
    }

    /// The partitions of an image, to be taken over as they are (`--copy-from=`); call [`append`](Self::append) to put
    /// definitions behind them.
    pub fn from_image(image: &Path, gpt: &ddi_gpt::Gpt, options: &DefinitionOptions) -> Self {
        let mut list: Vec<Definition> = Vec::new();
        let file: Arc<Path> = image.into();
        let partitions = gpt.partitions();
        for partition in partitions {
            let kind = partition.partition_type();
            if is_left_out(kind, options) {
                continue;
            }
            let end = partition.range.end();
            let starts = partitions.iter().map(|other| other.range.offset).filter(|start| *start >= end);
            let usable = gpt.block_size().byte_range(gpt.usable()).map_or(end, |range| range.end());
            let padding = starts.min().unwrap_or(usable).saturating_sub(end);
            let padding = padding.checked_div(ROUND).unwrap_or_default().saturating_mul(ROUND);
            list.push(Definition {
                label: Some(partition.name.label().unwrap_or_default()),
                uuid: Some(partition.guid),
                size_min: Some(partition.range.size),
                size_max: Some(partition.range.size),
                padding_min: Some(padding),
                padding_max: Some(padding),
                copy_blocks: Some(CopyBlocks::Range {
                    image: image.to_owned(),
                    offset: partition.range.offset,
                    size: partition.range.size,
                }),
                flags: partition.attributes.0,
                no_auto: Some(partition.attributes.no_auto()),
                read_only: Some(partition.attributes.read_only()),
                grow_file_system: Some(partition.attributes.grow_file_system()),
                ..Definition::new("", file.clone(), kind)
            });
        }
        Self { list, compatibility: options.compatibility, ..Self::default() }
    }

    /// Puts the definitions of `more` behind these.
    ///
    /// # Errors
    /// [`Error::TooMany`].
    pub fn append(mut self, mut more: Self) -> Result<Self, Error> {
        let offset = self.list.len();
        for definition in &mut more.list {
            for sibling in definition.siblings.iter_mut().flatten() {
                *sibling = sibling.saturating_add(offset);
            }
        }
        self.list.append(&mut more.list);
        self.notices.append(&mut more.notices);
        self.specifiers = more.specifiers.or(self.specifiers);
        if self.list.len() > MAX_DEFINITIONS {
            return Err(Error::TooMany { what: "definitions", max: MAX_DEFINITIONS });
        }
        Ok(self)
    }

    /// The definitions.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Definition> {
        self.list.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Sizes that were rounded.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// For each definition the UUID that its file system gets: it does not depend on the disk.
    pub(crate) fn file_system_uuids(&self, seed: Seed) -> Vec<Guid> {
        let mut counts: BTreeMap<Guid, u64> = BTreeMap::new();
        let mut uuids = Vec::with_capacity(self.list.len());
        for definition in &self.list {
            let kind = definition.partition_type.guid().unwrap_or(Guid::NIL);
            let count = counts.entry(kind).or_default();
            uuids.push(Seed::file_system_uuid(seed.partition_guid(kind, *count)));
            *count = count.saturating_add(1);
        }
        uuids
    }

    /// Refuses what can be planned and not made.
    ///
    /// # Errors
    /// [`Error::Definition`] with the first such setting.
    pub fn check_buildable(&self) -> Result<(), Error> {
        let unsupported = self.list.iter().flat_map(|definition| &definition.unsupported);
        match unsupported.min_by(|a, b| a.0.cmp(&b.0)) {
            Some((place, fault)) => Err(Error::at(place, fault.clone())),
            None => Ok(()),
        }
    }

    /// Refuses a signature when nobody is there who signs: of a new image this is known before anything is made for it. A
    /// [`Plan`](crate::Plan) refuses too.
    ///
    /// # Errors
    /// [`Error::NoSigner`] with the first signature that is wanted, of a type that is not deferred.
    pub fn check_signer(&self, deferred: &[PartitionType]) -> Result<(), Error> {
        let is_wanted = |it: &&Definition| {
            it.verity == Some(VerityRole::Signature) && !deferred.contains(&it.partition_type)
        };
        match self.list.iter().find(is_wanted) {
            Some(definition) => Err(Error::NoSigner { place: definition.place("Verity") }),
            None => Ok(()),
        }
    }

    fn parse(files: Files, options: &DefinitionOptions) -> Result<Self, Error> {
        let texts = files.merge();
        if texts.len() > MAX_DEFINITIONS {
            return Err(Error::TooMany { what: "definitions", max: MAX_DEFINITIONS });
        }
        let mut definitions = Self {
            compatibility: options.compatibility,
            specifiers: Some(options.specifiers.clone()),
            ..Self::default()
        };
        for texts in &texts {
            let definition = Parser::new(texts, options).definition(texts, &mut definitions.notices)?;
            if !is_left_out(definition.partition_type, options) {
                definitions.list.push(definition);
            }
        }
        definitions.find_siblings()?;
        definitions.check_supplements()?;
        Ok(definitions)
    }

    /// Each supplement has a target that can take it, and no target more than one.
    fn check_supplements(&self) -> Result<(), Error> {
        let mut taken = BTreeSet::new();
        for definition in &self.list {
            let Some(name) = definition.supplement_for.as_deref() else { continue };
            let fail = |fault| Err(Error::at(&definition.place("SupplementFor"), fault));
            let is_target = |it: &&Definition| it.name == name && it.name != definition.name;
            let Some(target) = self.list.iter().find(is_target) else {
                return fail(DefinitionFault::NoSuchDefinition { name: name.to_owned() });
            };
            if target.supplement_for.is_some() || !taken.insert(name) {
                return fail(DefinitionFault::SupplementTarget { name: name.to_owned() });
            }
            for (who, it) in [("SupplementFor=", definition), ("the target of SupplementFor=", target)] {
                for (with, found) in [
                    ("CopyBlocks=", it.copy_blocks.is_some()),
                    ("Encrypt=", it.encrypt != Encrypt::Off),
                    ("Verity=", it.verity.is_some()),
                ] {
                    if found {
                        return fail(DefinitionFault::Contradiction { key: who, with });
                    }
                }
            }
            // merged, they have the larger minimum and the smaller maximum
            for (key, min, max) in [
                (
                    "SizeMinBytes",
                    [definition.size_min, target.size_min],
                    [definition.size_max, target.size_max],
                ),
                (
                    "PaddingMinBytes",
                    [definition.padding_min, target.padding_min],
                    [definition.padding_max, target.padding_max],
                ),
            ] {
                if let (Some(min), Some(max)) =
                    (min.into_iter().flatten().max(), max.into_iter().flatten().min())
                    && min > max
                {
                    return fail(DefinitionFault::MinOverMax { key, min, max });
                }
            }
        }
        Ok(())
    }

    /// This definition with the files of the one that supplements it, as they are when both become one partition.
    pub(crate) fn with_supplement(&self, definition: &Definition) -> Option<Definition> {
        let more = self.list.iter().find(|it| it.supplement_for.as_deref() == Some(&*definition.name))?;
        let mut joined = definition.clone();
        joined.copy_files.extend(more.copy_files.iter().cloned());
        joined.exclude_files.extend(more.exclude_files.iter().cloned());
        joined.exclude_files_target.extend(more.exclude_files_target.iter().cloned());
        joined.make_directories.extend(more.make_directories.iter().cloned());
        joined.make_symlinks.extend(more.make_symlinks.iter().cloned());
        Some(joined)
    }

    /// For each match key one definition of data, one of a hash tree, at most one of a signature.
    fn find_siblings(&mut self) -> Result<(), Error> {
        let mut sets: BTreeMap<&str, [Vec<usize>; 3]> = BTreeMap::new();
        for (index, definition) in self.list.iter().enumerate() {
            let (Some(role), Some(key)) = (definition.verity, definition.match_key.as_deref()) else {
                continue;
            };
            let [data, hash, signature] = sets.entry(key).or_default();
            match role {
                VerityRole::Data => data.push(index),
                VerityRole::Hash => hash.push(index),
                VerityRole::Signature => signature.push(index),
            }
        }
        let mut found: Vec<(usize, [Option<usize>; 3])> = Vec::new();
        for (key, [data, hash, signature]) in sets {
            let all: Vec<usize> = [&data, &hash, &signature].into_iter().flatten().copied().collect();
            let of = |index: usize| self.list.get(index);
            // an error about a member that is missing points to the first of the set
            let Some(first) = all.iter().copied().min().and_then(of) else { continue };
            for (role, members, most) in
                [("data", &data, 1), ("hash", &hash, 1), ("signature", &signature, 1)]
            {
                if members.len() > most || members.is_empty() && role != "signature" {
                    let place = members.get(1).copied().and_then(of).unwrap_or(first).place("VerityMatchKey");
                    let (match_key, count) = (key.to_owned(), members.len());
                    return Err(Error::at(&place, DefinitionFault::VeritySet { match_key, role, count }));
                }
            }
            // without room, systemd-repart drops partitions by priority, and a set only as a whole
            if let Some(other) = all.iter().copied().filter_map(of).find(|it| it.priority != first.priority) {
                let fault = DefinitionFault::SiblingPriority { match_key: key.to_owned() };
                return Err(Error::at(&other.place("Priority"), fault));
            }
            let set = [&data, &hash, &signature].map(|members| members.first().copied());
            // the size of a tree follows from that of the data, which must be known first
            if let (Some(data), Some(hash)) = (set[0].and_then(of), set[1].and_then(of))
                && hash.is_minimized()
                && !data.is_minimized()
                && data.copy_blocks.is_none()
            {
                let needs = "Minimize= or CopyBlocks= in the definition of the data";
                let fault = DefinitionFault::Without { key: "Minimize= of a hash tree", needs };
                return Err(Error::at(&hash.place("Minimize"), fault));
            }
            found.extend(all.into_iter().map(|index| (index, set)));
        }
        for (index, set) in found {
            if let Some(definition) = self.list.get_mut(index) {
                definition.siblings = set;
            }
        }
        Ok(())
    }
}

fn is_left_out(kind: PartitionType, options: &DefinitionOptions) -> bool {
    !options.include.is_empty() && !options.include.contains(&kind) || options.exclude.contains(&kind)
}
