//! The text of a definition, key by key.

use std::path::Path;

use ddi_gpt::{Designator, Guid, Name, PartitionType};
use ddi_os::unit_file::{Line, each_line};

use super::source::Texts;
use super::value;
use super::{
    CopyBlocks, CopyFiles, Definition, DefinitionOptions, Encrypt, Exclude, Format, Minimize, Notice,
    VerityRole,
};
use crate::error::{DefinitionFault, Error, Place, ValueFault};

/// What sizes are rounded to.
const ROUND: u64 = 4096;

/// Keys that systemd-repart has and that this crate does nothing about.
const UNSUPPORTED: [&str; 12] = [
    "BlockDeviceReplace",
    "DefaultSubvolume",
    "Discard",
    "EncryptKDF",
    "EncryptedVolume",
    "Integrity",
    "IntegrityAlgorithm",
    "KeyFile",
    "MountPoint",
    "Subvolumes",
    "TPM2PCRs",
    "VolumeName",
];

/// Reads the texts of one definition.
pub(super) struct Parser<'a> {
    options: &'a DefinitionOptions,
    definition: Definition,
    has_type: bool,
}

impl<'a> Parser<'a> {
    pub(super) fn new(texts: &Texts, options: &'a DefinitionOptions) -> Self {
        let file = texts.texts.first().map_or_else(|| Path::new("").into(), |(path, _)| path.clone());
        let definition = Definition::new(&texts.name, file, PartitionType::LinuxGeneric);
        Self { options, definition, has_type: false }
    }

    pub(super) fn definition(
        mut self,
        texts: &Texts,
        notices: &mut Vec<Notice>,
    ) -> Result<Definition, Error> {
        for (index, (path, text)) in texts.texts.iter().enumerate() {
            if index > 0 {
                self.definition.drop_ins.push(path.clone());
            }
            let mut in_section = false;
            each_line(text, |line, said| {
                let place = Place { file: path.clone(), line };
                match said {
                    Line::Section("Partition") => in_section = true,
                    Line::Section(name) if name.starts_with("X-") => in_section = false,
                    Line::Section(name) => {
                        let name = shorten(name);
                        return Err(Error::at(&place, DefinitionFault::UnknownSection { name }));
                    }
                    Line::Setting(..) if !in_section => {
                        return Err(Error::at(&place, DefinitionFault::NoSection));
                    }
                    Line::Setting(key, value) => self.set(key, value, &place, notices)?,
                    Line::Other => return Err(Error::at(&place, DefinitionFault::NotASetting)),
                }
                Ok(())
            })?;
        }
        if !self.has_type {
            return Err(Error::at(&self.definition.place("Type"), DefinitionFault::NoType));
        }
        self.complete()?;
        Ok(self.definition)
    }

