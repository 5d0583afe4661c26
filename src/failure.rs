//! What a program that asked for JSON is told when there is no answer, and what the exit status says then.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use ddi_build::ErrorKind as BuildKind;
use ddi_core::json::Failure;
use ddi_verity::ErrorKind;

use crate::ExitStatus;
use crate::cli::{CheckCommand, Command, PolicyCommand, VerityCommand};

/// That JSON was asked for, and of what.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The image or file, as it was named; several are told as `ddi.check/1` does.
    pub(crate) image: Option<String>,
}

impl Command {
    /// Returns true if the command may take long, and tells nothing meanwhile.
    pub(crate) fn is_silent_work(&self) -> bool {
        let is_listed =
            matches!(self, Command::Ls(_) | Command::Mtree(_) | Command::Cat(_) | Command::Read(_));
        !is_listed || !std::io::stdout().is_terminal()
    }

    /// What is asked for in JSON, if anything is.
    pub(crate) fn asked(&self) -> Option<Asked> {
        let (json, image) = match self {
            Command::Inspect(args) => (args.json, Some(&*args.image)),
            Command::Verify(args) => (args.json, Some(&*args.image)),
            Command::Ls(args) => (args.json, Some(&*args.files.image)),
            Command::Mtree(args) => (args.json, Some(&*args.files.image)),
            Command::Policy(PolicyCommand::Show(args)) => (args.json, None),
            Command::Policy(PolicyCommand::Check(args)) => (args.json, Some(&*args.image)),
            Command::Check(CheckCommand::Portable(args)) => (args.reading.json, Some(&*args.image)),
            Command::Check(CheckCommand::Extension(args)) => {
                let image = Some(all(&args.images));
                return args.reading.json.then_some(Asked { image });
            }
            Command::Check(CheckCommand::Golden(args)) => (args.reading.json, Some(&*args.image)),
            Command::Check(CheckCommand::Boot(args)) => (args.reading.json, Some(&*args.image)),
            Command::Check(CheckCommand::Update(args)) => (args.json, Some(&*args.set)),
            Command::Bake(args) => (args.json, Some(&*args.output)),
            Command::Build(args) => (args.json, Some(&*args.output)),
            Command::Split(args) => (args.json, Some(&*args.image)),
            Command::Table(args) => (args.json, Some(&*args.image)),
            Command::Serve(args) => (args.json, Some(&*args.image)),
            Command::Plan(args) => (args.json, Some(&*args.files.image)),
            Command::Bench(args) => (args.json, args.file.as_deref()),
            Command::Verity(VerityCommand::Format(args)) => (args.json, Some(&*args.data)),
            Command::Verity(VerityCommand::Verify(args)) => (args.json, Some(&*args.data)),
            Command::Verity(VerityCommand::Repair(args)) => (args.json, Some(&*args.data)),
            Command::Verity(VerityCommand::Dump(args)) => (args.json, Some(&*args.hash)),
            // these print bytes, or what they wrote
            Command::Read(_) | Command::Cat(_) | Command::Extract(_) | Command::Sign(_) => return None,
        };
        json.then(|| Asked { image: image.map(shown) })
    }
}

