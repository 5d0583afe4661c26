//! `ddi verity format`: makes a hash tree.

use std::io;

use anyhow::{Context, ensure};
use ddi_gpt::Guid;
use ddi_verity::{Algorithm, HashTree, Options, Placement, ReadAt, SUPERBLOCK_SIZE, Salt, Superblock};

use super::destination::{Destination, write_text};
use super::fec::NewParity;
use super::open;
use crate::cli::FormatArgs;
use crate::overwrite::{self, is_same_file};
use crate::{ExitStatus, output};

/// Size of a random salt in bytes, as veritysetup has it.
const SALT_SIZE: usize = 32;

pub(crate) fn run(args: &FormatArgs) -> anyhow::Result<ExitStatus> {
    let given = args.params.check()?;
    let fec = args.params.fec()?;
    ensure!(
        given.algorithm != Some(Algorithm::Sha1),
        "sha1 is accepted for verifying only: nobody should trust a new tree of it"
    );
    let salt = match given.salt {
        Some(salt) => salt,
        None => Salt::new(&random::<SALT_SIZE>()?)?,
    };
    let uuid = match &args.uuid {
        Some(uuid) => uuid.parse::<Guid>().with_context(|| format!("--uuid {uuid}"))?.to_uuid(),
        None => random_uuid()?,
    };

    let refuse = || match &args.root_hash_file {
        Some(path) => {
            let fec = fec.map(|fec| fec.device);
            overwrite::refuse(path, [args.data.as_path(), &args.hash].into_iter().chain(fec))
        }
        None => Ok(()),
    };
    refuse()?;
    let data = open(&args.data)?;
    let params = given.params(data.size(), salt)?;
    ensure!(
        params.data_size() <= data.size(),
        "{}: has {} bytes, {} blocks of {} bytes were asked for",
        args.data.display(),
        data.size(),
        params.data_blocks(),
        params.data_block_size()
    );
    let offset = args.params.hash_offset;
    let placement = match args.params.no_superblock {
        true => Placement::Bare(offset),
        false => Placement::Superblock(offset),
    };
    let tree = HashTree::new(params, placement)?;
    let tail = data.size() - params.data_size();

    let (root_hash, parity) = (|| {
        let out = Destination::open(&args.hash)?;
        let same_file = is_same_file(out.file(), data.file())?;
        ensure!(
            !same_file || offset >= params.data_size(),
            "is the data too, and the hash area at offset {offset} would overwrite it"
        );
        let parity = match fec {
            Some(fec) => {
                let parity = NewParity::open(fec, &tree, &data, (&args.hash, &out));
                let parity = parity.with_context(|| fec.device.display().to_string())?;
                if let Some(record) = parity.record() {
                    let others = [args.data.as_path(), &args.hash, fec.device].into_iter();
                    overwrite::refuse(record, others.chain(args.root_hash_file.as_deref()))?;
                }
                Some(parity)
            }
            None => None,
        };
        // the hash area is not data that somebody forgot to protect
        let forgotten = if same_file { offset - params.data_size() } else { tail };
        if forgotten > 0 && given.data_blocks.is_none() {
            output::warning(&format!("the last {forgotten} bytes of the data are not protected"));
        }
        let superblock = !args.params.no_superblock;
        if superblock {
            out.invalidate(offset, SUPERBLOCK_SIZE)?;
        }
        let progress = output::Progress::new();
        let report = |done, total| progress.set(done, total);
        let mut options = Options::new().progress(&report);
        if let Some(threads) = args.params.threads {
            options = options.threads(threads);
        }
        let (root_hash, parity) = match parity {
            Some(parity) => {
                let (root_hash, pending) = parity.build(&tree, &data, out.file(), &options)?;
                (root_hash, Some(parity.write((pending, &root_hash), &data, out.file(), &options)?))
            }
            None => (tree.build(&data, out.file(), &options)?, None),
        };
        // up to the tree, so that the space between is zero whatever was there
        let head = usize::try_from(tree.layout().tree().start - offset)?;
        let mut bytes = vec![0; head];
        if superblock {
            bytes[..SUPERBLOCK_SIZE].copy_from_slice(&Superblock { params, uuid }.to_bytes());
        }
        out.commit(superblock.then_some((offset, bytes.as_slice())))?;
        anyhow::Ok((root_hash, parity))
    })()
    .with_context(|| args.hash.display().to_string())?;

    if let Some(path) = &args.root_hash_file {
        // what was no file when we began is one now
        refuse()?;
        // no newline, as veritysetup has it
        write_text(path, &root_hash.to_string()).with_context(|| path.display().to_string())?;
    }
    let uuid = (!args.params.no_superblock).then_some(uuid);
    output::formatted(&args.hash, &tree, uuid, &root_hash, parity.as_ref(), args.json)?;
    Ok(ExitStatus::Good)
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(bytes)
}

/// A random UUID, version 4.
pub(crate) fn random_uuid() -> io::Result<[u8; 16]> {
    let mut uuid = random::<16>()?;
    uuid[6] = uuid[6] & 0x0f | 0x40;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    Ok(uuid)
}
