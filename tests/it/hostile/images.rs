//! Every image of the generator, through the command: the one answer that it must get, in bounded time and memory, and
//! nothing on the terminal that an image chose.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::hostile::format_faults::strace_works;
use crate::properties::seeds::unfit_in_lines;
use crate::support::hostile::{self, Hostile, base};
use crate::support::image::erofs;
use crate::support::schema::SCHEMAS;
use crate::support::{DDI, Ended, Folder, ddi, ddi_quickly, in_parallel, require_tool, run_within};

/// Seconds within which the command ends: one, on a machine that has nothing else to do.
const LIMIT: Duration = Duration::from_secs(5);
/// Peak of memory in KiB.
const MEMORY: u64 = 64 << 10;

#[test]
fn numbers_and_names() {
    let all = hostile::all();
    let mut ids = HashSet::new();
    let mut whats = HashSet::new();
    let mut classes = BTreeMap::new();
    for image in &all {
        assert!(ids.insert(&image.id), "{} twice", image.id);
        assert!(whats.insert((image.class(), &image.what, &image.ask)), "{}: {} twice", image.id, image.what);
        *classes.entry(image.class()).or_insert(0) += 1;
    }
    println!("{} images: {classes:?}", all.len());
    assert!(all.len() >= 250, "{classes:?}");
    assert!(classes["C5"] >= 40 && classes["C6"] >= 60 && classes["C4"] >= 21, "{classes:?}");
    assert!(classes["C9"] >= 20 || !require_tool("mke2fs"), "{classes:?}");
}

/// What `tests/hostile-peers.sh` made is of these images, and says of us what is demanded of us below.
#[test]
fn the_page_is_of_these_images() {
    if !["mke2fs", "mkfs.erofs", "mksquashfs"].into_iter().all(require_tool) {
        return;
    }
    let all = hostile::all();
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/hostile-images.md");
    let page = fs::read_to_string(page).unwrap();
    let mut rows = page.lines().filter(|line| line.starts_with("| G-") || line.starts_with("| C"));
    for Hostile { id, what, ask, status, answer, .. } in &all {
        let row = rows.next().unwrap_or_else(|| panic!("{id} is not on the page"));
        let begin = format!("| {id} | {} | ", what.replace('|', "\\|"));
        let end = format!(" | {}: {status}, {answer} |", ask[0]);
        assert!(row.starts_with(&begin) && row.ends_with(&end), "{row}, expected {begin}…{end}");
    }
    assert_eq!(rows.next(), None);
    let count = all.len();
    assert!(page.contains(&format!("\n{count} images, made by ")), "{count}");
    let sums = page.lines().find(|line| line.starts_with("| ddi | ")).unwrap();
    let refused = all.iter().filter(|image| image.status != 0).count();
    let (begin, end) = (format!("| ddi | {count} | "), format!(" | 0 | {refused} | 0 | 0 | 0 |"));
    assert!(sums.starts_with(&begin) && sums.ends_with(&end), "{sums}, expected {begin}…{end}");
}

#[test]
fn the_images_that_they_are_made_from_are_good() {
    let folder = Folder::new();
    let path = folder.write("image.raw", &base().bytes());
    let inspected = ddi(["inspect", "--json", &path]);
    let notes = |value: &Value| value["severity"] == "note";
    assert!(
        inspected.ok() && inspected.json()["findings"].as_array().unwrap().iter().all(notes),
        "{inspected:?}"
    );
    let root = hostile::Verity::erofs(40).hex();
    assert!(ddi(["verify", "--root-hash", &root, &path]).ok());
}

