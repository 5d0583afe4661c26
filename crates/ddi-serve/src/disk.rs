//! A disk that is made up: of proven parts, and a partition table of our own.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use ddi_core::steps::{Extent, SignaturePlace, SignatureState, Table, VeritySet};
use ddi_core::{Dissection, ProvenPartition, Role};
use ddi_gpt::{
    Architecture, Attributes, BlockSize, Builder, Designator, Guid, LbaRange, Name, NewPartition,
    PartitionType, Seed,
};
use ddi_io::ReadAt;
use ddi_verity::{Layout, Placement, SUPERBLOCK_SIZE, Superblock};

use crate::error::Error;
use crate::export::Content;

/// Where partitions begin: at multiples of so many bytes.
const ALIGNMENT: u64 = 1 << 20;
/// What is left at the end: room for the backup of the table.
const END: u64 = 1 << 20;
/// Size in bytes of a signature partition, if the signature fits.
const SIGNATURE_SIZE: usize = 16 << 10;

/// A disk with the partitions of an image that are proven, as a virtual machine wants it: it finds them by the Discoverable
/// Partitions Specification, and can prove them again.
///
/// Every byte is proven or ours: data and hash tree are proven when they are read; superblocks are encoded anew from the parameters
/// that are used, signatures that were verified are written anew as systemd-repart writes them, and so is the table, with the GUIDs
/// that the root hash says. Labels, the disk's GUID and the attributes are the image's claims. What is not proven, such as an
/// ESP, is not there; all that is between the parts is zeros.
pub struct SyntheticDisk {
    size: u64,
    /// Ascending, apart from each other.
    parts: Vec<Part>,
}

struct Part {
    start: u64,
    size: u64,
    source: Source,
}

enum Source {
    Bytes(Vec<u8>),
    Data(Arc<ProvenPartition>),
    Tree { partition: Arc<ProvenPartition>, superblock: Box<[u8; SUPERBLOCK_SIZE]>, layout: Layout },
}

/// One that will be in the table.
struct Planned {
    partition_type: PartitionType,
    guid: Guid,
    of: Option<u32>,
    size: u64,
    source: Source,
}

impl SyntheticDisk {
    /// Of `disk`, whatever is proven by a root hash that the caller trusts: root, `/usr`, or both.
    ///
    /// The account of its image has no bound from now on: a disk is read for as long as it is wanted.
    ///
    /// # Errors
    /// [`Error::NothingProven`]; [`Error::Image`] if one of them is there and cannot be opened; [`Error::Table`].
    pub fn new(disk: &Dissection) -> Result<Self, Error> {
        let mut planned = Vec::new();
        for role in Role::ALL {
            match disk.partition(role) {
                Ok(partition) => plan(disk, role, Arc::new(partition), &mut planned)?,
                Err(ddi_core::Error::Unprotected { .. } | ddi_core::Error::RootHashUnknown { .. }) => {}
                Err(error) => return Err(Error::Image(error)),
            }
        }
        if planned.is_empty() {
            return Err(Error::NothingProven);
        }
        disk.image().meter().lift();
        Self::assemble(disk, planned)
    }

