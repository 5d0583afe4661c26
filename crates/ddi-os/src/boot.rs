//! Boot: whether the firmware and systemd-boot can start the image, and whether what they start pins the image's own
//! partitions.
//!
//! ```text
//!   firmware ─▶ /EFI/BOOT/BOOT*.EFI ─▶ /EFI/Linux/*.efi, /loader/entries/*.conf ─▶ roothash= ─▶ GUIDs ─▶ hash tree
//! ```
//!
//! The ESP is not protected by anything in the image, so none of this is more than *consistent*: the command line says
//! the same as the hash tree. It becomes more if the firmware checks the signature of the UKI; whether there is one is
//! told, whose it is not asked.
//!
//! What is in an ESP is anybody's: how many files are looked at, how much of their text, and how much is told have a limit
//! each. A limit that is met is an error of its own, as what lies behind it was not looked at.

mod chain;
mod entries;
mod entry;
mod loader_conf;
mod partitions;
mod volume;

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use ddi_gpt::{Architecture, Designator, PartitionType};
use ddi_io::ReadAt;
use ddi_verity::RootHash;

use self::chain::Line;
use self::entry::Entry;
use self::volume::{TreeFile, Volume};
use super::{CheckFinding, CheckReport, Subject, names, shortened};
use crate::metadata::{self, EnvFile, Metadata};
use crate::uki::{self, BootName, BootState, Kind, Machine, Profile, Uki};
use ddi_core::Assurance;
use ddi_core::Image;
use ddi_core::MountError;
use ddi_core::Severity::{self, Error, Note, Warning};
use ddi_core::steps::Contents;
use ddi_core::steps::Table;
use ddi_core::steps::VeritySet;
use ddi_core::{Role, TrustedRootHash};
use ddi_fs::{self as files, Place};

const UAPI_1: &str = "UAPI.1 Boot Loader Specification";
const UAPI_5: &str = "UAPI.5 Unified Kernel Image";
const BOOT_COUNTING: &str = "UAPI.1 Boot Loader Specification, Boot counting";
const PE: &str = "PE Format";
const SYSTEMD_BOOT: &str = "systemd-boot(7)";
const SYSTEMD_STUB: &str = "systemd-stub(7)";
const UEFI: &str = "UEFI 2.10, 3.5.1.1";
const DPS_VERITY: &str = "Discoverable Partitions Specification, Verity";
const GENERATOR: &str = "systemd-veritysetup-generator(8)";

/// Largest entry of the boot loader that is read.
const MAX_ENTRY: u64 = 64 << 10;
/// Files that are looked at: kernel images, boot loaders, addons and entries. An ESP has room for some kernels.
const MAX_FILES: usize = 256;
/// Files that entries name and that are looked for.
const MAX_PATHS: usize = 1024;
/// Bytes of text in all UKIs and addons together; one of them has 4 MiB at most, and some ten KiB usually.
const MAX_TEXT: usize = 16 << 20;
/// Bytes of all facts.
const MAX_FACTS: usize = 1 << 20;
/// Bytes of one fact.
const MAX_FACT: usize = 8 << 10;
/// Bytes of a command line that are told: the longest that a kernel takes.
const MAX_WORDS: usize = 4096;
/// Bytes of one field that are told.
const MAX_FIELD: usize = 256;
/// Names told of what may be many.
const MAX_NAMED: usize = 8;
/// The facts, in the order in which they are told.
const FACTS: [&str; 9] =
    ["system", "unprotected", "loaders", "ukis", "sections", "profiles", "addons", "order", "chain"];

/// A unified kernel image that is not in the image.
#[derive(Clone)]
pub struct UkiFile {
    /// As it was named.
    pub name: String,
    /// Its bytes.
    pub source: Arc<dyn ReadAt>,
}

