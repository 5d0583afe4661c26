//! A plan carried out: one pass over the data, into a file that is complete or absent.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ddi_gpt::{Guid, verity_guids};
use ddi_io::{FileSource, ReadAt, Section, WriteAt};
use ddi_signature::Certificate;
use ddi_signature::sign::{SignOptions, Signer};
use ddi_verity::{HashTree, Options, Placement, RootHash, Superblock};
use rustix::fs::FallocateFlags;

use crate::compatibility::Compatibility;
use crate::content::{Blocks, Contents};
use crate::copy::{Tee, copy, write_sparse};
use crate::definitions::{Definition, Definitions};
use crate::error::{Error, Place, PlanFault, SourceFault};
use crate::output::Output;
use crate::plan::{Activity, Content, Plan, PlannedPartition};

/// How root hashes are signed.
#[derive(Clone, Copy, Debug)]
pub struct Signing<'a> {
    pub(crate) signer: &'a Signer,
    pub(crate) certificate: &'a Certificate,
    pub(crate) bind: bool,
}

impl<'a> Signing<'a> {
    /// By this key or program; the signature is verified with the certificate before it is written.
    pub fn new(signer: &'a Signer, certificate: &'a Certificate) -> Self {
        Self { signer, certificate, bind: false }
    }

    /// Also signs the parameters of the hash tree, which a root hash does not bind: the size of the data above all.
    #[must_use]
    pub fn bind(mut self, bind: bool) -> Self {
        self.bind = bind;
        self
    }
}

/// How an image is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct WriteOptions<'a> {
    pub(crate) threads: Option<usize>,
    pub(crate) signing: Option<Signing<'a>>,
    leave_unsigned: bool,
    replace: bool,
}

impl<'a> WriteOptions<'a> {
    /// A new file, nobody who signs, as many threads as there are processors.
    pub fn new() -> Self {
        Self::default()
    }

    /// At most so many threads hash. The bytes are the same with any number.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Who signs root hashes.
    #[must_use]
    pub fn signing(mut self, signing: Signing<'a>) -> Self {
        self.signing = Some(signing);
        self
    }

    /// Returns true if somebody signs.
    pub fn is_signed(&self) -> bool {
        self.signing.is_some()
    }

    /// Without somebody who signs, signature partitions stay empty, for a signature that is attached later. Else that is an error.
    #[must_use]
    pub fn leave_unsigned(mut self, leave_unsigned: bool) -> Self {
        self.leave_unsigned = leave_unsigned;
        self
    }

    /// The image is there, with the table that the plan was made for. It is copied (shared, where the file system can) and takes
    /// the place of the old one when it is complete.
    #[must_use]
    pub fn replace(mut self, replace: bool) -> Self {
        self.replace = replace;
        self
    }
}

/// What was written.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Written {
    /// The plan, with all root hashes and GUIDs.
    pub plan: Plan,
    /// The files of single partitions.
    pub split: Vec<PathBuf>,
}

/// Writes the image of a plan. Until it is complete, its name is not there.
///
/// # Errors
/// [`Error::OutputIsSource`], [`Error::NoSigner`] and [`Error::Plan`] before anything is written; then [`Error::Write`],
/// [`Error::Changed`], [`Error::Tool`], [`Error::Verity`], [`Error::Sign`]. After any of them there
/// is no image.
pub fn write(
    plan: &Plan,
    definitions: &Definitions,
    contents: &Contents<'_>,
    options: &WriteOptions<'_>,
) -> Result<Written, Error> {
    let mut writer = Writer { plan: plan.clone(), definitions, contents, options, texts: BTreeMap::new() };
    writer.refuse()?;
    let failed = |error| Error::Write { path: plan.image.clone(), error };
    let output = match options.replace {
        false => Output::create(&plan.image),
        true => Output::replace(&plan.image),
    };
    let output = output.map_err(failed)?;
    let image = output.file();
    image.set_len(plan.geometry.size).map_err(failed)?;
    if options.replace {
        writer.take_over(image)?;
    }
    writer.partitions(image)?;
    writer.signatures(image)?;
    let table = writer.plan.table()?;
    for (offset, bytes) in table.writes() {
        image.write_all_at(offset, bytes).map_err(failed)?;
    }
    let split = writer.split(image)?;
    let paths: Vec<PathBuf> = split.iter().map(|(path, _)| path.clone()).collect();
    commit_all(split)?;
    if let Err(error) = output.commit(options.replace) {
        remove(&paths);
        return Err(failed(error));
    }
    Ok(Written { plan: writer.plan, split: paths })
}

