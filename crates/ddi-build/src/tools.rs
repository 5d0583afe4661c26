//! Programs of others that make file systems.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;

use crate::error::{Error, ToolFault};

/// What of a program's messages is kept.
const MAX_MESSAGES: u64 = 64 << 10;

/// Programs, and the Debian packages that have them.
const PACKAGES: [(&str, &str); 9] = [
    ("mkfs.erofs", "erofs-utils"),
    ("mksquashfs", "squashfs-tools"),
    ("mkfs.vfat", "dosfstools"),
    ("mcopy", "mtools"),
    ("mmd", "mtools"),
    ("mkfs.ext4", "e2fsprogs"),
    ("debugfs", "e2fsprogs"),
    ("e2fsck", "e2fsprogs"),
    ("mkswap", "util-linux"),
];

/// Where programs are found, and which were used.
#[derive(Debug)]
pub struct Tools {
    folders: Vec<PathBuf>,
    temporary: Option<PathBuf>,
    used: Mutex<BTreeMap<String, String>>,
}

/// Where a system has its programs.
const SYSTEM: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

impl Default for Tools {
    fn default() -> Self {
        Self::new()
    }
}

impl Tools {
    /// In the folders of the system, whatever the environment says.
    pub fn new() -> Self {
        Self { folders: SYSTEM.map(PathBuf::from).into(), ..Self::none() }
    }

    /// Nowhere, yet.
    pub fn none() -> Self {
        Self { folders: Vec::new(), temporary: None, used: Mutex::default() }
    }

    /// Programs that need a temporary folder use this one rather than their own default.
    #[must_use]
    pub fn temporary(mut self, folder: impl Into<PathBuf>) -> Self {
        self.temporary = Some(folder.into());
        self
    }

    /// In this folder before all others.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folders.insert(0, folder.into());
        self
    }

    /// The programs that were used, with their versions as they tell them.
    pub fn used(&self) -> BTreeMap<String, String> {
        self.used.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn find(&self, name: &'static str) -> Result<PathBuf, Error> {
        let is_program = |path: &PathBuf| {
            path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        };
        let found = self.folders.iter().map(|folder| folder.join(name)).find(is_program);
        found.ok_or_else(|| {
            let package =
                PACKAGES.iter().find(|(tool, _)| *tool == name).map_or(name, |(_, package)| package);
            Error::Tool { name, fault: ToolFault::Missing { package } }
        })
    }

    /// Finds a program, asks for its version, and prepares a call.
    pub(crate) fn call(&self, name: &'static str, epoch: Option<u64>) -> Result<Call, Error> {
        let path = self.find(name)?;
        let mut used = self.used.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let version = match used.get(name) {
            Some(known) => known.clone(),
            None => {
                let version = version_of(name, &path);
                used.insert(name.to_owned(), version.clone());
                version
            }
        };
        drop(used);
        let mut command = Command::new(&path);
        command.env_clear().env("PATH", join(&self.folders)).envs(environment(epoch));
        if let Some(folder) = &self.temporary {
            command.env("TMPDIR", folder);
        }
        Ok(Call { name, version, command })
    }
}

fn join(folders: &[PathBuf]) -> OsString {
    std::env::join_paths(folders).unwrap_or_default()
}

/// The same for everybody, whatever the caller's is.
fn environment(epoch: Option<u64>) -> Vec<(&'static str, String)> {
    let mut variables =
        vec![("LC_ALL", "C".to_owned()), ("TZ", "UTC".to_owned()), ("MTOOLS_SKIP_CHECK", "1".to_owned())];
    if let Some(epoch) = epoch {
        variables.push(("SOURCE_DATE_EPOCH", epoch.to_string()));
        variables.push(("E2FSPROGS_FAKE_TIME", epoch.to_string()));
    }
    variables
}

/// The first line that a program tells about itself with a number in it.
fn version_of(name: &str, path: &Path) -> String {
    let option = match name {
        "mksquashfs" => "-version",
        "mkfs.ext4" | "mkfs.erofs" | "debugfs" | "e2fsck" => "-V",
        "mkfs.vfat" => "--help",
        _ => "--version",
    };
    let mut command = Command::new(path);
    command.arg(option).env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(output) = command.spawn().and_then(Child::wait_with_output) else { return String::new() };
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    let has_number = |line: &&str| line.bytes().any(|byte| byte.is_ascii_digit()) && line.contains('.');
    text.lines().find(has_number).unwrap_or_default().trim().chars().take(100).collect()
}

