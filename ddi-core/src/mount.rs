//! The files of an image: its file systems opened, through proven bytes where they are protected, and put together as
//! systemd mounts them.
//!
//! ```text
//!   DissectionRecord ─▶ which partition ┐
//!   VeritySet  ─▶ ProvenPartition ┴▶ files::open ─▶ Mounted ─▶ Files: a Vfs and how far it can be relied upon
//! ```
//!
//! A partition that a hash tree protects, and whose root hash is known, is read through its
//! [`ProvenPartition`] or not at all: a block that does not match is an error, never content. What is not protected is
//! read as it is and called [`Assurance::Claimed`]. [`Contents::unproven`] reads everything as it is.

mod closed;
#[cfg(feature = "files")]
mod extract;
mod tree;

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use ddi_gpt::Designator;
use ddi_io::{ReadAt, Section};

use crate::dissect::DissectionRecord;
use crate::error::{Error, ErrorKind, Step};
use crate::image::{Image, Table};
use crate::prove::ProveOptions;
use crate::prove::partition::ProvenPartition;
use crate::report::finding::Authority;
use crate::trust::Assurance;
use crate::trust::{Role, TrustedRootHash};
use crate::verity_set::VeritySet;
use ddi_fs::{Place, Touched, Watched};
#[cfg(feature = "files")]
pub use extract::{DestinationFault, ExtractError, ExtractNotice, ExtractOptions, Extracted, LeftOut};
pub use tree::{DirEntry, MAX_FILE_SIZE, MountedTree, ReadError};

use ddi_fs::FsKind;
use ddi_fs::{self as files, FileSystem, FileType, Vfs};

/// Where systemd mounts each designator that has a file system of its own, but for the ESP: see [`Contents::whole`].
const MOUNT_POINTS: [(Designator, &[u8]); 5] = [
    (Designator::Usr, b"usr"),
    (Designator::Home, b"home"),
    (Designator::Srv, b"srv"),
    (Designator::Var, b"var"),
    (Designator::Xbootldr, b"boot"),
];

/// Why the files of a partition cannot be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum MountError {
    /// The image is refused, by systemd or by a rule that systemd does not go by ([`Error::authority`]): there is nothing that
    /// could be put together.
    Refused(Error),
    /// It is protected, and cannot be opened under its root hash.
    Unproven(Error),
    /// It cannot be read at all.
    Source(Error),
    /// Nothing is recognised in it, or more than one thing at once.
    Unrecognised,
    /// It is encrypted.
    Encrypted,
    /// No reader for this file system, or it says something impossible.
    FileSystem(files::Error),
}

impl MountError {
    /// Stable name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            MountError::Refused(error) | MountError::Unproven(error) | MountError::Source(error) => {
                error.code()
            }
            MountError::Unrecognised => "unrecognised-file-system",
            MountError::Encrypted => "encrypted",
            MountError::FileSystem(error) => error.code(),
        }
    }
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MountError::Refused(error) if error.kind() == ErrorKind::Io => error.fmt(f),
            MountError::Refused(error) => match error.authority() {
                Authority::Systemd => write!(f, "systemd would refuse the image: {error}"),
                authority => write!(f, "by a rule of {authority} the image is refused: {error}"),
            },
            MountError::Unproven(error) | MountError::Source(error) => error.fmt(f),
            MountError::Unrecognised => f.write_str("no file system is recognised"),
            MountError::Encrypted => f.write_str("it is encrypted"),
            MountError::FileSystem(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for MountError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            MountError::Refused(error) | MountError::Unproven(error) | MountError::Source(error) => {
                Some(error)
            }
            MountError::FileSystem(error) => Some(error),
            MountError::Unrecognised | MountError::Encrypted => None,
        }
    }
}

