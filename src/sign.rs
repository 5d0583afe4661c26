//! `ddi sign`: signatures of root hashes.

mod attach;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use ddi_core::steps::{Scope, VeritySet, sidecar_paths};
use ddi_core::{Dissection, Image, KnownRootHash, Outcome, Proof, Role, Trust};
use ddi_signature::sign::{
    Embed, Passphrase, SignCommand, SignError, SignOptions, SignedRootHash, Signer, SigningKey,
};
use ddi_signature::{Certificate, Certificates};
use ddi_verity::{ErrorKind, Options, Params, RootHash};

use crate::cli::{self, SignArgs, SignerArgs};
use crate::verity::destination;
use crate::{ExitStatus, output, overwrite};

pub(crate) fn run(args: &SignArgs) -> anyhow::Result<ExitStatus> {
    match &args.command {
        Some(cli::SignCommand::Attach(args)) => attach::run(args),
        None => sign(args),
    }
}

/// What is to be signed.
enum Target<'a> {
    RootHash(RootHash),
    Image(&'a Path),
}

fn sign(args: &SignArgs) -> anyhow::Result<ExitStatus> {
    let targets: Vec<Target<'_>> = args.targets.iter().map(|given| target(given)).collect();
    let is_one = matches!(targets.as_slice(), [_]);
    ensure!(is_one || args.output.is_none(), "-o is for one signature");
    let to_stdout = args.output.as_deref() == Some(Path::new("-"));
    ensure!(
        !(to_stdout && io::stdout().is_terminal()),
        "a signature is no text: standard output must not be a terminal"
    );
    for target in &targets {
        if let (Target::RootHash(root_hash), None) = (target, &args.output) {
            bail!("{root_hash}: -o must say where its signature goes");
        }
        if let (Target::RootHash(_), true) = (target, args.signer.bind_size) {
            bail!("--bind-size is for an image: a root hash does not say how many bytes it is over");
        }
    }
    refuse_inputs(args, &targets)?;
    let certificate = args.signer.certificate()?;
    let signer =
        args.signer.signer(&certificate)?.context("--private-key or --sign-command must be given")?;

    // all of them before the first is written
    let mut signed = Vec::new();
    for target in &targets {
        match target {
            Target::RootHash(root_hash) => {
                let options = SignOptions::new().embed(Embed::Nothing);
                match good(signer.sign(&certificate, root_hash, &options))? {
                    Ok(made) => signed.push((args.output.clone().unwrap_or_default(), made)),
                    Err(refused) => return Ok(refused),
                }
            }
            Target::Image(path) => {
                let roots = match proven_roots(path, args.threads)? {
                    Ok(roots) => roots,
                    Err(refused) => return Ok(refused),
                };
                ensure!(
                    args.output.is_none() || roots.len() == 1,
                    "-o is for one signature, and there are {}",
                    roots.len()
                );
                for root in roots {
                    let mut options = SignOptions::new().embed(Embed::Nothing);
                    if args.signer.bind_size {
                        options = options.bind(root.params);
                    }
                    let to = args.output.clone().unwrap_or_else(|| beside(path, root.role));
                    match good(signer.sign(&certificate, &root.hash, &options))? {
                        Ok(made) => signed.push((to, made)),
                        Err(refused) => return Ok(refused),
                    }
                }
            }
        }
    }
    for (path, made) in &signed {
        if to_stdout {
            io::stdout().write_all(made.pkcs7()).context("cannot write to standard output")?;
            continue;
        }
        let written = destination::replace(path, |file| Ok(file.write_all(made.pkcs7())?));
        written.with_context(|| path.display().to_string())?;
        output::signed(path, None, made)?;
    }
    Ok(ExitStatus::Good)
}

fn target(given: &Path) -> Target<'_> {
    match given.to_str().and_then(|text| text.parse().ok()) {
        Some(root_hash) => Target::RootHash(root_hash),
        None => Target::Image(given),
    }
}

/// No output may be one of the inputs.
fn refuse_inputs(args: &SignArgs, targets: &[Target<'_>]) -> anyhow::Result<()> {
    let images = targets.iter().filter_map(|target| match target {
        Target::Image(path) => Some(*path),
        Target::RootHash(_) => None,
    });
    let inputs: Vec<PathBuf> = args.signer.files().chain(images.clone().map(Path::to_owned)).collect();
    let outputs: Vec<PathBuf> = match &args.output {
        Some(output) if output == Path::new("-") => Vec::new(),
        Some(output) => vec![output.clone()],
        None => images.clone().flat_map(|path| Role::ALL.map(|role| beside(path, role))).collect(),
    };
    for (at, output) in outputs.iter().enumerate() {
        overwrite::refuse(output, inputs.iter().map(PathBuf::as_path))?;
        // nor what decides which root hash is signed
        let read = images.clone().flat_map(sidecar_paths);
        let read: Vec<PathBuf> = read.filter(|path| !is_signature(path)).collect();
        overwrite::refuse(output, read.iter().map(PathBuf::as_path))?;
        // nor another output
        overwrite::refuse(output, outputs.iter().take(at).map(PathBuf::as_path))?;
    }
    Ok(())
}

fn is_signature(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "p7s")
}

/// Where systemd looks for the signature of an image.
fn beside(image: &Path, role: Role) -> PathBuf {
    let name = image.file_name().unwrap_or_default();
    let stem = match image.extension() {
        Some(extension) if extension == "raw" => image.file_stem().unwrap_or_default(),
        _ => name,
    };
    let mut name = OsString::from(stem);
    name.push(match role {
        Role::Root => ".roothash.p7s",
        Role::Usr => ".usrhash.p7s",
    });
    image.with_file_name(name)
}