    fn assemble(disk: &Dissection, planned: Vec<Planned>) -> Result<Self, Error> {
        let gpt = match disk.image().table() {
            Table::Gpt(gpt) => Some(gpt),
            _ => None,
        };
        let block_size = BlockSize::B512;
        let too_large = || Error::TooLarge;
        let mut end = ALIGNMENT;
        let mut places = Vec::new();
        for part in &planned {
            let start = end;
            let blocks = block_size.blocks_for(part.size.max(1));
            let lbas = LbaRange::with_blocks(block_size.whole_blocks(start), blocks).ok_or_else(too_large)?;
            let next = start.checked_add(part.size).and_then(|end| end.checked_next_multiple_of(ALIGNMENT));
            end = next.ok_or_else(too_large)?;
            places.push((start, lbas));
        }
        let size = end.checked_add(END).ok_or_else(too_large)?;
        let guid = match gpt {
            Some(gpt) => gpt.disk_guid(),
            // there is no table: the same disk each time
            None => planned.first().map_or(Guid::NIL, |part| part.guid),
        };
        let mut builder = Builder::new(size, block_size, guid);
        for (part, (_, lbas)) in planned.iter().zip(&places) {
            let Some(type_guid) = part.partition_type.guid() else { continue };
            let claimed = part.of.and_then(|number| gpt?.partition(number));
            let partition = NewPartition::new(type_guid, part.guid)
                .lbas(*lbas)
                .attributes(claimed.map_or(Attributes::READ_ONLY, |claimed| claimed.attributes))
                .name(claimed.map_or(Name::EMPTY, |claimed| claimed.name));
            builder = builder.partition(partition);
        }
        let table = builder.build().map_err(Error::Table)?;
        let [backup, primary] = table.writes().map(|(offset, bytes)| Part {
            start: offset,
            size: wide(bytes.len()),
            source: Source::Bytes(bytes.to_vec()),
        });
        let parts = planned.into_iter().zip(places);
        let parts = parts.map(|(part, (start, _))| Part { start, size: part.size, source: part.source });
        let mut parts: Vec<Part> = [primary].into_iter().chain(parts).chain([backup]).collect();
        parts.sort_by_key(|part| part.start);
        Ok(SyntheticDisk { size, parts })
    }

    /// The part that begins at or before `offset`, and where the next one begins.
    fn find(&self, offset: u64) -> (Option<&Part>, u64) {
        let after = self.parts.partition_point(|part| part.start <= offset);
        let next = self.parts.get(after).map_or(self.size, |part| part.start);
        (after.checked_sub(1).and_then(|index| self.parts.get(index)), next)
    }

    /// The next piece of `range` that is of one part, with its offset in it, or of none.
    fn piece(&self, range: &Range<u64>) -> (Range<u64>, Option<(&Part, u64)>) {
        let (part, next) = self.find(range.start);
        let part = part.and_then(|part| {
            let within = range.start.checked_sub(part.start).filter(|within| *within < part.size)?;
            Some((part, within))
        });
        let end = match part {
            Some((part, _)) => part.start.saturating_add(part.size),
            None => next,
        };
        (range.start..end.min(range.end), part)
    }
}

/// Adds data, hash tree, and the signature that was verified.
fn plan(
    disk: &Dissection,
    role: Role,
    partition: Arc<ProvenPartition>,
    planned: &mut Vec<Planned>,
) -> Result<(), Error> {
    let root_hash = partition.root_hash().hash;
    let (data_guid, hash_guid) = ddi_gpt::verity_guids(root_hash.as_bytes()).map_err(Error::Table)?;
    let (data, hash) = (partition.data(), partition.hash());
    let is_its = |set: &&VeritySet| {
        (set.role, set.data, set.hash) == (role, Some(data), hash)
            && set.root_hash.is_some_and(|known| known.hash == root_hash)
    };
    let set = disk.verity_sets().iter().find(is_its);
    // a bare image does not say which machine it is for
    let architecture = set.and_then(|set| set.architecture).or(Architecture::NATIVE);
    let type_of = |designator: Designator| {
        PartitionType::from_name(designator.name(), architecture).map_err(Error::Table)
    };
    let number = |extent: Extent| if extent.external { None } else { extent.number };

    let params = *partition.tree().params();
    planned.push(Planned {
        partition_type: type_of(role.data())?,
        guid: data_guid,
        of: number(data),
        size: params.data_size(),
        source: Source::Data(Arc::clone(&partition)),
    });
    let layout = Layout::new(&params, Placement::Superblock(0)).map_err(Error::Tree)?;
    // nothing authenticates the one on disk; the same each time
    let superblock = Superblock { params, uuid: hash_guid.to_uuid() };
    planned.push(Planned {
        partition_type: type_of(role.hash())?,
        guid: hash_guid,
        of: number(hash),
        size: layout.hash_area().end.max(4096),
        source: Source::Tree { partition, superblock: Box::new(superblock.to_bytes()), layout },
    });
    let Some((number, bytes)) = set.and_then(|set| signature(disk, set)) else { return Ok(()) };
    let partition_type = type_of(role.signature())?;
    planned.push(Planned {
        guid: partition_type
            .guid()
            .map_or(Guid::NIL, |type_guid| Seed::new(hash_guid).partition_guid(type_guid, 0)),
        partition_type,
        of: number,
        size: wide(bytes.len()),
        source: Source::Bytes(bytes),
    });
    Ok(())
}

