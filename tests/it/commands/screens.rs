//! What people see on a terminal: lines that fit, colours that are ours alone, pictures, several images, and manners.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use unicode_width::UnicodeWidthChar;

use crate::properties::seeds::unfit_in_lines;
use crate::support::image::{ImageBuilder, erofs};
use crate::support::schema::SCHEMAS;
use crate::support::{DDI, Ended, Folder, corpus, ddi, in_parallel, require_tool, run, run_within};

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sample.raw");
const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sample.crt");

fn width(line: &str) -> usize {
    line.chars().map(|c| c.width().unwrap_or(1)).sum()
}

#[track_caller]
fn assert_fits(text: &str, columns: usize, what: &str) {
    let longest = text.lines().max_by_key(|line| width(line)).unwrap_or_default();
    assert!(width(longest) <= columns, "{what}: {} of {columns} columns: {longest}\n{text}", width(longest));
}

/// Runs `ddi` for a reader with so many columns and this locale.
fn on(columns: usize, locale: &str, args: &[&str]) -> Ended {
    let mut command = Command::new("env");
    command.args([&format!("LC_ALL={locale}"), DDI]).args(args).env("COLUMNS", columns.to_string());
    run_within(command, Duration::from_secs(60))
}

/// Runs a command line in a terminal of so many columns.
fn in_terminal(columns: usize, line: &str) -> String {
    let mut command = Command::new("env");
    let line = format!("stty cols {columns} rows 24; {line}");
    command.args([
        "-u",
        "COLUMNS",
        "-u",
        "NO_COLOR",
        "LC_ALL=C.UTF-8",
        "TERM=xterm",
        "script",
        "-qec",
        &line,
        "/dev/null",
    ]);
    run_within(command, Duration::from_secs(60)).stdout.replace('\r', "")
}

/// Text without the colours that are ours; whatever else begins with ESC stays.
fn without_colors(text: &str) -> String {
    ["0", "2", "31", "32", "33"]
        .iter()
        .fold(text.to_owned(), |text, code| text.replace(&format!("\x1b[{code}m"), ""))
}

