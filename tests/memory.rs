//! What memory it takes (M1): the peak of the heap by an allocator that counts, and of the resident set of the command.
//!
//! | | heap at most | images |
//! | --- | --- | --- |
//! | inspect | 4 MiB; 16 MiB with a table of 1 MiB | 1 MiB, 10 GiB, 15 TiB, every hostile one, full tables |
//! | verify | 8 MiB, and 1 MiB a thread | the same |
//! | the command, resident | 64 MiB | the same |
//!
//! A program of its own, and one test in it: there is one heap, and a test beside it would count. A panic that is caught
//! there takes many MiB where a backtrace is asked for. `-- --nocapture` shows the figures.

use std::alloc::{GlobalAlloc, Layout as Memory, System};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Lines, Write};
use std::os::unix::fs::FileExt;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ddi_core::steps::{
    Contents, DissectOptions, DissectionRecord, ProveOptions, ReportOptions, VeritySettings, prove,
    verity_sets,
};
use ddi_core::{Image, Outcome, Report, Role, TrustedRootHash};
use ddi_gpt::{
    Architecture, Attributes, BlockSize, Builder, ByteRange, Guid, NewPartition, PartitionType, verity_guids,
};
use ddi_verity::{
    Algorithm, Digest, HashTree, HashType, Options, Params, Placement, ReadAt, RootHash, Salt, Section,
    Superblock, VerifiedReader,
};

#[expect(dead_code, unused_imports, reason = "shared with the other tests, which use the rest")]
mod support;

use support::image::{ImageBuilder, erofs};
use support::{DDI, Folder, skip};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// The system's allocator, counted.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn more(size: usize) {
    let now = NOW.fetch_add(size, Ordering::Relaxed) + size;
    PEAK.fetch_max(now, Ordering::Relaxed);
}

fn less(size: usize) {
    NOW.fetch_sub(size, Ordering::Relaxed);
}

// SAFETY: each call is handed on to the system's allocator as it is, and its answer handed back as it is; the counters
// are atomics that do not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Memory) -> *mut u8 {
        // SAFETY: the caller's promise, that the layout is not of size zero
        let block = unsafe { System.alloc(layout) };
        if !block.is_null() {
            more(layout.size());
        }
        block
    }
    unsafe fn alloc_zeroed(&self, layout: Memory) -> *mut u8 {
        // SAFETY: as for `alloc`
        let block = unsafe { System.alloc_zeroed(layout) };
        if !block.is_null() {
            more(layout.size());
        }
        block
    }
    unsafe fn dealloc(&self, block: *mut u8, layout: Memory) {
        less(layout.size());
        // SAFETY: the caller's promise, that the block came from here, which is from there, with this layout
        unsafe { System.dealloc(block, layout) }
    }
    unsafe fn realloc(&self, block: *mut u8, layout: Memory, size: usize) -> *mut u8 {
        // SAFETY: as for `dealloc`, and that the new size is not zero
        let moved = unsafe { System.realloc(block, layout, size) };
        if !moved.is_null() {
            // both may be there for a moment
            more(size);
            less(layout.size());
        }
        moved
    }
}

#[global_allocator]
static HEAP: Counting = Counting;

/// Does `work`; the most bytes of heap that it had at once.
fn peak<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let done = work();
    (done, (PEAK.load(Ordering::Relaxed) - before) as u64)
}

/// The figures, with their bounds.
#[derive(Default)]
struct Table {
    lines: Vec<String>,
    failed: Vec<String>,
}

impl Table {
    fn add(&mut self, what: &str, found: u64, most: u64) {
        let line = format!("| {what} | {} KiB | {} KiB |", found / KIB, most / KIB);
        println!("{line}");
        if found > most {
            self.failed.push(line.clone());
        }
        self.lines.push(line);
    }
}

const INSPECT: u64 = 4 * MIB;
/// The same with a partition table of up to 8192 entries, which is 1 MiB and there twice.
const TABLE: u64 = 16 * MIB;
/// Bytes that a table can make us read, if nothing of what it names is a file system: by whatever it is searched.
const READ: u64 = 256 * MIB;
const RESIDENT: u64 = 64 * MIB;

fn verify_bound(threads: u64) -> u64 {
    8 * MIB + threads * MIB
}

