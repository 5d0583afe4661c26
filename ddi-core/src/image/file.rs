//! Opening an image by its path, and what lies beside it.
//!
//! One handle is opened for the image and one for its directory; whatever is read later is read through these two,
//! so that a path that is swapped meanwhile changes nothing. Whatever lies beside an image can be written by who can
//! write the image: nothing of it is ever trusted, it only helps to find damage.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ddi_io::{FileSource, ReadAt};
use ddi_verity::RootHash;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::{Error, Step};
use crate::report::finding::{Finding, FindingKind, Sidecar, SidecarError};
use crate::trust::{KnownRootHash, Role, RootHashOrigin};
use ddi_io::{Compression, MAGIC_SIZE};
use ddi_io::{SpoolOptions, spool};

/// A root hash as text: 128 digits, and room for the white space that systemd lets pass.
const MAX_ROOT_HASH_TEXT: usize = 1024;
/// A signature beside an image, in bytes: some KiB, and as many certificates as anybody puts there. The limit of systemd
/// is larger; ours keeps what an image makes us hold small.
const MAX_PKCS7: usize = 1 << 20;

/// An image that was opened by its path.
#[derive(Debug)]
pub struct ImageFile {
    source: FileSource,
    directory: OwnedFd,
    file_name: OsString,
    below_dev: bool,
    /// How it is, or was, compressed, and then the file that was opened.
    compression: Option<Compression>,
    packed: Option<FileSource>,
}

