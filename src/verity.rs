//! `ddi verity`: hash trees, with the arguments of veritysetup.

pub(crate) mod destination;
pub(crate) mod dump;
pub(crate) mod fec;
pub(crate) mod format;
pub(crate) mod record;
pub(crate) mod repair;
pub(crate) mod verify;

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use ddi_verity::{Algorithm, FileSource, HashType, Params, ReadAt, Salt};

use crate::cli::ParamArgs;

/// Opens what the user named, and says its name if that fails.
fn open(path: &Path) -> anyhow::Result<FileSource> {
    FileSource::open(path).with_context(|| path.display().to_string())
}

/// Text of a small file that the user named.
fn read_text(path: &Path) -> anyhow::Result<String> {
    const MAX_SIZE: usize = 64 * 1024;
    let read = || -> anyhow::Result<String> {
        let source = FileSource::open(path)?;
        let size = usize::try_from(source.size()).ok().filter(|&size| size <= MAX_SIZE);
        let mut bytes = vec![0; size.ok_or_else(|| anyhow!("has more than {MAX_SIZE} bytes"))?];
        source.read_exact_at(0, &mut bytes)?;
        Ok(String::from_utf8(bytes)?)
    };
    read().with_context(|| path.display().to_string())
}

/// The first line of `text` without white space around it, as systemd reads a root hash.
pub(crate) fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim()
}

/// Reads a root hash from a file.
pub(crate) fn read_root_hash(path: &Path) -> anyhow::Result<ddi_verity::RootHash> {
    let text = read_text(path)?;
    first_line(&text).parse().with_context(|| format!("{}: root hash", path.display()))
}

impl ParamArgs {
    /// The options' values, where they were given.
    fn check(&self) -> anyhow::Result<Given> {
        let algorithm = match self.algorithm.as_deref() {
            None => None,
            Some(name) => Some(
                Algorithm::from_name(name)
                    .with_context(|| format!("hash algorithm {name} is not supported"))?,
            ),
        };
        let hash_type = match self.format {
            None => None,
            Some(0) => Some(HashType::ChromeOs),
            Some(1) => Some(HashType::Normal),
            Some(other) => bail!("hash type {other} does not exist"),
        };
        Ok(Given {
            algorithm,
            hash_type,
            data_block_size: self.data_block_size,
            hash_block_size: self.hash_block_size,
            data_blocks: self.data_blocks,
            salt: self.salt.as_deref().map(str::parse).transpose()?,
        })
    }
}

/// What the options say about a hash tree.
#[derive(Debug)]
struct Given {
    algorithm: Option<Algorithm>,
    hash_type: Option<HashType>,
    data_block_size: Option<u32>,
    hash_block_size: Option<u32>,
    data_blocks: Option<u64>,
    salt: Option<Salt>,
}

impl Given {
    /// Parameters for `data_size` bytes, with veritysetup's defaults for what was not said.
    fn params(&self, data_size: u64, salt: Salt) -> anyhow::Result<Params> {
        let data_block_size = self.data_block_size.unwrap_or(4096);
        let all = data_size.checked_div(u64::from(data_block_size)).unwrap_or(0);
        Ok(Params::new(
            self.hash_type.unwrap_or(HashType::Normal),
            self.algorithm.unwrap_or(Algorithm::Sha256),
            data_block_size,
            self.hash_block_size.unwrap_or(4096),
            self.data_blocks.unwrap_or(all),
            salt,
        )?)
    }

    /// An option must not say other than the superblock.
    fn agree_with(&self, params: &Params) -> anyhow::Result<()> {
        fn same<T: PartialEq>(
            option: &str,
            given: Option<T>,
            found: T,
            show: fn(&T) -> String,
        ) -> anyhow::Result<()> {
            match given {
                Some(given) if given != found => {
                    bail!("superblock has {}, {option} says {}", show(&found), show(&given))
                }
                _ => Ok(()),
            }
        }
        same("--hash", self.algorithm, params.algorithm(), |a| a.name().into())?;
        same("--format", self.hash_type, params.hash_type(), |t| format!("hash type {}", *t as u32))?;
        same("--data-block-size", self.data_block_size, params.data_block_size(), u32::to_string)?;
        same("--hash-block-size", self.hash_block_size, params.hash_block_size(), u32::to_string)?;
        same("--data-blocks", self.data_blocks, params.data_blocks(), u64::to_string)?;
        same("--salt", self.salt, *params.salt(), Salt::to_string)
    }
}