/// A file system of an image, opened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Mounted {
    /// What its partition is for; `None` if it was asked for by number and is for nothing.
    pub designator: Option<Designator>,
    /// Number of the partition; `None` for a bare image.
    pub number: Option<u32>,
    /// What is read.
    pub kind: FsKind,
    /// How far what is read can be relied upon. [`Assurance::Intact`] and [`Assurance::Authenticated`] mean that each
    /// block is proven before a byte of it comes out; they say nothing about blocks that nobody reads.
    pub assurance: Assurance,
    /// Who vouches for the root hash.
    pub trusted: Option<TrustedRootHash>,
    /// The partition's attributes say that it is never written.
    pub read_only: bool,
    /// Its files. That they were read is noted: see [`Files::vouch`].
    pub fs: Arc<dyn FileSystem>,
    touched: Touched,
}

impl Mounted {
    /// Returns true if files can be made in it when it is mounted. They cannot if its partition is read-only, if it is
    /// proven, or if it is of a kind that is made once and for all.
    pub fn is_writable(&self) -> bool {
        let fixed = [FsKind::Erofs, FsKind::Squashfs, FsKind::Iso9660].contains(&self.kind);
        !self.read_only && !fixed && self.assurance == Assurance::Claimed
    }
}

/// File systems put together.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Files {
    /// The files.
    pub tree: Vfs,
    /// What the tree is made of, root first.
    pub mounted: Vec<Mounted>,
}

impl Files {
    /// What could not be opened is closed, and not a hole through which one sees what lies below.
    pub(crate) fn close(&mut self, designator: Designator, number: Option<u32>) {
        let place = MOUNT_POINTS.iter().find(|(mounted, _)| *mounted == designator);
        let name = place.map_or(&b"efi"[..], |(_, name)| name);
        let (fs, touched) = Watched::over(Arc::new(closed::Closed));
        let (kind, assurance) = (fs.kind(), Assurance::Claimed);
        let closed = Mounted {
            designator: Some(designator),
            number,
            kind,
            assurance,
            trusted: None,
            read_only: true,
            fs,
            touched,
        };
        self.mount(name, closed);
    }

    /// The same files, as if none of them had been read.
    #[must_use]
    pub fn unread(&self) -> Self {
        let mut tree = Vfs::new(None);
        let mut mounted = Vec::new();
        let names = self.tree.file_systems().map(|(name, _)| name);
        for (name, below) in names.zip(&self.mounted) {
            let (fs, touched) = Watched::over(Arc::clone(&below.fs));
            tree = match name {
                b"" => Vfs::new(Some(Arc::clone(&fs))),
                name => tree.with_mount(name, Arc::clone(&fs)),
            };
            mounted.push(Mounted { fs, touched, ..below.clone() });
        }
        Files { tree, mounted }
    }

    /// `tree` is made of `mounted`, root first.
    pub fn new(tree: Vfs, mounted: Vec<Mounted>) -> Self {
        Files { tree, mounted }
    }

    /// How far what is found in the tree can be relied upon: no more than in the least of its file systems, as a link
    /// leads from any of them to any other. With no file system at all it is [`Assurance::Claimed`].
    pub fn assurance(&self) -> Assurance {
        self.mounted.iter().map(|mounted| mounted.assurance).min().unwrap_or_default()
    }

    /// The file at `path`, and its path without links: [`Vfs::locate`]. That there are directories to mount on, or mounted, is
    /// all that is learned on the way from those file systems whose root directory is passed; from here on, a look at a root
    /// directory counts.
    ///
    /// # Errors
    /// As there.
    pub fn locate(&self, path: &[u8], follow: bool) -> Result<(Place, Vec<u8>), files::Error> {
        let located = self.tree.locate(path, follow);
        self.count_roots();
        located
    }

    fn count_roots(&self) {
        self.mounted.iter().for_each(|mounted| mounted.touched.count_root());
    }

