//! Unified kernel images (UAPI.5): a kernel with its initrd, its command line and more, as sections of one PE file.
//!
//! ```text
//!   PE headers │ stub │ .osrel .cmdline .initrd .linux … │ .profile .cmdline .pcrsig │ .profile .cmdline … │ certificates
//!                      └──────────── base ──────────────┘ └────── profile @0 ───────┘ └─── profile @1 ───┘   Authenticode
//! ```
//!
//! [`Uki::read`] takes the headers and the small sections; kernel, initrd and the like stay where they are. A profile
//! is what is in the base, with the sections of its own in place of those of the same name: see [`Uki::profile`].
//!
//! Nothing here authenticates anything: whether a file is signed is told, by whom is not asked. A command line in it is
//! the word of whoever wrote the file.

mod boot_name;
mod command_line;
mod pcrsig;
mod pe;

use std::{fmt, io};

use ddi_io::ReadAt;

pub use boot_name::{BootName, BootState, Counters, CountersTooLarge};
pub use command_line::CommandLine;
pub use pcrsig::{PcrSignatures, PcrSignaturesError};
pub use pe::{Machine, Pe, Section, SectionName};

use crate::metadata::EnvFile;

/// Most profiles that systemd knows (`UNIFIED_PROFILE_MAX`).
pub const MAX_PROFILES: usize = 256;
/// Largest of the sections that are read. The kernel takes command lines of 2 or 4 KiB, a signature has 600 bytes.
pub const MAX_TEXT: u32 = 64 << 10;
/// Most bytes of all sections that are read: 256 profiles with all that one can say.
const MAX_TEXTS: usize = 4 << 20;

/// Sections that are read.
const TEXTS: [&str; 7] = [".osrel", ".cmdline", ".uname", ".sbat", ".profile", ".pcrsig", ".pcrpkey"];
/// Sections of a UKI, in the order in which they are measured (UAPI.5).
const KNOWN: [&str; 16] = [
    ".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".dtbauto", ".efifw", ".hwids",
    ".uname", ".sbat", ".pcrsig", ".pcrpkey", ".profile", ".sdmagic",
];
/// Those of them that may come more than once.
const MANY: [&str; 2] = [".dtbauto", ".efifw"];
/// What makes an addon, where there is no kernel.
const ADDON: [&str; 5] = [".cmdline", ".dtb", ".dtbauto", ".ucode", ".initrd"];

/// Why a file is not understood.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The source failed.
    Io(io::Error),
    /// It is no PE file, or its headers are cut short.
    NotPe {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The section table does not end within the bytes that are looked at.
    HeadersTooLarge {
        /// Number of sections.
        sections: u16,
    },
    /// The bytes of a section do not lie in the file, or not behind the headers.
    SectionOutsideFile {
        /// Its name.
        name: SectionName,
        /// Where it begins in the file.
        offset: u32,
        /// Its bytes there.
        size: u32,
    },
    /// A section is not loaded into the memory that the headers ask for.
    SectionOutsideMemory {
        /// Its name.
        name: SectionName,
        /// Its address, from the start of the image in memory.
        address: u32,
        /// Its bytes there.
        size: u32,
    },
    /// Two sections share bytes of the file, or of memory: what is read depends on who reads.
    SectionsOverlap {
        /// The one that begins first.
        first: SectionName,
        /// The other.
        second: SectionName,
    },
    /// A section that should be small text is not.
    TextTooLarge {
        /// Its name.
        name: SectionName,
        /// Its size in memory.
        size: u32,
    },
    /// More profiles than systemd knows.
    TooManyProfiles,
}

