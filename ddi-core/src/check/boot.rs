//! Boot: can the firmware and systemd-boot start the image, and does what they start pin the image's own partitions?
//!
//! ```text
//!   firmware ─▶ /EFI/BOOT/BOOT*.EFI ─▶ /EFI/Linux/*.efi, /loader/entries/*.conf ─▶ roothash= ─▶ GUIDs ─▶ hash tree
//! ```
//!
//! The ESP is not protected by anything in the image, so none of this is more than *consistent*: the command line says
//! the same as the hash tree. It becomes more if the firmware checks the signature of the UKI; whether there is one is
//! told, whose it is not asked.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::string_slice
    )
)]

mod entry;

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;

use ddi_gpt::{Architecture, Designator, PartitionType};
use ddi_verity::{ReadAt, RootHash};

use self::entry::{Entry, TypeOne};
use super::{CheckReport, Subject, find, names};
use crate::bind::VeritySet;
use crate::contents::{Contents, Files, Unreadable};
use crate::files::{FileType, Place, Tree};
use crate::finding::Severity::{Error, Note, Warning};
use crate::image::{Image, Table};
use crate::metadata::Metadata;
use crate::report::Assurance;
use crate::signed::SignatureState;
use crate::trust::Role;
use crate::uki::{BootName, BootState, CommandLine, Kind, Machine, Profile, Uki};

const UAPI_1: &str = "UAPI.1 Boot Loader Specification";
const UAPI_5: &str = "UAPI.5 Unified Kernel Image";
const BOOT_COUNTING: &str = "UAPI.1 Boot Loader Specification, Boot counting";
const PE: &str = "PE Format";
const UEFI: &str = "UEFI 2.10, 3.5.1.1";
const DPS_VERITY: &str = "Discoverable Partitions Specification, Verity";
const GENERATOR: &str = "systemd-veritysetup-generator(8)";

/// Largest entry of the boot loader that is read.
const MAX_ENTRY: u64 = 64 << 10;
/// Names told of a directory that may have many.
const MAX_SHOWN: usize = 8;

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

/// Checks what boots an image: the unified kernel images and entries in its ESP and its extended boot loader partition, and
/// `files`, which are to boot it.
///
/// The chain from a command line to the partitions is *consistent* if the root hash on it names partitions by their GUIDs
/// and is that of their hash tree. That each block matches is not asked: [`prove`](crate::prove()) does.
///
/// # Errors
/// The ESP or the extended boot loader partition is there and cannot be read.
pub fn boot(
    image: &Image,
    sets: &[VeritySet],
    contents: &Contents<'_>,
    files: &[UkiFile],
) -> Result<CheckReport, Unreadable> {
    let mut checker = Checker::new(image, sets);
    checker.look_at_system(contents);
    let mut volumes = Vec::new();
    for (designator, prefix) in [(Designator::Esp, &b"/efi"[..]), (Designator::Xbootldr, b"/boot")] {
        if let Some(mounted) = contents.designated(designator).transpose()? {
            volumes.push(Volume { designator, prefix, tree: Files::from(mounted).tree });
        }
    }
    let has_esp = volumes.iter().any(|volume| volume.designator == Designator::Esp);
    if !has_esp && files.is_empty() {
        checker.find(Error, "no-esp", &Subject::Whole, "there is no EFI system partition", UEFI);
    }
    for volume in &volumes {
        checker.look_into(volume)?;
    }
    for file in files {
        let base_name = file.name.rsplit('/').next().unwrap_or_default();
        checker.uki(&Subject::File(file.name.clone()), &file.name, base_name.as_bytes(), &*file.source);
    }
    checker.sum_up(has_esp || !files.is_empty());
    Ok(checker.report)
}

/// A partition that the boot loader reads.
struct Volume {
    designator: Designator,
    /// Where it is mounted usually.
    prefix: &'static [u8],
    tree: Tree,
}

impl Volume {
    fn subject(&self, path: &[u8]) -> Subject {
        Subject::Path([self.prefix, path].concat())
    }