    /// Checks that what was read so far may be told: every file system that was read must be at least as good as
    /// `least`. With `all`, those that were not read count too. A directory that is listed counts as read, and so does
    /// what is mounted on it, if nothing else has that name.
    ///
    /// # Errors
    /// The worst file system, if it is not as good.
    pub fn vouch(&self, least: Assurance, all: bool) -> Result<(), &Mounted> {
        let used = self.mounted.iter().filter(|mounted| all || mounted.touched.is_touched());
        let worst = used.min_by_key(|mounted| mounted.assurance);
        worst.filter(|mounted| mounted.assurance < least).map_or(Ok(()), Err)
    }

    /// What `read` finds in the tree, if every file system that it went through is at least so good.
    ///
    /// # Errors
    /// As [`vouch`](Self::vouch): then nothing of the answer comes out.
    pub fn answer<T>(&self, least: Assurance, read: impl FnOnce(&Vfs) -> T) -> Result<T, &Mounted> {
        self.count_roots();
        let answer = read(&self.tree);
        self.vouch(least, false)?;
        Ok(answer)
    }
}

impl From<Mounted> for Files {
    /// The files of one file system alone.
    fn from(mounted: Mounted) -> Self {
        Files { tree: Vfs::new(Some(Arc::clone(&mounted.fs))), mounted: vec![mounted] }
    }
}

/// Opens the file systems of an image. Nothing is read before it is asked for.
///
/// ```no_run
/// use ddi_core::Image;
/// use ddi_core::steps::{Contents, DissectOptions, DissectionRecord, ProveOptions, VeritySettings, verity_sets};
///
/// let image = Image::open("image.raw")?;
/// let verity = VeritySettings::new(None, image.sidecars());
/// let dissection = DissectionRecord::new(&image, &DissectOptions::new(verity));
/// let options = ProveOptions::default();
/// let sets = verity_sets(&image, &dissection, &options.bind());
/// let files = Contents::new(&image, &dissection, &sets, &options).system()?;
/// let os_release = files.tree.read_path(b"/etc/os-release", 64 << 10);
/// println!("{:?}: {os_release:?}", files.assurance());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    image: &'a Image,
    dissection: &'a DissectionRecord,
    /// `None`: read everything as it is.
    proof: Option<(&'a [VeritySet], &'a ProveOptions<'a>)>,
}

impl<'a> Contents<'a> {
    /// `sets` are those of the image, found with [`options.bind()`](ProveOptions::bind).
    pub fn new(
        image: &'a Image,
        dissection: &'a DissectionRecord,
        sets: &'a [VeritySet],
        options: &'a ProveOptions<'a>,
    ) -> Self {
        Contents { image, dissection, proof: Some((sets, options)) }
    }

    /// The same with nothing proven: all is read as it is, and is [`Assurance::Claimed`].
    pub fn unproven(image: &'a Image, dissection: &'a DissectionRecord) -> Self {
        Contents { image, dissection, proof: None }
    }

    /// The root file system and `/usr`: what os-release and the like are read from. An image with neither is an empty
    /// tree.
    ///
    /// # Errors
    /// [`MountError::Refused`]; if one of the two is there and cannot be opened, why.
    pub fn system(&self) -> Result<Files, MountError> {
        if let Err(error) = &self.dissection.outcome {
            return Err(MountError::Refused(error.clone()));
        }
        let root = self.designated(Designator::Root).transpose()?;
        let usr = self.designated(Designator::Usr).transpose()?;
        let mut files =
            Files { tree: Vfs::new(root.as_ref().map(|root| Arc::clone(&root.fs))), mounted: Vec::new() };
        files.mounted.extend(root);
        if let Some(usr) = usr {
            files.mount(b"usr", usr);
        }
        Ok(files)
    }

