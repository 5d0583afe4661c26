//! `ddi ls`, `cat`, `extract` and `mtree`: the files of an image.
//!
//! Whatever a file system is read for is watched by the library: before anything is printed or written, every file system that the answer
//! went through is as good as was asked for.

mod definitions;
mod extract;

use std::ffi::OsStr;
use std::fmt;
use std::ops::Range;

use anyhow::{Context, anyhow};
use ddi_core::steps::{Contents, DissectionRecord, Files, ProveOptions, VeritySet, verity_sets};
use ddi_core::{Assurance, ErrorKind, MountError, Mounted, ReadError, Role};
use ddi_fs::{Budget, Error, FileType, Meter, Place, Stat, Step, Vfs, Visit, Walk};
use ddi_gpt::Designator;
use ddi_io::{Pipeline, PipelineError};

use crate::ExitStatus;
use crate::cli::{CatArgs, FilesArgs, LsArgs, MtreeArgs};
use crate::failure::Asked;
use crate::output::{self, Entry, Lines, Shape};
use crate::parity::{Parity, usual};
use crate::verify::open;

pub(crate) use definitions::read as definitions;
pub(crate) use extract::run as extract;

/// Why there is no answer, and what that means.
#[derive(Debug)]
pub(crate) struct Stop {
    outcome: ExitStatus,
    error: anyhow::Error,
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Stop { outcome: ExitStatus::Unknown, error }
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop { outcome: outcome_of(&error), error: error.into() }
    }
}

impl Stop {
    /// What it means, and why.
    pub(crate) fn into_parts(self) -> (ExitStatus, anyhow::Error) {
        (self.outcome, self.error)
    }

    fn at(path: &[u8], error: Error) -> Self {
        let outcome = outcome_of(&error);
        Stop { outcome, error: anyhow::Error::new(error).context(output::shown_name(path)) }
    }
}

/// What it means that a file cannot be read.
fn outcome_of(error: &Error) -> ExitStatus {
    match error.code() {
        "mismatch" | "corrupt-file-system" | "directory-loop" => ExitStatus::Bad,
        _ => ExitStatus::Unknown,
    }
}

impl From<MountError> for Stop {
    fn from(error: MountError) -> Self {
        let outcome = match &error {
            MountError::Refused(
                ddi_core::Error::NothingRecognised | ddi_core::Error::NotMountable { .. },
            ) => ExitStatus::Unknown,
            MountError::Refused(_) => ExitStatus::Bad,
            MountError::Unproven(inner) => match inner.kind() {
                ErrorKind::Io | ErrorKind::Usage => ExitStatus::Unknown,
                _ => ExitStatus::Bad,
            },
            MountError::FileSystem(inner) => outcome_of(inner),
            _ => ExitStatus::Unknown,
        };
        let hint = match &error {
            MountError::Refused(
                ddi_core::Error::NothingRecognised | ddi_core::Error::NotMountable { .. },
            ) => "",
            MountError::Refused(_) => "; --partition shows one file system of it alone",
            _ => "",
        };
        Stop { outcome, error: hinted(error, hint) }
    }
}

/// An error, and what to do about it.
#[derive(Debug)]
struct Hinted<E> {
    error: E,
    hint: &'static str,
}

impl<E: fmt::Display> fmt::Display for Hinted<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.error, self.hint)
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Hinted<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

fn hinted(error: impl std::error::Error + Send + Sync + 'static, hint: &'static str) -> anyhow::Error {
    Hinted { error, hint }.into()
}

/// Says why there is no answer, or not all of it.
fn ended(args: &FilesArgs, json: bool, result: Result<ExitStatus, Stop>) -> anyhow::Result<ExitStatus> {
    let Stop { outcome, error } = match result {
        Ok(outcome) => return Ok(outcome),
        Err(stop) => stop,
    };
    let image = args.image.display().to_string();
    let asked = json.then(|| Asked { image: Some(image.clone()) });
    output::failed(&error.context(image), asked.as_ref());
    Ok(outcome)
}

