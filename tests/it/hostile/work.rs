//! How much work an image can ask for: counted, not timed. Each image here is small and asks for as much as it can.

use std::collections::BTreeMap;

use ddi_core::steps::{Contents, DissectOptions, DissectionRecord, ProveOptions, VeritySettings, prove};
use ddi_core::{Damage, Image, MountError, Severity};
use ddi_fs::{Error, FileType, Limit, Spent, Step, Walk};
use ddi_os::SystemFacts;
use ddi_os::{ExtensionImage, PortableScope, portable};

use crate::support::image::ImageBuilder;
use crate::support::{Folder, ddi};

const BLOCK: usize = 4096;

/// Writes erofs images that no `mkfs` would.
#[derive(Default)]
struct Erofs {
    inodes: Vec<Inode>,
}

#[derive(Default)]
struct Inode {
    mode: u16,
    nlink: u16,
    content: Vec<u8>,
    /// Its content is that block of its own content, so many times.
    times: u32,
    /// Of a directory: names, by node.
    names: Vec<(Vec<u8>, usize)>,
    /// Extended attributes, as they lie on the disk.
    xattrs: Vec<u8>,
}

impl Erofs {
    fn add(&mut self, mode: u16, content: &[u8]) -> usize {
        self.inodes.push(Inode { mode, nlink: 2, content: content.to_vec(), ..Inode::default() });
        self.inodes.len() - 1
    }

    fn dir(&mut self) -> usize {
        self.add(0o40755, b"")
    }

    fn name(&mut self, dir: usize, name: impl Into<Vec<u8>>, node: usize) {
        self.inodes[dir].names.push((name.into(), node));
    }

    /// The directories on the way to `path`, made if need be.
    fn dirs(&mut self, path: &str) -> usize {
        if self.inodes.is_empty() {
            self.dir();
        }
        path.split('/').filter(|name| !name.is_empty()).fold(0, |at, name| {
            let known = self.inodes[at].names.iter().find(|(known, _)| known == name.as_bytes());
            match known.map(|(_, node)| *node) {
                Some(node) => node,
                None => {
                    let node = self.dir();
                    self.name(at, name, node);
                    node
                }
            }
        })
    }

    fn file(&mut self, path: &str, content: &[u8]) -> usize {
        let (dir, name) = path.rsplit_once('/').unwrap();
        let (dir, node) = (self.dirs(dir), self.add(0o100644, content));
        self.name(dir, name, node);
        node
    }

    fn build(mut self) -> Vec<u8> {
        // inodes of 32 bytes, then attributes or chunks; each begins at a multiple of 32
        let mut slots = Vec::new();
        let mut next = 0;
        for inode in &self.inodes {
            slots.push(next);
            next += (32 + inode.xattrs.len() + 4 * inode.times as usize).div_ceil(32);
        }
        let meta = (next * 32).div_ceil(BLOCK) * BLOCK;
        let types = self.inodes.iter().map(|inode| if inode.mode >> 12 == 4 { 2 } else { 1 });
        let types: Vec<u8> = types.collect();
        for at in 0..self.inodes.len() {
            if types[at] == 2 {
                let mut names = std::mem::take(&mut self.inodes[at].names);
                names.extend([(b".".to_vec(), at), (b"..".to_vec(), 0)]);
                names.sort();
                self.inodes[at].content = directory(&names, &slots, &types);
            }
        }
        let mut image = vec![0; BLOCK + meta];
        for (inode, slot) in self.inodes.iter().zip(&slots) {
            let at = BLOCK + slot * 32;
            let first = u32::try_from(image.len() / BLOCK).unwrap();
            let chunked = inode.times > 0;
            let size = if chunked { inode.times as usize * BLOCK } else { inode.content.len() };
            let xattrs = inode.xattrs.len();
            let count = if xattrs == 0 { 0 } else { u16::try_from((xattrs - 12) / 4 + 1).unwrap() };
            let mut raw = Vec::new();
            raw.extend((if chunked { 4_u16 << 1 } else { 0 }).to_le_bytes());
            raw.extend(count.to_le_bytes());
            raw.extend(inode.mode.to_le_bytes());
            raw.extend(inode.nlink.to_le_bytes());
            raw.extend(u32::try_from(size).unwrap().to_le_bytes());
            raw.extend([0; 4]);
            raw.extend(if chunked { 0 } else { first }.to_le_bytes());
            raw.extend(u32::try_from(slot + 1).unwrap().to_le_bytes());
            raw.extend([0; 8]);
            raw.extend(&inode.xattrs);
            raw.extend(first.to_le_bytes().repeat(inode.times as usize));
            image[at..at + raw.len()].copy_from_slice(&raw);
            image.extend(&inode.content);
            image.resize(image.len().next_multiple_of(BLOCK), 0);
        }
        let blocks = u32::try_from(image.len() / BLOCK).unwrap();
        let mut put =
            |at: usize, bytes: &[u8]| image[1024 + at..1024 + at + bytes.len()].copy_from_slice(bytes);
        put(0, &0xe0f5_e1e2_u32.to_le_bytes());
        put(12, &[12]);
        put(16, &(self.inodes.len() as u64).to_le_bytes());
        put(36, &blocks.to_le_bytes());
        put(40, &1_u32.to_le_bytes());
        put(48, &[7; 16]);
        // chunked files
        put(80, &4_u32.to_le_bytes());
        image
    }
}