impl std::fmt::Debug for UkiFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UkiFile").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What boots an image, and what it must be.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct BootOptions<'a> {
    /// Unified kernel images that are to boot it, and are not in it.
    pub files: &'a [UkiFile],
    /// Root hashes that the caller vouches for: these and no others must be on the command lines.
    pub trusted: &'a [TrustedRootHash],
    /// What the root and `/usr` file systems must be at least. [`Assurance::Authenticated`] asks the same of each
    /// root hash on a command line: that it was given, or signed by a trusted key.
    pub required: Assurance,
}

/// Checks what boots an image: the unified kernel images and entries in its ESP and its extended boot loader partition, and
/// those of the options.
///
/// The chain from a command line to the partitions is *consistent* if the root hash on it names partitions by their GUIDs
/// and is that of their hash tree. That each block matches is not asked: [`prove`](ddi_core::steps::prove()) does.
///
/// Nothing in an image protects an ESP, so the report's assurance is [`Assurance::Claimed`]; that of the root and `/usr` file
/// systems, with which it is compared, is the fact `system`. If these are refused or not what their root hash says, that is a
/// finding; if nobody can read them, it is a note, unless the options require more.
///
/// # Errors
/// A file system is there and cannot be read, though there is a reader for it.
pub fn boot(
    image: &Image,
    sets: &[VeritySet],
    contents: &Contents<'_>,
    options: &BootOptions<'_>,
) -> Result<CheckReport, MountError> {
    let mut checker = Checker::new(image, sets, options);
    checker.look_at_system(contents)?;
    let volumes = checker.volumes(contents)?;
    let has_esp = contents.number_of(Designator::Esp).is_some();
    if !has_esp && options.files.is_empty() {
        checker.find(Error, "no-esp", &Subject::Whole, "there is no EFI system partition", UEFI);
    }
    for volume in &volumes {
        checker.look_into(volume)?;
    }
    for volume in volumes.iter().filter(|volume| volume.designator == Designator::Esp) {
        checker.loader_conf(volume)?;
    }
    for file in options.files {
        let subject = Subject::File(file.name.clone());
        let base_name = file.name.rsplit('/').next().unwrap_or_default();
        match checker.read(&*file.source) {
            Some(Ok(uki)) => checker.uki(&subject, &file.name, Some(base_name.as_bytes()), &uki),
            Some(Err(error)) => checker.find(Error, error.code(), &subject, error.to_string(), PE),
            None => break,
        }
    }
    checker.sum_up(has_esp || !options.files.is_empty());
    image.meter().check().map_err(MountError::FileSystem)?;
    Ok(checker.report)
}

struct Checker<'a> {
    image: &'a Image,
    sets: &'a [VeritySet],
    options: &'a BootOptions<'a>,
    report: CheckReport,
    /// How far the root and `/usr` file systems can be relied upon; `None` if they cannot be read.
    system: Option<Assurance>,
    /// Of the root and `/usr` partitions.
    architectures: Vec<Architecture>,
    /// `ID=` of the system's os-release.
    id: Option<String>,
    /// Names in `/usr/lib/modules`, sorted.
    modules: Vec<Vec<u8>>,
    /// What could be booted, in no particular order.
    entries: Vec<Entry>,
    /// Root hashes on some command line.
    named: HashSet<(Role, RootHash)>,
    /// UKIs that were understood.
    uki_count: usize,
    /// Files that were looked at, and what they are; `None` if that is not known.
    looked: HashMap<(Designator, Place), Option<Looked>>,
    left: Left,
    facts: [Vec<String>; FACTS.len()],
    is_fact_left_out: bool,
}

/// What a PE file is, as far as entries that start it ask.
#[derive(Debug, Clone, Copy)]
struct Looked {
    kind: Kind,
    machine: Machine,
    /// With a kernel or an os-release, so that one who is told that it is a UKI may start it.
    is_like_uki: bool,
}

impl Looked {
    fn of(uki: &Uki) -> Self {
        let has_either = uki.has_section(".linux") || uki.has_section(".osrel");
        Looked {
            kind: uki.kind,
            machine: uki.pe.machine,
            is_like_uki: uki.pe.is_efi_application() && has_either,
        }
    }
}

