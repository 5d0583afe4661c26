//! Images that somebody changed: whatever the bytes, the command ends soon, does not crash, and never says *verified*
//! of data that are not the right ones.

pub(crate) mod faults;
pub(crate) mod format_faults;
mod images;
mod work;

use std::fs;

use crate::support::image::{ImageBuilder, erofs};
use crate::support::{Chance, Folder, ddi_quickly, in_parallel, number_from_env};

/// The exit status of a Rust program that panicked.
const PANIC: Option<i32> = Some(101);

#[test]
fn random_damage_is_never_verified_and_never_a_crash() {
    let image = ImageBuilder::new()
        .partition("esp", "esp", vec![0; 4096])
        .verity("root-x86-64", "os_1", erofs(40, 2))
        .build();
    let root = image.root_hashes[0].to_string();
    let (data, hash) = (image.partitions[1], image.partitions[2]);
    let size = image.bytes.len() as u64;
    // where something is: both tables, the first blocks of each partition
    let places =
        [(0, 34 * 512), (size - 33 * 512, size), (data.offset, data.end()), (hash.offset, hash.end())];
    let folder = Folder::new();
    in_parallel(number_from_env("DDI_MUTATIONS", 400), |number| {
        let mut chance = Chance(number ^ 0xdead);
        let mut bytes = image.bytes.clone();
        for _ in 0..1 + chance.below(4) {
            let (start, end) = *chance.pick(&places);
            let at = (start + chance.below(end - start)) as usize;
            let len = *chance.pick(&[1, 1, 2, 4, 8]);
            let value = chance.next().to_le_bytes();
            let value = *chance.pick(&[value, [0; 8], [0xff; 8], (1u64 << 63).to_le_bytes()]);
            let end = bytes.len().min(at + len);
            bytes[at..end].copy_from_slice(&value[..end - at]);
        }
        let path = folder.write(&format!("{number}.raw"), &bytes);
        let inspected = ddi_quickly(["inspect", &path]);
        assert!(matches!(inspected.code, Some(0..=2)), "{number}: {inspected:?}");
        assert_eq!(inspected.stderr, "", "{number}");
        let verified = ddi_quickly(["verify", &path, "--root-hash", &root]);
        assert!(verified.code.is_some() && verified.code != PANIC, "{number}: {verified:?}");
        if verified.ok() {
            let range = data.offset as usize..data.end() as usize;
            assert!(bytes[range.clone()] == image.bytes[range], "{number}: other data are called verified");
        }
        fs::remove_file(path).unwrap();
    });
}

/// An image with a tree over `data`, and one in which the blocks of level 0 of this tree are the data, with the rest of the
/// tree above them: the same root hash.
fn confused(data: Vec<u8>) -> (Vec<u8>, Vec<u8>, String) {
    use ddi_gpt::{Attributes, BlockSize, Builder, Guid, NewPartition, PartitionType, verity_guids};
    use ddi_verity::{Algorithm, HashType, Layout, Params, Placement, Salt, Superblock};

    let blocks = data.len() as u64 / 4096;
    let image = ImageBuilder::new().verity("root-x86-64", "os_1", data).build();
    let root = image.root_hashes[0];
    let hash = image.partitions[1];
    let params = |blocks| {
        let salt = Salt::new(&[0x5a; 32]).unwrap();
        Params::new(HashType::Normal, Algorithm::Sha256, 4096, 4096, blocks, salt).unwrap()
    };
    let layout = Layout::new(&params(blocks), Placement::Superblock(0)).unwrap();
    let [leaves, top] = layout.levels() else { panic!("{layout:?}") };
    let bytes = |offset: u64, blocks: u64| {
        let start = (hash.offset + offset) as usize;
        image.bytes[start..start + blocks as usize * 4096].to_vec()
    };
    let data = bytes(leaves.offset, leaves.blocks);
    let mut tree = vec![0; 4096];
    tree[..512].copy_from_slice(&Superblock { params: params(leaves.blocks), uuid: [1; 16] }.to_bytes());
    tree.extend(bytes(top.offset, 1));

    let guid = |name: &str| PartitionType::from_name(name, None).unwrap().guid().unwrap();
    let (data_guid, hash_guid) = verity_guids(root.as_bytes()).unwrap();
    let read_only = |p: NewPartition| p.attributes(Attributes::READ_ONLY);
    let table = Builder::new(4 << 20, BlockSize::B512, Guid::from_u128(9))
        .partition(read_only(NewPartition::new(guid("root-x86-64"), data_guid).size(data.len() as u64)))
        .partition(read_only(
            NewPartition::new(guid("root-x86-64-verity"), hash_guid).size(tree.len() as u64),
        ))
        .build()
        .unwrap();
    let mut disk = table.to_disk();
    for (partition, content) in table.gpt().partitions().iter().zip([&data, &tree]) {
        disk[partition.range.offset as usize..][..content.len()].copy_from_slice(content);
    }
    (image.bytes, disk, root.to_string())
}

