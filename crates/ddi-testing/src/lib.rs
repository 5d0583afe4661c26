//! Images and file systems in memory, for tests.
#![expect(
    missing_docs,
    missing_debug_implementations,
    clippy::new_without_default,
    reason = "the tests are its only users"
)]

use std::env;
use std::path::PathBuf;
use std::sync::Mutex;

use ddi_gpt::{Attributes, BlockSize, Builder, Guid, Name, NewPartition, PartitionType};
use ddi_verity::{Algorithm, HashTree, HashType, Options, Params, Placement, RootHash, Salt, Superblock};

/// What `memory.rs` is written over, here and in `ddi-fs`.
mod api {
    pub(crate) use ddi_fs::*;
}
#[path = "../../ddi-fs/src/probe/crc.rs"]
#[cfg_attr(not(test), expect(dead_code, reason = "some of it is for readers"))]
mod crc;
mod planted_api {
    pub(crate) use super::crc::{self, crc32c};
    pub(crate) use ddi_fs::FsKind;
}
#[path = "../../ddi-fs/src/tests/memory.rs"]
pub mod memory;
#[path = "../../ddi-fs/src/probe/tests/planted.rs"]
pub mod planted;

/// An image in the making: partitions with their content, in this order.
#[derive(Clone, Default)]
pub struct Disk {
    parts: Vec<NewPart>,
}

/// A partition in the making.
#[derive(Clone)]
pub struct NewPart {
    pub type_guid: Guid,
    pub guid: Guid,
    pub name: Name,
    pub attributes: Attributes,
    pub content: Vec<u8>,
}

/// Data, hash tree and signature partition.
#[derive(Clone)]
pub struct Set {
    pub data: Vec<u8>,
    pub hash: Vec<u8>,
    pub signature: Vec<u8>,
    pub root: RootHash,
}

impl Set {
    pub fn new(data: Vec<u8>) -> Self {
        Self::with(data, HashType::Normal, Algorithm::Sha256, 4096)
    }

    pub fn with(data: Vec<u8>, hash_type: HashType, algorithm: Algorithm, block_size: u32) -> Self {
        let blocks = data.len() as u64 / u64::from(block_size);
        let salt = Salt::new(&[0x5a; 32]).unwrap();
        let params = Params::new(hash_type, algorithm, block_size, block_size, blocks, salt).unwrap();
        let mut hash = vec![0; block_size as usize];
        hash[..512].copy_from_slice(&Superblock { params, uuid: [7; 16] }.to_bytes());
        let hash = Mutex::new(hash);
        let tree = HashTree::new(params, Placement::Superblock(0)).unwrap();
        let root = tree.build(&data, &hash, &Options::new().allow_sha1(true)).unwrap();
        Set { data, hash: hash.into_inner().unwrap(), signature: signature(&root), root }
    }

    /// The hash blocks of level 0 offered as data, with the rest of the tree above them: the same root hash.
    pub fn leaves_as_data(&self) -> Self {
        let superblock = Superblock::parse(self.hash[..512].try_into().unwrap()).unwrap();
        let tree = HashTree::new(superblock.params, Placement::Superblock(0)).unwrap();
        let [leaves, above @ ..] = tree.layout().levels() else { panic!("no levels") };
        let bytes = |level: &ddi_verity::Level| {
            self.hash[level.offset as usize..][..level.blocks as usize * 4096].to_vec()
        };
        let params = Params::new(
            HashType::Normal,
            Algorithm::Sha256,
            4096,
            4096,
            leaves.blocks,
            *superblock.params.salt(),
        );
        let mut hash = vec![0; 4096];
        hash[..512].copy_from_slice(&Superblock { params: params.unwrap(), uuid: [7; 16] }.to_bytes());
        hash.extend(above.iter().rev().flat_map(bytes));
        Set { data: bytes(leaves), hash, signature: self.signature.clone(), root: self.root }
    }

    /// The same data and tree, with more bytes behind the data.
    pub fn with_tail(mut self, tail: &[u8]) -> Self {
        self.data.extend_from_slice(tail);
        self
    }

    pub fn guids(&self) -> (Guid, Guid) {
        ddi_gpt::verity_guids(self.root.as_bytes()).unwrap()
    }
}

/// A signature partition that names `root`.
pub fn signature(root: &RootHash) -> Vec<u8> {
    let mut json = format!(r#"{{"rootHash":"{root}","signature":"MAA="}}"#).into_bytes();
    json.resize(4096, 0);
    json
}

/// `blocks` blocks of 4096 bytes: an erofs file system of that size with an empty root directory, different for each `seed`.
pub fn erofs(blocks: u32, seed: u8) -> Vec<u8> {
    let mut bytes = erofs_without_root(blocks, seed);
    // where an inode of 32 bytes with that number is; behind it the directory: entries of 12 bytes, then names
    let root: u16 = 1152 / 32;
    bytes[1038..1040].copy_from_slice(&root.to_le_bytes());
    let inode = &mut bytes[1152..1184];
    (inode[0], inode[8], inode[6]) = (2 << 1, 27, 2);
    inode[4..6].copy_from_slice(&0o40755_u16.to_le_bytes());
    for (at, name) in [(1184, 24), (1196, 25)] {
        bytes[at..at + 2].copy_from_slice(&root.to_le_bytes());
        (bytes[at + 8], bytes[at + 10]) = (name, 2);
    }
    bytes[1208..1211].copy_from_slice(b"...");
    bytes
}

/// The same without a root directory: the superblock alone.
pub fn erofs_without_root(blocks: u32, seed: u8) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..blocks as usize * 4096).map(|i| (i / 7) as u8 ^ seed).collect();
    bytes[..2048].fill(0);
    bytes[1024..1028].copy_from_slice(&[0xe2, 0xe1, 0xf5, 0xe0]);
    bytes[1036] = 12;
    bytes[1060..1064].copy_from_slice(&blocks.to_le_bytes());
    bytes[1072..1088].copy_from_slice(&[seed | 1; 16]);
    bytes
}