/// The files that were asked for.
pub(crate) struct Opened {
    tree: Vfs,
    files: Files,
    /// The top-level directory that each file system is on; empty for the root.
    names: Vec<Vec<u8>>,
    /// True if all that is told must be authenticated.
    authenticated: bool,
    /// True if paths are taken as they are.
    literal: bool,
    budget: Budget,
    /// The account of the image.
    meter: Meter,
    /// Tells at the end what was healed.
    _parity: Parity,
}

/// Work to print an entry, in nanoseconds; to hash a byte.
const PRINT: u64 = 1000;
const HASH: u64 = 1;

impl Opened {
    fn new(args: &FilesArgs) -> Result<Self, Stop> {
        let trusted = args.trust.root_hashes()?;
        let certificates = args.trust.certificates.load()?;
        let image = open(&args.image, &args.unpack)?;
        let dissection =
            DissectionRecord::new(&image, &args.select.options(&image, &trusted, args.hash_offset)?);
        let mut options = ProveOptions::default();
        options.trusted = &trusted;
        options.certificates = Some(&certificates);
        options.data_sizes = args.trust.data_sizes()?;
        options.require_bound_size = args.trust.require_bound_size;
        options.hash_offset = args.hash_offset;
        let sets = verity_sets(&image, &dissection, &options.bind());
        // parity is of one tree, so it must be known first which
        let wanted = args.partition.as_deref().and_then(|name| role_of(name, &sets));
        let parity = args.parity.open(&args.image, usual(&sets, wanted))?;
        options.fec = parity.devices();
        let contents = match args.unverified {
            true => Contents::unproven(&image, &dissection),
            false => Contents::new(&image, &dissection, &sets, &options),
        };
        let files = match &args.partition {
            Some(name) => Files::from(partition(name, &dissection, &contents)?),
            None => {
                let (files, left_out) = contents.whole()?;
                for (designator, why) in left_out {
                    output::warning(&format!("{designator} is left out: {why}"));
                }
                files
            }
        };
        let names: Vec<Vec<u8>> = files.tree.file_systems().map(|(name, _)| name.to_vec()).collect();
        // who says what is to be trusted wants nothing that rests on less
        let authenticated = args.authenticated
            || args.trust.root_hash.is_some()
            || args.trust.usr_hash.is_some()
            || !args.trust.certificates.files.is_empty();
        let budget = Budget { bytes: args.unpack.max_size, ..Budget::default() };
        let literal = args.literal;
        let tree = files.tree.clone();
        let meter = image.meter().clone();
        Ok(Opened { tree, files, names, authenticated, literal, budget, meter, _parity: parity })
    }

    /// What it came to, if all that was asked for was looked at.
    fn complete(&self, outcome: ExitStatus) -> Result<ExitStatus, Stop> {
        self.meter.check()?;
        Ok(outcome)
    }

    /// The path that was asked for: as it would be printed, unless there is nothing there; else as it is.
    fn asked(&self, path: &OsStr, follow: bool) -> Vec<u8> {
        let path = path.as_encoded_bytes();
        let named = output::named(path).filter(|named| !self.literal && named != path);
        // a path that may not be told is one that is there
        let is_there = |named: &Vec<u8>| !matches!(self.tree.locate(named, follow), Err(Error::NotFound));
        named.filter(is_there).unwrap_or_else(|| path.to_vec())
    }

    /// The file at `path`, and its path without links.
    fn locate(&self, path: &[u8], follow: bool) -> Result<(Place, Vec<u8>), Stop> {
        let located = self.files.locate(path, follow).map_err(|error| Stop::at(path, error));
        // a path that nobody vouches for does not even lead nowhere
        self.allow(false)?;
        located
    }

