//! Archives as the programs of others write them: the image is that of the folder they were made of.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use ddi_build::{
    Archive, ArchiveOptions, ContentOptions, Contents, DefinitionOptions, Definitions, Error, Owners, Plan,
    PlanOptions, Root, Tools, WriteOptions,
};
use ddi_gpt::Guid;

const SEED: Guid = Guid::from_u128(0x1111_1111_2222_4333_8444_5555_5555_5555);

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ddi-build-archive-{}-{number}", std::process::id()));
        fs::create_dir_all(path.join("tree/usr/bin")).unwrap();
        Self(path)
    }

    fn run(&self, program: &str, args: &[&str]) -> bool {
        let status = Command::new(program).args(args).current_dir(&self.0).stderr(Stdio::null()).status();
        status.unwrap().success()
    }

    /// The image of what is below the tree, or in an archive.
    fn image(&self, archive: Option<&Archive>) -> Result<Vec<u8>, Error> {
        let text = "[Partition]\nType=root\nFormat=squashfs\nCopyFiles=/:/\nMinimize=best\n";
        let definitions =
            Definitions::from_texts([("10-root.conf", text)], &DefinitionOptions::new()).unwrap();
        let root = Root::open(self.0.join("tree")).unwrap();
        let tools = Tools::new();
        let mut content = ContentOptions::new(&root, &tools, SEED)
            .folder(&self.0)
            .epoch(1_750_000_000)
            .owners(Owners::AsRecorded);
        if let Some(archive) = archive {
            content = content.copy_archive(archive);
        }
        let contents = Contents::prepare(&definitions, content)?;
        let image = self.0.join("image.raw");
        let options = PlanOptions::new(SEED).image(&image).sizes(contents.sizes().clone());
        let plan = Plan::new(&definitions, &options)?;
        ddi_build::write(&plan, &definitions, &contents, &WriteOptions::new())?;
        let bytes = fs::read(&image).unwrap();
        fs::remove_file(&image).unwrap();
        Ok(bytes)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn has(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    let found = folders.any(|folder: PathBuf| folder.join(tool).is_file());
    if !found {
        println!("skipped: no {tool}");
        eprintln!("skipped: no {tool}");
        assert!(std::env::var_os("DDI_REQUIRE_TOOLS").is_none_or(|value| value != "1"), "no {tool}");
    }
    found
}

/// A tree with one of each kind. Names and times that only the newer formats can hold if `all`.
fn fill(folder: &Folder, all: bool) {
    let tree = folder.0.join("tree");
    fs::write(tree.join("usr/bin/app"), vec![b'x'; 70_000]).unwrap();
    fs::set_permissions(tree.join("usr/bin/app"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::hard_link(tree.join("usr/bin/app"), tree.join("usr/bin/a-name-before-it")).unwrap();
    fs::write(tree.join("empty"), "").unwrap();
    symlink("/usr/bin/app", tree.join("link")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, tree.join("fifo"), 0o600.into()).unwrap();
    let sparse = fs::File::create(tree.join("sparse")).unwrap();
    for number in 0..40 {
        sparse.write_all_at(&[b'0' + (number % 10) as u8; 4096], number * (1 << 17) + 65536).unwrap();
    }
    sparse.set_len(8 << 20).unwrap();
    fs::File::create(tree.join("hole")).unwrap().set_len(1 << 20).unwrap();
    if all {
        use std::os::unix::ffi::OsStrExt;
        let long: String = "long-".repeat(40);
        fs::create_dir_all(tree.join(&long).join(&long)).unwrap();
        fs::write(tree.join(&long).join("file"), "x").unwrap();
        symlink(format!("{long}/{long}"), tree.join(format!("{long}-link"))).unwrap();
        fs::hard_link(tree.join(&long).join("file"), tree.join(&long).join(&long).join("file")).unwrap();
        let bytes: &Path = std::ffi::OsStr::from_bytes(b"not \xff\xfe UTF-8\n=").as_ref();
        fs::write(tree.join(bytes), "x").unwrap();
    }
    assert!(folder.run("find", &["tree", "-exec", "touch", "-h", "-d", "@1700000000", "{}", "+"]));
}

#[test]
fn archives_of_gnu_tar_give_the_image_of_the_folder() {
    if !has("mksquashfs") || !has("tar") {
        return;
    }
    for (all, options) in [
        (false, &["--format=v7", "--exclude=fifo"][..]),
        (false, &["--format=ustar"]),
        (true, &["--format=oldgnu"]),
        (true, &["--format=gnu"]),
        (true, &["--format=gnu", "--sparse"]),
        (true, &["--format=posix"]),
        (true, &["--format=posix", "--sparse", "--sparse-version=0.0"]),
        (true, &["--format=posix", "--sparse", "--sparse-version=0.1"]),
        (true, &["--format=posix", "--sparse", "--sparse-version=1.0"]),
        (true, &["--format=posix", "--sparse", "--gzip"]),
        (true, &["--format=gnu", "--xz"]),
        (true, &["--format=gnu", "--zstd"]),
        (true, &["--format=posix", "--sort=name", "--numeric-owner", "--owner=0", "--group=0"]),
    ] {
        let folder = Folder::new();
        fill(&folder, all);
        if options.contains(&"--exclude=fifo") {
            fs::remove_file(folder.0.join("tree/fifo")).unwrap();
            assert!(folder.run("touch", &["-d", "@1700000000", "tree"]));
        }
        let args = [&["-cf", "a.tar", "-C", "tree"][..], options, &["."]].concat();
        assert!(folder.run("tar", &args), "{options:?}");
        let archive = Archive::open(folder.0.join("a.tar"), &ArchiveOptions::new().folder(&folder.0));
        let archive = archive.unwrap_or_else(|error| panic!("{options:?}: {error}"));
        assert!(folder.image(None).unwrap() == folder.image(Some(&archive)).unwrap(), "{options:?}");
        // all that is left are the sources
        assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 2);
    }
}

/// mksquashfs takes all of a stream but its root, which is told to it.
#[test]
fn the_root_of_a_squashfs_is_that_of_the_tree() {
    if !has("mksquashfs") || !has("unsquashfs") {
        return;
    }
    let folder = Folder::new();
    fill(&folder, false);
    let tree = folder.0.join("tree");
    fs::set_permissions(&tree, fs::Permissions::from_mode(0o750)).unwrap();
    assert!(folder.run("touch", &["-d", "@1600000000", "tree"]));
    let image = folder.image(None).unwrap();
    fs::write(folder.0.join("root"), &image[20480..]).unwrap();
    let listed =
        Command::new("unsquashfs").args(["-UTC", "-lln", "root"]).current_dir(&folder.0).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let first = listed.lines().next().unwrap();
    // of version 4.5 the mode alone
    let is_whole =
        first.starts_with("drwxr-x---") && (first.contains("2020-09-13") || first.contains("2025-06-15"));
    assert!(is_whole, "{first}");
}

/// Attributes with any bytes in them, and times with fractions.
#[test]
fn attributes_are_taken_over() {
    if !has("mksquashfs") || !has("tar") || !has("bsdtar") {
        return;
    }
    let folder = Folder::new();
    fill(&folder, true);
    let app = folder.0.join("tree/usr/bin/app");
    let flags = rustix::fs::XattrFlags::empty();
    if rustix::fs::setxattr(&app, "user.binary", b"line\n12 path=x\n\0\xff", flags).is_err() {
        println!("skipped: no attributes here");
        return;
    }
    rustix::fs::setxattr(&app, "user.empty", b"", flags).unwrap();
    let plain = folder.image(None).unwrap();
    for (number, (program, options)) in [
        ("tar", &["--format=posix", "--xattrs", "--xattrs-include=*"][..]),
        ("tar", &["--format=posix", "--xattrs", "--xattrs-include=*", "--sparse"]),
        ("bsdtar", &["--format=pax", "--xattrs"]),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("{number}.tar");
        let args = [&["-cf", &name, "-C", "tree"][..], options, &["."]].concat();
        assert!(folder.run(program, &args));
        let archive = Archive::open(folder.0.join(&name), &ArchiveOptions::new()).unwrap();
        assert!(folder.image(Some(&archive)).unwrap() == plain, "{program} {options:?}");
    }
    rustix::fs::removexattr(&app, "user.binary").unwrap();
    assert!(folder.image(None).unwrap() != plain);
}

/// What is left out of a folder is left out of an archive too, and parts of it go where they are told.
#[test]
fn what_is_excluded_is_the_same() {
    if !has("mksquashfs") || !has("tar") {
        return;
    }
    let folder = Folder::new();
    fill(&folder, false);
    for path in ["proc/1", "run/x", "var/tmp/y", "var/lib/z", "home/me", "usr/share/doc/d", "usr/share/a"] {
        fs::create_dir_all(folder.0.join("tree").join(path)).unwrap();
    }
    symlink("usr/share", folder.0.join("tree/share")).unwrap();
    assert!(folder.run("find", &["tree", "-exec", "touch", "-h", "-d", "@1700000000", "{}", "+"]));
    assert!(folder.run("tar", &["-cf", "a.tar", "-C", "tree", "."]));
    let archive = Archive::open(folder.0.join("a.tar"), &ArchiveOptions::new()).unwrap();
    let root = Root::open(folder.0.join("tree")).unwrap();
    let tools = Tools::new();
    for settings in [
        "CopyFiles=/:/\nExcludeFiles=/share/doc\nExcludeFilesTarget=/usr/bin/\n",
        "CopyFiles=/usr:/a/b\nCopyFiles=/link:/c\nCopyFiles=/share:/d\nCopyFiles=/var:/\nCopyFiles=/none:/x\n",
        "CopyFiles=/:/\nExcludeFiles=/usr/\nExcludeFilesTarget=/var\nMakeSymlinks=/new:/a\nMakeDirectories=/e/f\n",
        "CopyFiles=/usr/share/doc:/\nExcludeFiles=/usr/share\nMakeDirectories=/a\n",
    ] {
        let text = format!("[Partition]\nType=root\nFormat=squashfs\n{settings}Minimize=best\n");
        let home = "[Partition]\nType=home\n";
        let texts = [("10-root.conf", &*text), ("20-home.conf", home)];
        let definitions = Definitions::from_texts(texts, &DefinitionOptions::new()).unwrap();
        let made = |with: Option<&Archive>| {
            let mut content = ContentOptions::new(&root, &tools, SEED).folder(&folder.0).epoch(1_750_000_000);
            if let Some(archive) = with {
                content = content.copy_archive(archive);
            }
            let contents = Contents::prepare(&definitions, content).unwrap();
            let image = folder.0.join("image.raw");
            let options = PlanOptions::new(SEED).image(&image).sizes(contents.sizes().clone());
            let plan = Plan::new(&definitions, &options).unwrap();
            ddi_build::write(&plan, &definitions, &contents, &WriteOptions::new()).unwrap();
            let bytes = fs::read(&image).unwrap();
            fs::remove_file(&image).unwrap();
            let notices: Vec<_> = contents.notices().iter().map(ToString::to_string).collect();
            (bytes, notices)
        };
        assert!(
            made(None) == made(Some(&archive)),
            "{settings} {:?} {:?}",
            made(None).1,
            made(Some(&archive)).1
        );
    }
}