/// How much may still be looked at and told.
struct Left {
    files: usize,
    paths: usize,
    text: usize,
    facts: usize,
}

/// Takes from what is left, if there is enough.
fn take(left: &mut usize, n: usize) -> bool {
    let rest = left.checked_sub(n);
    *left = rest.unwrap_or(0);
    rest.is_some()
}

impl<'a> Checker<'a> {
    fn new(image: &'a Image, sets: &'a [VeritySet], options: &'a BootOptions<'a>) -> Self {
        let mut architectures = Vec::new();
        if let Table::Gpt(gpt) = image.table() {
            for partition in gpt.partitions() {
                if let PartitionType::Designated(Designator::Root | Designator::Usr, Some(architecture)) =
                    partition.partition_type()
                    && !architectures.contains(&architecture)
                {
                    architectures.push(architecture);
                }
            }
        }
        Checker {
            image,
            sets,
            options,
            report: CheckReport::new("boot", Assurance::Claimed),
            system: None,
            architectures,
            id: None,
            modules: Vec::new(),
            entries: Vec::new(),
            named: HashSet::new(),
            uki_count: 0,
            looked: HashMap::new(),
            left: Left { files: MAX_FILES, paths: MAX_PATHS, text: MAX_TEXT, facts: MAX_FACTS },
            facts: Default::default(),
            is_fact_left_out: false,
        }
    }

    fn find(
        &mut self,
        severity: Severity,
        code: &'static str,
        subject: &Subject,
        reason: impl Into<String>,
        rule: &'static str,
    ) {
        self.report.find(severity, code, subject.clone(), reason, rule);
    }

    /// A limit is met: what is behind it is not known, so the image does not pass. Told once for each.
    fn limit(&mut self, code: &'static str, reason: String) {
        if self.report.findings.iter().all(|finding| finding.code != code) {
            self.report.find(Error, code, Subject::Whole, reason, "limit of ours");
        }
    }

    fn tell(&mut self, name: &'static str, text: &str) {
        let told = shortened(text, MAX_FACT);
        let list = FACTS.iter().position(|known| *known == name).and_then(|at| self.facts.get_mut(at));
        match list {
            Some(list) if take(&mut self.left.facts, told.len()) => {
                self.is_fact_left_out |= told.len() != text.len();
                list.push(told.into_owned());
            }
            _ => self.is_fact_left_out = true,
        }
    }

    /// Reads one more PE file. `None`: there were too many.
    fn read(&mut self, source: &dyn ReadAt) -> Option<Result<Uki, uki::Error>> {
        if !self.take_file() {
            return None;
        }
        let uki = match Uki::read(source) {
            Ok(uki) => uki,
            Err(error) => return Some(Err(error)),
        };
        let contents = uki.profiles.iter().flatten().chain(&uki.base);
        let text =
            contents.filter_map(|content| Some(content.text.as_ref()?.len())).fold(0, usize::saturating_add);
        if !take(&mut self.left.text, text) {
            let reason = format!("more than {MAX_TEXT} bytes of text in kernel images and addons");
            self.limit("too-much-text", reason);
            return None;
        }
        Some(Ok(uki))
    }

    fn take_file(&mut self) -> bool {
        let taken = take(&mut self.left.files, 1);
        if !taken {
            let reason = format!("more than {MAX_FILES} kernel images, boot loaders, addons and entries");
            self.limit("too-many-files", reason);
        }
        taken
    }

    /// The same for a file of a volume, of which it is remembered what it is.
    fn read_in(&mut self, volume: &Volume, file: &TreeFile) -> Option<Result<Uki, uki::Error>> {
        let found = self.read(file)?;
        let looked = found.as_ref().ok().map(Looked::of);
        self.looked.insert((volume.designator, file.place), looked);
        Some(found)
    }

