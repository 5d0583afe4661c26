//! What is asked of an image: a `ddi_image`, and a `ddi_partition` of it.

use core::cell::Cell;
use std::ffi::OsString;
use std::fs::File;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ddi_core::json::{FileEntry, Inspection, Verification};
use ddi_core::steps::{Contents, DissectOptions, VeritySettings};
use ddi_core::{
    Access, Assurance, Dissection, Image as CoreImage, MountedTree, Outcome, PolicyEvaluation,
    ProvenPartition, ReadError,
};
use ddi_fs::{Budget, FileType, Stat};
use ddi_gpt::Designator;
use ddi_io::{Compression, FileSource, MAGIC_SIZE, ReadAt, SpoolOptions, Stream};
use ddi_os::SystemFacts;
use ddi_verity::Options;
use serde_json::Value;

use crate::error::{Error, Status};
use crate::trust::{Demands, Trust, role};

/// Called with what is done and how much there is; true: go on.
pub(crate) type Progress<'a> = &'a (dyn Fn(u64, u64) -> bool + Sync);

/// An image, and whom the caller trusts.
#[derive(Debug)]
pub struct Image {
    disk: Dissection,
    demands: Demands,
    /// As it was named; empty for one without a name.
    name: OsString,
}

/// The protected bytes of a partition, each proven when it is read.
#[derive(Debug)]
pub struct Partition(ProvenPartition);

/// As many threads as there are processors, in a pool that ends with the call: a global one would be gone after fork().
pub(crate) fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

impl Image {
    pub(crate) fn open(path: &Path, trust: &Trust) -> Result<Self, Error> {
        let image = CoreImage::open_unpacked(path, &SpoolOptions::default())?;
        Ok(Self::dissect(image, trust, path.as_os_str().to_owned()))
    }

    pub(crate) fn open_file(file: File, trust: &Trust) -> Result<Self, Error> {
        Self::open_source(Box::new(FileSource::new(file)?), trust)
    }

    pub(crate) fn open_source(source: Box<dyn ReadAt>, trust: &Trust) -> Result<Self, Error> {
        let mut start = [0; MAGIC_SIZE];
        let len = usize::try_from(source.size()).unwrap_or(MAGIC_SIZE).min(MAGIC_SIZE);
        let start = start.get_mut(..len).unwrap_or_default();
        source.read_exact_at(0, start)?;
        let image = match Compression::of(start) {
            None => CoreImage::new(source)?,
            Some(_) => {
                let mut options = SpoolOptions::default();
                options.packed_size = Some(source.size());
                CoreImage::from_stream(&mut Stream::new(source), &options)?
            }
        };
        Ok(Self::dissect(image, trust, OsString::new()))
    }

    fn dissect(image: CoreImage, trust: &Trust, name: OsString) -> Self {
        let demands = trust.demands();
        let trust = demands.trust();
        let mut options = DissectOptions::new(VeritySettings::new(trust.root_hashes(), image.sidecars()));
        options.policy = demands.policy;
        Image { disk: Dissection::new(image, &trust, options, None), demands, name }
    }

    pub(crate) fn disk(&self) -> &Dissection {
        &self.disk
    }

    /// As it was named.
    pub(crate) fn name(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }

    /// How good an answer from its files has to be.
    pub(crate) fn least(&self) -> Assurance {
        self.demands.least()
    }

    /// `ddi.inspect/1`, as `ddi inspect` has it.
    pub(crate) fn report(&self) -> Value {
        let disk = &self.disk;
        let mut report = disk.report();
        let options = disk.prove_options();
        let contents = Contents::new(disk.image(), disk.record(), disk.verity_sets(), &options);
        let has_esp = disk.record().chosen(Designator::Esp).is_some();
        let inside = SystemFacts::read(&contents, report.name.as_deref(), has_esp);
        SystemFacts::note(&inside, &mut report);
        let foreseen = self.demands.policy.map(|policy| {
            let trusted = disk.trust().root_hashes();
            let foreseen = PolicyEvaluation::foresee(
                disk.image(),
                disk.record(),
                disk.options(),
                &report.verity,
                trusted,
            );
            (policy, foreseen)
        });
        let mut inspection = Inspection::new(&report);
        if !self.name.is_empty() {
            inspection = inspection.path(Path::new(&self.name));
        }
        if let Some((policy, foreseen)) = &foreseen {
            inspection = inspection.policy(policy, foreseen);
        }
        SystemFacts::add_to(&inside, &inspection)
    }