#[test]
fn hash_blocks_are_not_data() {
    let (good, disk, root) = confused(erofs(1000, 3));
    let folder = Folder::new();
    let path = folder.write("confused.raw", &disk);
    for args in [vec!["--root-hash", &root], vec!["--integrity-only"], vec![]] {
        let ended = ddi_quickly(["verify", &path].iter().chain(&args));
        assert_eq!(ended.code, Some(1), "{args:?}: {ended:?}");
        assert!(ended.stdout.starts_with("NOT PROVEN "), "{ended:?}");
    }
    let unconfused = folder.write("good.raw", &good);
    assert!(ddi_quickly(["verify", &unconfused, "--root-hash", &root]).ok());
}

/// Blocks of the image were chosen so that their digests spell the superblock of a file system that gives no size: each was
/// found by trying, a number at the end of a block of zeros. HFS, HFS Plus, and ext4 with `s_log_block_size` over 21.
#[test]
fn s1_chosen_hash_blocks_are_not_data() {
    let folder = Folder::new();
    for (name, code, chosen) in [
        ("hfs", "content-not-mountable", &[(32, 27_865_348_u64)][..]),
        ("hfsplus", "content-not-mountable", &[(32, 4_341), (33, 670_702_136), (41, 372_888_277)]),
        ("ext4", "content-too-large", &[(32, 2_782_833), (33, 54_804), (35, 1), (43, 0)]),
    ] {
        let mut data = erofs(257, 3);
        for (block, number) in chosen {
            let block = &mut data[block * 4096..][..4096];
            block.fill(0);
            block[4088..].copy_from_slice(&number.to_le_bytes());
        }
        let (good, bad, root) = confused(data);
        let (good, bad) =
            (folder.write(&format!("{name}-good.raw"), &good), folder.write(&format!("{name}.raw"), &bad));
        let commands: [&[&str]; 5] = [
            &["verify"],
            &["policy", "check", "root=verity+signed"],
            &["read", "--partition", "root", "--size", "10"],
            &["inspect"],
            &["ls"],
        ];
        for command in commands {
            let run = |path: &str| {
                ddi_quickly(command.iter().copied().chain([path, "--root-hash", &root]).collect::<Vec<_>>())
            };
            let ended = run(&bad);
            assert_eq!(ended.code, Some(1), "{name} {command:?}: {ended:?}");
            let ended = run(&good);
            assert_eq!(ended.code, Some(0), "{name} {command:?}: {ended:?}");
        }
        // it is known for what it is
        let found = ddi_quickly(["verify", &bad, "--json", "--root-hash", &root]);
        assert!(found.stdout.contains(&format!("\"{code}\"")), "{name}: {found:?}");
    }
}

/// `--data-size` is part of what is trusted: with the right one the data may be anything, with another nothing is proven.
#[test]
fn s1_the_size_of_the_data_can_be_given() {
    let image = ImageBuilder::new().verity("root-x86-64", "os_1", vec![7; 300 * 4096]).build();
    let root = image.root_hashes[0].to_string();
    let folder = Folder::new();
    let path = folder.write("image.raw", &image.bytes);
    let commands: [&[&str]; 4] = [
        &["verify"],
        &["policy", "check", "root=verity+signed"],
        &["read", "--partition", "root", "--size", "10"],
        &["inspect"],
    ];
    for command in commands {
        let run = |more: &[&str]| {
            let args = command.iter().copied().chain([&*path, "--root-hash", &root]);
            ddi_quickly(args.chain(more.iter().copied()).collect::<Vec<_>>())
        };
        for right in ["1228800", "root:1228800"] {
            let ended = run(&["--data-size", right]);
            // what is no file system is nothing that systemd mounts, whatever its size
            let expected = if command == ["inspect"] { 1 } else { 0 };
            assert_eq!(ended.code, Some(expected), "{command:?}: {ended:?}");
        }
        for wrong in [&[][..], &["--data-size", "1228799"], &["--data-size", "usr:1228800"]] {
            let ended = run(wrong);
            assert_eq!(ended.code, Some(1), "{command:?} {wrong:?}: {ended:?}");
        }
        for usage in [&["--data-size", "x"][..], &["--data-size", "1", "--data-size", "root:1"]] {
            let ended = run(usage);
            assert_eq!(ended.code, Some(2), "{command:?} {usage:?}: {ended:?}");
        }
    }
    let ended = ddi_quickly(["verify", &path, "--root-hash", &root, "--data-size", "4096"]);
    assert!(ended.stdout.contains("over 1228800 bytes of data, and 4096 were given"), "{ended:?}");
}