/// `id: what went wrong`, for each image that did not do as it must.
#[test]
fn every_hostile_image_gets_its_one_answer() {
    let all = hostile::all();
    let folder = Folder::new();
    let wrong = Mutex::new(Vec::new());
    let slowest = Mutex::new((Duration::ZERO, String::new()));
    let largest = Mutex::new((0, String::new()));
    let with_time = require_tool("time");
    in_parallel(all.len() as u64, |number| {
        let image = &all[number as usize];
        let place = folder.path().join(&image.id);
        fs::create_dir(&place).unwrap();
        let path = image.make(&place);
        let checked = Checked::new(image, &place, &path, with_time);
        fs::remove_dir_all(&place).unwrap();
        let mut slowest = slowest.lock().unwrap();
        *slowest = slowest.clone().max((checked.time, image.id.clone()));
        let mut largest = largest.lock().unwrap();
        *largest = largest.clone().max((checked.kib, image.id.clone()));
        if !checked.faults.is_empty() {
            wrong.lock().unwrap().push(format!(
                "{}: {}: {}",
                image.id,
                image.what,
                checked.faults.join("; ")
            ));
        }
    });
    println!("slowest: {:?}", slowest.lock().unwrap());
    println!("largest, in KiB: {:?}", largest.lock().unwrap());
    let mut wrong = wrong.into_inner().unwrap();
    wrong.sort();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), all.len(), wrong.join("\n"));
}

/// Wherever links and paths of an image lead: the system is never asked for a file of that name.
#[test]
fn no_file_of_the_machine_is_opened() {
    if !require_tool("strace") || !strace_works() {
        return;
    }
    // a link that is extracted is made, under its name
    let links = |image: &Hostile| {
        image.class() == "C9"
            && image.what.contains("link")
            && (image.ask[0] != "extract" || image.status != 0)
    };
    let images: Vec<_> = hostile::all().into_iter().filter(links).collect();
    assert!(images.len() >= 15 || !require_tool("mke2fs"), "{}", images.len());
    let folder = Folder::new();
    in_parallel(images.len() as u64, |number| {
        let image = &images[number as usize];
        let place = folder.path().join(&image.id);
        fs::create_dir(&place).unwrap();
        let path = image.make(&place);
        let log = place.join("log");
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-e", "trace=%file", "-o"]).arg(&log).arg(DDI);
        command.args(image.args(&place, &path));
        let ended = run_within(command, 4 * LIMIT);
        assert_eq!(ended.code, Some(image.status), "{}: {ended:?}", image.what);
        let log = fs::read_to_string(log).unwrap();
        assert!(log.contains("\"image.raw\""), "{}: {log}", image.what);
        for name in ["os-release", "hostname", "passwd", "Cargo.toml"] {
            let of_the_machine = |line: &&str| line.contains(name) && !line.contains("execve(");
            assert_eq!(log.lines().find(of_the_machine), None, "{}", image.what);
        }
    });
}

/// What came of one image.
struct Checked {
    time: Duration,
    kib: u64,
    faults: Vec<String>,
}

impl Checked {
    fn new(image: &Hostile, place: &Path, path: &str, with_time: bool) -> Self {
        let mut checked = Checked { time: Duration::ZERO, kib: 0, faults: Vec::new() };
        let args = image.args(place, path);
        if ["ls", "cat", "extract"].contains(&&*image.ask[0]) {
            checked.files(image, place, &args, with_time);
            return checked;
        }
        let as_json = checked.run(place, &[&args[..], &["--json".into()]].concat(), with_time);
        let text = checked.run(place, &args, with_time);
        for ended in [&as_json, &text] {
            checked.expect("exit status", &ended.code, &Some(image.status));
            checked.expect("unprintable", &unprintable(&format!("{}{}", ended.stdout, ended.stderr)), &None);
        }
        SCHEMAS.check_stdout(&as_json, &image.id);
        let answers = match image.status {
            2 if text.stdout.is_empty() => {
                checked.expect("begin of stderr", &text.stderr.get(..12), &Some("ddi: error: "));
                checked.expect("stderr of JSON", &as_json.stderr, &text.stderr);
                let error: Value = serde_json::from_str(&as_json.stdout).unwrap_or_default();
                checked.expect("schema", &error["schema"], &"ddi.error/1".into());
                let code = library_code(Path::new(path), &image.ask);
                checked.expect("code", &error["code"].as_str(), &Some(&code));
                vec![code]
            }
            _ => match serde_json::from_str(&as_json.stdout) {
                Ok(value) => {
                    let answers = answers(&value);
                    checked.expect("bytes on stderr", &as_json.stderr.len(), &0);
                    checked.expect("text is empty", &text.stdout.is_empty(), &false);
                    if image.class() == "C9" { facts(&value) } else { answers }
                }
                Err(error) => vec![format!("no JSON: {error}")],
            },
        };
        if !answers.iter().any(|answer| answer == image.answer) {
            checked.faults.push(format!("answer is {answers:?}, expected {}", image.answer));
        }
        checked
    }

