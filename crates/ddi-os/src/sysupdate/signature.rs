//! The detached OpenPGP signature of a manifest, checked by `gpgv`.
//!
//! OpenPGP is large, and one signature is all there is to check: so the tool that systemd's own users have does it, as a
//! process with nothing of our environment. It is given the bytes that are parsed afterwards, not a name that could lead
//! to others.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::MemfdFlags;

/// Where the tool is looked for, whatever the environment says.
const SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// How long it may take.
const TIME: Duration = Duration::from_secs(30);
/// Largest output that is read.
const MAX_OUTPUT: u64 = 64 << 10;
/// What must not be among the words of `gpgv`, even if it ends well.
const BAD: [&str; 6] = ["BADSIG", "ERRSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "NODATA"];

/// Why a signature does not count.
#[derive(Debug)]
#[non_exhaustive]
pub enum SignatureProblem {
    /// There is no `gpgv` here: it could not be told.
    NoTool,
    /// It could not be run, or did not end in time.
    Tool(io::Error),
    /// The keyring cannot be read.
    Keyring(io::Error),
    /// The signature is not one of these bytes by a key of the keyring.
    Bad,
}

impl SignatureProblem {
    /// Stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            SignatureProblem::NoTool => "no-verifier",
            SignatureProblem::Tool(_) => "verifier-failed",
            SignatureProblem::Keyring(_) => "keyring-unreadable",
            SignatureProblem::Bad => "manifest-signature-bad",
        }
    }

    /// Returns true if it says something about the signature.
    pub fn is_answer(&self) -> bool {
        matches!(self, SignatureProblem::Bad)
    }
}

impl fmt::Display for SignatureProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SignatureProblem::NoTool => f.write_str("there is no gpgv to check the signature with"),
            SignatureProblem::Tool(error) => write!(f, "gpgv: {error}"),
            SignatureProblem::Keyring(error) => write!(f, "keyring: {error}"),
            SignatureProblem::Bad => f.write_str("the signature is no good, or not by a key of the keyring"),
        }
    }
}

impl core::error::Error for SignatureProblem {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            SignatureProblem::Tool(error) | SignatureProblem::Keyring(error) => Some(error),
            SignatureProblem::NoTool | SignatureProblem::Bad => None,
        }
    }
}

/// Checks that `signature` is one of `manifest` by a key in `keyring`. Returns the fingerprints of the keys.
///
/// Every signature in it must be good: systemd's `gpg --verify` ends badly otherwise, too. Keys and signatures that have
/// expired or were revoked are not good here, whatever the exit status.
///
/// # Errors
/// Any of [`SignatureProblem`].
pub fn verify_manifest(
    manifest: &[u8],
    signature: &[u8],
    keyring: &Path,
) -> Result<Vec<String>, SignatureProblem> {
    // gpgv takes a name without a slash for one in its own directory
    let keyring = keyring.canonicalize().map_err(SignatureProblem::Keyring)?;
    let keys = File::open(&keyring).and_then(|file| file.metadata()).map_err(SignatureProblem::Keyring)?;
    if !keys.is_file() {
        return Err(SignatureProblem::Keyring(io::ErrorKind::InvalidInput.into()));
    }
    let in_memory = |bytes| in_memory(bytes).map_err(SignatureProblem::Tool);
    let (manifest, signature, mut output) = (in_memory(manifest)?, in_memory(signature)?, in_memory(&[])?);
    let child = Command::new("gpgv")
        .env_clear()
        .env("PATH", SEARCH_PATH)
        .env("LC_ALL", "C")
        .current_dir("/")
        .args(["--homedir", "/nonexistent", "--status-fd", "1", "--keyring"])
        .arg(&keyring)
        .args(["--", &inherited(&signature), &inherited(&manifest)])
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(SignatureProblem::Tool)?)
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => SignatureProblem::NoTool,
            _ => SignatureProblem::Tool(error),
        })?;
    let status = wait(child).map_err(SignatureProblem::Tool)?;
    let mut text = Vec::new();
    output
        .rewind()
        .and_then(|()| output.take(MAX_OUTPUT).read_to_end(&mut text))
        .map_err(SignatureProblem::Tool)?;
    judge(status.success(), &String::from_utf8_lossy(&text))
}

/// A file without a name that a child process inherits.
fn in_memory(bytes: &[u8]) -> io::Result<File> {
    let mut file: File = rustix::fs::memfd_create("ddi", MemfdFlags::empty())?.into();
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

/// Its name in the child.
fn inherited(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

fn wait(mut child: Child) -> io::Result<ExitStatus> {
    let begin = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if begin.elapsed() > TIME {
            child.kill()?;
            child.wait()?;
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(pause);
        pause = pause.saturating_mul(2).min(Duration::from_millis(50));
    }
}

/// What the words behind `[GNUPG:]` come to.
fn judge(ended_well: bool, output: &str) -> Result<Vec<String>, SignatureProblem> {
    let mut fingerprints = Vec::new();
    for line in output.lines() {
        let mut words = line.strip_prefix("[GNUPG:] ").unwrap_or_default().split(' ');
        match words.next() {
            Some(word) if BAD.contains(&word) => return Err(SignatureProblem::Bad),
            Some("VALIDSIG") => fingerprints.extend(words.next().map(str::to_owned)),
            _ => {}
        }
    }
    if ended_well && !fingerprints.is_empty() { Ok(fingerprints) } else { Err(SignatureProblem::Bad) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let good = "[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG 12 a\n[GNUPG:] VALIDSIG ABCD 2026-11-21 0\n";
        assert_eq!(judge(true, good).unwrap(), ["ABCD"]);
        for (ended_well, output) in [
            (false, good.to_owned()),
            (true, String::new()),
            (true, good.replace("VALIDSIG", "TRUSTSIG")),
            (true, good.replace("[GNUPG:] VALIDSIG", "VALIDSIG")),
            (true, good.replace("GOODSIG", "EXPKEYSIG")),
            // two signatures, one of them by a stranger
            (true, format!("{good}[GNUPG:] ERRSIG 34 1 10 00 0 9\n")),
        ] {
            assert!(judge(ended_well, &output).is_err(), "{output}");
        }
    }

    #[test]
    fn a_keyring_that_is_none() {
        let error = verify_manifest(b"", b"", Path::new("/nonexistent/keys")).unwrap_err();
        assert_eq!((error.code(), error.is_answer()), ("keyring-unreadable", false));
        let error = verify_manifest(b"", b"", Path::new("/")).unwrap_err();
        assert_eq!(error.code(), "keyring-unreadable");
    }
}
