//! Extension and portable images: what is in a folder or an archive, as one file that systemd takes.
//!
//! The definitions are those that systemd ships for `systemd-repart --make-ddi=`.

use std::fmt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ddi_gpt::Architecture;
use ddi_io::FileSource;
use ddi_os::metadata::{EnvFile, ExtensionClass, is_image_name};
use ddi_signature::sign::{Embed, SignOptions};
use ddi_verity::{HashTree, Options, Placement, Superblock};

use crate::content::{Blocks, ContentOptions, Contents, Source};
use crate::definitions::{DefinitionOptions, Definitions, Notice};
use crate::error::{Error, Place};
use crate::output::Output;
use crate::plan::{Plan, PlanOptions};
use crate::write::{Shifted, WriteOptions, Written, commit_all, write};

/// Bytes of a release file that are read.
const MAX_RELEASE: u64 = 64 << 10;

/// What an image is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BakeKind {
    /// An extension of `/usr` and `/opt`.
    Sysext,
    /// An extension of `/etc`.
    Confext,
    /// A portable service: a whole root.
    Portable,
}

impl BakeKind {
    /// Its name, as `systemd-repart --make-ddi=` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sysext => "sysext",
            Self::Confext => "confext",
            Self::Portable => "portable",
        }
    }

    /// What extensions it is among.
    pub const fn class(self) -> Option<ExtensionClass> {
        match self {
            Self::Sysext => Some(ExtensionClass::Sysext),
            Self::Confext => Some(ExtensionClass::Confext),
            Self::Portable => None,
        }
    }

    const fn copied(self) -> &'static [&'static str] {
        match self {
            Self::Sysext => &["/usr/", "/opt/"],
            Self::Confext => &["/etc/"],
            Self::Portable => &["/"],
        }
    }
}

/// What is wrong with an image that was to be baked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BakeFault {
    /// It is not called `NAME.raw`, with a name that an extension can have.
    Name,
    /// None of the directories is there that it would bring.
    Nothing {
        /// What they are.
        directories: &'static [&'static str],
    },
    /// Its release file is there, and cannot be read.
    Release {
        /// Where.
        path: String,
        /// Why not.
        reason: String,
    },
    /// Its release file is there, and says something else than was asked for.
    Differs {
        /// Where.
        path: String,
        /// The field.
        key: &'static str,
        /// What it says.
        found: String,
        /// What was asked for.
        asked: String,
    },
    /// A value that a release file cannot have.
    Value {
        /// The value.
        value: String,
    },
}

impl fmt::Display for BakeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ddi_gpt::Escaped;
        match self {
            Self::Name => f.write_str("the image is not called NAME.raw, or NAME is none for an image"),
            Self::Nothing { directories } => write!(f, "has none of {}", directories.join(", ")),
            Self::Release { path, reason } => write!(f, "{}: {}", Escaped::new(path), Escaped::new(reason)),
            Self::Differs { path, key, found, asked } => {
                let (path, found, asked) = (Escaped::new(path), Escaped::new(found), Escaped::new(asked));
                write!(f, "{path}: has {key}={found}, and {asked} was asked for")
            }
            Self::Value { value } => write!(f, "{} cannot be in a release file", Escaped::new(value)),
        }
    }
}

/// The operating system that an extension is for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Os {
    id: String,
    version: Option<String>,
}

/// An image to be made of the files of a [`ContentOptions`].
///
/// ```no_run
/// use ddi_build::{Archive, ArchiveOptions, Bake, BakeKind, ContentOptions, Root, Tools, WriteOptions};
///
/// let archive = Archive::open("app-1.0.tar.gz", &ArchiveOptions::new())?;
/// let (root, tools, seed) = (Root::open("/")?, Tools::new(), "11111111-2222-4333-8444-555555555555".parse()?);
/// let content = ContentOptions::new(&root, &tools, seed).copy_archive(&archive);
/// let baked = Bake::new(BakeKind::Sysext, "app.raw").os("debian", Some("13")).make(content, &WriteOptions::new())?;
/// println!("{}", baked.root_hash);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Bake {
    kind: BakeKind,
    image: PathBuf,
    os: Option<Os>,
    architecture: Option<Architecture>,
    squashfs: bool,
    bare: bool,
}