#[test]
fn first_screens_are_what_they_were() {
    for columns in [40, 80, 120] {
        let golden = format!("{}/tests/data/screen-{columns}.txt", env!("CARGO_MANIFEST_DIR"));
        let mut command = Command::new("env");
        command
            .args([
                "LC_ALL=C.UTF-8",
                DDI,
                "inspect",
                "tests/data/sample.raw",
                "--certificate",
                "tests/data/sample.crt",
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("COLUMNS", columns.to_string());
        let shown = run_within(command, Duration::from_secs(10)).stdout;
        assert_eq!(shown, fs::read_to_string(&golden).unwrap(), "{golden}");
        assert!(shown.lines().count() <= 24, "{shown}");
    }
}

#[test]
fn a_terminal_says_how_wide_it_is() {
    if !require_tool("script") {
        return;
    }
    for columns in [40, 80, 120, 200] {
        for option in ["", "-v", "--table"] {
            let line = format!("{DDI} inspect {option} {SAMPLE} --certificate {CERTIFICATE}");
            let shown = in_terminal(columns, &line);
            assert!(shown.contains("\x1b["), "a terminal has colours: {shown}");
            let shown = without_colors(&shown);
            assert!(!shown.contains('\x1b'), "{shown:?}");
            assert_fits(&shown, columns, &line);
            let piped = on(columns, "C.UTF-8", &["inspect", SAMPLE, "--certificate", CERTIFICATE]).stdout;
            assert!(!option.is_empty() || shown == piped, "{shown}\n{piped}");
        }
    }
    // nobody to ask
    let mut command = Command::new("env");
    command.args(["-u", "COLUMNS", "LC_ALL=C.UTF-8", DDI, "inspect", SAMPLE]);
    let ended = command.env("COLUMNS", "").output().unwrap();
    let shown = String::from_utf8(ended.stdout).unwrap();
    assert_fits(&shown, 100, "without a terminal");
    assert!(!shown.contains('\x1b'));
}

#[test]
fn screens_of_the_corpus_fit() {
    let Some(corpus) = corpus() else { return };
    let images: Vec<_> = fs::read_dir(corpus.join("images"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "raw"))
        .map(|path| path.display().to_string())
        .collect();
    assert!(images.len() > 50);
    in_parallel(images.len() as u64, |number| {
        let image = &*images[number as usize];
        for columns in [40, 80, 120] {
            for option in ["--color=never", "-v", "--table"] {
                let shown = on(columns, "C.UTF-8", &["inspect", option, image]).stdout;
                assert_fits(&shown, columns, image);
                assert_eq!(unfit_in_lines(&shown), None, "{image}: {shown}");
                // three partitions are 24 lines; no more than nine more are shown, and how many there are besides
                let most = 24 + 10;
                assert!(option != "--color=never" || shown.lines().count() <= most, "{image}: {shown}");
            }
            let shown = on(columns, "C.UTF-8", &["verify", image]).stdout;
            assert_fits(&shown, columns, image);
        }
    });
}

/// Labels that would move the cursor, take two columns or none: escaped, counted as they are shown, and never coloured.
#[test]
fn hostile_text_neither_colours_nor_overflows() {
    let folder = Folder::new();
    let labels = [
        "\x1b[31mred\x1b[0m",
        "日本語日本語日本語日本語日本語",
        "e\u{301}e\u{301}e\u{301}",
        "😀😀😀😀😀😀😀😀",
        "\u{202e}\u{200b}\u{9b}31m",
    ];
    let image = labels.iter().fold(ImageBuilder::new(), |image, label| {
        image.labelled("linux-generic", &label.encode_utf16().collect::<Vec<_>>(), vec![0; 4096])
    });
    let path = folder.write("\x1b[32mevil\u{202e}日本.raw", &image.build().bytes);
    for columns in [20, 40, 80, 200] {
        for option in ["--strict", "-v", "--table"] {
            let shown = on(columns, "C.UTF-8", &["inspect", "--color=always", option, &path]).stdout;
            let bare = without_colors(&shown);
            assert_eq!(unfit_in_lines(&bare), None, "{bare}");
            assert_fits(&bare, columns, option);
            // what is red or green is a word of ours
            for colored in shown.split("\x1b[3").skip(1) {
                let word = colored.split_once('m').unwrap().1.split('\x1b').next().unwrap();
                assert!(!word.contains("evil") && !word.contains("red") && !word.contains('日'), "{word}");
            }
        }
    }
}

#[test]
fn colours_are_asked_for_and_red_is_for_what_is_wrong() {
    let shown = |args: &[&str]| ddi(args.iter().chain(&[SAMPLE])).stdout;
    assert!(!shown(&["inspect"]).contains('\x1b') && !shown(&["verify"]).contains('\x1b'));
    let always = shown(&["--color", "always", "inspect", "--certificate", CERTIFICATE]);
    assert!(always.contains("\x1b[32mboth copies good\x1b[0m") && !always.contains("\x1b[31m"), "{always:?}");
    assert!(
        shown(&["verify", "--color=always", "--root-hash", &"00".repeat(32)])
            .starts_with("\x1b[31mNOT PROVEN\x1b[0m ")
    );
    assert!(shown(&["inspect", "--color=always", "--json"]).starts_with('{'));
    // marks of a locale without them
    let ascii = on(80, "C", &["inspect", "-v", SAMPLE, "--certificate", CERTIFICATE]).stdout;
    assert!(ascii.is_ascii() && ascii.contains("x initrd"), "{ascii}");
}

/// Damage of three kinds, each with a map of its own.
#[test]
fn damage_is_drawn() {
    let folder = Folder::new();
    let image = ImageBuilder::new().verity("root-x86-64", "os_1", erofs(600, 1)).build();
    let start = image.partitions[0].offset as usize;
    let verify = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = image.bytes.clone();
        change(&mut bytes);
        let path = folder.write(name, &bytes);
        on(80, "C.UTF-8", &["verify", &path]).stdout
    };
    let sector = verify("sector.raw", &|bytes| bytes[start + 100 * 4096 + 7] ^= 1);
    let marks = |text: &str| text.lines().filter(|line| line.contains("··")).collect::<Vec<_>>().join("\n");
    assert_eq!(marks(&sector).matches(|c| ('\u{2801}'..='\u{28ff}').contains(&c)).count(), 1, "{sector}");
    let shifted = verify("shifted.raw", &|bytes| {
        bytes.copy_within(start + 300 * 4096..start + 590 * 4096, start + 300 * 4096 + 512)
    });
    assert!(marks(&shifted).contains("⣿⣿⣿⣿⣿⣿⣿⣿"), "{shifted}");
    let short = verify("short.raw", &|bytes| bytes.truncate(start + 200 * 4096));
    assert!(short.contains("××××××") && short.contains("× missing"), "{short}");
    for text in [&sector, &shifted, &short] {
        assert_fits(text, 80, "verify");
    }
}

#[test]
fn several_images_have_each_its_answer() {
    let folder = Folder::new();
    let good = folder.write("a.raw", &fs::read(SAMPLE).unwrap());
    let mut bytes = fs::read(SAMPLE).unwrap();
    bytes[32768 + 8192] ^= 1;
    let bad = folder.write("b.raw", &bytes);
    let missing = folder.file("c.raw");
    let certificate = ["--certificate", CERTIFICATE];
    let ended = ddi(["verify", &good, &bad, &missing].into_iter().chain(certificate));
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.starts_with(&format!("VERIFIED {good}: ")), "{ended:?}");
    assert!(ended.stdout.contains(&format!("\n\nNOT PROVEN {bad}: ")), "{ended:?}");
    assert!(ended.stdout.ends_with("\n3 images: 1 good, 1 could not tell, 1 bad\n"), "{ended:?}");
    assert!(ended.stderr.starts_with(&format!("ddi: error: {missing}: ")), "{ended:?}");
    assert_eq!(ddi(["verify", &good, &missing].into_iter().chain(certificate)).code, Some(2));
    assert_eq!(ddi(["verify", &good, SAMPLE]).code, Some(3));
    for command in [&["verify"][..], &["inspect"], &["check", "golden"], &["check", "boot"]] {
        let ended = ddi(command.iter().copied().chain(["--json", &good, &bad, &missing]));
        assert_eq!(SCHEMAS.check_stdout(&ended, &format!("{command:?}")), BTreeSet::from(["image"]));
        let json = ended.json();
        assert_eq!(json.as_array().unwrap().len(), 3, "{json}");
        assert_eq!(
            (&json[2]["exitStatus"], &json[2]["document"]["schema"]),
            (&2.into(), &"ddi.error/1".into())
        );
        // one image is what it is without the others
        let alone = ddi(command.iter().copied().chain(["--json", &good]));
        assert_eq!(json[0]["document"], alone.json(), "{command:?}");
    }
    // a pattern that no shell has seen
    let pattern = folder.file("[ab].r?w");
    let ended = ddi(["verify", "--json", &pattern]);
    let named: Vec<_> = ended.json().as_array().unwrap().iter().map(|found| found["image"].clone()).collect();
    assert_eq!(named, [good.clone(), bad]);
    assert_eq!(ddi(["verify", "--json", &folder.file("a*")]).json().as_array().unwrap().len(), 1);
    let none = ddi(["verify", &folder.file("x*.raw")]);
    assert!(none.code == Some(2) && none.stderr.contains("No such file"), "{none:?}");
    let kept = ddi(["verify", &good, &good, "--html", &folder.file("report.html")]);
    assert!(kept.code == Some(2) && kept.stderr.contains("one image"), "{kept:?}");
}

