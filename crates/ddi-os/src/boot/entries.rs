//! Text entries of the boot loader (UAPI.1, *Type #1*), and what they start.

use ddi_gpt::Architecture;

use super::chain::Line;
use super::entry::{Entry, TypeOne};
use super::volume::{TreeFile, Volume};
use super::{Checker, Looked, MAX_ENTRY, MAX_FIELD, MAX_PATHS, PE, SYSTEMD_BOOT, UAPI_1, UAPI_5, UEFI, take};
use crate::uki::{CommandLine, Kind, Machine};
use crate::{Subject, find, shortened};
use ddi_core::MountError;
use ddi_core::Severity::{Error, Note, Warning};

/// What is not told of an entry that is never in the menu.
enum Shown {
    Yes,
    /// Not on any machine that the image is for.
    No,
}

impl Checker<'_> {
    /// An entry of the boot loader: /loader/entries/NAME.conf.
    pub(super) fn type_one(
        &mut self,
        volume: &Volume,
        name: &[u8],
        path: &[u8],
        file: &TreeFile,
    ) -> Result<(), MountError> {
        let subject = volume.subject_of(path);
        if self.is_passed_over(&subject, name) {
            return Ok(());
        }
        let text = match volume.tree.read(file.place, MAX_ENTRY) {
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
        if let Shown::No = self.is_shown(&subject, &entry) {
            return Ok(());
        }
        let mut starts_uki = false;
        for (key, file) in entry.paths() {
            if !take(&mut self.left.paths, 1) {
                let reason = format!("more than {MAX_PATHS} files that entries name");
                self.limit("too-many-paths", reason);
                break;
            }
            let subject = Subject::Field { path: volume.path(path), key: key.to_owned() };
            if file.split('/').any(|part| matches!(part, "." | "..")) {
                let reason = format!("{} has . or .. in it", shortened(&file, MAX_FIELD));
                self.find(Warning, "entry-path-not-plain", &subject, reason, UAPI_1);
            }
            let place = find(&volume.tree, file.as_bytes())?;
            let Some(found) = place.and_then(|place| TreeFile::new(&volume.tree, place)) else {
                let reason = format!("{} is not there", shortened(&file, MAX_FIELD));
                self.find(Error, "entry-file-missing", &subject, reason, UAPI_1);
                continue;
            };
            if matches!(key, "linux" | "efi" | "uki") {
                starts_uki |= self.target(volume, &subject, key, file.as_bytes(), &found)?;
            }
        }
        let starts_linux = entry.boots().any(|key| key == "linux");
        if !starts_linux && entry.paths().any(|(key, _)| key == "initrd") {
            let reason = "systemd-boot loads an initrd for linux alone";
            self.find(Warning, "entry-initrd-ignored", &subject, reason, SYSTEMD_BOOT);
        }
        if name.counters.is_some() && entry.boots().any(|key| matches!(key, "efi" | "uki-url")) {
            let reason = "tries are not counted of what efi or uki-url starts";
            self.find(Note, "boot-count-not-counted", &subject, reason, SYSTEMD_BOOT);
        }
        let line = Line::new(&CommandLine::parse(entry.options().as_bytes()));
        // without options, what it starts has its own command line
        if line.names_any() || (!starts_uki && starts_linux) {
            self.root_hashes(&subject, &shown, "", &line);
        }
        self.entries.push(Entry::of_type_one(name, &shown, &entry));
        Ok(())
    }

    /// Whether it is in the menu, as far as its own fields say.
    fn is_shown(&mut self, subject: &Subject, entry: &TypeOne) -> Shown {
        let mut kinds: Vec<_> = entry.boots().collect();
        kinds.sort_unstable();
        kinds.dedup();
        if kinds.len() > 1 {
            let reason = format!(
                "it has {}: systemd-boot passes it over since 258, and before took the last",
                kinds.join(" and ")
            );
            self.find(Error, "entry-keys-contradict", subject, reason, SYSTEMD_BOOT);
        }
        let Some(architecture) = entry.get("architecture") else { return Shown::Yes };
        let is_its = |known: &Architecture| {
            let name =
                Machine::removable(*known).and_then(|name| name.strip_prefix("BOOT")?.strip_suffix(".EFI"));
            name.is_some_and(|name| name.eq_ignore_ascii_case(architecture))
        };
        if self.architectures.is_empty() || self.architectures.iter().any(is_its) {
            return Shown::Yes;
        }
        let wanted: Vec<_> = self.architectures.iter().map(ToString::to_string).collect();
        let reason = format!(
            "it is for {} and hidden elsewhere, the partitions are for {}",
            shortened(architecture, MAX_FIELD),
            wanted.join(", ")
        );
        self.find(Warning, "entry-architecture", subject, reason, UAPI_1);
        Shown::No
    }

    /// Checks what an entry starts, unless that was looked at before. Returns true if it is a UKI.
    fn target(
        &mut self,
        volume: &Volume,
        field: &Subject,
        key: &str,
        path: &[u8],
        file: &TreeFile,
    ) -> Result<bool, MountError> {
        let known = self.looked.get(&(volume.designator, file.place)).copied();
        let looked = match known {
            Some(looked) => looked,
            None => self.look_at_target(volume, field, key, path, file)?,
        };
        let Some(looked) = looked else { return Ok(false) };
        let is_uki = looked.kind == Kind::Uki;
        if key == "uki" && !looked.is_like_uki {
            let reason = "it has neither a kernel nor an os-release, or is no EFI application";
            self.find(Error, "not-a-uki", field, reason, UAPI_5);
        } else if key == "uki" && !is_uki {
            let reason =
                "it has not both .linux and .osrel: systemd-boot starts it, and bootctl takes it for no UKI";
            self.find(Warning, "uki-incomplete", field, reason, UAPI_5);
        }
        // of a UKI, it was said with the file
        if !is_uki && !self.is_for_the_image(looked.machine) {
            let reason = format!("it starts a program for {}, the partitions are for others", looked.machine);
            self.find(Error, "machine-differs", field, reason, UEFI);
        }
        Ok(is_uki)
    }

    fn look_at_target(
        &mut self,
        volume: &Volume,
        field: &Subject,
        key: &str,
        path: &[u8],
        file: &TreeFile,
    ) -> Result<Option<Looked>, MountError> {
        let subject = volume.subject_of(path);
        match self.read_in(volume, file) {
            Some(Ok(uki)) => {
                if uki.kind == Kind::Uki {
                    self.uki(&subject, &volume.shown(path), None, &uki);
                    self.addons_of(volume, path)?;
                }
                Ok(Some(Looked::of(&uki)))
            }
            Some(Err(error)) if key == "linux" => {
                let reason =
                    format!("the firmware starts no kernel that is not a PE file with an EFI stub: {error}");
                self.find(Warning, "kernel-not-pe", field, reason, UAPI_1);
                Ok(None)
            }
            Some(Err(error)) => {
                self.find(Error, error.code(), &subject, error.to_string(), PE);
                Ok(None)
            }
            None => Ok(None),
        }
    }
}
