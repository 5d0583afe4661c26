//! Storage that lies, shrinks, grows or fails while it is read, and disks that are full: an error, never something that
//! was not there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use ddi_core::steps::{
    Contents, DissectOptions, DissectionRecord, ProveOptions, ReportOptions, VeritySettings, prove,
    verity_sets,
};
use ddi_core::{Assessment, Image, Outcome, ProvenPartition, Report, Role, TrustedRootHash};
use ddi_gpt::{Attributes, BlockSize, Builder, Guid, NewPartition, PartitionType, verity_guids};
use ddi_verity::{
    Algorithm, CheckedTree, FileSource, HashTree, HashType, Layout, Params, Placement, ReadAt, RootHash,
    Salt, Superblock, VerifiedReader,
};

use crate::hostile::format_faults::strace_works;
use crate::sources::{Reads, Storage};
use crate::support::image::{self, ImageBuilder, erofs, hash_tree};
use crate::support::{Chance, DDI, Ended, Folder, ddi, in_parallel, require_tool, run, run_within, skip};

const ROOT: &str = "root-x86-64";

/// ESP, root with tree and signature partition.
fn good(blocks: u32) -> image::Image {
    ImageBuilder::new()
        .partition("esp", "esp", vec![0; 1 << 16])
        .verity(ROOT, "os_1", erofs(blocks, 1))
        .build()
}

/// The tree of [`hash_tree`].
fn tree(blocks: u64) -> CheckedTree {
    HashTree::new(params(blocks), Placement::Superblock(0)).unwrap().vouched()
}

fn params(blocks: u64) -> Params {
    let salt = Salt::new(&[0x5a; 32]).unwrap();
    Params::new(HashType::Normal, Algorithm::Sha256, 4096, 4096, blocks, salt).unwrap()
}

fn dissect(image: &Image, trusted: &[TrustedRootHash]) -> DissectionRecord {
    let mut options = DissectOptions::new(VeritySettings::new(trusted, image.sidecars()));
    options.native = Some(ddi_gpt::Architecture::X86_64);
    DissectionRecord::new(image, &options)
}

fn prove_image(source: impl ReadAt + 'static, root: RootHash) -> Result<Assessment, ddi_core::Error> {
    let trusted = [TrustedRootHash::by_caller(root, Role::Root)];
    let image = Image::new(Box::new(source))?;
    let dissection = dissect(&image, &trusted);
    let mut options = ProveOptions::default();
    options.trusted = &trusted;
    Ok(prove(&image, &dissection, &options))
}

fn report(source: impl ReadAt + 'static) -> Result<Report, ddi_core::Error> {
    let image = Image::new(Box::new(source))?;
    Ok(Report::new(&image, &ReportOptions::new(&image)))
}

/// Storage of which each byte is right for the first `honest` times that it is read, and then its complement. `lies`
/// counts the wrong bytes.
fn double_fetch(bytes: &Arc<Vec<u8>>, honest: u8, lies: &Arc<AtomicU64>) -> impl ReadAt + use<> {
    let (reads, lies) = (Reads::new(bytes.len()), lies.clone());
    Storage::new(bytes, move |offset, buf| {
        let len = buf.len();
        reads.count(offset, len, |i, before| {
            if before >= honest {
                buf[i] = !buf[i];
                lies.fetch_add(1, Ordering::Relaxed);
            }
        });
        Ok(())
    })
}