    /// What `ls`, `cat` and `extract` say, which is a part of stdout, or on stderr why not.
    fn files(&mut self, image: &Hostile, place: &Path, args: &[String], with_time: bool) {
        let mut ended = self.run(place, args, with_time);
        self.expect("exit status", &ended.code, &Some(image.status));
        self.expect("unprintable", &unprintable(&ended.stderr), &None);
        match &*image.ask[0] {
            "ls" => {
                self.expect("unprintable", &unprintable(&ended.stdout), &None);
                let json = self.run(place, &[args, &["--json".into()]].concat(), with_time);
                self.expect("exit status of JSON", &json.code, &ended.code);
                self.expect("unprintable in JSON", &unprintable(&json.stdout), &None);
                SCHEMAS.check_stdout(&json, &image.id);
            }
            "extract" => {
                let is_left = |name: std::io::Result<fs::DirEntry>| {
                    name.unwrap().file_name().to_string_lossy().starts_with(".ddi-extract")
                };
                self.expect("left behind", &fs::read_dir(place).unwrap().any(is_left), &false);
                let made = fs::read_dir(place.join("out"));
                self.expect("extracted", &made.is_ok(), &(image.status == 0));
                for entry in made.into_iter().flatten() {
                    ended.stdout += &entry.unwrap().file_name().to_string_lossy();
                }
            }
            _ => {}
        }
        // of the machine's own file, to which links lead
        self.expect("shows the machine", &ended.stdout.contains("[workspace"), &false);
        if image.status == 0 {
            self.expect("stderr", &&*ended.stderr, &"");
            if !ended.stdout.contains(image.answer) {
                self.faults.push(format!("no {} in {ended:?}", image.answer));
            }
        } else if !SAID.iter().any(|(code, text)| *code == image.answer && ended.stderr.contains(text)) {
            self.faults.push(format!("not {}: {ended:?}", image.answer));
        }
    }

    fn run(&mut self, place: &Path, args: &[String], with_time: bool) -> Ended {
        let figures = place.join("time");
        let mut command = Command::new(if with_time { "time" } else { DDI });
        if with_time {
            command.args(["-q", "-f", "%M", "-o"]).arg(&figures).arg(DDI);
        }
        command.args(args);
        let begin = Instant::now();
        let ended = run_within(command, LIMIT);
        self.time = self.time.max(begin.elapsed());
        if with_time {
            let text = fs::read_to_string(&figures).unwrap();
            let kib = text.trim().parse().unwrap_or_else(|_| panic!("{text}: {ended:?}"));
            self.kib = self.kib.max(kib);
            if kib > MEMORY {
                self.faults.push(format!("took {kib} KiB"));
            }
        }
        ended
    }

    fn expect<T: PartialEq + std::fmt::Debug>(&mut self, what: &str, found: &T, expected: &T) {
        if found != expected {
            self.faults.push(format!("{what}: {found:?}, expected {expected:?}"));
        }
    }
}

/// The first character that a terminal would not just show. U+FFFD stands for bytes that are no text.
fn unprintable(text: &str) -> Option<char> {
    unfit_in_lines(text).or_else(|| text.chars().find(|c| *c == '\u{fffd}'))
}

/// The codes that say what is wrong, of the worst that was found. One of them is the answer.
fn answers(value: &Value) -> Vec<String> {
    match value["schema"].as_str() {
        Some("ddi.inspect/1") => inspected(value),
        _ => verified(value),
    }
}

fn code(value: &Value) -> String {
    value.as_str().unwrap_or("none").to_owned()
}

