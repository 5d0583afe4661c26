//! `ddi sign attach`: a signature into the partition that is there for it.
//!
//! Each byte of the partition is NUL, or is already what it will be: so an attempt that was interrupted is gone on with, and
//! nothing that means something is written over. The first 4096 bytes, which are all that most signatures have, go there last.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use ddi_core::steps::{ImageFile, Table, VeritySet};
use ddi_core::{Dissection, Image, Trust};
use ddi_gpt::{ByteRange, PartitionType};
use ddi_io::{FileSource, ReadAt};
use ddi_signature::sign::{SignOptions, SignedRootHash};
use ddi_signature::{Certificate, MAX_SIGNATURE_SIZE};
use ddi_verity::HashTree;

use super::{good, proven_roots};
use crate::cli::AttachArgs;
use crate::overwrite::{self, is_same_file};
use crate::verity::destination::Destination;
use crate::{ExitStatus, output};

/// What is written last.
const HEAD: usize = 4096;

/// A signature, and the partition for it.
struct Placed {
    number: u32,
    range: ByteRange,
    content: Vec<u8>,
    signed: SignedRootHash,
}

pub(super) fn run(args: &AttachArgs) -> anyhow::Result<ExitStatus> {
    let shown = || args.image.display().to_string();
    let inputs: Vec<PathBuf> = args.signer.files().chain(args.signature.clone()).collect();
    overwrite::refuse(&args.image, inputs.iter().map(PathBuf::as_path))?;
    let certificate = args.signer.certificate()?;

    let file = ImageFile::open(&args.image).with_context(shown)?;
    ensure!(file.compression().is_none(), "{}: is compressed", shown());
    let destination = Destination::open(&args.image).with_context(shown)?;
    let is_same = is_same_file(file.source().file(), destination.file()).with_context(shown)?;
    ensure!(is_same, "{}: was replaced meanwhile", shown());
    let disk = Image::from_file(file).with_context(shown)?.dissect(&Trust::nobody());

    let signed = match &args.signature {
        Some(path) => brought(&disk, path, &certificate)?,
        None => made(&disk, args, &certificate)?,
    };
    let signed = match signed {
        Ok(signed) => signed,
        Err(refused) => return Ok(refused),
    };
    let placed = signed.into_iter().map(|(set, signed)| place(&disk, set, signed));
    let placed: Vec<Placed> = placed.collect::<Result<_, _>>().with_context(shown)?;
    for placed in &placed {
        write(destination.file(), placed).with_context(shown)?;
    }
    destination.commit(None).with_context(shown)?;
    for Placed { number, range, content, signed } in &placed {
        let mut found = vec![0; content.len()];
        disk.image().source().read_exact_at(range.offset, &mut found).with_context(shown)?;
        ensure!(found == *content, "{}: is not what was written: something else changed meanwhile", shown());
        output::signed(&args.image, Some(*number), signed)?;
    }
    Ok(ExitStatus::Good)
}

type Signed<'d> = Vec<(&'d VeritySet, SignedRootHash)>;

/// The signature in a file, with the set that it is good for.
fn brought<'d>(
    disk: &'d Dissection,
    path: &Path,
    certificate: &Certificate,
) -> anyhow::Result<Result<Signed<'d>, ExitStatus>> {
    let shown = || path.display().to_string();
    let pkcs7 = read(path).with_context(shown)?;
    let mut error = None;
    for set in disk.verity_sets() {
        let Some(root_hash) = set.root_hash.map(|known| known.hash).or(set.tree_root) else { continue };
        match SignedRootHash::by_other(pkcs7.clone(), certificate, &root_hash) {
            Ok(signed) => {
                let bound = signed.verified().signer().bound_tree;
                if bound.is_some() && bound.as_ref() != set.tree.as_ref().map(HashTree::params) {
                    output::error(&anyhow!(
                        "{}: was made for another hash tree: of other data size or parameters",
                        shown()
                    ));
                    return Ok(Err(ExitStatus::Bad));
                }
                return Ok(Ok(vec![(set, signed)]));
            }
            Err(reason) => {
                error.get_or_insert(reason);
            }
        }
    }
    let Some(error) = error else { bail!("no hash tree whose root hash could be signed") };
    output::error(&anyhow!(error).context(shown()));
    Ok(Err(ExitStatus::Bad))
}

