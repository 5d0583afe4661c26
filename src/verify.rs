//! `ddi verify`: proves every verity-protected partition.

use std::path::Path;

use anyhow::Context;
use ddi_core::steps::{
    DissectOptions, DissectionRecord, ImageFile, ProveOptions, Table, VeritySettings, prove,
};
use ddi_core::{Access, Damage, Image, PolicyEvaluation, Proof, TrustedRootHash};
use ddi_gpt::{Architecture, Mode};
use ddi_io::SpoolOptions;
use ddi_verity::{HashTree, Options, Placement, ReadAt, RootHash, Section, Superblock};

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
        return Image::from_stream(&mut stdin, &unpack.options()).context("standard input");
    }
    let open = || {
        let file = ImageFile::open(path)?;
        let (packed, progress) = (file.source().size(), output::Progress::new());
        let report = |done| progress.set(done, packed);
        let mut options = unpack.options();
        options.progress = Some(&report);
        Image::from_file(file.unpack(&options)?)
    };
    open().with_context(|| path.display().to_string())
}

impl UnpackArgs {
    fn options(&self) -> SpoolOptions<'static> {
        let mut options = SpoolOptions::default();
        (options.max_size, options.max_ratio) = (self.max_size, self.max_ratio);
        if let Some(directory) = std::env::var_os("TMPDIR").filter(|directory| !directory.is_empty()) {
            options.directory = directory.into();
        }
        options
    }
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
