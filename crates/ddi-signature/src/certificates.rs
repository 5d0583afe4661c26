//! Which certificates are trusted: systemd's `verity.d` directories, or what the caller names.

use std::collections::{BTreeMap, btree_map};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{Certificate, DetachedSignature, EmbeddedCertificate, SignatureError, SignedForm, Signer};
use super::{VerifiedRootHash, fingerprint};
use ddi_verity::RootHash;

/// Where systemd looks for certificates, the most important first.
pub const CERTIFICATE_DIRECTORIES: [&str; 4] =
    ["/etc/verity.d", "/run/verity.d", "/usr/local/lib/verity.d", "/usr/lib/verity.d"];
/// Size in bytes above which a certificate file is not read.
const MAX_FILE_SIZE: u64 = 1 << 20;

/// The certificates that are trusted, each by itself: whoever has the key of one may sign any root hash.
///
/// That is systemd's model: a certificate is picked by the issuer and serial number that the signature names; there
/// is no chain, and neither expiry nor usage matter. If several have the same issuer and serial number, each is
/// tried.
#[derive(Debug, Clone, Default)]
pub struct Certificates {
    trusted: Vec<Certificate>,
    skipped: Vec<SkippedFile>,
}

/// A file in a certificate directory that no certificate could be had from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedFile {
    /// The file.
    pub path: PathBuf,
    /// What was wrong with it.
    pub reason: CertificateFileError,
}

/// Why a file gave no certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateFileError {
    /// It could not be opened, listed or read.
    Io(io::ErrorKind),
    /// It is a FIFO, a socket or a device.
    NotRegular,
    /// It is larger than a certificate file may be.
    TooLarge {
        /// Size in bytes.
        size: u64,
    },
    /// What is in it is not a certificate.
    Content(SignatureError),
}

impl CertificateFileError {
    /// A short name that stays the same from release to release.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io(_) => "certificate-io",
            Self::NotRegular => "certificate-not-regular",
            Self::TooLarge { .. } => "certificate-file-size",
            Self::Content(error) => error.code(),
        }
    }
}

