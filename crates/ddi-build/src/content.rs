//! What partitions are filled with: files to be copied, and file systems made by programs of others.

pub(crate) mod bytes;
mod ext4;
mod graft;
mod tar;
pub(crate) mod tree;
mod vfat;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use ddi_gpt::{Guid, Seed};
use rustix::fs::{OFlags, SeekFrom};

use bytes::Bytes;
pub use tree::Owners;
use tree::{Kind, Tree, show_key};

use crate::archive::Archive;
use crate::definitions::{CopyBlocks, Definition, Definitions, Format, Notice};
use crate::error::{DefinitionFault, Error, SourceFault, ToolFault};
use crate::output::Output;
use crate::plan::{PlannedPartition, Sizes};
use crate::root::Root;
use crate::tools::Tools;

/// Where files come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    Folder(&'a Root),
    Archive(&'a Archive),
}

/// How contents are made.
#[derive(Debug)]
pub struct ContentOptions<'a> {
    root: &'a Root,
    pub(crate) copy_source: Source<'a>,
    folder: PathBuf,
    pub(crate) guid: Guid,
    seed: Seed,
    sector_size: u32,
    epoch: Option<u64>,
    pub(crate) owners: Owners,
    threads: Option<usize>,
    tools: &'a Tools,
    pub(crate) files: Vec<(String, Arc<[u8]>)>,
}

impl<'a> ContentOptions<'a> {
    /// Files of `CopyBlocks=` and `CopyFiles=` below this root; the tools make file systems.
    pub fn new(root: &'a Root, tools: &'a Tools, seed: Guid) -> Self {
        Self {
            root,
            copy_source: Source::Folder(root),
            folder: "/var/tmp".into(),
            guid: seed,
            seed: Seed::new(seed),
            sector_size: 4096,
            epoch: None,
            owners: Owners::Root,
            threads: None,
            tools,
            files: Vec::new(),
        }
    }

    /// Files of `CopyFiles=` below another root (`--copy-source=`).
    #[must_use]
    pub fn copy_source(mut self, root: &'a Root) -> Self {
        self.copy_source = Source::Folder(root);
        self
    }

    /// Files of `CopyFiles=` from an archive.
    #[must_use]
    pub fn copy_archive(mut self, archive: &'a Archive) -> Self {
        self.copy_source = Source::Archive(archive);
        self
    }

    /// Where files are that are needed for a while, without a name: best where the image will be. `/var/tmp` unless told.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    /// A file that every file system gets at this path, in place of what may be copied there: root's, with mode 0644.
    #[must_use]
    pub fn file(mut self, path: impl Into<String>, bytes: impl Into<Arc<[u8]>>) -> Self {
        self.files.push((path.into(), bytes.into()));
        self
    }

    /// Sector size of file systems (`--sector-size=`).
    #[must_use]
    pub fn sector_size(mut self, sector_size: u32) -> Self {
        self.sector_size = sector_size;
        self
    }

    /// `SOURCE_DATE_EPOCH`: no time in a file system is later. Without it, the newest time of the files stands for it.
    #[must_use]
    pub fn epoch(mut self, epoch: u64) -> Self {
        self.epoch = Some(epoch);
        self
    }

    /// Whose the files are.
    #[must_use]
    pub fn owners(mut self, owners: Owners) -> Self {
        self.owners = owners;
        self
    }

    /// At most so many threads, where a program can be told.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }
}

/// Bytes that a partition is filled with.
#[derive(Debug)]
pub(crate) enum Blocks {
    /// A file, or part of one.
    File { file: File, path: PathBuf, offset: u64, size: u64, modified: Option<std::time::SystemTime> },
    /// A file system that was made to know its size.
    Made { output: Output, size: u64 },
    /// One that is made when its size is known.
    Files(Tree),
}

/// The contents of all partitions: sources are open, file systems with `Minimize=` are made, files are listed.
#[derive(Debug)]
pub struct Contents<'a> {
    pub(crate) options: ContentOptions<'a>,
    pub(crate) blocks: BTreeMap<usize, Blocks>,
    /// With the files of a supplement, where a definition has one.
    joined: BTreeMap<usize, Blocks>,
    sizes: Sizes,
    notices: Vec<Notice>,
}

