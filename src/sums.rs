//! `SHA256SUMS`, of files that were just made.

use std::fs::File;
use std::io::Read;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, ensure};
use sha2::{Digest, Sha256};

/// Where the sums go, if they are asked for.
pub(crate) fn path(name: Option<&str>, folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    let Some(name) = name else { return Ok(None) };
    ensure!(
        !name.is_empty() && !name.contains('/') && name != "." && name != "..",
        "--sums {name}: is no file name"
    );
    Ok(Some(folder.join(name)))
}

/// The name of a file as a line can have it: one that readers need not unescape.
pub(crate) fn name(path: &Path) -> anyhow::Result<&str> {
    let is_plain = |name: &&str| !name.chars().any(|letter| letter.is_control() || letter == '\\');
    let name = path.file_name().and_then(|name| name.to_str()).filter(is_plain);
    name.with_context(|| format!("{}: has no name for a list of sums", path.display()))
}

/// `HEX *NAME`, sorted by name, as mkosi writes them and systemd-sysupdate reads them. Several files are read at once, the
/// largest first.
pub(crate) fn of(files: &[&Path], threads: Option<usize>) -> anyhow::Result<String> {
    let mut waiting = Vec::new();
    for path in files {
        name(path)?;
        let size = path.metadata().with_context(|| path.display().to_string())?.len();
        waiting.push((size, *path));
    }
    waiting.sort();
    let most = threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZero::get));
    let workers = most.min(waiting.len());
    let waiting = Mutex::new(waiting);
    let next = || waiting.lock().ok()?.pop().map(|(_, path)| path);
    let work = || {
        let mut lines = Vec::new();
        while let Some(path) = next() {
            lines.push(line(path).with_context(|| path.display().to_string())?);
        }
        anyhow::Ok(lines)
    };
    let mut lines = thread::scope(|scope| {
        // without another thread it takes longer
        let spawn = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..workers).filter_map(spawn).collect();
        let mut lines = work()?;
        for other in others {
            match other.join() {
                Ok(more) => lines.extend(more?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        anyhow::Ok(lines)
    })?;
    lines.sort();
    Ok(lines.into_iter().map(|(_, line)| line).collect())
}

fn line(path: &Path) -> anyhow::Result<(&str, String)> {
    let name = name(path)?;
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            len => digest.update(&piece[..len]),
        }
    }
    let hex: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((name, format!("{hex} *{name}\n")))
}