    /// What is compared with the kernel images.
    fn look_at_system(&mut self, contents: &Contents<'_>) -> Result<(), MountError> {
        let files = match contents.system() {
            Ok(files) => files,
            // no image at all
            Err(error @ MountError::Refused(ddi_core::Error::NothingRecognised)) => return Err(error),
            Err(error) => return self.no_system(error),
        };
        self.system = Some(files.assurance());
        match Metadata::read(&files.tree, None).os_release {
            Ok(found) => {
                self.id = found.and_then(|found| found.value.get_non_empty("ID").map(str::to_owned));
            }
            // the file is no os-release, which says nothing about the file system
            Err(
                error @ (metadata::Error::EnvFile(_)
                | metadata::Error::File(files::Error::TooLarge { .. } | files::Error::NotAFile)),
            ) => {
                let reason = format!("the system's os-release cannot be compared: {error}");
                self.find(Warning, "os-release-unreadable", &Subject::Whole, reason, "os-release(5)");
            }
            Err(metadata::Error::File(error)) => return self.no_system(MountError::FileSystem(error)),
            Err(metadata::Error::Hostname | metadata::Error::AmbiguousExtension) => {}
        }
        match names(&files.tree, b"/usr/lib/modules") {
            Ok(modules) => self.modules = modules.into_iter().map(|(name, _)| name).collect(),
            Err(error) => return self.no_system(error),
        }
        Ok(())
    }

    /// That the system is refused, or is not what its root hash says, is a finding. What nobody can read is a note: it
    /// is compared with nothing, and vouched for by nobody.
    fn no_system(&mut self, error: MountError) -> Result<(), MountError> {
        self.system = None;
        if let Some(finding) = CheckFinding::of_unreadable(&error) {
            self.report.add(finding);
            return Ok(());
        }
        match error {
            MountError::Encrypted
            | MountError::Unrecognised
            | MountError::FileSystem(
                files::Error::NoReader { .. }
                | files::Error::Unsupported { .. }
                | files::Error::Features { .. },
            ) => {
                let reason = format!("the system is not compared with what boots it: {error}");
                self.find(Note, "system-not-read", &Subject::Whole, reason, "ddi");
                Ok(())
            }
            error => Err(error),
        }
    }

    fn look_at_files(&mut self, volume: &Volume) -> Result<(), MountError> {
        if volume.designator == Designator::Esp {
            self.removable_loaders(volume)?;
        }
        for (name, path, file) in volume.files("/EFI/Linux", ".efi")? {
            let subject = volume.subject_of(&path);
            if self.is_passed_over(&subject, &name) {
                continue;
            }
            match self.read_in(volume, &file) {
                Some(Ok(uki)) => self.uki(&subject, &volume.shown(&path), Some(&name), &uki),
                Some(Err(error)) => self.find(Error, error.code(), &subject, error.to_string(), PE),
                None => break,
            }
            self.addons_of(volume, &path)?;
        }
        self.addons(volume, "/loader/addons")?;
        for (name, path, file) in volume.files("/loader/entries", ".conf")? {
            if !self.take_file() {
                break;
            }
            self.type_one(volume, &name, &path, &file)?;
        }
        Ok(())
    }

    /// Names that systemd-boot keeps for the entries that it makes itself.
    fn is_passed_over(&mut self, subject: &Subject, name: &[u8]) -> bool {
        let is_reserved =
            name.split_at_checked(5).is_some_and(|(start, _)| start.eq_ignore_ascii_case(b"auto-"));
        if is_reserved {
            let reason = "systemd-boot passes over names that begin with auto-";
            self.find(Warning, "entry-name-reserved", subject, reason, SYSTEMD_BOOT);
        }
        is_reserved
    }

