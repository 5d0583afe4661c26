//! `ddi_verity_format` and `ddi_verity_verify`: hash trees of files and block devices.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use ddi_gpt::Guid;
use ddi_io::{FileSource, ReadAt, Section};
use ddi_verity::json::{RefusedDocument, TreeDocument, VerifyDocument};
use ddi_verity::{
    Algorithm, FormatOptions, HashTree, HashType, OpenOptions, Options as Engine, Params, Placement,
    RootHash, Salt, Strictness,
};
use rustix::fs::{Mode, OFlags};
use serde_json::Value;

use crate::error::{Error, Status};
use crate::image::{Progress, threads};
use crate::options::Options;

/// What the options say about a hash tree.
struct Given {
    hash_offset: u64,
    data_blocks: Option<u64>,
    has_superblock: bool,
    algorithm: Option<Algorithm>,
    hash_type: Option<HashType>,
    data_block_size: Option<u32>,
    hash_block_size: Option<u32>,
    salt: Option<Salt>,
    threads: usize,
}

impl Given {
    fn take(options: &mut Options) -> Result<Self, Error> {
        let size = |value: Option<u64>| {
            // what does not fit is no block size either
            value.map(|value| u32::try_from(value).unwrap_or(u32::MAX))
        };
        let salt = options.text("salt")?.map(|text| text.parse()).transpose()?;
        let hash_type = match options.number("hashType")? {
            None => None,
            Some(0) => Some(HashType::ChromeOs),
            Some(1) => Some(HashType::Normal),
            Some(other) => {
                return Err(Error::usage("options", format!("option hashType: {other} does not exist")));
            }
        };
        let most = options.number("threads")?.map(|most| usize::try_from(most).unwrap_or(usize::MAX));
        Ok(Given {
            hash_offset: options.number("hashOffset")?.unwrap_or(0),
            data_blocks: options.number("dataBlocks")?,
            has_superblock: options.flag("superblock")?.unwrap_or(true),
            algorithm: options.word("algorithm", Algorithm::from_name)?,
            hash_type,
            data_block_size: size(options.number("dataBlockSize")?),
            hash_block_size: size(options.number("hashBlockSize")?),
            salt,
            threads: most.unwrap_or_else(threads),
        })
    }

    fn placement(&self) -> Placement {
        match self.has_superblock {
            true => Placement::Superblock(self.hash_offset),
            false => Placement::Bare(self.hash_offset),
        }
    }

    /// The root hash binds none of these: whoever wants the unusual has to name it.
    fn strictness(&self) -> Strictness {
        let mut strictness = Strictness::STRICT;
        strictness.unprotected_tail = self.data_blocks.is_some();
        strictness.chrome_os = self.hash_type == Some(HashType::ChromeOs);
        strictness.sha1 = self.algorithm == Some(Algorithm::Sha1);
        strictness.large_blocks = self.data_block_size.is_some() && self.hash_block_size.is_some();
        strictness
    }

    /// Returns true if `found` is what was said, as far as anything was.
    fn agrees_with(&self, found: &Params) -> bool {
        self.algorithm.is_none_or(|given| given == found.algorithm())
            && self.hash_type.is_none_or(|given| given == found.hash_type())
            && self.data_block_size.is_none_or(|given| given == found.data_block_size())
            && self.hash_block_size.is_none_or(|given| given == found.hash_block_size())
            && self.salt.as_ref().is_none_or(|given| given == found.salt())
    }
}

/// Stops the work when the caller says so.
struct Watch<'a> {
    progress: Progress<'a>,
    cancel: AtomicBool,
}

impl<'a> Watch<'a> {
    fn new(progress: Progress<'a>) -> Self {
        Watch { progress, cancel: AtomicBool::new(false) }
    }

    fn relay(&self, done: u64, total: u64) {
        if !(self.progress)(done, total) {
            self.cancel.store(true, Ordering::Relaxed);
        }
    }

    /// Also where it was too late to stop.
    fn check(&self) -> Result<(), Error> {
        if self.cancel.load(Ordering::Relaxed) { Err(Error::cancelled()) } else { Ok(()) }
    }
}

fn is_same_file(a: &File, b: &File) -> Result<bool, Error> {
    let stat = |file: &File| rustix::fs::fstat(file).map_err(io::Error::from);
    let (a, b) = (stat(a)?, stat(b)?);
    let is_device =
        |stat: &rustix::fs::Stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_block_device();
    Ok(match (is_device(&a), is_device(&b)) {
        (true, true) => a.st_rdev == b.st_rdev,
        _ => (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino),
    })
}