/// The signature of a set, verified again from the bytes that are used here.
fn signature(disk: &Dissection, set: &VeritySet) -> Option<(Option<u32>, Vec<u8>)> {
    let certificates = disk.trust().trusted_certificates()?;
    let root_hash = set.root_hash?.hash;
    let is_good = |signature: &&ddi_core::steps::CheckedSignature| {
        matches!(&signature.state, SignatureState::Verified(_))
    };
    let SignaturePlace::Partition(number) = set.signatures.iter().find(is_good)?.place else { return None };
    let signature = disk.image().read_signature(number).ok()?;
    if signature.root_hash != root_hash || signature.verify(certificates).is_err() {
        return None;
    }
    let size = SIGNATURE_SIZE.max(signature.pkcs7.len().saturating_mul(2).next_multiple_of(4096));
    Some((Some(number), signature.to_partition(size).ok()?))
}

fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

impl Part {
    fn read(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        match &self.source {
            Source::Bytes(bytes) => bytes.read_exact_at(offset, buf),
            Source::Data(partition) => partition.read_exact_at(offset, buf),
            Source::Tree { partition, superblock, layout } => {
                read_tree(partition, &**superblock, layout, offset, buf)
            }
        }
    }
}

/// Bytes of a hash partition: the superblock, zeros, then hash blocks, each proven.
fn read_tree(
    partition: &ProvenPartition,
    superblock: &[u8],
    layout: &Layout,
    offset: u64,
    buf: &mut [u8],
) -> io::Result<()> {
    buf.fill(0);
    let block_size = wide(layout.block_size());
    let mut at = offset;
    let mut rest = buf;
    while !rest.is_empty() {
        let level = layout.levels().iter().enumerate().find_map(|(index, level)| {
            let within = at.checked_sub(level.offset)?;
            let block = within.checked_div(block_size).filter(|block| *block < level.blocks)?;
            Some((index, block, within.checked_rem(block_size)?))
        });
        let (bytes, within, end) = match level {
            Some((level, block, within)) => {
                let bytes = partition.hash_block(level, block).map_err(|error| {
                    let kind = match &error {
                        ddi_verity::Error::Io { error, .. } => error.kind(),
                        _ => io::ErrorKind::InvalidData,
                    };
                    io::Error::new(kind, error)
                })?;
                (Some(bytes), within, block_size.saturating_sub(within))
            }
            // before the tree, or behind it
            None if at < layout.tree().start => {
                let bytes = (at < wide(superblock.len())).then(|| Arc::from(superblock));
                let end = if bytes.is_some() { wide(superblock.len()) } else { layout.tree().start };
                (bytes, at, end.saturating_sub(at))
            }
            None => return Ok(()),
        };
        let len = usize::try_from(end).map_or(rest.len(), |len| len.min(rest.len()));
        let Some((now, later)) = rest.split_at_mut_checked(len) else { break };
        let within = usize::try_from(within).unwrap_or(usize::MAX);
        if let Some(bytes) = bytes.as_deref().and_then(|bytes: &[u8]| bytes.get(within..)?.get(..len)) {
            now.copy_from_slice(bytes);
        }
        at = at.saturating_add(wide(len));
        rest = later;
    }
    Ok(())
}