impl<'a> Contents<'a> {
    /// Opens and makes what the definitions name.
    ///
    /// # Errors
    /// [`Error::Definition`] for what is not done, [`Error::Source`], [`Error::Tool`].
    pub fn prepare(definitions: &Definitions, options: ContentOptions<'a>) -> Result<Self, Error> {
        definitions.check_buildable()?;
        let mut contents = Self {
            options,
            blocks: BTreeMap::new(),
            joined: BTreeMap::new(),
            sizes: Sizes::new(),
            notices: Vec::new(),
        };
        // what can be refused is refused before programs run
        for (index, definition) in definitions.list.iter().enumerate() {
            contents.open(index, definition, definitions)?;
        }
        let uuids = definitions.file_system_uuids(contents.options.seed);
        for (index, definition) in definitions.list.iter().enumerate() {
            let uuid = uuids.get(index).copied().unwrap_or_default();
            contents.minimize(index, definition, uuid)?;
        }
        Ok(contents)
    }

    /// How large they are.
    pub fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// What a person should know.
    pub fn notices(&self) -> &[Notice] {
        &self.notices
    }

    /// Returns true if this is one of the files that are copied.
    pub(crate) fn has(&self, path: &Path) -> bool {
        self.blocks.values().any(|blocks| match blocks {
            Blocks::File { file, .. } => Output::is_same(path, file),
            _ => false,
        })
    }

    fn open(
        &mut self,
        index: usize,
        definition: &Definition,
        definitions: &Definitions,
    ) -> Result<(), Error> {
        match &definition.copy_blocks {
            Some(CopyBlocks::File(path)) => {
                let shown = self.options.root.show(path.as_ref());
                let fail = |fault| Error::Source {
                    place: definition.place("CopyBlocks"),
                    path: shown.clone(),
                    fault,
                };
                let file = self.options.root.open_at(path.as_str(), OFlags::RDONLY);
                let file = file.map_err(|error| fail(SourceFault::Io(error)))?;
                let found = file.metadata().map_err(|error| fail(SourceFault::Io(error)))?;
                use std::os::unix::fs::FileTypeExt;
                if !found.is_file() && !found.file_type().is_block_device() {
                    return Err(fail(SourceFault::NotBlocks));
                }
                // the metadata of a block device has no size
                let size = rustix::fs::seek(&file, SeekFrom::End(0))
                    .map_err(|error| fail(SourceFault::Io(error.into())))?;
                self.sizes.set(index, size);
                let modified = found.modified().ok().filter(|_| found.is_file());
                self.blocks.insert(index, Blocks::File { file, path: shown, offset: 0, size, modified });
            }
            Some(CopyBlocks::Range { image, offset, size }) => {
                let fail = |error| Error::Read { path: image.clone(), error };
                let file = File::open(image).map_err(fail)?;
                let modified = file.metadata().map_err(fail)?.modified().ok();
                self.sizes.set(index, *size);
                let blocks =
                    Blocks::File { file, path: image.clone(), offset: *offset, size: *size, modified };
                self.blocks.insert(index, blocks);
            }
            // `check_buildable` has refused it
            Some(CopyBlocks::Auto) => {}
            None => match &definition.format {
                Some(Format::Empty | Format::Other(_)) | None => {}
                Some(_) => {
                    let tree = self.gather(definition, definition, definitions)?;
                    self.blocks.insert(index, tree);
                    // both are kept: the plan decides if the supplement becomes part of it
                    if let Some(joined) = definitions.with_supplement(definition) {
                        let tree = self.gather(&joined, definition, definitions)?;
                        self.joined.insert(index, tree);
                    }
                }
            },
        }
        Ok(())
    }

    /// The files that a definition names; `listed` is the same one among all.
    fn gather(
        &mut self,
        definition: &Definition,
        listed: &Definition,
        definitions: &Definitions,
    ) -> Result<Blocks, Error> {
        let tree = Tree::gather((definition, listed), definitions, &self.options, &mut self.notices)?;
        if let Some(format) = &definition.format {
            check_format(format, definition, &tree)?;
        }
        Ok(Blocks::Files(tree))
    }

