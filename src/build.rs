//! `ddi build`: an image from definitions.

use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use ddi_build::{
    Archive, ArchiveOptions, ContentOptions, Contents, DefinitionOptions, Definitions, Empty, ImageSize,
    Owners, Plan, PlanOptions, Root, Signing, Specifiers, Tools, WriteOptions, parse_size,
};
use ddi_gpt::{Architecture, BlockSize, Gpt, Guid, Mode, PartitionType};
use ddi_io::{FileSource, ReadAt};
use ddi_os::metadata::EnvFile;
use ddi_signature::Certificate;
use ddi_signature::sign::Signer;

use crate::cli::{BuildArgs, DefinitionArgs, EmptyMode, SignerArgs};
use crate::output::{self, Made, Planned};
use crate::verity::destination::write_text;
use crate::{ExitStatus, sums};

/// Bytes of an os-release file, and of a passphrase file.
const MAX_SMALL_FILE: u64 = 64 << 10;

pub(crate) fn run(args: &BuildArgs) -> anyhow::Result<ExitStatus> {
    build(args)?;
    Ok(ExitStatus::Good)
}

/// Where files are copied from.
pub(crate) enum Files {
    Folder(Root),
    Archive(Archive),
}

impl Files {
    /// A folder, a tar archive, or one on standard input, without so many parts at the beginning of its names.
    pub(crate) fn open(path: &Path, strip: usize) -> anyhow::Result<Self> {
        let mut options = ArchiveOptions::new().strip_components(strip);
        if let Some(folder) = std::env::var_os("TMPDIR").filter(|folder| !folder.is_empty()) {
            options = options.folder(folder);
        }
        if path == Path::new("-") {
            ensure!(
                !std::io::stdin().is_terminal(),
                "an archive is no text: standard input must not be a terminal"
            );
            return Ok(Self::Archive(Archive::read(
                "standard input",
                &mut std::io::stdin().lock(),
                &options,
            )?));
        }
        if path.is_dir() {
            ensure!(strip == 0, "{}: is a folder, and --strip-components is for archives", path.display());
            return Ok(Self::Folder(Root::open(path).with_context(|| path.display().to_string())?));
        }
        Ok(Self::Archive(Archive::open(path, &options)?))
    }

    pub(crate) fn copied<'a>(&'a self, content: ContentOptions<'a>) -> ContentOptions<'a> {
        match self {
            Self::Folder(root) => content.copy_source(root),
            Self::Archive(archive) => content.copy_archive(archive),
        }
    }
}

/// Programs as the user's shell finds them, then those of the system.
pub(crate) fn tools() -> Tools {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
    let tools = folders.into_iter().rev().fold(Tools::new(), Tools::folder);
    match std::env::var_os("TMPDIR").filter(|folder| !folder.is_empty()) {
        Some(folder) => tools.temporary(folder),
        None => tools,
    }
}

fn build(args: &BuildArgs) -> anyhow::Result<()> {
    let root = Root::open(&args.root).with_context(|| args.root.display().to_string())?;
    let options = definition_options(args, &root)?;
    let definitions = match &args.definitions.definitions[..] {
        [] => Definitions::from_root(&root, &options)?,
        folders => Definitions::from_folders(folders, &options)?,
    };
    ensure!(!definitions.is_empty(), "there are no definitions");
    let (seed, is_random) = seed(&args.definitions)?;
    let signing = keys(&args.signing)?;

    let copy_source = args.copy_source.as_deref().map(|path| Files::open(path, 0)).transpose()?;
    let there = existing(&args.output, args.empty)?;
    let table = empty(args.empty).choose(there.as_ref().and_then(|there| there.table.as_ref()))?;
    let deferred = types("--defer-partitions", &args.defer_partitions, &options)?;
    let has_signer = signing.is_some() || args.defer_signature;
    // with a table that is there, the plan says whether a signature is still to be made
    if !has_signer && table.is_none() {
        definitions.check_signer(&deferred)?;
    }
    let tools = tools();
    let folder =
        args.output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut content = ContentOptions::new(&root, &tools, seed).folder(folder);
    if let Some(files) = &copy_source {
        content = files.copied(content);
    }
    if args.keep_owners {
        content = content.owners(Owners::AsRecorded);
    }
    if let Some(threads) = args.threads {
        content = content.threads(threads);
    }
    if let Some(epoch) = epoch()? {
        content = content.epoch(epoch);
    }
    let sector_size = sector_size(args.sector_size)?;
    if let Some(sector_size) = sector_size {
        content = content.sector_size(sector_size.bytes());
    }
    // before the plan: how large partitions must be depends on what goes into them
    let contents = Contents::prepare(&definitions, content)?;

    let mut plan_options = PlanOptions::new(seed)
        .image(&args.output)
        .sizes(contents.sizes().clone())
        .split(args.split)
        .defer(deferred)
        .signer(has_signer)
        .size(size(&args.size, there.as_ref())?);
    if let Some(sector_size) = sector_size {
        plan_options = plan_options.sector_size(sector_size);
    }
    if let Some(table) = table {
        plan_options = plan_options.table(table);
    }
    let plan = Plan::new(&definitions, &plan_options)?;
    for notice in plan.notices().iter().chain(contents.notices()) {
        output::warning(&notice.to_string());
    }
    // in JSON the seed is told in any case
    if is_random && !args.json {
        output::warning(&format!("the seed is random, and the image another one each time: --seed {seed}"));
    }
    if args.dry_run {
        return output::planned(&Planned { plan: &plan, seed, json: args.json });
    }
    let sums = sums::path(args.sums.as_deref(), folder)?;
    if let Some(path) = &sums {
        ensure!(*path != args.output, "--sums {}: is the image", path.display());
    }

    let mut write_options = WriteOptions::new().replace(there.is_some()).leave_unsigned(args.defer_signature);
    if let Some(threads) = args.threads {
        write_options = write_options.threads(threads);
    }
    if let Some((signer, certificate)) = &signing {
        write_options = write_options.signing(Signing::new(signer, certificate).bind(args.signing.bind_size));
    }
    let written = ddi_build::write(&plan, &definitions, &contents, &write_options)?;
    if let Some(path) = &sums {
        let files: Vec<&Path> = written.split.iter().map(PathBuf::as_path).chain([&*args.output]).collect();
        write_text(path, &sums::of(&files, args.threads)?).with_context(|| path.display().to_string())?;
    }
    output::built(&Made {
        written: &written,
        seed,
        tools: &tools.used(),
        sums: sums.as_deref(),
        json: args.json,
    })
}