/// Several images are told as one text.
pub(crate) fn all(images: &[PathBuf]) -> String {
    images.iter().map(|path| shown(path)).collect::<Vec<_>>().join(" ")
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// How a command ends that has no answer because of `error`. What was asked for and cannot be is 1, as a check that says no;
/// what kept it from telling is 2.
pub(crate) fn status(error: &anyhow::Error) -> ExitStatus {
    let build = error.chain().find_map(|cause| cause.downcast_ref::<ddi_build::Error>());
    match build.map(ddi_build::Error::kind) {
        Some(BuildKind::Definition | BuildKind::Unsupported | BuildKind::Plan) => ExitStatus::Bad,
        _ => ExitStatus::Unknown,
    }
}

/// The document about `error`: by the first of its causes that is of these crates or of the system.
pub(crate) fn of(error: &anyhow::Error) -> Failure {
    let failure = Failure::of(error.as_ref());
    match error.chain().find_map(known) {
        Some((kind, code)) => failure.known_as(kind, code),
        None => failure,
    }
}

/// Kind and code of an error of ddi-build or ddi-os. `None`: of another crate, or one whose source says more.
fn known(error: &(dyn std::error::Error + 'static)) -> Option<(&'static str, &'static str)> {
    if let Some(error) = error.downcast_ref::<ddi_build::Error>() {
        return Some((build_kind(error), error.code()));
    }
    if let Some(error) = error.downcast_ref::<ddi_os::metadata::EnvFileError>() {
        return Some(("corrupt", error.code()));
    }
    if let Some(error) = error.downcast_ref::<ddi_os::metadata::Error>() {
        use ddi_os::metadata::Error;
        return match error {
            Error::File(_) | Error::EnvFile(_) => None,
            Error::AmbiguousExtension => Some(("mismatch", error.code())),
            _ => Some(("corrupt", error.code())),
        };
    }
    if let Some(error) = error.downcast_ref::<ddi_os::uki::Error>() {
        use ddi_os::uki::Error;
        return match error {
            Error::Io(_) => None,
            Error::TooManyProfiles | Error::TextTooLarge { .. } => Some(("limit", error.code())),
            _ => Some(("corrupt", error.code())),
        };
    }
    use ddi_os::sysupdate::Error;
    let error = error.downcast_ref::<Error>()?;
    match error {
        Error::Io(_) => None,
        Error::TooManyFiles => Some(("limit", error.code())),
        _ => Some(("unsupported", error.code())),
    }
}

fn build_kind(error: &ddi_build::Error) -> &'static str {
    use ddi_build::Error;
    let of_cause = |kind| match kind {
        ErrorKind::Corrupt => "corrupt",
        ErrorKind::Unsupported => "unsupported",
        ErrorKind::Io => "io",
        ErrorKind::Mismatch => "mismatch",
        ErrorKind::Usage => "usage",
    };
    match error {
        Error::Verity(error) => of_cause(error.kind()),
        Error::Sign(error) => of_cause(error.kind()),
        _ => match error.kind() {
            BuildKind::Definition | BuildKind::Signature => "usage",
            BuildKind::Io => "io",
            // there is no room, the disk is another, or a program is not as it should be
            _ => "unsupported",
        },
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use ddi_build::{DefinitionOptions, Definitions, Error, ImageSize, Plan, PlanOptions, ToolFault};
    use ddi_os::metadata::EnvFileError;

    use super::*;

    fn told(error: impl Into<anyhow::Error>) -> (ExitStatus, String, String) {
        let error = error.into().context("image.raw");
        let document = of(&error).to_json();
        let text = |key: &str| document[key].as_str().unwrap().to_owned();
        (status(&error), text("kind"), text("code"))
    }

    fn definitions(text: &str) -> Result<Definitions, Error> {
        Definitions::from_texts([("a.conf", text)], &DefinitionOptions::new())
    }

    #[test]
    fn errors_of_ddi_build_are_known() {
        let bad = |kind: &str, code: &str| (ExitStatus::Bad, kind.to_owned(), code.to_owned());
        let unknown = |kind: &str, code: &str| (ExitStatus::Unknown, kind.to_owned(), code.to_owned());
        let invalid = definitions("[Partition]\nType=root\nNoSuchKey=1\n").unwrap_err();
        assert_eq!(told(invalid), bad("usage", "definition-invalid"));
        let seed = "11111111-2222-4333-8444-555555555555".parse().unwrap();
        let large = definitions("[Partition]\nType=root\nSizeMinBytes=1G\n").unwrap();
        let options = PlanOptions::new(seed).size(ImageSize::Bytes(10 << 20));
        assert_eq!(told(Plan::new(&large, &options).unwrap_err()), bad("unsupported", "plan-impossible"));
        assert_eq!(told(Error::TooMany { what: "files", max: 1 }), bad("usage", "definitions-too-many"));
        let error = || io::Error::from(io::ErrorKind::StorageFull);
        let path = || PathBuf::from("image.raw");
        assert_eq!(told(Error::Write { path: path(), error: error() }), unknown("io", "io"));
        assert_eq!(told(Error::OutputIsSource { path: path() }), bad("unsupported", "output-is-source"));
        let tool = |fault| told(Error::Tool { name: "mkfs.erofs", fault });
        let missing = tool(ToolFault::Missing { package: "erofs-utils" });
        assert_eq!(missing, unknown("unsupported", "tool-missing"));
        assert_eq!(tool(ToolFault::Nonsense { what: "nothing" }), unknown("unsupported", "tool-nonsense"));
        let verity = ddi_verity::Error::BlockTwice { block: 7 };
        let (kind, code) =
            (build_kind(&Error::Verity(ddi_verity::Error::BlockTwice { block: 7 })), verity.code());
        assert_eq!(told(Error::Verity(verity)), bad(kind, code));
    }

    #[test]
    fn errors_of_ddi_os_are_known() {
        let unknown = |kind: &str, code: &str| (ExitStatus::Unknown, kind.to_owned(), code.to_owned());
        let error = || io::Error::from(io::ErrorKind::NotFound);
        let nul = || EnvFileError::Nul { line: 3 };
        assert_eq!(told(nul()), unknown("corrupt", "env-file-nul"));
        assert_eq!(told(ddi_os::metadata::Error::EnvFile(nul())), unknown("corrupt", "env-file-nul"));
        assert_eq!(told(ddi_os::metadata::Error::Hostname), unknown("corrupt", "invalid-hostname"));
        let absent = ddi_os::metadata::Error::File(ddi_fs::Error::NotFound);
        assert_eq!(told(absent), unknown("absent", "not-found"));
        assert_eq!(told(ddi_os::uki::Error::NotPe { what: "text" }), unknown("corrupt", "uki-not-pe"));
        assert_eq!(told(ddi_os::uki::Error::TooManyProfiles), unknown("limit", "uki-too-many-profiles"));
        assert_eq!(told(ddi_os::uki::Error::Io(error())), unknown("io", "io"));
        assert_eq!(told(ddi_os::sysupdate::Error::TooManyFiles), unknown("limit", "too-many-files"));
        assert_eq!(told(ddi_os::sysupdate::Error::Io(error())), unknown("io", "io"));
    }
}