#[test]
fn x1_double_fetch_nothing_unproven_comes_out_of_a_verified_reader() {
    const BLOCKS: u64 = 300;
    let data = Arc::new(Chance(11).bytes(BLOCKS as usize * 4096));
    let (root, hash) = hash_tree(&data);
    let hash = Arc::new(hash);
    let (mut right, mut refused) = (0, 0);
    for honest in 0..6 {
        for cache in [0, 64 << 10, 8 << 20] {
            let lies = Arc::default();
            let reader = VerifiedReader::open_with_cache(
                double_fetch(&data, honest, &lies),
                double_fetch(&hash, honest, &lies),
                tree(BLOCKS),
                &root,
                cache,
            );
            let Ok(reader) = reader else {
                refused += 1;
                continue;
            };
            let mut chance = Chance(u64::from(honest));
            for _ in 0..200 {
                let offset = chance.below(data.len() as u64);
                let len = chance.below(20_000).min(data.len() as u64 - offset) as usize;
                let mut buf = vec![0xcc; len];
                match reader.read_exact_at(offset, &mut buf) {
                    Ok(()) => {
                        assert!(buf == data[offset as usize..][..len], "{honest} {cache} {offset} {len}");
                        right += 1;
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
                        assert!(buf.iter().all(|byte| *byte == 0), "{honest} {cache} {offset} {len}");
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(right > 300 && refused > 300, "{right} {refused}");
}

#[test]
fn x1_double_fetch_is_never_proven_and_never_read() {
    let image = good(300);
    let (bytes, root) = (Arc::new(image.bytes), image.root_hashes[0]);
    let data = &bytes[image.partitions[1].offset as usize..][..300 * 4096];
    let mut outcomes = Vec::new();
    for honest in 0..6 {
        let lies = Arc::default();
        let outcome = prove_image(double_fetch(&bytes, honest, &lies), root).map(|found| found.outcome);
        let proven = matches!(outcome, Ok(Outcome::Verified));
        assert!(!proven || lies.load(Ordering::Relaxed) == 0, "{honest}");
        outcomes.push(proven);

        // and the partition itself: the right bytes, or none
        let Ok(image) = Image::new(Box::new(double_fetch(&bytes, honest, &lies))) else { continue };
        let trusted = [TrustedRootHash::by_caller(root, Role::Root)];
        let mut options = ProveOptions::default();
        options.trusted = &trusted;
        let dissection = dissect(&image, &trusted);
        for set in &verity_sets(&image, &dissection, &options.bind()) {
            let Ok(partition) = ProvenPartition::open(&image, set, &options) else { continue };
            for _ in 0..3 {
                let mut buf = vec![0; data.len()];
                if partition.read_exact_at(0, &mut buf).is_ok() {
                    assert!(buf == data, "{honest}");
                }
            }
        }
    }
    // one look to see what is there, one to prove, one to recognise the content by what was proven
    assert_eq!(outcomes, [false, false, false, true, true, true]);
}

/// The blocks of level 0 are presented as data, with the rest of the tree above them: the same root hash, every block
/// matches. Only that they are no file system tells them apart, and whoever looks first is shown one.
#[test]
fn x1_double_fetch_cannot_pass_off_hash_blocks_as_data() {
    let image = ImageBuilder::new().verity(ROOT, "os_1", erofs(1000, 3)).build();
    let (root, hash) = (image.root_hashes[0], image.partitions[1]);
    let layout = Layout::new(&params(1000), Placement::Superblock(0)).unwrap();
    let [leaves, top] = layout.levels() else { panic!("{layout:?}") };
    let level = |level: &ddi_verity::Level| {
        let start = (hash.offset + level.offset) as usize;
        image.bytes[start..start + level.blocks as usize * 4096].to_vec()
    };
    let data = level(leaves);
    let mut tree = vec![0; 4096];
    tree[..512].copy_from_slice(&Superblock { params: params(leaves.blocks), uuid: [1; 16] }.to_bytes());
    tree.extend(level(top));

    let guid = |name: &str| PartitionType::from_name(name, None).unwrap().guid().unwrap();
    let (data_guid, hash_guid) = verity_guids(root.as_bytes()).unwrap();
    let new = |name: &str, unique, content: &[u8]| {
        NewPartition::new(guid(name), unique).size(content.len() as u64).attributes(Attributes::READ_ONLY)
    };
    let table = Builder::new(4 << 20, BlockSize::B512, Guid::from_u128(9))
        .partition(new(ROOT, data_guid, &data))
        .partition(new("root-x86-64-verity", hash_guid, &tree))
        .build()
        .unwrap();
    let mut disk = table.to_disk();
    let places: Vec<_> = table.gpt().partitions().iter().map(|partition| partition.range).collect();
    for (place, content) in places.iter().zip([&data, &tree]) {
        disk[place.offset as usize..][..content.len()].copy_from_slice(content);
    }
    let (disk, place) = (Arc::new(disk), places[0]);
    let shown = erofs(leaves.blocks as u32, 7);
    let shown_at = |number: u8| number.is_multiple_of(2);
    // shows a file system the first `first` times, or every other time
    for first in (0..9).chain([u8::MAX]) {
        let (reads, shown) = (Reads::new(disk.len()), shown.clone());
        let source = Storage::new(&disk, move |offset, buf| {
            let len = buf.len();
            reads.count(offset, len, |i, before| {
                let show = if first == u8::MAX { shown_at(before) } else { before < first };
                let within = (offset + i as u64).checked_sub(place.offset);
                if let Some(byte) = within.and_then(|at| shown.get(at as usize)).filter(|_| show) {
                    buf[i] = *byte;
                }
            });
            Ok(())
        });
        let assessment = prove_image(source, root).unwrap();
        assert_eq!(assessment.outcome, Outcome::Failed, "{first}: {assessment:?}");
        assert_eq!(assessment.proofs.len(), 1);
    }
}

type PathsAndContents = Vec<(Vec<u8>, Vec<u8>)>;

/// An image with an erofs of some files, if there is something to make it with: its bytes, root hash and contents.
fn with_files() -> Option<(image::Image, PathsAndContents)> {
    if !require_tool("mkfs.erofs") {
        return None;
    }
    let folder = Folder::new();
    let from = folder.path().join("from");
    let mut files = Vec::new();
    for (directory, count) in [("a", 5), ("b", 40)] {
        fs::create_dir_all(from.join(directory)).unwrap();
        for number in 0..count {
            let content = Chance(number).bytes(37 + number as usize * 1009);
            fs::write(from.join(format!("{directory}/{number}")), &content).unwrap();
            files.push((format!("/{directory}/{number}").into_bytes(), content));
        }
    }
    let made = folder.file("erofs");
    run("mkfs.erofs", [made.as_str(), from.to_str().unwrap()]).unwrap();
    let mut data = fs::read(&made).unwrap();
    data.resize(data.len().next_multiple_of(4096), 0);
    Some((ImageBuilder::new().verity(ROOT, "os_1", data).build(), files))
}

#[test]
fn x1_double_fetch_files_are_right_or_refused() {
    let Some((image, files)) = with_files() else { return };
    let (bytes, root) = (Arc::new(image.bytes), image.root_hashes[0]);
    let (mut right, mut refused) = (0, 0);
    for honest in 1..8 {
        let lies = Arc::default();
        let image = Image::new(Box::new(double_fetch(&bytes, honest, &lies))).unwrap();
        let trusted = [TrustedRootHash::by_caller(root, Role::Root)];
        let mut options = ProveOptions::default();
        options.trusted = &trusted;
        let dissection = dissect(&image, &trusted);
        let sets = verity_sets(&image, &dissection, &options.bind());
        let Ok(found) = Contents::new(&image, &dissection, &sets, &options).system() else {
            refused += 1;
            continue;
        };
        for (path, content) in &files {
            match found.tree.read_path(path, 1 << 20) {
                Ok(read) => {
                    assert!(read == *content, "{honest}: {}", String::from_utf8_lossy(path));
                    right += 1;
                }
                Err(ddi_fs::Error::Io { source, .. }) => {
                    assert_eq!(source.kind(), io::ErrorKind::InvalidData);
                    refused += 1;
                }
                Err(other) => panic!("{honest}: {other:?}"),
            }
        }
    }
    assert!(right >= files.len() && refused > 0, "{right} {refused}");
}

/// Reads of each byte while an image is reported on, and in all.
fn reads_of_a_report(bytes: Vec<u8>) -> (Arc<Reads>, u64) {
    let bytes = Arc::new(bytes);
    let reads = Arc::new(Reads::new(bytes.len()));
    let counted = reads.clone();
    let source = Storage::new(&bytes, move |offset, buf| {
        counted.count(offset, buf.len(), |_, _| {});
        Ok(())
    });
    report(source).unwrap();
    let total = reads.bytes();
    (reads, total)
}

#[test]
fn x2_metadata_is_read_once() {
    // systemd looks for fewer kinds than there are, so what is none of them is looked at twice: swap here
    let mut swap = vec![0; 1 << 20];
    swap[1024] = 1;
    swap[1028] = 255;
    swap[4086..4096].copy_from_slice(b"SWAPSPACE2");
    let mut bare = erofs(300, 4);
    bare.resize(2 << 20, 0);
    let images = [
        ("a tree and its signature", good(300).bytes),
        ("a bare file system", bare),
        ("swap alone", swap.clone()),
        (
            "swap",
            ImageBuilder::new().partition("swap", "s", swap).verity(ROOT, "os", erofs(30, 1)).build().bytes,
        ),
        ("nothing", vec![0; 1 << 20]),
        ("one block", vec![0; 512]),
        ("a broken backup", good(10).damage(good(10).bytes.len() as u64 - 500).bytes),
        ("a broken primary", good(10).damage(520).bytes),
    ];
    for (what, bytes) in images {
        let (reads, _) = reads_of_a_report(bytes);
        assert_eq!(reads.most(), 1, "{what}");
    }
}

/// What is kept is bounded, so with very many partitions something is read again, but not much.
#[test]
fn x2_metadata_of_many_partitions_is_read_twice_at_most() {
    let mut builder = ImageBuilder::new();
    for number in 0..24 {
        builder = match number % 3 {
            0 => builder.verity(ROOT, &format!("os_{number}"), erofs(40, number)),
            _ => builder.partition("linux-generic", &format!("p{number}"), erofs(40, number)),
        };
    }
    let image = builder.build();
    let size = image.bytes.len() as u64;
    let (reads, total) = reads_of_a_report(image.bytes);
    assert!(reads.most() <= 2, "{}", reads.most());
    assert!(total < size + (2 << 20), "{total} of {size}");
}

#[test]
fn x2_a_proof_reads_data_once_more_than_it_looks() {
    let image = good(1000);
    let (bytes, root) = (Arc::new(image.bytes), image.root_hashes[0]);
    let reads = Arc::new(Reads::new(bytes.len()));
    let counted = reads.clone();
    let source = Storage::new(&bytes, move |offset, buf| {
        counted.count(offset, buf.len(), |_, _| {});
        Ok(())
    });
    assert_eq!(prove_image(source, root).unwrap().outcome, Outcome::Verified);
    let [esp, data, hash, signature] = image.partitions[..] else { panic!() };
    // neither looked into again nor hashed
    assert_eq!(reads.most_in(0, data.offset), 1);
    assert_eq!(reads.most_in(esp.offset, esp.end()), 1);
    assert_eq!(reads.most_in(signature.offset, bytes.len() as u64), 1);
    // the head: looked at, hashed, recognised by proven bytes; the rest is hashed
    assert_eq!(reads.most_in(data.offset, data.offset + (128 << 10)), 3);
    // as are single places behind it, where superblocks of RAIDs and copies of others would be
    assert!(reads.most_in(data.offset, data.end()) <= 3);
    let behind = (data.offset + (132 << 10)..data.end()).step_by(4096);
    let places = behind.filter(|at| reads.most_in(*at, at + 4096) > 1).count();
    assert!((1..=32).contains(&places), "{places}");
    assert!(reads.most_in(hash.offset, hash.end()) <= 3);
}

/// Storage that ends earlier from its `when`th read on.
fn shrinking(bytes: &Arc<Vec<u8>>, when: usize, end: u64, failed: &Arc<AtomicBool>) -> impl ReadAt + use<> {
    let (calls, failed) = (AtomicUsize::new(0), failed.clone());
    Storage::new(bytes, move |offset, buf| {
        let number = calls.fetch_add(1, Ordering::Relaxed);
        if number >= when && offset + buf.len() as u64 > end {
            // what was there of it may have been read
            let there = (end.saturating_sub(offset) as usize).min(buf.len());
            buf[there..].fill(0);
            failed.store(true, Ordering::Relaxed);
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    })
}

#[test]
fn x3_storage_that_shrinks_is_an_error_at_each_of_50_points() {
    let image = good(300);
    let (bytes, root) = (Arc::new(image.bytes), image.root_hashes[0]);
    let mut chance = Chance(50);
    let (mut ends, mut shrunk) = (0, 0);
    for point in 0..50 {
        // 1,000 runs: cut where blocks end, and anywhere, from the first, second, … read on
        for run in 0..20 {
            let step = bytes.len() as u64 / 50;
            let end = step * point + if run < 10 { 0 } else { chance.below(step) };
            let when = run % 10;
            let failed = Arc::default();
            match prove_image(shrinking(&bytes, when, end, &failed), root) {
                Ok(assessment) => {
                    let proven = assessment.outcome == Outcome::Verified;
                    let data_is_short = end < image.partitions[1].end() && when <= 3;
                    assert!(!(proven && data_is_short), "{point} {when}");
                    ends += usize::from(!proven);
                }
                Err(ddi_core::Error::Io { error, offset, .. }) => {
                    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
                    assert!(offset.is_some());
                    ends += 1;
                }
                Err(other) => panic!("{point} {when}: {other:?}"),
            }
            shrunk += usize::from(failed.load(Ordering::Relaxed));
            // whatever is said of it, it is said
            let _ = report(shrinking(&bytes, when, end, &failed));
        }
    }
    assert!(ends > 300 && shrunk >= ends, "{ends} {shrunk}");
}

/// A file that is cut or grown at its `when`th read.
struct Changing {
    source: FileSource,
    file: File,
    calls: AtomicUsize,
    when: usize,
    size: u64,
}

impl Changing {
    fn new(path: &str, when: usize, size: u64) -> Self {
        let file = File::options().write(true).open(path).unwrap();
        Changing { source: FileSource::open(path).unwrap(), file, calls: AtomicUsize::new(0), when, size }
    }
}

impl ReadAt for Changing {
    fn size(&self) -> u64 {
        self.source.size()
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if self.calls.fetch_add(1, Ordering::Relaxed) == self.when {
            self.file.set_len(self.size).unwrap();
        }
        self.source.read_exact_at(offset, buf)
    }
    fn next_data(&self, offset: u64) -> Option<u64> {
        self.source.next_data(offset)
    }
}

#[test]
fn x3_a_file_that_is_truncated_while_it_is_read() {
    const BLOCKS: u64 = 256;
    let folder = Folder::new();
    let data = Chance(21).bytes(BLOCKS as usize * 4096);
    let (root, hash) = hash_tree(&data);
    for point in 0..50 {
        let path = folder.write("data", &data);
        let keep = point * data.len() as u64 / 50;
        let source = Changing::new(&path, (point * BLOCKS / 50) as usize, keep);
        let reader = VerifiedReader::open(&source, &hash, tree(BLOCKS), &root).unwrap();
        let mut first_error = None;
        for block in 0..BLOCKS {
            let mut buf = [0; 4096];
            match reader.read_exact_at(block * 4096, &mut buf) {
                Ok(()) => assert!(buf == data[block as usize * 4096..][..4096], "{point} {block}"),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{error}");
                    assert!(error.to_string().contains(&(block * 4096).to_string()), "{error}");
                    assert_eq!(buf, [0; 4096]);
                    first_error.get_or_insert(block);
                }
            }
        }
        assert!(first_error.is_some_and(|block| block >= keep / 4096), "{point}: {first_error:?}");

        // the whole tree at once, cut in its first read and before its last
        for when in [0, 1] {
            let path = folder.write("data", &data);
            let source = Changing::new(&path, when, keep);
            let verdict = tree(BLOCKS).verify(&source, &hash, &root, &ddi_verity::Options::new());
            match verdict {
                Err(ddi_verity::Error::Io { error, .. }) => {
                    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
                }
                // it was all read before
                Ok(verdict) => assert!(when > 0 && verdict.is_proven(), "{point} {when}: {verdict:?}"),
                Err(other) => panic!("{point} {when}: {other:?}"),
            }
        }
    }
}

#[test]
fn x3_a_file_that_grows_while_it_is_read_shows_nothing_new() {
    const BLOCKS: u64 = 256;
    let folder = Folder::new();
    let data = Chance(22).bytes(BLOCKS as usize * 4096);
    let (root, hash) = hash_tree(&data);
    for point in 0..50 {
        let path = folder.write("data", &data);
        let source = Changing::new(&path, (point * BLOCKS / 50) as usize, data.len() as u64 * 2);
        let reader = VerifiedReader::open(&source, &hash, tree(BLOCKS), &root).unwrap();
        let mut all = vec![0; data.len()];
        for (block, buf) in all.chunks_mut(4096).enumerate() {
            reader.read_exact_at(block as u64 * 4096, buf).unwrap();
        }
        assert!(all == data);
        assert_eq!(reader.size(), data.len() as u64);
        assert!(source.read_exact_at(data.len() as u64, &mut [0]).is_err());
    }
}

/// A thread cuts the file while the command works on it: no signal, no success unless all of it was read before.
#[test]
fn x3_the_command_survives_a_file_that_shrinks() {
    let image = good(5000);
    let root = image.root_hashes[0].to_string();
    let folder = Folder::new();
    in_parallel(20, |number| {
        let path = folder.write(&format!("{number}.raw"), &image.bytes);
        let file = File::options().write(true).open(&path).unwrap();
        let keep = image.bytes.len() as u64 * number / 20;
        let ended = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(number * 3));
                file.set_len(keep).unwrap();
            });
            let mut command = Command::new(DDI);
            command.args(["verify", &path, "--root-hash", &root]);
            run_within(command, Duration::from_secs(20))
        });
        assert!(matches!(ended.code, Some(0..=2)), "{number}: {ended:?}");
        // after the cut it depends on what is left
        let again = run(DDI, ["verify", &path, "--root-hash", &root]);
        match keep >= image.partitions[2].end() {
            true => assert!(again.ok(), "{number}: {again:?}"),
            false => assert!(matches!(again.code, Some(1 | 2)), "{number}: {again:?}"),
        }
        fs::remove_file(path).unwrap();
    });
}

