//! What the tests share: running the command and other tools, folders that go away, chance that can be repeated.

pub(crate) mod hostile;
pub(crate) mod image;
pub(crate) mod schema;

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Returns true if this tool is here, and says so if not; where tools are required (`DDI_REQUIRE_TOOLS=1`), that is a failure.
#[must_use]
pub(crate) fn require_tool(name: &str) -> bool {
    let found = path_folders().any(|folder| folder.join(name).is_file());
    if !found {
        skip(&format!("no {name}"));
    }
    found
}

/// Says that a test does nothing here, and why; a failure where tools are required.
#[track_caller]
pub(crate) fn skip(why: &str) {
    say_skipped(why);
    assert!(std::env::var_os("DDI_REQUIRE_TOOLS").is_none_or(|value| value != "1"), "{why}");
}

/// Says that a test does nothing here, for want of something that nobody is required to have: a corpus, root, a version of a
/// tool that is newer than CI's.
pub(crate) fn say_skipped(why: &str) {
    println!("skipped: {why}");
    eprintln!("skipped: {why}");
}

/// The corpus: `DDI_CORPUS`, which must be one, else `ddi-corpus` in the folder for temporary files. If there is none, says
/// that the test is skipped; nobody is required to have one.
#[must_use]
#[track_caller]
pub(crate) fn corpus() -> Option<PathBuf> {
    corpus_at(std::env::var_os("DDI_CORPUS").map(PathBuf::from), &std::env::temp_dir())
}

#[track_caller]
pub(crate) fn corpus_at(named: Option<PathBuf>, temporary: &Path) -> Option<PathBuf> {
    let is_named = named.is_some();
    let path = named.unwrap_or_else(|| temporary.join("ddi-corpus"));
    let is_there = path.join("index.json").is_file();
    assert!(is_there || !is_named, "DDI_CORPUS={} is no corpus", path.display());
    if !is_there {
        say_skipped(&format!("no corpus in {}", path.display()));
    }
    is_there.then_some(path)
}

/// Returns true if we are root, and says that the test is skipped if not; nobody is required to be.
#[must_use]
pub(crate) fn require_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    let root = fs::metadata("/proc/self").is_ok_and(|found| found.uid() == 0);
    if !root {
        say_skipped("not root");
    }
    root
}

fn path_folders() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin".into(), "/sbin".into()]);
    folders.into_iter()
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Exit status; `None` if killed by a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn ok(&self) -> bool {
        self.code == Some(0)
    }

    /// Stdout of a command that must succeed.
    #[track_caller]
    pub(crate) fn unwrap(self) -> String {
        assert!(self.ok(), "{self:?}");
        self.stdout
    }

    /// Stdout as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn first_line(&self) -> &str {
        self.stdout.lines().next().unwrap_or_default()
    }
}

/// Runs a command without input, with a limit of a minute.
#[track_caller]
pub(crate) fn run<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Ended {
    let mut command = Command::new(program);
    command.args(args);
    run_within(command, Duration::from_secs(60))
}

/// Runs `ddi`.
#[track_caller]
pub(crate) fn ddi<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Ended {
    run(DDI, args)
}

/// Runs `ddi`, which must end within two seconds.
#[track_caller]
pub(crate) fn ddi_quickly<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Ended {
    let mut command = Command::new(DDI);
    command.args(args);
    run_within(command, Duration::from_secs(2))
}

/// The program under test.
pub(crate) const DDI: &str = env!("CARGO_BIN_EXE_ddi");

#[track_caller]
pub(crate) fn run_within(mut command: Command, limit: Duration) -> Ended {
    // whole locale-independent texts; the tools of an ordinary user's PATH are not all
    let path = std::env::join_paths(path_folders()).unwrap();
    command.env("LC_ALL", "C").env("PATH", path);
    // whole lines, unless it is about lines that fit
    if command.get_envs().all(|(name, _)| name != "COLUMNS") {
        command.env("COLUMNS", "1000");
    }
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{shown}: {error}"));
    let reader = |mut pipe: Box<dyn Read + Send>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let stdout = reader(Box::new(child.stdout.take().unwrap()));
    let stderr = reader(Box::new(child.stderr.take().unwrap()));
    let begin = Instant::now();
    let mut pause = Duration::from_micros(200);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if begin.elapsed() > limit {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{shown}: still running after {limit:?}");
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    };
    Ended { code: status.code(), stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

/// A folder that goes away with its content.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ddi-it-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Path of a file in it.
    pub(crate) fn file(&self, name: &str) -> String {
        self.0.join(name).into_os_string().into_string().unwrap()
    }

    /// Writes a file in it and gives its path.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.file(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The names in it, sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(&self.0)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Random numbers that are the same in each run (SplitMix64).
#[derive(Debug, Clone)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `end - 1`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u64) as usize]
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend(self.next().to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}

/// Calls `work` with each number from 0, on all processors. A panic in one of them is a panic here.
pub(crate) fn in_parallel(count: u64, work: impl Fn(u64) + Sync) {
    let next = std::sync::atomic::AtomicU64::new(0);
    let threads = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    work(number);
                }
            });
        }
    });
}

/// A number from the environment, for runs that are longer than usual.
pub(crate) fn number_from_env(name: &str, usual: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")),
        Err(_) => usual,
    }
}