    /// What a partition is filled with, files of its supplement included.
    ///
    /// # Errors
    /// [`DefinitionFault::SupplementApart`].
    pub(crate) fn of(
        &self,
        partition: &PlannedPartition,
        definition: Option<&Definition>,
    ) -> Result<Option<&Blocks>, Error> {
        let Some(index) = partition.definition else { return Ok(None) };
        match (self.joined.get(&index), definition) {
            (Some(joined), _) if !partition.supplements.is_empty() => Ok(Some(joined)),
            // its size was reckoned with the files of both
            (Some(_), Some(definition)) if definition.is_minimized() => {
                Err(Error::at(&definition.place("Minimize"), DefinitionFault::SupplementApart))
            }
            _ => Ok(self.blocks.get(&index)),
        }
    }

    fn minimize(&mut self, index: usize, definition: &Definition, uuid: Guid) -> Result<(), Error> {
        let Some(format) = definition.format.as_ref().filter(|_| definition.is_minimized()) else {
            return Ok(());
        };
        if !format.is_read_only() {
            let fault = DefinitionFault::Unsupported { key: "Minimize", value: Some("guess".to_owned()) };
            return Err(Error::at(&definition.place("Minimize"), fault));
        }
        let has_supplement = self.joined.contains_key(&index);
        let from = if has_supplement { &mut self.joined } else { &mut self.blocks };
        let Some(Blocks::Files(tree)) = from.remove(&index) else { return Ok(()) };
        let output = self.unnamed()?;
        self.make(definition, &tree, uuid, self.options.sector_size, "", &output)?;
        let size = crate::tools::size_of(output.file()).map_err(|error| self.temporary(error))?;
        if size == 0 || !size.is_multiple_of(512) {
            let what = "made a file system that does not end with a sector";
            return Err(Error::Tool { name: program(format), fault: ToolFault::Nonsense { what } });
        }
        self.sizes.set(index, size);
        let to = if has_supplement { &mut self.joined } else { &mut self.blocks };
        to.insert(index, Blocks::Made { output, size });
        Ok(())
    }

    fn temporary(&self, error: io::Error) -> Error {
        Error::Write { path: self.options.folder.clone(), error }
    }

    fn unnamed(&self) -> Result<Output, Error> {
        Output::unnamed(&self.options.folder).map_err(|error| self.temporary(error))
    }

    /// Makes the file system of a partition whose size is known.
    pub(crate) fn make_for(
        &self,
        definition: &Definition,
        partition: &PlannedPartition,
        tree: &Tree,
    ) -> Result<(Output, u64), Error> {
        let output = self.unnamed()?;
        output.file().set_len(partition.size).map_err(|error| self.temporary(error))?;
        let (uuid, sector) = (partition.file_system_uuid, partition.file_system_sector_size);
        self.make(definition, tree, uuid, sector, &partition.label, &output)?;
        let size = crate::tools::size_of(output.file()).map_err(|error| self.temporary(error))?;
        if size > partition.size {
            let place = definition.place("Format");
            return Err(Error::FileSystemDoesNotFit { place, size, room: partition.size });
        }
        Ok((output, size))
    }

