//! The good images that the hostile ones are made from.

use std::sync::LazyLock;

use ddi_gpt::{Attributes, BlockSize, Builder, Guid, NewPartition, PartitionType, verity_guids};
use ddi_verity::RootHash;

use super::Media;
use crate::support::image::{erofs, hash_tree};

/// Data with its hash tree, ready to be put into partitions.
#[derive(Debug, Clone)]
pub(crate) struct Verity {
    pub(crate) root: RootHash,
    pub(crate) data: Vec<u8>,
    /// Superblock, then the tree.
    pub(crate) hash: Vec<u8>,
}

impl Verity {
    pub(crate) fn new(data: Vec<u8>) -> Self {
        let (root, hash) = hash_tree(&data);
        Verity { root, data, hash }
    }

    /// Blocks that are recognised as erofs, and hold an empty directory.
    pub(crate) fn erofs(blocks: u32) -> Self {
        Self::new(erofs(blocks, u64::from(blocks)))
    }

    /// Data and hash partition as a root or usr.
    pub(crate) fn parts(&self, type_name: &str, label: &str) -> Vec<Part> {
        let (data_guid, hash_guid) = verity_guids(self.root.as_bytes()).unwrap();
        let part = |suffix: &str, guid, content: &[u8]| {
            Part::new(
                &format!("{type_name}{suffix}"),
                &format!("{label}{}", &suffix.replace("-verity", "_v")),
                content,
            )
            .guid(guid)
            .read_only()
        };
        vec![part("", data_guid, &self.data), part("-verity", hash_guid, &self.hash)]
    }

    pub(crate) fn hex(&self) -> String {
        self.root.to_string()
    }
}

/// A partition to be.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    type_guid: Guid,
    guid: Option<Guid>,
    label: String,
    pub(crate) content: Vec<u8>,
    size: u64,
    attributes: Attributes,
}

impl Part {
    pub(crate) fn new(type_name: &str, label: &str, content: &[u8]) -> Self {
        Part {
            type_guid: PartitionType::from_name(type_name, None).unwrap().guid().unwrap(),
            guid: None,
            label: label.into(),
            content: content.to_vec(),
            size: content.len() as u64,
            attributes: Attributes::default(),
        }
    }

    pub(crate) fn guid(mut self, guid: Guid) -> Self {
        self.guid = Some(guid);
        self
    }

    pub(crate) fn labelled(mut self, label: &str) -> Self {
        self.label = label.into();
        self
    }

    pub(crate) fn content(mut self, content: &[u8]) -> Self {
        self.content = content.to_vec();
        self.size = content.len() as u64;
        self
    }

    pub(crate) fn size(mut self, size: u64) -> Self {
        self.size = size;
        self
    }

    pub(crate) fn read_only(mut self) -> Self {
        self.attributes = Attributes::READ_ONLY;
        self
    }
}

/// A disk with these partitions, 4096 bytes apart at the least.
pub(crate) fn disk(parts: &[Part]) -> Media {
    disk_of(parts, BlockSize::B512, 0, (128, 128))
}

/// The same with any block size, at least so large, with an array of so many entries of so many bytes.
pub(crate) fn disk_of(parts: &[Part], block: BlockSize, least: u64, entries: (u32, u32)) -> Media {
    let content: u64 = parts.iter().map(|part| part.size.next_multiple_of(4096)).sum();
    let size = (content + (1 << 20)).next_multiple_of(1 << 20).max(least);
    let mut builder =
        Builder::new(size, block, Guid::from_u128(0xd15c)).alignment(4096).entries(entries.0, entries.1);
    for (number, part) in parts.iter().enumerate() {
        let guid = part.guid.unwrap_or(Guid::from_u128(0x1000 + number as u128));
        builder = builder.partition(
            NewPartition::new(part.type_guid, guid)
                .size(part.size)
                .name(part.label.parse().unwrap())
                .attributes(part.attributes),
        );
    }
    let table = builder.build().unwrap();
    let mut media = Media::new(size);
    media.block = u64::from(block.bytes());
    for (offset, bytes) in table.writes() {
        media.put(offset, bytes);
    }
    for (partition, part) in table.gpt().partitions().iter().zip(parts) {
        media.put(partition.range.offset, part.content.clone());
    }
    media
}

/// Forty blocks of erofs under verity, without signature: nothing is wrong with it. Data is partition 1, the tree 2.
pub(crate) static GOOD: LazyLock<Verity> = LazyLock::new(|| Verity::erofs(40));

/// The disk with [`GOOD`].
pub(crate) fn base() -> Media {
    static BASE: LazyLock<Media> = LazyLock::new(|| disk(&GOOD.parts("root-x86-64", "os_1")));
    BASE.clone()
}