/// All that `ddi inspect` does. What is wrong with the image is in the report.
fn inspect(image: &Image) -> Report {
    let options = ReportOptions::new(image);
    let dissection = DissectionRecord::new(image, &options.dissect);
    let report = Report::of(image, &dissection, &options);
    let prove = ProveOptions::default();
    let sets = verity_sets(image, &dissection, &prove.bind());
    if let Ok(files) = Contents::new(image, &dissection, &sets, &prove).system() {
        let _ = files.tree.read_path(b"/usr/lib/os-release", 64 << 10);
    }
    report
}

fn verify(image: &Image, root: Option<RootHash>, threads: usize) -> Outcome {
    let trusted: Vec<_> = root.iter().map(|root| TrustedRootHash::by_caller(*root, Role::Root)).collect();
    let mut dissect = DissectOptions::new(VeritySettings::new(&trusted, image.sidecars()));
    dissect.native = Some(Architecture::X86_64);
    let dissection = DissectionRecord::new(image, &dissect);
    let mut options = ProveOptions::default();
    options.trusted = &trusted;
    options.engine = Options::new().threads(threads);
    prove(image, &dissection, &options).outcome
}

/// A sparse image in a file: a root partition of `data` bytes with its tree, and the rest of the disk as home. `None`
/// if files cannot be so large here.
fn sparse(folder: &Folder, name: &str, size: u64, data: u64) -> Option<(String, RootHash)> {
    let path = folder.file(name);
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    if let Err(error) = file.set_len(size) {
        skip(&format!("no file of {size} bytes here: {error}"));
        return None;
    }
    let blocks = data / 4096;
    let params =
        Params::new(HashType::Normal, Algorithm::Sha256, 4096, 4096, blocks, Salt::new(&[1; 32]).unwrap())
            .unwrap();
    let guid = |name: &str| PartitionType::from_name(name, None).unwrap().guid().unwrap();
    let hash_size = HashTree::new(params, Placement::Superblock(0)).unwrap().layout().least_size();
    // the GUIDs follow from the root hash, and the places from the sizes alone
    let table = |data_guid, hash_guid| {
        let read_only = |name: &str, unique, size: u64| {
            NewPartition::new(guid(name), unique).size(size).attributes(Attributes::READ_ONLY)
        };
        let home = (size - data - hash_size).saturating_sub(8 * MIB) / MIB * MIB;
        let mut builder = Builder::new(size, BlockSize::B512, Guid::from_u128(1)).alignment(4096);
        builder = builder.partition(read_only("root-x86-64", data_guid, data));
        builder = builder.partition(read_only("root-x86-64-verity", hash_guid, hash_size));
        if home > 0 {
            builder = builder.partition(NewPartition::new(guid("home"), Guid::from_u128(2)).size(home));
        }
        builder.build().unwrap()
    };
    let places = table(Guid::from_u128(3), Guid::from_u128(4));
    let places: Vec<ByteRange> = places.gpt().partitions().iter().map(|partition| partition.range).collect();

    let mut head = vec![0; 4096];
    head[1024..1028].copy_from_slice(&[0xe2, 0xe1, 0xf5, 0xe0]);
    head[1036] = 12;
    // number 36 is at byte 1152: an inode with an empty directory behind it
    head[1038] = 36;
    (head[1152], head[1156], head[1157], head[1158], head[1160]) = (4, 0xed, 0x41, 2, 27);
    for (entry, name) in [(1184, 24), (1196, 25)] {
        (head[entry], head[entry + 8], head[entry + 10]) = (36, name, 2);
    }
    head[1208..1211].copy_from_slice(b"...");
    head[1060..1064].copy_from_slice(&u32::try_from(blocks).unwrap().to_le_bytes());
    file.write_all_at(&head, places[0].offset).unwrap();
    let tree = HashTree::new(params, Placement::Superblock(places[1].offset)).unwrap();
    let source = ddi_verity::FileSource::open(&path).unwrap();
    let section = Section::new(&source, places[0].offset, data).unwrap();
    let root = tree.build(&section, &file, &Options::new()).unwrap();
    file.write_all_at(&Superblock { params, uuid: [7; 16] }.to_bytes(), places[1].offset).unwrap();
    let (data_guid, hash_guid) = verity_guids(root.as_bytes()).unwrap();
    for (offset, bytes) in table(data_guid, hash_guid).writes() {
        file.write_all_at(bytes, offset).unwrap();
    }
    Some((path, root))
}