/// What an error is called, and what people are told.
const SAID: [(&str, &str); 11] = [
    ("corrupt-file-system", ": corrupt "),
    ("directory-loop", ": a directory is reached twice"),
    ("encrypted", ": it is encrypted"),
    ("link-loop", ": too many symbolic links"),
    ("not-a-directory", ": not a directory"),
    ("not-a-file", ": not a regular file"),
    ("not-found", ": no such file"),
    ("too-deep", ": too many directories inside each other"),
    ("too-large", " bytes, at most "),
    ("too-many-bytes", ": too many bytes to read"),
    ("unknown-file-system-features", ": unsupported: unknown bits "),
];

/// What is inside, what is not, and what is wrong with it.
fn facts(value: &Value) -> Vec<String> {
    let inside = &value["inside"];
    let mut facts: Vec<_> = inside["unreadable"]["code"].as_str().into_iter().map(str::to_owned).collect();
    if let Some(release) = value["osRelease"].as_array() {
        facts.extend(release.iter().map(code));
    }
    facts.push(format!("hostname={}", code(&value["hostname"])));
    facts.push(format!("machineId={}", code(&inside["machineIdState"])));
    if value["osRelease"].is_null() && inside["facts"]["osRelease"].is_null() && facts.len() == 2 {
        facts.push("no osRelease".into());
    }
    let said = inside["facts"].as_object().unwrap().values();
    facts.extend(said.filter_map(|fact| fact["error"]["code"].as_str()).map(str::to_owned));
    facts
}

/// What is wrong with a copy of the table, where that is what is said.
fn drilled(value: &Value, found: &str) -> String {
    let copy = match found {
        "primary-table" | "gpt-no-valid-copy" => "primary",
        "backup-table" => "backup",
        other => return other.to_owned(),
    };
    code(&value["table"][copy]["error"]["code"])
}

fn inspected(value: &Value) -> Vec<String> {
    let mut answers: Vec<_> =
        value["refused"]["code"].as_str().into_iter().map(|code| drilled(value, code)).collect();
    let findings = value["findings"].as_array().unwrap();
    for severity in ["error", "warning", "note"] {
        let worst: Vec<_> = findings.iter().filter(|finding| finding["severity"] == severity).collect();
        if !worst.is_empty() {
            answers.extend(worst.iter().map(|finding| drilled(value, finding["code"].as_str().unwrap())));
            break;
        }
    }
    answers
}

fn verified(value: &Value) -> Vec<String> {
    let outcome = code(&value["outcome"]);
    let proofs = value["proofs"].as_array().unwrap();
    let worst: Vec<_> = proofs.iter().filter(|proof| proof["outcome"] == *outcome).collect();
    let mut answers: Vec<_> = worst.iter().filter_map(|proof| fault(proof)).collect();
    if let Some(rulings) = value["imagePolicy"]["designators"].as_array() {
        let codes = rulings.iter().filter_map(|ruling| ruling["violation"]["code"].as_str());
        answers.extend(codes.map(str::to_owned));
    }
    if answers.is_empty() {
        answers.push(value["refused"]["code"].as_str().map_or(outcome, str::to_owned));
    }
    answers
}

/// What is wrong with one partition, or with its signature.
fn fault(proof: &Value) -> Option<String> {
    if let Some(code) = proof["problem"]["code"].as_str() {
        return Some(code.to_owned());
    }
    let verdict = &proof["verdict"];
    let any = |value: &Value| value["count"].as_u64().is_some_and(|count| count > 0);
    let any_level = |name: &str| verdict["levels"].as_array().unwrap().iter().any(|level| any(&level[name]));
    let found = match verdict {
        _ if verdict["rootHashMatches"] == false => "root-hash-mismatch",
        _ if any_level("corrupt") => "corrupt-tree",
        _ if any(&verdict["corruptDataBlocks"]) => "corrupt-data",
        _ if any_level("spareNotZero") => "spare-not-zero",
        _ => {
            let mut signatures = proof["signatures"].as_array().unwrap().iter();
            return signatures.find_map(|signature| match signature["state"].as_str() {
                Some("verified") => None,
                Some("failed") => signature["error"]["code"].as_str().map(str::to_owned),
                state => state.map(str::to_owned),
            });
        }
    };
    Some(found.to_owned())
}