impl ImageFile {
    /// Opens `path`, a regular file or a block device, for reading. Anything else is refused at once.
    ///
    /// # Errors
    /// [`Error::Io`], with [`io::ErrorKind::InvalidInput`] inside if it is no such file; [`Error::Empty`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let io = |error: io::Error| Error::Io { step: Step::Open, offset: None, error: Arc::new(error) };
        let Some(file_name) = path.file_name() else {
            return Err(io(io::Error::new(io::ErrorKind::InvalidInput, "is a directory")));
        };
        let parent = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(parent, flags, Mode::empty()).map_err(|e| io(e.into()))?;
        let name = if path.as_os_str().as_bytes().ends_with(b"/") {
            // `image.raw/` is an image for nobody
            PathBuf::from(file_name).join("")
        } else {
            PathBuf::from(file_name)
        };
        let file = open_beside(&directory, name.as_os_str()).map_err(io)?;
        let source = FileSource::new(file).map_err(io)?;
        if source.size() == 0 {
            return Err(Error::Empty);
        }
        let below_dev = path.starts_with("/dev");
        let mut start = [0; MAGIC_SIZE];
        let len = usize::try_from(source.size()).unwrap_or(MAGIC_SIZE).min(MAGIC_SIZE);
        let start = start.get_mut(..len).unwrap_or_default();
        source.read_exact_at(0, start).map_err(|error| Error::Io {
            step: Step::Open,
            offset: Some(0),
            error: Arc::new(error),
        })?;
        let compression = Compression::of(start);
        let file_name = file_name.to_owned();
        Ok(ImageFile { source, directory, file_name, below_dev, compression, packed: None })
    }

    /// The same image, decompressed to a temporary file if it is compressed; see [`spool`].
    ///
    /// # Errors
    /// [`Error::Unpack`]; [`Error::Empty`] if nothing comes out.
    pub fn unpack(self, options: &SpoolOptions<'_>) -> Result<Self, Error> {
        if self.compression.is_none() || self.packed.is_some() {
            return Ok(self);
        }
        let mut options = options.clone();
        options.packed_size = Some(self.source.size());
        let (source, compression) =
            spool(&mut Forward { source: &self.source, position: 0 }, &options).map_err(Error::Unpack)?;
        if source.size() == 0 {
            return Err(Error::Empty);
        }
        Ok(ImageFile { source, compression, packed: Some(self.source), ..self })
    }

    /// How the file that was opened is compressed, by its first bytes.
    pub fn compression(&self) -> Option<Compression> {
        self.compression
    }

    /// The file that was opened.
    fn opened(&self) -> &FileSource {
        self.packed.as_ref().unwrap_or(&self.source)
    }

    /// The bytes.
    pub fn source(&self) -> &FileSource {
        &self.source
    }

    /// The last part of the path.
    pub fn file_name(&self) -> &OsStr {
        &self.file_name
    }

    /// The bytes and the last part of the path.
    pub fn into_parts(self) -> (FileSource, OsString) {
        (self.source, self.file_name)
    }

    /// What lies beside the image, as systemd looks for it (`verity_settings_load`).
    pub fn sidecars(&self) -> Sidecars {
        let mut found = Sidecars::default();
        // a device has no files beside it
        if self.below_dev || !self.opened().file().metadata().is_ok_and(|meta| meta.is_file()) {
            return found;
        }
        let hash = |role: Role, found: &mut Sidecars| {
            let (xattr, file, suffix) = match role {
                Role::Root => (Sidecar::RootHashXattr, Sidecar::RootHash, ".roothash"),
                Role::Usr => (Sidecar::UsrHashXattr, Sidecar::UsrHash, ".usrhash"),
            };
            for (what, origin) in [(xattr, RootHashOrigin::Xattr), (file, RootHashOrigin::Sidecar)] {
                let text = match origin {
                    RootHashOrigin::Xattr => self.xattr(role),
                    _ => self.read_beside(suffix, MAX_ROOT_HASH_TEXT),
                };
                let hash = text.and_then(|text| text.map(|text| parse_root_hash(&text)).transpose());
                match hash {
                    Ok(None) => {}
                    Ok(Some(hash)) => found.root_hashes.push(KnownRootHash { hash, role, origin }),
                    Err(problem) => {
                        // a good one that is found before hides it
                        if problem.is_malformed() && found.root_hashes.is_empty() {
                            found.malformed.push((role, what));
                        }
                        found.problem(what, problem);
                    }
                }
            }
        };
        hash(Role::Root, &mut found);
        hash(Role::Usr, &mut found);
        let signatures = [
            (Role::Root, Sidecar::RootHashSignature, ".roothash.p7s"),
            (Role::Usr, Sidecar::UsrHashSignature, ".usrhash.p7s"),
        ];
        for (role, what, suffix) in signatures {
            match self.read_beside(suffix, MAX_PKCS7) {
                Ok(None) => {}
                Ok(Some(pkcs7)) => found.signatures.push(SidecarSignature { role, pkcs7 }),
                Err(problem) => {
                    if problem.is_malformed() {
                        found.malformed.push((role, what));
                    }
                    found.problem(what, problem);
                }
            }
        }
        let verity = self.open_sidecar(".verity");
        found.has_verity = !matches!(verity, Ok(None));
        match verity {
            Ok(None) => {}
            Ok(Some(file)) => match FileSource::new(file) {
                Ok(source) if source.size() > 0 => found.verity = Some(source.into()),
                Ok(_) => found.problem(Sidecar::Verity, SidecarError::Empty),
                Err(error) => found.problem(Sidecar::Verity, SidecarError::Io(Arc::new(error))),
            },
            Err(problem) => found.problem(Sidecar::Verity, problem),
        }
        found
    }

    /// The file beside the image with this suffix, if there is one.
    fn open_sidecar(&self, suffix: &str) -> Result<Option<File>, SidecarError> {
        match self.open_first(&sidecar_names(&self.file_name, self.compression, suffix)) {
            Ok(file) => match file.metadata() {
                Ok(meta) if meta.is_file() => Ok(Some(file)),
                Ok(_) => Err(SidecarError::NotRegular),
                Err(error) => Err(SidecarError::Io(Arc::new(error))),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            // a socket cannot even be opened
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NXIO) => Err(SidecarError::NotRegular),
            Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::XDEV | Errno::LOOP)) => {
                Err(SidecarError::Elsewhere)
            }
            Err(error) => Err(SidecarError::Io(Arc::new(error))),
        }
    }

    /// The first of these that is there.
    fn open_first(&self, names: &[OsString]) -> io::Result<File> {
        let mut missing = io::ErrorKind::NotFound.into();
        for name in names {
            match open_inside(&self.directory, name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => missing = error,
                found => return found,
            }
        }
        Err(missing)
    }

    /// The whole of that file, if it has `1..=max` bytes.
    fn read_beside(&self, suffix: &str, max: usize) -> Result<Option<Vec<u8>>, SidecarError> {
        let Some(file) = self.open_sidecar(suffix)? else { return Ok(None) };
        let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
        // not by doubling, which takes three times the memory
        let size = file.metadata().map_or(0, |meta| meta.len()).min(limit);
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or(max));
        file.take(limit).read_to_end(&mut content).map_err(|error| SidecarError::Io(Arc::new(error)))?;
        match content.len() {
            0 => Err(SidecarError::Empty),
            len if len > max => Err(SidecarError::TooLarge { max }),
            _ => Ok(Some(content)),
        }
    }

    fn xattr(&self, role: Role) -> Result<Option<Vec<u8>>, SidecarError> {
        let name = match role {
            Role::Root => "user.verity.roothash",
            Role::Usr => "user.verity.usrhash",
        };
        let mut value = vec![0; MAX_ROOT_HASH_TEXT];
        match rustix::fs::fgetxattr(self.opened().file(), name, value.as_mut_slice()) {
            Ok(0) => Err(SidecarError::Empty),
            Ok(len) => {
                value.truncate(len);
                Ok(Some(value))
            }
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
            Err(Errno::RANGE) => Err(SidecarError::TooLarge { max: MAX_ROOT_HASH_TEXT }),
            Err(error) => Err(SidecarError::Io(Arc::new(error.into()))),
        }
    }
}

