//! What the files of an image say about it, and how far that can be relied upon.

use crate::metadata::{self, Metadata, UseAs};
use ddi_core::steps::Contents;
use ddi_core::steps::FactError;
use ddi_core::{Assurance, Report};
use ddi_core::{Error, ErrorKind};
use ddi_core::{Finding, FindingKind, Severity};
use ddi_core::{MountError, Mounted};
use ddi_fs as files;

/// What systemd-dissect tells of an image after mounting it: read from the root and the `/usr` file system.
#[derive(Debug)]
#[non_exhaustive]
pub struct SystemFacts {
    /// The file systems that were read, root first. None: the image has neither root nor `/usr`.
    pub mounted: Vec<Mounted>,
    /// How far each of the facts can be relied upon: as far as the least of the file systems.
    pub assurance: Assurance,
    /// The facts.
    pub metadata: Metadata,
    /// What the image can be used as.
    pub use_as: UseAs,
}

impl SystemFacts {
    /// Reads few and small files. `image_name` is that of the image without suffixes, which extensions are looked for
    /// by; `has_esp` says whether there is an EFI system partition.
    ///
    /// # Errors
    /// As [`Contents::system`]; [`files::Error::Budget`] if not everything could be looked at.
    pub fn read(
        contents: &Contents<'_>,
        image_name: Option<&str>,
        has_esp: bool,
    ) -> Result<Self, MountError> {
        let files = contents.system()?;
        let assurance = files.assurance();
        let metadata = Metadata::read(&files.tree, image_name);
        let use_as = metadata.use_as(has_esp);
        // what was not looked at would seem not to be there
        files.tree.check_complete().map_err(MountError::FileSystem)?;
        Ok(SystemFacts { mounted: files.mounted, assurance, metadata, use_as })
    }

    /// What could not be told although its file is there: the name of the fact and the reason.
    pub fn missing(&self) -> impl Iterator<Item = (&'static str, &metadata::Error)> {
        let Metadata {
            hostname,
            machine_id,
            machine_info,
            os_release,
            initrd_release,
            sysext_release,
            confext_release,
            ..
        } = &self.metadata;
        [
            ("hostname", hostname.as_ref().err()),
            ("machine-id", machine_id.as_ref().err()),
            ("machine-info", machine_info.as_ref().err()),
            ("os-release", os_release.as_ref().err()),
            ("initrd-release", initrd_release.as_ref().err()),
            ("sysext release", sysext_release.as_ref().err()),
            ("confext release", confext_release.as_ref().err()),
        ]
        .into_iter()
        .filter_map(|(name, error)| Some((name, error?)))
    }
}

impl SystemFacts {
    /// Adds the findings about what is inside to the report of its image.
    pub fn note(inside: &Result<SystemFacts, MountError>, report: &mut Report) {
        let problems: Vec<FactError> = match inside {
            Ok(inside) => inside
                .missing()
                .map(|(what, error)| {
                    let severity = match error {
                        metadata::Error::File(files::Error::Io { .. } | files::Error::Budget(_)) => {
                            Severity::Error
                        }
                        _ => Severity::Warning,
                    };
                    FactError::new(what, error.code(), severity, error)
                })
                .collect(),
            Err(error) => severity(error)
                .map(|severity| FactError::new("files", error.code(), severity, error))
                .into_iter()
                .collect(),
        };
        report
            .findings
            .extend(problems.into_iter().map(|problem| Finding::new(FindingKind::Inside(problem))));
        report.findings.sort_by_key(|finding| core::cmp::Reverse(finding.severity));
    }
}

/// How bad it is that nothing can be read; `None` if there is a finding already.
fn severity(error: &MountError) -> Option<Severity> {
    match error {
        MountError::Refused(_)
        | MountError::Unproven(
            Error::UnrecognisedContent { .. } | Error::ContentTooLarge { .. } | Error::UnfitContent { .. },
        ) => None,
        MountError::Unproven(error) => match error.kind() {
            ErrorKind::Corrupt | ErrorKind::Mismatch | ErrorKind::Io => Some(Severity::Error),
            _ => Some(Severity::Warning),
        },
        MountError::Source(_) => Some(Severity::Error),
        // no fault of the image
        MountError::Encrypted | MountError::FileSystem(files::Error::NoReader { .. }) => Some(Severity::Note),
        MountError::FileSystem(files::Error::Io { .. } | files::Error::Budget(_)) => Some(Severity::Error),
        _ => Some(Severity::Warning),
    }
}
