//! From definitions to a plan, step by step.

use std::collections::{BTreeMap, BTreeSet};

use ddi_gpt::{Attributes, BlockSize, Designator, Gpt, Guid, Partition, PartitionType, Seed};
use ddi_verity::{Algorithm, HashType, Layout, Params, Placement, Salt};

use super::area::Area;
use super::{
    Activity, Content, Dropped, ENTRIES, ImageSize, MAX_SIZE, MEBIBYTE, Plan, PlanOptions, PlannedPartition,
    PlannedTree,
};
use crate::compatibility::Compatibility;
use crate::definitions::{CopyBlocks, Definition, Definitions, Encrypt, Format, Notice, VerityRole};
use crate::error::{Error, Place, PlanFault};
use crate::geometry::{Geometry, round_down, round_up};

/// A partition that is there.
#[derive(Clone, Debug)]
pub(crate) struct Existing {
    pub(crate) number: u32,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) padding: u64,
    pub(crate) guid: Guid,
    pub(crate) label: String,
    pub(crate) attributes: Attributes,
}

/// What is wanted of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) weight: u64,
    pub(crate) padding_weight: u64,
    pub(crate) size_min: Option<u64>,
    pub(crate) size_max: Option<u64>,
    pub(crate) padding_min: Option<u64>,
    pub(crate) padding_max: Option<u64>,
}

impl Wanted {
    const NOTHING: Self = Self {
        weight: 1000,
        padding_weight: 0,
        size_min: None,
        size_max: None,
        padding_min: None,
        padding_max: None,
    };

    fn of(definition: &Definition) -> Self {
        Self {
            weight: definition.weight,
            padding_weight: definition.padding_weight,
            size_min: definition.size_min,
            size_max: definition.size_max,
            padding_min: definition.padding_min,
            padding_max: definition.padding_max,
        }
    }

    /// What a supplement adds.
    fn merge(&mut self, more: &Definition) {
        fn both(a: Option<u64>, b: Option<u64>, pick: fn(u64, u64) -> u64) -> Option<u64> {
            match (a, b) {
                (Some(a), Some(b)) => Some(pick(a, b)),
                (a, b) => a.or(b),
            }
        }
        self.size_min = both(self.size_min, more.size_min, u64::max);
        self.size_max = both(self.size_max, more.size_max, u64::min);
        self.padding_min = both(self.padding_min, more.padding_min, u64::max);
        self.padding_max = both(self.padding_max, more.padding_max, u64::min);
        if more.is_set("Weight") {
            self.weight = more.weight;
        }
        if more.is_set("PaddingWeight") {
            self.padding_weight = more.padding_weight;
        }
    }
}

/// A partition in the making.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) definition: Option<usize>,
    pub(crate) supplements: Vec<usize>,
    pub(crate) kind: PartitionType,
    pub(crate) existing: Option<Existing>,
    pub(crate) priority: i32,
    pub(crate) wanted: Wanted,
    /// Bytes that its content needs at least.
    pub(crate) content_min: u64,
    pub(crate) is_signature: bool,
    /// Small without a least size: it is made of what it holds.
    pub(crate) may_be_tiny: bool,
    pub(crate) area: Option<usize>,
    pub(crate) size: Option<u64>,
    pub(crate) padding: Option<u64>,
    pub(crate) offset: u64,
    pub(crate) number: u32,
    pub(crate) dropped: bool,
    pub(crate) label: String,
    /// `None` if it is to follow from a root hash.
    pub(crate) guid: Option<Guid>,
    /// What its other ids are derived from.
    pub(crate) derived: Guid,
}

impl Part {
    /// One without a definition.
    fn foreign(kind: PartitionType) -> Self {
        Self {
            definition: None,
            supplements: Vec::new(),
            kind,
            existing: None,
            priority: 0,
            wanted: Wanted::NOTHING,
            content_min: 0,
            is_signature: false,
            may_be_tiny: false,
            area: None,
            size: None,
            padding: None,
            offset: 0,
            number: 0,
            dropped: false,
            label: String::new(),
            guid: None,
            derived: Guid::NIL,
        }
    }

    pub(crate) fn is_foreign(&self) -> bool {
        self.definition.is_none()
    }
    pub(crate) fn is_new(&self) -> bool {
        self.existing.is_none() && !self.dropped
    }