#[test]
fn a_quiet_command_says_it_by_its_exit_status() {
    for args in [
        vec!["verify", "-q", SAMPLE],
        vec!["verify", "-q", SAMPLE, SAMPLE],
        vec!["--quiet", "verify", SAMPLE],
    ] {
        let ended = ddi(&args);
        assert_eq!((ended.code, &*ended.stdout, &*ended.stderr), (Some(3), "", ""), "{args:?}");
    }
    assert_eq!(ddi(["verify", "-q", "--json", SAMPLE]).json()["exitStatus"], 3);
}

/// How every command ends, cause by cause, as `src/exit.rs` and docs/exit-status.md have it.
#[test]
fn each_cause_has_one_exit_status() {
    let folder = Folder::new();
    let random = folder.write("random", &crate::support::Chance(1).bytes(1 << 20));
    let empty = folder.write("empty", b"");
    let packed =
        folder.write("bad.xz", b"\xfd7zXZ\0\0\x04junk that cannot be unpacked, whatever is made of it");
    let mut bytes = fs::read(SAMPLE).unwrap();
    bytes[32768 + 5 * 4096] ^= 1;
    let corrupt = folder.write("corrupt.raw", &bytes);
    let plain = ImageBuilder::new().partition("root-x86-64", "os", erofs(30, 1)).build();
    let plain = folder.write("plain.raw", &plain.bytes);
    let mut table = fs::read(SAMPLE).unwrap();
    let end = table.len();
    table[512 + 16] ^= 1;
    table[end - 512 + 16] ^= 1;
    let broken = folder.write("broken.raw", &table);
    let root = "262757df7d5755c592d74c7fa869421aae036b0b3a40039445a493da59efc8eb";
    let zero = "00".repeat(32);
    let missing = folder.file("missing");
    let everywhere: [&[&str]; 8] = [
        &["inspect"],
        &["verify"],
        &["read", "-p", "root"],
        &["ls"],
        &["mtree"],
        &["policy", "check", "*"],
        &["check", "golden"],
        &["check", "boot"],
    ];
    let rows: Vec<(&str, i32, Vec<Vec<&str>>)> = vec![
        (
            "proven",
            0,
            vec![
                vec!["verify", SAMPLE, "--root-hash", root],
                vec!["read", "-p", "root", SAMPLE, "--root-hash", root, "-o", "/dev/null"],
            ],
        ),
        ("fine", 0, vec![vec!["inspect", SAMPLE], vec!["ls", SAMPLE], vec!["policy", "show", "host"]]),
        ("integrity-asked", 0, vec![vec!["verify", SAMPLE, "--integrity-only"]]),
        (
            "corrupt",
            1,
            vec![
                vec!["verify", &corrupt],
                vec!["read", "-p", "root", "--integrity-only", "-o", "/dev/null", &corrupt],
            ],
        ),
        (
            "other-root-hash",
            1,
            vec![vec!["verify", SAMPLE, "--root-hash", &zero], vec!["inspect", SAMPLE, "--root-hash", &zero]],
        ),
        (
            "unprotected",
            1,
            vec![
                vec!["verify", &plain],
                vec!["read", "-p", "root", &plain],
                vec!["ls", "--authenticated", &plain],
            ],
        ),
        ("broken-table", 1, vec![vec!["inspect", &broken]]),
        (
            "refused",
            1,
            vec![
                vec!["verify", SAMPLE, "--image-policy", "root=encrypted"],
                vec!["policy", "check", "root=encrypted", SAMPLE],
            ],
        ),
        (
            "usage",
            2,
            everywhere
                .iter()
                .map(|command| command.iter().copied().chain(["--no-such-option", SAMPLE]).collect())
                .collect(),
        ),
        (
            "not-there",
            2,
            everywhere
                .iter()
                .flat_map(|command| {
                    [&missing, &empty].map(|path| command.iter().copied().chain([path.as_str()]).collect())
                })
                .collect(),
        ),
        (
            "unrecognised",
            2,
            everywhere
                .iter()
                .map(|command| command.iter().copied().chain([random.as_str()]).collect())
                .collect(),
        ),
        ("io", 2, vec![vec!["read", "-p", "root", "--unverified", SAMPLE, "-o", "/dev/full"]]),
        (
            "unpack",
            2,
            everywhere
                .iter()
                .map(|command| command.iter().copied().chain([packed.as_str()]).collect())
                .collect(),
        ),
        ("unsupported", 2, vec![vec!["inspect", SAMPLE, "--architecture", "z80"]]),
        (
            "intact",
            3,
            vec![
                vec!["verify", SAMPLE],
                vec!["read", "-p", "root", SAMPLE],
                vec!["ls", "--authenticated", SAMPLE],
            ],
        ),
    ];
    let table = include_str!("../../../src/exit.rs");
    let page = include_str!("../../../docs/exit-status.md");
    for (id, code, commands) in &rows {
        assert!(
            table.contains(&format!("\"{id}\"")) && page.contains(&format!("| {code} | `{id}` |")),
            "{id}"
        );
        for args in commands {
            let ended = ddi(args);
            assert_eq!(ended.code, Some(*code), "{id}: {args:?}: {ended:?}");
        }
    }
    assert_eq!(
        page.lines().filter(|line| line.starts_with("| ") && line.contains("| `")).count(),
        rows.len()
    );
}