    /// All that systemd would mount: [`system`](Self::system) with home, srv, var and the extended boot loader
    /// partition on their directories, and the ESP on `/efi`, or on `/boot` if that is there, `/efi` is not, and nothing
    /// else is on it. Those that cannot be opened are left out, and listed with the reason.
    ///
    /// # Errors
    /// As [`system`](Self::system).
    pub fn whole(&self) -> Result<(Files, Vec<(Designator, MountError)>), MountError> {
        let mut files = self.system()?;
        let mut left_out = Vec::new();
        let mut open = |designator| match self.designated(designator) {
            None => None,
            Some(Ok(mounted)) => Some(mounted),
            Some(Err(error)) => {
                left_out.push((designator, error));
                None
            }
        };
        for (designator, mount_point) in MOUNT_POINTS {
            if designator != Designator::Usr
                && let Some(mounted) = open(designator)
            {
                files.mount(mount_point, mounted);
            }
        }
        if let Some(esp) = open(Designator::Esp) {
            let has_xbootldr =
                files.mounted.iter().any(|other| other.designator == Some(Designator::Xbootldr));
            let on_boot = !has_xbootldr
                && !is_directory(&files.tree, b"/efi")
                && is_empty_directory(&files.tree, b"/boot");
            files.mount(if on_boot { b"boot" } else { b"efi" }, esp);
        }
        // where the ESP goes was our question
        files.mounted.iter().for_each(|mounted| mounted.touched.forget());
        Ok((files, left_out))
    }

    /// The partition that is the choice for `designator`; `None` if there is none. Also in an image that is refused as a
    /// whole.
    pub fn designated(&self, designator: Designator) -> Option<Result<Mounted, MountError>> {
        let bare = self.dissection.outcome.as_ref().is_ok_and(|dissected| dissected.bare);
        match self.dissection.chosen(designator) {
            Some(number) => Some(self.open(Some(number), Some(designator))),
            None if bare && designator == Designator::Root => Some(self.open(None, Some(designator))),
            None => None,
        }
    }

    /// The number of the partition that is the choice for `designator`.
    pub fn number_of(&self, designator: Designator) -> Option<u32> {
        self.dissection.chosen(designator)
    }

    /// The partition with that number; `None` if there is none.
    pub fn partition(&self, number: u32) -> Option<Result<Mounted, MountError>> {
        self.image.range(number)?;
        let designator = Designator::ALL
            .into_iter()
            .find(|designator| self.dissection.chosen(*designator) == Some(number));
        Some(self.open(Some(number), designator))
    }

    fn open(&self, number: Option<u32>, designator: Option<Designator>) -> Result<Mounted, MountError> {
        let (bytes, kind, assurance, trusted) = match self.prove(number, designator)? {
            Some(proven) => {
                let kind = proven.content().ok_or(MountError::Unrecognised)?;
                let trusted = proven.trusted();
                let assurance = if trusted.is_some() { Assurance::Authenticated } else { Assurance::Intact };
                let bytes: Arc<dyn ReadAt> = Arc::new(proven);
                (bytes, kind, assurance, trusted)
            }
            None => {
                let (bytes, kind) = self.raw(number)?;
                (bytes, kind, Assurance::Claimed, None)
            }
        };
        if kind == FsKind::CryptoLuks {
            return Err(MountError::Encrypted);
        }
        let fs = files::open_within(bytes, kind, self.image.meter()).map_err(MountError::FileSystem)?;
        let read_only = number.is_some_and(|number| self.is_read_only(number));
        let (fs, touched) = Watched::over(fs);
        Ok(Mounted { designator, number, kind, assurance, trusted, read_only, fs, touched })
    }

    fn is_read_only(&self, number: u32) -> bool {
        let Table::Gpt(gpt) = self.image.table() else { return false };
        gpt.partitions().iter().any(|partition| partition.number == number && partition.effect().read_only)
    }

    /// Returns true if there is a hash tree over that partition, with a known root hash. Such a partition is never
    /// written.
    pub fn is_protected(&self, number: u32) -> bool {
        let protects = |set: &VeritySet| {
            set.root_hash.is_some() && set.data.is_some_and(|data| data.number == Some(number))
        };
        self.proof.is_some_and(|(sets, _)| sets.iter().any(protects))
    }