    fn shown(&self, path: &[u8]) -> String {
        String::from_utf8_lossy(&[self.prefix, path].concat()).into_owned()
    }

    /// Regular files in a directory whose names end so, in any case.
    fn files(&self, directory: &str, suffix: &str) -> Result<Vec<NamedFile>, Unreadable> {
        let mut found = Vec::new();
        for (name, place) in names(&self.tree, directory.as_bytes())? {
            let has_suffix = name.len().checked_sub(suffix.len()).and_then(|at| name.get(at..));
            let path = [directory.as_bytes(), b"/", &name].concat();
            if has_suffix.is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes()))
                && name.first() != Some(&b'.')
                && let Some(file) = TreeFile::new(&self.tree, place)
            {
                found.push((name, path, file));
            }
        }
        Ok(found)
    }
}

/// Name, path from the root of the partition, and the file.
type NamedFile = (Vec<u8>, Vec<u8>, TreeFile);

/// A regular file in a tree.
struct TreeFile {
    tree: Tree,
    place: Place,
    size: u64,
}

impl TreeFile {
    fn new(tree: &Tree, place: Place) -> Option<Self> {
        let stat = tree.stat(place).ok().filter(|stat| stat.file_type == FileType::Regular)?;
        Some(TreeFile { tree: tree.clone(), place, size: stat.size })
    }
}

impl ReadAt for TreeFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let (mut offset, mut rest) = (offset, buf);
        while !rest.is_empty() {
            let n = self.tree.read_at(self.place, offset, rest).map_err(io::Error::other)?;
            let Some((_, after)) = rest.split_at_mut_checked(n).filter(|_| n > 0) else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            rest = after;
            offset = offset.saturating_add(u64::try_from(n).unwrap_or(u64::MAX));
        }
        Ok(())
    }
}

struct Checker<'a> {
    sets: &'a [VeritySet],
    report: CheckReport,
    /// Of the root and `/usr` partitions.
    architectures: Vec<Architecture>,
    /// `ID=` of the system's os-release.
    id: Option<String>,
    /// Names in `/usr/lib/modules`.
    modules: Vec<Vec<u8>>,
    /// What could be booted, in no particular order.
    entries: Vec<Entry>,
    /// Root hashes on some command line.
    named: Vec<(Role, RootHash)>,
    /// UKIs that were understood.
    uki_count: usize,
    ukis: Vec<String>,
    profiles: Vec<String>,
    sections: Vec<String>,
    chain: Vec<String>,
    loaders: Vec<String>,
    addons: Vec<String>,
}