    /// Refuses to tell what is not as good as was asked for. With `all`, every file system counts, touched or not.
    fn allow(&self, all: bool) -> Result<(), Stop> {
        if !self.authenticated {
            return Ok(());
        }
        let Err(mounted) = self.files.vouch(Assurance::Authenticated, all) else { return Ok(()) };
        let (designator, number, assurance) = (mounted.designator, mounted.number, mounted.assurance);
        let error = ReadError::NotProven { designator, number, assurance };
        Err(not_proven(error))
    }

    /// How far what is at `path`, which has no links in it, can be relied upon.
    fn assurance(&self, path: &[u8]) -> Assurance {
        let top = path.split(|byte| *byte == b'/').find(|name| !name.is_empty()).unwrap_or_default();
        let at = |wanted: &[u8]| self.names.iter().position(|name| name == wanted);
        let place = at(top).or_else(|| at(b""));
        // an empty root directory is of our making
        place
            .and_then(|place| self.files.mounted.get(place))
            .map_or(Assurance::Authenticated, |mounted| mounted.assurance)
    }
}

/// A file system that is not as good as was asked for, and what to do about it.
fn not_proven(error: ReadError) -> Stop {
    match &error {
        ReadError::NotProven { assurance: Assurance::Intact, .. } => {
            Stop { outcome: ExitStatus::Unvouched, error: error.into() }
        }
        _ => {
            let hint = "; --partition shows one file system alone";
            Stop { outcome: ExitStatus::Bad, error: hinted(error, hint) }
        }
    }
}

/// What the partition of that designator or number is protected as.
fn role_of(name: &str, sets: &[VeritySet]) -> Option<Role> {
    match (name.parse::<u32>(), name.parse::<Designator>()) {
        (Ok(number), _) => sets
            .iter()
            .find(|set| set.data.is_some_and(|data| data.number == Some(number)))
            .map(|set| set.role),
        (_, Ok(designator)) => Role::of(designator),
        _ => None,
    }
}

/// One file system alone.
fn partition(name: &str, dissection: &DissectionRecord, contents: &Contents<'_>) -> Result<Mounted, Stop> {
    if let Ok(number) = name.parse::<u32>() {
        let found = contents.partition(number).with_context(|| format!("there is no partition {number}"))?;
        return Ok(found?);
    }
    let designator: Designator = name.parse().with_context(|| {
        let names = Designator::ALL.map(Designator::name).join(", ");
        format!("{name} is neither a number nor one of {names}")
    })?;
    match contents.designated(designator) {
        Some(found) => Ok(found?),
        None => Err(match &dissection.outcome {
            Ok(_) => anyhow!("there is no {designator} partition"),
            Err(error) => anyhow::Error::from(error.clone()).context("there is none that can be used"),
        }
        .into()),
    }
}

/// What went wrong with single files: each is told, up to a number.
#[derive(Default)]
struct Problems {
    count: u64,
    worst: Option<ExitStatus>,
}

/// Files that are complained about one by one.
const MAX_TOLD: u64 = 64;

impl Problems {
    fn add(&mut self, path: &[u8], error: &Error) {
        self.extend([(outcome_of(error), format!("{}: {error}", output::shown_name(path)))]);
    }

    fn extend(&mut self, problems: impl IntoIterator<Item = (ExitStatus, String)>) {
        for (outcome, text) in problems {
            self.worst = self.worst.filter(|worst| *worst == ExitStatus::Bad).or(Some(outcome));
            self.count += 1;
            if self.count <= MAX_TOLD {
                output::error(&anyhow!(text));
            }
        }
    }

    fn finish(self) -> ExitStatus {
        if self.count > MAX_TOLD {
            output::error(&anyhow!("{} more like that", self.count - MAX_TOLD));
        }
        self.worst.unwrap_or(ExitStatus::Good)
    }
}

