//! Where definitions come from: folders, or names and texts.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

use crate::error::{DefinitionFault, Error, Place};
use crate::root::Root;

/// Names that are taken in all folders together: far more than there are partitions.
const MAX_NAMES: usize = 4096;
/// Bytes of one file: 100,000 lines are less.
const MAX_FILE: u64 = 4 << 20;

/// One definition, its text and that of its drop-ins, in the order in which they are to be read.
#[derive(Debug)]
pub(super) struct Texts {
    /// Of the definition itself, without `.conf`.
    pub(super) name: String,
    pub(super) texts: Vec<(Arc<Path>, String)>,
}

/// A path, and the text there; `None` if it is a mask.
type Found = (Arc<Path>, Option<String>);

/// Files of definitions, found and not yet merged.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// By name; the first one counts.
    definitions: BTreeMap<String, Found>,
    /// By the name of the definition, then by their own.
    drop_ins: BTreeMap<String, BTreeMap<String, Found>>,
    names: usize,
    /// What folders and the links in them are looked up in; otherwise the system's root.
    root: Option<Root>,
}

impl Files {
    /// Files below a root.
    pub(super) fn below(root: &Root) -> Self {
        Self { root: Some(root.clone()), ..Self::default() }
    }

    /// What a path is called in messages.
    fn show(&self, path: &Path) -> PathBuf {
        self.root.as_ref().map_or_else(|| path.to_owned(), |root| root.show(path.as_os_str()))
    }

    fn open(&self, path: &Path, flags: OFlags) -> io::Result<File> {
        match &self.root {
            Some(root) => root.open_at(path, flags),
            None => {
                let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
                Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
            }
        }
    }

    fn count(&mut self) -> Result<(), Error> {
        self.names = self.names.saturating_add(1);
        if self.names > MAX_NAMES {
            return Err(Error::TooMany { what: "files of definitions", max: MAX_NAMES });
        }
        Ok(())
    }

    /// A text under its name, which has the folder in it if it is a drop-in: `10-root.conf.d/50-size.conf`.
    pub(super) fn add(&mut self, name: &str, text: &str) -> Result<(), Error> {
        self.count()?;
        let path: Arc<Path> = Path::new(name).into();
        let text = Some(text.to_owned()).filter(|text| !text.is_empty());
        let (folder, own) = match name.rsplit_once('/') {
            Some((folder, own)) => (folder.rsplit_once('/').map_or(folder, |(_, last)| last), own),
            None => ("", name),
        };
        if !own.ends_with(".conf") {
            return Ok(());
        }
        match folder.strip_suffix(".d").filter(|of| of.ends_with(".conf")) {
            Some(of) => {
                let drop_ins = self.drop_ins.entry(of.to_owned()).or_default();
                drop_ins.entry(own.to_owned()).or_insert((path, text));
            }
            None => _ = self.definitions.entry(own.to_owned()).or_insert((path, text)),
        }
        Ok(())
    }

    /// The files of a folder, which comes behind those that were added before. One that is not there is empty if it need not be.
    pub(super) fn add_folder(&mut self, folder: &Path, required: bool) -> Result<(), Error> {
        for (name, path) in self.list(folder, required)? {
            if name.ends_with(".conf") && !self.definitions.contains_key(&name) {
                let found = self.read(&path)?;
                self.definitions.insert(name, found);
            } else if let Some(of) = name.strip_suffix(".d").filter(|of| of.ends_with(".conf")) {
                let of = of.to_owned();
                for (name, path) in self.list(&path, false)? {
                    let is_known = self.drop_ins.get(&of).is_some_and(|known| known.contains_key(&name));
                    if name.ends_with(".conf") && !is_known {
                        let found = self.read(&path)?;
                        self.drop_ins.entry(of.clone()).or_default().insert(name, found);
                    }
                }
            }
        }
        Ok(())
    }

    fn list(&mut self, folder: &Path, required: bool) -> Result<Vec<(String, PathBuf)>, Error> {
        let shown = self.show(folder);
        let failed = |error: io::Error| Error::Read { path: shown.clone(), error };
        let opened = match self.open(folder, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(opened) => opened,
            Err(error) if !required && is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let entries = rustix::fs::Dir::read_from(&opened).map_err(|error| failed(error.into()))?;
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| failed(error.into()))?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            self.count()?;
            // a name that is not UTF-8 can be that of no definition: it would have to be named in messages and in JSON
            if let Ok(name) = name.to_str() {
                found.push((name.to_owned(), folder.join(name)));
            }
        }
        // which of several faults is told does not depend on the file system
        found.sort();
        Ok(found)
    }

    /// The text of a file; `None` if it is masked: empty, or a link to `/dev/null`, which need not be there below a root.
    fn read(&self, path: &Path) -> Result<Found, Error> {
        let shown: Arc<Path> = self.show(path).into();
        let failed = |error: io::Error| Error::Read { path: PathBuf::from(&*shown), error };
        let file = match self.open(path, OFlags::RDONLY) {
            Ok(file) => file,
            Err(error) if is_absent(&error) && self.is_link_to_null(path) => return Ok((shown, None)),
            Err(error) => return Err(failed(error)),
        };
        let found = file.metadata().map_err(failed)?;
        let is_null = found.file_type().is_char_device() && found.rdev() == rustix::fs::makedev(1, 3);
        if is_null || self.is_link_to_null(path) {
            return Ok((shown, None));
        }
        if !found.is_file() {
            return Err(Error::at(&Place::whole(&shown), DefinitionFault::NotAFile));
        }
        let mut bytes = Vec::new();
        file.take(MAX_FILE.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        if u64::try_from(bytes.len()).is_ok_and(|len| len > MAX_FILE) {
            return Err(Error::at(&Place::whole(&shown), DefinitionFault::TooLarge { max: MAX_FILE }));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok((shown, Some(text).filter(|text| !text.is_empty()))),
            Err(error) => {
                let offset = error.utf8_error().valid_up_to();
                Err(Error::at(&Place::whole(&shown), DefinitionFault::NotUtf8 { offset }))
            }
        }
    }

    fn is_link_to_null(&self, path: &Path) -> bool {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return false };
        let Ok(folder) = self.open(folder, OFlags::PATH | OFlags::DIRECTORY) else { return false };
        rustix::fs::readlinkat(folder, name, Vec::new()).is_ok_and(|target| target.as_bytes() == b"/dev/null")
    }

    /// What is not masked, in order.
    pub(super) fn merge(mut self) -> Vec<Texts> {
        let mut merged = Vec::new();
        for (name, (path, text)) in self.definitions {
            let Some(text) = text else { continue };
            let mut texts = vec![(path, text)];
            for (path, text) in self.drop_ins.remove(&name).unwrap_or_default().into_values() {
                texts.extend(text.map(|text| (path, text)));
            }
            let name = name.strip_suffix(".conf").unwrap_or(&name).to_owned();
            merged.push(Texts { name, texts });
        }
        merged
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
