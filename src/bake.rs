//! `ddi bake`: extension and portable images from a folder or a tar archive.

use anyhow::Context;
use ddi_build::{Bake, BakeKind, ContentOptions, Error, ErrorKind, Root, Signing, WriteOptions};
use ddi_core::steps::{
    Contents, DissectOptions, DissectionRecord, ProveOptions, VeritySettings, image_name, verity_sets,
};
use ddi_core::{Image, Severity};
use ddi_gpt::Architecture;
use ddi_os::metadata::EnvFile;
use ddi_os::{CheckReport, ExtensionHost, ExtensionImage, ExtensionScope, PortableScope};

use crate::ExitStatus;
use crate::build::{Files, epoch, keys, tools};
use crate::cli::{BakeArgs, BakeFormat, BakeWhat};
use crate::failure::Asked;
use crate::output::{self, Made};

pub(crate) fn run(args: &BakeArgs) -> anyhow::Result<ExitStatus> {
    match bake(args) {
        Ok(()) => Ok(ExitStatus::Good),
        Err(error) => match error.downcast_ref::<Error>().map(Error::kind) {
            Some(ErrorKind::Definition | ErrorKind::Unsupported | ErrorKind::Plan) => {
                let asked = args.json.then(|| Asked { image: Some(args.output.display().to_string()) });
                output::failed(&error, asked.as_ref());
                Ok(ExitStatus::Bad)
            }
            _ => Err(error),
        },
    }
}

fn bake(args: &BakeArgs) -> anyhow::Result<()> {
    let kind = match args.kind {
        BakeWhat::Sysext => BakeKind::Sysext,
        BakeWhat::Confext => BakeKind::Confext,
        BakeWhat::Portable => BakeKind::Portable,
    };
    let mut bake =
        Bake::new(kind, &args.output).bare(args.bare).squashfs(args.format == BakeFormat::Squashfs);
    let os = args
        .os
        .as_deref()
        .map(|os| os.split_once(':').map_or((os, None), |(id, version)| (id, Some(version))));
    if let Some((id, version)) = os {
        bake = bake.os(id, version);
    }
    if let Some(architecture) = args.architecture {
        bake = bake.architecture(architecture);
    }
    let signing = keys(&args.signing)?;
    let (seed, is_random) = match args.seed {
        Some(seed) => (seed, false),
        None => (ddi_gpt::Guid::from_uuid(crate::verity::format::random_uuid()?), true),
    };
    let files = Files::open(&args.source, args.strip_components)?;
    let (root, tools) = (Root::open("/").context("/")?, tools());
    let mut content = files.copied(ContentOptions::new(&root, &tools, seed));
    if let Some(epoch) = epoch()? {
        content = content.epoch(epoch);
    }
    let mut options = WriteOptions::new();
    if let Some(threads) = args.threads {
        (content, options) = (content.threads(threads), options.threads(threads));
    }
    if let Some((signer, certificate)) = &signing {
        options = options.signing(Signing::new(signer, certificate).bind(args.signing.bind_size));
    }
    let baked = bake.make(content, &options)?;
    for notice in &baked.notices {
        output::warning(&notice.to_string());
    }
    if is_random && !args.json {
        output::warning(&format!("the seed is random, and the image another one each time: --seed {seed}"));
    }
    // the image is there, whatever is said of it
    if let Err(error) = check(args, kind, os) {
        output::warning(&format!("{error:#}"));
    }
    if args.bare {
        return output::baked(&args.output, &baked);
    }
    output::built(&Made { written: &baked.written, seed, tools: &tools.used(), sums: None, json: args.json })
}

/// What would refuse the image: the rules of `ddi check extension` and `portable`, for the system that it is made for.
fn check(args: &BakeArgs, kind: BakeKind, os: Option<(&str, Option<&str>)>) -> anyhow::Result<()> {
    let shown = args.output.display().to_string();
    let image = Image::open(&args.output).with_context(|| shown.clone())?;
    let dissection =
        DissectionRecord::new(&image, &DissectOptions::new(VeritySettings::new(None, image.sidecars())));
    let options = ProveOptions::default();
    let sets = verity_sets(&image, &dissection, &options.bind());
    let files =
        Contents::new(&image, &dissection, &sets, &options).system().with_context(|| shown.clone())?;
    let file_name = args.output.file_name();
    let made = ExtensionImage {
        shown: shown.clone(),
        file_name: file_name.map(|name| name.to_string_lossy().into_owned()),
        name: file_name.and_then(image_name),
        files: &files,
    };
    let architecture = args.architecture.or(Architecture::NATIVE).map_or("", Architecture::name);
    let report: CheckReport = match kind.class() {
        None => ddi_os::portable(&made, &[], &[], PortableScope::System, architecture)?,
        Some(class) => {
            // any system takes what is for any
            let (id, version) = os.filter(|(id, _)| *id != "_any").unwrap_or(("linux", None));
            let version = version.map(|version| format!("VERSION_ID={version}\n")).unwrap_or_default();
            let os_release = EnvFile::parse(format!("ID={id}\n{version}").as_bytes())?;
            let host = ExtensionHost { os_release: &os_release, architecture, tree: None };
            ddi_os::extension(&[made], &host, ExtensionScope::System, Some(class))?
        }
    };
    for finding in report.findings.iter().filter(|finding| finding.severity != Severity::Note) {
        output::warning(&format!("{shown}: {}", finding.reason));
    }
    Ok(())
}