/// An image that is there.
struct Existing {
    size: u64,
    table: Option<Gpt>,
}

fn existing(path: &Path, mode: EmptyMode) -> anyhow::Result<Option<Existing>> {
    let shown = || path.display().to_string();
    if mode == EmptyMode::Create {
        ensure!(fs::symlink_metadata(path).is_err(), "{}: is there already", shown());
        return Ok(None);
    }
    let disk = FileSource::open(path).with_context(shown)?;
    ensure!(disk.file().metadata().with_context(shown)?.is_file(), "{}: is not a regular file", shown());
    let examination = ddi_gpt::examine(disk.size(), None, |offset, buf| disk.read_exact_at(offset, buf));
    let table = match examination.with_context(shown)?.gpt(Mode::Tolerant) {
        Ok(table) => Some(table),
        Err(ddi_gpt::Error::NoTable) => None,
        // something was there that is not to be taken for nothing
        Err(error) if mode == EmptyMode::Force => {
            output::warning(&format!("{}: {error}", shown()));
            None
        }
        Err(error) => return Err(anyhow!(error).context(shown())),
    };
    Ok(Some(Existing { size: disk.size(), table }))
}

fn empty(mode: EmptyMode) -> Empty {
    match mode {
        EmptyMode::Create => Empty::Create,
        EmptyMode::Refuse => Empty::Refuse,
        EmptyMode::Allow => Empty::Allow,
        EmptyMode::Require => Empty::Require,
        EmptyMode::Force => Empty::Force,
    }
}

fn size(text: &str, there: Option<&Existing>) -> anyhow::Result<ImageSize> {
    let old = there.map_or(0, |there| there.size);
    match (text, there) {
        ("auto", None) => Ok(ImageSize::Auto),
        ("auto", Some(there)) => Ok(ImageSize::Bytes(there.size)),
        (text, _) => {
            Ok(ImageSize::Bytes(parse_size(text).with_context(|| format!("--size {text}"))?.max(old)))
        }
    }
}

/// How definitions are read.
fn definition_options(args: &BuildArgs, root: &Root) -> anyhow::Result<DefinitionOptions> {
    let mut specifiers = Specifiers::new(Architecture::NATIVE);
    for path in ["etc/os-release", "usr/lib/os-release"] {
        let shown = || root.path().join(path).display().to_string();
        if let Some(bytes) = root.read(path, MAX_SMALL_FILE).with_context(shown)? {
            specifiers = specifiers.os_release(&EnvFile::parse(&bytes).with_context(shown)?);
            break;
        }
    }
    let mut options = DefinitionOptions::new().specifiers(specifiers);
    if let Some(architecture) = args.architecture {
        options = options.architecture(architecture);
    }
    with_arguments(&args.definitions, options)
}

/// What the arguments say about them.
pub(crate) fn with_arguments(
    args: &DefinitionArgs,
    options: DefinitionOptions,
) -> anyhow::Result<DefinitionOptions> {
    let options = options.compatibility(args.compatible);
    let include = types("--include-partitions", &args.include_partitions, &options)?;
    let exclude = types("--exclude-partitions", &args.exclude_partitions, &options)?;
    Ok(options.include(include).exclude(exclude))
}

fn types(option: &str, names: &[String], options: &DefinitionOptions) -> anyhow::Result<Vec<PartitionType>> {
    let found = |name: &String| {
        options.partition_type(name).with_context(|| format!("{option}: {name} is no partition type"))
    };
    names.iter().map(found).collect()
}

/// `--sector-size`
pub(crate) fn sector_size(given: Option<u32>) -> anyhow::Result<Option<BlockSize>> {
    let Some(bytes) = given else { return Ok(None) };
    let found = BlockSize::from_bytes(bytes);
    Ok(Some(found.with_context(|| format!("--sector-size {bytes}: is no power of two from 512 to 4096"))?))
}

/// The seed, and whether nobody gave it.
pub(crate) fn seed(args: &DefinitionArgs) -> anyhow::Result<(Guid, bool)> {
    match args.seed {
        Some(seed) => Ok((seed, false)),
        None => Ok((Guid::from_uuid(crate::verity::format::random_uuid()?), true)),
    }
}

/// `SOURCE_DATE_EPOCH`
pub(crate) fn epoch() -> anyhow::Result<Option<u64>> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => Ok(Some(text.parse().with_context(|| format!("SOURCE_DATE_EPOCH={text}"))?)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(error).context("SOURCE_DATE_EPOCH"),
    }
}

/// Who signs, with the certificate.
pub(crate) fn keys(args: &SignerArgs) -> anyhow::Result<Option<(Signer, Certificate)>> {
    if args.certificate.is_none() {
        return Ok(None);
    }
    let certificate = args.certificate()?;
    let signer = args.signer(&certificate)?.context("--certificate needs --private-key or --sign-command")?;
    Ok(Some((signer, certificate)))
}