    /// What the firmware starts when nobody told it what.
    fn removable_loaders(&mut self, volume: &Volume) -> Result<(), MountError> {
        let mut started = Vec::new();
        let architecture_of = |name: &[u8]| Machine::of_removable(str::from_utf8(name).ok()?);
        for (name, path, file) in volume.files_named("/EFI/BOOT", |name| architecture_of(name).is_some())? {
            let Some(architecture) = architecture_of(&name) else { continue };
            let subject = volume.subject_of(&path);
            let uki = match self.read_in(volume, &file) {
                Some(Ok(uki)) => uki,
                Some(Err(error)) => {
                    self.find(Error, error.code(), &subject, error.to_string(), PE);
                    continue;
                }
                None => break,
            };
            started.push(architecture);
            let shown = volume.shown(&path);
            let (machine, kind) = (uki.pe.machine, uki.kind.name());
            self.tell("loaders", &format!("{shown}: {machine}, {kind}, {}", signed(&uki)));
            if uki.pe.machine.architecture() != Some(architecture) {
                let reason = format!("it is for {}, and started on {architecture}", uki.pe.machine);
                self.find(Error, "loader-machine", &subject, reason, UEFI);
            }
            if uki.kind == Kind::Uki {
                self.uki(&subject, &shown, Some(&name), &uki);
                self.addons_of(volume, &path)?;
            }
        }
        let missing: Vec<_> = self
            .architectures
            .iter()
            .filter(|architecture| !started.contains(architecture))
            .filter_map(|architecture| Machine::removable(*architecture))
            .collect();
        for name in missing {
            let subject = volume.subject_of(format!("/EFI/BOOT/{name}").as_bytes());
            let reason = "there is no boot loader that firmware starts by itself";
            self.find(Warning, "no-removable-loader", &subject, reason, UEFI);
        }
        Ok(())
    }

    /// What systemd-stub adds to the UKI at this path.
    fn addons_of(&mut self, volume: &Volume, path: &[u8]) -> Result<(), MountError> {
        let directory = String::from_utf8_lossy(path).into_owned() + ".extra.d";
        self.addons(volume, &directory)
    }

    /// Addons put words behind the command line, so they have the last one.
    fn addons(&mut self, volume: &Volume, directory: &str) -> Result<(), MountError> {
        for (_, path, file) in volume.files(directory, ".addon.efi")? {
            let subject = volume.subject_of(&path);
            match self.read_in(volume, &file) {
                None => break,
                Some(Err(error)) => self.find(Error, error.code(), &subject, error.to_string(), PE),
                Some(Ok(addon)) if addon.kind != Kind::Addon => {
                    self.find(Warning, "not-an-addon", &subject, "it adds nothing, or has a kernel", UAPI_5);
                }
                Some(Ok(addon)) => {
                    let line = addon.profile(0).and_then(|profile| profile.command_line());
                    self.tell("addons", &format!("{}: {}", volume.shown(&path), signed(&addon)));
                    if Line::new(&line.unwrap_or_default()).names_any() {
                        let reason = "its command line names a root hash, in place of that of the image it is added to";
                        self.find(Warning, "addon-root-hash", &subject, reason, UAPI_5);
                    }
                }
            }
        }
        Ok(())
    }