impl Error {
    /// Stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Error::Io(_) => "uki-io",
            Error::NotPe { .. } => "uki-not-pe",
            Error::HeadersTooLarge { .. } => "uki-headers-too-large",
            Error::SectionOutsideFile { .. } => "uki-section-outside-file",
            Error::SectionOutsideMemory { .. } => "uki-section-outside-memory",
            Error::SectionsOverlap { .. } => "uki-sections-overlap",
            Error::TextTooLarge { .. } => "uki-text-too-large",
            Error::TooManyProfiles => "uki-too-many-profiles",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(error) => error.fmt(f),
            Error::NotPe { what } => write!(f, "not a PE file: {what}"),
            Error::HeadersTooLarge { sections } => {
                write!(f, "the headers of {sections} sections are too much")
            }
            Error::SectionOutsideFile { name, offset, size } => {
                write!(
                    f,
                    "section {name} has {size} bytes at byte {offset}, which is not all behind the headers and in the file"
                )
            }
            Error::SectionOutsideMemory { name, address, size } => {
                write!(
                    f,
                    "section {name} has {size} bytes at address {address:#x}, outside of the image in memory"
                )
            }
            Error::SectionsOverlap { first, second } => write!(f, "sections {first} and {second} overlap"),
            Error::TextTooLarge { name, size } => {
                write!(f, "section {name} has {size} bytes, at most {MAX_TEXT} are read")
            }
            Error::TooManyProfiles => write!(f, "more than {MAX_PROFILES} profiles"),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Error::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// What a PE file is, by its sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A unified kernel image: an EFI application with a kernel and an os-release.
    Uki,
    /// An addon of one: no kernel, and something that is added to it.
    Addon,
    /// Any other: a boot loader, a kernel alone.
    Other,
}

impl Kind {
    /// `uki`, `addon`, `other`.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Uki => "uki",
            Kind::Addon => "addon",
            Kind::Other => "other",
        }
    }
}

/// A section, and its content if that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Content {
    /// Name, place and sizes.
    pub section: Section,
    /// What it holds, as it is in memory: padding of the file left out, zeros added up to its size in memory.
    pub text: Option<Vec<u8>>,
}

impl Content {
    /// The text up to the first NUL.
    fn c_text(&self) -> Option<&[u8]> {
        self.text.as_deref()?.split(|byte| *byte == 0).next()
    }
}

/// A PE file that may be a unified kernel image, with its small sections.
///
/// ```
/// use ddi_os::uki::{Error, Uki};
/// assert!(matches!(Uki::read(&b"MZ".as_slice()), Err(Error::NotPe { .. })));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Uki {
    /// The headers.
    pub pe: Pe,
    /// What it is.
    pub kind: Kind,
    /// Whether each `.linux` begins as a PE file does; `None` if there is none.
    pub kernel_is_pe: Option<bool>,
    /// The sections before the first `.profile`; all of them if there is none.
    pub base: Vec<Content>,
    /// The sections of each profile, `.profile` first. Empty if there is none: then there is one profile, @0, that is
    /// the base.
    pub profiles: Vec<Vec<Content>>,
}

impl Uki {
    /// Reads headers and small sections: 128 KiB and 4 MiB at most.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub fn read(source: &dyn ReadAt) -> Result<Self, Error> {
        let pe = Pe::read(source)?;
        let mut base = Vec::new();
        let mut profiles: Vec<Vec<Content>> = Vec::new();
        let mut left = MAX_TEXTS;
        let mut kernel_is_pe = None;
        for section in &pe.sections {
            let is_text = section.name.is_one_of(&TEXTS);
            let text = is_text.then(|| section.read(source, &mut left)).transpose()?;
            if section.name.is(".linux") {
                let is_pe = section.begins_with(source, b"MZ")?;
                kernel_is_pe = Some(is_pe && kernel_is_pe.unwrap_or(true));
            }
            let content = Content { section: *section, text };
            if section.name.is(".profile") {
                if profiles.len() == MAX_PROFILES {
                    return Err(Error::TooManyProfiles);
                }
                profiles.push(Vec::new());
            }
            profiles.last_mut().unwrap_or(&mut base).push(content);
        }
        let mut uki = Uki { pe, kind: Kind::Other, kernel_is_pe, base, profiles };
        uki.kind = uki.find_kind();
        Ok(uki)
    }

    /// As systemd's `pe_is_uki` and `pe_is_addon`: those of the whole file, whatever the profile.
    fn find_kind(&self) -> Kind {
        let has = |name| self.has_section(name);
        if !self.pe.is_efi_application() {
            Kind::Other
        } else if has(".linux") {
            if has(".osrel") { Kind::Uki } else { Kind::Other }
        } else if ADDON.iter().any(|name| has(name)) {
            Kind::Addon
        } else {
            Kind::Other
        }
    }

    /// Returns true if there is such a section, in whatever profile.
    pub fn has_section(&self, name: &str) -> bool {
        self.pe.sections.iter().any(|section| section.name.is(name))
    }

    /// How many profiles there are: at least one.
    pub fn profile_count(&self) -> usize {
        self.profiles.len().max(1)
    }

    /// Profile `@number`. `None` if there is none of that number.
    pub fn profile(&self, number: usize) -> Option<Profile<'_>> {
        let own: &[Content] = match self.profiles.get(number) {
            Some(own) => own,
            None if number == 0 && self.profiles.is_empty() => &[],
            None => return None,
        };
        Some(Profile { number, base: &self.base, own })
    }

    /// All profiles, @0 first.
    pub fn profiles(&self) -> impl Iterator<Item = Profile<'_>> {
        (0..self.profile_count()).filter_map(|number| self.profile(number))
    }

    /// Sections that are there twice where once is allowed: in the base (`None`) or in that profile.
    pub fn duplicates(&self) -> Vec<(Option<usize>, SectionName)> {
        let groups = std::iter::once((None, &self.base))
            .chain(self.profiles.iter().enumerate().map(|(number, own)| (Some(number), own)));
        let mut found = Vec::new();
        for (profile, contents) in groups {
            for known in KNOWN.iter().filter(|known| !MANY.contains(known)) {
                let mut same = contents.iter().filter(|content| content.section.name.is(known));
                if let (Some(first), Some(_)) = (same.next(), same.next()) {
                    found.push((profile, first.section.name));
                }
            }
        }
        found
    }
}