#[test]
fn x4_an_error_in_the_middle_is_told_with_its_place() {
    let image = good(300);
    let (bytes, root) = (Arc::new(image.bytes), image.root_hashes[0]);
    let [_, data, hash, _] = image.partitions[..] else { panic!() };
    let broken = |at: u64| {
        Storage::new(&bytes, move |offset, buf| {
            if (offset..offset + buf.len() as u64).contains(&at) {
                // a driver may have filled it with anything
                buf.fill(0);
                return Err(io::Error::from_raw_os_error(5));
            }
            Ok(())
        })
    };
    let mut chance = Chance(31);
    for _ in 0..100 {
        // behind what is looked at beforehand
        let at = data.offset + (132 << 10) + chance.below(data.size - (132 << 10));
        let assessment = prove_image(broken(at), root).unwrap();
        assert_eq!(assessment.outcome, Outcome::Unknown, "{at}");
        let problem = assessment.proofs[0].problem.as_ref().unwrap();
        let mut text = problem.to_string();
        let mut source = std::error::Error::source(problem);
        while let Some(error) = source {
            text += &format!(": {error}");
            source = error.source();
        }
        let named = text
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|number| number.parse::<u64>().ok())
            .any(|number| number <= at - data.offset && at - data.offset - number < 4 << 20);
        assert!(named, "{at}: {text}");
    }
    // wherever it is: never proven, if anything that counts could not be read
    for _ in 0..200 {
        let at = chance.below(bytes.len() as u64);
        let within = |range: &ddi_gpt::ByteRange| (range.offset..range.end()).contains(&at);
        match prove_image(broken(at), root) {
            Ok(assessment) => {
                let proven = assessment.outcome == Outcome::Verified;
                let superblock_rest = (hash.offset + 512..hash.offset + 4096).contains(&at);
                assert!(!proven || superblock_rest || !(within(&data) || within(&hash)), "{at}");
            }
            Err(ddi_core::Error::Io { offset, error, .. }) => {
                assert_eq!(error.raw_os_error(), Some(5));
                assert!(offset.is_some_and(|offset| offset <= at), "{at}: {offset:?}");
            }
            Err(other) => panic!("{at}: {other:?}"),
        }
    }
}

