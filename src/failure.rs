//! What a program that asked for JSON is told when there is no answer.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

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