/// A root hash of an image that every block matches.
struct ProvenRoot {
    role: Role,
    hash: RootHash,
    params: Params,
}

/// Proves what is in use of an image: nobody vouches for it yet. Says so, and how to end, if not every block matches.
fn proven_roots(path: &Path, threads: Option<usize>) -> anyhow::Result<Result<Vec<ProvenRoot>, ExitStatus>> {
    let shown = || path.display().to_string();
    let disk = dissect(path).with_context(shown)?;
    let mut options = disk.prove_options();
    options.scope = Scope::InUse;
    if let Some(threads) = threads {
        options.engine = Options::new().threads(threads);
    }
    let progress = output::Progress::new();
    let report = |done, total| progress.set(done, total);
    options.progress = Some(&report);
    let assessment = disk.verify_with(&options);
    drop(progress);
    let mut roots = Vec::new();
    for proof in assessment.proofs.iter().filter(|proof| proof.hash.is_some()) {
        match root_of(&disk, proof) {
            Ok(root) => roots.push(root),
            Err(error) => {
                let outcome = proof.outcome;
                output::error(&error.context(shown()));
                return Ok(Err(match outcome {
                    Outcome::Unknown => ExitStatus::Unknown,
                    _ => ExitStatus::Bad,
                }));
            }
        }
    }
    ensure!(!roots.is_empty(), "{}: no hash tree, so there is no root hash to sign", shown());
    Ok(Ok(roots))
}

/// Opens an image. A root hash that only its tree knows, since it is too long for two GUIDs, is told to it.
fn dissect(path: &Path) -> anyhow::Result<Dissection> {
    let disk = Image::open(path)?.dissect(&Trust::nobody());
    let mut trust = Trust::nobody();
    for set in disk.verity_sets().iter().filter(|set| set.root_hash.is_none()) {
        if let Some(root) = set.tree_root {
            trust = trust.and_root_hash(set.role, root);
        }
    }
    if trust.root_hashes().is_empty() {
        return Ok(disk);
    }
    Ok(Image::open(path)?.dissect(&trust))
}

fn root_of(disk: &Dissection, proof: &Proof) -> anyhow::Result<ProvenRoot> {
    if let Some(problem) = &proof.problem {
        return Err(problem.clone().into());
    }
    ensure!(
        matches!(proof.outcome, Outcome::Intact | Outcome::Verified),
        "not every block of {} matches the root hash: it is not signed",
        proof.role
    );
    let is_its = |set: &&VeritySet| Some(set.hash) == proof.hash && set.role == proof.role;
    let tree = disk.verity_sets().iter().find(is_its).and_then(|set| set.tree.as_ref());
    let Some((KnownRootHash { hash, role, .. }, tree)) = proof.root_hash.zip(tree) else {
        bail!("no root hash");
    };
    Ok(ProvenRoot { role, hash, params: *tree.params() })
}

/// What was signed; or the end of the command if the signature is not good, which is said.
fn good(signed: Result<SignedRootHash, SignError>) -> anyhow::Result<Result<SignedRootHash, ExitStatus>> {
    match signed {
        Ok(signed) => Ok(Ok(signed)),
        Err(error @ (SignError::Signature(_) | SignError::NotBound)) if error.kind() != ErrorKind::Io => {
            output::error(&anyhow!(error));
            Ok(Err(ExitStatus::Bad))
        }
        Err(error) => Err(error.into()),
    }
}

impl SignerArgs {
    /// The certificate, which clap made sure is named.
    pub(crate) fn certificate(&self) -> anyhow::Result<Certificate> {
        let path = self.certificate.as_deref().context("--certificate must be given")?;
        let shown = || path.display().to_string();
        ensure!(!path.is_dir(), "{}: is a directory", shown());
        let mut certificates = Certificates::new();
        certificates.add_path(path).with_context(shown)?;
        certificates.trusted().first().cloned().with_context(shown)
    }

    /// Who signs, if somebody is named. A key that is not that of the certificate is found out before there is anything to
    /// sign.
    pub(crate) fn signer(&self, certificate: &Certificate) -> anyhow::Result<Option<Signer>> {
        if let Some(command) = &self.sign_command {
            return Ok(Some(Signer::Command(SignCommand::new(command))));
        }
        let Some(path) = &self.private_key else { return Ok(None) };
        let from = match (&self.passphrase_file, self.passphrase_fd) {
            (Some(file), _) => Some(file.clone()),
            (None, Some(fd)) => Some(PathBuf::from(format!("/dev/fd/{fd}"))),
            (None, None) => None,
        };
        let passphrase = match &from {
            Some(from) => Some(Passphrase::open(from).with_context(|| from.display().to_string())?),
            None => None,
        };
        let key = SigningKey::open(path, passphrase.as_ref().map(Passphrase::as_bytes))
            .with_context(|| path.display().to_string())?;
        if !key.is_for(certificate) {
            let (key, certificate) = (key.name(), certificate.key_name());
            return Err(SignError::KeyMismatch { key, certificate }.into());
        }
        Ok(Some(Signer::Key(key)))
    }

    /// The files that are read, of which none is written to.
    pub(crate) fn files(&self) -> impl Iterator<Item = PathBuf> {
        [&self.certificate, &self.private_key, &self.passphrase_file].into_iter().flatten().cloned()
    }
}