    fn make(
        &self,
        definition: &Definition,
        tree: &Tree,
        uuid: Guid,
        sector: u32,
        label: &str,
        output: &Output,
    ) -> Result<(), Error> {
        let Some(format) = &definition.format else { return Ok(()) };
        let name = program(format);
        let epoch = self.options.epoch.unwrap_or_else(|| tree.newest());
        let call = self.options.tools.call(name, Some(epoch))?;
        let node = output.path_for_children().into_os_string();
        let text = |text: &str| OsString::from(text);
        let level = definition.compression_level.as_deref();
        match format {
            Format::Erofs => {
                if call.version().is_some_and(|version| version < (1, 7)) {
                    let (version, needed) = (call.version_text().to_owned(), "1.7");
                    return Err(Error::Tool { name, fault: ToolFault::TooOld { version, needed } });
                }
                let mut args = vec![text("-U"), text(&uuid.to_string()), text("--quiet")];
                if let Some(compression) = &definition.compression {
                    let level = level.map(|level| format!(",level={level}")).unwrap_or_default();
                    args.push(text(&format!("-z{compression}{level}")));
                }
                args.extend([text("--tar=f"), node]);
                call.args(args).run_fed(|out| tree.write_tar(epoch, out))
            }
            Format::Squashfs => {
                let mut args = vec![
                    text("-"),
                    node,
                    text("-tar"),
                    text("-noappend"),
                    text("-no-progress"),
                    text("-quiet"),
                ];
                if let Some(compression) = &definition.compression {
                    args.extend([text("-comp"), text(compression)]);
                }
                if let Some(level) = level {
                    args.extend([text("-Xcompression-level"), text(level)]);
                }
                // of a stream it takes all but the root, which it would make open to everybody, and of now (version 4.5 heeds
                // the mode alone)
                let root = tree.root();
                let time =
                    root.mtime.map_or(epoch, |(seconds, _)| u64::try_from(seconds).unwrap_or_default());
                for (option, value) in [
                    ("-root-mode", format!("{:o}", root.mode)),
                    ("-root-uid", root.owner.0.to_string()),
                    ("-root-gid", root.owner.1.to_string()),
                    ("-root-time", time.min(epoch).to_string()),
                ] {
                    args.extend([text(option), text(&value)]);
                }
                if let Some(threads) = self.options.threads {
                    args.extend([text("-processors"), text(&threads.to_string())]);
                }
                call.args(args).run_fed(|out| tree.write_tar(epoch, out))
            }
            Format::Vfat => {
                let serial = uuid.to_uuid();
                let serial: String = serial.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
                let label = vfat_label(label);
                let mut args = vec![text("-i"), text(&serial)];
                if !label.is_empty() {
                    args.extend([text("-n"), text(&label)]);
                }
                args.extend([text("-F"), text("32"), text("-S"), text(&sector.to_string()), node.clone()]);
                call.args(args).run()?;
                vfat::set_label_time(output.file(), epoch).map_err(|error| self.temporary(error))?;
                self.fill_vfat(tree, epoch, &node)
            }
            Format::Ext4 => {
                let options = format!("discard,lazy_itable_init=1,hash_seed={uuid}");
                let args = [
                    text("-q"),
                    text("-L"),
                    text(cut(label, 16)),
                    text("-U"),
                    text(&uuid.to_string()),
                    text("-I"),
                    text("256"),
                    text("-m"),
                    text("0"),
                    text("-E"),
                    text(&options),
                    text("-b"),
                    text("4096"),
                    text("-T"),
                    text("default"),
                    node,
                ];
                call.args(args).env("MKE2FS_DEVICE_SECTSIZE", &sector.to_string()).run()?;
                match definition.has_content() || tree.has_more_than_a_root() {
                    true => self.fill_ext4(tree, epoch, output),
                    false => Ok(()),
                }
            }
            Format::Swap => {
                let args = [text("-L"), text(cut(label, 15)), text("-U"), text(&uuid.to_string()), node];
                call.args(args).run()
            }
            Format::Empty | Format::Other(_) => Ok(()),
        }
    }

