//! `ddi table`: the map is that of the tools of others, the script makes the same table, and a repair never leaves less
//! than one good copy.

use std::fs;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use ddi_gpt::{Attributes, BlockSize, Builder, Guid, Mode, NewPartition, PartitionType};
use serde_json::json;

use crate::hostile::faults::{FAULTS, assert_at_least, assert_told, at_every_call};
use crate::hostile::format_faults::strace_works;
use crate::support::schema::SCHEMAS;
use crate::support::{Chance, Ended, Folder, corpus, ddi, ddi_quickly, require_tool, run};

const SIZE: u64 = 8 << 20;

fn builder(disk_size: u64) -> Builder {
    let kind = |name: &str| PartitionType::from_name(name, None).unwrap().guid().unwrap();
    let partition = |name, number: u128| NewPartition::new(kind(name), Guid::from_u128(number << 64 | 77));
    Builder::new(disk_size, BlockSize::B512, Guid::from_u128(99 << 64 | 1))
        .partition(partition("esp", 1).size(1 << 20).name("a \"b\" \\ $x `y` ü".parse().unwrap()))
        .partition(
            partition("root-x86-64", 2)
                .size(1 << 20)
                .number(4)
                .attributes(Attributes(7 | 1 << 60 | 1 << 63))
                .name("root=1,2:3 #".parse().unwrap()),
        )
        .partition(partition("swap", 3).size(4096))
}

/// A disk with noise in its partitions and everywhere else but for the table.
fn disk(size: u64) -> Vec<u8> {
    let mut bytes = builder(size).build().unwrap().to_disk();
    let len = bytes.len();
    let noise = Chance(7).bytes(len - (1 << 20) - 40 * 512);
    bytes[1 << 20..len - 40 * 512].copy_from_slice(&noise);
    bytes[..440].fill(0x90);
    bytes
}

fn table(image: &str, more: &[&str]) -> Ended {
    ddi(["table", image].iter().chain(more))
}

/// Looks at a table as other tools do: they find nothing wrong.
fn assert_clean(image: &str) {
    if require_tool("sgdisk") {
        let said = run("sgdisk", ["-v", image]).unwrap();
        assert!(said.contains("No problems found"), "{said}");
    }
    if require_tool("sfdisk") {
        let ended = run("sfdisk", ["--verify", image]);
        assert!(ended.ok() && ended.stdout.contains("No errors detected"), "{ended:?}");
    }
}

#[test]
fn a_map_and_its_free_space() {
    let folder = Folder::new();
    let image = folder.write("disk.raw", &disk(SIZE));
    let ended = table(&image, &[]);
    assert!(ended.ok(), "{ended:?}");
    for part in ["|.", "1111", "free", "esp", "a \"b\" \\\\ $x `y` ü", "root-x86-64", "intact"] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    let ended = table(&image, &["--json"]);
    assert_eq!(SCHEMAS.check_stdout(&ended, "table"), ["table"].into());
    let found = ended.json();
    assert_eq!(found["partitions"][2]["number"], 4);
    assert_eq!(found["partitions"][2]["attributes"], "0x9000000000000007");
    // all of what may be used is a partition or free
    let bytes = |rows: &serde_json::Value| -> u64 {
        rows.as_array().unwrap().iter().map(|row| row["size"].as_u64().unwrap()).sum()
    };
    let usable = found["lastUsableLba"].as_u64().unwrap() + 1 - found["firstUsableLba"].as_u64().unwrap();
    assert_eq!(bytes(&found["partitions"]) + bytes(&found["free"]), usable * 512);
}