#[test]
fn help_is_there_however_it_is_asked_for() {
    for (args, says) in [
        (&["help"][..], "Usage: ddi"),
        (&["help", "verify"], "Usage: ddi verify"),
        (&["help", "verity", "format"], "Usage: ddi verity format"),
        (&["help", "check", "golden"], "Usage: ddi check golden"),
        (&["verity", "-h"], "Usage: ddi verity"),
        (&["verity", "format", "-h"], "Usage: ddi verity format"),
        (&["verity", "dump", "-h"], "Usage: ddi verity dump"),
        (&["inspect", "-h"], "Usage: ddi inspect"),
    ] {
        let ended = ddi(args);
        assert!(ended.ok() && ended.stdout.contains(says), "{args:?}: {ended:?}");
    }
    // what follows -h is still a hash algorithm
    let ended = ddi(["verity", "verify", "-h", "sha512", SAMPLE, SAMPLE, "00"]);
    assert!(ended.code == Some(2) && ended.stderr.starts_with("ddi: error: "), "{ended:?}");
}

#[test]
fn sizes_have_suffixes_everywhere() {
    let folder = Folder::new();
    let data = folder.write("data", &vec![7; 5 << 20]);
    let hash = folder.file("hash");
    let made =
        ddi(["verity", "format", &data, &hash, "--hash-offset", "1M", "--data-block-size", "4K", "--json"]);
    assert_eq!(made.json()["hashOffset"].as_u64().or(Some(1 << 20)), Some(1 << 20), "{made:?}");
    assert!(ddi(["verity", "dump", &hash, "--hash-offset", "1048576"]).ok());
    assert!(ddi(["inspect", SAMPLE, "--max-size", "1G", "--sector-size", "512"]).ok());
    let read = ddi(["read", SAMPLE, "-p", "root", "--unverified", "--offset", "4K", "--size", "1.5K"]);
    assert_eq!(read.code, Some(0), "{read:?}");
    // no table is there with sectors of that size
    assert_ne!(ddi(["verify", SAMPLE, "--sector-size", "4K"]).code, Some(3));
    let ended = ddi(["inspect", SAMPLE, "--max-size", "1X"]);
    assert!(ended.code == Some(2) && ended.stderr.contains("is no size"), "{ended:?}");
    let ended = ddi(["inspect", SAMPLE, "--image-policy", "foo"]);
    assert!(ended.code == Some(2) && ended.stderr.contains("sysext-strict"), "{ended:?}");
    // whatever was given is not repeated at any length
    let ended = ddi(["verify", SAMPLE, "--root-hash", &"z".repeat(50_000)]);
    assert!(ended.code == Some(2) && ended.stderr.len() < 1100, "{}", ended.stderr.len());
}

