//! `ddi verity verify`: checks every block of a data device.

use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, ensure};
use ddi_verity::{
    Algorithm, Error, FileSource, GeometryException, HashTree, HashType, Options, Params, Placement, ReadAt,
    RepairSources, RootHash, Section, Strictness, Superblock, check_geometry,
};

use super::fec::OldParity;
use super::{Given, open, read_root_hash};
use crate::cli::{ParamArgs, VerityVerifyArgs};
use crate::overwrite::is_same_file;
use crate::{ExitStatus, output};

pub(crate) fn run(args: &VerityVerifyArgs) -> anyhow::Result<ExitStatus> {
    let given = args.params.check()?;
    let root_hash = find_root_hash(args.root_hash.as_deref(), args.root_hash_file.as_deref())?;
    let parity = args.params.fec()?.map(OldParity::open).transpose()?;
    if args.data == Path::new("-") {
        ensure!(parity.is_none(), "parity needs data that can be read more than once");
        return run_stream(args, &given, &root_hash);
    }
    let (data, hash) = (open(&args.data)?, open(&args.hash)?);
    let offset = args.params.hash_offset;

    // where data and hash area share a file, the data ends where the hash area begins
    let data_size = if is_same_file(data.file(), hash.file())? && offset > 0 {
        offset.min(data.size())
    } else {
        data.size()
    };
    let data_size = match &parity {
        Some(parity) => data_size.min(parity.end_of_data(&data)?),
        None => data_size,
    };
    let data = Section::new(&data, 0, data_size)?;

    let (params, placement) = find_params((&args.params, &args.hash), &given, &hash, data_size)?;
    let tree = HashTree::new(params, placement)?;
    let tree = match check_geometry(tree, data_size, hash.size(), strictness(&given)) {
        Ok(tree) => tree,
        Err(error) => return refuse(&error, args.json),
    };
    for widened in &tree.geometry().exceptions {
        output::warning(&widened.to_string());
    }

    let progress = output::Progress::new();
    let report = |done, total| progress.set(done, total);
    let mut options = Options::new().progress(&report);
    if let Some(threads) = args.params.threads {
        options = options.threads(threads);
    }
    let verdict = tree.verify(&data, &hash, &root_hash, &options)?;
    drop(progress);
    // what parity could heal; nothing is written
    let healable = match &parity {
        Some(parity) if !verdict.is_proven() => {
            let name = || parity.given.device.display().to_string();
            let layout = parity.layout(&tree, &root_hash, &data, &hash)?;
            let sources = RepairSources {
                data: &data,
                hash: &hash,
                parity: &parity.source,
                parity_offset: parity.offset,
            };
            let mut options = Options::new();
            if let Some(threads) = args.params.threads {
                options = options.threads(threads);
            }
            let repair =
                layout.repair(&tree, &root_hash, sources, &|_, _, _| Ok(()), &options).with_context(name)?;
            Some((layout, parity.offset, repair))
        }
        _ => None,
    };
    output::verified(&tree, &root_hash, &verdict, healable.as_ref(), given.data_blocks.is_some(), args.json)?;
    Ok(if verdict.is_proven() { ExitStatus::Good } else { ExitStatus::Bad })
}

/// The root hash that the user trusts.
pub(super) fn find_root_hash(text: Option<&str>, file: Option<&Path>) -> anyhow::Result<RootHash> {
    match (text, file) {
        (Some(text), _) => text.parse().context("root hash"),
        (None, Some(path)) => read_root_hash(path),
        (None, None) => anyhow::bail!("no root hash was given"),
    }
}

/// The data comes from standard input, in one pass and without being kept.
fn run_stream(args: &VerityVerifyArgs, given: &Given, root_hash: &RootHash) -> anyhow::Result<ExitStatus> {
    let hash = open(&args.hash)?;
    let data_size = match (given.data_blocks, args.params.no_superblock) {
        (None, true) => anyhow::bail!("without a superblock --data-blocks must be given for standard input"),
        // the parameters say it
        _ => 0,
    };
    let (params, placement) = find_params((&args.params, &args.hash), given, &hash, data_size)?;
    let tree = HashTree::new(params, placement)?;
    let strictness = strictness(given);
    // how much data there is will be seen
    let tree = match check_geometry(tree, params.data_size(), hash.size(), strictness) {
        Ok(tree) => tree,
        Err(error) => return refuse(&error, args.json),
    };
    for widened in &tree.geometry().exceptions {
        output::warning(&widened.to_string());
    }

    let mut data = io::stdin();
    let progress = output::Progress::new();
    let report = |done, total| progress.set(done, total);
    let options = Options::new().progress(&report);
    let verdict = match tree.verify_stream(&mut data, &hash, root_hash, &options) {
        Ok(verdict) => verdict,
        Err(error @ Error::TooShort { .. }) => {
            drop(progress);
            return refuse(&error, args.json);
        }
        Err(error) => return Err(error.into()),
    };
    drop(progress);
    if verdict.is_proven() && goes_on(&mut data).context("standard input")? {
        let error = Error::DataGoesOn { expected: params.data_size() };
        if !strictness.unprotected_tail {
            return refuse(&error, args.json);
        }
        output::warning(&error.to_string());
    }
    output::verified(&tree, root_hash, &verdict, None, given.data_blocks.is_some(), args.json)?;
    Ok(if verdict.is_proven() { ExitStatus::Good } else { ExitStatus::Bad })
}

/// Returns true if there is more to read.
fn goes_on(data: &mut dyn Read) -> io::Result<bool> {
    loop {
        match data.read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return Ok(read? > 0),
        }
    }
}

pub(super) fn refuse(error: &Error, json: bool) -> anyhow::Result<ExitStatus> {
    output::refused(error, option_for(error), json)?;
    Ok(ExitStatus::Bad)
}

/// The parameters by superblock or options, and the place of the tree.
pub(super) fn find_params(
    (options, hash_path): (&ParamArgs, &Path),
    given: &Given,
    hash: &FileSource,
    data_size: u64,
) -> anyhow::Result<(Params, Placement)> {
    let offset = options.hash_offset;
    if options.no_superblock {
        let salt = given.salt.context("without a superblock --salt must be given, - for none")?;
        return Ok((given.params(data_size, salt)?, Placement::Bare(offset)));
    }
    let superblock = Superblock::read(hash, offset).with_context(|| hash_path.display().to_string())?;
    given.agree_with(&superblock.params)?;
    Ok((superblock.params, Placement::Superblock(offset)))
}

/// The root hash binds none of these: whoever wants the unusual has to name it.
pub(super) fn strictness(given: &Given) -> Strictness {
    let mut strictness = Strictness::STRICT;
    strictness.unprotected_tail = given.data_blocks.is_some();
    strictness.chrome_os = given.hash_type == Some(HashType::ChromeOs);
    strictness.sha1 = given.algorithm == Some(Algorithm::Sha1);
    strictness.large_blocks = given.data_block_size.is_some() && given.hash_block_size.is_some();
    strictness
}

/// The option that accepts what was refused.
fn option_for(error: &Error) -> Option<&'static str> {
    match error {
        Error::DataSize { .. } | Error::DataGoesOn { .. } => Some("--data-blocks"),
        Error::NotAllowed(GeometryException::ChromeOs) => Some("--format 0"),
        Error::NotAllowed(GeometryException::Sha1) => Some("--hash sha1"),
        Error::NotAllowed(GeometryException::LargeBlocks(_)) => {
            Some("--data-block-size and --hash-block-size")
        }
        _ => None,
    }
}
