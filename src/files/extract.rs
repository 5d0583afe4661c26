//! `ddi extract`: files of an image, written to where nothing was before, or to standard output.

use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::anyhow;
use ddi_core::steps::LeftOut;
use ddi_core::{Assurance, ExtractError, ExtractNotice, ExtractOptions, MountedTree, ReadError};
use ddi_fs::FileType;

use super::{MAX_TOLD, Opened, Stop, ended, not_proven, outcome_of, print_file};
use crate::begun::Begun;
use crate::cli::ExtractArgs;
use crate::{ExitStatus, output, overwrite};

/// The time that the removal of what is not complete may take when the command is interrupted.
const REMOVAL: Duration = Duration::from_secs(30);

pub(crate) fn run(args: &ExtractArgs) -> anyhow::Result<ExitStatus> {
    ended(&args.files, false, extract(args))
}

fn extract(args: &ExtractArgs) -> Result<ExitStatus, Stop> {
    let opened = Opened::new(&args.files)?;
    let asked = &*opened.asked(&args.path, true);
    let path = Path::new(OsStr::from_bytes(asked));
    let least = if opened.authenticated { Assurance::Authenticated } else { Assurance::Claimed };
    let tree = MountedTree::new(opened.files.clone(), least);
    let mut left_out = LeftOutFiles::default();
    let mut tell = |notice: &ExtractNotice| left_out.tell(notice);
    let mut options = ExtractOptions::default().budget(opened.budget).telling(&mut tell);
    if args.preserve {
        options = options.preserving();
    }
    let extracted = if args.destination.as_deref() == Some(Path::new("-")) {
        let (place, _) = opened.locate(asked, true)?;
        let stat = opened.tree.stat(place).map_err(|error| Stop::at(asked, error))?;
        if stat.file_type != FileType::Directory {
            return print_file(&opened, asked);
        }
        opened.allow(place == opened.tree.root())?;
        if io::stdout().is_terminal() {
            return Err(anyhow!("a tar stream is not for a terminal").into());
        }
        tree.write_tar(path, io::stdout().lock(), options)
    } else {
        let destination = match &args.destination {
            Some(destination) => destination,
            // as it was asked for: what a link leads to is called what the image likes
            None => {
                let name = asked.rsplit(|byte| *byte == b'/').find(|name| !name.is_empty());
                Path::new(OsStr::from_bytes(name.unwrap_or_default()))
            }
        };
        overwrite::refuse(destination, [args.files.image.as_path()])?;
        let stop = Arc::new(AtomicBool::new(false));
        let (ended, has_ended) = channel();
        let begun = {
            let stop = Arc::clone(&stop);
            Begun::new(move || {
                stop.store(true, Ordering::Relaxed);
                // what is there is removed by who made it
                let _ = has_ended.recv_timeout(REMOVAL);
            })
        };
        let extracted = tree.extract(path, destination, options.until(&stop));
        let _ = ended.send(());
        drop(begun);
        extracted
    };
    left_out.finish();
    match extracted {
        // nobody reads on
        Err(ExtractError::Stream(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
        Err(ExtractError::Stream(error)) => {
            return Err(anyhow::Error::from(error).context("cannot write to standard output").into());
        }
        extracted => _ = extracted?,
    }
    opened.complete(ExitStatus::Good)
}

impl From<ExtractError> for Stop {
    fn from(error: ExtractError) -> Self {
        let outcome = match &error {
            ExtractError::Read { error: ReadError::NotProven { .. }, .. } => ExitStatus::Bad,
            ExtractError::Read { error: ReadError::File(error), .. } => outcome_of(error),
            ExtractError::Impossible { .. } => ExitStatus::Bad,
            _ => ExitStatus::Unknown,
        };
        match error {
            ExtractError::Read { error: error @ ReadError::NotProven { .. }, .. } => not_proven(error),
            ExtractError::LeftOut { path, file_type, why } => {
                let why = why_not(file_type, why);
                Stop { outcome, error: anyhow!("{}: {why}", output::shown_name(&path)) }
            }
            error => Stop { outcome, error: error.into() },
        }
    }
}

/// Why a file is not made, in the words of this command.
fn why_not(file_type: FileType, why: LeftOut) -> String {
    let what = file_type.words();
    match why {
        LeftOut::NotPreserved => format!("a {what} is made with --preserve only"),
        why => format!("a {what} {why}"),
    }
}

/// What is not as it is in the image. Files that are left out are named one by one, up to a number.
#[derive(Default)]
struct LeftOutFiles {
    count: u64,
}

impl LeftOutFiles {
    fn tell(&mut self, notice: &ExtractNotice) {
        let ExtractNotice::LeftOut { path, file_type, why } = notice else {
            return output::warning(&notice.to_string());
        };
        self.count += 1;
        if self.count <= MAX_TOLD {
            let (path, why) = (output::shown_name(path), why_not(*file_type, *why));
            output::warning(&format!("{path} is left out: {why}"));
        }
    }

    fn finish(self) {
        if self.count > MAX_TOLD {
            output::warning(&format!("{} more are left out", self.count - MAX_TOLD));
        }
    }
}