/// The script makes the same table on an empty image, byte for byte.
#[test]
fn sfdisk_makes_the_same_table_of_a_dump() {
    if !require_tool("sfdisk") {
        return;
    }
    let folder = Folder::new();
    for (name, builder) in [
        ("disk.raw", builder(SIZE)),
        ("sda1", builder(64 << 20)),
        ("odd name:1, size=3", builder(SIZE)),
        ("small", Builder::new(1 << 20, BlockSize::B512, Guid::from_u128(1 << 100))),
        ("long", builder(SIZE).entries(256, 128)),
    ] {
        let made = builder.build().unwrap().to_disk();
        let image = folder.write(name, &made);
        let script = table(&image, &["--dump"]).unwrap();
        let other = folder.file("other.raw");
        fs::File::create(&other).unwrap().set_len(made.len() as u64).unwrap();
        let stdin = fs::File::open(folder.write("script", script.as_bytes())).unwrap();
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
        let output = Command::new("sfdisk")
            .args(["--no-reread", "--no-tell-kernel", "-q", &other])
            .env("PATH", path)
            .stdin(stdin)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert!(output.status.success(), "{script}{output:?}");
        assert!(fs::read(&other).unwrap() == made, "{name}: {script}");
        fs::remove_file(other).unwrap();
    }
    // and reads back what it wrote itself
    let image = folder.write("disk.raw", &disk(SIZE));
    let ours = table(&image, &["--dump"]).unwrap();
    let theirs = run("sfdisk", ["--dump", &image]).unwrap();
    let bare = |text: &str| {
        text.lines()
            .filter(|line| !line.contains("device:"))
            .map(|line| line.replace(&image, "disk.raw"))
            .collect::<Vec<_>>()
    };
    // names and attributes are spelled in more than one way
    let places = |text: &str| -> Vec<String> {
        bare(text).iter().map(|line| line.split(", name=").next().unwrap().to_owned()).collect()
    };
    assert_eq!(places(&ours), places(&theirs));
}

#[test]
fn what_sfdisk_cannot_be_told_is_refused() {
    let folder = Folder::new();
    let odd = |change: &dyn Fn(NewPartition) -> NewPartition| {
        let partition = NewPartition::new(Guid::from_u128(5), Guid::from_u128(6)).size(4096);
        builder(SIZE).partition(change(partition)).build().unwrap().to_disk()
    };
    let mut units = [0_u16; 36];
    units[0] = 0xd800;
    let lone = ddi_gpt::Name::from_units(units);
    units = [0; 36];
    (units[0], units[5]) = (65, 66);
    let hidden = ddi_gpt::Name::from_units(units);
    for (bytes, what) in [
        (odd(&|it| it.attributes(Attributes(8))), "bits 3 to 47"),
        (odd(&|it| it.name(lone)), "not UTF-16"),
        (odd(&|it| it.name(hidden)), "behind its end"),
        (builder(SIZE).entries(64, 256).build().unwrap().to_disk(), "256 bytes"),
    ] {
        let ended = table(&folder.write("disk.raw", &bytes), &["--dump"]);
        assert_eq!((ended.code, &*ended.stdout), (Some(1), ""), "{what}: {ended:?}");
        assert!(ended.stderr.contains(what), "{ended:?}");
    }
}

/// A disk that is to be repaired.
struct Damage {
    what: &'static str,
    bytes: Vec<u8>,
    options: &'static [&'static str],
    /// What is done, by its codes.
    steps: &'static [&'static str],
    /// The result is the disk as it was.
    is_as_before: bool,
}

fn damages() -> Vec<Damage> {
    let good = disk(SIZE);
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        bytes
    };
    let last = good.len() - 512;
    let resized = |size: usize| {
        let mut bytes = good.clone();
        bytes.resize(size, 0);
        bytes
    };
    let cut = {
        // what is cut off is free
        let mut bytes = disk(SIZE);
        bytes.truncate(5 << 20);
        bytes
    };
    let mbr: &[&str] = &["--protective-mbr"];
    let moved: &[&str] = &["move-backup", "last-usable", "protective-mbr"];
    let damage =
        |what, bytes, options, steps| Damage { what, bytes, options, steps, is_as_before: steps.len() == 1 };
    vec![
        damage("primary header gone", with(&|it| it[512..1024].fill(0)), &[], &["primary"]),
        damage("primary array damaged", with(&|it| it[1024 + 130] ^= 1), &[], &["primary"]),
        damage("backup header gone", with(&|it| it[last..].fill(0)), &[], &["backup"]),
        damage(
            "backup array damaged",
            with(&|it| it[last - 16384] ^= 1),
            &["--from", "primary"],
            &["backup"],
        ),
        damage("grown", resized(16 << 20), mbr, moved),
        damage("grown by a block", resized(good.len() + 512), mbr, moved),
        damage("cut off", cut, mbr, &["backup", "move-backup", "last-usable", "protective-mbr"]),
    ]
}