    /// Becomes one that is kept as it is.
    fn drop_definition(&mut self) {
        if self.existing.is_none() {
            self.dropped = true;
            return;
        }
        self.definition = None;
        self.priority = 0;
        self.wanted = Wanted::NOTHING;
    }
}

/// Everything that is known while a plan is made.
pub(crate) struct Planner<'a> {
    pub(crate) definitions: &'a Definitions,
    pub(crate) options: &'a PlanOptions<'a>,
    pub(crate) grain: u64,
    pub(crate) geometry: Option<Geometry>,
    pub(crate) parts: Vec<Part>,
    pub(crate) areas: Vec<Area>,
    /// In which they are filled.
    pub(crate) area_order: Vec<usize>,
    pub(crate) trees: Vec<Tree>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) dropped: Vec<Dropped>,
}

/// A tree, by definitions.
pub(crate) struct Tree {
    pub(crate) data: usize,
    pub(crate) hash: usize,
    pub(crate) signature: Option<usize>,
    data_block_size: u32,
    hash_block_size: u32,
    /// Bytes that it is over; `None` for the whole partition of the data.
    over: Option<u64>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(definitions: &'a Definitions, options: &'a PlanOptions<'a>) -> Result<Self, Error> {
        let sector_size = match options.table {
            Some(table) => table.block_size(),
            None => options.sector_size.unwrap_or(BlockSize::B512),
        };
        let mut planner = Self {
            definitions,
            options,
            grain: Geometry::grain_of(sector_size),
            geometry: None,
            parts: Vec::new(),
            areas: Vec::new(),
            area_order: Vec::new(),
            trees: Vec::new(),
            notices: definitions.notices.clone(),
            dropped: Vec::new(),
        };
        planner.find_trees()?;
        planner.find_parts()?;
        planner.find_disk(sector_size)?;
        Ok(planner)
    }

    pub(super) fn compatibility(&self) -> Compatibility {
        self.definitions.compatibility
    }

