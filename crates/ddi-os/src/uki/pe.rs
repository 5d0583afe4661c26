//! The headers of a PE file (Microsoft, *PE Format*), as far as they say where sections are.

use std::fmt;

use ddi_gpt::Architecture;
use ddi_io::ReadAt;
use object::LittleEndian as LE;
use object::pe::{
    IMAGE_DIRECTORY_ENTRY_SECURITY, IMAGE_NT_OPTIONAL_HDR32_MAGIC, IMAGE_NT_OPTIONAL_HDR64_MAGIC,
    ImageDosHeader, ImageNtHeaders32, ImageNtHeaders64, ImageSectionHeader,
};
use object::read::pe::{ImageNtHeaders, ImageOptionalHeader, optional_header_magic};

use super::{Error, MAX_TEXT};

/// Bytes of a file that are taken for its headers: 3,000 sections.
const MAX_HEADERS: u64 = 128 << 10;
/// `IMAGE_SUBSYSTEM_EFI_APPLICATION`.
const EFI_APPLICATION: u16 = 10;

/// For which processor: `Machine` of the file header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Machine(pub u16);

/// Bytes of the DOS header.
const DOS_HEADER: u64 = 64;

/// Machine, the architecture of the DPS, and the name that the firmware looks for (UEFI 2.10, 3.5.1.1).
const MACHINES: [(u16, Architecture, &str); 7] = [
    (0x014c, Architecture::X86, "BOOTIA32.EFI"),
    (0x01c2, Architecture::Arm, "BOOTARM.EFI"),
    (0x01c4, Architecture::Arm, "BOOTARM.EFI"),
    (0x5064, Architecture::Riscv64, "BOOTRISCV64.EFI"),
    (0x6264, Architecture::Loongarch64, "BOOTLOONGARCH64.EFI"),
    (0x8664, Architecture::X86_64, "BOOTX64.EFI"),
    (0xaa64, Architecture::Arm64, "BOOTAA64.EFI"),
];

impl Machine {
    /// The architecture, if the DPS has it.
    pub fn architecture(self) -> Option<Architecture> {
        MACHINES.iter().find(|(machine, ..)| *machine == self.0).map(|(_, architecture, _)| *architecture)
    }

    /// The architecture for which the firmware starts `/EFI/BOOT/NAME` from a removable medium.
    pub fn of_removable(name: &str) -> Option<Architecture> {
        let found = MACHINES.iter().find(|(.., file)| file.eq_ignore_ascii_case(name));
        found.map(|(_, architecture, _)| *architecture)
    }

    /// The name of the loader that the firmware starts from a removable medium.
    pub fn removable(architecture: Architecture) -> Option<&'static str> {
        MACHINES.iter().find(|(_, known, _)| *known == architecture).map(|(.., file)| *file)
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.architecture() {
            Some(architecture) => architecture.fmt(f),
            None => write!(f, "machine {:#06x}", self.0),
        }
    }
}

/// The name of a section: 8 bytes, padded with zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SectionName(pub [u8; 8]);

impl SectionName {
    /// The bytes before the padding.
    pub fn bytes(&self) -> &[u8] {
        self.0.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// Returns true if it is this name, with nothing behind.
    pub fn is(&self, name: &str) -> bool {
        let padding = self.0.get(name.len()..).unwrap_or_default();
        self.0.starts_with(name.as_bytes()) && padding.iter().all(|byte| *byte == 0)
    }

    pub(super) fn is_one_of(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.is(name))
    }
}

impl fmt::Display for SectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(self.bytes()))
    }
}

/// A section: what of the file is loaded where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// Its name.
    pub name: SectionName,
    /// Address in memory, from the start of the image.
    pub virtual_address: u32,
    /// Bytes in memory.
    pub virtual_size: u32,
    /// Offset in the file.
    pub raw_offset: u32,
    /// Bytes in the file: may be less than in memory, or more, which is padding.
    pub raw_size: u32,
}

impl Section {
    /// Bytes of content in the file. In memory zeros follow, up to `virtual_size`.
    pub fn content_size(&self) -> u32 {
        self.virtual_size.min(self.raw_size)
    }

    fn raw_end(&self) -> u64 {
        u64::from(self.raw_offset).saturating_add(u64::from(self.raw_size))
    }

    fn virtual_end(&self) -> u64 {
        u64::from(self.virtual_address).saturating_add(u64::from(self.virtual_size))
    }

    /// Returns true if these are the first bytes of its content.
    pub(super) fn begins_with<const N: usize>(
        &self,
        source: &dyn ReadAt,
        magic: &[u8; N],
    ) -> Result<bool, Error> {
        if usize::try_from(self.content_size()).is_ok_and(|size| size < N) {
            return Ok(false);
        }
        let mut found = [0; N];
        source.read_exact_at(u64::from(self.raw_offset), &mut found).map_err(Error::Io)?;
        Ok(found == *magic)
    }

    /// What is in memory. `left`: the bytes that may still be taken.
    pub(super) fn read(&self, source: &dyn ReadAt, left: &mut usize) -> Result<Vec<u8>, Error> {
        let too_large = Error::TextTooLarge { name: self.name, size: self.virtual_size };
        let size = usize::try_from(self.virtual_size).unwrap_or(usize::MAX);
        match left.checked_sub(size) {
            Some(rest) if self.virtual_size <= MAX_TEXT => *left = rest,
            _ => return Err(too_large),
        }
        let mut text = vec![0; size];
        let content = usize::try_from(self.content_size()).unwrap_or(usize::MAX);
        let buf = text.get_mut(..content).unwrap_or_default();
        source.read_exact_at(u64::from(self.raw_offset), buf).map_err(Error::Io)?;
        Ok(text)
    }
}

