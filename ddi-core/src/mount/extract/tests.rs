//! Files that a test holds in memory, extracted.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use ddi_fs::{EachEntry, Entry, Error as FileError, FileSystem, FsKind, Node, Touched, Vfs, Watched};
use ddi_gpt::Designator;

use super::*;
use crate::mount::Mounted;
use crate::trust::Assurance;

/// Name, type, and content or target.
type NewFile<'a> = (&'a [u8], FileType, &'a [u8]);

/// A root directory, numbers of files and their names, and what each of these is.
#[derive(Debug)]
struct Memory {
    names: Vec<(Vec<u8>, u64)>,
    content: Vec<(FileType, Vec<u8>)>,
}

impl Memory {
    fn new(files: &[NewFile<'_>]) -> Self {
        let names = files.iter().zip(1..).map(|((name, ..), number)| (name.to_vec(), number)).collect();
        let content = files.iter().map(|(_, kind, content)| (*kind, content.to_vec())).collect();
        Memory { names, content }
    }

    fn get(&self, node: Node) -> Option<&(FileType, Vec<u8>)> {
        self.content.get(usize::try_from(node.0).unwrap().checked_sub(1)?)
    }
}

impl FileSystem for Memory {
    fn kind(&self) -> FsKind {
        FsKind::Erofs
    }

    fn root(&self) -> Node {
        Node(0)
    }

    fn stat(&self, node: Node) -> Result<Stat, FileError> {
        let (file_type, size) =
            self.get(node).map_or((FileType::Directory, 0), |(kind, bytes)| (*kind, bytes.len()));
        let nlink = self.names.iter().filter(|(_, number)| *number == node.0).count().max(1);
        Ok(Stat {
            file_type,
            permissions: 0o4755,
            uid: 1,
            gid: 2,
            size: size as u64,
            mtime: 1_000_000_000,
            mtime_nsec: 5,
            nlink: nlink as u32,
            rdev: (1, 3),
        })
    }