/// One way to boot a unified kernel image.
#[derive(Debug, Clone, Copy)]
pub struct Profile<'a> {
    /// Its number, as in `@1`.
    pub number: usize,
    base: &'a [Content],
    own: &'a [Content],
}

impl<'a> Profile<'a> {
    /// The section of that name: the profile's own, else that of the base. Of several the first one.
    pub fn section(&self, name: &str) -> Option<&'a Content> {
        self.own.iter().chain(self.base).find(|content| content.section.name.is(name))
    }

    /// Returns true if the profile itself has such a section; for a file without profiles, if it has one at all.
    pub fn has_own(&self, name: &str) -> bool {
        let own = if self.own.is_empty() { self.base } else { self.own };
        own.iter().any(|content| content.section.name.is(name))
    }

    /// All sections that this profile is booted with, in the order of the file.
    pub fn sections(&self) -> impl Iterator<Item = &'a Content> {
        let own = self.own;
        let is_overridden =
            move |content: &&Content| own.iter().any(|own| own.section.name == content.section.name);
        self.base.iter().filter(move |content| !is_overridden(content)).chain(own)
    }

    /// `.osrel`, if there is one. `Err`: it is not UTF-8.
    pub fn os_release(&self) -> Option<Result<EnvFile, crate::metadata::EnvFileError>> {
        Some(EnvFile::parse(self.section(".osrel")?.c_text()?))
    }

    /// `.cmdline`, if there is one.
    pub fn command_line(&self) -> Option<CommandLine> {
        Some(CommandLine::parse(self.section(".cmdline")?.c_text()?))
    }

    /// `.uname`: what `uname -r` says on the kernel.
    pub fn uname(&self) -> Option<String> {
        let text = self.section(".uname")?.c_text()?;
        Some(String::from_utf8_lossy(text.trim_ascii()).into_owned())
    }

    /// `ID=` and `TITLE=` of `.profile`.
    pub fn identity(&self) -> (Option<String>, Option<String>) {
        let text =
            self.own.iter().find(|content| content.section.name.is(".profile")).and_then(Content::c_text);
        let Some(Ok(fields)) = text.map(EnvFile::parse) else { return (None, None) };
        let get = |key| fields.get_non_empty(key).map(str::to_owned);
        (get("ID"), get("TITLE"))
    }

    /// `.pcrsig`, if there is one.
    pub fn pcr_signatures(&self) -> Option<Result<PcrSignatures, PcrSignaturesError>> {
        Some(PcrSignatures::parse(self.section(".pcrsig")?.c_text()?))
    }
}

#[cfg(test)]
pub(crate) mod tests;
