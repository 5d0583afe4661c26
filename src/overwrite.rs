//! No command writes over what it reads.
//!
//! Everything that writes asks [`refuse`] before its first byte: files are compared by device and inode, so that no other
//! name of a file and no link hides it.

use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, bail};

/// What a path leads to, by whatever name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Identity {
    BlockDevice(u64),
    File {
        device: u64,
        inode: u64,
    },
    /// A name that is free yet, in a directory.
    Free {
        device: u64,
        inode: u64,
        name: OsString,
    },
}

impl Identity {
    fn of(found: &Metadata) -> Self {
        if found.file_type().is_block_device() {
            return Identity::BlockDevice(found.rdev());
        }
        Identity::File { device: found.dev(), inode: found.ino() }
    }

    fn of_path(path: &Path) -> io::Result<Self> {
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return Ok(Identity::of(&found?)),
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let directory = fs::metadata(parent)?;
        let name = path.file_name().unwrap_or_default().to_owned();
        Ok(Identity::Free { device: directory.dev(), inode: directory.ino(), name })
    }
}

/// Returns true if these are the same file, under whatever names, or the same block device.
pub(crate) fn is_same_file(a: &File, b: &File) -> io::Result<bool> {
    Ok(Identity::of(&a.metadata()?) == Identity::of(&b.metadata()?))
}

/// Returns true if both names lead, or will lead, to the same file or block device.
pub(crate) fn is_same_path(a: &Path, b: &Path) -> io::Result<bool> {
    Ok(Identity::of_path(a)? == Identity::of_path(b)?)
}

/// Refuses to write to `output` if that is one of the other files of the command. `-` among these is standard input, and
/// what is not there, and cannot come to be there under the same name, is passed over.
///
/// # Errors
/// `output` is one of them, is a link that leads nowhere, or cannot be looked at.
pub(crate) fn refuse<'a>(output: &Path, others: impl IntoIterator<Item = &'a Path>) -> anyhow::Result<()> {
    let shown = || output.display().to_string();
    let wanted = match Identity::of_path(output) {
        // it fails when it is written
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        wanted => wanted.with_context(shown)?,
    };
    // another output may come to be where it leads
    if matches!(wanted, Identity::Free { .. }) && fs::symlink_metadata(output).is_ok() {
        bail!("{}: is a symbolic link to nowhere", shown());
    }
    for other in others {
        let found = if other == Path::new("-") {
            let stdin = File::from(io::stdin().as_fd().try_clone_to_owned().context("standard input")?);
            Identity::of(&stdin.metadata().context("standard input")?)
        } else {
            match Identity::of_path(other) {
                Ok(found) => found,
                // who reads it says so
                Err(_) => continue,
            }
        };
        if found == wanted {
            match other.to_str() {
                Some("-") => bail!("{}: is what standard input is read from", shown()),
                _ => bail!("{}: is {} itself, which must not be overwritten", shown(), other.display()),
            }
        }
    }
    Ok(())
}