/// What was made.
#[derive(Debug)]
#[non_exhaustive]
pub struct Baked {
    /// The plan, with root hash and GUIDs, and the files beside a bare image. A bare image has the root hash of the disk image
    /// that this plan is of.
    pub written: Written,
    /// The root hash of its files.
    pub root_hash: ddi_verity::RootHash,
    /// What a person should know.
    pub notices: Vec<Notice>,
}

impl Bake {
    /// An image of this kind, for any system, of erofs in a disk image.
    pub fn new(kind: BakeKind, image: impl Into<PathBuf>) -> Self {
        Self { kind, image: image.into(), os: None, architecture: None, squashfs: false, bare: false }
    }

    /// For this operating system (`ID=`, `VERSION_ID=`), or for `_any`.
    #[must_use]
    pub fn os(mut self, id: impl Into<String>, version: Option<&str>) -> Self {
        self.os = Some(Os { id: id.into(), version: version.map(str::to_owned) });
        self
    }

    /// For this machine rather than the one that it is made on.
    #[must_use]
    pub fn architecture(mut self, architecture: Architecture) -> Self {
        self.architecture = Some(architecture);
        self
    }

    /// Sets whether its file system is squashfs rather than erofs.
    #[must_use]
    pub fn squashfs(mut self, squashfs: bool) -> Self {
        self.squashfs = squashfs;
        self
    }

    /// Sets whether it is the file system alone, with its hash tree, root hash and signature in files beside it.
    #[must_use]
    pub fn bare(mut self, bare: bool) -> Self {
        self.bare = bare;
        self
    }

    fn fail(&self, path: &Path, fault: BakeFault) -> Error {
        Error::Bake { path: path.to_owned(), fault }
    }

    /// `NAME` of `NAME.raw`.
    fn name(&self) -> Result<String, Error> {
        let name = self.image.file_name().and_then(|name| name.to_str());
        let name = name.and_then(|name| name.strip_suffix(".raw")).filter(|name| is_image_name(name));
        name.map(str::to_owned).ok_or_else(|| self.fail(&self.image, BakeFault::Name))
    }

    fn definitions(&self, is_signed: bool) -> Result<Definitions, Error> {
        let copied: String = self.kind.copied().iter().map(|path| format!("CopyFiles={path}\n")).collect();
        let format = if self.squashfs { "squashfs" } else { "erofs" };
        let of = |lines: &str| format!("[Partition]\n{lines}VerityMatchKey=root\n");
        let mut texts = vec![
            (
                "10-root.conf",
                of(&format!("Type=root\nFormat={format}\n{copied}Verity=data\nMinimize=best\n")),
            ),
            ("20-root-verity.conf", of("Type=root-verity\nVerity=hash\nMinimize=best\n")),
        ];
        if is_signed {
            texts.push(("30-root-verity-sig.conf", of("Type=root-verity-sig\nVerity=signature\n")));
        }
        let mut options = DefinitionOptions::new();
        if let Some(architecture) = self.architecture {
            options = options.architecture(architecture);
        }
        Definitions::from_texts(texts.iter().map(|(name, text)| (*name, &**text)), &options)
    }

    /// The release file of an extension, if it is not there, with its path. One that is there must say what was asked for.
    fn release(&self, name: &str, content: &ContentOptions<'_>) -> Result<Option<(String, String)>, Error> {
        let Some(class) = self.kind.class() else { return Ok(None) };
        let source = content.copy_source;
        let path = format!("{}/extension-release.{name}", class.directory());
        let architecture = self.architecture.or(Architecture::NATIVE).map(Architecture::name);
        if let Some(bytes) = source.read(&path, MAX_RELEASE)? {
            let found = EnvFile::parse(&bytes).map_err(|error| {
                self.fail(source.path(), BakeFault::Release { path: path.clone(), reason: error.to_string() })
            })?;
            let os = self.os.as_ref();
            let asked_architecture = self.architecture.map(Architecture::name);
            for (key, asked) in [
                ("ID", os.map(|os| &*os.id)),
                ("VERSION_ID", os.and_then(|os| os.version.as_deref())),
                ("ARCHITECTURE", asked_architecture),
            ] {
                let found = found.get_non_empty(key).unwrap_or_default();
                if let Some(asked) = asked.filter(|asked| *asked != found) {
                    let (path, found, asked) = (path.clone(), found.to_owned(), asked.to_owned());
                    return Err(self.fail(source.path(), BakeFault::Differs { path, key, found, asked }));
                }
            }
            return Ok(None);
        }
        let os = self.os.clone().unwrap_or(Os { id: "_any".to_owned(), version: None });
        let mut text = String::new();
        for (key, value) in
            [("ID", Some(&*os.id)), ("VERSION_ID", os.version.as_deref()), ("ARCHITECTURE", architecture)]
        {
            let Some(value) = value else { continue };
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-~^+".contains(&byte);
            if value.is_empty() || !value.bytes().all(is_plain) {
                return Err(self.fail(&self.image, BakeFault::Value { value: value.to_owned() }));
            }
            text.push_str(&format!("{key}={value}\n"));
        }
        Ok(Some((path, text)))
    }

