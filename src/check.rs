//! `ddi check`: whether an image does what it is meant for.

pub(crate) mod boot;
pub(crate) mod update;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use ddi_core::steps::{Contents, DissectionRecord, Files, ProveOptions, VeritySet, verity_sets};
use ddi_core::{Assurance, DataSize, Image, MountError, Severity, TrustedRootHash};
use ddi_fs::{Folder, Vfs};
use ddi_gpt::Architecture;
use ddi_os::metadata::{EnvFile, ExtensionClass, Found, MAX_FILE, Metadata};
use ddi_os::{
    CheckFinding, CheckReport, ExtensionHost, ExtensionImage, ExtensionScope, PortableScope, Subject,
};
use ddi_signature::Certificates;

use crate::cli::{CheckArgs, ExtensionArgs, GoldenArgs, PortableArgs, TrustArgs};
use crate::keep::Looked;
use crate::verify::open;
use crate::{ExitStatus, failure, output};

/// `ddi check portable`
pub(crate) fn portable(args: &PortableArgs) -> anyhow::Result<ExitStatus> {
    args.reading.keep.refuse(&args.reads(), Some(&args.reading.trust))?;
    let trust = Trust::load(&args.reading.trust)?;
    let root = Layer::open(&args.image, &args.reading, &trust)?;
    let open = |path: &PathBuf| Layer::open(path, &args.reading, &trust);
    let extensions = args.extensions.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let scope = if args.scope == "user" { PortableScope::User } else { PortableScope::System };
    let architecture = args.reading.architecture(root.opened.architecture())?;
    let result = (|| {
        let root_files = root.files(&trust)?;
        let files = extensions.iter().map(|layer| layer.files(&trust)).collect::<Result<Vec<_>, _>>()?;
        let layers: Vec<_> =
            extensions.iter().zip(&files).map(|(layer, files)| layer.as_extension(files)).collect();
        let image = root.as_extension(&root_files);
        ddi_os::portable(&image, &layers, &args.prefixes, scope, architecture)
    })();
    trust.finish("portable", &args.image, result, &args.reading, Some(&root.opened))
}

/// `ddi check extension`
pub(crate) fn extension(args: &ExtensionArgs) -> anyhow::Result<ExitStatus> {
    args.reading.keep.refuse(&args.reads(), Some(&args.reading.trust))?;
    let trust = Trust::load(&args.reading.trust)?;
    let host = Host::new(args, &trust)?;
    let open = |path: &PathBuf| Layer::open(path, &args.reading, &trust);
    let images = args.images.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let architecture = args.reading.architecture(host.architecture)?;
    let scope = match &*args.scope {
        "initrd" => ExtensionScope::Initrd,
        "portable" => ExtensionScope::Portable,
        _ => ExtensionScope::System,
    };
    let class = args.class.as_deref().map(|name| match name {
        "confext" => ExtensionClass::Confext,
        _ => ExtensionClass::Sysext,
    });
    let result = (|| {
        let files = images.iter().map(|layer| layer.files(&trust)).collect::<Result<Vec<_>, _>>()?;
        let layers: Vec<_> =
            images.iter().zip(&files).map(|(layer, files)| layer.as_extension(files)).collect();
        let about = ExtensionHost { os_release: &host.os_release, architecture, tree: host.tree.as_ref() };
        let mut report = ddi_os::extension(&layers, &about, scope, class)?;
        // what the host says decides as much as what the extension says
        report.assurance = report.assurance.min(host.assurance);
        report.fact("host-from", [&host.origin]);
        Ok(report)
    })();
    // of several, none is the one that the report is about
    let about = match &images[..] {
        [one] => Some(&one.opened),
        _ => None,
    };
    trust.finish("extension", Path::new(&failure::all(&args.images)), result, &args.reading, about)
}

impl PortableArgs {
    fn reads(&self) -> Vec<&Path> {
        [&self.image].into_iter().chain(&self.extensions).map(PathBuf::as_path).collect()
    }
}

impl ExtensionArgs {
    fn reads(&self) -> Vec<&Path> {
        let host = self.host.iter().chain(&self.host_os_release);
        self.images.iter().chain(host).map(PathBuf::as_path).collect()
    }
}

/// `ddi check golden`
pub(crate) fn golden(args: &GoldenArgs) -> anyhow::Result<ExitStatus> {
    args.reading.keep.refuse(&[&args.image], Some(&args.reading.trust))?;
    let trust = Trust::load(&args.reading.trust)?;
    let opened = Opened::new(&args.image, &args.reading, &trust)?;
    let options = trust.options();
    let result = ddi_os::golden(&opened.image, &opened.contents(&options));
    trust.finish("golden", &args.image, result, &args.reading, Some(&opened))
}