impl fmt::Display for CertificateFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // "entity not found" is no word for people
            Self::Io(io::ErrorKind::NotFound) => f.write_str("no such file or directory"),
            Self::Io(kind) => kind.fmt(f),
            Self::NotRegular => f.write_str("not a regular file"),
            Self::TooLarge { size } => {
                write!(f, "file has {size} bytes, at most {MAX_FILE_SIZE} are allowed")
            }
            Self::Content(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for CertificateFileError {}

impl Certificates {
    /// None at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts one more.
    pub fn add(&mut self, certificate: Certificate) {
        self.trusted.push(certificate);
    }

    /// Those that are trusted, in the order they are tried.
    pub fn trusted(&self) -> &[Certificate] {
        &self.trusted
    }

    /// Files in certificate directories that were passed over, as systemd does. To be shown, not to be fatal.
    pub fn skipped(&self) -> &[SkippedFile] {
        &self.skipped
    }

    /// Trusts the certificate in a file (DER, or the first in a PEM file), or those in all `*.crt` of a directory.
    ///
    /// # Errors
    /// [`CertificateFileError`] if `path` itself cannot be read or is a file without a certificate.
    pub fn add_path(&mut self, path: impl AsRef<Path>) -> Result<(), CertificateFileError> {
        let path = path.as_ref();
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                std::fs::read_dir(path).map_err(|error| CertificateFileError::Io(error.kind()))?;
                self.add_directories(&[path]);
                Ok(())
            }
            Ok(_) => {
                self.trusted.push(read(path)?);
                Ok(())
            }
            Err(error) => Err(CertificateFileError::Io(error.kind())),
        }
    }

    /// Trusts what systemd would find in these directories ([`CERTIFICATE_DIRECTORIES`]): the first certificate of
    /// each `*.crt` file, by order of file names. A file hides those of the same name in later directories; an
    /// empty one, or a symbolic link to `/dev/null`, does only that.
    ///
    /// A directory that does not exist counts as empty.
    pub fn add_directories<P: AsRef<Path>>(&mut self, directories: &[P]) {
        let mut files: BTreeMap<OsString, Option<PathBuf>> = BTreeMap::new();
        for directory in directories.iter().map(AsRef::as_ref) {
            let entries = match std::fs::read_dir(directory) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    self.skip(directory.to_owned(), CertificateFileError::Io(error.kind()));
                    continue;
                }
            };
            for entry in entries {
                match entry {
                    Ok(entry) if is_certificate_name(&entry.file_name()) => {
                        if let btree_map::Entry::Vacant(vacant) = files.entry(entry.file_name())
                            && let Some(found) = look_at(entry.path())
                        {
                            vacant.insert(found);
                        }
                    }
                    Ok(_) => {}
                    Err(error) => self.skip(directory.to_owned(), CertificateFileError::Io(error.kind())),
                }
            }
        }
        for path in files.into_values().flatten() {
            match read(&path) {
                Ok(certificate) => self.trusted.push(certificate),
                Err(reason) => self.skip(path, reason),
            }
        }
    }

    fn skip(&mut self, path: PathBuf, reason: CertificateFileError) {
        self.skipped.push(SkippedFile { path, reason });
    }

    /// Checks that this root hash was signed with the key of a trusted certificate.
    ///
    /// What is signed is the root hash in lower-case hex, without an end of line; the text is made here from
    /// `root_hash`, never taken from the image.
    ///
    /// # Errors
    /// [`SignatureError::NotTrusted`] if no trusted certificate has the signer's issuer and serial number;
    /// [`SignatureError::BadSignature`] or [`SignatureError::MessageDigest`] if the signature is not over this root
    /// hash or not by this key; [`SignatureError::RootHashNotSignable`] for a root hash shorter than SHA-256;
    /// those about keys ([`SignatureError::RsaSize`] and its neighbours).
    pub fn verify(
        &self,
        signature: &DetachedSignature<'_>,
        root_hash: &RootHash,
    ) -> Result<VerifiedRootHash, SignatureError> {
        let size = root_hash.as_bytes().len();
        if !matches!(size, 32 | 48 | 64) {
            return Err(SignatureError::RootHashNotSignable { size });
        }
        let content = root_hash.to_string();
        let mut error = SignatureError::NotTrusted { signer: Box::new(signature.signer().clone()) };
        for certificate in self.trusted.iter().filter(|c| c.id() == signature.signer()) {
            match certificate.verify(signature, content.as_bytes()) {
                Ok(()) => {
                    let signer = Signer {
                        certificate: certificate.clone(),
                        scheme: signature.scheme(),
                        digest: signature.digest(),
                        has_attributes: signature.has_attributes(),
                        bound_tree: signature.bound_tree().copied(),
                        embedded: embedded(signature, certificate),
                    };
                    return Ok(VerifiedRootHash { root_hash: *root_hash, signer });
                }
                Err(reason) => error = reason,
            }
        }
        // it is refused in any case: what follows only finds out what people can do about it
        if matches!(error, SignatureError::BadSignature | SignatureError::MessageDigest)
            && let Some(certificate) = self.trusted.iter().find(|c| c.id() == signature.signer())
        {
            for (form, signed) in SignedForm::all(root_hash) {
                if certificate.verify(signature, &signed).is_ok() {
                    error = SignatureError::SignedForm { form };
                }
            }
        }
        Err(error)
    }
}

/// What came with the signature, compared with what is trusted.
fn embedded(signature: &DetachedSignature<'_>, trusted: &Certificate) -> EmbeddedCertificate {
    match signature.embedded_certificates() {
        [] => EmbeddedCertificate::None,
        all if all.iter().any(|der| fingerprint(der) == trusted.fingerprint()) => EmbeddedCertificate::Same,
        _ => EmbeddedCertificate::Other,
    }
}