/// As [`open_beside`], for a name that the caller did not give: whoever can write beside the image must not have us read
/// what only we can read. So a symbolic link is followed only as long as it stays in this directory.
fn open_inside(directory: &OwnedFd, name: &OsStr) -> io::Result<File> {
    /// How often `..` may be in doubt because something is renamed at the same moment.
    const TRIES: u32 = 16;
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..TRIES {
        match rustix::fs::openat2(directory, name, OPEN, Mode::empty(), inside) {
            Ok(fd) => return Ok(fd.into()),
            Err(Errno::AGAIN) => {}
            // before Linux 5.6, or where a sandbox does not know it: then no link at all
            Err(Errno::NOSYS | Errno::PERM) => {
                return Ok(
                    rustix::fs::openat(directory, name, OPEN | OFlags::NOFOLLOW, Mode::empty())?.into()
                );
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::AGAIN.into())
}

/// Without waiting for anything and without taking over a terminal.
const OPEN: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOCTTY).union(OFlags::NONBLOCK);

/// Opens the image itself, which the caller named; a symbolic link is followed.
fn open_beside(directory: &OwnedFd, name: &OsStr) -> io::Result<File> {
    Ok(File::from(rustix::fs::openat(directory, name, OPEN, Mode::empty())?))
}

/// A file from its beginning to its end.
struct Forward<'a> {
    source: &'a FileSource,
    position: u64,
}

impl Read for Forward<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // the size it had when it was opened: what came later is none of it, and what went missing is an error
        let rest = self.source.size().saturating_sub(self.position);
        let len = usize::try_from(rest).unwrap_or(usize::MAX).min(buf.len());
        self.source.read_exact_at(self.position, buf.get_mut(..len).unwrap_or_default())?;
        self.position = self.position.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        Ok(len)
    }
}