    fn set(&mut self, key: &str, text: &str, place: &Place, notices: &mut Vec<Notice>) -> Result<(), Error> {
        use value as v;
        let Some(known) = Key::from_name(key) else {
            let Some(key) = UNSUPPORTED.into_iter().find(|known| *known == key) else {
                return Err(Error::at(place, DefinitionFault::UnknownKey { key: shorten(key) }));
            };
            if !text.is_empty() {
                let fault = DefinitionFault::Unsupported { key, value: None };
                self.definition.unsupported.push((place.clone(), fault));
            }
            return Ok(());
        };
        let key = known.name();
        let bad = |fault| Error::at(place, DefinitionFault::Value { key, value: shorten(text), fault });
        let expand = |text: &str| {
            self.options.specifiers.expand(text, &|_| None).map_err(|fault| bad(ValueFault::Specifier(fault)))
        };
        let path = |text: &str| v::path(&expand(text)?).map_err(bad);
        let is_reset = text.is_empty();
        let it = &mut self.definition;
        match known {
            Key::Type => {
                let found = self
                    .options
                    .partition_type(text)
                    .filter(|kind| *kind != PartitionType::Unknown(Guid::NIL));
                it.partition_type = found.ok_or_else(|| bad(ValueFault::UnknownType))?;
                self.has_type = true;
            }
            Key::Label => {
                let label = expand(text)?;
                let name: Option<Name> = label.parse().ok();
                if label.contains('\0') || name.is_none() {
                    return Err(bad(ValueFault::NotALabel));
                }
                it.label = Some(label);
            }
            Key::Uuid => it.uuid = if is_reset { None } else { Some(v::uuid(text).map_err(bad)?) },
            Key::Priority => {
                let number = v::number(text, i32::MIN.into(), i32::MAX.into()).map_err(bad)?;
                it.priority = i32::try_from(number).unwrap_or_default();
            }
            Key::Weight | Key::PaddingWeight => {
                let weight = v::number(text, 0, 1_000_000).map_err(bad)?.unsigned_abs();
                let field = if known == Key::Weight { &mut it.weight } else { &mut it.padding_weight };
                *field = weight;
            }
            Key::SizeMinBytes | Key::SizeMaxBytes | Key::PaddingMinBytes | Key::PaddingMaxBytes => {
                let is_least = matches!(known, Key::SizeMinBytes | Key::PaddingMinBytes);
                let size = if is_reset { None } else { Some(v::size(text).map_err(bad)?) };
                let rounded = size
                    .map(|size| round(size, is_least == self.options.compatibility.is_new()))
                    .transpose()
                    .map_err(bad)?;
                if rounded != size {
                    let text =
                        format!("{key}={} is rounded to {}", shorten(text), rounded.unwrap_or_default());
                    notices.push(Notice { place: place.clone(), text });
                }
                let field = match known {
                    Key::SizeMinBytes => &mut it.size_min,
                    Key::SizeMaxBytes => &mut it.size_max,
                    Key::PaddingMinBytes => &mut it.padding_min,
                    _ => &mut it.padding_max,
                };
                *field = rounded;
            }
            Key::CopyBlocks => {
                it.copy_blocks = match text {
                    "" => None,
                    "auto" => Some(CopyBlocks::Auto),
                    text => Some(CopyBlocks::File(path(text)?)),
                }
            }
            Key::Format => {
                if text.chars().any(|letter| !letter.is_ascii_alphanumeric() && !"._-".contains(letter)) {
                    return Err(bad(ValueFault::UnknownWord));
                }
                it.format = Some(text).filter(|text| !text.is_empty()).map(Format::from_name);
            }
            Key::CopyFiles if is_reset => it.copy_files.clear(),
            Key::CopyFiles => {
                let parts = v::colon_parts(text).map_err(bad)?;
                let (source, target) = match &parts[..] {
                    [source] => (source, source),
                    [source, target, ..] if target.is_empty() => (source, source),
                    [source, target, ..] => (source, target),
                    [] => return Err(bad(ValueFault::Empty)),
                };
                if parts.get(2).is_some_and(|options| !options.is_empty()) || parts.len() > 3 {
                    let fault = DefinitionFault::Unsupported { key, value: Some(shorten(text)) };
                    it.unsupported.push((place.clone(), fault));
                }
                let (source, target) = (path(source)?, path(target)?);
                it.copy_files.push(CopyFiles { source, target, place: place.clone() });
            }
            Key::ExcludeFiles | Key::ExcludeFilesTarget => {
                let list = match known {
                    Key::ExcludeFiles => &mut it.exclude_files,
                    _ => &mut it.exclude_files_target,
                };
                if is_reset {
                    list.clear();
                }
                for word in v::words(text).map_err(bad)? {
                    list.push(Exclude { path: path(&word)?, contents_only: word.ends_with('/') });
                }
            }
            Key::MakeDirectories if is_reset => it.make_directories.clear(),
            Key::MakeDirectories => {
                for word in v::words(text).map_err(bad)? {
                    it.make_directories.push(path(&word)?);
                }
            }
            Key::MakeSymlinks if is_reset => it.make_symlinks.clear(),
            Key::MakeSymlinks => {
                for word in v::words(text).map_err(bad)? {
                    let (link, target) = word.split_once(':').ok_or_else(|| bad(ValueFault::UnknownWord))?;
                    let target =
                        if self.options.compatibility.is_new() { expand(target)? } else { target.to_owned() };
                    if target.is_empty() || target.contains('\0') {
                        return Err(bad(ValueFault::Empty));
                    }
                    it.make_symlinks.push((path(link)?, target));
                }
            }
            Key::Minimize => {
                it.minimize = match text {
                    "best" => Minimize::Best,
                    "guess" => Minimize::Guess,
                    text => match v::boolean(text).map_err(|_| bad(ValueFault::UnknownWord))? {
                        true => Minimize::Best,
                        false => Minimize::Off,
                    },
                }
            }
            Key::Compression | Key::CompressionLevel => {
                if text.chars().any(|letter| !letter.is_ascii_alphanumeric() && !"._-".contains(letter)) {
                    return Err(bad(ValueFault::UnknownWord));
                }
                let field = match known {
                    Key::Compression => &mut it.compression,
                    _ => &mut it.compression_level,
                };
                *field = Some(text.to_owned()).filter(|text| !text.is_empty());
            }
            Key::Verity => {
                it.verity = match text {
                    "off" | "no" | "" => None,
                    "data" => Some(VerityRole::Data),
                    "hash" => Some(VerityRole::Hash),
                    "signature" => Some(VerityRole::Signature),
                    _ => return Err(bad(ValueFault::UnknownWord)),
                }
            }
            Key::VerityMatchKey => it.match_key = Some(text.to_owned()).filter(|text| !text.is_empty()),
            Key::VerityDataBlockSizeBytes | Key::VerityHashBlockSizeBytes | Key::FileSystemSectorSize => {
                let field = match known {
                    Key::VerityDataBlockSizeBytes => &mut it.data_block_size,
                    Key::VerityHashBlockSizeBytes => &mut it.hash_block_size,
                    _ => &mut it.sector_size,
                };
                *field = if is_reset { None } else { Some(v::block_size(text).map_err(bad)?) };
            }
            Key::Encrypt => {
                it.encrypt = match text {
                    "key-file" => Encrypt::KeyFile,
                    "tpm2" => Encrypt::Tpm2,
                    "key-file+tpm2" => Encrypt::KeyFileTpm2,
                    text if text.is_empty() || v::boolean(text) == Ok(false) => Encrypt::Off,
                    _ => return Err(bad(ValueFault::UnknownWord)),
                }
            }
            Key::Flags => it.flags = if is_reset { 0 } else { v::c_number(text).map_err(bad)? },
            Key::NoAuto | Key::ReadOnly | Key::GrowFileSystem => {
                let field = match known {
                    Key::NoAuto => &mut it.no_auto,
                    Key::ReadOnly => &mut it.read_only,
                    _ => &mut it.grow_file_system,
                };
                *field = if is_reset { None } else { Some(v::boolean(text).map_err(bad)?) };
            }
            Key::SplitName => it.split_name = Some(text.to_owned()).filter(|text| !text.is_empty()),
            Key::FactoryReset => it.factory_reset = v::boolean(text).map_err(bad)?,
            Key::SupplementFor => it.supplement_for = Some(text.to_owned()).filter(|text| !text.is_empty()),
            // without it file systems are what they were before it came
            Key::AddValidateFs => {
                if v::boolean(text).map_err(bad)? {
                    let fault = DefinitionFault::Unsupported { key, value: Some(shorten(text)) };
                    it.unsupported.push((place.clone(), fault));
                }
            }
        }
        it.places.insert(key, place.clone());
        Ok(())
    }

