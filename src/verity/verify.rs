//! `ddi verity verify`: checks every block of a data device.

use anyhow::Context;
use ddi_core::verity::{
    Algorithm, Error, HashTree, HashType, Layout, Options, Placement, ReadAt, RootHash, Section, Strictness,
    Superblock, Widened, check_geometry,
};

use super::{is_same_file, open, read_root_hash};
use crate::cli::VerityVerifyArgs;
use crate::{Outcome, output};

pub(crate) fn run(args: &VerityVerifyArgs) -> anyhow::Result<Outcome> {
    let given = args.params.check()?;
    let root_hash: RootHash = match (&args.root_hash, &args.root_hash_file) {
        (Some(text), _) => text.parse().context("root hash")?,
        (None, Some(path)) => read_root_hash(path)?,
        (None, None) => anyhow::bail!("no root hash was given"),
    };
    let (data, hash) = (open(&args.data)?, open(&args.hash)?);
    let offset = args.params.hash_offset;

    // where data and hash area share a file, the data ends where the hash area begins
    let data_size = if is_same_file(data.file(), hash.file())? && offset > 0 {
        offset.min(data.size())
    } else {
        data.size()
    };
    let data = Section::new(&data, 0, data_size)?;

    let (params, placement) = if args.params.no_superblock {
        let salt = given.salt.context("without a superblock --salt must be given, - for none")?;
        (given.params(data_size, salt)?, Placement::Bare(offset))
    } else {
        let superblock = Superblock::read(&hash, offset).with_context(|| args.hash.display().to_string())?;
        given.agree_with(&superblock.params)?;
        (superblock.params, Placement::Superblock(offset))
    };
    let layout = Layout::new(&params, placement)?;

    // The root hash binds none of these: whoever wants the unusual has to name it.
    let mut strictness = Strictness::STRICT;
    strictness.unprotected_tail = given.data_blocks.is_some();
    strictness.chrome_os = given.hash_type == Some(HashType::ChromeOs);
    strictness.sha1 = given.algorithm == Some(Algorithm::Sha1);
    strictness.large_blocks = given.data_block_size.is_some() && given.hash_block_size.is_some();
    let geometry = match check_geometry(&params, &layout, data_size, hash.size(), strictness) {
        Ok(geometry) => geometry,
        Err(error) => {
            output::refused(&error, option_for(&error), args.json)?;
            return Ok(Outcome::Bad);
        }
    };
    for widened in &geometry.widened {
        output::warning(&widened.to_string());
    }

    let progress = output::Progress::new();
    let report = |done, total| progress.set(done, total);
    let mut options = Options::new().progress(&report);
    if let Some(threads) = args.params.threads {
        options = options.threads(threads);
    }
    let verdict = HashTree::new(params, placement)?.verify(&data, &hash, &root_hash, &options)?;
    drop(progress);
    output::verified(&params, &layout, &root_hash, &geometry, &verdict, args.json)?;
    Ok(if verdict.is_proven() { Outcome::Good } else { Outcome::Bad })
}

/// The option that accepts what was refused.
fn option_for(error: &Error) -> Option<&'static str> {
    match error {
        Error::DataSize { .. } => Some("--data-blocks"),
        Error::NotAllowed(Widened::ChromeOs) => Some("--format 0"),
        Error::NotAllowed(Widened::Sha1) => Some("--hash sha1"),
        Error::NotAllowed(Widened::LargeBlocks(_)) => Some("--data-block-size and --hash-block-size"),
        _ => None,
    }
}
