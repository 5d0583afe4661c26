//! The partitions that are read before there is a kernel, and whether the firmware can read them.

use ddi_gpt::{Designator, PartitionType};

use super::{Checker, UAPI_1, UEFI, Volume};
use crate::Subject;
use ddi_core::MountError;
use ddi_core::Severity::{Error, Warning};
use ddi_core::steps::Table;
use ddi_core::steps::{Contents, Files};
use ddi_fs as files;
use ddi_fs::FsKind;

impl Checker<'_> {
    /// Opens the ESP and the extended boot loader partition. One that the firmware cannot read is a finding, and is looked
    /// into as far as we can.
    pub(super) fn volumes(&mut self, contents: &Contents<'_>) -> Result<Vec<Volume>, MountError> {
        let mut volumes = Vec::new();
        for (designator, prefix) in [(Designator::Esp, &b"/efi"[..]), (Designator::Xbootldr, b"/boot")] {
            let Some(opened) = contents.designated(designator) else { continue };
            let subject =
                Subject::Partition { number: contents.number_of(designator), designator: Some(designator) };
            self.tell("unprotected", designator.name());
            self.only_one(designator, &subject);
            let what = match &opened {
                Ok(mounted) if mounted.kind == FsKind::Vfat => None,
                Ok(mounted) => Some(format!("it is {}", mounted.kind.name())),
                Err(MountError::Unrecognised) => Some("no file system is recognised in it".to_owned()),
                Err(MountError::Encrypted) => Some("it is encrypted".to_owned()),
                Err(MountError::FileSystem(error @ files::Error::NoReader { .. })) => Some(error.to_string()),
                Err(MountError::FileSystem(error)) if is_damage(error) => {
                    self.damaged(&subject, error);
                    None
                }
                // it could not be told
                Err(_) => None,
            };
            match (what, designator) {
                (None, _) => {}
                (Some(what), Designator::Esp) => {
                    let reason =
                        format!("{what}, and must be FAT: firmware starts nothing from anything else");
                    self.find(Error, "esp-not-vfat", &subject, reason, UAPI_1);
                }
                (Some(what), _) => {
                    let reason = format!(
                        "{what}, and should be FAT: without a driver in /EFI/systemd/drivers nothing in it is in the menu"
                    );
                    self.find(Warning, "xbootldr-not-vfat", &subject, reason, UAPI_1);
                }
            }
            match opened {
                Ok(mounted) => {
                    let mounted = Files::from(mounted);
                    volumes.push(Volume { designator, prefix, subject, tree: mounted.tree });
                }
                Err(
                    MountError::Unrecognised
                    | MountError::Encrypted
                    | MountError::FileSystem(files::Error::NoReader { .. }),
                ) => {}
                Err(MountError::FileSystem(error)) if is_damage(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(volumes)
    }

    /// The firmware starts from any ESP, and systemd-boot reads the first extended boot loader partition of the table.
    fn only_one(&mut self, designator: Designator, subject: &Subject) {
        let Table::Gpt(gpt) = self.image.table() else { return };
        let wanted = PartitionType::Designated(designator, None);
        let numbers = gpt.partitions().iter().filter(|partition| partition.partition_type() == wanted);
        let numbers: Vec<_> = numbers.take(super::MAX_NAMED).map(|found| found.number.to_string()).collect();
        if numbers.len() > 1 {
            let reason = format!("there may be one of this type: partitions {} are", numbers.join(", "));
            self.find(Warning, "boot-partition-twice", subject, reason, UAPI_1);
        }
    }

    /// Looks into a partition. That it is damaged is a finding, and not the end of the check.
    pub(super) fn look_into(&mut self, volume: &Volume) -> Result<(), MountError> {
        match self.look_at_files(volume) {
            Err(MountError::FileSystem(error)) if is_damage(&error) => {
                self.damaged(&volume.subject, &error);
                Ok(())
            }
            looked => looked,
        }
    }

    fn damaged(&mut self, subject: &Subject, error: &files::Error) {
        self.find(
            Error,
            "boot-partition-damaged",
            subject,
            format!("its file system is damaged: {error}"),
            UEFI,
        );
    }
}

/// Returns true if it is about the file system, and not about our reading of it.
fn is_damage(error: &files::Error) -> bool {
    matches!(
        error,
        files::Error::Corrupt { .. } | files::Error::Unsupported { .. } | files::Error::Features { .. }
    )
}