/// Gives files their names, in this order: all of them, or none.
pub(crate) fn commit_all(outputs: Vec<(PathBuf, Output)>) -> Result<(), Error> {
    let mut done = Vec::new();
    for (path, output) in outputs {
        if let Err(error) = output.commit(false) {
            // it may have its name, and not be known to be on the disk
            if error.kind() != io::ErrorKind::AlreadyExists {
                done.push(path.clone());
            }
            remove(&done);
            return Err(Error::Write { path, error });
        }
        done.push(path);
    }
    Ok(())
}

/// Files that were to come together with one that could not.
pub(crate) fn remove(paths: &[PathBuf]) {
    for path in paths {
        let _ = std::fs::remove_file(path);
    }
}

struct Writer<'a> {
    plan: Plan,
    definitions: &'a Definitions,
    contents: &'a Contents<'a>,
    options: &'a WriteOptions<'a>,
    /// Bytes of the text in signature partitions.
    texts: BTreeMap<usize, u64>,
}

impl<'a> Writer<'a> {
    fn failed(&self, error: io::Error) -> Error {
        Error::Write { path: self.plan.image.clone(), error }
    }

    fn definition(&self, partition: &PlannedPartition) -> Option<&'a Definition> {
        partition.definition.and_then(|index| self.definitions.list.get(index))
    }

    fn place(&self, partition: &PlannedPartition, key: &str) -> Place {
        let none = || Place { file: Path::new("").into(), line: 0 };
        self.definition(partition).map_or_else(none, |definition| definition.place(key))
    }

    /// What can be known to go wrong is refused before the first byte.
    fn refuse(&self) -> Result<(), Error> {
        if self.contents.has(&self.plan.image) {
            return Err(Error::OutputIsSource { path: self.plan.image.clone() });
        }
        for partition in self.plan.partitions.iter().filter(|partition| !partition.deferred) {
            let is_unsigned =
                matches!(partition.content, Content::Signature(_)) && self.options.signing.is_none();
            if is_unsigned && !self.options.leave_unsigned {
                return Err(Error::NoSigner { place: self.place(partition, "Verity") });
            }
            if let Some(path) = self.plan.split_path(partition)
                && (path.symlink_metadata().is_ok() || path == self.plan.image)
            {
                return Err(Error::Write { path, error: io::ErrorKind::AlreadyExists.into() });
            }
        }
        for partition in self.plan.partitions.iter().filter(|it| it.activity == Activity::Create) {
            self.contents.of(partition, self.definition(partition))?;
        }
        // a new tree over data that is there would have to be made of bytes that nobody chose, and the other way round
        for partition in self.plan.partitions.iter().filter(|it| it.guid.is_none() && it.tree.is_none()) {
            if !partition.deferred {
                return Err(PlanFault::HalfOfATree { place: self.place(partition, "Verity") }.into());
            }
        }
        // with any GUIDs where they are still to come
        let mut trial = self.plan.clone();
        for (number, partition) in (0..).zip(&mut trial.partitions) {
            partition.guid.get_or_insert(Guid::from_u128(u128::MAX ^ number));
        }
        trial.table().map(|_| ()).map_err(Error::Plan)
    }

    /// Copies the old image, and clears where new partitions will be.
    fn take_over(&self, image: &File) -> Result<(), Error> {
        let failed = |error| self.failed(error);
        let old = File::open(&self.plan.image).map_err(failed)?;
        let size = old.metadata().map_err(failed)?.len();
        copy(&old, 0, image, 0, size.min(self.plan.geometry.size)).map_err(failed)?;
        let mut clear = Vec::new();
        for partition in self.plan.partitions.iter().filter(|it| it.activity == Activity::Create) {
            clear.push((partition.offset, partition.size));
        }
        for (offset, size) in clear.into_iter().filter(|(_, size)| *size > 0) {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(image, flags, offset, size).map_err(|error| self.failed(error.into()))?;
        }
        Ok(())
    }

    fn partitions(&mut self, image: &File) -> Result<(), Error> {
        let mut order: Vec<usize> = (0..self.plan.partitions.len()).collect();
        order.sort_by_key(|index| self.plan.partitions.get(*index).map(|partition| partition.offset));
        for index in order {
            let Some(partition) = self.plan.partitions.get(index) else { continue };
            if partition.activity != Activity::Create || partition.deferred {
                continue;
            }
            if matches!(partition.content, Content::HashTree(_) | Content::Signature(_)) {
                continue;
            }
            let made;
            let mut blocks = self.contents.of(partition, self.definition(partition))?;
            if let (Some(Blocks::Files(tree)), Some(definition)) = (blocks, self.definition(partition)) {
                let (output, size) = self.contents.make_for(definition, partition, tree)?;
                made = Blocks::Made { output, size };
                blocks = Some(&made);
            }
            let tree = partition.tree.filter(|number| self.is_data_of(*number, index));
            match tree {
                Some(tree) => {
                    let root_hash = self.hashed(image, partition, blocks, tree)?;
                    self.set_root_hash(tree, root_hash)?;
                }
                None => self.plain(image, partition, blocks)?,
            }
        }
        Ok(())
    }

    /// Returns true if this partition is the data of this tree, which is written now.
    fn is_data_of(&self, tree: usize, index: usize) -> bool {
        let Some(tree) = self.plan.trees.get(tree) else { return false };
        let hash = self.plan.partitions.get(tree.hash);
        tree.data == index && hash.is_some_and(|hash| !hash.deferred)
    }

    fn plain(
        &self,
        image: &File,
        partition: &PlannedPartition,
        blocks: Option<&Blocks>,
    ) -> Result<(), Error> {
        let (file, offset, size) = match blocks {
            Some(Blocks::File { file, offset, size, .. }) => (file, *offset, *size),
            Some(Blocks::Made { output, size }) => (output.file(), 0, *size),
            Some(Blocks::Files(_)) | None => return Ok(()),
        };
        match copy(file, offset, image, partition.offset, size) {
            Ok(()) => self.unchanged(blocks),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.changed(blocks, SourceFault::Shrank))
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    fn changed(&self, blocks: Option<&Blocks>, fault: SourceFault) -> Error {
        let path = match blocks {
            Some(Blocks::File { path, .. }) => path.clone(),
            _ => self.plan.image.clone(),
        };
        Error::Changed { path, fault }
    }

    /// A file that changes while it is read gives an image of no one moment.
    fn unchanged(&self, blocks: Option<&Blocks>) -> Result<(), Error> {
        let Some(Blocks::File { file, offset, size, modified: Some(modified), .. }) = blocks else {
            return Ok(());
        };
        let now = file.metadata().map_err(|error| self.changed(blocks, SourceFault::Io(error)))?;
        let end = offset.saturating_add(*size);
        if now.len() < end {
            return Err(self.changed(blocks, SourceFault::Shrank));
        }
        match now.modified() {
            Ok(now) if now == *modified => Ok(()),
            _ => Err(self.changed(blocks, SourceFault::Rewritten)),
        }
    }

    /// Writes the data and hashes it in the same pass; then the tree is there too.
    fn hashed(
        &self,
        image: &File,
        partition: &PlannedPartition,
        blocks: Option<&Blocks>,
        tree: usize,
    ) -> Result<RootHash, Error> {
        let Some(planned) = self.plan.trees.get(tree) else { return Err(PlanFault::Unfinished.into()) };
        let Some(hash) = self.plan.partitions.get(planned.hash) else {
            return Err(PlanFault::Unfinished.into());
        };
        let (file, start, size) = match blocks {
            Some(Blocks::File { file, offset, size, .. }) => (Some(file), *offset, *size),
            Some(Blocks::Made { output, size }) => (Some(output.file()), 0, *size),
            Some(Blocks::Files(_)) | None => (None, 0, 0),
        };
        let nothing: &[u8] = &[];
        let source: Box<dyn ReadAt> = match file {
            Some(file) => {
                let section = file
                    .try_clone()
                    .and_then(FileSource::new)
                    .and_then(|source| Section::new(source, start, size));
                Box::new(section.map_err(|error| match error.kind() {
                    io::ErrorKind::UnexpectedEof => self.changed(blocks, SourceFault::Shrank),
                    _ => self.changed(blocks, SourceFault::Io(error)),
                })?)
            }
            None => Box::new(nothing),
        };
        let over = planned.params.data_size();
        let tee =
            Tee { source: &*source, size: over, image, offset: partition.offset, failed: Mutex::new(None) };
        let builder = HashTree::new(planned.params, Placement::Superblock(0)).map_err(Error::Verity)?;
        let sink = Shifted { image, offset: hash.offset };
        let mut options = Options::new();
        if let Some(threads) = self.options.threads {
            options = options.threads(threads);
        }
        let built = builder.build(&tee, &sink, &options);
        if let Some(error) = tee.failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(self.failed(error));
        }
        let root_hash = built.map_err(|error| match error {
            ddi_verity::Error::Io { storage: ddi_verity::Storage::Hash, error, .. } => self.failed(error),
            ddi_verity::Error::Io { error, .. } if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.changed(blocks, SourceFault::Shrank)
            }
            ddi_verity::Error::Io { error, .. } => self.changed(blocks, SourceFault::Io(error)),
            error => Error::Verity(error),
        })?;
        // what is behind the last whole block, where the faults of systemd-repart are asked for
        if let Some(file) = file.filter(|_| size > over) {
            let rest = size.saturating_sub(over);
            let (from, to) = (start.saturating_add(over), partition.offset.saturating_add(over));
            copy(file, from, image, to, rest).map_err(|error| self.failed(error))?;
        }
        self.unchanged(blocks)?;
        let superblock = Superblock { params: planned.params, uuid: planned.uuid.to_uuid() };
        image.write_all_at(hash.offset, &superblock.to_bytes()).map_err(|error| self.failed(error))?;
        Ok(root_hash)
    }

    /// The GUIDs follow from the root hash, unless they were set.
    fn set_root_hash(&mut self, tree: usize, root_hash: RootHash) -> Result<(), Error> {
        let (data, hash) =
            verity_guids(root_hash.as_bytes()).map_err(|error| Error::Plan(PlanFault::Table(error)))?;
        let Some(planned) = self.plan.trees.get_mut(tree) else { return Ok(()) };
        planned.root_hash = Some(root_hash);
        for (index, guid) in [(planned.data, data), (planned.hash, hash)] {
            if let Some(partition) = self.plan.partitions.get_mut(index) {
                partition.guid.get_or_insert(guid);
            }
        }
        Ok(())
    }

    fn signatures(&mut self, image: &File) -> Result<(), Error> {
        let mut texts = BTreeMap::new();
        for (index, partition) in self.plan.partitions.iter().enumerate() {
            let Content::Signature(tree) = partition.content else { continue };
            if partition.deferred || partition.activity != Activity::Create {
                continue;
            }
            if self.options.signing.is_none() && self.options.leave_unsigned {
                // what was there before is no signature of this
                let empty = vec![0; usize::try_from(partition.size).unwrap_or(0)];
                image.write_all_at(partition.offset, &empty).map_err(|error| self.failed(error))?;
                continue;
            }
            let root_hash =
                self.plan.trees.get(tree).and_then(|tree| tree.root_hash).ok_or(PlanFault::Unfinished)?;
            let no_signer = || Error::NoSigner { place: self.place(partition, "Verity") };
            let Signing { signer, certificate, bind } = self.options.signing.ok_or_else(no_signer)?;
            let params = self.plan.trees.get(tree).map(|tree| tree.params);
            let options = match params.filter(|_| bind) {
                Some(params) => SignOptions::new().bind(params),
                None => SignOptions::new(),
            };
            let signed = signer.sign(certificate, &root_hash, &options).map_err(Error::Sign)?;
            let size = usize::try_from(partition.size).unwrap_or(usize::MAX);
            let bytes = signed.to_root_hash_signature().to_partition(size).map_err(Error::Sign)?;
            let text = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            texts.insert(index, u64::try_from(text).unwrap_or_default());
            write_sparse(image, partition.offset, &bytes).map_err(|error| self.failed(error))?;
        }
        self.texts = texts;
        Ok(())
    }

    /// Each partition as a file of its own, complete and still without a name.
    fn split(&self, image: &File) -> Result<Vec<(PathBuf, Output)>, Error> {
        self.plan.check_split_names()?;
        let mut outputs = Vec::new();
        for (index, partition) in self.plan.partitions.iter().enumerate() {
            let Some(path) = self.plan.split_path(partition) else { continue };
            let failed = |error| Error::Write { path: path.clone(), error };
            let output = Output::create(&path).map_err(failed)?;
            let size = match (self.plan.compatibility, self.texts.get(&index)) {
                (Compatibility::Repart257, _) | (_, None) => partition.size,
                (_, Some(text)) => *text,
            };
            output.file().set_len(size).map_err(failed)?;
            copy(image, partition.offset, output.file(), 0, size).map_err(failed)?;
            outputs.push((path, output));
        }
        Ok(outputs)
    }
}

/// Part of the image, from its own offset on.
pub(crate) struct Shifted<'a> {
    pub(crate) image: &'a File,
    pub(crate) offset: u64,
}

impl WriteAt for Shifted<'_> {
    fn write_all_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = self.offset.checked_add(offset).ok_or(io::ErrorKind::FileTooLarge)?;
        self.image.write_all_at(offset, bytes)
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