/// The code of the error by which the library refuses to open an image: the command has a sentence for it.
fn library_code(path: &Path, ask: &[String]) -> String {
    use ddi_core::steps::ImageFile;
    use ddi_core::{Error, Image};
    use ddi_io::SpoolOptions;
    let mut options = SpoolOptions::default();
    if let Some(at) = ask.iter().position(|arg| arg == "--max-size") {
        options.max_size = ask[at + 1].parse().unwrap();
    }
    let open = || -> Result<Image, Error> { Image::from_file(ImageFile::open(path)?.unpack(&options)?) };
    open().map_or_else(|error| error.code().to_owned(), |_| "opened".into())
}

/// Writes all images to the folder that `DDI_HOSTILE_OUT` names, with a list of them, for `tests/hostile-peers.sh`.
#[test]
fn images_are_written_where_the_peers_look_for_them() {
    let usual = Folder::new();
    let asked = std::env::var_os("DDI_HOSTILE_OUT").map(std::path::PathBuf::from);
    let out = asked.as_deref().unwrap_or(usual.path());
    let mut index = String::new();
    // without being asked, some: all of them are made by the test above
    let step = if asked.is_some() { 1 } else { 50 };
    for image in hostile::all().iter().step_by(step) {
        let place = out.join(&image.id);
        fs::create_dir(&place).unwrap();
        let path = image.make(&place);
        if image.class() == "C1" {
            // what veritysetup is given: the data, the superblock with the tree
            let hostile::Node::Media(media) = &image.files[0].1 else { panic!("{image:?}") };
            for (number, name) in [(1, "data"), (2, "hash")] {
                let (first, last) = media.lbas(number);
                let content = media.get(first * 512, ((last + 1 - first) * 512) as usize);
                fs::write(place.join(name), content).unwrap();
            }
        }
        let Hostile { id, what, ask, status, answer, .. } = image;
        index += &format!("{id}\t{path}\t{}\t{status}\t{answer}\t{what}\n", ask.join(" "));
    }
    fs::write(out.join("index.tsv"), index).unwrap();
    assert!(fs::read_dir(out.join("G-001")).unwrap().next().is_some());
}

#[test]
fn an_image_that_is_replaced_is_one_or_the_other() {
    // two images, each with its own root hash, that change places all the time
    let folder = Folder::new();
    let images = [3, 4].map(|seed| {
        crate::support::image::ImageBuilder::new().verity("root-x86-64", "os_1", erofs(40, seed)).build()
    });
    let path = folder.write("image.raw", &images[0].bytes);
    let (a, b) = (folder.write("a", &images[0].bytes), folder.write("b", &images[1].bytes));
    let root = images[0].root_hashes[0].to_string();
    let stop = std::sync::atomic::AtomicBool::new(false);
    // a panic here must not leave the other thread at work
    struct Stop<'a>(&'a std::sync::atomic::AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let mut seen = HashSet::new();
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| {
            let next = folder.file("next");
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for from in [&a, &b] {
                    fs::hard_link(from, &next).unwrap();
                    fs::rename(&next, &path).unwrap();
                    // a link to what is there already is left alone by rename
                    let _ = fs::remove_file(&next);
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
        });
        for _ in 0..60 {
            let ended = ddi_quickly(["verify", "--root-hash", &root, "--json", &path]);
            let json = ended.json();
            let proven = json["outcome"] == "trusted-and-proven";
            assert_eq!(ended.code, Some(if proven { 0 } else { 1 }), "{ended:?}");
            // never the data of one under the root hash of the other
            assert_eq!(proven, json["proofs"][0]["rootHash"] == *root, "{ended:?}");
            assert_eq!(json["proofs"][0]["verdict"]["proven"], true, "{ended:?}");
            seen.insert(ended.code);
        }
    });
    println!("seen: {seen:?}");
}