#[test]
fn a_damaged_table_is_repaired_and_there_is_a_way_back() {
    let good = disk(SIZE);
    for Damage { what, bytes: damaged, options, steps, is_as_before } in damages() {
        let folder = Folder::new();
        let image = folder.write("disk.raw", &damaged);
        let repair = |more: &[&str]| table(&image, &[&["--repair"], options, more].concat());
        // shown alone
        let ended = repair(&[]);
        assert_eq!(ended.code, Some(1), "{what}: {ended:?}");
        assert!(ended.stdout.contains("Nothing was written"), "{ended:?}");
        let ended = repair(&["--json"]);
        assert_eq!(SCHEMAS.check_stdout(&ended, "table-repair"), ["table-repair"].into());
        let found: Vec<_> =
            ended.json()["steps"].as_array().unwrap().iter().map(|it| it["code"].clone()).collect();
        assert_eq!(found, steps, "{what}");
        assert!(fs::read(&image).unwrap() == damaged && folder.names() == ["disk.raw"]);
        // done
        let ended = repair(&["--yes"]);
        assert!(ended.ok(), "{what}: {ended:?}");
        let repaired = fs::read(&image).unwrap();
        assert!(!is_as_before || repaired == good, "{what}");
        assert!(
            repaired[1 << 20..4 << 20] == good[1 << 20..4 << 20] && repaired[..440] == good[..440],
            "{what}"
        );
        assert_clean(&image);
        assert_eq!(table(&image, &["--json"]).json()["condition"], "intact");
        let undo = folder.file("disk.raw.table-undo.json");
        SCHEMAS.check(&serde_json::from_slice(&fs::read(&undo).unwrap()).unwrap(), "table-undo");
        // again there is nothing to do
        let ended = repair(&["--yes"]);
        assert!(ended.ok() && ended.stdout.contains("good, equal and in their places"), "{ended:?}");
        // and back
        let restore = |more: &[&str]| table(&image, &[&["--restore", &undo], more].concat());
        assert_eq!(restore(&[]).code, Some(1));
        assert!(fs::read(&image).unwrap() == repaired);
        let ended = restore(&["--yes", "--json"]);
        assert_eq!(SCHEMAS.check_stdout(&ended, "table-restore"), ["table-restore"].into());
        assert!(ended.ok() && fs::read(&image).unwrap() == damaged, "{what}: {ended:?}");
        assert!(restore(&["--yes"]).ok());
    }
}

/// The bytes are those that sfdisk writes, and the partitions those of sgdisk, which puts the array elsewhere.
#[test]
fn a_grown_disk_is_repaired_as_by_others() {
    if !require_tool("sfdisk") || !require_tool("sgdisk") {
        return;
    }
    let folder = Folder::new();
    for more in [512, 4096, 1 << 20, 100 << 20] {
        let mut bytes = disk(SIZE);
        bytes.resize(bytes.len() + more, 0);
        let [ours, by_sfdisk, by_sgdisk] = ["a", "b", "c"].map(|name| folder.write(name, &bytes));
        assert!(
            table(&ours, &["--repair", "--yes", "--protective-mbr", "--undo", &folder.file("undo")]).ok()
        );
        run("sfdisk", ["-q", "--relocate", "gpt-bak-std", &by_sfdisk]).unwrap();
        run("sgdisk", ["-e", &by_sgdisk]).unwrap();
        let [ours, by_sfdisk, by_sgdisk] = [ours, by_sfdisk, by_sgdisk].map(|path| fs::read(path).unwrap());
        assert!(ours == by_sfdisk, "{more}");
        assert_eq!(partitions(&ours), partitions(&by_sgdisk));
        fs::remove_file(folder.file("undo")).unwrap();
    }
}