/// `path` and, under it, `relative`, which begins with a `/`.
fn joined(path: &[u8], relative: &[u8]) -> Vec<u8> {
    let base = path.strip_suffix(b"/").unwrap_or(path);
    [base, relative].concat()
}

pub(crate) fn ls(args: &LsArgs) -> anyhow::Result<ExitStatus> {
    ended(&args.files, args.json, list(args))
}

fn list(args: &LsArgs) -> Result<ExitStatus, Stop> {
    let opened = Opened::new(&args.files)?;
    let asked = &*opened.asked(&args.path, !args.long);
    let (place, path) = opened.locate(asked, !args.long)?;
    let tree = &opened.tree;
    let stat = tree.stat(place).map_err(|error| Stop::at(asked, error))?;
    let shape = match (args.json, args.null, args.long) {
        (true, ..) => Shape::Json,
        (_, true, _) => Shape::Null,
        (_, _, true) => Shape::Long,
        _ => Shape::Names,
    };
    let names_only = matches!(shape, Shape::Names | Shape::Null);
    let mut problems = Problems::default();
    let mut lines = Lines::new(shape);
    let show =
        |lines: &mut Lines, name: &[u8], at: &[u8], place: Place, stat: Option<&Result<Stat, Error>>| {
            opened.meter.charge(PRINT);
            let stat = stat.map(Result::as_ref);
            let is_link = stat.is_some_and(|stat| stat.is_ok_and(|stat| stat.file_type == FileType::Symlink));
            let target = (is_link && !names_only).then(|| tree.link_target(place));
            let failed =
                stat.and_then(Result::err).or(target.as_ref().and_then(|target| target.as_ref().err()));
            let entry = Entry {
                path: name,
                stat: stat.and_then(Result::ok),
                target: target.as_ref().and_then(|target| target.as_deref().ok()),
                sha256: None,
                assurance: opened.assurance(at),
                error: failed,
            };
            let printed = lines.entry(&entry);
            (printed, failed.map(|error| (outcome_of(error), format!("{}: {error}", output::shown_name(at)))))
        };
    if stat.file_type != FileType::Directory {
        opened.allow(false)?;
        let (printed, failed) = show(&mut lines, asked, &path, place, Some(&Ok(stat)));
        printed?;
        lines.finish()?;
        problems.extend(failed);
        return opened.complete(problems.finish());
    }
    if args.recursive {
        opened.allow(place == tree.root())?;
        let mut printing = Ok(());
        let walked = Walk::new(opened.budget).tree(tree, place, &mut |_, visit| {
            if visit.path == b"/" && visit.stat.is_ok() {
                return Ok(Step::Continue);
            }
            let at = joined(&path, visit.path);
            let name = visit.path.strip_prefix(b"/").unwrap_or(visit.path);
            let (printed, failed) = show(&mut lines, name, &at, visit.place, Some(&visit.stat));
            problems.extend(failed);
            printing = printed;
            Ok(if printing.is_err() || lines.is_closed() { Step::Stop } else { Step::Continue })
        });
        printing?;
        if walked.is_err() {
            // JSON stays JSON
            lines.finish()?;
        }
        walked?;
    } else {
        let (names, error) = Walk::new(opened.budget).names(tree, place)?;
        let stat = |place| (!names_only).then(|| tree.stat(place));
        // all is read before it is asked whether it may be told
        names.iter().for_each(|(_, place)| drop(stat(place)));
        opened.allow(false)?;
        for (name, place) in names.iter() {
            let at = joined(&path, &[b"/", name].concat());
            let (printed, failed) = show(&mut lines, name, &at, place, stat(place).as_ref());
            problems.extend(failed);
            printed?;
        }
        if let Some(error) = error {
            problems.add(&path, &error);
        }
    }
    lines.finish()?;
    opened.complete(problems.finish())
}

pub(crate) fn cat(args: &CatArgs) -> anyhow::Result<ExitStatus> {
    let print = || {
        let opened = Opened::new(&args.files)?;
        print_file(&opened, &opened.asked(&args.path, true))
    };
    ended(&args.files, false, print())
}

