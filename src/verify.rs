//! `ddi verify`: proves every verity-protected partition.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use base64ct::{Base64, Encoding};
use ddi_core::steps::{
    DissectOptions, DissectionRecord, ImageFile, ProveOptions, Sidecars, Table, VeritySettings, prove,
};
use ddi_core::{Access, Damage, Image, PolicyEvaluation, Proof, Role, TrustedRootHash};
use ddi_gpt::{Architecture, BlockSize, Mode};
use ddi_io::{FileSource, SpoolOptions, spool};
use ddi_verity::{HashTree, Options, Placement, ReadAt, RootHash, Section, Superblock};

use crate::build::sector_size;
use crate::cli::{SelectArgs, UnpackArgs, VerifyArgs};
use crate::keep::Looked;
use crate::output::Verified;
use crate::trust::policy;
use crate::{ExitStatus, output};

pub(crate) fn run(args: &VerifyArgs) -> anyhow::Result<ExitStatus> {
    args.keep.refuse(&[&args.image], Some(&args.trust))?;
    let trusted = args.trust.root_hashes()?;
    let certificates = args.trust.certificates.load()?;
    let policy = args.image_policy.as_deref().map(policy).transpose()?;
    let image = open(&args.image, &args.unpack)?;
    let refused_table = args.strict.then(|| strict(&image)).flatten();
    let mut dissect = args.select.options(&image, &trusted, args.hash_offset)?;
    dissect.policy = policy;
    let dissection = DissectionRecord::new(&image, &dissect);

    let mut options = ProveOptions::default();
    options.trusted = &trusted;
    options.certificates = Some(&certificates);
    options.data_sizes = args.trust.data_sizes()?;
    options.require_bound_size = args.trust.require_bound_size;
    options.hash_offset = args.hash_offset;
    options.one_architecture = args.select.architecture.is_some();
    if let Some(threads) = args.threads {
        options.engine = Options::new().threads(threads);
    }
    let assessment = {
        let progress = output::Progress::new();
        let report = |done, total| progress.set(done, total);
        let mut options = options;
        options.progress = Some(&report);
        prove(&image, &dissection, &options)
    };
    // what the damage means, should there be any
    let damage = Damage::find_all(&image, &dissection, &assessment.proofs, &options);

    let judgement = PolicyEvaluation::new(&image, &dissection, &dissect, &assessment);
    let permission = judgement.verdict(&assessment);
    let mut outcome = match assessment.outcome {
        ddi_core::Outcome::Verified => ExitStatus::Good,
        ddi_core::Outcome::Intact if args.integrity_only => ExitStatus::Good,
        ddi_core::Outcome::Intact => ExitStatus::Unvouched,
        ddi_core::Outcome::Unknown => ExitStatus::Unknown,
        ddi_core::Outcome::Failed => ExitStatus::Bad,
    };
    outcome = match (policy, permission) {
        (Some(_), Access::Refused) => ExitStatus::Bad,
        (Some(_), Access::Unknown) if outcome != ExitStatus::Bad => ExitStatus::Unknown,
        _ => outcome,
    };
    if refused_table.is_some() {
        outcome = ExitStatus::Bad;
    }
    let tree_root_hashes: Vec<Option<RootHash>> =
        assessment.proofs.iter().map(|proof| guessed_wrong(&image, proof)).collect();
    let verified = Verified {
        path: &args.image,
        image: &image,
        beside: &image.sidecars().findings,
        dissection: &dissection,
        tree_root_hashes: &tree_root_hashes,
        assessment: &assessment,
        damage: &damage,
        certificates: &certificates,
        certificates_named: !args.trust.certificates.files.is_empty(),
        refused_table: refused_table.as_ref(),
        policy: policy.as_ref(),
        judgement: &judgement,
        permission,
        systemd_reading: args.systemd_reading,
        outcome,
    };
    if !args.keep.markdown {
        output::verify(&verified, args.json)?;
    }
    if args.keep.wants_more() {
        let looked = Looked::new(&args.keep, &args.image, (&image, &dissection), &dissect, &options);
        args.keep.write(&args.image, &verified.document(), Some(looked))?;
    }
    Ok(outcome)
}

/// The root hash that the tree of this proof has by its top, where another one was guessed from GUIDs: then it may be those
/// that are wrong, and no block.
fn guessed_wrong(image: &Image, proof: &Proof) -> Option<RootHash> {
    let guess = proof.root_hash.filter(|known| known.origin.is_guess())?.hash;
    proof.verdict.as_ref().filter(|verdict| !verdict.root_matches())?;
    let hash = image.partition(proof.hash?.number?)?;
    let params = Superblock::read(&hash, 0).ok()?.params;
    let tree = HashTree::new(params, Placement::Superblock(0)).ok()?;
    let found = match tree.claimed_root_hash(&hash).ok()? {
        Some(found) => found,
        // the root hash is that of the one block
        None => {
            let data = image.partition(proof.data?.number?)?;
            tree.root_hash(&Section::new(data, 0, params.data_size()).ok()?, &Options::new()).ok()?
        }
    };
    (found != guess).then_some(found)
}