    pub(crate) fn definition(&self, index: usize) -> Option<&'a Definition> {
        self.definitions.list.get(index)
    }

    pub(crate) fn file_system_sector_size(&self, definition: &Definition) -> u32 {
        definition.sector_size.or(self.options.file_system_sector_size).unwrap_or(4096)
    }

    fn find_trees(&mut self) -> Result<(), Error> {
        for (index, hash) in self.definitions.list.iter().enumerate() {
            let ([Some(data), _, signature], Some(VerityRole::Hash)) = (hash.siblings, hash.verity) else {
                continue;
            };
            let Some(of) = self.definition(data) else { continue };
            let block_size = self.file_system_sector_size(hash);
            let mut tree = Tree {
                data,
                hash: index,
                signature,
                data_block_size: hash.data_block_size.unwrap_or(block_size),
                hash_block_size: hash.hash_block_size.unwrap_or(block_size),
                over: None,
            };
            if hash.is_minimized() {
                let size = self.content_size(data, of)?;
                let place = of.place("CopyBlocks");
                let size =
                    size.ok_or_else(|| Error::Plan(PlanFault::UnknownSize { place: place.clone() }))?;
                let block = u64::from(tree.data_block_size);
                tree.over = Some(match self.compatibility().is_exact() {
                    true => round_down(size, block),
                    false => round_up(size, block),
                });
                if tree.over == Some(0) {
                    return Err(
                        PlanFault::LessThanABlock { place, size, block_size: tree.data_block_size }.into()
                    );
                }
            }
            self.trees.push(tree);
        }
        Ok(())
    }

    /// How many bytes the content has that is known before there is a plan.
    fn content_size(&self, index: usize, definition: &Definition) -> Result<Option<u64>, Error> {
        let size = match &definition.copy_blocks {
            Some(CopyBlocks::Range { size, .. }) => Some(*size),
            Some(_) => self.options.sizes.get(index),
            None if definition.is_minimized() && definition.verity != Some(VerityRole::Hash) => {
                self.options.sizes.get(index)
            }
            None => return Ok(None),
        };
        let place =
            definition.place(if definition.copy_blocks.is_some() { "CopyBlocks" } else { "Minimize" });
        match size {
            Some(size) if size == 0 || !size.is_multiple_of(512) => {
                Err(PlanFault::ContentSize { place, size }.into())
            }
            Some(size) if size > MAX_SIZE => Err(PlanFault::TooLarge { size }.into()),
            Some(size) => Ok(Some(size)),
            None => Err(PlanFault::UnknownSize { place }.into()),
        }
    }

    /// Bytes that the content of a new partition needs.
    fn content_min(&self, index: usize, definition: &Definition) -> Result<u64, Error> {
        let mut min: u64 = 0;
        if definition.encrypt != Encrypt::Off {
            min = round_up(32 * MEBIBYTE, self.grain);
        }
        let tree = self.trees.iter().find(|tree| tree.hash == index);
        if let Some(tree) = tree.filter(|tree| tree.over.is_some()) {
            let size = self.tree_layout(tree, tree.over.unwrap_or_default())?.least_size();
            return Ok(min.saturating_add(round_up(size, self.grain)));
        }
        if let Some(size) = self.content_size(index, definition)? {
            return Ok(min.saturating_add(round_up(size, self.grain)));
        }
        if let Some(format) = &definition.format {
            let least = self.file_system_min(format, definition);
            min = min.saturating_add(round_up(least, self.grain));
        }
        Ok(min)
    }

    fn file_system_min(&self, format: &Format, definition: &Definition) -> u64 {
        let is_boot =
            matches!(definition.partition_type.designator(), Some(Designator::Esp | Designator::Xbootldr));
        match format {
            Format::Ext4 => 32 * MEBIBYTE,
            Format::Other(name) if name == "xfs" => 300 * MEBIBYTE,
            Format::Other(name) if name == "btrfs" => 256 * MEBIBYTE,
            Format::Vfat if is_boot && self.compatibility().is_new() => {
                match self.file_system_sector_size(definition) >= 4096 {
                    true => 260 * MEBIBYTE,
                    false => 100 * MEBIBYTE,
                }
            }
            _ => self.grain,
        }
    }

    fn params(&self, tree: &Tree, over: u64) -> Result<Params, Error> {
        let salt = self.options.seed.verity_salt();
        let block = u64::from(tree.data_block_size);
        let salt = Salt::new(&salt).unwrap_or(Salt::EMPTY);
        Params::new(
            HashType::Normal,
            Algorithm::Sha256,
            tree.data_block_size,
            tree.hash_block_size,
            over.checked_div(block).unwrap_or_default(),
            salt,
        )
        .map_err(|error| Error::Plan(PlanFault::Verity(error.to_string())))
    }

    fn tree_layout(&self, tree: &Tree, over: u64) -> Result<Layout, Error> {
        let params = self.params(tree, over)?;
        Layout::new(&params, Placement::Superblock(0))
            .map_err(|error| Error::Plan(PlanFault::Verity(error.to_string())))
    }

    fn find_parts(&mut self) -> Result<(), Error> {
        let mut parts = Vec::new();
        for (index, definition) in self.definitions.list.iter().enumerate() {
            let mut wanted = Wanted::of(definition);
            let tree = self.trees.iter().find(|tree| tree.hash == index);
            if let Some(tree) = tree.filter(|_| wanted.size_min.is_none()) {
                let data_max = self.definition(tree.data).and_then(|data| data.size_max);
                wanted.size_min = data_max.map(|max| tree_size_by_repart(max, tree));
            }
            parts.push(Part {
                definition: Some(index),
                priority: definition.priority,
                wanted,
                content_min: self.content_min(index, definition)?,
                is_signature: definition.verity == Some(VerityRole::Signature),
                may_be_tiny: definition.verity.is_some()
                    || definition.format.as_ref().is_some_and(Format::is_read_only),
                ..Part::foreign(definition.partition_type)
            });
        }
        self.parts = parts;
        Ok(())
    }

    fn find_disk(&mut self, sector_size: BlockSize) -> Result<(), Error> {
        let Some(table) = self.options.table else {
            let size = match self.options.size {
                ImageSize::Bytes(size) => round_up(size, 4096),
                ImageSize::Auto => {
                    self.merge_supplements();
                    self.auto_size(sector_size)
                }
            };
            if size > MAX_SIZE {
                return Err(PlanFault::TooLarge { size }.into());
            }
            self.geometry = Some(Geometry::new_table(size, sector_size)?);
            return Ok(());
        };
        let size = match self.options.size {
            ImageSize::Auto => table.disk_size(),
            ImageSize::Bytes(size) => round_up(size, 4096).max(table.disk_size()),
        };
        if size > MAX_SIZE {
            return Err(PlanFault::TooLarge { size }.into());
        }
        self.geometry = Some(Geometry::of_table(table, size, self.options.relocate)?);
        self.match_table(table);
        Ok(())
    }

    /// Bytes that a new image with all these partitions has (`--size=auto`).
    pub(crate) fn auto_size(&self, sector_size: BlockSize) -> u64 {
        let overhead = Geometry::overhead(sector_size, self.compatibility());
        let parts = self.parts.iter().filter(|part| !part.dropped);
        let sum = parts.fold(overhead, |sum, part| sum.saturating_add(self.need(part)));
        match self.compatibility() {
            Compatibility::Current => round_up(sum, 4096),
            _ => sum,
        }
    }

    /// For each partition the definition that it belongs to: the first one of its type that has none yet.
    fn matches(&self, partitions: &[Partition]) -> Vec<Option<usize>> {
        let mut free: BTreeMap<Guid, Vec<usize>> = BTreeMap::new();
        for (index, part) in self.parts.iter().enumerate().rev() {
            free.entry(type_guid(part.kind)).or_default().push(index);
        }
        let found = |partition: &Partition| free.get_mut(&partition.type_guid).and_then(Vec::pop);
        partitions.iter().map(found).collect()
    }

    /// Partitions that are there and have no definition are kept as they are.
    fn match_table(&mut self, table: &Gpt) {
        let mut partitions = table.partitions().to_vec();
        if self.options.factory_reset {
            let matches = self.matches(&partitions);
            let is_reset = |found: &Option<usize>| {
                found
                    .and_then(|index| self.definition(index))
                    .is_some_and(|definition| definition.factory_reset)
            };
            let mut reset = matches.iter().map(is_reset);
            partitions.retain(|_| !reset.next().unwrap_or(false));
        }
        let end_of_usable = self.geometry.map_or(0, |geometry| {
            geometry.usable.last.0.saturating_add(1).saturating_mul(geometry.sector_size.bytes().into())
        });
        let starts: BTreeSet<u64> = partitions.iter().map(|partition| partition.range.offset).collect();
        let matches = self.matches(&partitions);
        for (partition, found) in partitions.iter().zip(matches) {
            let end = partition.range.end();
            let next = starts.range(end..).next().copied().unwrap_or(end_of_usable);
            let padding = round_down(next, self.grain).saturating_sub(round_up(end, self.grain));
            let existing = Existing {
                number: partition.number.saturating_sub(1),
                offset: partition.range.offset,
                size: partition.range.size,
                padding,
                guid: partition.guid,
                label: partition.name.label().unwrap_or_default(),
                attributes: partition.attributes,
            };
            match found.and_then(|index| self.parts.get_mut(index)) {
                Some(part) => part.existing = Some(existing),
                None => self
                    .parts
                    .push(Part { existing: Some(existing), ..Part::foreign(partition.partition_type()) }),
            }
        }
    }

    /// Takes supplements into what they supplement, where neither is there yet.
    fn merge_supplements(&mut self) {
        let supplements: Vec<usize> = (0..self.parts.len()).collect();
        for index in supplements {
            self.merge_supplement(index);
        }
    }

    fn merge_supplement(&mut self, index: usize) {
        let definition = |part: &Part| part.definition.and_then(|index| self.definitions.list.get(index));
        let Some(part) = self.parts.get(index).filter(|part| part.is_new()) else { return };
        let Some(of) = definition(part) else { return };
        let (Some(target), Some(number)) = (of.supplement_for.as_deref(), part.definition) else { return };
        let content_min = part.content_min;
        let found = self.parts.iter().position(|part| definition(part).is_some_and(|it| it.name == target));
        let Some(target) = found.and_then(|at| self.parts.get_mut(at)).filter(|part| part.is_new()) else {
            return;
        };
        if target.supplements.contains(&number) {
            return;
        }
        target.wanted.merge(of);
        target.content_min = target.content_min.max(content_min);
        target.supplements.push(number);
        if let Some(part) = self.parts.get_mut(index) {
            part.dropped = true;
        }
    }

    pub(super) fn plan(mut self) -> Result<Plan, Error> {
        // also those that are dropped later count
        self.label();
        self.guids()?;
        let apart = self.parts.clone();
        self.merge_supplements();
        let mut fits = self.allocate();
        if !fits && self.parts.iter().any(|part| !part.supplements.is_empty()) {
            self.parts = apart;
            fits = self.allocate();
        }
        while !fits {
            let left = self.parts.iter().filter(|part| !part.dropped).map(|part| part.priority);
            let Some(priority) = left.filter(|priority| *priority > 0).max() else {
                let sector_size = self.geometry.map_or(BlockSize::B512, |geometry| geometry.sector_size);
                return Err(PlanFault::NoRoom {
                    largest: self.largest_free(),
                    needed: self.auto_size(sector_size),
                    size: self.geometry.map_or(0, |geometry| geometry.size),
                    dropped: self.dropped.len(),
                }
                .into());
            };
            for index in 0..self.parts.len() {
                self.drop_part(index, priority);
            }
            fits = self.allocate();
        }
        self.grow();
        self.place();
        self.finish()
    }

    fn drop_part(&mut self, index: usize, priority: i32) {
        let min_size = self.parts.get(index).map_or(0, |part| self.min(part));
        let Some(part) = self.parts.get_mut(index) else { return };
        if part.priority != priority || part.dropped {
            return;
        }
        if let Some(definition) = part.definition.and_then(|index| self.definitions.list.get(index)) {
            self.dropped.push(Dropped { file: definition.file.clone(), priority, min_size });
        }
        part.drop_definition();
    }

    /// Puts everything together.
    fn finish(mut self) -> Result<Plan, Error> {
        let entries = self.options.table.map_or(ENTRIES, |table| table.entry_count().max(ENTRIES));
        let used = self.parts.iter().filter(|part| !part.dropped).count();
        if !u32::try_from(used).is_ok_and(|used| used <= entries) {
            return Err(PlanFault::TooManyPartitions { count: used, entries }.into());
        }
        self.parts.retain(|part| !part.dropped);
        let order = self.order();
        self.number(&order, entries);
        let Some(geometry) = self.geometry else { return Err(PlanFault::TooLarge { size: 0 }.into()) };
        // the place of each definition in the plan
        let position: BTreeMap<usize, usize> = order
            .iter()
            .enumerate()
            .filter_map(|(at, index)| Some((self.parts.get(*index)?.definition?, at)))
            .collect();
        let mut trees = Vec::new();
        let mut tree_numbers = BTreeMap::new();
        for tree in &self.trees {
            let (Some(data), Some(hash)) = (position.get(&tree.data), position.get(&tree.hash)) else {
                continue;
            };
            let part = |at: &usize| order.get(*at).and_then(|index| self.parts.get(*index));
            let (Some(data_part), Some(hash_part)) = (part(data), part(hash)) else { continue };
            if data_part.existing.is_some() || hash_part.existing.is_some() {
                continue;
            }
            let hash_size = hash_part.size.unwrap_or_default();
            let over = tree.over.unwrap_or_else(|| {
                round_down(data_part.size.unwrap_or_default(), tree.data_block_size.into())
            });
            let needed = self.tree_layout(tree, over)?.least_size();
            if needed > hash_size {
                let place = self.definition(tree.hash).map(|hash| hash.place("SizeMaxBytes"));
                let place = place.unwrap_or_else(|| Place::whole(""));
                return Err(PlanFault::TreeDoesNotFit { place, needed, size: hash_size }.into());
            }
            let number = trees.len();
            for index in [Some(tree.data), Some(tree.hash), tree.signature].into_iter().flatten() {
                tree_numbers.insert(index, number);
            }
            trees.push(PlannedTree {
                params: self.params(tree, over)?,
                uuid: self.options.seed.verity_uuid(),
                root_hash: None,
                data: *data,
                hash: *hash,
                signature: tree.signature.and_then(|index| position.get(&index).copied()),
            });
        }
        let mut partitions = Vec::with_capacity(order.len());
        for index in &order {
            let Some(part) = self.parts.get(*index) else { continue };
            let definition = part.definition.and_then(|index| self.definition(index));
            let attributes = match (&part.existing, definition) {
                (Some(existing), _) => existing.attributes,
                (None, Some(definition)) => self.attributes(definition),
                (None, None) => Attributes::default(),
            };
            let tree = part.definition.and_then(|index| tree_numbers.get(&index).copied());
            let old_size = part.existing.as_ref().map_or(0, |existing| existing.size);
            let size = part.size.unwrap_or(old_size);
            let activity = match &part.existing {
                None => Activity::Create,
                Some(_) if old_size == size => Activity::Unchanged,
                Some(_) => Activity::Resize,
            };
            let deferred = self.options.defer.contains(&part.kind);
            let content = match (definition, activity) {
                (Some(definition), Activity::Create) => self.content(part, definition, tree),
                _ => Content::None,
            };
            let split_name = match (definition, self.options.split && !deferred) {
                (Some(definition), true) => self.split_name(part, definition)?,
                _ => None,
            };
            partitions.push(PlannedPartition {
                number: part.number,
                partition_type: part.kind,
                label: part.label.clone(),
                guid: part.guid,
                attributes,
                definition: part.definition,
                supplements: part.supplements.clone(),
                file: definition.map(|definition| definition.file.clone()),
                drop_ins: definition.map(|definition| definition.drop_ins.clone()).unwrap_or_default(),
                offset: part.offset,
                old_size,
                size,
                old_padding: part.existing.as_ref().map_or(0, |existing| existing.padding),
                padding: part.padding.unwrap_or_default(),
                activity,
                content,
                kept: match (definition, &part.existing) {
                    (None, Some(existing)) => Some((existing.label.clone(), existing.guid)),
                    _ => None,
                },
                verity_by_definition: definition.is_some_and(|definition| definition.verity.is_some()),
                tree,
                deferred,
                file_system_sector_size: definition.map_or(4096, |it| self.file_system_sector_size(it)),
                file_system_uuid: Seed::file_system_uuid(part.derived),
                split_name,
            });
        }
        let unsigned =
            partitions.iter().find(|it| matches!(it.content, Content::Signature(_)) && !it.deferred);
        if let Some(unsigned) = unsigned.filter(|_| !self.options.signer) {
            let definition = unsigned.definition.and_then(|index| self.definition(index));
            let place = definition.map(|definition| definition.place("Verity"));
            return Err(Error::NoSigner { place: place.unwrap_or_else(|| Place::whole("")) });
        }
        self.attribute_notices();
        let disk_guid = match self.options.table.map(Gpt::disk_guid) {
            Some(guid) if !guid.is_nil() => guid,
            _ => self.options.seed.disk_guid(),
        };
        let plan = Plan {
            needed_size: self.auto_size(geometry.sector_size),
            geometry,
            disk_guid,
            partitions,
            trees,
            notices: self.notices,
            dropped: self.dropped,
            image: self.options.image.clone(),
            compatibility: self.definitions.compatibility,
            entries,
        };
        plan.check_split_names()?;
        Ok(plan)
    }

    fn content(&self, part: &Part, definition: &Definition, tree: Option<usize>) -> Content {
        match (definition.verity, tree) {
            (Some(VerityRole::Hash), Some(tree)) => return Content::HashTree(tree),
            (Some(VerityRole::Signature), Some(tree)) => return Content::Signature(tree),
            _ => {}
        }
        let size = part.definition.and_then(|index| self.options.sizes.get(index));
        match (&definition.copy_blocks, &definition.format) {
            (Some(source), _) => {
                let size = match source {
                    CopyBlocks::Range { size, .. } => *size,
                    _ => size.unwrap_or_default(),
                };
                Content::Copy { source: source.clone(), size }
            }
            (None, Some(Format::Empty)) | (None, None) => Content::None,
            (None, Some(format)) => Content::FileSystem {
                format: format.clone(),
                minimized: size.filter(|_| definition.is_minimized()),
                encrypted: definition.encrypt != Encrypt::Off,
            },
        }
    }
}

/// The GUID of a type that was parsed, which has one.
pub(crate) fn type_guid(kind: PartitionType) -> Guid {
    kind.guid().unwrap_or(Guid::NIL)
}

/// Bytes of the tree over so many bytes, as systemd-repart reckons: a block for the superblock and one for the top, even if there
/// is no tree.
fn tree_size_by_repart(data: u64, tree: &Tree) -> u64 {
    let (block, hash_block) = (u64::from(tree.data_block_size), u64::from(tree.hash_block_size));
    let per_block = hash_block.checked_div(32).unwrap_or(1).max(2);
    let mut blocks = data.div_ceil(block.max(1));
    let mut total: u64 = 2;
    while blocks > per_block {
        blocks = blocks.div_ceil(per_block);
        total = total.saturating_add(blocks);
    }
    total.saturating_mul(hash_block)
}
