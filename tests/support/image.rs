//! Images made in memory, good ones and, by way of [`Image::damage`], bad ones.

use std::sync::Mutex;

use ddi_gpt::{
    Attributes, BlockSize, Builder, ByteRange, Guid, Name, NewPartition, PartitionType, verity_guids,
};
use ddi_verity::{Algorithm, HashTree, HashType, Options, Params, Placement, RootHash, Salt, Superblock};

use super::Chance;

/// A disk image to be made.
#[derive(Debug)]
pub(crate) struct ImageBuilder {
    block_size: BlockSize,
    partitions: Vec<(NewPartition, Vec<u8>)>,
    root_hashes: Vec<RootHash>,
}

/// A disk image.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) bytes: Vec<u8>,
    /// Where each partition is, in the order in which they were added.
    pub(crate) partitions: Vec<ByteRange>,
    /// Of each verity set, in the order in which they were added.
    pub(crate) root_hashes: Vec<RootHash>,
}

impl ImageBuilder {
    pub(crate) fn new() -> Self {
        ImageBuilder { block_size: BlockSize::B512, partitions: Vec::new(), root_hashes: Vec::new() }
    }

    /// Adds a partition of a type such as `root-x86-64`.
    pub(crate) fn partition(self, type_name: &str, label: &str, content: Vec<u8>) -> Self {
        let guid = Guid::from_u128(0x1000 + self.partitions.len() as u128);
        self.with(type_name, guid, label.parse().unwrap(), content)
    }

    /// The same with a unique GUID.
    pub(crate) fn with_guid(self, type_name: &str, guid: Guid, label: &str, content: Vec<u8>) -> Self {
        self.with(type_name, guid, label.parse().unwrap(), content)
    }

    /// The same with a label of any UTF-16 units.
    pub(crate) fn labelled(self, type_name: &str, label: &[u16], content: Vec<u8>) -> Self {
        let guid = Guid::from_u128(0x1000 + self.partitions.len() as u128);
        let mut units = [0; Name::UNITS];
        units[..label.len()].copy_from_slice(label);
        self.with(type_name, guid, Name::from_units(units), content)
    }

    fn with(mut self, type_name: &str, guid: Guid, name: Name, content: Vec<u8>) -> Self {
        let type_guid = PartitionType::from_name(type_name, None).unwrap().guid().unwrap();
        let read_only = !type_name.starts_with("esp") && !type_name.ends_with("-sig");
        let partition = NewPartition::new(type_guid, guid)
            .size(content.len() as u64)
            .name(name)
            .attributes(if read_only { Attributes::READ_ONLY } else { Attributes::default() });
        self.partitions.push((partition, content));
        self
    }

    /// Adds `data` (whole blocks of 4096 bytes), its hash tree and a signature partition whose signature is no good, as
    /// `root-x86-64` and so on.
    pub(crate) fn verity(mut self, type_name: &str, label: &str, data: Vec<u8>) -> Self {
        let (root_hash, hash) = hash_tree(&data);
        let (data_guid, hash_guid) = verity_guids(root_hash.as_bytes()).unwrap();
        let json = signature_partition(&root_hash, &[0x30, 0]);

        let name = |suffix: &str| format!("{label}{suffix}").parse().unwrap();
        self.root_hashes.push(root_hash);
        let sig_guid = Guid::from_u128(0x2000 + self.partitions.len() as u128);
        self.with(type_name, data_guid, name(""), data)
            .with(&format!("{type_name}-verity"), hash_guid, name("_v"), hash)
            .with(&format!("{type_name}-verity-sig"), sig_guid, name("_s"), json)
    }

    /// With no partition marked read-only.
    pub(crate) fn writable(mut self) -> Self {
        for (partition, _) in &mut self.partitions {
            *partition = partition.attributes(Attributes::default());
        }
        self
    }

