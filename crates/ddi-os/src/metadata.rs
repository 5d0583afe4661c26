//! What the files of an image say about it: os-release, machine-id, extension-release and the like.
//!
//! [`Metadata::read`] looks where `systemd-dissect` looks (`dissected_image_acquire_metadata`), in a
//! [`Vfs`] instead of in a mount: the root file system with `/usr` mounted over it, and nothing else. Links are
//! resolved inside the image. A missing file is no problem; one that cannot be read or understood is told as such,
//! and keeps nothing else from being read.
//!
//! A fact is no better than the file systems it was found through: `/etc/os-release` may be a link from an unproven
//! root into a proven `/usr`. So what is read here is proven if **all** file systems of the tree are.

mod env_file;
mod extension_release;
mod hostname;
mod machine_id;

use std::fmt;

pub use env_file::{EnvFile, EnvFileError};
pub use extension_release::{
    ExtensionClass, ExtensionRelease, NameRule, Passed, PassedOver, is_image_name, parse_boolean,
};
pub use hostname::clean_hostname;
pub use machine_id::MachineId;

use ddi_fs::{self as files, Vfs};

/// Largest file that is looked at. An os-release has some hundred bytes.
pub const MAX_FILE: u64 = 64 << 10;

/// Where each kind of file is looked for; the first one that is there is it.
const HOSTNAME: &[&[u8]] = &[b"/etc/hostname"];
const MACHINE_ID: &[&[u8]] = &[b"/etc/machine-id"];
const MACHINE_INFO: &[&[u8]] = &[b"/etc/machine-info"];
const OS_RELEASE: &[&[u8]] = &[b"/etc/os-release", b"/usr/lib/os-release"];
const INITRD_RELEASE: &[&[u8]] = &[b"/etc/initrd-release", b"/usr/lib/initrd-release"];
/// An init system on a merged `/usr`, on a system without that, and where the kernel looks.
const INIT: &[&[u8]] = &[b"/usr/lib/systemd/systemd", b"/lib/systemd/systemd", b"/sbin/init"];

/// Why one of the facts is missing though its file is there.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    File(files::Error),
    /// It is not what it should be.
    EnvFile(EnvFileError),
    /// Its only line is no host name, whatever is left out of it.
    Hostname,
    /// Two extension-release files could be meant. systemd ends with `ENOTUNIQ`.
    AmbiguousExtension,
}

impl Error {
    /// Stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Error::File(error) => error.code(),
            Error::EnvFile(error) => error.code(),
            Error::Hostname => "invalid-hostname",
            Error::AmbiguousExtension => "ambiguous-extension-release",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::File(error) => error.fmt(f),
            Error::EnvFile(error) => error.fmt(f),
            Error::Hostname => f.write_str("not a host name"),
            Error::AmbiguousExtension => f.write_str("more than one extension-release file could be meant"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Error::File(error) => Some(error),
            Error::EnvFile(error) => Some(error),
            Error::Hostname | Error::AmbiguousExtension => None,
        }
    }
}

impl From<files::Error> for Error {
    fn from(error: files::Error) -> Self {
        Error::File(error)
    }
}

/// A fact, and the file that it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// Where the file is, without links.
    pub path: Vec<u8>,
    /// What it says.
    pub value: T,
}

/// Nothing, something, or something that cannot be understood.
pub type Fact<T> = Result<Option<Found<T>>, Error>;

/// What the files of an image say about it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Metadata {
    /// `/etc/hostname`, cleaned as systemd does it.
    pub hostname: Fact<String>,
    /// `/etc/machine-id`.
    pub machine_id: Fact<MachineId>,
    /// `/etc/machine-info`.
    pub machine_info: Fact<EnvFile>,
    /// `/etc/os-release`, else `/usr/lib/os-release`.
    pub os_release: Fact<EnvFile>,
    /// `/etc/initrd-release`, else `/usr/lib/initrd-release`.
    pub initrd_release: Fact<EnvFile>,
    /// The extension-release file of a system extension.
    pub sysext_release: Result<ExtensionRelease, Error>,
    /// The extension-release file of a configuration extension.
    pub confext_release: Result<ExtensionRelease, Error>,
    /// True if there is an init system.
    pub has_init: bool,
}