/// `*.crt`, but no hidden file.
fn is_certificate_name(name: &OsStr) -> bool {
    name.as_bytes().ends_with(b".crt") && !name.as_bytes().starts_with(b".")
}

/// What an entry of a directory is: nothing, a mask, or a file to read.
///
/// As `conf_files_list()` of systemd: what is neither a mask nor a regular file hides nothing.
fn look_at(path: PathBuf) -> Option<Option<PathBuf>> {
    let metadata = std::fs::metadata(&path).ok()?;
    // the null device has number 1:3
    let is_null = metadata.file_type().is_char_device() && metadata.rdev() == rustix::fs::makedev(1, 3);
    match metadata.is_file() {
        _ if is_null => Some(None),
        true if metadata.len() == 0 => Some(None),
        true => Some(Some(path)),
        false => None,
    }
}

/// The certificate in a file.
fn read(path: &Path) -> Result<Certificate, CertificateFileError> {
    use rustix::fs::{Mode, OFlags};
    let io = |error: io::Error| CertificateFileError::Io(error.kind());
    // O_NONBLOCK so that a FIFO cannot hold us up before its type is known
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| io(errno.into()))?);
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(CertificateFileError::NotRegular);
    }
    if metadata.len() > MAX_FILE_SIZE {
        return Err(CertificateFileError::TooLarge { size: metadata.len() });
    }
    let mut content = Vec::new();
    file.take(MAX_FILE_SIZE).read_to_end(&mut content).map_err(io)?;
    let certificate = Certificate::parse(&content).map_err(CertificateFileError::Content)?;
    Ok(certificate.with_path(path))
}