impl ReadAt for SyntheticDisk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(wide(buf.len())).filter(|end| *end <= self.size);
        let mut range = offset..end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut rest = buf;
        while !range.is_empty() {
            let (piece, part) = self.piece(&range);
            let len = usize::try_from(piece.end.saturating_sub(piece.start)).unwrap_or(usize::MAX);
            let Some((now, later)) = rest.split_at_mut_checked(len) else { break };
            match part {
                Some((part, within)) => part.read(within, now)?,
                None => now.fill(0),
            }
            range.start = piece.end;
            rest = later;
        }
        Ok(())
    }
}

impl Content for SyntheticDisk {
    fn zeros(&self, range: Range<u64>) -> io::Result<Vec<Range<u64>>> {
        if range.start > range.end || range.end > self.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut rest = range;
        let mut zeros: Vec<Range<u64>> = Vec::new();
        let mut add = |found: Range<u64>| match zeros.last_mut() {
            Some(last) if last.end == found.start => last.end = found.end,
            _ => zeros.push(found),
        };
        while !rest.is_empty() {
            let (piece, part) = self.piece(&rest);
            match part {
                Some((Part { start, source: Source::Data(partition), .. }, within)) => {
                    let end = within.saturating_add(piece.end.saturating_sub(piece.start));
                    for found in partition.zeros(within..end)? {
                        add(found.start.saturating_add(*start)..found.end.saturating_add(*start));
                    }
                }
                Some(_) => {}
                None => add(piece.clone()),
            }
            rest.start = piece.end;
        }
        Ok(zeros)
    }
}