fn directory(names: &[(Vec<u8>, usize)], slots: &[usize], types: &[u8]) -> Vec<u8> {
    let mut blocks = Vec::new();
    let mut rest = names;
    while !rest.is_empty() {
        let mut size = 0;
        let fits = rest.iter().take_while(|(name, _)| {
            size += 12 + name.len();
            size <= BLOCK
        });
        let (these, after) = rest.split_at(fits.count());
        let mut text: Vec<u8> = Vec::new();
        for (name, node) in these {
            blocks.extend((slots[*node] as u64).to_le_bytes());
            blocks.extend(u16::try_from(12 * these.len() + text.len()).unwrap().to_le_bytes());
            blocks.extend([types[*node], 0]);
            text.extend(name);
        }
        blocks.extend(text);
        blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
        rest = after;
    }
    blocks
}

fn image(bytes: Vec<u8>) -> Image {
    Image::new(Box::new(bytes)).unwrap()
}

fn dissect(image: &Image) -> DissectionRecord {
    DissectionRecord::new(image, &DissectOptions::new(VeritySettings::new(None, image.sidecars())))
}

/// A reader does not pass the limit by more than the call that it is in, which may decompress or list one directory.
#[track_caller]
fn assert_within(spent: Spent, limit: u64) {
    assert!(spent.work <= limit + (10 << 20), "{spent:?}");
}

/// A directory of units, `count` of which are links that lead through seven others at its end.
fn unit_links(count: usize, directories: &[&str], distinct: bool) -> Vec<u8> {
    let mut fs = Erofs::default();
    fs.file("/etc/os-release", b"ID=a\n");
    for directory in directories {
        let dir = fs.dirs(directory);
        let shared = fs.add(0o120777, b"p-zzzz00.service");
        for i in 0..count {
            let link = match distinct {
                true => fs.add(0o120777, format!("p-none-{i}.service").as_bytes()),
                false => shared,
            };
            fs.name(dir, format!("p-{i:06}.service"), link);
        }
        for i in 0..7 {
            let link = fs.add(0o120777, format!("p-zzzz{:02}.service", i + 1).as_bytes());
            fs.name(dir, format!("p-zzzz{i:02}.service"), link);
        }
    }
    fs.build()
}

fn check_portable(bytes: Vec<u8>, limit: Option<u64>) -> (Result<Vec<&'static str>, MountError>, Spent) {
    let image = image(bytes);
    if let Some(limit) = limit {
        image.meter().set_limit(limit);
    }
    let dissection = dissect(&image);
    let files = Contents::unproven(&image, &dissection).system().unwrap();
    let name = Some("p".to_owned());
    let root = ExtensionImage { shown: "p.raw".into(), file_name: Some("p.raw".into()), name, files: &files };
    let report = portable(&root, &[], &[], PortableScope::System, "x86-64");
    (report.map(|report| report.findings.iter().map(|f| f.code).collect()), image.meter().spent())
}

/// Each link costs the same in a directory of twice as many; at first it was all of the directory, seven times.
#[test]
fn s4_links_among_units_take_time_in_proportion() {
    for distinct in [false, true] {
        let per_link = [1000, 4000].map(|count| {
            let (report, spent) =
                check_portable(unit_links(count, &["/usr/lib/systemd/system"], distinct), None);
            assert!(report.unwrap().contains(&"unit-link-broken"));
            // to each name: its inode and target, and for another target the way there
            let calls = spent.calls / count as u64;
            assert!(calls <= if distinct { 80 } else { 8 }, "{count}: {spent:?}");
            spent.work / count as u64
        });
        assert!(per_link[1] <= per_link[0] * 3 / 2, "{per_link:?}");
    }
}

/// All that the links of thirteen directories can ask for is bounded, and the answer is none.
#[test]
fn s4_a_spent_account_is_no_answer() {
    let limit = 20_000_000;
    let directories = ["/usr/lib/systemd/system", "/etc/systemd/system", "/usr/local/lib/systemd/system"];
    let (report, spent) = check_portable(unit_links(2000, &directories, true), Some(limit));
    assert!(matches!(report, Err(MountError::FileSystem(Error::Budget(Limit::Work)))), "{report:?}");
    assert_within(spent, limit);
}