/// The content of a file, to stdout.
fn print_file(opened: &Opened, asked: &[u8]) -> Result<ExitStatus, Stop> {
    let (place, _) = opened.locate(asked, true)?;
    let stat = opened.tree.stat(place).map_err(|error| Stop::at(asked, error))?;
    opened.allow(false)?;
    if stat.file_type != FileType::Regular {
        return Err(Stop::at(asked, Error::NotAFile));
    }
    let mut printing = output::Bytes::new();
    let read = Walk::new(opened.budget).content(&opened.tree, place, &mut |bytes| {
        // what cannot be printed ends the reading; what it was is told below
        printing.write(bytes).map_err(|()| Error::NotFound)
    });
    printing.finish()?;
    match read {
        Err(error) if !printing.is_closed() => Err(Stop::at(asked, error)),
        _ => opened.complete(ExitStatus::Good),
    }
}

pub(crate) fn mtree(args: &MtreeArgs) -> anyhow::Result<ExitStatus> {
    ended(&args.files, args.json, tell_tree(args))
}

fn tell_tree(args: &MtreeArgs) -> Result<ExitStatus, Stop> {
    let opened = Opened::new(&args.files)?;
    let asked = &*opened.asked(&args.path, true);
    let (start, path) = opened.locate(asked, true)?;
    let tree = &opened.tree;
    let is_directory =
        tree.stat(start).map_err(|error| Stop::at(asked, error))?.file_type == FileType::Directory;
    opened.allow(start == tree.root())?;
    let threads =
        args.threads.or_else(|| std::thread::available_parallelism().ok().map(Into::into)).unwrap_or(1);
    let name_of = |visited: &[u8]| match visited {
        b"/" if !is_directory => path.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec(),
        name => name.strip_prefix(b"/").unwrap_or(name).to_vec(),
    };
    let mut lines = Lines::new(if args.json { Shape::Json } else { Shape::Mtree });
    let mut problems = Problems::default();
    let mut printing = Ok(());
    let mut batch = Batch::default();
    // what was found of the files up to the first error that ends it all, which is returned
    let mut tell = |walk: &Walk, batch: &mut Batch| {
        let (found, spent) = batch.look(threads, &opened, walk);
        for (file, found) in batch.take().iter().zip(found) {
            let at = joined(&path, &file.path);
            if let Some(error) = file.stat.as_ref().err().or(found.error.as_ref()) {
                problems.add(&at, error);
            }
            let entry = Entry {
                path: &name_of(&file.path),
                stat: file.stat.as_ref().ok(),
                target: found.target.as_deref(),
                sha256: found.sha256,
                assurance: opened.assurance(&at),
                error: file.stat.as_ref().err(),
            };
            printing = lines.entry(&entry);
            if printing.is_err() || lines.is_closed() {
                return Ok(Step::Stop);
            }
        }
        spent.map_or(Ok(Step::Continue), Err)
    };
    let mut walk = Walk::new(opened.budget);
    let mut ended = false;
    let mut walked = walk.tree(tree, start, &mut |walk, visit| {
        opened.meter.charge(PRINT);
        batch.add(visit);
        let step = if batch.is_full() { tell(walk, &mut batch) } else { Ok(Step::Continue) };
        ended = !matches!(step, Ok(Step::Continue));
        step
    });
    // what was met before the walk ended is told, whatever it ended with
    if !ended {
        let told = tell(&walk, &mut batch);
        walked = walked.and(told.map(drop));
    }
    printing?;
    lines.finish()?;
    walked?;
    opened.complete(problems.finish())
}

/// Files of a listing that are looked at together, in the order of the walk: so many, with so many bytes of content and of names,
/// or one more.
#[derive(Default)]
struct Batch {
    files: Vec<Visited>,
    content: u64,
    names: usize,
}