/// Runs `ddi` with the `number`th read of `path` not as it should be, and says if there were so many.
fn with_read(folder: &Folder, path: &str, inject: &str, number: u64, args: &[&str]) -> (Ended, bool) {
    let log = folder.file(&format!("log-{}-{number}-{}", inject.replace([':', '='], "-"), args[0]));
    let inject = format!("inject=pread64:{inject}:when={number}");
    let strace = ["-f", "-qq", "-o", &log, "-P", path, "-e", "trace=pread64", "-e", &inject, DDI];
    let ended = run("strace", strace.iter().chain(args));
    let happened = fs::read_to_string(&log).unwrap().contains("(INJECTED)");
    fs::remove_file(log).unwrap();
    (ended, happened)
}

#[test]
fn x4_interrupted_reads_change_nothing_and_failed_ones_are_told() {
    if !strace_works() {
        return;
    }
    let image = good(300);
    let root = image.root_hashes[0].to_string();
    let folder = Folder::new();
    let path = folder.write("image.raw", &image.bytes);
    let given = ["--root-hash", root.as_str()];
    let commands: [Vec<&str>; 3] = [
        vec!["inspect", &path],
        [&["verify", &path][..], &given].concat(),
        [&["read", &path, "-p", "root", "--size", "40000"][..], &given].concat(),
    ];
    let honest: Vec<_> = commands.iter().map(|args| run(DDI, args)).collect();
    assert!(honest.iter().all(Ended::ok), "{honest:?}");
    let faults = AtomicUsize::new(0);
    // interrupted; failed; ended early; a piece missing in the middle
    let kinds = ["error=EINTR", "error=EIO", "retval=0", "retval=5"];
    in_parallel((kinds.len() * commands.len()) as u64, |job| {
        let kind = kinds[job as usize % kinds.len()];
        let command = job as usize / kinds.len();
        let (args, honest) = (&commands[command], &honest[command]);
        for number in 1.. {
            assert!(number < 200);
            let (ended, happened) = with_read(&folder, &path, kind, number, args);
            if !happened {
                break;
            }
            faults.fetch_add(1, Ordering::Relaxed);
            let what = format!("{args:?} {kind} {number}: {ended:?}");
            if kind == "error=EINTR" {
                assert_eq!(&ended, honest, "{what}");
                continue;
            }
            assert!(matches!(ended.code, Some(0..=2)), "{what}");
            match args[0] {
                // a liar may show anything to who proves nothing
                "inspect" if kind == "retval=5" => {}
                // the ESP and the like are looked at and not needed
                _ if ended.ok() => assert_eq!(ended.stdout, honest.stdout, "{what}"),
                "inspect" => {
                    assert!(format!("{}{}", ended.stdout, ended.stderr).contains(" byte "), "{what}");
                }
                "read" => assert!(honest.stdout.starts_with(&ended.stdout), "{what}"),
                _ => assert!(!ended.stdout.starts_with("VERIFIED"), "{what}"),
            }
        }
    });
    let faults = faults.into_inner();
    assert!(faults > 60, "{faults}");
}