    /// Makes it. All files that are made are new; the image itself comes last, so that if it is there, all are.
    ///
    /// # Errors
    /// [`Error::Bake`], and those of [`Contents::prepare`] and [`write()`]. After any of them there is nothing.
    pub fn make(&self, content: ContentOptions<'_>, options: &WriteOptions<'_>) -> Result<Baked, Error> {
        let name = self.name()?;
        let source = content.copy_source;
        let copied = self.kind.copied();
        let mut is_there = false;
        for path in copied {
            is_there |= source.has(path);
        }
        if !is_there {
            return Err(self.fail(source.path(), BakeFault::Nothing { directories: copied }));
        }
        let mut notices = Vec::new();
        let place = || Place { file: source.path().into(), line: 0 };
        if self.kind != BakeKind::Portable {
            let is_copied = |name: &str| copied.iter().any(|path| path.trim_matches('/') == name);
            for name in source.names()?.into_iter().filter(|name| !is_copied(name)) {
                let text = format!("/{name} is not part of a {}, and is left out", self.kind.name());
                notices.push(Notice { place: place(), text });
            }
        }
        let outputs = self.outputs(&name, options)?;
        let seed = content.guid;
        let folder = self.image.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut content = content.folder(folder.unwrap_or(Path::new(".")));
        if let Some((path, text)) = self.release(&name, &content)? {
            notices.push(Notice {
                place: place(),
                text: format!("{path} is written: {}", text.trim().replace('\n', " ")),
            });
            content = content.file(path, text.into_bytes());
        }
        let is_signed = options.is_signed() && !self.bare;
        let definitions = self.definitions(is_signed)?;
        let contents = Contents::prepare(&definitions, content)?;
        let planned = PlanOptions::new(seed).image(&self.image).sizes(contents.sizes().clone());
        let plan = Plan::new(&definitions, &planned)?;
        notices.extend(plan.notices().iter().cloned());
        // one of them is enough
        let unsurprising = |notice: &&Notice| !notice.text.ends_with("is not there, and is left out");
        notices.extend(contents.notices().iter().filter(unsurprising).cloned());
        if self.bare {
            return self.write_bare(plan, contents, options, outputs, notices);
        }
        let written = write(&plan, &definitions, &contents, options)?;
        let root_hash = written.plan.trees().first().and_then(|tree| tree.root_hash);
        let root_hash = root_hash.ok_or(crate::error::PlanFault::Unfinished)?;
        Ok(Baked { written, root_hash, notices })
    }

    /// The files to be made, none of which may be there.
    fn outputs(&self, name: &str, options: &WriteOptions<'_>) -> Result<Vec<PathBuf>, Error> {
        let mut suffixes = vec!["raw"];
        if self.bare {
            suffixes.extend(["verity", "roothash"]);
            suffixes.extend(options.is_signed().then_some("roothash.p7s"));
        }
        let paths: Vec<_> =
            suffixes.iter().map(|suffix| self.image.with_file_name(format!("{name}.{suffix}"))).collect();
        for path in &paths {
            if path.symlink_metadata().is_ok() {
                return Err(Error::Write {
                    path: path.clone(),
                    error: std::io::ErrorKind::AlreadyExists.into(),
                });
            }
        }
        Ok(paths)
    }