/// Who is trusted, and whether what is read must be authenticated by them.
pub(crate) struct Trust {
    trusted: Vec<TrustedRootHash>,
    certificates: Certificates,
    data_sizes: Vec<DataSize>,
    require_bound_size: bool,
    /// Something was given: what is read must be authenticated by it.
    demanded: bool,
}

impl Trust {
    pub(crate) fn load(args: &TrustArgs) -> anyhow::Result<Self> {
        let trusted = args.root_hashes()?;
        let demanded = !trusted.is_empty() || !args.certificates.files.is_empty();
        let data_sizes = args.data_sizes()?.to_vec();
        let require_bound_size = args.require_bound_size;
        Ok(Trust {
            trusted,
            certificates: args.certificates.load()?,
            data_sizes,
            require_bound_size,
            demanded,
        })
    }

    /// How protected partitions are opened.
    pub(crate) fn options(&self) -> ProveOptions<'_> {
        let mut options = ProveOptions::default();
        options.trusted = &self.trusted;
        options.certificates = Some(&self.certificates);
        options.data_sizes = &self.data_sizes;
        options.require_bound_size = self.require_bound_size;
        options
    }

    /// Prints what the check came to.
    ///
    /// That an image is refused, or is not what its root hash says, is an answer; that it cannot be read is none.
    pub(crate) fn finish(
        &self,
        check: &'static str,
        path: &Path,
        result: Result<CheckReport, MountError>,
        args: &CheckArgs,
        opened: Option<&Opened>,
    ) -> anyhow::Result<ExitStatus> {
        let mut report = match result {
            Ok(report) => report,
            Err(error) => {
                let Some(finding) = CheckFinding::of_unreadable(&error) else {
                    return Err(error).with_context(|| path.display().to_string());
                };
                let mut report = CheckReport::new(check, Assurance::Claimed);
                report.add(finding);
                report
            }
        };
        // a check that failed anyway needs no second reason
        if self.demanded && report.assurance != Assurance::Authenticated && report.passed() {
            report.find(
                Severity::Error,
                "not-authenticated",
                Subject::Whole,
                "not all that was read is authenticated by a root hash or certificate that was given",
                "ddi: trust options",
            );
        }
        let outcome = if report.passed() { ExitStatus::Good } else { ExitStatus::Bad };
        if !args.keep.markdown {
            output::check(path, &report, args.json)?;
        }
        if args.keep.wants_more() {
            let look = |opened: &Opened| {
                let dissect = args.select.options(&opened.image, &self.trusted, None)?;
                let about = (&opened.image, &opened.dissection);
                anyhow::Ok(Looked::new(&args.keep, path, about, &dissect, &self.options()))
            };
            // of several images, none is the one to look at
            let looked = opened.map(look).transpose()?;
            args.keep.write(path, &report.to_json(&path.display().to_string()), looked)?;
        }
        Ok(outcome)
    }
}

/// An image, and what is known of it before its file systems are opened.
pub(crate) struct Opened {
    pub(crate) image: Image,
    pub(crate) dissection: DissectionRecord,
    pub(crate) sets: Vec<VeritySet>,
}

impl Opened {
    pub(crate) fn new(path: &Path, args: &CheckArgs, trust: &Trust) -> anyhow::Result<Self> {
        let image = open(path, &args.unpack)?;
        let dissection = DissectionRecord::new(&image, &args.select.options(&image, &trust.trusted, None)?);
        let sets = verity_sets(&image, &dissection, &trust.options().bind());
        Ok(Opened { image, dissection, sets })
    }

    /// Its file systems.
    pub(crate) fn contents<'a>(&'a self, options: &'a ProveOptions<'a>) -> Contents<'a> {
        Contents::new(&self.image, &self.dissection, &self.sets, options)
    }
}

impl Opened {
    /// The machine that it is for, if its partition types say so.
    fn architecture(&self) -> Option<Architecture> {
        self.dissection.outcome.as_ref().ok().and_then(|dissected| dissected.architecture())
    }
}

impl CheckArgs {
    /// The machine that was asked for, else `found`, else this one, as systemd calls it.
    fn architecture(&self, found: Option<Architecture>) -> anyhow::Result<&'static str> {
        let architecture = match &self.select.architecture {
            Some(name) => Some(name.parse().with_context(|| format!("architecture {name} is not known"))?),
            None => found.or(Architecture::NATIVE),
        };
        Ok(architecture.map_or("", Architecture::name))
    }
}