    fn list(&self, dir: Node, each: &mut EachEntry<'_>) -> Result<(), FileError> {
        let names = self.names.iter().filter(|_| dir == Node(0));
        for (name, number) in names {
            if each(Entry { name, node: Node(*number), file_type: None }).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn read_at(&self, file: Node, offset: u64, buf: &mut [u8]) -> Result<usize, FileError> {
        let (_, bytes) = self.get(file).ok_or(FileError::NotAFile)?;
        if bytes.starts_with(b"damaged") && offset > 0 {
            return Err(FileError::Corrupt { what: "content", offset });
        }
        let rest = bytes.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn link_target(&self, link: Node) -> Result<Vec<u8>, FileError> {
        Ok(self.get(link).ok_or(FileError::NotALink)?.1.clone())
    }
}

fn mounted(fs: Memory, designator: Designator, assurance: Assurance) -> Mounted {
    let (fs, touched): (_, Touched) = Watched::over(Arc::new(fs));
    let kind = fs.kind();
    let (designator, trusted) = (Some(designator), None);
    Mounted { designator, number: Some(1), kind, assurance, trusted, read_only: true, fs, touched }
}

fn tree(files: &[NewFile<'_>]) -> MountedTree {
    let root = mounted(Memory::new(files), Designator::Root, Assurance::Authenticated);
    MountedTree::new(Files::from(root), Assurance::Authenticated)
}

/// A folder of this test alone.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ddi-extract-test-{name}-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const REGULAR: FileType = FileType::Regular;

#[test]
fn a_folder_is_what_the_image_has() {
    let folder = Folder::new("folder");
    let big = [&[0; 100_000][..], &[1; 100_000], &[0; 100_000]].concat();
    let mut tree = tree(&[
        (b"big", REGULAR, &big),
        (b"dir", FileType::Directory, b""),
        (b"empty", REGULAR, b""),
        (b"link", FileType::Symlink, b"/nowhere"),
        (b"odd\xff", REGULAR, b"odd"),
    ]);
    let out = folder.0.join("out");
    let extracted = tree.extract("/", &out, ExtractOptions::default()).unwrap();
    assert_eq!(extracted, Extracted { files: 6, left_out: 0 });
    assert!(fs::read(out.join("big")).unwrap() == big);
    assert_eq!(fs::read_link(out.join("link")).unwrap(), PathBuf::from("/nowhere"));
    let odd = fs::metadata(out.join(std::ffi::OsStr::from_bytes(b"odd\xff"))).unwrap();
    assert_eq!((odd.len(), odd.mtime(), odd.mtime_nsec()), (3, 1_000_000_000, 5));
    assert_eq!(odd.permissions().mode() & 0o7000, 0);
    assert_eq!(folder.names(), ["out"]);
    // there already, without a name, and in no folder
    for (destination, code) in [("out", "extract-exists"), ("..", "extract-unnamed"), ("no/out", "io")] {
        let error = tree.extract("/", folder.0.join(destination), ExtractOptions::default()).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
    let error = tree.extract("/none", folder.0.join("x"), ExtractOptions::default()).unwrap_err();
    assert_eq!((error.code(), error.kind()), ("not-found", crate::ErrorKind::Usage));
    assert_eq!(error.to_string(), "/none: no such file");
    // a file alone, and what is not found good enough
    tree.extract("big", folder.0.join("big"), ExtractOptions::default().preserving()).unwrap();
    assert_eq!(fs::metadata(folder.0.join("big")).unwrap().mode() & 0o7777, 0o4755);
    tree = MountedTree::new(
        Files::from(mounted(Memory::new(&[]), Designator::Root, Assurance::Intact)),
        Assurance::Authenticated,
    );
    let error = tree.extract("/", folder.0.join("x"), ExtractOptions::default()).unwrap_err();
    assert_eq!((error.code(), error.not_proven()), ("not-vouched-for", Some(Assurance::Intact)));
    assert_eq!(folder.names(), ["big", "out"]);
}

/// Below the root there is another file system, which nobody looked at yet.
#[test]
fn of_the_root_every_file_system_has_to_be_proven() {
    let folder = Folder::new("mounts");
    let root = mounted(Memory::new(&[(b"a", REGULAR, b"a")]), Designator::Root, Assurance::Authenticated);
    let home = mounted(Memory::new(&[]), Designator::Home, Assurance::Claimed);
    let vfs = Vfs::new(Some(Arc::clone(&root.fs))).with_mount(b"home", Arc::clone(&home.fs));
    let tree = MountedTree::new(Files::new(vfs, vec![root, home]), Assurance::Authenticated);
    let mut stream = Vec::new();
    let options = ExtractOptions::default;
    for error in [
        tree.extract("/", folder.0.join("x"), options()).unwrap_err(),
        tree.write_tar("/", &mut stream, options()).unwrap_err(),
    ] {
        assert_eq!((error.code(), error.not_proven()), ("not-protected", Some(Assurance::Claimed)));
    }
    assert_eq!((folder.names().len(), stream.len()), (0, 0));
    tree.extract("/a", folder.0.join("x"), options()).unwrap();
    assert_eq!(folder.names(), ["x"]);
}

/// A reader that does not keep its promises, or an image that has files as there can be none.
#[test]
fn impossible_files_leave_nothing() {
    let folder = Folder::new("impossible");
    let files: [&[NewFile<'_>]; 8] = [
        &[(b"..", REGULAR, b"x")],
        &[(b".", FileType::Directory, b"")],
        &[(b"../x", REGULAR, b"x")],
        &[(b"a/../../x", REGULAR, b"x")],
        &[(b"/x", REGULAR, b"x")],
        &[(b"a\0b", REGULAR, b"x")],
        &[(b"", REGULAR, b"x")],
        &[(b"link", FileType::Symlink, b"a\0b")],
    ];
    for files in files {
        let tree = tree(files);
        let mut stream = Vec::new();
        for error in [
            tree.extract("/", folder.0.join("x"), ExtractOptions::default()).unwrap_err(),
            tree.write_tar("/", &mut stream, ExtractOptions::default()).unwrap_err(),
        ] {
            assert_eq!(error.code(), "corrupt-file-system", "{files:?}: {error}");
            assert_eq!(error.kind(), crate::ErrorKind::Corrupt);
        }
        assert!(folder.names().is_empty() && !stream.ends_with(&[0; 1024]), "{files:?}");
    }
    // what was begun goes away as well
    let damaged = [&b"damaged"[..], &[1; 300_000]].concat();
    let tree = tree(&[(b"a", REGULAR, b"whole"), (b"b", REGULAR, &damaged)]);
    let error = tree.extract("/", folder.0.join("x"), ExtractOptions::default()).unwrap_err();
    assert!(error.to_string().starts_with("/b: "), "{error}");
    assert!(folder.names().is_empty());
    let mut stream = Vec::new();
    assert!(tree.write_tar("/", &mut stream, ExtractOptions::default()).is_err());
    assert!(stream.len() >= 1536 && !stream.ends_with(&[0; 1024]));
}

/// A name is told once; work, bytes and what takes the stream have limits.
#[test]
fn notices_and_limits() {
    let folder = Folder::new("notices");
    let tree = tree(&[(b"fifo", FileType::Fifo, b""), (b"file", REGULAR, &[1; 5000])]);
    let mut told = Vec::new();
    let mut tell = |notice: &ExtractNotice| told.push(notice.to_string());
    let options = ExtractOptions::default().telling(&mut tell);
    let extracted = tree.extract("/", folder.0.join("x"), options).unwrap();
    assert_eq!(extracted, Extracted { files: 2, left_out: 1 });
    assert_eq!(told, ["/fifo is left out: a FIFO is made only if everything is to be preserved"]);
    let error = tree.extract("/fifo", folder.0.join("y"), ExtractOptions::default()).unwrap_err();
    assert_eq!(error.code(), "extract-not-preserved");
    let small = Budget { bytes: 4000, ..Budget::default() };
    for error in [
        tree.extract("/", folder.0.join("y"), ExtractOptions::default().budget(small)).unwrap_err(),
        tree.write_tar("/", io::sink(), ExtractOptions::default().budget(small)).unwrap_err(),
    ] {
        assert_eq!(error.code(), "too-many-bytes", "{error}");
    }
    let mut short = [0; 700];
    let error = tree.write_tar("/", &mut short[..], ExtractOptions::default()).unwrap_err();
    assert!(matches!(error, ExtractError::Stream(_)), "{error}");
    assert_eq!(folder.names(), ["x"]);
}

/// Of two names the second is a link to the first; where there are too many to remember, the content comes twice.
#[test]
fn links_in_a_stream() {
    let mut memory = Memory::new(&[(b"a", REGULAR, b"content"), (b"b", REGULAR, b"x")]);
    memory.names[1].1 = 1;
    let root = mounted(memory, Designator::Root, Assurance::Claimed);
    let tree = MountedTree::new(Files::from(root), Assurance::Claimed);
    let stream = |names: u64| {
        let (mut stream, mut told) = (Vec::new(), 0);
        let mut tell = |_: &ExtractNotice| told += 1;
        let options = ExtractOptions::default().budget(Budget { names, ..Budget::default() });
        tree.write_tar("/", &mut stream, options.telling(&mut tell)).unwrap();
        let copies = stream.windows(7).filter(|window| window == b"content").count();
        (copies, told)
    };
    assert_eq!(stream(64 << 20), (1, 0));
    // enough for the directory, and for no file
    assert_eq!(stream(60), (2, 1));
}