    /// One UKI. `name`: with the boot counters, if it is in the menu by itself.
    fn uki(&mut self, subject: &Subject, shown: &str, name: Option<&[u8]>, uki: &Uki) {
        if !uki.pe.is_efi_application() {
            let reason = "it is no EFI application, and firmware starts nothing else";
            return self.find(Error, "not-a-uki", subject, reason, UAPI_5);
        }
        if !uki.has_section(".osrel") {
            let has_kernel = uki.has_section(".linux");
            let other = if has_kernel { ", though firmware starts it" } else { ", and no kernel" };
            let reason = format!("it has no .osrel: systemd-boot and bootctl pass it over{other}");
            return self.find(Error, "not-a-uki", subject, reason, UAPI_1);
        }
        if uki.kind != Kind::Uki {
            let reason = "it has no .linux, which UAPI.5 asks for, so bootctl takes it for no UKI: systemd-boot starts it, and what it starts then is not looked at";
            self.find(Warning, "uki-without-kernel", subject, reason, UAPI_5);
        } else if uki.kernel_is_pe == Some(false) {
            let reason = "its .linux is no PE file, which systemd-stub does not start: it needs a stub that knows what it is";
            self.find(Warning, "uki-kernel-not-pe", subject, reason, SYSTEMD_STUB);
        }
        self.uki_count = self.uki_count.saturating_add(1);
        let name = name.map(|name| self.boot_name(subject, name));
        for (profile, section) in uki.duplicates() {
            let place = profile.map_or_else(String::new, |number| format!(" of profile @{number}"));
            let reason = format!("section {section}{place} is there more than once");
            self.find(Error, "section-duplicate", subject, reason, UAPI_5);
        }
        if !uki.pe.is_pe32_plus {
            self.find(Warning, "uki-pe32", subject, "it is PE32, not PE32+", UAPI_5);
        }
        if uki.pe.certificates.is_none() {
            let reason =
                "it is not signed, so Secure Boot refuses it, and nobody vouches for its command line";
            self.find(Note, "uki-unsigned", subject, reason, UAPI_5);
        }
        let machine = uki.pe.machine;
        if !self.is_for_the_image(machine) {
            let wanted: Vec<_> = self.architectures.iter().map(ToString::to_string).collect();
            let reason = format!("it is for {machine}, the partitions are for {}", wanted.join(", "));
            self.find(Error, "machine-differs", subject, reason, "Discoverable Partitions Specification");
        }
        // a key alone says as well that signed policies are meant to be there
        let has_pcr =
            uki.pe.sections.iter().any(|section| section.name.is(".pcrsig") || section.name.is(".pcrpkey"));
        let mut texts = Texts { in_menu: name.is_some(), ..Texts::default() };
        if texts.in_menu {
            self.command_lines_for_the_menu(subject, uki);
        }
        for profile in uki.profiles() {
            self.profile(subject, shown, &profile, has_pcr, &mut texts);
        }
        self.note_uki(shown, uki, name, &texts.first.unwrap_or_default());
    }

    /// UAPI.1 asks for `.cmdline`, and systemd-boot stops at the first profile without one.
    fn command_lines_for_the_menu(&mut self, subject: &Subject, uki: &Uki) {
        let without = uki.profiles().find(|profile| profile.section(".cmdline").is_none());
        let Some(number) = without.map(|profile| profile.number) else { return };
        let reason = format!("profile @{number} has no .cmdline");
        self.find(Warning, "uki-no-cmdline", subject, reason, UAPI_1);
        if number.saturating_add(1) < uki.profile_count() {
            let reason =
                format!("systemd-boot shows none of the profiles behind @{number}, which has no .cmdline");
            self.find(Warning, "profiles-not-shown", subject, reason, SYSTEMD_BOOT);
        }
    }

    /// Returns true if there is a root or `/usr` for such a machine, or none for any machine.
    fn is_for_the_image(&self, machine: Machine) -> bool {
        self.architectures.is_empty()
            || machine.architecture().is_some_and(|known| self.architectures.contains(&known))
    }

    fn note_uki(&mut self, shown: &str, uki: &Uki, name: Option<BootName>, os_release: &EnvFile) {
        let state = name.as_ref().map_or("named by an entry", |name| name.state().name());
        let mut text = format!("{shown}: {}, {state}, {}", uki.pe.machine, signed(uki));
        for key in ["ID", "VERSION_ID", "IMAGE_ID", "IMAGE_VERSION"] {
            if let Some(value) = os_release.get_non_empty(key) {
                let _ = write!(text, ", {key}={}", shortened(value, MAX_FIELD));
            }
        }
        self.tell("ukis", &text);
        let sizes: Vec<_> = uki
            .pe
            .sections
            .iter()
            .map(|section| format!("{} {}", section.name, section.virtual_size))
            .collect();
        self.tell("sections", &format!("{shown}: {}", sizes.join(", ")));
        if let Some(name) = name {
            self.entries.push(Entry::of_uki(name, shown, os_release));
        }
    }