/// Starts commands, and knows how much memory they had. The figure of a child begins with what its parent has, so the
/// parent is a process that has next to nothing: this program again, started before anything else.
struct Starter {
    process: Child,
    answers: Lines<BufReader<ChildStderr>>,
}

/// Set for the starter.
const STARTER: &str = "DDI_BOUNDS_STARTER";

impl Starter {
    fn new() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--nocapture", "--test-threads=1"])
            .env(STARTER, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(process.stderr.take().unwrap()).lines();
        Starter { process, answers }
    }

    /// The most that `ddi` had resident, in bytes, and its exit status.
    fn resident(&mut self, args: &[&str]) -> (u64, Option<i32>) {
        let line = serde_json::to_string(args).unwrap();
        writeln!(self.process.stdin.as_ref().unwrap(), "{line}").unwrap();
        let answer = self.answers.next().unwrap().unwrap();
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"))
    }

    /// What the process does.
    fn serve() {
        for line in io::stdin().lines() {
            let args: Vec<String> = serde_json::from_str(&line.unwrap()).unwrap();
            eprintln!("{}", serde_json::to_string(&start(&args)).unwrap());
        }
    }
}

impl Drop for Starter {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

#[expect(clippy::zombie_processes, reason = "wait4 waits, and says how much memory it took")]
fn start(args: &[String]) -> (u64, Option<i32>) {
    let child = Command::new(DDI)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = i32::try_from(child.id()).unwrap();
    let mut status = 0;
    // SAFETY: a struct of integers, for which all zeros are a value
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to locals of the right types that live through the call; nobody else waits for the child
    let ended = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    assert_eq!(ended, pid);
    let code = libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
    (u64::try_from(usage.ru_maxrss).unwrap() * KIB, code)
}

/// Zeros without end, and the hash tree over them, of which no byte is stored.
struct Zeros {
    size: u64,
    reads: AtomicUsize,
}

impl ReadAt for Zeros {
    fn size(&self) -> u64 {
        self.size
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        assert!(offset + buf.len() as u64 <= self.size);
        self.reads.fetch_add(1, Ordering::Relaxed);
        buf.fill(0);
        Ok(())
    }
    fn next_data(&self, _: u64) -> Option<u64> {
        None
    }
}

/// All blocks of a level are the same but the last.
struct ZerosTree<'a> {
    tree: &'a HashTree,
    /// For each level, a digest of what is below: of any, and of the last.
    below: Vec<(Digest, Digest)>,
}

impl<'a> ZerosTree<'a> {
    fn new(tree: &'a HashTree) -> (Self, RootHash) {
        let hasher = tree.params().hasher();
        let block = hasher.hash_block(&vec![0; tree.params().data_block_size() as usize]);
        let mut made = ZerosTree { tree, below: vec![(block, block)] };
        for (level, last) in tree.layout().levels().iter().map(|level| level.blocks - 1).enumerate() {
            let any = hasher.hash_block(&made.block(level, 0));
            let last = hasher.hash_block(&made.block(level, last));
            made.below.push((any, last));
        }
        let root = made.below.last().unwrap().1;
        (made, RootHash::from_bytes(root.as_bytes()).unwrap())
    }

    fn block(&self, level: usize, number: u64) -> Vec<u8> {
        let layout = self.tree.layout();
        let mut block = vec![0; layout.block_size()];
        let children = layout.children_of(level, number);
        let end = layout.children(level);
        for (slot, child) in children.enumerate() {
            let (any, last) = &self.below[level];
            let digest = if child + 1 == end { last } else { any };
            block[layout.slot(slot)].copy_from_slice(digest.as_bytes());
        }
        block
    }
}

impl ReadAt for ZerosTree<'_> {
    fn size(&self) -> u64 {
        self.tree.layout().least_size()
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let size = self.tree.layout().block_size() as u64;
        for (i, part) in buf.chunks_mut(size as usize).enumerate() {
            let at = offset + i as u64 * size;
            let levels = self.tree.layout().levels().iter().enumerate();
            let level = levels.filter(|(_, level)| level.offset <= at).max_by_key(|(_, level)| level.offset);
            let (number, level) = level.unwrap();
            assert_eq!((at - level.offset) % size, 0);
            part.copy_from_slice(&self.block(number, (at - level.offset) / size)[..part.len()]);
        }
        Ok(())
    }
}

