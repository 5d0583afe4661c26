//! `ddi split`: every partition becomes a file with its bytes, complete or absent, and the image stays as it is.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

use ddi_gpt::{BlockSize, Builder, Guid, NewPartition, PartitionType};

use crate::hostile::faults::{FAULTS, assert_at_least, assert_told, at_every_call};
use crate::hostile::format_faults::strace_works;
use crate::support::schema::SCHEMAS;
use crate::support::{Chance, Ended, Folder, ddi, ddi_quickly, hostile, require_tool, run};

fn guid(kind: &str) -> Guid {
    PartitionType::from_name(kind, None).unwrap().guid().unwrap()
}

/// A type that nobody knows.
const ODD: u128 = 5;

/// Two partitions of one type, one of an unknown type, and one with holes; the numbers are not those of their places.
fn builder(size: u64) -> Builder {
    let new = |kind, number: u128| NewPartition::new(kind, Guid::from_u128(number << 64 | 77));
    Builder::new(size, BlockSize::B512, Guid::from_u128(1))
        .partition(new(guid("esp"), 1).size(1 << 20))
        .partition(new(guid("linux-generic"), 2).size(64 << 10).number(7))
        .partition(new(guid("linux-generic"), 3).size(32 << 10).number(4))
        .partition(new(Guid::from_u128(ODD), 4).size(512))
        .partition(new(guid("home"), 5).size(2 << 20))
}

fn names() -> [(u32, String); 5] {
    let odd = Guid::from_u128(ODD);
    [
        (1, "disk.esp.raw".into()),
        (2, format!("disk.{odd}.raw")),
        (3, "disk.home.raw".into()),
        (4, "disk.linux-generic.4.raw".into()),
        (7, "disk.linux-generic.7.raw".into()),
    ]
}

/// Noise in all partitions but for the last, which has a block in its middle and one at its end.
fn disk(size: u64) -> Vec<u8> {
    let made = builder(size).build().unwrap();
    let mut bytes = made.to_disk();
    for partition in made.gpt().partitions() {
        let all = partition.range.offset as usize..partition.range.end() as usize;
        let noise = Chance(partition.number.into()).bytes(all.len());
        match partition.number {
            3 => {
                for at in [all.start + (1 << 20) + 4096, all.end - 4096] {
                    bytes[at..at + 4096].copy_from_slice(&noise[..4096]);
                }
            }
            _ => bytes[all].copy_from_slice(&noise),
        }
    }
    bytes
}

fn split(image: &str, output: &str, more: &[&str]) -> Ended {
    ddi(["split", image, "--output", output].iter().chain(more))
}

fn out(folder: &Folder) -> String {
    let out = folder.file("out");
    let _ = fs::remove_dir_all(&out);
    fs::create_dir(&out).unwrap();
    out
}

fn is_empty(folder: &str) -> bool {
    fs::read_dir(folder).unwrap().next().is_none()
}

#[test]
fn each_file_has_the_bytes_of_its_partition() {
    let folder = Folder::new();
    let bytes = disk(8 << 20);
    let image = folder.write("disk.raw", &bytes);
    fs::set_permissions(&image, fs::Permissions::from_mode(0o444)).unwrap();
    let out = out(&folder);
    let ended = split(&image, &out, &["--json"]);
    assert!(ended.ok(), "{ended:?}");
    assert_eq!(SCHEMAS.check_stdout(&ended, "split"), ["split"].into());
    let (told, table) = (ended.json(), ddi(["table", &image, "--json"]).json());
    let (told, table) = (told["files"].as_array().unwrap(), table["partitions"].as_array().unwrap());
    assert_eq!((told.len(), table.len()), (5, 5));
    for ((file, row), (number, name)) in told.iter().zip(table).zip(names()) {
        for key in ["number", "type", "typeUuid", "uuid", "label", "offset", "size"] {
            assert_eq!(file[key], row[key], "{key}");
        }
        let path = format!("{out}/{name}");
        assert_eq!((&file["number"], &file["path"]), (&number.into(), &path.clone().into()));
        let [offset, size] = ["offset", "size"].map(|key| file[key].as_u64().unwrap());
        assert!(fs::read(&path).unwrap() == bytes[offset as usize..(offset + size) as usize], "{name}");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o111, 0);
    }
    assert_eq!(fs::read_dir(&out).unwrap().count(), 5);
    // zeros are holes, whatever they were in the image
    let home = fs::metadata(format!("{out}/disk.home.raw")).unwrap();
    assert!(home.blocks() * 512 <= 64 << 10, "{home:?}");
    assert!(fs::read(&image).unwrap() == bytes);
}