/// Calls that write, in the order in which they are first made.
pub(crate) const WRITES: [&str; 7] =
    ["ftruncate", "pwrite64", "write", "fsync", "linkat", "rename", "unlink"];

/// And those that make a tree of files.
const MAKES: [&str; 10] = [
    "mkdirat",
    "pwrite64",
    "ftruncate",
    "symlinkat",
    "utimensat",
    "fchmod",
    "fchmodat",
    "syncfs",
    "renameat2",
    "fsync",
];

/// How calls that write end badly: by the end of the process, without room, and with a bad disk.
pub(crate) const FAULTS: [&str; 3] = ["signal=KILL", "error=ENOSPC", "error=EIO"];

/// The fault that one run had.
pub(crate) struct Fault<'a> {
    /// `signal=KILL` or `error=…`.
    pub(crate) kind: &'a str,
    pub(crate) call: &'a str,
    /// In which of these calls.
    number: u32,
    /// Returns true if the program came so far.
    happened: bool,
}

impl Fault<'_> {
    /// An error that the program got.
    pub(crate) fn is_error(&self) -> bool {
        self.happened && self.kind.starts_with("error=")
    }
}

impl std::fmt::Display for Fault<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} {} ({})", self.kind, self.call, self.number, self.happened)
    }
}

/// Runs `ddi` with a fault in the first, second, … call of each kind, until there are no more, each time after `prepare`.
/// Says how many there were of each.
pub(crate) fn at_every_call<'a>(
    kind: &str,
    folder: &Folder,
    (calls, args): (&[&'a str], &[&str]),
    prepare: impl Fn(),
    check: impl Fn(&Ended, &Fault<'_>),
) -> BTreeMap<&'a str, u32> {
    let mut faults = BTreeMap::new();
    for call in calls {
        for number in 1.. {
            assert!(number < 1000);
            prepare();
            let log = folder.file("log");
            let inject = format!("inject={call}:{kind}:when={number}");
            let trace = format!("trace={call}");
            let mut command = Command::new("strace");
            command.args(["-f", "-qq", "-o", &log, "-e", &trace, "-e", &inject, DDI]).args(args);
            command.env("TMPDIR", folder.path().join("tmp"));
            let ended = run_within(command, Duration::from_secs(60));
            let happened = fs::read_to_string(&log).unwrap_or_default();
            let happened = happened.contains("(INJECTED)") || happened.contains("killed by SIGKILL");
            fs::remove_file(log).unwrap();
            check(&ended, &Fault { kind, call, number, happened });
            if !happened {
                assert!(ended.ok(), "{call} {number}: {ended:?}");
                break;
            }
            assert_eq!(ended.code.is_none(), kind == "signal=KILL", "{call} {number}: {ended:?}");
            *faults.entry(*call).or_default() += 1;
        }
    }
    faults
}

/// An error is the end of it: exit status 2, and a line that says so.
#[track_caller]
pub(crate) fn assert_told(ended: &Ended, fault: &Fault<'_>) {
    assert_eq!(ended.code, Some(2), "{fault}: {ended:?}");
    assert!(ended.stderr.contains("ddi: error: "), "{fault}: {ended:?}");
}

/// Asserts that there were so many faults of each kind.
#[track_caller]
pub(crate) fn assert_at_least(faults: &BTreeMap<&str, u32>, least: &[(&str, u32)]) {
    for (call, least) in least {
        assert!(faults.get(call).is_some_and(|found| found >= least), "{call}: {faults:?}");
    }
}

/// A folder with room for temporary files, and for what comes out.
fn work_folder() -> Folder {
    let folder = Folder::new();
    fs::create_dir(folder.file("tmp")).unwrap();
    fs::create_dir(folder.file("out")).unwrap();
    folder
}

fn names(folder: &str) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn k1_k2_k3_what_is_read_to_a_file_is_complete_or_absent() {
    if !strace_works() {
        return;
    }
    let folder = work_folder();
    let image = good(80);
    let data = erofs(80, 1);
    let root = image.root_hashes[0].to_string();
    let path = folder.write("image.raw", &image.bytes);
    let (out, directory) = (folder.file("out/part"), folder.file("out"));
    let args = ["read", &path, "-p", "root", "--root-hash", &root, "--output", &out];
    for before in [None, Some(&b"what was there before"[..])] {
        for kind in FAULTS {
            let prepare = || {
                fs::remove_dir_all(&directory).unwrap();
                fs::create_dir(&directory).unwrap();
                if let Some(before) = before {
                    fs::write(&out, before).unwrap();
                }
            };
            let faults = at_every_call(kind, &folder, (&WRITES, &args), prepare, |ended, fault| {
                let what = format!("{fault}: {ended:?}");
                let found = fs::read(&out).ok();
                let whole = found.as_deref() == Some(&data[..]);
                assert!(whole || found.as_deref() == before, "{what}");
                assert!(!ended.ok() || whole, "{what}");
                if fault.is_error() {
                    assert_told(ended, fault);
                }
                // killed while it replaces a file, there may be a temporary one beside it
                let most = if kind == "signal=KILL" && before.is_some() { 2 } else { 1 };
                assert!(names(&directory).len() <= most, "{what}: {:?}", names(&directory));
            });
            // the file and its folder
            assert_at_least(&faults, &[("write", 1), ("fsync", 2)]);
        }
    }
}

#[test]
fn k1_k2_k3_what_is_extracted_is_complete_or_absent() {
    if !strace_works() {
        return;
    }
    let folder = work_folder();
    let image = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sample.raw");
    let (out, directory) = (folder.file("out/system"), folder.file("out"));
    let listed = |out: &str| run("find", [out, "-printf", "%P %y %m %s %l %T@\n"]).stdout;
    let whole = folder.file("whole");
    assert!(ddi(["extract", image, "/", &whole]).ok());
    let whole = listed(&whole);
    assert!(whole.lines().count() > 5, "{whole}");
    let args = ["extract", image, "/", out.as_str()];
    let prepare = || {
        fs::remove_dir_all(&directory).unwrap();
        fs::create_dir(&directory).unwrap();
    };
    for kind in FAULTS {
        let faults = at_every_call(kind, &folder, (&MAKES, &args), prepare, |ended, fault| {
            let what = format!("{fault}: {ended:?}");
            let there = fs::exists(&out).unwrap();
            assert!(!there || listed(&out) == whole, "{what}");
            assert!(!ended.ok() || there, "{what}");
            // the last of these is for our own folder, which goes away
            if fault.is_error() && !(fault.call == "fchmod" && ended.ok()) {
                assert_told(ended, fault);
                // what comes after the renaming is told, not undone
                assert_eq!(there, fault.call == "fsync", "{what}");
            }
            // killed, there may be the unfinished one beside it, which says by its name what it is
            let others = names(&directory).into_iter().filter(|name| name != "system");
            match ended.code {
                None => assert!(others.into_iter().all(|name| name.starts_with(".ddi-extract-")), "{what}"),
                Some(_) => assert_eq!(others.count(), 0, "{what}"),
            }
        });
        let each = [("mkdirat", 2), ("pwrite64", 1), ("ftruncate", 1), ("symlinkat", 1), ("utimensat", 5)];
        assert_at_least(&faults, &each);
        assert_at_least(&faults, &[("fchmod", 5), ("syncfs", 1), ("renameat2", 1), ("fsync", 1)]);
    }
}

/// What has no right to be written into is moved first, and gets its mode after that: on the disk too.
#[test]
fn k3_a_read_only_directory_is_extracted_complete_or_absent() {
    if !strace_works() || !require_tool("mkfs.erofs") {
        return;
    }
    let folder = work_folder();
    let from = folder.file("from");
    fs::create_dir(&from).unwrap();
    fs::write(folder.file("from/file"), b"content").unwrap();
    fs::set_permissions(&from, fs::Permissions::from_mode(0o555)).unwrap();
    let (image, out, directory) = (folder.file("erofs"), folder.file("out/system"), folder.file("out"));
    run("mkfs.erofs", [image.as_str(), &from]).unwrap();
    let mut data = fs::read(&image).unwrap();
    data.resize(data.len().next_multiple_of(4096), 0);
    let image = folder.write("image.raw", &ImageBuilder::new().partition(ROOT, "os_1", data).build().bytes);
    let args = ["extract", &image, "/", out.as_str()];
    let prepare = || {
        fs::remove_dir_all(&directory).unwrap();
        fs::create_dir(&directory).unwrap();
    };
    for kind in FAULTS {
        let calls = ["fchmod", "syncfs", "fsync"];
        let faults = at_every_call(kind, &folder, (&calls, &args), prepare, |ended, fault| {
            if fs::exists(&out).unwrap() {
                assert_eq!(fs::read(folder.file("out/system/file")).unwrap(), b"content");
            } else {
                assert!(!ended.ok(), "{fault}: {ended:?}");
            }
            if fault.is_error() && !(fault.call == "fchmod" && ended.ok()) {
                assert_told(ended, fault);
            }
            if ended.ok() {
                let mode = fs::metadata(&out).unwrap().permissions().mode();
                assert_eq!(mode & 0o7777, 0o555, "{fault}");
            }
        });
        // the directory and the one that it is in
        assert_at_least(&faults, &[("fchmod", 3), ("syncfs", 1), ("fsync", 2)]);
    }
}

#[test]
fn k2_an_image_that_cannot_be_unpacked_is_an_error_and_leaves_nothing() {
    if !strace_works() || !require_tool("gzip") {
        return;
    }
    let folder = work_folder();
    let image = good(300);
    let root = image.root_hashes[0].to_string();
    let path = folder.write("image.raw", &image.bytes);
    run("gzip", [&path]).unwrap();
    let (packed, tmp) = (format!("{path}.gz"), folder.file("tmp"));
    let args = ["verify", packed.as_str(), "--root-hash", &root];
    for kind in FAULTS {
        let faults = at_every_call(
            kind,
            &folder,
            (&WRITES, &args),
            || {},
            |ended, fault| {
                let what = format!("{fault}: {ended:?}");
                assert!(names(&tmp).is_empty(), "{what}");
                if fault.is_error() {
                    assert_told(ended, fault);
                }
                // a write to stdout that fails does not change what is true
                assert!(!ended.ok() || ended.stdout.starts_with("VERIFIED"), "{what}");
            },
        );
        assert!(faults.values().sum::<u32>() >= 4, "{faults:?}");
    }
}

/// No room at all: a file system of 256 KiB for temporary files.
#[test]
fn k2_no_room_for_the_temporary_file() {
    if !crate::support::require_root() || !require_tool("gzip") {
        return;
    }
    let folder = work_folder();
    let tmp = folder.file("tmp");
    if !run("mount", ["-t", "tmpfs", "-o", "size=256k", "tmpfs", &tmp]).ok() {
        return skip("no tmpfs may be mounted here");
    }
    let image = good(300);
    let path = folder.write("image.raw", &image.bytes);
    let packed = run("gzip", [&path]);
    let mut command = Command::new(DDI);
    command.args(["inspect", &format!("{path}.gz")]).env("TMPDIR", &tmp);
    let ended = run_within(command, Duration::from_secs(20));
    let left = names(&tmp);
    run("umount", [&tmp]).unwrap();
    assert!(packed.ok(), "{packed:?}");
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stdout.is_empty() && ended.stderr.contains("bytes are free"), "{ended:?}");
    assert!(left.is_empty(), "{left:?}");
}

/// How often the bytes of a file system are read while all its files are: through the cache of its reader, metadata are
/// read few times, and content once.
#[test]
fn x2_files_are_read_through_a_cache() {
    let Some((image, files)) = with_files() else { return };
    let bytes = Arc::new(image.bytes);
    let reads = Arc::new(Reads::new(bytes.len()));
    let counted = reads.clone();
    let source = Storage::new(&bytes, move |offset, buf| {
        counted.count(offset, buf.len(), |_, _| {});
        Ok(())
    });
    let image = Image::new(Box::new(source)).unwrap();
    let dissection = dissect(&image, &[]);
    let found = Contents::unproven(&image, &dissection).system().unwrap();
    for (path, content) in &files {
        assert!(found.tree.read_path(path, 1 << 20).unwrap() == *content);
    }
    let data = image.partition(1).unwrap();
    let most = reads.most_in(data.offset(), data.offset() + data.size());
    assert!(most <= 3, "{most}");
}