    fn write_bare(
        &self,
        mut plan: Plan,
        mut contents: Contents<'_>,
        options: &WriteOptions<'_>,
        paths: Vec<PathBuf>,
        notices: Vec<Notice>,
    ) -> Result<Baked, Error> {
        let unfinished = crate::error::PlanFault::Unfinished;
        let Some(tree) = plan.trees.first_mut() else { return Err(unfinished.into()) };
        let Some(Blocks::Made { output: image, .. }) = contents.blocks.remove(&0) else {
            return Err(unfinished.into());
        };
        let mut paths = paths.into_iter();
        let mut next = || paths.next().ok_or(crate::error::PlanFault::Unfinished);
        let (image_path, tree_path, hash_path) = (next()?, next()?, next()?);
        let failed = |path: &Path, error| Error::Write { path: path.to_owned(), error };

        let on_disk = Output::create(&tree_path).map_err(|error| failed(&tree_path, error))?;
        let builder = HashTree::new(tree.params, Placement::Superblock(0)).map_err(Error::Verity)?;
        let source =
            image.file().try_clone().and_then(FileSource::new).map_err(|error| failed(&image_path, error))?;
        let mut engine = Options::new();
        if let Some(threads) = options.threads {
            engine = engine.threads(threads);
        }
        let sink = Shifted { image: on_disk.file(), offset: 0 };
        let root_hash = builder.build(&source, &sink, &engine).map_err(|error| match error {
            ddi_verity::Error::Io { storage: ddi_verity::Storage::Hash, error, .. } => {
                failed(&tree_path, error)
            }
            error => Error::Verity(error),
        })?;
        let superblock = Superblock { params: tree.params, uuid: tree.uuid.to_uuid() };
        let write_at = |output: &Output, path: &Path, bytes: &[u8]| {
            output.file().write_all_at(bytes, 0).map_err(|error| failed(path, error))
        };
        write_at(&on_disk, &tree_path, &superblock.to_bytes())?;
        tree.root_hash = Some(root_hash);

        let text = Output::create(&hash_path).map_err(|error| failed(&hash_path, error))?;
        write_at(&text, &hash_path, format!("{root_hash}\n").as_bytes())?;
        let mut outputs = vec![(tree_path, on_disk), (hash_path, text)];
        if let (Some(signing), Ok(path)) = (options.signing, next()) {
            let mut how = SignOptions::new().embed(Embed::Nothing);
            if signing.bind {
                how = how.bind(tree.params);
            }
            let signed = signing.signer.sign(signing.certificate, &root_hash, &how).map_err(Error::Sign)?;
            let output = Output::create(&path).map_err(|error| failed(&path, error))?;
            write_at(&output, &path, signed.pkcs7())?;
            outputs.push((path, output));
        }
        let split = outputs.iter().map(|(path, _)| path.clone()).collect();
        // whoever finds the image finds what belongs to it
        outputs.push((image_path.clone(), image.named(&image_path)));
        commit_all(outputs)?;
        Ok(Baked { written: Written { plan, split }, root_hash, notices })
    }
}

impl Source<'_> {
    fn path(&self) -> &Path {
        match self {
            Self::Folder(root) => root.path(),
            Self::Archive(archive) => archive.path(),
        }
    }

    fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Error> {
        match self {
            Self::Folder(root) => {
                let fail = |error| Error::Read { path: root.show(path.as_ref()), error };
                root.read(path, limit).map_err(fail)
            }
            Self::Archive(archive) => archive.read_file(path, limit),
        }
    }

    /// Returns true if there is such a directory.
    fn has(&self, path: &str) -> bool {
        match self {
            Self::Folder(root) => {
                root.open_at(path, rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY).is_ok()
            }
            Self::Archive(archive) => archive.has_directory(path),
        }
    }

    /// The names at the top.
    fn names(&self) -> Result<Vec<String>, Error> {
        let fail = |error| Error::Read { path: self.path().to_owned(), error };
        let mut names = match self {
            Self::Folder(root) => {
                let folder = root.open_at("/", rustix::fs::OFlags::DIRECTORY).map_err(fail)?;
                let entries = rustix::fs::Dir::read_from(&folder).map_err(|error| fail(error.into()))?;
                let name = |entry: rustix::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
                let names: Result<Vec<_>, _> = entries.map(|entry| entry.map(name)).collect();
                names.map_err(|error| fail(error.into()))?
            }
            Self::Archive(archive) => archive.names(),
        };
        names.retain(|name| name != "." && name != "..");
        names.sort();
        Ok(names)
    }
}