    /// `None` if it is not protected: there is no hash tree for it, or one of which nobody says the root hash.
    fn prove(
        &self,
        number: Option<u32>,
        designator: Option<Designator>,
    ) -> Result<Option<ProvenPartition>, MountError> {
        let Some((sets, options)) = self.proof else { return Ok(None) };
        // a bare image is a root file system, and a tree for usr says nothing of that
        let is_for_it = |set: &VeritySet| number.is_some() || set.role == Role::Root;
        let is_its = |set: &&VeritySet| is_for_it(set) && set.data.is_some_and(|data| data.number == number);
        let vouched = |set: &&VeritySet| is_its(set) && set.trusted(options.trusted).is_some();
        let known = |set: &&VeritySet| is_its(set) && set.root_hash.is_some();
        // of several trees over the same data, one that somebody vouches for
        let set = sets.iter().find(vouched).or_else(|| sets.iter().find(known));
        let role = set.map(|set| set.role).or_else(|| designator.and_then(Role::of));
        // a root hash was given for it, and it is another one; of a bare image, there is nothing else it could be for
        let given = options.trusted.iter().find(|given| Some(given.role()) == role);
        let given = given.or_else(|| options.trusted.first().filter(|_| number.is_none()));
        let known = set.and_then(|set| set.root_hash);
        if let Some(given) = given
            && known.is_none_or(|known| !given.vouches_for(&known.hash, known.role))
        {
            let (role, root_hash) = (given.role(), (*given).into());
            return Err(MountError::Unproven(Error::NoDataForRootHash { role, root_hash }));
        }
        match set {
            Some(set) => {
                ProvenPartition::open(self.image, set, options).map(Some).map_err(MountError::Unproven)
            }
            None => Ok(None),
        }
    }

    /// The bytes as they are.
    fn raw(&self, number: Option<u32>) -> Result<(Arc<dyn ReadAt>, FsKind), MountError> {
        let looked = match number {
            Some(number) => self.image.probe(number),
            None => Some(self.image.whole()),
        };
        let probe = looked.and_then(|looked| looked.any().ok().flatten());
        let kind = probe.map(|probe| probe.kind).ok_or(MountError::Unrecognised)?;
        let source = self.image.shared_source();
        let Some(range) = number.and_then(|number| self.image.range(number)) else {
            return Ok((source, kind));
        };
        let section = Section::new(source, range.offset, range.size).map_err(|error| {
            MountError::Source(Error::Io {
                step: Step::Open,
                offset: Some(range.offset),
                error: Arc::new(error),
            })
        })?;
        Ok((Arc::new(section), kind))
    }
}

impl Files {
    fn mount(&mut self, name: &[u8], mounted: Mounted) {
        let tree = std::mem::replace(&mut self.tree, Vfs::new(None));
        self.tree = tree.with_mount(name, Arc::clone(&mounted.fs));
        self.mounted.push(mounted);
    }
}

fn is_directory(tree: &Vfs, path: &[u8]) -> bool {
    let stat = tree.resolve(path).and_then(|place| tree.stat(place));
    stat.is_ok_and(|stat| stat.file_type == FileType::Directory)
}