    /// The counters in a name.
    fn boot_name(&mut self, subject: &Subject, name: &[u8]) -> BootName {
        match BootName::parse(name) {
            Ok(parsed) => {
                if parsed.state() == BootState::Bad {
                    let reason = "no tries are left: it is booted after all others, if at all";
                    self.find(Warning, "boot-count-bad", subject, reason, BOOT_COUNTING);
                }
                parsed
            }
            Err(error) => {
                self.find(Error, "boot-count-too-large", subject, error.to_string(), BOOT_COUNTING);
                BootName { stem: name.to_vec(), counters: None, suffix: Vec::new() }
            }
        }
    }

    fn profile(
        &mut self,
        subject: &Subject,
        shown: &str,
        profile: &Profile<'_>,
        has_pcr: bool,
        texts: &mut Texts,
    ) {
        let number = profile.number;
        if Texts::is_new(&mut texts.os_release, profile, ".osrel") {
            self.os_release(subject, profile, texts);
        }
        self.kernel(subject, profile);
        let own_pcr = profile.has_own(".pcrsig");
        let mut has_policy = false;
        if Texts::is_new(&mut texts.pcr, profile, ".pcrsig") {
            match profile.pcr_signatures() {
                Some(Err(error)) => {
                    let reason = format!("profile @{number}: .pcrsig: {error}");
                    self.find(Error, "pcrsig-invalid", subject, reason, UAPI_5);
                    // it is there, if no good: not to be told as missing too
                    has_policy = true;
                }
                Some(Ok(found)) => has_policy = own_pcr && !found.is_empty(),
                None => {}
            }
        }
        if has_pcr && !has_policy {
            let reason = format!("profile @{number} has no signed PCR policy of its own, others have");
            self.find(Warning, "profile-without-pcrsig", subject, reason, UAPI_5);
        }
        let (id, title) = profile.identity();
        let mut text = format!("{shown} @{number}:");
        for (key, value) in [("ID", id), ("TITLE", title)] {
            if let Some(value) = value {
                let _ = write!(text, " {key}={}", shortened(&value, MAX_FIELD));
            }
        }
        let is_new = Texts::is_new(&mut texts.line, profile, ".cmdline");
        let parse = || profile.command_line().map(|line| Line::new(&line));
        let own = if profile.has_own(".cmdline") { parse() } else { None };
        let line = match own {
            Some(_) => own.as_ref(),
            None => texts.inherited.get_or_insert_with(parse).as_ref(),
        };
        let _ = write!(text, " {}", line.map_or("no command line", |line| &line.shown));
        self.tell("profiles", &text);
        // a line of the base is shown for each profile that has it, and judged once
        if is_new {
            let (shown, place) = (format!("{shown} @{number}"), format!("profile @{number}: "));
            self.root_hashes(subject, &shown, &place, line.unwrap_or(&Line::default()));
        }
    }

    fn os_release(&mut self, subject: &Subject, profile: &Profile<'_>, texts: &mut Texts) {
        let number = profile.number;
        let fields = match profile.os_release() {
            Some(Ok(fields)) => fields,
            Some(Err(error)) => {
                let reason = format!("profile @{number}: {error}");
                return self.find(Error, "osrel-invalid", subject, reason, UAPI_5);
            }
            None => return,
        };
        let id = fields.get_non_empty("ID");
        if texts.in_menu
            && ["PRETTY_NAME", "IMAGE_ID", "NAME", "ID"].iter().all(|key| fields.get(key).is_none())
        {
            let reason =
                format!("profile @{number}: its os-release names nothing, and systemd-boot passes it over");
            self.find(Error, "osrel-nameless", subject, reason, SYSTEMD_BOOT);
        } else if id.is_none() && fields.get_non_empty("IMAGE_ID").is_none() {
            let reason = format!("profile @{number}: its os-release has neither ID= nor IMAGE_ID=");
            self.find(Warning, "osrel-incomplete", subject, reason, UAPI_5);
        }
        if let (Some(id), Some(system)) = (id, self.id.as_deref().filter(|_| number == 0))
            && id != system
        {
            let [id, system] = [id, system].map(|id| shortened(id, MAX_FIELD));
            let reason = format!("it says ID={id}, the image says ID={system}");
            self.find(Warning, "os-differs", subject, reason, UAPI_5);
        }
        if number == 0 {
            texts.first = Some(fields);
        }
    }