    /// What follows from the settings together, and what contradicts itself.
    fn complete(&mut self) -> Result<(), Error> {
        let it = &mut self.definition;
        let fail = |it: &Definition, key: &str, fault| Err(Error::at(&it.place(key), fault));
        let against = |key, with| DefinitionFault::Contradiction { key, with };
        let without = |key, needs| DefinitionFault::Without { key, needs };
        for (key, min, max) in
            [("SizeMinBytes", it.size_min, it.size_max), ("PaddingMinBytes", it.padding_min, it.padding_max)]
        {
            if let (Some(min), Some(max)) = (min, max)
                && min > max
            {
                return fail(it, key, DefinitionFault::MinOverMax { key, min, max });
            }
        }
        let has_blocks = it.copy_blocks.is_some();
        for (key, found) in [
            ("Format", it.format.is_some()),
            ("CopyFiles", !it.copy_files.is_empty()),
            ("MakeDirectories", !it.make_directories.is_empty()),
            ("MakeSymlinks", !it.make_symlinks.is_empty()),
        ] {
            if found && has_blocks {
                return fail(it, "CopyBlocks", against("CopyBlocks=", key));
            }
            let is_derived = matches!(it.verity, Some(VerityRole::Hash | VerityRole::Signature));
            if found && is_derived {
                return fail(it, key, against(key, "Verity=hash and Verity=signature"));
            }
        }
        if has_blocks && matches!(it.verity, Some(VerityRole::Hash | VerityRole::Signature)) {
            return fail(it, "CopyBlocks", against("CopyBlocks=", "Verity=hash and Verity=signature"));
        }
        let designator = it.partition_type.designator();
        if it.format.is_none() && !has_blocks {
            it.format = if designator == Some(Designator::Swap) {
                Some(Format::Swap)
            } else if it.has_content() || it.encrypt != Encrypt::Off {
                Some(match designator {
                    Some(Designator::Esp | Designator::Xbootldr) => Format::Vfat,
                    _ => Format::Ext4,
                })
            } else {
                None
            };
        }
        match &it.format {
            Some(Format::Swap | Format::Empty) if it.has_content() => {
                return fail(it, "Format", against("Format=swap and Format=empty", "files"));
            }
            Some(Format::Erofs | Format::Squashfs) if !it.has_content() => {
                return fail(
                    it,
                    "Format",
                    without("a read-only file system", "CopyFiles= or MakeDirectories="),
                );
            }
            // since 258: a slot that systemd-sysupdate may fill, and that nothing mounts by itself
            Some(Format::Empty) if self.options.compatibility.is_new() => {
                it.no_auto.get_or_insert(true);
                it.label.get_or_insert_with(|| "_empty".to_owned());
            }
            // no error yet: a plan can be made of it, only an image cannot
            Some(Format::Other(name)) => {
                let fault = DefinitionFault::Unsupported { key: "Format", value: Some(name.clone()) };
                let place = it.place("Format");
                it.unsupported.push((place, fault));
            }
            _ => {}
        }
        if it.is_minimized() && it.format.is_none() && it.verity != Some(VerityRole::Hash) {
            return fail(it, "Minimize", without("Minimize=", "Format= or Verity=hash"));
        }
        let can_be_best =
            it.verity == Some(VerityRole::Hash) || it.format.as_ref().is_some_and(Format::is_read_only);
        if it.minimize == Minimize::Best && !can_be_best {
            return fail(it, "Minimize", without("Minimize=best", "a read-only file system"));
        }
        match (it.verity, &it.match_key) {
            (Some(_), None) => return fail(it, "Verity", without("Verity=", "VerityMatchKey=")),
            (None, Some(_)) => return fail(it, "VerityMatchKey", without("VerityMatchKey=", "Verity=")),
            _ => {}
        }
        // systemd-repart gives a signature partition 16 KiB, whatever is asked for
        if it.verity == Some(VerityRole::Signature) {
            for (key, found) in [("SizeMinBytes", it.size_min), ("SizeMaxBytes", it.size_max)] {
                if found.is_some() {
                    return fail(it, key, against(key, "Verity=signature"));
                }
            }
        }
        if it.encrypt != Encrypt::Off {
            if it.verity.is_some() {
                return fail(it, "Encrypt", against("Encrypt=", "Verity="));
            }
            let place = it.place("Encrypt");
            it.unsupported.push((place, DefinitionFault::Unsupported { key: "Encrypt", value: None }));
        }
        if it.copy_blocks == Some(CopyBlocks::Auto) {
            let fault = DefinitionFault::Unsupported { key: "CopyBlocks", value: Some("auto".to_owned()) };
            let place = it.place("CopyBlocks");
            it.unsupported.push((place, fault));
        }
        Ok(())
    }
}