impl Metadata {
    /// Reads all of it. `image_name` is that of the image file without suffixes, as
    /// `image_name` gives it; extensions are not looked for without one.
    pub fn read(tree: &Vfs, image_name: Option<&str>) -> Self {
        let env_file = |paths| {
            let Some(Found { path, value: bytes }) = first(tree, paths)? else { return Ok(None) };
            let value = EnvFile::parse(&bytes).map_err(Error::EnvFile)?;
            Ok(Some(Found { path, value }))
        };
        Metadata {
            hostname: read_hostname(tree),
            machine_id: first(tree, MACHINE_ID).map(|found| {
                found.map(|Found { path, value }| Found { path, value: MachineId::parse(&value) })
            }),
            machine_info: env_file(MACHINE_INFO),
            os_release: env_file(OS_RELEASE),
            initrd_release: env_file(INITRD_RELEASE),
            sysext_release: ExtensionRelease::find(tree, ExtensionClass::Sysext, image_name),
            confext_release: ExtensionRelease::find(tree, ExtensionClass::Confext, image_name),
            has_init: INIT.iter().any(|path| tree.resolve(path).is_ok()),
        }
    }

    /// State of the machine ID, a missing file included. `None` if it cannot be read.
    pub fn machine_id_state(&self) -> Option<MachineId> {
        let found = self.machine_id.as_ref().ok()?;
        Some(found.as_ref().map_or(MachineId::Missing, |found| found.value))
    }

    /// What the image can be used as. `has_esp` says whether there is an EFI system partition.
    pub fn use_as(&self, has_esp: bool) -> UseAs {
        fn fields(fact: &Fact<EnvFile>) -> Option<&EnvFile> {
            fact.as_ref().ok()?.as_ref().map(|found| &found.value)
        }
        let os = fields(&self.os_release);
        let has = |key| os.is_some_and(|os| os.get(key).is_some());
        let scopes = |release: &Result<ExtensionRelease, Error>| {
            release.as_ref().ok().and_then(ExtensionRelease::scopes).unwrap_or_default()
        };
        let (sysext, confext) = (scopes(&self.sysext_release), scopes(&self.confext_release));
        let contains = |scopes: &[String], scope: &str| scopes.iter().any(|known| known == scope);
        UseAs {
            bootable_uefi: has_esp && self.has_init,
            bootable_container: self.has_init,
            portable_service: has("PORTABLE_PREFIXES") || has("PORTABLE_SCOPE"),
            initrd: fields(&self.initrd_release).is_some_and(|fields| !fields.is_empty()),
            sysext: contains(&sysext, "system"),
            sysext_initrd: contains(&sysext, "initrd"),
            sysext_portable: contains(&sysext, "portable"),
            confext: contains(&confext, "system"),
            confext_initrd: contains(&confext, "initrd"),
            confext_portable: contains(&confext, "portable"),
        }
    }
}

/// What an image can be used as: the answers of `systemd-dissect`, in the order of its JSON.
#[expect(clippy::struct_excessive_bools, reason = "ten questions with an answer each")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UseAs {
    /// It has an ESP and an init system. What is in the ESP is not asked.
    pub bootable_uefi: bool,
    /// It has an init system.
    pub bootable_container: bool,
    /// It is an initrd: its initrd-release has a field.
    pub initrd: bool,
    /// Its os-release has `PORTABLE_PREFIXES` or `PORTABLE_SCOPE`, whatever they say.
    pub portable_service: bool,
    /// A system extension for the system.
    pub sysext: bool,
    /// A system extension for an initrd.
    pub sysext_initrd: bool,
    /// A system extension for a portable service.
    pub sysext_portable: bool,
    /// A configuration extension for the system.
    pub confext: bool,
    /// A configuration extension for an initrd.
    pub confext_initrd: bool,
    /// A configuration extension for a portable service.
    pub confext_portable: bool,
}

/// The first of `paths` that is there, with its path without links and its content.
fn first(tree: &Vfs, paths: &[&[u8]]) -> Result<Option<Found<Vec<u8>>>, Error> {
    for path in paths {
        match tree.locate(path, true) {
            Ok((place, path)) => return Ok(Some(Found { path, value: tree.read(place, MAX_FILE)? })),
            Err(error) if error.is_absent() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

fn read_hostname(tree: &Vfs) -> Fact<String> {
    let Some(Found { path, value: bytes }) = first(tree, HOSTNAME)? else { return Ok(None) };
    let mut lines = bytes.split(|byte| matches!(byte, b'\n' | b'\r' | 0)).map(<[u8]>::trim_ascii);
    let Some(line) = lines.find(|line| !line.is_empty() && line.first() != Some(&b'#')) else {
        return Ok(None);
    };
    let value = clean_hostname(line).ok_or(Error::Hostname)?;
    Ok(Some(Found { path, value }))
}

#[cfg(test)]
mod tests;