    pub(crate) fn build(self) -> Image {
        let content: u64 = self.partitions.iter().map(|(_, content)| content.len() as u64).sum();
        let room = (self.partitions.len() as u64 + 2) << 20;
        let disk_size = (content + room).next_multiple_of(1 << 20);
        let mut builder = Builder::new(disk_size, self.block_size, Guid::from_u128(1)).alignment(4096);
        for (partition, _) in &self.partitions {
            builder = builder.partition(*partition);
        }
        let table = builder.build().unwrap();
        let mut bytes = table.to_disk();
        let partitions: Vec<_> = table.gpt().partitions().iter().map(|partition| partition.range).collect();
        for (range, (_, content)) in partitions.iter().zip(&self.partitions) {
            bytes[range.offset as usize..][..content.len()].copy_from_slice(content);
        }
        Image { bytes, partitions, root_hashes: self.root_hashes }
    }
}

impl Image {
    /// With another byte at `offset`.
    pub(crate) fn damage(&self, offset: u64) -> Self {
        let mut image = self.clone();
        image.bytes[offset as usize] ^= 0x10;
        image
    }
}

/// Superblock and hash tree of `data`, and its root hash.
pub(crate) fn hash_tree(data: &[u8]) -> (RootHash, Vec<u8>) {
    let salt = Salt::new(&[0x5a; 32]).unwrap();
    let blocks = data.len() as u64 / 4096;
    let params = Params::new(HashType::Normal, Algorithm::Sha256, 4096, 4096, blocks, salt).unwrap();
    let tree = HashTree::new(params, Placement::Superblock(0)).unwrap();
    let mut superblock = vec![0; 4096];
    superblock[..512].copy_from_slice(&Superblock { params, uuid: [0x77; 16] }.to_bytes());
    let hash = Mutex::new(superblock);
    let root_hash = tree.build(&data, &hash, &Options::new()).unwrap();
    (root_hash, hash.into_inner().unwrap())
}

/// A signature partition that names `root_hash`, with this PKCS#7 message.
pub(crate) fn signature_partition(root_hash: &RootHash, pkcs7: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let base64: String = (pkcs7.chunks(3))
        .flat_map(|bytes| {
            let all =
                bytes.iter().fold(0, |all, byte| all << 8 | u32::from(*byte)) << (8 * (3 - bytes.len()));
            (0..4).map(move |i| match i > bytes.len() {
                true => '=',
                false => char::from(DIGITS[(all >> (18 - 6 * i) & 63) as usize]),
            })
        })
        .collect();
    let mut json = format!(r#"{{"rootHash":"{root_hash}","signature":"{base64}"}}"#).into_bytes();
    json.resize(json.len().next_multiple_of(16384), 0);
    json
}

/// `blocks` blocks of 4096 bytes: an erofs file system with an empty root directory, and otherwise chance.
pub(crate) fn erofs(blocks: u32, seed: u64) -> Vec<u8> {
    let mut bytes = Chance(seed).bytes(blocks as usize * 4096);
    let superblock = &mut bytes[1024..1024 + 128];
    superblock.fill(0);
    superblock[..4].copy_from_slice(&[0xe2, 0xe1, 0xf5, 0xe0]);
    superblock[12] = 12;
    superblock[36..40].copy_from_slice(&blocks.to_le_bytes());
    superblock[48..64].copy_from_slice(&[0x11; 16]);
    // nothing that chance could put where other superblocks are
    bytes[..1024].fill(0);
    bytes[1152..][..EROFS_ROOT.len()].copy_from_slice(&EROFS_ROOT);
    bytes[1024 + 14] = 36;
    bytes
}

/// Inode 36 of an erofs, at byte 1152: a directory that is empty. Behind it what it holds: two entries, and their names.
pub(crate) const EROFS_ROOT: [u8; 59] = {
    let mut bytes = [0; 59];
    // the content is behind the inode; 0o40755; two links; size
    (bytes[0], bytes[4], bytes[5], bytes[6], bytes[8]) = (4, 0xed, 0x41, 2, 27);
    // each entry: inode, where its name is, that it is a directory
    (bytes[32], bytes[40], bytes[42]) = (36, 24, 2);
    (bytes[44], bytes[52], bytes[54]) = (36, 25, 2);
    (bytes[56], bytes[57], bytes[58]) = (b'.', b'.', b'.');
    bytes
};