impl<'a> Checker<'a> {
    fn new(image: &Image, sets: &'a [VeritySet]) -> Self {
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
            sets,
            report: CheckReport::new("boot", Assurance::Claimed),
            architectures,
            id: None,
            modules: Vec::new(),
            entries: Vec::new(),
            named: Vec::new(),
            uki_count: 0,
            ukis: Vec::new(),
            profiles: Vec::new(),
            sections: Vec::new(),
            chain: Vec::new(),
            loaders: Vec::new(),
            addons: Vec::new(),
        }
    }

    fn find(
        &mut self,
        severity: crate::finding::Severity,
        code: &'static str,
        subject: &Subject,
        reason: impl Into<String>,
        rule: &'static str,
    ) {
        self.report.find(severity, code, subject.clone(), reason, rule);
    }

    /// What is compared with the kernel images.
    fn look_at_system(&mut self, contents: &Contents<'_>) {
        let files = match contents.system() {
            Ok(files) => files,
            Err(error) => {
                let reason = format!("the system is not compared with what boots it: {error}");
                self.find(Note, "system-not-read", &Subject::Whole, reason, "ddi");
                return;
            }
        };
        let os_release = Metadata::read(&files.tree, None).os_release.ok().flatten();
        self.id = os_release.and_then(|found| found.value.get_non_empty("ID").map(str::to_owned));
        if let Ok(modules) = names(&files.tree, b"/usr/lib/modules") {
            self.modules = modules.into_iter().map(|(name, _)| name).collect();
        }
    }

    fn look_into(&mut self, volume: &Volume) -> Result<(), Unreadable> {
        if volume.designator == Designator::Esp {
            self.removable_loaders(volume)?;
        }
        for (name, path, file) in volume.files("/EFI/Linux", ".efi")? {
            self.uki(&volume.subject(&path), &volume.shown(&path), &name, &file);
            let extra = String::from_utf8_lossy(&path).into_owned() + ".extra.d";
            self.addons(volume, &extra)?;
        }
        self.addons(volume, "/loader/addons")?;
        for (name, path, file) in volume.files("/loader/entries", ".conf")? {
            self.type_one(volume, &name, &path, &file)?;
        }
        Ok(())
    }

    /// What the firmware starts when nobody told it what.
    fn removable_loaders(&mut self, volume: &Volume) -> Result<(), Unreadable> {
        let mut started = Vec::new();
        for (name, path, file) in volume.files("/EFI/BOOT", ".efi")? {
            let name = String::from_utf8_lossy(&name).into_owned();
            let Some(architecture) = Machine::of_removable(&name) else { continue };
            let subject = volume.subject(&path);
            let uki = match Uki::read(&file) {
                Ok(uki) => uki,
                Err(error) => {
                    self.find(Error, error.code(), &subject, error.to_string(), PE);
                    continue;
                }
            };
            started.push(architecture);
            self.loaders.push(format!(
                "{}: {}, {}, {}",
                volume.shown(&path),
                uki.pe.machine,
                uki.kind.name(),
                signed(&uki)
            ));
            if uki.pe.machine.architecture() != Some(architecture) {
                let reason = format!("it is for {}, and started on {architecture}", uki.pe.machine);
                self.find(Error, "loader-machine", &subject, reason, UEFI);
            }
            if uki.kind == Kind::Uki {
                self.uki(&subject, &volume.shown(&path), name.as_bytes(), &file);
            }
        }
        let missing: Vec<_> = self
            .architectures
            .iter()
            .filter(|architecture| !started.contains(architecture))
            .filter_map(|architecture| Machine::removable(*architecture))
            .collect();
        for name in missing {
            let subject = volume.subject(format!("/EFI/BOOT/{name}").as_bytes());
            let reason = "there is no boot loader that firmware starts by itself";
            self.find(Warning, "no-removable-loader", &subject, reason, UEFI);
        }
        Ok(())
    }

    /// Addons put words behind the command line, so they have the last one.
    fn addons(&mut self, volume: &Volume, directory: &str) -> Result<(), Unreadable> {
        for (_, path, file) in volume.files(directory, ".addon.efi")? {
            let subject = volume.subject(&path);
            match Uki::read(&file) {
                Err(error) => self.find(Error, error.code(), &subject, error.to_string(), PE),
                Ok(addon) if addon.kind != Kind::Addon => {
                    self.find(Warning, "not-an-addon", &subject, "it adds nothing, or has a kernel", UAPI_5);
                }
                Ok(addon) => {
                    let line =
                        addon.profile(0).and_then(|profile| profile.command_line()).unwrap_or_default();
                    self.addons.push(format!("{}: {}", volume.shown(&path), signed(&addon)));
                    if Role::ALL.iter().any(|role| line.value(key(*role)).is_some()) {
                        let reason = "its command line names a root hash, in place of that of the image it is added to";
                        self.find(Warning, "addon-root-hash", &subject, reason, UAPI_5);
                    }
                }
            }
        }
        Ok(())
    }

    /// One UKI. `name`: with the boot counters.
    fn uki(&mut self, subject: &Subject, shown: &str, name: &[u8], source: &dyn ReadAt) {
        let uki = match Uki::read(source) {
            Ok(uki) => uki,
            Err(error) => return self.find(Error, error.code(), subject, error.to_string(), PE),
        };
        if uki.kind != Kind::Uki {
            let reason = "it has not both a kernel and an os-release, or is no EFI application: systemd-boot passes it over";
            return self.find(Error, "not-a-uki", subject, reason, UAPI_5);
        }
        self.uki_count = self.uki_count.saturating_add(1);
        let name = self.boot_name(subject, name);
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
        if !self.architectures.is_empty()
            && !machine.architecture().is_some_and(|known| self.architectures.contains(&known))
        {
            let wanted: Vec<_> = self.architectures.iter().map(ToString::to_string).collect();
            let reason = format!("it is for {machine}, the partitions are for {}", wanted.join(", "));
            self.find(Error, "machine-differs", subject, reason, "Discoverable Partitions Specification");
        }
        let has_pcr =
            uki.pe.sections.iter().any(|section| section.name.is(".pcrsig") || section.name.is(".pcrpkey"));
        for profile in uki.profiles() {
            self.profile(subject, shown, &profile, has_pcr);
        }
        self.note_uki(shown, &uki, name);
    }

    fn note_uki(&mut self, shown: &str, uki: &Uki, name: BootName) {
        let base = uki.profile(0);
        let os_release =
            base.and_then(|profile| profile.os_release()).and_then(Result::ok).unwrap_or_default();
        let mut text = format!("{shown}: {}, {}, {}", uki.pe.machine, name.state().name(), signed(uki));
        for key in ["ID", "VERSION_ID", "IMAGE_ID", "IMAGE_VERSION"] {
            if let Some(value) = os_release.get_non_empty(key) {
                let _ = write!(text, ", {key}={value}");
            }
        }
        self.ukis.push(text);
        let sizes: Vec<_> = uki
            .pe
            .sections
            .iter()
            .map(|section| format!("{} {}", section.name, section.virtual_size))
            .collect();
        self.sections.push(format!("{shown}: {}", sizes.join(", ")));
        self.entries.push(Entry::of_uki(name, shown, &os_release));
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

    fn profile(&mut self, subject: &Subject, shown: &str, profile: &Profile<'_>, has_pcr: bool) {
        let number = profile.number;
        match profile.os_release() {
            Some(Err(error)) => {
                self.find(Error, "osrel-invalid", subject, format!("profile @{number}: {error}"), UAPI_5);
            }
            Some(Ok(fields)) => {
                let id = fields.get_non_empty("ID").map(str::to_owned);
                if id.is_none() && fields.get_non_empty("IMAGE_ID").is_none() {
                    let reason = format!("profile @{number}: its os-release has neither ID= nor IMAGE_ID=");
                    self.find(Warning, "osrel-incomplete", subject, reason, UAPI_5);
                }
                if let (Some(id), Some(system)) = (id, self.id.clone().filter(|_| number == 0))
                    && id != system
                {
                    let reason = format!("it says ID={id}, the image says ID={system}");
                    self.find(Warning, "os-differs", subject, reason, UAPI_5);
                }
            }
            None => {}
        }
        self.kernel(subject, profile);
        match profile.pcr_signatures() {
            Some(Err(error)) => {
                self.find(
                    Error,
                    "pcrsig-invalid",
                    subject,
                    format!("profile @{number}: .pcrsig: {error}"),
                    UAPI_5,
                );
            }
            found => {
                let signed = found.is_some_and(|found| found.is_ok_and(|found| !found.is_empty()));
                if has_pcr && !(signed && profile.has_own(".pcrsig")) {
                    let reason =
                        format!("profile @{number} has no signed PCR policy of its own, others have");
                    self.find(Warning, "profile-without-pcrsig", subject, reason, UAPI_5);
                }
            }
        }
        let (id, title) = profile.identity();
        let line = profile.command_line();
        let mut text = format!("{shown} @{number}:");
        for (key, value) in [("ID", id), ("TITLE", title)] {
            if let Some(value) = value {
                let _ = write!(text, " {key}={value}");
            }
        }
        let words = line.as_ref().map(|line| line.words().collect::<Vec<_>>().join(" "));
        let _ = write!(text, " {}", words.as_deref().unwrap_or("no command line"));
        self.profiles.push(text);
        self.root_hashes(
            subject,
            &format!("{shown} @{number}"),
            &format!("profile @{number}: "),
            &line.unwrap_or_default(),
        );
    }

    /// Are the kernel's modules in the image?
    fn kernel(&mut self, subject: &Subject, profile: &Profile<'_>) {
        // profiles seldom have a kernel of their own
        if profile.number > 0 && !profile.has_own(".uname") {
            return;
        }
        match profile.uname() {
            None => self.find(Note, "uki-no-uname", subject, "it does not say which kernel it has", UAPI_5),
            Some(uname)
                if !self.modules.is_empty() && !self.modules.iter().any(|name| *name == uname.as_bytes()) =>
            {
                let shown: Vec<_> =
                    self.modules.iter().take(MAX_SHOWN).map(|name| String::from_utf8_lossy(name)).collect();
                let reason = format!("kernel {uname}, and /usr/lib/modules has {}", shown.join(", "));
                self.find(Warning, "modules-missing", subject, reason, "kernel-install(8)");
            }
            Some(_) => {}
        }
    }

    /// Does a command line name the image's own partitions?
    fn root_hashes(&mut self, subject: &Subject, shown: &str, place: &str, line: &CommandLine) {
        let mut given = Vec::new();
        for role in Role::ALL {
            let Some(text) = line.value(key(role)).filter(|text| !text.is_empty()) else { continue };
            match text.parse::<RootHash>() {
                Ok(hash) => given.push((role, hash)),
                Err(error) => {
                    let reason = format!("{place}{}=: {error}", key(role));
                    self.find(Error, "root-hash-invalid", subject, reason, GENERATOR);
                    return;
                }
            }
        }
        if given.len() > 1 {
            let reason = format!("{place}both roothash= and usrhash=, which image dissection refuses");
            self.find(Warning, "both-root-and-usr-hash", subject, reason, "systemd-dissect(1)");
        }
        if given.is_empty() && !self.sets.is_empty() {
            // then the initrd looks for the partitions itself, and takes one that is signed if its image policy asks for that
            let by_signature = ["root", "mount.usr"]
                .iter()
                .any(|key| line.value(key).is_some_and(|value| value.starts_with("dissect")));
            let (severity, code) = match by_signature {
                true => (Note, "root-hash-by-signature"),
                false => (Error, "root-hash-missing"),
            };
            let reason = format!("{place}no root hash on the command line pins the protected partitions");
            self.find(severity, code, subject, reason, GENERATOR);
        }
        for (role, hash) in given {
            self.root_hash(subject, shown, place, role, hash);
        }
    }

    fn root_hash(&mut self, subject: &Subject, shown: &str, place: &str, role: Role, hash: RootHash) {
        let key = key(role);
        let of_role = || self.sets.iter().filter(|set| set.role == role);
        let Some(set) = of_role().find(|set| set.tree_root == Some(hash)) else {
            let known: Vec<_> =
                of_role().filter_map(|set| set.tree_root).map(|root| root.to_string()).collect();
            let (code, reason) = if known.is_empty() {
                (
                    "root-hash-without-tree",
                    format!("{place}{key}={hash}, and the image has no hash tree for {role}"),
                )
            } else {
                let known = known.join(", ");
                (
                    "root-hash-differs",
                    format!("{place}{key}={hash}, and the hash tree of the image has {known}"),
                )
            };
            return self.find(Error, code, subject, reason, GENERATOR);
        };
        if !self.named.contains(&(role, hash)) {
            self.named.push((role, hash));
        }
        if set.guids_match != Some(true) {
            let reason = format!(
                "{place}{key}= is that of the hash tree, but the GUIDs of the partitions are not its halves"
            );
            return self.find(Error, "root-hash-guids", subject, reason, GENERATOR);
        }
        let other =
            set.signatures.iter().any(|found| matches!(found.state, SignatureState::OtherRootHash { .. }));
        let is_signed = !set.signatures.is_empty() && !other;
        if other {
            let reason = format!("{place}{key}={hash}, and the signature partition is for another root hash");
            self.find(Warning, "signature-other-root-hash", subject, reason, DPS_VERITY);
        }
        let number = |part: Option<u32>| part.map_or_else(|| "?".to_owned(), |number| number.to_string());
        self.chain.push(format!(
            "{shown}: {key}={hash}: partitions {} and {}, {}: consistent, not authenticated",
            number(set.data.and_then(|data| data.number)),
            number(set.hash.number),
            if is_signed { "named by a signature too" } else { "no signature" },
        ));
    }

    /// An entry of the boot loader: /loader/entries/NAME.conf.
    fn type_one(
        &mut self,
        volume: &Volume,
        name: &[u8],
        path: &[u8],
        file: &TreeFile,
    ) -> Result<(), Unreadable> {
        let subject = volume.subject(path);
        let text = match file.tree.read(file.place, MAX_ENTRY) {
            Ok(text) => text,
            Err(error) => {
                self.find(Error, "entry-unreadable", &subject, error.to_string(), UAPI_1);
                return Ok(());
            }
        };
        let entry = TypeOne::parse(&text);
        let shown = volume.shown(path);
        let name = self.boot_name(&subject, name);
        if entry.boots().next().is_none() {
            let reason = "it has none of linux, efi, uki: systemd-boot passes it over";
            self.find(Error, "entry-boots-nothing", &subject, reason, UAPI_1);
            return Ok(());
        }
        for (key, path) in entry.paths() {
            let subject = Subject::Field {
                path: [volume.prefix, path_of(&subject, volume)].concat(),
                key: key.to_owned(),
            };
            match find(&volume.tree, path.as_bytes())?.and_then(|place| TreeFile::new(&volume.tree, place)) {
                None => {
                    self.find(Error, "entry-file-missing", &subject, format!("{path} is not there"), UAPI_1);
                }
                // those in there are looked at anyway
                Some(file) if key == "uki" && !path.to_ascii_lowercase().starts_with("/efi/linux/") => {
                    let base_name = path.rsplit('/').next().unwrap_or_default();
                    self.uki(
                        &volume.subject(path.as_bytes()),
                        &volume.shown(path.as_bytes()),
                        base_name.as_bytes(),
                        &file,
                    );
                }
                Some(_) => {}
            }
        }
        let line = CommandLine::parse(entry.options().as_bytes());
        let has_hash = Role::ALL.iter().any(|role| line.value(key(*role)).is_some());
        // without options, what it starts has its own command line
        if has_hash || entry.boots().any(|key| key == "linux") {
            self.root_hashes(&subject, &shown, "", &line);
        }
        self.entries.push(Entry::of_type_one(name, &shown, &entry));
        Ok(())
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
        let unnamed: Vec<_> = self
            .sets
            .iter()
            .filter(|set| set.tree_root.is_some_and(|root| !self.named.contains(&(set.role, root))))
            .map(|set| (set.data.and_then(|data| data.number), set.role))
            .collect();
        let has_entries = !self.entries.is_empty();
        for (number, role) in unnamed.into_iter().filter(|_| has_entries) {
            let subject = Subject::Partition { number, designator: Some(role.data()) };
            self.find(Note, "set-not-named", &subject, "no command line names its root hash", GENERATOR);
        }
        self.entries.sort_by(Entry::compare);
        let order: Vec<_> = self.entries.iter().map(Entry::shown).collect();
        for (name, values) in [
            ("loaders", std::mem::take(&mut self.loaders)),
            ("ukis", std::mem::take(&mut self.ukis)),
            ("sections", std::mem::take(&mut self.sections)),
            ("profiles", std::mem::take(&mut self.profiles)),
            ("addons", std::mem::take(&mut self.addons)),
            ("order", order),
            ("chain", std::mem::take(&mut self.chain)),
        ] {
            self.report.fact(name, values);
        }
    }
}

fn path_of<'s>(subject: &'s Subject, volume: &Volume) -> &'s [u8] {
    match subject {
        Subject::Path(path) => path.strip_prefix(volume.prefix).unwrap_or(path),
        _ => &[],
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