/// Opens what the user named, unpacks it if need be, and says its name if that fails.
pub(crate) fn open(path: &Path, unpack: &UnpackArgs) -> anyhow::Result<Image> {
    if path == Path::new("-") {
        let mut stdin = std::io::stdin().lock();
        let (source, _) = spool(&mut stdin, &unpack.options())
            .map_err(ddi_core::Error::Unpack)
            .context("standard input")?;
        let mut beside = Sidecars::default();
        unpack.add_to(&mut beside)?;
        return Image::with_sidecars(Box::new(source), None, beside, unpack.block_size()?)
            .context("standard input");
    }
    let open = || {
        let file = ImageFile::open(path)?;
        let (packed, progress) = (file.source().size(), output::Progress::new());
        let report = |done| progress.set(done, packed);
        let mut options = unpack.options();
        options.progress = Some(&report);
        file.unpack(&options)
    };
    let shown = || path.display().to_string();
    let file = open().with_context(shown)?;
    let mut beside = file.sidecars();
    unpack.add_to(&mut beside)?;
    let (source, name) = file.into_parts();
    Image::with_sidecars(Box::new(source), Some(name), beside, unpack.block_size()?).with_context(shown)
}

impl UnpackArgs {
    fn block_size(&self) -> anyhow::Result<Option<BlockSize>> {
        sector_size(self.sector_size)
    }

    /// What was named takes the place of what was found beside the image.
    fn add_to(&self, beside: &mut Sidecars) -> anyhow::Result<()> {
        for (role, given) in [(Role::Root, &self.root_hash_sig), (Role::Usr, &self.usr_hash_sig)] {
            if let Some(given) = given {
                beside.name_signature(role, signature(given)?);
            }
        }
        if let Some(path) = &self.verity_data {
            let source = FileSource::open(path).with_context(|| path.display().to_string())?;
            beside.name_verity(source);
        }
        Ok(())
    }

    /// The files that these options name, so that none of them is written to.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let signatures = [&self.root_hash_sig, &self.usr_hash_sig].into_iter().flatten().map(PathBuf::from);
        signatures.chain(self.verity_data.clone()).filter(|path| path.exists()).collect()
    }

    fn options(&self) -> SpoolOptions<'static> {
        let mut options = SpoolOptions::default();
        (options.max_size, options.max_ratio) = (self.max_size, self.max_ratio);
        if let Some(directory) = std::env::var_os("TMPDIR").filter(|directory| !directory.is_empty()) {
            options.directory = directory.into();
        }
        options
    }
}

/// A PKCS#7 message, written out or in a file.
fn signature(given: &OsStr) -> anyhow::Result<Vec<u8>> {
    /// As of those beside an image.
    const MAX: u64 = 1 << 20;
    if let Some(text) = given.to_str().and_then(|given| given.strip_prefix("base64:")) {
        return Base64::decode_vec(text)
            .map_err(|error| anyhow::anyhow!("{error}"))
            .context("what follows base64: is no base64");
    }
    let read = || {
        let mut content = Vec::new();
        File::open(given)?.take(MAX + 1).read_to_end(&mut content)?;
        anyhow::ensure!(!content.is_empty(), "is empty");
        anyhow::ensure!(content.len() as u64 <= MAX, "is larger than {MAX} bytes");
        Ok(content)
    };
    read().with_context(|| Path::new(given).display().to_string())
}

/// Why a strict reader refuses the table, if there is a GPT and it does.
pub(crate) fn strict(image: &Image) -> Option<ddi_gpt::Error> {
    match image.table() {
        Table::Gpt(_) => image.examination().gpt(Mode::Strict).err(),
        // refused in any case
        _ => None,
    }
}

impl SelectArgs {
    /// How to dissect `image`.
    pub(crate) fn options(
        &self,
        image: &Image,
        trusted: &[TrustedRootHash],
        hash_offset: Option<u64>,
    ) -> anyhow::Result<DissectOptions> {
        let mut verity = VeritySettings::new(trusted, image.sidecars());
        // a tree behind the data is as good as one beside the image
        verity.external |= hash_offset.is_some();
        let mut options = DissectOptions::new(verity);
        if let Some(name) = &self.architecture {
            let architecture: Architecture =
                name.parse().with_context(|| format!("architecture {name} is not known"))?;
            options.native = Some(architecture);
            options.one_architecture = true;
        }
        Ok(options)
    }
}