    /// Directories and files one by one, so that nothing has to be staged: a file's name here is not that on the disk.
    fn fill_vfat(&self, tree: &Tree, epoch: u64, node: &OsString) -> Result<(), Error> {
        for (key, entry) in tree.entries().filter(|(key, _)| !key.is_empty()) {
            let mut target = OsString::from("::");
            target.push(OsString::from_vec(show_key(key).into_bytes()));
            match &entry.kind {
                Kind::Directory => {
                    let args = [OsString::from("-i"), node.clone(), target];
                    self.options.tools.call("mmd", Some(epoch))?.args(args).run()?;
                }
                Kind::File { bytes, size, .. } => {
                    let file = self.as_file(bytes, *size, entry.mtime, epoch)?;
                    let source = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
                    let args = [
                        OsString::from("-p"),
                        OsString::from("-Q"),
                        OsString::from("-m"),
                        OsString::from("-i"),
                        node.clone(),
                        source.into(),
                        target,
                    ];
                    self.options.tools.call("mcopy", Some(epoch))?.args(args).run()?;
                    let fail = |fault| Error::Changed { path: bytes.shown(), fault };
                    let now = file.metadata().map_err(|error| fail(SourceFault::Io(error)))?.len();
                    match now.cmp(size) {
                        std::cmp::Ordering::Less => return Err(fail(SourceFault::Shrank)),
                        std::cmp::Ordering::Greater => return Err(fail(SourceFault::Grew)),
                        std::cmp::Ordering::Equal => {}
                    }
                }
                // refused before
                Kind::Symlink(_) | Kind::Fifo | Kind::Device { .. } => {}
            }
        }
        Ok(())
    }

    /// A file that a program can open: the one that is copied, or one without a name that has its bytes and time.
    fn as_file(
        &self,
        bytes: &Bytes,
        size: u64,
        mtime: Option<(i64, u32)>,
        epoch: u64,
    ) -> Result<File, Error> {
        if let Some(file) = bytes.open()? {
            return Ok(file);
        }
        let failed = |error| self.temporary(error);
        let mut file = ddi_io::unnamed_file(&self.options.folder).map_err(failed)?;
        bytes.copy_to(size, &mut vec![0; 256 << 10], &mut file)?.map_err(failed)?;
        let seconds = mtime.map_or(epoch, |(seconds, _)| u64::try_from(seconds).unwrap_or_default());
        let time = UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH);
        file.set_modified(time).map_err(failed)?;
        Ok(file)
    }
}

fn program(format: &Format) -> &'static str {
    match format {
        Format::Erofs => "mkfs.erofs",
        Format::Squashfs => "mksquashfs",
        Format::Vfat => "mkfs.vfat",
        Format::Ext4 => "mkfs.ext4",
        Format::Swap => "mkswap",
        Format::Empty | Format::Other(_) => "mkfs",
    }
}

/// What this file system cannot hold is refused before anything is made.
fn check_format(format: &Format, definition: &Definition, tree: &Tree) -> Result<(), Error> {
    if *format == Format::Ext4 {
        return ext4::check(definition, tree);
    }
    if *format != Format::Vfat {
        return Ok(());
    }
    for (key, entry) in tree.entries() {
        let kind = match entry.kind {
            Kind::Symlink(_) => "symbolic link",
            Kind::Fifo => "FIFO",
            Kind::Device { .. } => "device",
            _ => continue,
        };
        let (place, path) = (definition.place("CopyFiles"), PathBuf::from(show_key(key)));
        return Err(Error::Source { place, path, fault: SourceFault::Kind { kind } });
    }
    Ok(())
}

/// So many bytes at most, whole characters.
fn cut(label: &str, bytes: usize) -> &str {
    let fits = |end: &usize| *end <= bytes;
    let ends = label.char_indices().map(|(start, letter)| start.saturating_add(letter.len_utf8()));
    ends.take_while(fits).last().and_then(|end| label.get(..end)).unwrap_or_default()
}

/// As systemd makes a label fit for vfat.
fn vfat_label(label: &str) -> String {
    let fit = |letter: char| match letter {
        letter if !letter.is_ascii() || letter.is_ascii_control() => '_',
        letter if "*?.,;:/\\|+=<>[]\"".contains(letter) => '_',
        letter => letter.to_ascii_uppercase(),
    };
    label.chars().take(11).map(fit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_cut_at_characters() {
        assert_eq!(cut("abc", 16), "abc");
        assert_eq!(cut("aéb", 2), "a");
        assert_eq!(cut("aéb", 3), "aé");
        assert_eq!(cut("", 3), "");
        assert_eq!(vfat_label("root-x86-64 äé.longer"), "ROOT-X86-64");
        assert_eq!(vfat_label("a.b:ä"), "A_B__");
    }
}
