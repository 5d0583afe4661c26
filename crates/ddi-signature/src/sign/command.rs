//! A program that signs: for keys in an HSM, a smart card, a cloud.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ddi_verity::RootHash;

use crate::MAX_SIGNATURE_SIZE;

/// How long a program may take: somebody may have to find a smart card.
const TIMEOUT: Duration = Duration::from_secs(600);

/// A command line for `/bin/sh` that reads the text to sign from its standard input (the root hash in lower-case hex, no end
/// of line) and writes a detached PKCS#7 signature of it, as DER, to its standard output.
///
/// ```
/// use ddi_signature::sign::SignCommand;
///
/// let command = SignCommand::new(
///     "openssl smime -sign -binary -noattr -engine pkcs11 -keyform engine -inkey 'pkcs11:object=os' \
///      -signer os.crt -outform der",
/// );
/// # assert!(format!("{command:?}").contains("openssl"));
/// ```
///
/// It is the caller's command, and runs with the rights, the environment and the standard error of the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignCommand {
    command: OsString,
    timeout: Duration,
}

/// Why a program gave no signature.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// It could not be started, written to or read from.
    Io(io::ErrorKind),
    /// It ended with another status than 0, or by a signal.
    Status {
        /// How it ended.
        status: std::process::ExitStatus,
    },
    /// It wrote more than any signature has.
    TooLarge {
        /// Most bytes.
        max: usize,
    },
    /// It wrote nothing.
    Empty,
    /// It took too long. The shell was killed; what that had started goes on, unless it was by `exec`.
    TimedOut {
        /// For how long it was waited.
        after: Duration,
    },
}

impl SignCommand {
    /// To be run by `/bin/sh -c`, for ten minutes at most.
    pub fn new(command: impl AsRef<OsStr>) -> Self {
        SignCommand { command: command.as_ref().to_owned(), timeout: TIMEOUT }
    }

    /// How long it may take.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What it says to this root hash, unchecked: [`Signer`](super::Signer) checks it.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn run(&self, root_hash: &RootHash) -> Result<Vec<u8>, CommandError> {
        let io = |error: io::Error| CommandError::Io(error.kind());
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(&self.command).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = Running(command.spawn().map_err(io)?);
        if let Some(mut stdin) = running.0.stdin.take() {
            // less than any pipe holds, so nothing waits here
            match stdin.write_all(root_hash.to_string().as_bytes()) {
                // it may know already what to say
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(io(error)),
                _ => {}
            }
        }
        let Some(stdout) = running.0.stdout.take() else { return Err(CommandError::Empty) };
        let (sender, receiver) = mpsc::channel();
        // ends when the output does, which may be after we have given up
        thread::spawn(move || {
            let mut output = Vec::new();
            let limit = u64::try_from(MAX_SIGNATURE_SIZE).unwrap_or(u64::MAX).saturating_add(1);
            let read = stdout.take(limit).read_to_end(&mut output).map(|_| output);
            // nobody listens any more
            let _ = sender.send(read);
        });
        let output = match receiver.recv_timeout(self.timeout) {
            Ok(output) => output.map_err(io)?,
            Err(_) => return Err(CommandError::TimedOut { after: self.timeout }),
        };
        if output.len() > MAX_SIGNATURE_SIZE {
            return Err(CommandError::TooLarge { max: MAX_SIGNATURE_SIZE });
        }
        let status = running.0.wait().map_err(io)?;
        match status.success() {
            false => Err(CommandError::Status { status }),
            true if output.is_empty() => Err(CommandError::Empty),
            true => Ok(output),
        }
    }
}

/// A child that does not outlive us.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // fails if it has ended, which is what is wanted
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl CommandError {
    /// A short name that stays the same from release to release.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "sign-command-io",
            Self::Status { .. } => "sign-command-status",
            Self::TooLarge { .. } => "sign-command-too-large",
            Self::Empty => "sign-command-empty",
            Self::TimedOut { .. } => "sign-command-timed-out",
        }
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(kind) => write!(f, "command that signs: {kind}"),
            Self::Status { status } => write!(f, "command that signs ended with {status}"),
            Self::TooLarge { max } => write!(f, "command that signs wrote more than {max} bytes"),
            Self::Empty => f.write_str("command that signs wrote nothing"),
            Self::TimedOut { after } => {
                write!(f, "command that signs had not ended after {} s, and was killed", after.as_secs_f32())
            }
        }
    }
}

impl core::error::Error for CommandError {}