/// A directory with so many release files, all of which are one file with so many attributes.
fn release_files(count: usize, attributes: usize) -> Vec<u8> {
    let mut fs = Erofs::default();
    let node = fs.file("/usr/lib/extension-release.d/extension-release.zz", b"");
    fs.inodes[node].xattrs = [&[0; 12][..], &b"\x01\x01\x00\x00abcd"[..].repeat(attributes)].concat();
    // of a name of one byte, and padded
    for xattr in fs.inodes[node].xattrs[12..].chunks_mut(8) {
        xattr[5..].fill(0);
    }
    for directory in ["/usr/lib/extension-release.d", "/etc/extension-release.d"] {
        let dir = fs.dirs(directory);
        for i in 0..count {
            fs.name(dir, format!("extension-release.{i:06}"), node);
        }
    }
    fs.build()
}

fn inspect(bytes: Vec<u8>, limit: Option<u64>) -> (Result<SystemFacts, MountError>, Spent) {
    let image = image(bytes);
    if let Some(limit) = limit {
        image.meter().set_limit(limit);
    }
    let dissection = dissect(&image);
    let inside = SystemFacts::read(&Contents::unproven(&image, &dissection), Some("x"), false);
    (inside, image.meter().spent())
}

/// More attributes than Linux lists end the search at the first file.
#[test]
fn s3_a_file_has_no_more_attributes_than_linux_lists() {
    let (inside, spent) = inspect(release_files(1000, 30_000), None);
    let metadata = inside.unwrap().metadata;
    for release in [metadata.sysext_release, metadata.confext_release] {
        assert_eq!(release.unwrap_err().code(), "too-large");
    }
    assert!(spent.work < 50_000_000, "{spent:?}");
    let (inside, _) = inspect(release_files(2, 9362), None);
    assert!(inside.unwrap().metadata.sysext_release.is_ok());
}

/// With as many as Linux lists, each of which is looked at for each name, the account ends it.
#[test]
fn s3_a_search_for_release_files_has_an_end() {
    let limit = 60_000_000;
    let bytes = release_files(2000, 9000);
    let (inside, spent) = inspect(bytes.clone(), Some(limit));
    assert!(matches!(inside, Err(MountError::FileSystem(Error::Budget(Limit::Work)))), "{inside:?}");
    assert_within(spent, limit);
    assert!(spent.calls < 4000, "{spent:?}");

    // the same, as a finding that is an error
    let image = image(bytes);
    image.meter().set_limit(limit);
    let options = ddi_core::steps::ReportOptions::new(&image);
    let dissection = dissect(&image);
    let mut report = ddi_core::Report::of(&image, &dissection, &options);
    let inside = SystemFacts::read(&Contents::unproven(&image, &dissection), Some("x"), false);
    SystemFacts::note(&inside, &mut report);
    let found =
        report.findings.iter().find(|finding| finding.to_string().contains("could not look at everything"));
    assert_eq!(found.map(|finding| finding.severity), Some(Severity::Error), "{:?}", report.findings);
    assert!(report.broken());
}

/// `dirs` directories, each with 240 names of one file of so many pieces.
fn many_pieces(dirs: usize, pieces: u32, fill: u8) -> Vec<u8> {
    let mut fs = Erofs::default();
    let root = fs.dir();
    let file = fs.add(0o100644, &[fill; BLOCK]);
    fs.inodes[file].times = pieces;
    // which is not so
    fs.inodes[file].nlink = 1;
    for i in 0..dirs {
        let dir = fs.dir();
        fs.name(root, format!("{i:05}"), dir);
        for n in 0..240 {
            fs.name(dir, format!("{n:03}"), file);
        }
    }
    let mut bytes = fs.build();
    // behind the file system
    bytes.resize(bytes.len() + 4 * BLOCK, b'y');
    let blocks = u32::try_from(bytes.len() / BLOCK).unwrap();
    bytes[1024 + 36..1024 + 40].copy_from_slice(&blocks.to_le_bytes());
    bytes
}

