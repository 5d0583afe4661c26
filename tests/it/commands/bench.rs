//! `ddi bench`: what it prints, not how fast this machine is.

use crate::support::schema::SCHEMAS;
use crate::support::{Chance, Folder, ddi};

#[test]
fn kernels_and_trees_are_measured() {
    let folder = Folder::new();
    // not a whole number of blocks
    let file = folder.write("data", &Chance(1).bytes(300_000));
    let ended =
        ddi(["bench", &file, "--threads", "3", "--hash", "sha512", "--backend", "portable", "--json"]);
    assert!(ended.ok(), "{ended:?}");
    SCHEMAS.check_stdout(&ended, "bench");
    let json = ended.json();
    assert_eq!((&json["hash"], &json["threads"]), (&"sha512".into(), &3.into()));
    let [kernel] = &json["kernels"].as_array().unwrap()[..] else { panic!("{json}") };
    assert_eq!(kernel["kernel"], "portable");
    let trees = &json["trees"];
    assert_eq!((&trees["kernel"], &trees["fromFile"]), (&"portable".into(), &true.into()));
    let runs = trees["runs"].as_array().unwrap();
    assert!(runs.iter().map(|run| run["threads"].as_u64().unwrap()).eq([1, 2, 3]), "{json}");
    for speed in runs.iter().chain([kernel]) {
        let [low, median, high] = ["low", "bytesPerSecond", "high"].map(|key| speed[key].as_u64().unwrap());
        assert!(0 < low && low <= median && median <= high, "{json}");
    }

    let text = ddi(["bench", &file, "--threads", "1"]).unwrap();
    for line in ["KERNEL", "portable ", "whole trees over 292.0K from the file", "THREADS"] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn what_cannot_be_measured_is_told_at_once() {
    let folder = Folder::new();
    let (short, nothing) = (folder.write("short", &[0; 4095]), folder.file("nothing"));
    for (args, reason) in [
        (&["--hash", "sha1"][..], "sha1: not one of sha256, sha384, sha512"),
        (&["--backend", "magic"], "there is no kernel magic for sha256; this machine can run portable"),
        (&["--threads", "0"], "0 is not in 1..=1024"),
        (&[&nothing], "No such file"),
        (&[&short], "less than one block of 4096 bytes"),
        (&["/dev/null"], "is neither a regular file nor a block device"),
    ] {
        let ended = ddi(["bench"].into_iter().chain(args.iter().copied()));
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{ended:?}");
        assert!(ended.stderr.contains(reason), "{ended:?}");
    }
}