const BATCH_FILES: usize = 4096;
const BATCH_CONTENT: u64 = 256 << 20;
const BATCH_NAMES: usize = 1 << 20;
/// So many of them, or files of so many bytes, are for one thread: neighbours share blocks that are decompressed once.
const PIECE_FILES: usize = 32;
const PIECE_CONTENT: u64 = 2 << 20;

struct Visited {
    path: Vec<u8>,
    place: Place,
    stat: Result<Stat, Error>,
}

/// What there is to a file beside its metadata.
#[derive(Default)]
struct Found {
    sha256: Option<[u8; 32]>,
    target: Option<Vec<u8>>,
    error: Option<Error>,
}

impl Visited {
    fn size(&self) -> u64 {
        self.stat.as_ref().map_or(0, |stat| if stat.file_type == FileType::Regular { stat.size } else { 0 })
    }

    /// An error says that nothing more is looked at.
    fn look(&self, opened: &Opened, walk: &Walk) -> Result<Found, Error> {
        let mut found = Found::default();
        let outcome = match self.stat.as_ref().map(|stat| stat.file_type) {
            Ok(FileType::Regular) if self.size() > 0 => {
                output::sha256(walk, &opened.tree, self.place).map(|digest| {
                    opened.meter.charge(self.size().saturating_mul(HASH));
                    found.sha256 = Some(digest);
                })
            }
            Ok(FileType::Symlink) => {
                opened.tree.link_target(self.place).map(|target| found.target = Some(target))
            }
            _ => Ok(()),
        };
        match outcome {
            Err(Error::Budget(limit)) if self.size() > 0 => return Err(Error::Budget(limit)),
            outcome => found.error = outcome.err(),
        }
        Ok(found)
    }
}

impl Batch {
    fn add(&mut self, visit: Visit<'_>) {
        let file = Visited { path: visit.path.to_vec(), place: visit.place, stat: visit.stat };
        self.content = self.content.saturating_add(file.size());
        self.names = self.names.saturating_add(file.path.len());
        self.files.push(file);
    }

    fn is_full(&self) -> bool {
        self.files.len() >= BATCH_FILES || self.content >= BATCH_CONTENT || self.names >= BATCH_NAMES
    }

    fn take(&mut self) -> Vec<Visited> {
        std::mem::take(self).files
    }

    /// Reads and hashes all of them, and says what was found of each, up to the first for which nothing more may be done, and why.
    fn look(&self, threads: usize, opened: &Opened, walk: &Walk) -> (Vec<Found>, Option<Error>) {
        let mut all = Vec::with_capacity(self.files.len());
        let mut next = 0;
        let outcome = Pipeline::new(threads).run(
            || 0..0,
            |piece: &mut Range<usize>| {
                let mut content = 0_u64;
                let enough = |file: &Visited| {
                    content = content.saturating_add(file.size());
                    content >= PIECE_CONTENT
                };
                let rest = &self.files[next..];
                let most = rest.len().min(PIECE_FILES);
                let count = rest[..most].iter().position(enough).map_or(most, |last| last + 1);
                *piece = next..next + count;
                next += count;
                Ok(count > 0)
            },
            |piece| {
                let mut found = Vec::with_capacity(piece.len());
                let files = self.files[piece.clone()].iter();
                let spent = files
                    .map(|file| file.look(opened, walk).map(|file| found.push(file)))
                    .find_map(Result::err);
                Ok((found, spent))
            },
            |(found, spent): (Vec<Found>, Option<Error>)| {
                all.extend(found);
                spent.map_or(Ok(true), Err)
            },
        );
        let spent = match outcome {
            Ok(()) => None,
            Err(PipelineError::Failed(error)) => Some(error),
            // as on this thread
            Err(PipelineError::Panicked) => panic!("a file could not be looked at"),
        };
        (all, spent)
    }
}