impl fmt::Debug for SyntheticDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyntheticDisk").field("size", &self.size).field("parts", &self.parts.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ddi_core::{Image, Trust};
    use ddi_testing::{Disk, Set, erofs};

    use super::*;

    /// All of it, and that reading it in pieces, from anywhere, comes to the same.
    fn bytes(disk: &SyntheticDisk) -> Vec<u8> {
        let mut all = vec![0; disk.size() as usize];
        disk.read_exact_at(0, &mut all).unwrap();
        let mut at = 0;
        for length in (1..).map(|n| n * 977 % 70_001) {
            let end = (at + length).min(all.len());
            let mut piece = vec![0xaa; end - at];
            disk.read_exact_at(at as u64, &mut piece).unwrap();
            assert!(piece == all[at..end], "{at}..{end}");
            at = end;
            if at == all.len() {
                break;
            }
        }
        assert!(disk.read_exact_at(disk.size() - 1, &mut [0; 2]).is_err());
        assert!(disk.read_exact_at(u64::MAX, &mut [0; 2]).is_err());
        let zeros = disk.zeros(0..disk.size()).unwrap();
        assert!(zeros.iter().all(|zeros| !zeros.is_empty()));
        assert!(zeros.windows(2).all(|pair| pair[0].end < pair[1].start));
        for zeros in zeros {
            assert!(all[zeros.start as usize..zeros.end as usize].iter().all(|byte| *byte == 0));
        }
        assert!(disk.zeros(0..disk.size() + 1).is_err());
        all
    }

    #[test]
    fn what_is_proven_is_there_and_nothing_else() {
        let root = Set::new(erofs(300, 1));
        let usr = Set::new(erofs(40, 2));
        let secret = b"not proven, so not served".repeat(200);
        let disk = Disk::new()
            .part("esp", "boot", &secret)
            .set("root-x86-64", "os_1", &root)
            .part("home", "data", &secret)
            .set("usr-x86-64", "usr_1", &usr);
        let open = |bytes: Vec<u8>, trust: &Trust| Image::new(Box::new(bytes)).unwrap().dissect(trust);
        let trust = Trust::root_hash(root.root).and_root_hash(Role::Usr, usr.root);
        let synthetic = SyntheticDisk::new(&open(disk.bytes(), &trust)).unwrap();
        let served = bytes(&synthetic);
        assert!(!served.windows(25).any(|window| window == &secret[..25]));

        // a client proves it again, with the same root hashes
        let again = open(served.clone(), &trust);
        assert!(again.verify().unwrap().is_authentic());
        let Table::Gpt(gpt) = again.image().table() else { panic!("there is a table") };
        let labels: Vec<_> = gpt.partitions().iter().map(|part| part.name.label().unwrap()).collect();
        assert_eq!(labels, ["os_1", "os_1", "usr_1", "usr_1"]);
        assert!(gpt.other_error().is_none() && gpt.differences().is_empty());
        let (data, hash) = root.guids();
        assert_eq!((gpt.partitions()[0].guid, gpt.partitions()[1].guid), (data, hash));
        // the same each time, and the same of what was served
        assert!(bytes(&SyntheticDisk::new(&again).unwrap()) == served);

        // of two, the one that is trusted
        let synthetic = SyntheticDisk::new(&open(disk.bytes(), &Trust::usr_hash(usr.root))).unwrap();
        let again = open(bytes(&synthetic), &Trust::usr_hash(usr.root));
        assert_eq!(again.image().partition_numbers().count(), 2);
        assert!(again.verify().unwrap().is_authentic());
        let nobody = SyntheticDisk::new(&open(disk.bytes(), &Trust::nobody())).unwrap_err();
        assert!(matches!(nobody, Error::NothingProven));
    }

    #[test]
    fn damage_is_an_error_where_it_is() {
        let root = Set::new(erofs(300, 1));
        let good = Disk::new().set("root-x86-64", "os", &root);
        let dissect =
            |disk: &Disk| Image::new(Box::new(disk.bytes())).unwrap().dissect(&Trust::root_hash(root.root));
        let expected = bytes(&SyntheticDisk::new(&dissect(&good)).unwrap());
        // block 150 of the data, and the second block of level 0, behind the superblock and level 1
        for (number, offset) in [(1, 150 * 4096 + 9), (2, 3 * 4096 + 9)] {
            let damaged = good.clone().edit_number(number, |part| part.content[offset] ^= 1);
            let disk = SyntheticDisk::new(&dissect(&damaged)).unwrap();
            let mut failed = 0;
            for at in (0..disk.size()).step_by(4096) {
                let mut block = [0; 4096];
                match disk.read_exact_at(at, &mut block) {
                    Ok(()) => assert!(block[..] == expected[at as usize..][..4096], "{at}"),
                    Err(error) => {
                        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                        failed += 1;
                    }
                }
            }
            // 128 data blocks hang on one hash block, which is there itself
            assert_eq!(failed, if number == 1 { 1 } else { 129 });
        }
    }

    /// A signature is served if it was verified, and is as good as the image's own.
    #[test]
    fn signatures_that_were_verified() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data");
        let trust = Trust::certificate_file(data.join("sample.crt")).unwrap();
        let image = Image::open(data.join("sample.raw")).unwrap().dissect(&trust);
        let served = bytes(&SyntheticDisk::new(&image).unwrap());
        let again = Image::new(Box::new(served)).unwrap().dissect(&trust);
        assert_eq!(again.image().partition_numbers().count(), 3);
        assert_eq!(again.verify().unwrap().to_string(), image.verify().unwrap().to_string());
        assert!(again.verify().unwrap().is_authentic());
        // without a certificate there is none
        let root = image.verity_sets()[0].root_hash.unwrap().hash;
        let image = Image::open(data.join("sample.raw")).unwrap().dissect(&Trust::root_hash(root));
        let disk = SyntheticDisk::new(&image).unwrap();
        let again = Image::new(Box::new(bytes(&disk))).unwrap().dissect(&Trust::root_hash(root));
        assert_eq!(again.image().partition_numbers().count(), 2);
        assert!(again.verify().unwrap().is_authentic());
    }
}
