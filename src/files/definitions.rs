//! The definitions of partitions that an image brings along.

use std::ops::ControlFlow;

use ddi_build::DEFINITION_FOLDERS;
use ddi_fs::{Error, FileType, Place};
use ddi_os::metadata::EnvFile;

use super::{Opened, Stop};
use crate::cli::FilesArgs;

/// Bytes of one file, and names that are listed in all.
const MAX_FILE: u64 = 1 << 20;
const MAX_NAMES: usize = 4096;

/// What was found.
pub(crate) struct Found {
    /// Paths and texts, those that count first; an empty text is a mask.
    pub(crate) texts: Vec<(String, String)>,
    pub(crate) os_release: Option<EnvFile>,
}

/// Reads the definitions, and os-release, of an image.
pub(crate) fn read(args: &FilesArgs) -> Result<Found, Stop> {
    let opened = Opened::new(args)?;
    let mut reader = Reader { opened: &opened, names: 0, texts: Vec::new() };
    for folder in DEFINITION_FOLDERS {
        reader.folder(&format!("/{folder}"))?;
    }
    let texts = reader.texts;
    let mut os_release = None;
    for path in ["/etc/os-release", "/usr/lib/os-release"] {
        if let Some(text) = content(&opened, path)? {
            os_release = Some(
                EnvFile::parse(text.as_bytes())
                    .map_err(|error| Stop::from(anyhow::anyhow!("{path}: {error}")))?,
            );
            break;
        }
    }
    opened.allow(false)?;
    opened.meter.check()?;
    Ok(Found { texts, os_release })
}

struct Reader<'a> {
    opened: &'a Opened,
    names: usize,
    texts: Vec<(String, String)>,
}

impl Reader<'_> {
    fn folder(&mut self, path: &str) -> Result<(), Stop> {
        for name in self.list(path)? {
            let path = format!("{path}/{name}");
            if name.ends_with(".conf") {
                let text = content(self.opened, &path)?.unwrap_or_default();
                self.texts.push((path, text));
            } else if name.ends_with(".conf.d") {
                for name in self.list(&path)?.into_iter().filter(|name| name.ends_with(".conf")) {
                    let path = format!("{path}/{name}");
                    let text = content(self.opened, &path)?.unwrap_or_default();
                    self.texts.push((path, text));
                }
            }
        }
        Ok(())
    }

    fn list(&mut self, path: &str) -> Result<Vec<String>, Stop> {
        let Some(place) = find(self.opened, path)? else { return Ok(Vec::new()) };
        let fail = |error| Stop::at(path.as_bytes(), error);
        if self.opened.tree.stat(place).map_err(fail)?.file_type != FileType::Directory {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        let mut names = self.names;
        let listed = self.opened.tree.list(place, &mut |entry, _| {
            names += 1;
            // a name that is not UTF-8 is that of no definition
            found.extend(std::str::from_utf8(entry.name).map(str::to_owned));
            if names > MAX_NAMES { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        listed.map_err(fail)?;
        self.names = names;
        if names > MAX_NAMES {
            return Err(anyhow::anyhow!("{path}: more than {MAX_NAMES} files of definitions").into());
        }
        found.sort();
        Ok(found)
    }
}

/// What is at a path, links followed; `None` if nothing is.
fn find(opened: &Opened, path: &str) -> Result<Option<Place>, Stop> {
    match opened.files.locate(path.as_bytes(), true) {
        Ok((place, _)) => Ok(Some(place)),
        Err(Error::NotFound | Error::NotADirectory) => Ok(None),
        Err(error) => Err(Stop::at(path.as_bytes(), error)),
    }
}

/// The text of a file; `None` if it is masked or not there.
fn content(opened: &Opened, path: &str) -> Result<Option<String>, Stop> {
    let Some(place) = find(opened, path)? else { return Ok(None) };
    let fail = |error| Stop::at(path.as_bytes(), error);
    if opened.tree.stat(place).map_err(fail)?.file_type != FileType::Regular {
        return Ok(None);
    }
    let bytes = opened.tree.read(place, MAX_FILE).map_err(fail)?;
    String::from_utf8(bytes).map(Some).map_err(|_| anyhow::anyhow!("{path}: is not UTF-8").into())
}
