//! `ddi_image_check`: whether an image does what it is meant for.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ddi_core::steps::Contents;
use ddi_core::{Assurance, MountError, Severity};
use ddi_gpt::Architecture;
use ddi_os::metadata::{EnvFile, ExtensionClass, MAX_FILE};
use ddi_os::{
    BootOptions, CheckFinding, CheckReport, ExtensionHost, ExtensionImage, ExtensionScope, PortableScope,
    Subject,
};
use serde_json::Value;

use crate::error::{Error, Status};
use crate::image::Image;
use crate::options::Options;

impl Image {
    /// `ddi.check/1`, and why the image does not pass.
    pub(crate) fn check(&self, check: &str, options: Option<&str>) -> Result<(Value, Option<Error>), Error> {
        let mut options = Options::parse(options)?;
        let disk = self.disk();
        let prove = disk.prove_options();
        let contents = Contents::new(disk.image(), disk.record(), disk.verity_sets(), &prove);
        let (check, result) = match check {
            "golden" => {
                options.finish()?;
                ("golden", ddi_os::golden(disk.image(), &contents))
            }
            "boot" => {
                options.finish()?;
                let mut boot = BootOptions::default();
                boot.trusted = prove.trusted;
                boot.required = self.least();
                ("boot", ddi_os::boot(disk.image(), disk.verity_sets(), &contents, &boot))
            }
            "portable" => {
                let prefixes = options.texts("prefixes")?.unwrap_or_default();
                let scope = options.word("scope", |name| match name {
                    "system" => Some(PortableScope::System),
                    "user" => Some(PortableScope::User),
                    _ => None,
                })?;
                options.finish()?;
                let scope = scope.unwrap_or(PortableScope::System);
                ("portable", self.portable(&contents, &prefixes, scope))
            }
            "extension" => ("extension", self.extension(&contents, options)?),
            other => {
                let known = "portable, extension, golden or boot";
                return Err(Error::usage("unknown-check", format!("there is no check {other}: {known}")));
            }
        };
        let mut report = match result {
            Ok(report) => report,
            // that it is refused is an answer; that it cannot be read is none
            Err(error) => {
                let Some(finding) = CheckFinding::of_unreadable(&error) else { return Err(error.into()) };
                let mut report = CheckReport::new(check, Assurance::Claimed);
                report.add(finding);
                report
            }
        };
        // nothing authenticates an ESP: that check itself asks for what can be
        if check != "boot" && report.assurance < self.least() && report.passed() {
            report.find(
                Severity::Error,
                "not-authenticated",
                Subject::Whole,
                "not all that was read is authenticated by what is trusted",
                "ddi: trust options",
            );
        }
        let worst = report.findings.iter().find(|finding| finding.severity == Severity::Error);
        let error = worst.map(|finding| {
            Error::new("mismatch", finding.code, finding.reason.clone()).with_status(Status::Refused)
        });
        Ok((report.to_json(&self.name()), error))
    }

    fn portable(
        &self,
        contents: &Contents<'_>,
        prefixes: &[String],
        scope: PortableScope,
    ) -> Result<CheckReport, MountError> {
        let files = contents.system()?;
        let image = self.as_extension(&files);
        ddi_os::portable(&image, &[], prefixes, scope, self.architecture())
    }

    fn extension(
        &self,
        contents: &Contents<'_>,
        mut options: Options,
    ) -> Result<Result<CheckReport, MountError>, Error> {
        let path = options.text("hostOsRelease")?;
        let scope = options.word("scope", |name| match name {
            "system" => Some(ExtensionScope::System),
            "initrd" => Some(ExtensionScope::Initrd),
            "portable" => Some(ExtensionScope::Portable),
            _ => None,
        })?;
        let class = options.word("class", |name| match name {
            "sysext" => Some(ExtensionClass::Sysext),
            "confext" => Some(ExtensionClass::Confext),
            _ => None,
        })?;
        options.finish()?;
        let path = path.ok_or_else(|| Error::usage("options", "option hostOsRelease is needed"))?;
        let os_release = os_release(Path::new(&path))?;
        let host = ExtensionHost { os_release: &os_release, architecture: self.architecture(), tree: None };
        let check = || {
            let files = contents.system()?;
            let image = self.as_extension(&files);
            ddi_os::extension(&[image], &host, scope.unwrap_or(ExtensionScope::System), class)
        };
        Ok(check())
    }

    fn as_extension<'a>(&self, files: &'a ddi_core::steps::Files) -> ExtensionImage<'a> {
        let image = self.disk().image();
        ExtensionImage {
            shown: self.name(),
            file_name: image.file_name().map(|name| name.to_string_lossy().into_owned()),
            name: image.name(),
            files,
        }
    }

    /// The machine that it is for, else this one, as systemd calls it.
    fn architecture(&self) -> &'static str {
        let found = self.disk().record().outcome.as_ref().ok().and_then(|dissected| dissected.architecture());
        found.or(Architecture::NATIVE).map_or("", Architecture::name)
    }
}

/// The os-release of a host, which the caller vouches for.
fn os_release(path: &Path) -> Result<EnvFile, Error> {
    let mut text = Vec::new();
    // neither a FIFO nor a device: neither waits
    ddi_io::FileSource::open(path)?;
    File::open(path)?.take(MAX_FILE.saturating_add(1)).read_to_end(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|len| len > MAX_FILE) {
        return Err(Error::usage("options", format!("hostOsRelease has more than {MAX_FILE} bytes")));
    }
    Ok(EnvFile::parse(&text)?)
}
