//! The extension-release file: what makes an image a system or configuration extension.
//!
//! Source: systemd, `src/basic/os-util.c:open_extension_release_at`, `src/shared/extension-util.c`.

use std::ops::ControlFlow;

use super::{EnvFile, Error, Found, MAX_FILE};
use ddi_fs::{self as files, FileType, Limit, Place, Vfs};

/// The beginning of each such file's name; the name of the image follows.
const PREFIX: &[u8] = b"extension-release.";
/// A false value lets the file go with an image of any name.
const STRICT: &[u8] = b"user.extension-release.strict";
/// Most files that begin with the prefix: with more it is not known which one counts.
const MAX_CANDIDATES: usize = 100_000;
/// Most files that are remembered as not taken.
const MAX_PASSED_OVER: usize = 1000;

/// The two kinds of extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExtensionClass {
    /// A system extension: for `/usr` and `/opt`.
    Sysext,
    /// A configuration extension: for `/etc`.
    Confext,
}

impl ExtensionClass {
    /// Where the release file is.
    pub fn directory(self) -> &'static str {
        match self {
            ExtensionClass::Sysext => "/usr/lib/extension-release.d",
            ExtensionClass::Confext => "/etc/extension-release.d",
        }
    }

    /// The field that says where the extension may be used.
    pub fn scope_key(self) -> &'static str {
        match self {
            ExtensionClass::Sysext => "SYSEXT_SCOPE",
            ExtensionClass::Confext => "CONFEXT_SCOPE",
        }
    }

    /// The field that may stand for the version of the host.
    pub fn level_key(self) -> &'static str {
        match self {
            ExtensionClass::Sysext => "SYSEXT_LEVEL",
            ExtensionClass::Confext => "CONFEXT_LEVEL",
        }
    }

    /// The parts of the host that it extends.
    pub fn hierarchies(self) -> &'static [&'static str] {
        match self {
            ExtensionClass::Sysext => &["/usr", "/opt"],
            ExtensionClass::Confext => &["/etc"],
        }
    }

    /// As systemd names it.
    pub fn name(self) -> &'static str {
        match self {
            ExtensionClass::Sysext => "sysext",
            ExtensionClass::Confext => "confext",
        }
    }
}

/// Why a release file was taken for the one of the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NameRule {
    /// It has the image's name.
    Exact,
    /// It has the image's name up to the first `_` or `+`: what comes then is a version (systemd 256 and later).
    BaseName,
    /// Its xattr `user.extension-release.strict` is false.
    NotStrict,
}

/// Why a file beside was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Passed {
    /// It has another name, and no xattr lets it.
    OtherName,
    /// It has another name, and its xattr insists on that, or is no boolean.
    Strict,
    /// It is a link, a directory or the like: only under its exact name would it be followed.
    NotRegular,
    /// The name of no image can be like this.
    InvalidName,
}

/// A file in the directory that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// Its name.
    pub name: Vec<u8>,
    /// Why.
    pub why: Passed,
}

/// The release file of one class, or why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExtensionRelease {
    /// Which class was asked for.
    pub class: ExtensionClass,
    /// The file, and why it is the one.
    pub found: Option<(Found<EnvFile>, NameRule)>,
    /// Others that begin with `extension-release.`, if the directory was searched: then an image that looks like an
    /// extension is none.
    pub passed_over: Vec<PassedOver>,
}

/// One candidate of the search.
struct Candidate {
    place: Place,
    path: Vec<u8>,
    rule: NameRule,
}

impl ExtensionRelease {
    /// Looks for it. Without an image name there is none.
    ///
    /// # Errors
    /// [`Error::AmbiguousExtension`] if the search finds two; [`Error::File`] and [`Error::EnvFile`] if it cannot be
    /// read, or if there are too many files to search.
    pub fn find(tree: &Vfs, class: ExtensionClass, image_name: Option<&str>) -> Result<Self, Error> {
        let mut release = ExtensionRelease { class, found: None, passed_over: Vec::new() };
        let Some(image_name) = image_name.filter(|name| is_image_name(name)) else { return Ok(release) };
        let directory = class.directory().as_bytes();
        let exact = [directory, b"/", PREFIX, image_name.as_bytes()].concat();
        let candidate = match tree.locate(&exact, true) {
            Ok((place, path)) => Some(Candidate { place, path, rule: NameRule::Exact }),
            Err(error) if error.is_absent() => release.search(tree, directory, image_name)?,
            Err(error) => return Err(error.into()),
        };
        if let Some(Candidate { place, path, rule }) = candidate {
            let value = EnvFile::parse(&tree.read(place, MAX_FILE)?).map_err(Error::EnvFile)?;
            release.found = Some((Found { path, value }, rule));
        }
        Ok(release)
    }