/// A call of a program.
pub(crate) struct Call {
    name: &'static str,
    version: String,
    command: Command,
}

impl Call {
    /// The first two parts of the first number with a dot.
    pub(crate) fn version(&self) -> Option<(u32, u32)> {
        self.version.split(|letter: char| !letter.is_ascii_digit() && letter != '.').find_map(|word| {
            let mut parts = word.split('.');
            Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
        })
    }

    pub(crate) fn version_text(&self) -> &str {
        &self.version
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, key: &str, value: &str) -> Self {
        self.command.env(key, value);
        self
    }

    /// Runs it without input.
    pub(crate) fn run(self) -> Result<(), Error> {
        self.run_with(|_| Ok(()), false).map(|_| ())
    }

    /// Runs it, while `feed` writes its commands, of which it says alone on standard error which ones failed. There too is a
    /// line that tells its version.
    pub(crate) fn run_script(
        self,
        feed: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let name = self.name;
        let said = self.run_with(feed, true)?;
        let faults: Vec<&str> =
            said.lines().filter(|line| !line.trim().is_empty() && !line.starts_with(name)).collect();
        match faults.first() {
            None => Ok(()),
            Some(first) => {
                let (status, messages) = ("failed command".to_owned(), (*first).to_owned());
                Err(Error::Tool { name, fault: ToolFault::Failed { status, messages } })
            }
        }
    }

    /// Runs it, while `feed` writes its input.
    pub(crate) fn run_fed(self, feed: impl FnOnce(&mut dyn Write) -> Result<(), Error>) -> Result<(), Error> {
        self.run_with(feed, true).map(|_| ())
    }

    fn run_with(
        mut self,
        feed: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
        is_fed: bool,
    ) -> Result<String, Error> {
        let name = self.name;
        let failed = |error| Error::Tool { name, fault: ToolFault::Run { error } };
        let input = if is_fed { Stdio::piped() } else { Stdio::null() };
        self.command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().map_err(failed)?;
        let readers = [
            child.stdout.take().map(|pipe| drain(Box::new(pipe))),
            child.stderr.take().map(|pipe| drain(Box::new(pipe))),
        ];
        let fed = match child.stdin.take() {
            Some(pipe) => {
                let mut pipe = io::BufWriter::with_capacity(256 << 10, pipe);
                let fed = feed(&mut pipe);
                // the program sees the end of its input
                match (fed, pipe.into_inner().map_err(io::IntoInnerError::into_error)) {
                    (Ok(()), Err(error)) => Err(Error::Tool { name, fault: ToolFault::Run { error } }),
                    (fed, _) => fed,
                }
            }
            None => Ok(()),
        };
        if matches!(&fed, Err(error) if !is_broken_pipe(error)) {
            // it would take what has come for all
            let _ = child.kill();
        }
        let status = child.wait().map_err(failed)?;
        let [said, errors] =
            readers.map(|reader| reader.map(|it| it.join().unwrap_or_default()).unwrap_or_default());
        let messages = format!("{said}{errors}");
        match (fed, status.success()) {
            // why it did not read on is what it says itself
            (Err(error), false) if is_broken_pipe(&error) => {}
            (Err(error), _) => return Err(error),
            (Ok(()), true) => return Ok(errors),
            (Ok(()), false) => {}
        }
        let messages = messages.trim().to_owned();
        Err(Error::Tool { name, fault: ToolFault::Failed { status: status.to_string(), messages } })
    }
}

fn is_broken_pipe(error: &Error) -> bool {
    match error {
        Error::Tool { fault: ToolFault::Run { error }, .. } | Error::Read { error, .. } => {
            error.kind() == io::ErrorKind::BrokenPipe
        }
        _ => false,
    }
}

/// Reads all, keeps the beginning.
fn drain(pipe: Box<dyn Read + Send>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut kept = Vec::new();
        let mut pipe = pipe;
        let _ = pipe.by_ref().take(MAX_MESSAGES).read_to_end(&mut kept);
        let _ = io::copy(&mut pipe, &mut io::sink());
        String::from_utf8_lossy(&kept).into_owned()
    })
}

/// The size of what a program made.
pub(crate) fn size_of(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.len())
}
