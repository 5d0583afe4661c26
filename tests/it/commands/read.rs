//! `ddi read`: no byte comes out that was not proven, unless that is asked for.

use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};

use ddi_gpt::verity_guids;
use ddi_verity::{Algorithm, HashType, Params, Salt, Superblock};

use crate::support::image::{Image, ImageBuilder, erofs, hash_tree};
use crate::support::{DDI, Ended, Folder, ddi};

fn good() -> Image {
    ImageBuilder::new()
        .partition("esp", "esp", (0..=255).cycle().take(1 << 16).collect())
        .verity("root-x86-64", "os_1", erofs(300, 1))
        .build()
}

/// Exit status and stdout of `ddi read IMAGE` and more arguments.
fn read(path: &str, args: &[&str]) -> (Option<i32>, Vec<u8>, String) {
    let output = Command::new(DDI).args(["read", path]).args(args).output().unwrap();
    (output.status.code(), output.stdout, String::from_utf8(output.stderr).unwrap())
}

#[test]
fn proven_bytes_and_what_is_refused() {
    let folder = Folder::new();
    let image = good();
    let data = erofs(300, 1);
    let path = folder.write("image.raw", &image.bytes);
    let root_hash = image.root_hashes[0].to_string();
    let given = ["--root-hash", root_hash.as_str()];
    let wrong = "11".repeat(32);

    for partition in ["root", "2"] {
        for (range, offset, size) in [
            (0..300 * 4096, "0", None),
            (4095..4097, "4095", Some("2")),
            (9000..300 * 4096, "9000", None),
            (7..7, "7", Some("0")),
        ] {
            let mut args = vec!["--partition", partition, "--offset", offset];
            args.extend(given);
            args.extend(size.iter().flat_map(|size| ["--size", size]));
            let (code, stdout, stderr) = read(&path, &args);
            assert_eq!((code, stderr.as_str()), (Some(0), ""), "{args:?}");
            assert!(stdout == data[range.clone()], "{args:?}");
        }
    }
    let refusals: [(&[&str], i32); 10] = [
        // nobody vouches for the root hash that the image names
        (&["-p", "root"], 3),
        (&["-p", "root", "--root-hash", &wrong], 1),
        // that it is right for usr, as somebody says, is no word about root
        (&["-p", "root", "--usr-hash", &root_hash], 3),
        // not protected, even though the image is
        (&["-p", "esp", "--root-hash", &root_hash], 1),
        (&["-p", "3", "--root-hash", &root_hash], 1),
        (&["-p", "4", "--root-hash", &root_hash, "--integrity-only"], 1),
        // there is no such thing
        (&["-p", "home", "--root-hash", &root_hash], 2),
        (&["-p", "9", "--root-hash", &root_hash], 2),
        (&["-p", "root", "--root-hash", &root_hash, "--offset", "1228800", "--size", "1"], 2),
        (&["-p", "root", "--root-hash", &root_hash, "--unverified"], 2),
    ];
    for (args, expected) in refusals {
        let (code, stdout, stderr) = read(&path, args);
        assert_eq!(code, Some(expected), "{args:?}: {stderr}");
        assert!(stdout.is_empty() && !stderr.is_empty(), "{args:?}: {stderr}");
    }
    let (code, stdout, _) = read(&path, &["-p", "root", "--integrity-only", "--size", "5000"]);
    assert!(code == Some(0) && stdout == data[..5000]);
    // as they are, whatever they are
    let (code, stdout, _) = read(&path, &["-p", "esp", "--unverified", "--offset", "65530"]);
    assert_eq!((code, stdout), (Some(0), vec![250, 251, 252, 253, 254, 255]));
}

#[test]
fn damage_ends_the_output_where_it_is() {
    let folder = Folder::new();
    let image = good();
    let root_hash = image.root_hashes[0].to_string();
    let damaged = image.damage(image.partitions[1].offset + 280 * 4096 + 17);
    let path = folder.write("image.raw", &damaged.bytes);
    let given = ["-p", "root", "--root-hash", root_hash.as_str()];
    let data = erofs(300, 1);

    let (code, stdout, stderr) = read(&path, &given);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("data block 280 "), "{stderr}");
    assert!(stdout.len() <= 280 * 4096 && data.starts_with(&stdout), "what came out is good");
    // blocks that are not damaged can be read
    let (code, stdout, _) = read(&path, &[&given[..], &["--offset", "1150976"]].concat());
    assert!(code == Some(0) && stdout == data[281 * 4096..]);

    // nothing half written is left, and nothing good is lost
    let out = folder.write("out", b"old");
    for (name, left) in [("out", Some(&b"old"[..])), ("new", None)] {
        let file = folder.file(name);
        let (code, stdout, _) = read(&path, &[&given[..], &["--output", &file]].concat());
        assert!(code == Some(1) && stdout.is_empty());
        assert_eq!(fs::read(file).ok().as_deref(), left);
    }
    assert_eq!(folder.names(), ["image.raw", "out"]);
    let good = folder.write("good.raw", &image.bytes);
    for file in [out, folder.file("new")] {
        let (code, ..) = read(&good, &[&given[..], &["-o", &file]].concat());
        assert!(code == Some(0) && fs::read(file).unwrap() == data);
    }
    assert_eq!(folder.names(), ["good.raw", "image.raw", "new", "out"]);
    // not over the image
    let (code, ..) = read(&good, &[&given[..], &["-o", &good]].concat());
    assert!(code == Some(2) && fs::read(&good).unwrap() == image.bytes);
    assert_eq!(read(&good, &[&given[..], &["-o", &folder.file("none/out")]].concat()).0, Some(2));
}