#[test]
fn a_repair_is_refused_with_one_clear_error() {
    let folder = Folder::new();
    let refused = |bytes: &[u8], more: &[&str], code: i32, what: &str| {
        let image = folder.write("disk.raw", bytes);
        let ended = table(&image, &[&["--repair", "--yes", "--json"], more].concat());
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stderr.contains(what), "{what}: {ended:?}");
        assert_eq!(SCHEMAS.check_stdout(&ended, "error"), ["error"].into());
        assert!(fs::read(&image).unwrap() == bytes);
    };
    let mut both = disk(SIZE);
    let last = both.len() - 512;
    both[1024 + 5] ^= 1;
    both[last + 40] ^= 1;
    refused(&both, &[], 1, "CRC");
    refused(&[0; 1 << 20], &[], 1, "no GUID partition table");
    refused(&[], &[], 2, "is empty");
    // a partition would end past the end
    refused(&disk(SIZE)[..2 << 20], &[], 1, "partition");
    // both good, and not the same
    let mut differ = disk(SIZE);
    let other = builder(SIZE).partition(NewPartition::new(Guid::from_u128(5), Guid::from_u128(6)).size(4096));
    let other = other.build().unwrap().to_disk();
    differ[last - 16384..].copy_from_slice(&other[last - 16384..]);
    refused(&differ, &[], 1, "differ");
    let image = folder.write("disk.raw", &differ);
    // the way back is not written over
    folder.write("disk.raw.table-undo.json", b"{}");
    let ended = table(&image, &["--repair", "--from", "backup", "--yes"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("is there already") && fs::read(&image).unwrap() == differ, "{ended:?}");
    let ended = table(&image, &["--repair", "--from", "backup", "--yes", "--undo", &image]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let undo = folder.file("undo");
    assert!(table(&image, &["--repair", "--from", "backup", "--yes", "--undo", &undo]).ok());
    let repaired = fs::read(&image).unwrap();
    assert!(repaired[512..17408] != differ[512..17408] && repaired[17408..] == differ[17408..]);
    // and is that of one image alone
    let mut changed = repaired.clone();
    changed[600] ^= 1;
    for (bytes, what) in [
        (&changed, "changed since"),
        (&disk(SIZE * 2), "bytes, and"),
        (&vec![3; SIZE as usize], "of another image"),
    ] {
        let image = folder.write("other.raw", bytes);
        let ended = table(&image, &["--restore", &undo, "--yes"]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(what) && fs::read(&image).unwrap() == *bytes, "{ended:?}");
    }
    let mut nonsense = json!({"schema": "ddi.table-undo/1", "size": SIZE, "pieces": [{"offset": u64::MAX, "old": "00", "new": "00"}]});
    for _ in 0..2 {
        let path = folder.write("nonsense", nonsense.to_string().as_bytes());
        assert_eq!(table(&image, &["--restore", &path, "--yes"]).code, Some(2));
        nonsense["pieces"][0] = json!({"offset": 0, "old": "0000", "new": "00"});
    }
    assert_eq!(table(&image, &["--restore", &image, "--yes"]).code, Some(2));
    for more in [&["--dump", "--json"][..], &["--from", "primary"], &["--sector-size", "7"], &["--undo", "x"]]
    {
        assert_eq!(table(&image, more).code, Some(2), "{more:?}");
    }
}

/// Killed at every write and sync, and with each of them failing: one copy is good, and the same command again ends it.
#[test]
fn k1_k2_k3_one_copy_is_good_at_any_moment() {
    if !strace_works() {
        return;
    }
    let folder = Folder::new();
    fs::create_dir(folder.file("tmp")).unwrap();
    for Damage { what, bytes: damaged, options, .. } in damages() {
        // the others are written in the same order
        if ["primary array damaged", "backup header gone", "grown"].contains(&what) {
            continue;
        }
        let image = folder.write("disk.raw", &damaged);
        let undo = folder.file("undo");
        let args = [&["table", &image, "--repair", "--yes", "--undo", &undo], options].concat();
        let _ = fs::remove_file(&undo);
        assert!(ddi(&args).ok());
        let repaired = fs::read(&image).unwrap();
        let prepare = || {
            let _ = fs::remove_file(&undo);
            fs::write(&image, &damaged).unwrap();
        };
        let wanted = partitions(&repaired).unwrap();
        for kind in FAULTS {
            let calls = ["pwrite64", "fsync", "linkat", "write"];
            let faults = at_every_call(kind, &folder, (&calls, &args), prepare, |ended, fault| {
                let what = format!("{what}: {fault}: {ended:?}");
                let found = fs::read(&image).unwrap();
                assert_eq!(partitions(&found).as_ref(), Some(&wanted), "{what}");
                // nothing is written before there is a way back
                assert!(found == damaged || fs::exists(&undo).unwrap(), "{what}");
                if fault.is_error() && fault.call != "write" {
                    assert_told(ended, fault);
                }
                if fs::exists(&undo).unwrap() {
                    assert!(table(&image, &["--restore", &undo, "--yes"]).ok(), "{what}");
                    assert!(fs::read(&image).unwrap() == damaged, "{what}");
                    fs::write(&image, &found).unwrap();
                    fs::remove_file(&undo).unwrap();
                }
                assert!(ddi(&args).ok(), "{what}");
                assert!(fs::read(&image).unwrap() == repaired, "{what}");
            });
            assert_at_least(&faults, &[("pwrite64", 1), ("fsync", 3), ("linkat", 1)]);
        }
    }
}

fn partitions(bytes: &[u8]) -> Option<Vec<(u32, u64, u64)>> {
    let read = |offset: u64, buf: &mut [u8]| {
        buf.copy_from_slice(&bytes[offset as usize..][..buf.len()]);
        Ok::<_, ()>(())
    };
    let table = ddi_gpt::examine(bytes.len() as u64, None, read).unwrap().gpt(Mode::Tolerant).ok()?;
    Some(table.partitions().iter().map(|it| (it.number, it.range.offset, it.range.size)).collect())
}

/// Every image of the corpus, good or hostile: an answer at once, and a repair of a copy that changes no partition.
#[test]
fn tables_of_the_corpus() {
    let Some(corpus) = corpus() else { return };
    let folder = Folder::new();
    let mut repaired = 0;
    for entry in fs::read_dir(corpus.join("images")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.to_str().unwrap();
        if !path.is_file() || fs::metadata(&path).unwrap().len() > 64 << 20 {
            continue;
        }
        for more in [&["--json"][..], &["--dump"], &[]] {
            let ended = ddi_quickly(["table", name].iter().chain(more));
            assert!(matches!(ended.code, Some(0..=2)), "{ended:?}");
            assert!(ended.ok() || ended.stderr.lines().count() <= 2, "{ended:?}");
        }
        let before = fs::read(&path).unwrap();
        let image = folder.write("image.raw", &before);
        let undo = folder.file("undo");
        let ended = ddi_quickly(["table", &image, "--repair", "--yes", "--protective-mbr", "--undo", &undo]);
        assert!(matches!(ended.code, Some(0..=2)), "{name}: {ended:?}");
        if !fs::exists(&undo).unwrap() {
            assert!(fs::read(&image).unwrap() == before, "{name}");
            continue;
        }
        assert!(ended.ok(), "{name}: {ended:?}");
        repaired += 1;
        if let Some(partitions) = partitions(&before) {
            let after = fs::read(&image).unwrap();
            for (_, offset, size) in partitions {
                let range = offset as usize..(offset + size) as usize;
                assert!(before[range.clone()] == after[range], "{name}");
            }
        }
        fs::remove_file(undo).unwrap();
    }
    println!("{repaired} repaired");
}

/// The table of a disk of 8 EiB less a block is told; a sparse file has no such size everywhere.
#[test]
fn hostile_sizes() {
    let folder = Folder::new();
    let image = folder.file("disk.raw");
    let file = fs::File::create(&image).unwrap();
    let size = 1_u64 << 40;
    file.set_len(size).unwrap();
    for (offset, bytes) in builder(size).build().unwrap().writes() {
        file.write_all_at(bytes, offset).unwrap();
    }
    let found = ddi_quickly(["table", &image, "--json"]).json();
    assert_eq!(found["size"], size);
}