fn is_empty_directory(tree: &Vfs, path: &[u8]) -> bool {
    let mut empty = true;
    let listed = tree.resolve(path).and_then(|place| {
        tree.list(place, &mut |_, _| {
            empty = false;
            ControlFlow::Break(())
        })
    });
    listed.is_ok() && empty
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::{DissectOptions, VeritySettings};
    use crate::prove::Unfit;
    use crate::testing::{Disk, DiskImage as _, Set, erofs, erofs_without_root, image, luks};
    use crate::verity_set::verity_sets;

    /// Why the root partition of `disk` cannot be read: the file systems of these tests are superblocks alone.
    fn unreadable(disk: &Disk, trusted: &[TrustedRootHash]) -> MountError {
        let image = disk.image();
        let verity = VeritySettings::new(None, image.sidecars());
        let dissection = DissectionRecord::new(&image, &DissectOptions::new(verity));
        let options = ProveOptions { trusted, ..Default::default() };
        let sets = verity_sets(&image, &dissection, &options.bind());
        let contents = Contents::new(&image, &dissection, &sets, &options);
        contents.designated(Designator::Root).unwrap().unwrap_err()
    }

    fn is_without_root(error: &MountError) -> bool {
        matches!(error, MountError::Unproven(Error::UnfitContent { unfit: Unfit::RootDirectory(_), .. }))
    }

    #[test]
    fn what_cannot_be_read() {
        let root = |content: &[u8]| Disk::new().part("root-x86-64", "os", content);
        assert_eq!(unreadable(&root(&luks()), &[]).code(), "encrypted");
        assert_eq!(unreadable(&root(&[7; 8192]), &[]).code(), "unrecognised-file-system");
    }

    /// What is protected is not read as it is when it cannot be proven.
    #[test]
    fn protected_bytes_are_proven_or_not_read() {
        let set = Set::new(erofs_without_root(300, 1));
        let disk = Disk::new().set("root-x86-64", "os", &set);
        // the reader was asked: the superblock that it got is proven
        assert!(is_without_root(&unreadable(&disk, &[])));
        let other = TrustedRootHash::by_caller("11".repeat(32).parse().unwrap(), Role::Root);
        let error = unreadable(&disk, &[other]);
        assert!(matches!(error, MountError::Unproven(_)), "{error:?}");
        let damaged = disk.edit_number(1, |part| part.content[1100] ^= 1);
        let error = unreadable(&damaged, &[]);
        assert!(matches!(error, MountError::Unproven(Error::Verity { .. })), "{error:?}");
    }

    /// A bare image is a root file system: a root hash for usr opens nothing, though every block matches it.
    #[test]
    fn a_root_hash_for_usr_does_not_open_a_bare_image() {
        let set = Set::new(erofs_without_root(8, 1));
        let image = image([set.data.clone(), set.hash.clone()].concat());
        let open = |trusted: &[TrustedRootHash]| {
            let mut verity = VeritySettings::new(trusted, image.sidecars());
            verity.external = true;
            let dissection = DissectionRecord::new(&image, &DissectOptions::new(verity));
            let options = ProveOptions { trusted, hash_offset: Some(8 * 4096), ..Default::default() };
            let sets = verity_sets(&image, &dissection, &options.bind());
            let contents = Contents::new(&image, &dissection, &sets, &options);
            contents.designated(Designator::Root).unwrap().unwrap_err()
        };
        let [root, usr] = Role::ALL.map(|role| TrustedRootHash::by_caller(set.root, role));
        // the reader was asked: the superblock that it got is proven
        for trusted in [&[root][..], &[root, usr], &[usr, root]] {
            assert!(is_without_root(&open(trusted)));
        }
        let error = open(&[usr]);
        assert!(
            matches!(error, MountError::Unproven(Error::NoDataForRootHash { role: Role::Usr, .. })),
            "{error:?}"
        );
    }

    #[test]
    fn a_refused_image_has_no_system() {
        let data = erofs(20, 1);
        let disk = Disk::new().part("root-x86-64-verity", "os", &Set::new(data).hash);
        let image = disk.image();
        let dissection =
            DissectionRecord::new(&image, &DissectOptions::new(VeritySettings::new(None, image.sidecars())));
        let error = Contents::unproven(&image, &dissection).system().unwrap_err();
        assert!(matches!(error, MountError::Refused(Error::DataMissing { .. })), "{error:?}");
        assert!(error.to_string().starts_with("systemd would refuse the image: "), "{error}");
        let overlap = crate::image::mbr::Error::Overlap { number: 1, other: 2, offset: 512 };
        let error = MountError::Refused(Error::Mbr(overlap));
        assert!(error.to_string().starts_with("by a rule of UEFI the image is refused: "), "{error}");
    }
}