/// Signatures that are made now, of each root hash that is in use.
fn made<'d>(
    disk: &'d Dissection,
    args: &AttachArgs,
    certificate: &Certificate,
) -> anyhow::Result<Result<Signed<'d>, ExitStatus>> {
    let signer = args.signer.signer(certificate)?;
    let signer = signer.context("--signature, --private-key or --sign-command must be given")?;
    let roots = match proven_roots(&args.image, args.threads)? {
        Ok(roots) => roots,
        Err(refused) => return Ok(Err(refused)),
    };
    let mut all = Vec::new();
    for root in roots {
        let mut options = SignOptions::new();
        if args.signer.bind_size {
            options = options.bind(root.params);
        }
        let is_its = |set: &&VeritySet| {
            let hash = set.root_hash.map(|known| known.hash).or(set.tree_root);
            set.role == root.role && hash == Some(root.hash)
        };
        let set = disk.verity_sets().iter().find(is_its).context("changed meanwhile")?;
        match good(signer.sign(certificate, &root.hash, &options))? {
            Ok(signed) => all.push((set, signed)),
            Err(refused) => return Ok(Err(refused)),
        }
    }
    Ok(Ok(all))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let source = FileSource::open(path)?;
    let size = usize::try_from(source.size()).ok().filter(|&size| size <= MAX_SIGNATURE_SIZE);
    let mut bytes = vec![0; size.with_context(|| format!("has more than {MAX_SIGNATURE_SIZE} bytes"))?];
    source.read_exact_at(0, &mut bytes)?;
    Ok(bytes)
}

/// Finds the one signature partition for `set` that is empty, or is being filled with this.
fn place(disk: &Dissection, set: &VeritySet, signed: SignedRootHash) -> anyhow::Result<Placed> {
    let role = set.role;
    let Table::Gpt(gpt) = disk.image().table() else {
        bail!("has no partition table: a signature goes beside it, to a .{role}hash.p7s file");
    };
    let is_for_set = |kind| match kind {
        PartitionType::Designated(designator, architecture) => {
            designator == role.signature() && architecture == set.architecture
        }
        _ => false,
    };
    let mut full = None;
    let mut free = Vec::new();
    for partition in gpt.partitions().iter().filter(|partition| is_for_set(partition.partition_type())) {
        let (number, range) = (partition.number, partition.range);
        let size = usize::try_from(range.size).ok().filter(|&size| size <= MAX_SIGNATURE_SIZE);
        let size = size.with_context(|| {
            format!("partition {number} has {} bytes, too many for a signature", range.size)
        })?;
        let content = signed.to_root_hash_signature().to_partition(size)?;
        let mut found = vec![0; size];
        disk.image().source().read_exact_at(range.offset, &mut found)?;
        match found.iter().zip(&content).all(|(&found, &new)| found == 0 || found == new) {
            true => free.push((number, range, content)),
            false => full = Some(number),
        }
    }
    match (free.pop(), free.last(), full) {
        (Some((number, range, content)), None, _) => Ok(Placed { number, range, content, signed }),
        (Some((second, ..)), Some((first, ..)), _) => {
            bail!("partitions {first} and {second} are both empty: one signature is for one of them")
        }
        (None, _, Some(number)) => bail!("partition {number} holds something already"),
        (None, _, None) => bail!("has no signature partition for {role}"),
    }
}

/// The end first: until the first bytes are there, the partition is empty or no signature.
fn write(file: &File, placed: &Placed) -> anyhow::Result<()> {
    let (head, tail) = placed.content.split_at(placed.content.len().min(HEAD));
    // what is NUL is so already
    let end = tail.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    if end > 0 {
        file.write_all_at(&tail[..end], placed.range.offset + head.len() as u64)?;
        file.sync_all().context("not on the disk")?;
    }
    Ok(file.write_all_at(head, placed.range.offset)?)
}
