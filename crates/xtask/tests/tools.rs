//! The pages and completions, by the programs that show and run them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that goes away with its content.
struct Folder(PathBuf);

impl Folder {
    fn new(task: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ddi-xtask-{}-{number}", std::process::id()));
        let made = Command::new(env!("CARGO_BIN_EXE_xtask")).arg(task).arg(&path).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        Folder(path)
    }

    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What a program says; `None`, said aloud, if it is not there, which is a failure where tools are required.
fn ask<S: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = S>) -> Option<Output> {
    match Command::new(program).args(args).output() {
        Ok(output) => Some(output),
        Err(error) => {
            println!("skipped: no {program}");
            eprintln!("skipped: no {program}");
            assert!(
                std::env::var_os("DDI_REQUIRE_TOOLS").is_none_or(|value| value != "1"),
                "{program}: {error}"
            );
            None
        }
    }
}

#[test]
fn pages_have_no_fault_by_mandoc_and_groff() {
    let folder = Folder::new("man");
    let pages = folder.files();
    assert!(pages.len() > 20, "{pages:?}");
    for page in &pages {
        if let Some(told) = ask("mandoc", [OsStr::new("-Tlint"), OsStr::new("-Wwarning"), page.as_os_str()]) {
            let text = String::from_utf8(told.stdout).unwrap();
            assert!(text.is_empty(), "{}:\n{text}", page.display());
        }
        if let Some(told) =
            ask("groff", [OsStr::new("-man"), OsStr::new("-ww"), OsStr::new("-z"), page.as_os_str()])
        {
            assert!(told.status.success() && told.stderr.is_empty(), "{}: {told:?}", page.display());
        }
    }
}

#[test]
fn page_of_verify_reads_well() {
    let folder = Folder::new("man");
    let page = folder.0.join("ddi-verify.1");
    let Some(shown) = ask("mandoc", [OsStr::new("-Tutf8"), page.as_os_str()]) else { return };
    // overstruck letters are bold
    let text = String::from_utf8(shown.stdout).unwrap();
    let mut plain = String::new();
    for c in text.chars() {
        if c == '\u{8}' {
            let _ = plain.pop();
        } else {
            plain.push(c)
        }
    }
    for wanted in [
        "NAME",
        "ddi-verify",
        "SYNOPSIS",
        "--certificate",
        "EXIT STATUS",
        "nobody vouches for",
        "EXAMPLES",
        "SEE ALSO",
        "veritysetup(8)",
    ] {
        assert!(plain.contains(wanted), "{wanted}:\n{plain}");
    }
}

#[test]
fn completions_are_scripts() {
    let folder = Folder::new("completions");
    for (shell, name) in [("bash", "ddi"), ("zsh", "_ddi"), ("fish", "ddi.fish")] {
        let script = folder.0.join(name);
        if let Some(told) = ask(shell, [OsStr::new("-n"), script.as_os_str()]) {
            assert!(told.status.success() && told.stderr.is_empty(), "{shell}: {told:?}");
        }
    }
}

/// What bash offers at the end of that line.
fn offered(script: &Path, line: &[&str]) -> Option<Vec<String>> {
    let words = line.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
    let last = line.len() - 1;
    let run = format!(
        "source '{}'; COMP_WORDS=({words}); COMP_CWORD={last}; f=$(complete -p ddi); f=${{f#*-F }}; f=${{f%% *}}; \
         $f ddi '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        line[last],
        line[last - 1]
    );
    let told = ask("bash", ["--norc", "-c", &run])?;
    assert!(told.stderr.is_empty(), "{told:?}");
    Some(String::from_utf8(told.stdout).unwrap().lines().map(str::to_owned).collect())
}

#[test]
fn bash_completes_commands_options_and_words() {
    let folder = Folder::new("completions");
    let script = folder.0.join("ddi");
    for (line, wanted, other) in [
        (&["ddi", "ver"][..], "verify", "inspect"),
        (&["ddi", "check", ""], "golden", "verify"),
        (&["ddi", "verify", "--cert"], "--certificate", "--json"),
        (&["ddi", "inspect", "--h"], "--html", "--json"),
        (&["ddi", "check", "extension", "--scope", ""], "initrd", "user"),
        (&["ddi", "verity", "f"], "format", "verify"),
    ] {
        let Some(offers) = offered(&script, line) else { return };
        assert!(offers.iter().any(|offer| offer == wanted), "{line:?}: {offers:?}");
        assert!(!offers.iter().any(|offer| offer == other), "{line:?}: {offers:?}");
    }
}