    /// `ddi.verify/1`, and why the answer is not yes.
    pub(crate) fn verify(&self, progress: Progress<'_>) -> Result<(Value, Option<Error>), Error> {
        let disk = &self.disk;
        let cancel = AtomicBool::new(false);
        let relay = |done, total| {
            if !progress(done, total) {
                cancel.store(true, Ordering::Relaxed);
            }
        };
        let mut options = disk.prove_options();
        options.engine = Options::new().threads(threads()).cancel(&cancel);
        options.progress = Some(&relay);
        let assessment = disk.verify_with(&options);
        // also where it was too late to stop
        if cancel.load(Ordering::Relaxed) {
            return Err(Error::cancelled());
        }
        let damage = disk.damage(&assessment);
        let evaluation = PolicyEvaluation::new(disk.image(), disk.record(), disk.options(), &assessment);
        let policy = self.demands.policy.as_ref();
        let access = policy.map_or(Access::Allowed, |_| evaluation.verdict(&assessment));
        let status = match (access, assessment.outcome) {
            (Access::Refused, _) | (_, Outcome::Failed) => Status::Refused,
            (Access::Unknown, _) | (_, Outcome::Unknown) => Status::Error,
            (Access::Allowed, Outcome::Intact) => Status::Unvouched,
            (Access::Allowed, Outcome::Verified) => Status::Ok,
        };
        let mut document = Verification::new(&assessment)
            .damage(&damage)
            .beside(&disk.image().sidecars().findings)
            .exit_status(number(status));
        if let Some(certificates) = disk.trust().trusted_certificates() {
            document = document.certificates(certificates, true);
        }
        if let Some(policy) = policy {
            document = document.policy(policy, &evaluation);
        }
        let error = match (status, access) {
            (Status::Ok, _) => None,
            (_, Access::Refused) if assessment.is_authentic() => Some(Error::new(
                "mismatch",
                "policy",
                "every block matches, but the image policy does not allow it",
            )),
            _ => {
                let problem = assessment.proofs.iter().find_map(|proof| proof.problem.as_ref());
                match problem.or(assessment.refused.as_ref()) {
                    Some(problem) => Some(Error::of(problem)),
                    None => Some(Error::new("mismatch", assessment.code(), assessment.to_string())),
                }
            }
        };
        Ok((document.to_json(), error.map(|error| error.with_status(status))))
    }

    /// The files, of which each answer is at least that good.
    fn mount(&self, least: Assurance) -> Result<MountedTree, Error> {
        Ok(self.disk.mount_at_least(least)?)
    }

    /// The content of a file.
    pub(crate) fn read_file(&self, path: &Path, max: u64) -> Result<Vec<u8>, Error> {
        Ok(self.mount(self.least())?.read_at_most(path, max)?)
    }

    /// An array of `ddi.file/1`: what is in a directory, or all that is below it; of any other file, itself.
    pub(crate) fn list(&self, path: &Path, recursive: bool) -> Result<Value, Error> {
        let mut refused = None;
        // as good as all of it is
        for least in [Assurance::Authenticated, Assurance::Intact, Assurance::Claimed] {
            if least < self.least() {
                break;
            }
            match list(&self.mount(least)?, least, path, recursive) {
                Err(error @ ReadError::NotProven { .. }) => refused = Some(error),
                listed => return Ok(listed?),
            }
        }
        Err(refused.map_or_else(|| Error::usage("usage", "nothing was asked for"), Error::from))
    }

    pub(crate) fn partition(&self, name: &str) -> Result<Partition, Error> {
        Ok(Partition(self.disk.partition(role(name)?)?))
    }
}

/// Most files that a list has: each is some 300 bytes of JSON.
const MAX_LISTED: usize = 1 << 20;

fn list(tree: &MountedTree, least: Assurance, path: &Path, recursive: bool) -> Result<Value, ReadError> {
    let entry = |name: &[u8], at: &Path, stat: &Stat| {
        let target = (stat.file_type == FileType::Symlink).then(|| tree.read_link(at)).transpose()?;
        Ok::<_, ReadError>(FileEntry::new(name, least).stat(Some(stat)).target(target.as_deref()).to_json())
    };
    let stat = tree.stat(path)?;
    if stat.file_type != FileType::Directory {
        return Ok(Value::Array(vec![entry(path.as_os_str().as_bytes(), path, &stat)?]));
    }
    let mut found = Vec::new();
    if !recursive {
        for file in tree.read_dir(path)? {
            let at = path.join(std::ffi::OsStr::from_bytes(&file.name));
            found.push(entry(&file.name, &at, &file.stat)?);
        }
        return Ok(found.into());
    }
    let (mut failed, mut is_start, start) = (None, true, Cell::new(0));
    tree.walk(path, Budget::default(), |at, stat| {
        if is_start {
            // the directory itself, with its path without links
            is_start = false;
            start.set(if at == b"/" { 1 } else { at.len().saturating_add(1) });
            return ControlFlow::Continue(());
        }
        if found.len() >= MAX_LISTED {
            failed = Some(ReadError::File(ddi_fs::Error::Budget(ddi_fs::Limit::Entries)));
            return ControlFlow::Break(());
        }
        let name = at.get(start.get()..).unwrap_or(at);
        match entry(name, Path::new(std::ffi::OsStr::from_bytes(at)), stat) {
            Ok(document) => {
                found.push(document);
                ControlFlow::Continue(())
            }
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    match failed {
        Some(error) => Err(error),
        None => Ok(found.into()),
    }
}

/// The status as a number.
fn number(status: Status) -> u8 {
    match status {
        Status::Ok => 0,
        Status::Refused => 1,
        Status::Error => 2,
        Status::Unvouched => 3,
    }
}

impl Partition {
    pub(crate) fn size(&self) -> u64 {
        self.0.size()
    }

    /// All of it, or zeros and an error.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let len = u64::try_from(buffer.len()).unwrap_or(u64::MAX);
        if offset.checked_add(len).is_none_or(|end| end > self.size()) {
            let message = format!("{len} bytes at {offset} are beyond the end at {}", self.size());
            return Err(Error::usage("out-of-range", message));
        }
        let read = self.0.read_exact_at(offset, buffer);
        if read.is_err() {
            buffer.fill(0);
        }
        Ok(read?)
    }
}