#[test]
fn m1_memory_does_not_grow_with_the_image() {
    if std::env::var_os(STARTER).is_some() {
        return Starter::serve();
    }
    let mut starter = Starter::new();
    let folder = Folder::new();
    let mut table = Table::default();
    let small = ImageBuilder::new().verity("root-x86-64", "os_1", erofs(40, 1)).build();
    let mut bytes = small.bytes;
    bytes.truncate(bytes.len().max(1 << 20));
    let mut images = vec![("1 MiB", folder.write("small.raw", &bytes), small.root_hashes[0])];
    for (name, size, data) in [("10 GiB", 10 * GIB, 9 * GIB), ("15 TiB", 15 * TIB, 64 * MIB)] {
        images.extend(sparse(&folder, name, size, data).map(|(path, root)| (name, path, root)));
    }

    for (name, path, root) in &images {
        let root = root.to_string();
        let (found, code) = starter.resident(&["inspect", path]);
        assert_eq!(code, Some(0), "{name}");
        table.add(&format!("resident, inspect, {name}"), found, RESIDENT);
        for threads in ["1", "16"] {
            let (found, code) =
                starter.resident(&["verify", path, "--root-hash", &root, "--threads", threads]);
            assert_eq!(code, Some(0), "{name}");
            table.add(&format!("resident, verify, {threads} threads, {name}"), found, RESIDENT);
        }
    }

    // what a first use leaves for good is no part of it: thread-local tables and the like
    let image = Image::open(&images[0].1).unwrap();
    inspect(&image);
    verify(&image, None, 4);

    for (name, path, root) in &images {
        let (image, opening) = peak(|| Image::open(path).unwrap());
        let (report, rest) = peak(|| inspect(&image));
        assert!(!report.broken(), "{name}: {:?}", report.findings);
        table.add(&format!("heap, inspect, {name}"), opening + rest, INSPECT);
        for threads in [1, 4, 16] {
            let (outcome, found) = peak(|| verify(&image, Some(*root), threads));
            assert_eq!(outcome, Outcome::Verified, "{name}");
            let what = format!("heap, verify, {threads} threads, {name}");
            table.add(&what, opening + found, verify_bound(threads as u64));
        }
    }

    // the engine alone, with every byte protected
    for (name, size, block_size, every) in [
        ("64 GiB of zeros, known as such", 64 * GIB, 4096, false),
        ("1 GiB of zeros, each hashed", GIB, 4096, true),
        ("15 TiB of zeros, blocks of 512 KiB", 15 * TIB, 512 << 10, false),
    ] {
        let salt = Salt::new(&[1; 32]).unwrap();
        let blocks = size / u64::from(block_size);
        let params =
            Params::new(HashType::Normal, Algorithm::Sha256, block_size, block_size, blocks, salt).unwrap();
        let tree = HashTree::new(params, Placement::Bare(0)).unwrap().vouched();
        let data = Zeros { size, reads: AtomicUsize::new(0) };
        let (hash, root) = ZerosTree::new(&tree);
        for threads in [1, 16] {
            let options = Options::new().threads(threads).hash_every_block(every);
            let (verdict, found) = peak(|| tree.verify(&data, &hash, &root, &options).unwrap());
            assert!(verdict.is_proven(), "{name}: {verdict:?}");
            // hash blocks of 512 KiB are read two at a time, by the test's own source too
            let large = if block_size > 4096 { (threads as u64 + 1) * 2 * MIB } else { 0 };
            let what = format!("heap, engine, {threads} threads, {name}");
            table.add(&what, found, verify_bound(threads as u64) + large);
        }
        let (_, found) = peak(|| {
            let reader = VerifiedReader::open(&data, &hash, tree.clone(), &root).unwrap();
            let mut buf = [0; 4096];
            for step in 0..2000 {
                reader.read_exact_at(size / 2000 * step, &mut buf).unwrap();
            }
        });
        table.add(
            &format!("heap, reader at 2000 places, {name}"),
            found,
            8 * MIB + 4 * u64::from(block_size),
        );
    }

    // as large as systemd allows: what is read, and what is in it
    let mut json = format!(r#"{{"rootHash":"{}","signature":""#, "ab".repeat(32)).into_bytes();
    json.resize((4 << 20) - 4, b'A');
    json.extend(b"\"}");
    json.resize(4 << 20, 0);
    let signature = ImageBuilder::new().partition("root-x86-64-verity-sig", "sig", json).build();
    let path = folder.write("signature.raw", &signature.bytes);
    let (_, found) = peak(|| inspect(&Image::open(&path).unwrap()));
    table.add("heap, inspect, a signature partition of 4 MiB", found, INSPECT);

    full_tables(&mut table);
    hostile(&mut table, &mut starter);
    println!("{}", table.lines.join("\n"));
    assert!(table.failed.is_empty(), "{:#?}", table.failed);
}

/// A partition: its type, size, and first bytes.
type Content = (&'static str, u64, Arc<[u8]>);

/// Storage that is zero but for these pieces, by offset. Counts what is read of it.
struct Made {
    size: u64,
    pieces: Vec<(u64, Arc<[u8]>)>,
    reads: AtomicUsize,
    bytes: AtomicUsize,
}

impl Made {
    /// A disk with these partitions in a table of `entries`: type, size and content.
    fn new(entries: u32, parts: &[(&str, u64, &Arc<[u8]>)]) -> Arc<Self> {
        let size = parts.iter().map(|(_, size, _)| size.next_multiple_of(4096)).sum::<u64>() + 8 * MIB;
        let mut builder =
            Builder::new(size, BlockSize::B512, Guid::from_u128(1)).entries(entries, 128).alignment(4096);
        for (i, (name, size, _)) in parts.iter().enumerate() {
            let guid = PartitionType::from_name(name, None).unwrap().guid().unwrap();
            let partition = NewPartition::new(guid, Guid::from_u128(0x1000 + i as u128));
            builder = builder.partition(partition.size(*size));
        }
        let written = builder.build().unwrap();
        let places = written.gpt().partitions().iter().map(|partition| partition.range.offset);
        let mut pieces: Vec<(u64, Arc<[u8]>)> =
            places.zip(parts).map(|(offset, (_, _, content))| (offset, Arc::clone(content))).collect();
        pieces.extend(written.writes().map(|(offset, bytes)| (offset, bytes.into())));
        pieces.sort_by_key(|(offset, _)| *offset);
        Arc::new(Made { size, pieces, reads: AtomicUsize::new(0), bytes: AtomicUsize::new(0) })
    }
}

impl ReadAt for Made {
    fn size(&self) -> u64 {
        self.size
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = offset + buf.len() as u64;
        assert!(end <= self.size);
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(buf.len(), Ordering::Relaxed);
        buf.fill(0);
        let first = self.pieces.partition_point(|(at, bytes)| at + bytes.len() as u64 <= offset);
        for (at, bytes) in self.pieces[first..].iter().take_while(|(at, _)| *at < end) {
            let (from, to) = (offset.max(*at), end.min(at + bytes.len() as u64));
            buf[(from - offset) as usize..(to - offset) as usize]
                .copy_from_slice(&bytes[(from - at) as usize..(to - at) as usize]);
        }
        Ok(())
    }
}

/// Tables full of partitions that are made to keep us busy, or to fill our memory.
fn full_tables(table: &mut Table) {
    const DATA: &str = "root-x86-64";
    const HASH: &str = "root-x86-64-verity";
    const SIGNATURE: &str = "root-x86-64-verity-sig";
    let nothing: Arc<[u8]> = [].into();
    let superblock = |data_block_size, hash_block_size, blocks| -> Arc<[u8]> {
        let salt = Salt::new(&[]).unwrap();
        let (kind, algorithm) = (HashType::Normal, Algorithm::Sha256);
        let params = Params::new(kind, algorithm, data_block_size, hash_block_size, blocks, salt).unwrap();
        Superblock { params, uuid: [7; 16] }.to_bytes().as_slice().into()
    };
    // as long as the text may be, and much longer: what there is of it in memory, four times over
    let text = |size: usize, head: &str, fill: &str| -> Arc<[u8]> {
        let mut json = head.to_owned();
        while json.len() + fill.len() + 2 <= size {
            json.push_str(fill);
        }
        json.push_str("\"}");
        json.into_bytes().into()
    };
    let head = format!(r#"{{"rootHash":"{}","signature":""#, "ab".repeat(32));
    let longest = text(512 << 10, &head, "A");
    let key = text(512 << 10, &format!("{head}AAAA\",\"\\u0041"), "A");
    let too_long = text(4 << 20, &head, "A");
    let small = {
        let mut json = format!("{head}AAAA\"}}").into_bytes();
        json.resize(512, 0);
        Arc::<[u8]>::from(json)
    };

    let one_block = superblock(512 << 10, 4096, 1);
    let large_top = superblock(4096, 512 << 10, 100);
    let usual = superblock(4096, 4096, 100);
    let half = 512 * KIB;
    let repeat = |count: usize, parts: &[(&'static str, u64, &Arc<[u8]>)]| {
        parts.iter().flat_map(|part| vec![(part.0, part.1, Arc::clone(part.2)); count]).collect::<Vec<_>>()
    };
    let rows: [(&str, u32, Vec<Content>); 8] = [
        (
            "64 trees of one block, 64 for data",
            128,
            repeat(64, &[(HASH, 512, &one_block), (DATA, half, &nothing)]),
        ),
        (
            "4096 trees of one block, 4096 for data",
            8192,
            repeat(4096, &[(HASH, 512, &one_block), (DATA, half, &nothing)]),
        ),
        ("8000 trees with a top of 512 KiB", 8192, repeat(8000, &[(HASH, 2 * half, &large_top)])),
        (
            "2730 sets with signatures",
            8192,
            repeat(2730, &[(DATA, 512, &nothing), (HASH, 8192, &usual), (SIGNATURE, 512, &small)]),
        ),
        ("8000 trees", 8192, repeat(8000, &[(HASH, 8192, &usual)])),
        ("300 signatures of 4 MiB", 1024, repeat(300, &[(SIGNATURE, 4 * MIB, &too_long)])),
        ("300 signatures of 512 KiB", 1024, repeat(300, &[(SIGNATURE, 4 * MIB, &longest)])),
        ("300 signatures with a key of 512 KiB", 1024, repeat(300, &[(SIGNATURE, 4 * MIB, &key)])),
    ];
    for (name, entries, parts) in rows {
        let parts: Vec<_> = parts.iter().map(|(name, size, content)| (*name, *size, content)).collect();
        let made = Made::new(entries, &parts);
        let (report, found) = peak(|| inspect(&Image::new(Box::new(made.clone())).unwrap()));
        table.add(&format!("heap, inspect, {name}"), found, if entries > 128 { TABLE } else { INSPECT });
        let read = made.bytes.swap(0, Ordering::Relaxed) as u64;
        table.add(&format!("bytes read, inspect, {name}"), read, READ);
        assert!(report.verity.len() <= 65 && report.findings.len() < 1000, "{name}");
        let (outcome, _) = peak(|| verify(&Image::new(Box::new(made.clone())).unwrap(), None, 1));
        assert_ne!(outcome, Outcome::Verified, "{name}");
        table.add(&format!("bytes read, verify, {name}"), made.bytes.swap(0, Ordering::Relaxed) as u64, READ);
        let reads = made.reads.load(Ordering::Relaxed);
        // most to see that nothing is between superblock and tree, which is read 512 bytes at a time
        assert!(reads < 250_000, "{name}: {reads}");
        println!("{name}: {reads} reads, {} findings", report.findings.len());
    }
}

/// Every hostile image: its own command as it was meant, and inspect; the worst of each.
fn hostile(table: &mut Table, starter: &mut Starter) {
    let images = support::hostile::all();
    let count = images.len();
    let mut set = (0, String::new());
    let mut heap = (0, String::new());
    for image in images {
        let folder = Folder::new();
        let path = image.make(folder.path());
        let args = image.args(folder.path(), &path);
        let (found, _) = starter.resident(&args.iter().map(String::as_str).collect::<Vec<_>>());
        set = set.max((found, image.id.clone()));
        // what is packed is unpacked to a file first, within bounds of its own
        let packed = ddi_core::steps::ImageFile::open(&path).is_ok_and(|file| file.compression().is_some());
        if packed || !fs::metadata(&path).is_ok_and(|meta| meta.is_file()) {
            continue;
        }
        let (_, found) = peak(|| Image::open(&path).map(|image| drop(inspect(&image))));
        heap = heap.max((found, image.id.clone()));
    }
    table.add(&format!("heap, inspect, worst of {count} hostile images ({})", heap.1), heap.0, INSPECT);
    table.add(&format!("resident, worst of {count} hostile images ({})", set.1), set.0, RESIDENT);
}