#[cfg(all(test, feature = "pkcs7"))]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A folder that goes when the test ends.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ddi-verity-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Folder(path)
        }
        fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }
        fn directory(&self, name: &str) -> PathBuf {
            fs::create_dir(self.path(name)).unwrap();
            self.path(name)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn golden(name: &str) -> Vec<u8> {
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)).unwrap()
    }

    fn subjects(certificates: &Certificates) -> Vec<String> {
        let name = |c: &Certificate| c.subject().replace("CN=", "").replace(",O=ddi", "");
        certificates.trusted().iter().map(name).collect()
    }

    #[test]
    fn directories_as_systemd_reads_them() {
        let folder = Folder::new("directories");
        let [etc, run, usr] = ["etc", "run", "usr"].map(|name| folder.directory(name));
        for (directory, name, content) in [
            // by file name, whatever the directory
            (&usr, "10.crt", golden("rsa2048.crt")),
            (&etc, "20.crt", golden("p256.crt")),
            (&run, "15.crt", golden("p384.crt")),
            // the first of a file
            (&run, "30.crt", [golden("rsa3072.crt"), golden("rsa4096.crt")].concat()),
            // hidden by one of the same name: a good one, an empty one, a link to the null device, a broken one
            (&etc, "40.crt", golden("p521.crt")),
            (&run, "40.crt", golden("rsa4096.crt")),
            (&usr, "40.crt", golden("rsa4096.crt")),
            (&run, "50.crt", Vec::new()),
            (&usr, "50.crt", golden("rsa4096.crt")),
            (&usr, "60.crt", golden("rsa4096.crt")),
            (&etc, "70.crt", b"-----BEGIN CERTIFICATE-----\n".to_vec()),
            (&usr, "70.crt", golden("rsa4096.crt")),
            // not of the right name
            (&etc, "80.pem", golden("rsa4096.crt")),
            (&etc, "80.crt~", golden("rsa4096.crt")),
            (&etc, "80.CRT", golden("rsa4096.crt")),
            (&etc, ".80.crt", golden("rsa4096.crt")),
            // shown after a directory or a dangling link of that name, which hide nothing
            (&usr, "90.crt", golden("expired.crt")),
            (&usr, "95.crt", golden("rsa1024.crt")),
            (&etc, "99.crt", [&[b'#'; 1 << 20][..], &golden("rsa4096.crt")].concat()),
        ] {
            fs::write(directory.join(name), content).unwrap();
        }
        symlink("/dev/null", etc.join("60.crt")).unwrap();
        fs::create_dir(etc.join("90.crt")).unwrap();
        symlink("nowhere", etc.join("95.crt")).unwrap();
        // of the devices, only the null device hides
        symlink("/dev/zero", etc.join("10.crt")).unwrap();

        let mut certificates = Certificates::new();
        certificates.add_directories(&[etc.clone(), folder.path("absent"), run.clone(), usr.clone()]);
        let expected = ["rsa2048", "p384", "p256", "rsa3072", "p521", "expired", "rsa1024"];
        assert_eq!(subjects(&certificates), expected);
        assert_eq!(certificates.trusted()[0].path(), Some(&*usr.join("10.crt")));
        let skipped: Vec<_> =
            certificates.skipped().iter().map(|s| (s.path.clone(), s.reason.code())).collect();
        let expected =
            [(etc.join("70.crt"), "certificate-none"), (etc.join("99.crt"), "certificate-file-size")];
        assert_eq!(skipped, expected);
    }

    #[test]
    fn what_is_no_directory_is_told() {
        let folder = Folder::new("no-directory");
        let file = folder.path("file");
        fs::write(&file, golden("p256.crt")).unwrap();
        let mut certificates = Certificates::new();
        certificates.add_directories(&[&file]);
        let [skipped] = certificates.skipped() else { panic!("{:?}", certificates.skipped()) };
        assert_eq!(skipped.path, file);
        assert_eq!(skipped.reason, CertificateFileError::Io(io::ErrorKind::NotADirectory));
    }

    #[test]
    fn fifos_neither_hide_nor_hold_up() {
        let folder = Folder::new("fifo");
        let [etc, usr] = ["etc", "usr"].map(|name| folder.directory(name));
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, etc.join("a.crt"), fifo, 0o600.into(), 0).unwrap();
        fs::write(usr.join("a.crt"), golden("p256.crt")).unwrap();
        let mut certificates = Certificates::new();
        certificates.add_directories(&[&etc, &usr]);
        assert_eq!(subjects(&certificates), ["p256"]);
        assert_eq!(certificates.add_path(etc.join("a.crt")), Err(CertificateFileError::NotRegular));
    }

    #[test]
    fn a_path_from_the_caller() {
        let folder = Folder::new("path");
        let file = |name: &str, content: &[u8]| {
            fs::write(folder.path(name), content).unwrap();
            folder.path(name)
        };
        let mut certificates = Certificates::new();
        certificates.add_path(file("any.name", &golden("p256.crt"))).unwrap();
        let text = [&b"subject=whatever\r\n"[..], &golden("p384.crt")].concat();
        certificates.add_path(file("text.pem", &text)).unwrap();
        assert_eq!(subjects(&certificates), ["p256", "p384"]);
        let error = certificates.add_path(folder.path("absent")).unwrap_err();
        assert_eq!(error, CertificateFileError::Io(io::ErrorKind::NotFound));
        let error = certificates.add_path(file("empty", &[])).unwrap_err();
        assert_eq!(error, CertificateFileError::Content(SignatureError::NoCertificate));
        assert_eq!(error.to_string(), "no certificate in it");
        assert_eq!(certificates.add_path("/dev/null"), Err(CertificateFileError::NotRegular));
        // of a folder, what ends in .crt
        let mut certificates = Certificates::new();
        file("b.crt", &golden("rsa2048.crt"));
        certificates.add_path(&folder.0).unwrap();
        assert_eq!(subjects(&certificates), ["rsa2048"]);
    }
}