    /// The fallback: any file of the directory that may have another name than the image.
    fn search(&mut self, tree: &Vfs, directory: &[u8], image_name: &str) -> Result<Option<Candidate>, Error> {
        let (dir, path) = match tree.locate(directory, true) {
            Ok(found) => found,
            Err(error) if error.is_absent() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut names: Vec<(Vec<u8>, Place)> = Vec::new();
        if tree.stat(dir)?.file_type != FileType::Directory {
            return Ok(None);
        }
        tree.list(dir, &mut |entry, place| {
            if entry.name.starts_with(PREFIX) {
                names.push((entry.name.to_vec(), place));
            }
            if names.len() <= MAX_CANDIDATES { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        if names.len() > MAX_CANDIDATES {
            return Err(files::Error::Budget(Limit::Entries).into());
        }
        names.sort();
        let base = image_name.split(['_', '+']).next().unwrap_or_default();
        let mut candidate = None;
        for (name, place) in names {
            match judge(tree, &name, place, base)? {
                Err(why) if self.passed_over.len() < MAX_PASSED_OVER => {
                    self.passed_over.push(PassedOver { name, why });
                }
                Err(_) => {}
                Ok(_) if candidate.is_some() => return Err(Error::AmbiguousExtension),
                Ok(rule) => {
                    candidate = Some(Candidate { place, path: [&*path, b"/", &name].concat(), rule });
                }
            }
        }
        Ok(candidate)
    }

    /// The fields of the file.
    pub fn fields(&self) -> Option<&EnvFile> {
        self.found.as_ref().map(|(found, _)| &found.value)
    }

    /// Where the extension may be used: `system`, `portable`, `initrd`. Without the field the first two.
    /// `None` if there is no release file.
    pub fn scopes(&self) -> Option<Vec<String>> {
        let fields = self.fields().filter(|fields| !fields.is_empty())?;
        Some(match fields.get(self.class.scope_key()) {
            Some(scopes) => scopes.split_ascii_whitespace().map(str::to_owned).collect(),
            None => vec!["system".to_owned(), "portable".to_owned()],
        })
    }
}

/// Decides whether that file is the one of an image whose name without a version is `base`, and by which rule.
fn judge(tree: &Vfs, name: &[u8], place: Place, base: &str) -> Result<Result<NameRule, Passed>, Error> {
    let suffix = name.get(PREFIX.len()..).unwrap_or_default();
    if !std::str::from_utf8(suffix).is_ok_and(is_image_name) {
        return Ok(Err(Passed::InvalidName));
    }
    if tree.stat(place)?.file_type != FileType::Regular {
        return Ok(Err(Passed::NotRegular));
    }
    if suffix == base.as_bytes() {
        return Ok(Ok(NameRule::BaseName));
    }
    let Some(strict) = tree.xattr(place, STRICT)? else { return Ok(Err(Passed::OtherName)) };
    let is_strict = std::str::from_utf8(&strict).ok().and_then(parse_boolean) != Some(false);
    Ok(if is_strict { Err(Passed::Strict) } else { Ok(NameRule::NotStrict) })
}

/// Returns true if an image can be called so: a file name without control characters that does not begin with `.#`.
pub fn is_image_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.len() <= 255
        && !name.starts_with(".#")
        && !name.contains(|c: char| c == '/' || c.is_ascii_control())
}

/// systemd's idea of a boolean.
pub fn parse_boolean(text: &str) -> Option<bool> {
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(&["1", "yes", "y", "true", "t", "on"]) {
        Some(true)
    } else if is(&["0", "no", "n", "false", "f", "off"]) {
        Some(false)
    } else {
        None
    }
}