/// Makes the tree: the root hash, and `ddi.verity-tree/1`.
pub(crate) fn format(
    data: &Path,
    hash: &Path,
    options: Option<&str>,
    progress: Progress<'_>,
) -> Result<(RootHash, Value), Error> {
    let mut options = Options::parse(options)?;
    let given = Given::take(&mut options)?;
    let uuid = options.text("uuid")?.map(|text| text.parse::<Guid>()).transpose()?.map(Guid::to_uuid);
    options.finish()?;

    let data = FileSource::open(data)?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let hash = rustix::fs::open(hash, flags, Mode::from_raw_mode(0o666)).map_err(io::Error::from)?;
    let hash = File::from(hash);
    // refused unless it is a regular file or a block device
    FileSource::new(hash.try_clone()?)?;
    // where both are in one file, the data ends where the hash area begins
    let data_size = match is_same_file(data.file(), &hash)? {
        true if given.hash_offset == 0 => {
            return Err(Error::usage(
                "same-file",
                "data and hash are the same file, and the hash area begins at byte 0",
            ));
        }
        true => given.hash_offset.min(data.size()),
        false => data.size(),
    };
    let data = Section::new(&data, 0, data_size)?;

    let watch = Watch::new(progress);
    let relay = |done, total| watch.relay(done, total);
    let engine = Engine::new().threads(given.threads).progress(&relay).cancel(&watch.cancel);
    let mut format = FormatOptions::new().placement(given.placement()).options(engine);
    format = format
        .block_sizes(given.data_block_size.unwrap_or(4096), given.hash_block_size.unwrap_or(4096))
        .algorithm(given.algorithm.unwrap_or(Algorithm::Sha256))
        .hash_type(given.hash_type.unwrap_or(HashType::Normal));
    if let Some(blocks) = given.data_blocks {
        format = format.data_blocks(blocks);
    }
    if let Some(salt) = given.salt {
        format = format.salt(salt);
    }
    if let Some(uuid) = uuid {
        format = format.uuid(uuid);
    }
    let made = HashTree::format(&data, &hash, &format);
    watch.check()?;
    let made = made?;
    let document = TreeDocument::new(&made.tree).uuid(made.uuid).root_hash(&made.root_hash).to_json();
    Ok((made.root_hash, document))
}

/// Checks every block: `ddi.verity-verify/1` or `ddi.verity-refused/1`, and why the answer is not yes.
pub(crate) fn verify(
    (data, hash): (&Path, &Path),
    root_hash: &str,
    options: Option<&str>,
    progress: Progress<'_>,
) -> Result<(Value, Option<Error>), Error> {
    let mut options = Options::parse(options)?;
    let given = Given::take(&mut options)?;
    options.finish()?;
    let root_hash: RootHash = root_hash.parse()?;
    let (data, hash) = (FileSource::open(data)?, FileSource::open(hash)?);
    let data_size = match is_same_file(data.file(), hash.file())? {
        true if given.hash_offset > 0 => given.hash_offset.min(data.size()),
        _ => data.size(),
    };
    let data = Section::new(&data, 0, data_size)?;

    let mut open = OpenOptions::new().offset(given.hash_offset).strictness(given.strictness());
    if let Some(blocks) = given.data_blocks {
        open = open.data_blocks(blocks);
    }
    if !given.has_superblock {
        let salt =
            given.salt.ok_or_else(|| Error::usage("options", "without a superblock the salt is needed"))?;
        let block_size = given.data_block_size.unwrap_or(4096);
        let all = data_size.checked_div(block_size.into()).unwrap_or(0);
        open = open.without_superblock(Params::new(
            given.hash_type.unwrap_or(HashType::Normal),
            given.algorithm.unwrap_or(Algorithm::Sha256),
            block_size,
            given.hash_block_size.unwrap_or(4096),
            given.data_blocks.unwrap_or(all),
            salt,
        )?);
    }
    let tree = match HashTree::open(&data, &hash, &open) {
        Ok(tree) => tree,
        // parameters and sizes that are not allowed are an answer
        Err(error) => {
            let refused = Error::of(&error);
            return match refused.status {
                Status::Refused => Ok((RefusedDocument::new(&error, None).to_json(), Some(refused))),
                _ => Err(refused),
            };
        }
    };
    if !given.agrees_with(tree.params()) {
        return Err(Error::new(
            "mismatch",
            "parameters-differ",
            "the superblock has other parameters than the options",
        ));
    }
    let watch = Watch::new(progress);
    let relay = |done, total| watch.relay(done, total);
    let engine = Engine::new().threads(given.threads).progress(&relay).cancel(&watch.cancel);
    let verdict = tree.verify(&data, &hash, &root_hash, &engine);
    watch.check()?;
    let verdict = verdict?;
    let document =
        VerifyDocument::new(&tree, &root_hash, &verdict).size_is_given(given.data_blocks.is_some()).to_json();
    let error = (!verdict.is_proven()).then(|| {
        let message = match verdict.corrupt_data.first() {
            Some(block) => format!("data block {block} does not match the root hash"),
            None => "the hash tree does not match the root hash".to_owned(),
        };
        Error::new("mismatch", "not-proven", message)
    });
    Ok((document, error))
}