/// An erofs of 257 blocks, of which some were chosen, all zeros but for a number at the end: their digests under the salt of
/// these sets are such that the leaves of the tree look like something else. Found by trying, each for itself.
pub fn chosen_blocks(chosen: &[(usize, u64)]) -> Vec<u8> {
    let mut bytes = erofs(257, 1);
    for (block, number) in chosen {
        let block = &mut bytes[block * 4096..][..4096];
        block.fill(0);
        block[4088..].copy_from_slice(&number.to_le_bytes());
    }
    bytes
}

/// HFS: its magic, and a block size that is a multiple of 512.
pub const LIKE_HFS: &[(usize, u64)] = &[(32, 27_865_348)];
/// HFS Plus: its magic, a block size, and where the catalog is.
pub const LIKE_HFSPLUS: &[(usize, u64)] = &[(32, 4_341), (33, 670_702_136), (41, 372_888_277)];
/// ext4 with `s_log_block_size` from 22 to 255: that, the magic, features of ext4, no test file system.
pub const LIKE_EXT4: &[(usize, u64)] = &[(32, 2_782_833), (33, 54_804), (35, 1), (43, 0)];

/// 64 KiB that are recognised as LUKS2.
pub fn luks() -> Vec<u8> {
    let mut bytes = vec![0; 1 << 16];
    bytes[..8].copy_from_slice(b"LUKS\xba\xbe\x00\x02");
    bytes[8..16].copy_from_slice(&0x4000_u64.to_be_bytes());
    bytes
}

/// The type GUID of a symbolic name.
pub fn type_guid(name: &str) -> Guid {
    PartitionType::from_name(name, None).unwrap().guid().unwrap()
}

impl Disk {
    pub fn new() -> Self {
        Self::default()
    }

    /// A partition of the type `root-x86-64` or such.
    pub fn part(mut self, type_name: &str, label: &str, content: &[u8]) -> Self {
        let guid = Guid::from_u128(0x1000 + self.parts.len() as u128);
        let (name, content) = (label.parse().unwrap(), content.to_vec());
        let attributes = Attributes::default();
        self.parts.push(NewPart { type_guid: type_guid(type_name), guid, name, attributes, content });
        self
    }

    /// Changes the last partition.
    pub fn edit(mut self, change: impl FnOnce(&mut NewPart)) -> Self {
        change(self.parts.last_mut().unwrap());
        self
    }

    /// Changes partition `number`.
    pub fn edit_number(mut self, number: usize, change: impl FnOnce(&mut NewPart)) -> Self {
        change(&mut self.parts[number - 1]);
        self
    }

    pub fn attributes(self, attributes: Attributes) -> Self {
        self.edit(|part| part.attributes = attributes)
    }

    pub fn guid(self, guid: Guid) -> Self {
        self.edit(|part| part.guid = guid)
    }

    /// Data and hash partition of `set`, with the GUIDs that belong to it. `role` is `root-x86-64` or such.
    pub fn pair(self, role: &str, label: &str, set: &Set) -> Self {
        let (data, hash) = set.guids();
        self.part(role, label, &set.data)
            .guid(data)
            .part(&format!("{role}-verity"), label, &set.hash)
            .guid(hash)
    }

    /// Data, hash and signature partition of `set`.
    pub fn set(self, role: &str, label: &str, set: &Set) -> Self {
        self.pair(role, label, set).part(&format!("{role}-verity-sig"), label, &set.signature)
    }

    pub fn bytes(&self) -> Vec<u8> {
        let content: u64 = self.parts.iter().map(|part| part.content.len() as u64 + 4096).sum();
        let mut builder =
            Builder::new(content + (128 << 10), BlockSize::B512, Guid::from_u128(1)).alignment(4096);
        for part in &self.parts {
            let new = NewPartition::new(part.type_guid, part.guid)
                .size(part.content.len() as u64)
                .name(part.name)
                .attributes(part.attributes);
            builder = builder.partition(new);
        }
        let table = builder.build().unwrap();
        let mut bytes = table.to_disk();
        for (partition, part) in table.gpt().partitions().iter().zip(&self.parts) {
            bytes[partition.range.offset as usize..][..part.content.len()].copy_from_slice(&part.content);
        }
        bytes
    }
}

/// An MBR disk of 1 MiB with these records: boot indicator, type, first block, blocks.
pub fn mbr(records: &[(u8, u8, u32, u32)]) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    for (i, (boot, kind, start, blocks)) in records.iter().enumerate() {
        let record = &mut bytes[446 + 16 * i..][..16];
        (record[0], record[4]) = (*boot, *kind);
        record[8..12].copy_from_slice(&start.to_le_bytes());
        record[12..].copy_from_slice(&blocks.to_le_bytes());
    }
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes
}

/// The folder of real images with their expected facts: `DDI_CORPUS`, which must be one, else `ddi-corpus` in the folder
/// for temporary files. `None`, and a word of it, if there is none and none is named.
pub fn corpus() -> Option<PathBuf> {
    let named = env::var_os("DDI_CORPUS").map(PathBuf::from);
    let is_named = named.is_some();
    let path = named.unwrap_or_else(|| env::temp_dir().join("ddi-corpus"));
    let is_there = path.join("index.json").is_file();
    assert!(is_there || !is_named, "DDI_CORPUS={} is no corpus", path.display());
    if !is_there {
        eprintln!("skipped: no corpus in {}", path.display());
    }
    is_there.then_some(path)
}