/// sfdisk and dd, as people do it today.
#[test]
fn sfdisk_and_dd_make_the_same_files() {
    if !require_tool("sfdisk") || !require_tool("dd") {
        return;
    }
    let folder = Folder::new();
    let image = folder.write("disk.raw", &disk(8 << 20));
    let out = out(&folder);
    split(&image, &out, &[]).unwrap();
    let table: serde_json::Value = serde_json::from_str(&run("sfdisk", ["--json", &image]).unwrap()).unwrap();
    let rows = table["partitiontable"]["partitions"].as_array().unwrap();
    for (number, name) in names() {
        let node = format!("{image}{number}");
        let row = rows.iter().find(|row| row["node"] == *node).unwrap();
        let theirs = folder.file("theirs");
        let args = [
            format!("if={image}"),
            format!("of={theirs}"),
            format!("skip={}", row["start"]),
            format!("count={}", row["size"]),
        ];
        run("dd", args.iter().map(String::as_str).chain(["bs=512", "status=none"])).unwrap();
        assert!(fs::read(theirs).unwrap() == fs::read(format!("{out}/{name}")).unwrap(), "{name}");
    }
}

/// `ddi build --split` gives them the same names and bytes.
#[test]
fn build_makes_the_same_files() {
    let folder = Folder::new();
    for name in ["definitions", "made"] {
        fs::create_dir(folder.file(name)).unwrap();
    }
    let data = folder.write("data", &Chance(3).bytes(40 * 4096));
    for (name, text) in [
        ("1-root", format!("Type=root-x86-64\nVerity=data\nVerityMatchKey=a\nCopyBlocks={data}\n")),
        ("2-hash", "Type=root-x86-64-verity\nVerity=hash\nVerityMatchKey=a\n".into()),
        ("3-home", "Type=home\nSizeMinBytes=1M\nSizeMaxBytes=1M\n".into()),
    ] {
        folder.write(&format!("definitions/{name}.conf"), format!("[Partition]\n{text}").as_bytes());
    }
    for image in ["os_1.raw", "os.img"] {
        let made = folder.file(&format!("made/{image}"));
        let definitions = folder.file("definitions");
        let built = ddi(["build", "--split", "--json", "--definitions", &definitions, &made]);
        assert!(built.ok(), "{built:?}");
        let out = out(&folder);
        split(&made, &out, &[]).unwrap();
        let built = built.json();
        let files = built["split"].as_array().unwrap();
        assert_eq!((files.len(), fs::read_dir(&out).unwrap().count()), (3, 3));
        for file in files {
            let path = file.as_str().unwrap();
            let name = path.rsplit_once('/').unwrap().1;
            assert!(fs::read(path).unwrap() == fs::read(format!("{out}/{name}")).unwrap(), "{name}");
        }
        // and without --output it is the same names, which are there
        let ended = ddi(["split", &made]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
    }
}

/// As sha256sum reads them, and last.
#[test]
fn sums_are_those_of_the_files() {
    if !require_tool("sha256sum") {
        return;
    }
    let folder = Folder::new();
    let image = folder.write("disk.raw", &disk(8 << 20));
    let out = out(&folder);
    let ended = split(&image, &out, &["--sums", "--json"]);
    assert!(ended.ok(), "{ended:?}");
    assert_eq!(SCHEMAS.check_stdout(&ended, "split"), ["split"].into());
    let sums = format!("{out}/SHA256SUMS");
    assert_eq!(ended.json()["sums"], *sums);
    let text = fs::read_to_string(&sums).unwrap();
    let listed: Vec<_> = text.lines().map(|line| line.split_once(" *").unwrap().1).collect();
    assert!(listed.is_sorted() && listed.len() == 5, "{text}");
    let script = "cd \"$1\" && sha256sum --strict -c SHA256SUMS";
    run("sh", ["-c", script, "sh", &out]).unwrap();
    // refused before anything is made
    for name in ["SHA256SUMS", "disk.esp.raw", "a/b", ".."] {
        for (_, name) in names() {
            let _ = fs::remove_file(format!("{out}/{name}"));
        }
        let ended = split(&image, &out, &[&format!("--sums={name}")]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert_eq!(fs::read_to_string(&sums).unwrap(), text);
        assert_eq!(fs::read_dir(&out).unwrap().count(), 1, "{name}");
    }
}

#[test]
fn compressed_images_and_streams() {
    if !require_tool("xz") {
        return;
    }
    let folder = Folder::new();
    let image = folder.write("disk.raw", &disk(8 << 20));
    run("xz", ["-0k", &image]).unwrap();
    let whole = out(&folder);
    split(&image, &whole, &[]).unwrap();
    let packed = folder.file("packed");
    fs::create_dir(&packed).unwrap();
    split(&format!("{image}.xz"), &packed, &[]).unwrap();
    let streamed = folder.file("streamed");
    fs::create_dir(&streamed).unwrap();
    let script = "exec \"$1\" split - --output \"$2\" <\"$3\"";
    run("sh", ["-c", script, "sh", crate::support::DDI, &streamed, &image]).unwrap();
    for (_, name) in names() {
        let bytes = fs::read(format!("{whole}/{name}")).unwrap();
        assert!(fs::read(format!("{packed}/{name}")).unwrap() == bytes, "{name}");
        let name = name.replacen("disk", "image", 1);
        assert!(fs::read(format!("{streamed}/{name}")).unwrap() == bytes, "{name}");
    }
}

/// Nothing is made where one of the files cannot be, and what is there stays.
#[test]
fn what_is_there_stays() {
    let folder = Folder::new();
    let image = folder.write("disk.raw", &disk(8 << 20));
    for (_, name) in names() {
        for is_link in [false, true] {
            let out = out(&folder);
            let path = format!("{out}/{name}");
            match is_link {
                true => std::os::unix::fs::symlink(&image, &path).unwrap(),
                false => fs::write(&path, "precious").unwrap(),
            }
            let before = fs::read(&path).unwrap();
            let ended = split(&image, &out, &["--json"]);
            assert_eq!(ended.code, Some(2), "{ended:?}");
            assert_eq!(SCHEMAS.check_stdout(&ended, "split"), ["error"].into());
            assert!(ended.stderr.contains(&name), "{ended:?}");
            assert!(fs::read(&path).unwrap() == before);
            assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
        }
    }
    for (output, what) in [(folder.file("none"), "is no folder"), (image.clone(), "is no folder")] {
        let ended = split(&image, &output, &[]);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{ended:?}");
        assert!(ended.stderr.contains(what), "{ended:?}");
    }
    // a name that is too long with that of the partition
    let long = folder.write(&format!("{}.raw", "x".repeat(240)), &disk(8 << 20));
    let out = out(&folder);
    let ended = split(&long, &out, &[]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(is_empty(&out));
}

/// Tables of every kind of nonsense: files within the image, or none.
#[test]
fn hostile_tables() {
    let (mut made, mut refused) = (0, 0);
    for image in hostile::all() {
        let (folder, other) = (Folder::new(), Folder::new());
        let path = image.make(folder.path());
        let out = out(&other);
        let before = fs::metadata(&path).map_or(0, |found| found.len());
        let ended = ddi_quickly(["split", &path, "--output", &out, "--json"]);
        assert!(matches!(ended.code, Some(0..=2)), "{path}: {ended:?}");
        match ended.ok() {
            true => {
                made += 1;
                let sizes = fs::read_dir(&out).unwrap().map(|file| file.unwrap().metadata().unwrap().len());
                assert!(
                    path.ends_with("z") || path.ends_with("zst") || sizes.sum::<u64>() <= before,
                    "{path}"
                );
            }
            false => {
                refused += 1;
                assert!(is_empty(&out), "{path}: {ended:?}");
            }
        }
    }
    assert!(made > 0 && refused > 0, "{made} {refused}");
    // cut off within a partition
    let folder = Folder::new();
    let image = folder.write("disk.raw", &disk(8 << 20)[..2 << 20]);
    let out = out(&folder);
    let ended = split(&image, &out, &[]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(is_empty(&out));
}

/// A partition of nearly 1 TiB with a block in it takes a moment and a block.
#[test]
fn large_holes_are_not_read() {
    let folder = Folder::new();
    let image = folder.file("disk.raw");
    let file = fs::File::create(&image).unwrap();
    let size = 1_u64 << 40;
    if file.set_len(size).is_err() {
        println!("skipped: no file of 1 TiB");
        return;
    }
    let large = NewPartition::new(guid("var"), Guid::from_u128(9)).size(size - (4 << 20));
    let made = Builder::new(size, BlockSize::B512, Guid::from_u128(1)).partition(large).build().unwrap();
    for (offset, bytes) in made.writes() {
        file.write_all_at(bytes, offset).unwrap();
    }
    let place = made.gpt().partitions()[0].range;
    file.write_all_at(b"here", place.offset + (1 << 39)).unwrap();
    let out = out(&folder);
    let ended = ddi_quickly(["split", &image, "--output", &out]);
    assert!(ended.ok(), "{ended:?}");
    let file = fs::File::open(format!("{out}/disk.var.raw")).unwrap();
    let found = file.metadata().unwrap();
    assert!(found.len() == place.size && found.blocks() < 1000, "{found:?}");
    let mut bytes = [0; 4];
    file.read_exact_at(&mut bytes, 1 << 39).unwrap();
    assert_eq!(&bytes, b"here");
}

const CALLS: [&str; 5] = ["pwrite64", "ftruncate", "fsync", "linkat", "pread64"];

/// Killed at every call, and with every call that fails: a file that is there is whole, the sums come last, and after an error
/// there is none.
#[test]
fn k1_k2_k3_each_file_is_complete_or_absent() {
    if !strace_works() {
        return;
    }
    let folder = Folder::new();
    fs::create_dir(folder.file("tmp")).unwrap();
    let bytes = disk(8 << 20);
    let image = folder.write("disk.raw", &bytes);
    let whole_folder = out(&folder);
    split(&image, &whole_folder, &[]).unwrap();
    let whole = names().map(|(_, name)| fs::read(format!("{whole_folder}/{name}")).unwrap());
    let args = ["split", &image, "--output", &whole_folder, "--sums"];
    let sums = format!("{whole_folder}/SHA256SUMS");
    let prepare = || drop(out(&folder));
    for kind in FAULTS {
        let faults = at_every_call(kind, &folder, (&CALLS, &args), prepare, |ended, fault| {
            let what = format!("{fault}: {ended:?}");
            let found = names().map(|(_, name)| fs::read(format!("{whole_folder}/{name}")).ok());
            for (found, whole) in found.iter().zip(&whole) {
                assert!(found.as_ref().is_none_or(|found| found == whole), "{what}");
            }
            let there = fs::read_dir(&whole_folder).unwrap().count();
            let has_sums = fs::exists(&sums).unwrap();
            assert_eq!(there - usize::from(has_sums), found.iter().flatten().count(), "{what}");
            assert!(!(ended.ok() || has_sums) || there == 6, "{what}");
            if fault.is_error() && fault.call != "pread64" {
                assert_told(ended, fault);
            }
            assert!(ended.code.is_none() || ended.ok() || there == 0, "{what}");
            assert!(fs::read(&image).unwrap() == bytes, "{what}");
        });
        assert_at_least(&faults, &[("pwrite64", 6), ("ftruncate", 5), ("fsync", 12), ("linkat", 6)]);
    }
}