/// One of several images that are put on top of each other.
struct Layer {
    path: PathBuf,
    opened: Opened,
}

impl Layer {
    fn open(path: &Path, args: &CheckArgs, trust: &Trust) -> anyhow::Result<Self> {
        Ok(Layer { path: path.to_owned(), opened: Opened::new(path, args, trust)? })
    }

    fn files(&self, trust: &Trust) -> Result<Files, MountError> {
        self.opened.contents(&trust.options()).system()
    }

    fn as_extension<'a>(&self, files: &'a Files) -> ExtensionImage<'a> {
        ExtensionImage {
            shown: self.path.display().to_string(),
            file_name: self.opened.image.file_name().map(|name| name.to_string_lossy().into_owned()),
            name: self.opened.image.name(),
            files,
        }
    }
}

/// What extensions are for.
struct Host {
    os_release: EnvFile,
    /// Its files, if more than an os-release is known.
    tree: Option<Vfs>,
    architecture: Option<Architecture>,
    assurance: Assurance,
    /// Whether it is the user's own word, or an image's.
    origin: String,
}

impl Host {
    fn new(args: &ExtensionArgs, trust: &Trust) -> anyhow::Result<Self> {
        match (&args.host_os_release, &args.host) {
            (Some(path), _) => Self::from_file(path),
            (None, Some(path)) => Self::open(path, &args.reading, trust),
            (None, None) => bail!("neither --host nor --host-os-release is given"),
        }
    }

    /// A directory is the user's own word, and so is a file that is called as such files are: whoever writes an image chooses its
    /// bytes, but not the name that it is given here. An image must be proven like any other. Only if nothing has to be proven,
    /// what looks like an os-release is taken for one.
    fn open(path: &Path, args: &CheckArgs, trust: &Trust) -> anyhow::Result<Self> {
        let shown = || path.display().to_string();
        if path.is_dir() {
            let tree = Vfs::new(Some(Arc::new(Folder::open(path).with_context(shown)?)));
            let found = os_release_of(&tree).with_context(shown)?;
            let place = path.join(String::from_utf8_lossy(&found.path).trim_start_matches('/'));
            return Ok(Host {
                os_release: found.value,
                tree: Some(tree),
                architecture: None,
                assurance: Assurance::Authenticated,
                origin: format!("file {}, taken as it is", place.display()),
            });
        }
        let is_called_so = ["os-release", "initrd-release"].iter().any(|name| path.ends_with(name));
        if is_called_so || !trust.demanded && env_text(path)?.is_some() {
            return Self::from_file(path);
        }
        let opened = Opened::new(path, args, trust)?;
        let files = match opened.contents(&trust.options()).system() {
            Ok(files) => files,
            Err(error @ MountError::Refused(ddi_core::Error::NothingRecognised)) => {
                let hint = "an os-release of any name is given with --host-os-release";
                return Err(error).with_context(|| format!("{}: {hint}", shown()));
            }
            Err(error) => return Err(error).with_context(shown),
        };
        Ok(Host {
            os_release: os_release_of(&files.tree).with_context(shown)?.value,
            architecture: opened.architecture(),
            assurance: files.assurance(),
            origin: format!("image {}, {}", shown(), files.assurance().name()),
            tree: Some(files.tree),
        })
    }

    /// Takes an os-release for the user's own word.
    fn from_file(path: &Path) -> anyhow::Result<Self> {
        let shown = || path.display().to_string();
        let Some(text) = env_text(path)? else { bail!("{}: it is no os-release", shown()) };
        Ok(Host {
            os_release: EnvFile::parse(&text).with_context(shown)?,
            tree: None,
            architecture: None,
            assurance: Assurance::Authenticated,
            origin: format!("file {}, taken as it is", shown()),
        })
    }
}

/// The os-release in that tree: links in it stay inside.
fn os_release_of(tree: &Vfs) -> anyhow::Result<Found<EnvFile>> {
    Metadata::read(tree, None).os_release?.context("there is no os-release in it")
}

/// The file's content, if it can be an os-release: a short text.
fn env_text(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    let read = || -> std::io::Result<Option<Vec<u8>>> {
        if !fs::metadata(path)?.is_file() {
            return Ok(None);
        }
        let mut text = Vec::new();
        File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut text)?;
        Ok((text.len() as u64 <= MAX_FILE && !text.contains(&0)).then_some(text))
    };
    read().with_context(|| path.display().to_string())
}