/// A signature and a hash tree that are not beside the image are named.
#[test]
fn what_belongs_to_an_image_can_be_named() {
    let Some(corpus) = corpus() else { return };
    let folder = Folder::new();
    let here = |name: &str| corpus.join("images").join(name).display().to_string();
    let image = folder.write("moved.raw", &fs::read(here("side-erofs.raw")).unwrap());
    let root_hash = here("side-erofs.roothash");
    let tree = here("side-erofs.verity");
    let proven = ddi(["verify", &image, "--root-hash", &root_hash, "--verity-data", &tree]);
    assert_eq!(proven.code, Some(0), "{proven:?}");
    assert_eq!(ddi(["verify", &image, "--root-hash", &root_hash]).code, Some(1));
    let signature = here("side-erofs.roothash.p7s");
    let base64 = run("base64", ["-w0", &*signature]).unwrap();
    for given in [signature.clone(), format!("base64:{base64}")] {
        let args = [
            "verify",
            &image,
            "--root-hash",
            &root_hash,
            "--verity-data",
            &tree,
            "--json",
            "--root-hash-sig",
            &given,
        ];
        let json = ddi(args).json();
        assert_eq!(json["proofs"][0]["signatures"].as_array().map(Vec::len), Some(1), "{json}");
    }
    let bad = ddi(["verify", &image, "--root-hash-sig", "base64:!"]);
    assert!(bad.code == Some(2) && bad.stderr.contains("no base64"), "{bad:?}");
}

/// An interrupt ends the command as such, and takes what was begun with it.
#[test]
fn an_interrupt_leaves_nothing() {
    if !require_tool("mkfs.ext4") {
        return;
    }
    let folder = Folder::new();
    let tree = folder.file("tree");
    fs::create_dir(&tree).unwrap();
    fs::File::create(format!("{tree}/large")).unwrap().set_len(1 << 40).unwrap();
    let image = folder.file("image.raw");
    fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    run("mkfs.ext4", ["-q", "-F", "-O", "^has_journal", "-d", &tree, &image]).unwrap();
    let data = folder.file("data");
    fs::File::create(&data).unwrap().set_len(1 << 42).unwrap();
    let (hash, new) = (folder.file("hash"), folder.file("new"));
    let before = folder.names();
    // a shell lets what it runs in the background ignore SIGINT, and so what that runs
    let ignored = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = ignored.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim();
    let is_ignored = u64::from_str_radix(ignored, 16).unwrap() & 1 << 1 != 0;
    let signal = if is_ignored { ("-TERM", 15) } else { ("-INT", 2) };
    for args in [
        vec!["verity", "format", "--threads", "1", &data, &hash],
        vec!["extract", &image, "/large", &new],
        vec!["mtree", &image],
    ] {
        let mut child = Command::new(DDI)
            .args(&args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let started = Instant::now();
        std::thread::sleep(Duration::from_millis(700));
        run("kill", [signal.0, &child.id().to_string()]);
        let status = child.wait().unwrap();
        // what it wrote meanwhile may have to reach the disk before the file can go
        assert!(started.elapsed() < Duration::from_secs(300), "{args:?}");
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(status.signal(), Some(signal.1), "{args:?}: {status:?}");
        assert_eq!(folder.names(), before, "{args:?}");
    }
}