    /// Checks that the kernel's modules are in the image.
    fn kernel(&mut self, subject: &Subject, profile: &Profile<'_>) {
        // profiles seldom have a kernel of their own
        if profile.number > 0 && !profile.has_own(".uname") {
            return;
        }
        match profile.uname() {
            None => self.find(Note, "uki-no-uname", subject, "it does not say which kernel it has", UAPI_5),
            Some(uname)
                if !self.modules.is_empty()
                    && self.modules.binary_search_by(|name| (**name).cmp(uname.as_bytes())).is_err() =>
            {
                let shown: Vec<_> =
                    self.modules.iter().take(MAX_NAMED).map(|name| String::from_utf8_lossy(name)).collect();
                let uname = shortened(&uname, MAX_FIELD);
                let reason = format!("kernel {uname}, and /usr/lib/modules has {}", shown.join(", "));
                self.find(Warning, "modules-missing", subject, reason, "kernel-install(8)");
            }
            Some(_) => {}
        }
    }

    /// What is about all of them.
    fn sum_up(&mut self, is_bootable: bool) {
        if is_bootable && self.entries.is_empty() {
            let reason = "there is neither a unified kernel image nor an entry of the boot loader";
            self.find(Error, "nothing-to-boot", &Subject::Whole, reason, UAPI_1);
        } else if is_bootable && self.uki_count == 0 {
            let reason = "there are entries of the boot loader only: nothing signs kernel, initrd and command line together";
            self.find(Warning, "no-uki", &Subject::Whole, reason, UAPI_5);
        }
        self.sum_up_sets();
        if self.system.unwrap_or_default() < self.options.required && self.report.passed() {
            let reason = "not all that was read of the root and /usr file systems is authenticated by a root hash or certificate that was given";
            self.find(Error, "not-authenticated", &Subject::Whole, reason, "ddi: trust options");
        }
        self.tell("system", self.system.map_or("not read", Assurance::name));
        self.entries.sort_by(Entry::compare);
        for entry in std::mem::take(&mut self.entries) {
            self.tell("order", entry.shown());
        }
        if self.is_fact_left_out {
            let reason = format!(
                "facts longer than {MAX_FACT} bytes, and more than {MAX_FACTS} bytes of all, are left out"
            );
            self.find(Note, "facts-left-out", &Subject::Whole, reason, "limit of ours");
        }
        for (name, values) in FACTS.into_iter().zip(std::mem::take(&mut self.facts)) {
            self.report.fact(name, values);
        }
    }
}

/// What the profiles of one UKI have in common: each section is looked at once, whatever number of profiles it is for.
#[derive(Default)]
struct Texts {
    /// True if systemd-boot makes the entry of it by itself.
    in_menu: bool,
    /// True if the base's own one was looked at.
    os_release: bool,
    pcr: bool,
    line: bool,
    /// The os-release of profile @0.
    first: Option<EnvFile>,
    /// The command line of the base, if it was parsed.
    inherited: Option<Option<Line>>,
}

impl Texts {
    /// Returns true if the section that the profile has was not seen before: it is its own, or that of the base for the
    /// first time.
    fn is_new(seen: &mut bool, profile: &Profile<'_>, name: &str) -> bool {
        profile.has_own(name) || !std::mem::replace(seen, true)
    }
}

/// The word on the command line.
fn key(role: Role) -> &'static str {
    match role {
        Role::Root => "roothash",
        Role::Usr => "usrhash",
    }
}

fn signed(uki: &Uki) -> &'static str {
    if uki.pe.certificates.is_some() { "with a signature that nobody checked" } else { "unsigned" }
}

#[cfg(test)]
mod tests;