#[test]
fn hash_blocks_are_no_data_even_behind_a_borrowed_superblock() {
    // the hash blocks of level 0 as the data of a tree one level lower: the same root hash
    let data = erofs(300, 1);
    let (root_hash, tree) = hash_tree(&data);
    // superblock, the top block, three blocks of level 0
    assert_eq!(tree.len(), 5 * 4096);
    let mut upper = tree[2 * 4096..].to_vec();
    // and the first block, which no tree covers now, shows a file system
    upper[..4096].copy_from_slice(&erofs(3, 1)[..4096]);
    let salt = Salt::new(&[0x5a; 32]).unwrap();
    let params = Params::new(HashType::Normal, Algorithm::Sha256, 4096, 4096, 3, salt).unwrap();
    let mut hash = vec![0; 4096];
    hash[..512].copy_from_slice(&Superblock { params, uuid: [0x77; 16] }.to_bytes());
    hash.extend_from_slice(&tree[4096..8192]);
    let (data_guid, hash_guid) = verity_guids(root_hash.as_bytes()).unwrap();
    let image = ImageBuilder::new()
        .with_guid("root-x86-64", data_guid, "os", upper)
        .with_guid("root-x86-64-verity", hash_guid, "os_v", hash)
        .build();
    let folder = Folder::new();
    let path = folder.write("image.raw", &image.bytes);
    // block 1 matches the root hash, and must not come out all the same
    let args = ["-p", "root", "--root-hash", &root_hash.to_string(), "--offset", "4096", "--size", "4096"];
    let (code, stdout, stderr) = read(&path, &args);
    assert_eq!((code, stdout.len()), (Some(1), 0), "{stderr}");
}

#[test]
fn bare_image_with_its_tree_behind_it() {
    let folder = Folder::new();
    let data = erofs(20, 1);
    let (root_hash, tree) = hash_tree(&data);
    let path = folder.write("image.raw", &[&data[..], &tree].concat());
    let offset = data.len().to_string();
    let root_hash = root_hash.to_string();
    let args = ["-p", "root", "--hash-offset", &offset, "--root-hash", &root_hash];
    let (code, stdout, stderr) = read(&path, &args);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout == data);
    let verify = |policy: &str| -> Ended {
        ddi(["verify", &path, "--hash-offset", &offset, "--root-hash", &root_hash, "--image-policy", policy])
    };
    assert_eq!(verify("root=verity").code, Some(0));
    assert_eq!(verify("root=signed").code, Some(1));
}

/// A bare image is a root file system: a root hash that is given for usr opens nothing in it, though each block matches.
#[test]
fn a_root_hash_for_usr_is_none_for_a_bare_image() {
    let folder = Folder::new();
    let data = erofs(20, 1);
    let (root_hash, tree) = hash_tree(&data);
    let path = folder.write("image.raw", &[&data[..], &tree].concat());
    let (offset, root_hash) = (data.len().to_string(), root_hash.to_string());
    for (option, is_right) in [("--root-hash", true), ("--usr-hash", false)] {
        let trust = [option, &root_hash[..], "--hash-offset", &offset];
        let (code, stdout, stderr) = read(&path, &[&["-p", "root"], &trust[..]].concat());
        assert_eq!((code == Some(0), stdout == data), (is_right, is_right), "{stderr}");
        assert!(is_right || stdout.is_empty());
        for policy in ["root=verity", "root=verity+signed:usr=verity+absent"] {
            let verified = ddi([&["verify", &path, "--image-policy", policy], &trust[..]].concat());
            assert_eq!(verified.code == Some(0), is_right, "{policy}: {}", verified.stderr);
            let checked = ddi([&["policy", "check", policy, &path], &trust[..]].concat());
            assert_eq!(checked.code == Some(0), is_right, "{policy}: {}", checked.stderr);
        }
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let folder = Folder::new();
    let image = good();
    let path = folder.write("image.raw", &image.bytes);
    let mut child = Command::new(DDI)
        .args(["read", &path, "-p", "root", "--root-hash", &image.root_hashes[0].to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{output:?}");
}

#[test]
fn what_is_no_image_is_not_understood() {
    let folder = Folder::new();
    let text = folder.write("text", b"this is no image\n");
    for args in [&["read", "-p", "root"][..], &["ls"], &["mtree"], &["cat"]] {
        let mut args = args.to_vec();
        args.push(&text);
        args.extend((args[0] == "cat").then_some("/etc/os-release"));
        let ended = ddi(&args);
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{args:?}: {ended:?}");
        let why = "no usable partition table or file system recognised";
        assert_eq!(ended.stderr.matches(why).count(), 1, "{args:?}: {ended:?}");
    }
    // what is broken is another thing, and is said once
    let cut = folder.write("cut", &good().bytes[..2048]);
    let ended = ddi(["read", "-p", "root", &cut]);
    assert_eq!((ended.code, &*ended.stdout), (Some(1), ""), "{ended:?}");
    assert_eq!(ended.stderr.matches("primary header:").count(), 1, "{ended:?}");
}