/// To whole 4 KiB.
fn round(size: u64, up: bool) -> Result<u64, ValueFault> {
    match up {
        true => size.checked_next_multiple_of(ROUND).ok_or(ValueFault::TooLarge),
        false => Ok(size.saturating_sub(size % ROUND)),
    }
}

/// What of a text is kept for a message.
fn shorten(text: &str) -> String {
    match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

macro_rules! keys {
    ($($key:ident = $name:literal),* $(,)?) => {
        /// The keys that something is done about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(clippy::enum_variant_names, reason = "the names are those of the keys")]
        enum Key { $($key),* }

        impl Key {
            fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$key),)*
                    _ => None,
                }
            }

            fn name(self) -> &'static str {
                match self {
                    $(Self::$key => $name),*
                }
            }
        }
    };
}

keys! {
    Type = "Type",
    Label = "Label",
    Uuid = "UUID",
    Priority = "Priority",
    Weight = "Weight",
    PaddingWeight = "PaddingWeight",
    SizeMinBytes = "SizeMinBytes",
    SizeMaxBytes = "SizeMaxBytes",
    PaddingMinBytes = "PaddingMinBytes",
    PaddingMaxBytes = "PaddingMaxBytes",
    CopyBlocks = "CopyBlocks",
    Format = "Format",
    CopyFiles = "CopyFiles",
    ExcludeFiles = "ExcludeFiles",
    ExcludeFilesTarget = "ExcludeFilesTarget",
    MakeDirectories = "MakeDirectories",
    MakeSymlinks = "MakeSymlinks",
    Minimize = "Minimize",
    Compression = "Compression",
    CompressionLevel = "CompressionLevel",
    Verity = "Verity",
    VerityMatchKey = "VerityMatchKey",
    VerityDataBlockSizeBytes = "VerityDataBlockSizeBytes",
    VerityHashBlockSizeBytes = "VerityHashBlockSizeBytes",
    Encrypt = "Encrypt",
    Flags = "Flags",
    NoAuto = "NoAuto",
    ReadOnly = "ReadOnly",
    GrowFileSystem = "GrowFileSystem",
    SplitName = "SplitName",
    FactoryReset = "FactoryReset",
    SupplementFor = "SupplementFor",
    AddValidateFs = "AddValidateFS",
    FileSystemSectorSize = "FileSystemSectorSize",
}