/// What the headers of a PE file say.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pe {
    /// For which processor.
    pub machine: Machine,
    /// PE32+, as a UKI should be; otherwise PE32.
    pub is_pe32_plus: bool,
    /// `Subsystem` of the optional header.
    pub subsystem: u16,
    /// Where the certificate table (Authenticode) is in the file and how many bytes it has, if there is one. Nobody has
    /// looked into it.
    pub certificates: Option<(u32, u32)>,
    /// The sections, in the order of the table.
    pub sections: Vec<Section>,
}

impl Pe {
    /// Reads the headers, and sees to it that the sections are in the file and in memory, each by itself.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NotPe`], [`Error::HeadersTooLarge`], [`Error::SectionOutsideFile`],
    /// [`Error::SectionOutsideMemory`], [`Error::SectionsOverlap`].
    pub fn read(source: &dyn ReadAt) -> Result<Self, Error> {
        let len = usize::try_from(source.size().min(MAX_HEADERS)).unwrap_or_default();
        let mut bytes = vec![0; len];
        source.read_exact_at(0, &mut bytes).map_err(Error::Io)?;
        let bytes = &bytes[..];
        match optional_header_magic(bytes).map_err(not_pe)? {
            IMAGE_NT_OPTIONAL_HDR64_MAGIC => parse::<ImageNtHeaders64>(bytes, source.size()),
            IMAGE_NT_OPTIONAL_HDR32_MAGIC => parse::<ImageNtHeaders32>(bytes, source.size()),
            _ => Err(Error::NotPe { what: "neither PE32 nor PE32+" }),
        }
    }

    /// Returns true if it is a program that the firmware starts.
    pub fn is_efi_application(&self) -> bool {
        self.subsystem == EFI_APPLICATION
    }
}

fn not_pe(error: object::read::Error) -> Error {
    // object says "Invalid PE magic" and the like, in a static text that it does not give away
    let _ = error;
    Error::NotPe { what: "the headers are no good" }
}

fn parse<H: ImageNtHeaders>(bytes: &[u8], file_size: u64) -> Result<Pe, Error> {
    let mut offset = u64::from(ImageDosHeader::parse(bytes).map_err(not_pe)?.nt_headers_offset());
    if offset < DOS_HEADER {
        return Err(Error::NotPe {
            what: "the PE header lies in the DOS header, where systemd-boot takes none",
        });
    }
    let (nt, directories) = H::parse(bytes, &mut offset).map_err(not_pe)?;
    let file_header = nt.file_header();
    let number = file_header.number_of_sections.get(LE);
    let table = nt.sections(bytes, offset).map_err(|_| match file_size > MAX_HEADERS {
        true => Error::HeadersTooLarge { sections: number },
        false => Error::NotPe { what: "the section table is cut short" },
    })?;
    let headers_end = offset.saturating_add(u64::from(number).saturating_mul(40));
    let sections: Vec<_> = table.iter().map(Section::from).collect();
    let optional = nt.optional_header();
    check_file(&sections, headers_end, file_size)?;
    check_memory(&sections, optional.size_of_image())?;
    // the one directory whose address is an offset in the file
    let certificates =
        directories.get(IMAGE_DIRECTORY_ENTRY_SECURITY).map(|directory| directory.address_range());
    Ok(Pe {
        machine: Machine(file_header.machine.get(LE).0),
        is_pe32_plus: nt.is_type_64(),
        subsystem: optional.subsystem().0,
        certificates: certificates.filter(|(_, size)| *size > 0),
        sections,
    })
}

impl From<&ImageSectionHeader> for Section {
    fn from(header: &ImageSectionHeader) -> Self {
        Section {
            name: SectionName(header.name),
            virtual_size: header.virtual_size.get(LE),
            virtual_address: header.virtual_address.get(LE),
            raw_size: header.size_of_raw_data.get(LE),
            raw_offset: header.pointer_to_raw_data.get(LE),
        }
    }
}

/// A section that is nowhere in the file is all zeros.
fn check_file(sections: &[Section], headers_end: u64, file_size: u64) -> Result<(), Error> {
    let mut in_file: Vec<_> = sections.iter().filter(|section| section.raw_size > 0).collect();
    for section in &in_file {
        if u64::from(section.raw_offset) < headers_end || section.raw_end() > file_size {
            let Section { name, raw_offset, raw_size, .. } = **section;
            return Err(Error::SectionOutsideFile { name, offset: raw_offset, size: raw_size });
        }
    }
    in_file.sort_by_key(|section| section.raw_offset);
    overlap(&in_file, |section| (u64::from(section.raw_offset), section.raw_end()))
}

/// The stub finds its sections in memory, other programs in the file: it must not matter.
fn check_memory(sections: &[Section], size_of_image: u32) -> Result<(), Error> {
    let mut in_memory: Vec<_> = sections.iter().filter(|section| section.virtual_size > 0).collect();
    for section in &in_memory {
        if section.virtual_end() > u64::from(size_of_image) {
            let Section { name, virtual_address, virtual_size, .. } = **section;
            return Err(Error::SectionOutsideMemory { name, address: virtual_address, size: virtual_size });
        }
    }
    in_memory.sort_by_key(|section| section.virtual_address);
    overlap(&in_memory, |section| (u64::from(section.virtual_address), section.virtual_end()))
}

fn overlap(sorted: &[&Section], range: impl Fn(&Section) -> (u64, u64)) -> Result<(), Error> {
    for pair in sorted.windows(2) {
        if let [first, second] = pair
            && range(first).1 > range(second).0
        {
            return Err(Error::SectionsOverlap { first: first.name, second: second.name });
        }
    }
    Ok(())
}