/// The names that a file beside the image may have: what systemd would look for beside the unpacked image; and for a
/// compressed one also what systemd downloads with it, which goes by the name without any suffix (`raw_strip_suffixes`).
fn sidecar_names(image: &OsStr, compression: Option<Compression>, suffix: &str) -> Vec<OsString> {
    let packed = image.as_bytes();
    let ends = [b".xz".as_slice(), b".zst", b".gz"];
    let unpacked = ends.iter().find_map(|end| packed.strip_suffix(*end)).filter(|_| compression.is_some());
    let mut names = vec![sidecar_name(OsStr::from_bytes(unpacked.unwrap_or(packed)), suffix)];
    if let Some(bare) = image_name(image).filter(|_| compression.is_some()) {
        let name = OsString::from(bare + suffix);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Paths of all the files that may be read as lying beside this image, there or not: for who would write to one of them.
pub fn sidecar_paths(image: &Path) -> Vec<PathBuf> {
    let Some(name) = image.file_name() else { return Vec::new() };
    let mut paths = Vec::new();
    for suffix in [".roothash", ".roothash.p7s", ".usrhash", ".usrhash.p7s", ".verity"] {
        // by its content it is known only later if it is compressed, and the names are the same for each format
        for compression in [None, Some(Compression::Xz)] {
            for name in sidecar_names(name, compression, suffix) {
                let path = image.with_file_name(name);
                if !paths.contains(&path) {
                    paths.push(path);
                }
            }
        }
    }
    paths
}

/// `foo.raw` → `foo.roothash`, `foo.img` → `foo.img.roothash`.
fn sidecar_name(image: &OsStr, suffix: &str) -> OsString {
    let image = image.as_bytes();
    let mut name = image.strip_suffix(b".raw").unwrap_or(image).to_vec();
    name.extend_from_slice(suffix.as_bytes());
    OsStr::from_bytes(&name).to_owned()
}

/// The first line, in hexadecimal, white space ignored.
fn parse_root_hash(text: &[u8]) -> Result<RootHash, SidecarError> {
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = core::str::from_utf8(line).map_err(|_| SidecarError::NotText)?;
    let digits: String = line.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    digits.parse().map_err(SidecarError::Text)
}

/// A detached signature in a file beside the image. That it is there says nothing about who made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SidecarSignature {
    /// Which root hash it is for.
    pub role: Role,
    /// PKCS#7 SignedData as DER, unchecked.
    pub pkcs7: Vec<u8>,
}

/// What lies beside an image. Nothing of it is trusted.
#[derive(Debug, Default)]
pub struct Sidecars {
    /// The root hashes, in the order in which systemd looks: the first one counts.
    pub root_hashes: Vec<KnownRootHash>,
    /// The signatures, that for root first.
    pub signatures: Vec<SidecarSignature>,
    /// Superblock and hash tree for an image without partition table.
    pub verity: Option<Arc<FileSource>>,
    /// Something has the name of such a file, whatever it is. systemd asks no more (`verity_settings_load()`, `access()`), and
    /// refuses an image with a partition table then.
    pub has_verity: bool,
    /// What is there and of no use.
    pub findings: Vec<Finding>,
    /// Root hashes and signatures that are there and malformed: where systemd reads them, it ends with "invalid argument".
    pub(crate) malformed: Vec<(Role, Sidecar)>,
}

impl Sidecars {
    /// Takes this signature for `role` rather than what was found.
    pub fn name_signature(&mut self, role: Role, pkcs7: Vec<u8>) {
        let found = match role {
            Role::Root => Sidecar::RootHashSignature,
            Role::Usr => Sidecar::UsrHashSignature,
        };
        self.forget(found);
        self.signatures.retain(|signature| signature.role != role);
        self.signatures.push(SidecarSignature { role, pkcs7 });
        self.signatures.sort_by_key(|signature| signature.role != Role::Root);
    }

    /// Takes this hash tree rather than what was found.
    pub fn name_verity(&mut self, source: FileSource) {
        self.forget(Sidecar::Verity);
        self.verity = Some(source.into());
        self.has_verity = true;
    }

    /// What was found in this place does not matter.
    fn forget(&mut self, place: Sidecar) {
        self.malformed.retain(|(_, what)| *what != place);
        self.findings
            .retain(|finding| !matches!(&finding.what, FindingKind::Sidecar { what, .. } if *what == place));
    }

    fn problem(&mut self, what: Sidecar, problem: SidecarError) {
        self.findings.push(Finding::new(FindingKind::Sidecar { what, problem }));
    }
}

/// The name of an image for extension lookups: its file name without the suffixes that images have; `None` if nothing
/// is left that could be a name (systemd, `dissected_image_name_from_path`).
pub fn image_name(file_name: &OsStr) -> Option<String> {
    const SUFFIXES: [&str; 10] =
        [".xz", ".gz", ".bz2", ".zst", ".sysext.raw", ".confext.raw", ".raw", ".qcow2", ".img", ".bin"];
    let mut name = file_name.to_str()?;
    while let Some(shorter) = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)) {
        name = shorter;
    }
    let valid = !matches!(name, "" | "." | "..")
        && !name.starts_with(".#")
        && name.len() <= 255
        && !name.chars().any(|c| c == '/' || c.is_control());
    valid.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory that goes when the test ends.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ddi-core-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Dir(path)
        }
        fn write(&self, name: &str, content: &[u8]) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, content).unwrap();
            path
        }
        fn fifo(&self, name: &str) -> PathBuf {
            let path = self.0.join(name);
            rustix::fs::mkfifoat(rustix::fs::CWD, &path, Mode::from_bits_truncate(0o600)).unwrap();
            path
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    const HASH: &str = "0b02558e5692d4c7028416cd86dafb69df95c4aef3d09519d02b6669c3aa6686";

    fn kind(error: Error) -> io::ErrorKind {
        match error {
            Error::Io { step: Step::Open, error, .. } => error.kind(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_files_and_block_devices_are_images() {
        let dir = Dir::new("kinds");
        let image = dir.write("a.raw", b"x");
        assert_eq!(ImageFile::open(&image).unwrap().source().size(), 1);
        assert_eq!(kind(ImageFile::open(&dir.0).unwrap_err()), io::ErrorKind::InvalidInput);
        assert_eq!(kind(ImageFile::open(dir.fifo("b.raw")).unwrap_err()), io::ErrorKind::InvalidInput);
        assert_eq!(kind(ImageFile::open("/dev/null").unwrap_err()), io::ErrorKind::InvalidInput);
        assert_eq!(kind(ImageFile::open("/").unwrap_err()), io::ErrorKind::InvalidInput);
        assert_eq!(kind(ImageFile::open("..").unwrap_err()), io::ErrorKind::InvalidInput);
        assert_eq!(kind(ImageFile::open(dir.0.join("none")).unwrap_err()), io::ErrorKind::NotFound);
        assert_eq!(
            kind(ImageFile::open(format!("{}/", image.display())).unwrap_err()),
            io::ErrorKind::NotADirectory
        );
        assert!(matches!(ImageFile::open(dir.write("c.raw", b"")), Err(Error::Empty)));
    }

    #[test]
    fn root_hash_files_are_found_as_systemd_finds_them() {
        let dir = Dir::new("roothash");
        let image = dir.write("a.raw", b"x");
        let beside = || ImageFile::open(&image).unwrap().sidecars();
        assert!(beside().root_hashes.is_empty() && beside().findings.is_empty() && !beside().has_verity);

        let usr = HASH.replace("0b", "0c");
        dir.write("a.usrhash", format!("{}\nsecond line", usr.to_uppercase()).as_bytes());
        dir.write("a.roothash", format!(" {HASH}").as_bytes());
        dir.write("a.roothash.p7s", b"der");
        dir.write("a.verity", b"verity");
        let found = beside();
        let origin = RootHashOrigin::Sidecar;
        assert_eq!(
            found.root_hashes,
            [
                KnownRootHash { hash: HASH.parse().unwrap(), role: Role::Root, origin },
                KnownRootHash { hash: usr.parse().unwrap(), role: Role::Usr, origin },
            ]
        );
        assert_eq!(found.signatures, [SidecarSignature { role: Role::Root, pkcs7: b"der".to_vec() }]);
        assert_eq!((found.has_verity, found.verity.map(|source| source.size())), (true, Some(6)));
        assert!(found.findings.is_empty());
    }

    #[test]
    fn what_is_wrong_beside_an_image_is_told() {
        let dir = Dir::new("beside");
        let image = dir.write("a.img", b"x");
        dir.write("a.img.roothash", b"");
        dir.write("a.img.usrhash", b"not hex");
        dir.write("a.img.roothash.p7s", &vec![0; MAX_PKCS7 + 1]);
        dir.fifo("a.img.usrhash.p7s");
        std::fs::create_dir(dir.0.join("a.img.verity")).unwrap();
        let found = ImageFile::open(&image).unwrap().sidecars();
        assert!(found.root_hashes.is_empty() && found.signatures.is_empty() && found.verity.is_none());
        let told: Vec<_> = found.findings.iter().map(|finding| finding.to_string()).collect();
        assert_eq!(told[0], ".roothash file: is empty");
        assert!(told[1].starts_with(".usrhash file: "), "{}", told[1]);
        assert_eq!(told[2], format!(".roothash.p7s file: is larger than {MAX_PKCS7} bytes"));
        assert_eq!(told[3], ".usrhash.p7s file: is not a regular file");
        assert_eq!(told[4], ".verity file: is not a regular file");
        assert!(found.has_verity);
        assert_eq!(told.len(), 5);
    }

    #[test]
    fn f9_malformed_is_an_error_where_systemd_reads_it() {
        use crate::dissect::VeritySettings;
        use crate::trust::TrustedRootHash;
        let refused = |name: &str, files: &[(&str, &[u8])], trusted: &[TrustedRootHash]| {
            let dir = Dir::new(name);
            let image = dir.write("a.raw", b"x");
            files.iter().for_each(|(name, content)| drop(dir.write(name, content)));
            VeritySettings::new(trusted, &ImageFile::open(&image).unwrap().sidecars()).malformed()
        };
        let sums = format!("{HASH}  a.raw\n");
        let good = HASH.as_bytes();
        for text in [&b""[..], b"\n", sums.as_bytes(), b"0b02", b"\xff"] {
            assert_eq!(refused("m1", &[("a.roothash", text)], &[]), Some(Sidecar::RootHash));
            assert_eq!(refused("m2", &[("a.usrhash", text)], &[]), Some(Sidecar::UsrHash));
            // that of root is read first
            assert_eq!(refused("m3", &[("a.roothash", good), ("a.usrhash", text)], &[]), None);
            assert_eq!(
                refused("m4", &[("a.roothash", text), ("a.usrhash", good)], &[]),
                Some(Sidecar::RootHash)
            );
            // and none where there is a better one
            let trusted = [TrustedRootHash::by_caller(HASH.parse().unwrap(), Role::Root)];
            assert_eq!(refused("m5", &[("a.roothash", text)], &trusted), None);
        }
        let empty: &[u8] = b"";
        let trusted = [TrustedRootHash::by_caller(HASH.parse().unwrap(), Role::Root)];
        let signature = ("a.roothash.p7s", empty);
        assert_eq!(refused("m6", &[signature, ("a.roothash", good)], &[]), Some(Sidecar::RootHashSignature));
        assert_eq!(refused("m7", &[signature], &trusted), Some(Sidecar::RootHashSignature));
        // where no root hash is known, or one for usr, it is not read
        assert_eq!(refused("m8", &[signature], &[]), None);
        assert_eq!(refused("m9", &[signature, ("a.usrhash", good)], &[]), None);
    }

    /// Whoever can write beside the image could have us read, and print, what only we can read.
    #[test]
    fn s12_links_out_of_the_folder_are_not_followed() {
        let [dir, other] = ["inside", "outside"].map(Dir::new);
        let image = dir.write("a.raw", b"x");
        other.write("secret", b"root:$6$secret:19000:0:99999:7:::\n");
        let names = ["a.roothash", "a.usrhash", "a.roothash.p7s", "a.usrhash.p7s", "a.verity"];
        let secret = other.0.join("secret");
        let up = Path::new("..").join(other.0.file_name().unwrap()).join("secret");
        dir.write("self", b"");
        for target in
            [secret.as_path(), &up, Path::new("/proc/self/exe"), Path::new("link"), Path::new("loop")]
        {
            let link = |name: &str, to: &Path| {
                let _ = std::fs::remove_file(dir.0.join(name));
                std::os::unix::fs::symlink(to, dir.0.join(name)).unwrap();
            };
            link("link", &secret);
            link("loop", Path::new("loop"));
            names.iter().for_each(|name| link(name, target));
            let found = ImageFile::open(&image).unwrap().sidecars();
            assert!(found.root_hashes.is_empty() && found.signatures.is_empty() && found.verity.is_none());
            assert!(found.has_verity);
            assert_eq!(found.findings.len(), names.len(), "{}", target.display());
            for finding in &found.findings {
                let text = finding.to_string();
                assert!(text.ends_with("is a link that leads out of the folder of the image"), "{text}");
                assert_eq!(finding.code(), "beside");
            }
        }
        // one that stays there is as good as the file
        for name in names {
            std::fs::remove_file(dir.0.join(name)).unwrap();
            std::os::unix::fs::symlink(format!("{name}-1"), dir.0.join(name)).unwrap();
            let hash = name.ends_with("hash");
            dir.write(&format!("{name}-1"), if hash { HASH.as_bytes() } else { b"other" });
        }
        let found = ImageFile::open(&image).unwrap().sidecars();
        assert!(found.findings.is_empty(), "{:?}", found.findings);
        assert_eq!((found.root_hashes.len(), found.signatures.len(), found.verity.is_some()), (2, 2, true));
    }

    /// What is in a file that is none of ours is nobody's business.
    #[test]
    fn s12_no_byte_of_a_file_that_is_no_sidecar_is_told() {
        let dir = Dir::new("foreign");
        let image = dir.write("a.raw", b"x");
        dir.write("a.roothash", b"Q!");
        dir.write("a.usrhash", format!("{}Q", HASH).as_bytes());
        let found = ImageFile::open(&image).unwrap().sidecars();
        assert_eq!(found.findings.len(), 2);
        for finding in &found.findings {
            assert!(!finding.to_string().contains(['Q', '!']), "{finding}");
        }
    }

    #[test]
    fn a_root_hash_file_is_never_read_in_full() {
        let dir = Dir::new("large");
        let image = dir.write("a.raw", b"x");
        let large = File::create(dir.0.join("a.roothash")).unwrap();
        large.set_len(1 << 30).unwrap();
        let found = ImageFile::open(&image).unwrap().sidecars();
        assert_eq!(found.findings[0].to_string(), ".roothash file: is larger than 1024 bytes");
    }

    #[test]
    fn names_beside_packed_images() {
        let names = |image: &str, compression| {
            let names = sidecar_names(OsStr::new(image), compression, ".roothash");
            names.into_iter().map(|name| name.into_string().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(names("a.raw.xz", None), ["a.raw.xz.roothash"]);
        assert_eq!(names("a.raw.xz", Some(Compression::Xz)), ["a.roothash"]);
        assert_eq!(names("a.raw.zst", Some(Compression::Zstd)), ["a.roothash"]);
        assert_eq!(names("a.img.gz", Some(Compression::Gzip)), ["a.img.roothash", "a.roothash"]);
        let sysext = names("a.sysext.raw.gz", Some(Compression::Gzip));
        assert_eq!(sysext, ["a.sysext.roothash", "a.roothash"]);
        assert_eq!(names("a.raw", Some(Compression::Gzip)), ["a.roothash"]);
    }

    #[test]
    #[cfg(feature = "gzip")]
    fn what_lies_beside_a_packed_image_is_found_when_it_is_unpacked() {
        // "x\n" by gzip
        const PACKED: &[u8] =
            &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0xe0, 2, 0, 0x1f, 0x08, 0xea, 0x46, 2, 0, 0, 0];
        let dir = Dir::new("packed");
        let image = dir.write("a.sysext.raw.gz", PACKED);
        dir.write("a.roothash", HASH.as_bytes());
        let mut options = SpoolOptions::default();
        options.directory = dir.0.clone();
        let file = ImageFile::open(&image).unwrap().unpack(&options).unwrap();
        let mut content = [0; 2];
        file.source().read_exact_at(0, &mut content).unwrap();
        assert_eq!((content, file.source().size()), (*b"x\n", 2));
        assert_eq!(file.compression(), Some(Compression::Gzip));
        assert_eq!(file.sidecars().root_hashes[0].hash, HASH.parse().unwrap());
        // as it is
        assert_eq!(ImageFile::open(&image).unwrap().source().size(), PACKED.len() as u64);
        // a file that shrinks meanwhile is not taken for a whole one
        let file = ImageFile::open(&image).unwrap();
        File::options().write(true).open(&image).unwrap().set_len(15).unwrap();
        let error = file.unpack(&options).unwrap_err();
        assert!(matches!(error, Error::Unpack(ddi_io::UnpackError::Read { .. })), "{error}");
    }

    #[test]
    fn names_lose_the_suffixes_of_images() {
        for (file, name) in [
            ("foo.raw", Some("foo")),
            ("foo.sysext.raw", Some("foo")),
            ("foo.raw.xz", Some("foo")),
            ("foo.confext.raw.gz", Some("foo")),
            ("foo_1.2.img", Some("foo_1.2")),
            ("foo", Some("foo")),
            (".raw", None),
            (".#foo.raw", None),
            ("a\nb.raw", None),
        ] {
            assert_eq!(image_name(OsStr::new(file)).as_deref(), name, "{file}");
        }
        assert_eq!(image_name(OsStr::from_bytes(b"\xff.raw")), None);
    }
}