/// All damaged proofs of an image have one account.
#[test]
fn s2_damaged_sets_share_one_account() {
    let data = many_pieces(4, 500, b'x');
    let sets = 8;
    let mut builder = ImageBuilder::new();
    for n in 0..sets {
        let mut data = data.clone();
        *data.last_mut().unwrap() = n;
        builder = builder.verity("root-x86-64", "os", data);
    }
    let built = builder.build();
    let mut bytes = built.bytes.clone();
    for range in built.partitions.iter().step_by(3) {
        let last = usize::try_from(range.offset + range.size).unwrap();
        bytes[last - 2 * BLOCK] ^= 1;
    }
    let find = |limit: Option<u64>| {
        let image = image(bytes.clone());
        let dissection = dissect(&image);
        let options = ProveOptions::default();
        let proofs = prove(&image, &dissection, &options).proofs;
        if let Some(limit) = limit {
            image.meter().set_limit(limit);
        }
        let damage = Damage::find_all(&image, &dissection, &proofs, &options);
        let complete = |damage: &&Option<Damage>| {
            damage
                .as_ref()
                .is_some_and(|damage| damage.owners.as_ref().is_ok_and(|owners| owners.is_complete()))
        };
        assert_eq!(damage.iter().flatten().count(), usize::from(sets));
        (damage.iter().filter(complete).count(), image.meter().spent())
    };
    let (complete, whole) = find(None);
    assert_eq!(complete, usize::from(sets));
    let limit = whole.work / 4;
    let (complete, spent) = find(Some(limit));
    assert!((1..4).contains(&complete), "{complete}");
    assert_within(spent, limit);
}

/// Content is counted as often as it is asked for, by whatever name.
#[test]
fn content_of_one_file_under_many_names_is_bounded() {
    let image = image(many_pieces(8, 2000, b'x'));
    let limit = 100_000_000;
    image.meter().set_limit(limit);
    let dissection = dissect(&image);
    let files = Contents::unproven(&image, &dissection).system().unwrap();
    let mut walk = Walk::new(ddi_fs::Budget::default());
    let walked = walk.tree(&files.tree, files.tree.root(), &mut |walk, visit| {
        if visit.stat?.file_type == FileType::Regular {
            walk.content(&files.tree, visit.place, &mut |_| Ok(()))?;
        }
        Ok(Step::Continue)
    });
    assert!(matches!(walked, Err(Error::Budget(Limit::Work))), "{walked:?}");
    let spent = image.meter().spent();
    assert_within(spent, limit);
    // each byte is read and given away
    assert!(spent.bytes <= limit && walk.bytes() <= limit, "{spent:?}");
}

/// Links to links, each through a long way: as many as there are names.
#[test]
fn ways_through_large_directories_are_indexed() {
    let mut fs = Erofs::default();
    let dir = fs.dirs("/d");
    let file = fs.add(0o100644, b"x");
    for i in 0..20_000 {
        fs.name(dir, format!("{i:05}"), file);
    }
    let image = image(fs.build());
    let dissection = dissect(&image);
    let tree = Contents::unproven(&image, &dissection).system().unwrap().tree;
    let mut places = BTreeMap::new();
    for i in (0..20_000).step_by(50) {
        *places.entry(tree.resolve(format!("/d/{i:05}").as_bytes()).unwrap()).or_insert(0) += 1;
        assert!(matches!(tree.resolve(format!("/d/{i:05}x").as_bytes()), Err(Error::NotFound)));
    }
    assert_eq!(places.into_values().collect::<Vec<_>>(), [400]);
    // the directory twice before it has an index, and once for that
    let spent = image.meter().spent();
    assert!(spent.items < 70_000, "{spent:?}");
}

/// What the command says and its exit status when the account of the image is spent.
#[test]
fn a_spent_account_never_ends_with_0() {
    let folder = Folder::new();
    // zeros, of which nothing is written
    let path = folder.write("p.raw", &many_pieces(1, 40_000, 0));
    let out = folder.file("out");
    for args in [&["mtree", &path][..], &["extract", &path, "/", &out]] {
        let ended = ddi(args);
        assert_eq!(ended.code, Some(2), "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains("could not look at everything"), "{args:?}: {}", ended.stderr);
    }
}

/// What ends a walk before its time is told, and nothing stays of what was extracted: a directory inside itself, and more files
/// than there is time to make.
#[test]
fn s2_what_was_not_walked_is_not_extracted() {
    let folder = Folder::new();
    let mut fs = Erofs::default();
    let dir = fs.dirs("/a/b");
    fs.name(dir, "c", dir);
    let path = folder.write("loop.raw", &fs.build());
    let ended = ddi(["extract", &path, "/", &folder.file("out")]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(!ended.stderr.is_empty());

    let mut fs = Erofs::default();
    let (dir, file) = (fs.dirs("/d"), fs.add(0o100644, b"x"));
    for i in 0..30_000 {
        fs.name(dir, format!("{i:05}"), file);
    }
    let path = folder.write("many.raw", &fs.build());
    let ended = ddi(["extract", &path, "/", &folder.file("out")]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("could not look at everything"), "{ended:?}");
    assert_eq!(folder.names(), ["loop.raw", "many.raw"]);
}
