//! The only file that prints (with the parts of it in `output/`): results to stdout, all else to stderr.
//!
//! Whatever may come from an image is [escaped](Escaped) here. A reader of stdout that goes away is not an error: the exit
//! status still says what was found.

mod bench;
mod build;
mod check;
mod files;
mod gpt;
mod inspect;
mod name;
mod picture;
mod policy;
mod progress;
mod read;
mod serve;
mod several;
mod sign;
mod signature;
mod split;
mod table;
mod term;
mod unproven;
mod verify;
mod verity;
mod width;

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use ddi_gpt::Escaped;
use serde_json::Value;

use crate::cli::ColorChoice;
use crate::failure::{self, Asked};

pub(crate) use bench::{Measured, Speed, bench};
pub(crate) use build::{Made, Planned, baked, built, planned};
pub(crate) use check::check;
pub(crate) use files::{Bytes, Entry, Lines, Shape, sha256};
pub(crate) use gpt::{Repaired, map, repair, repair_end, repair_json, restored, script};
pub(crate) use inspect::{Detail, Inspected, inspect};
use name::hex;
pub(crate) use name::{named, shown_name};
pub(crate) use policy::{PolicyChecked, checked, policy};
pub(crate) use progress::{Activity, Progress, clear as clear_progress};
pub(crate) use read::{Unreadable, bytes, bytes_to};
pub(crate) use serve::{owners_text, served, served_text};
pub(crate) use several::Several;
pub(crate) use sign::signed;
pub(crate) use split::split;
use table::{Cell, Table};
use term::term;
pub(crate) use verify::{Verified, verify};
pub(crate) use verity::{dump, formatted, refused, repaired, verified};
use width::cut;

/// Whether a JSON document is on stdout, or part of one: there is never a second.
static ANSWERED: AtomicBool = AtomicBool::new(false);

/// Whether only the exit status is to say what was found.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Says what output is to be like, before there is any.
pub(crate) fn set(color: ColorChoice, quiet: bool) {
    term::set(color);
    QUIET.store(quiet, Ordering::Relaxed);
}

fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Text of any origin, made fit for a terminal.
fn escape(text: &str) -> String {
    Escaped::new(text).to_string()
}

/// As [`escape`], for sentences in which something may be escaped already: backslashes stay as they are.
fn escape_sentence(text: impl Display) -> String {
    let parts: Vec<_> = text.to_string().split('\\').map(escape).collect();
    parts.join("\\")
}

/// Prints to stdout in one go what people read.
fn print(text: &str) -> anyhow::Result<()> {
    if is_quiet() { Ok(()) } else { print_asked(text) }
}

/// Prints to stdout in one go what was asked for by name, even of a quiet command.
fn print_asked(text: &str) -> anyhow::Result<()> {
    let write = || {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush())
    };
    match progress::around(write) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

/// Prints Markdown, which is escaped for whatever shows it.
pub(crate) fn markdown(text: &str) -> anyhow::Result<()> {
    print(text)
}

/// Prints a JSON value to stdout, indented.
fn print_json(value: &Value) -> anyhow::Result<()> {
    ANSWERED.store(true, Ordering::Relaxed);
    if several::take(value) {
        return Ok(());
    }
    print_asked(&escape_json(&format!("{value:#}\n")))
}

/// JSON that means the same, fit for a terminal: what [`escape`] would escape, in the way of JSON. Such characters are found
/// in strings alone.
fn escape_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        let harmless = c == '\n' || c == ' ' || c.is_ascii_graphic();
        if harmless || escape(c.encode_utf8(&mut [0; 4])).len() == c.len_utf8() {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

/// Says on stderr why there is no answer, and on stdout too if JSON was asked for.
pub(crate) fn failed(reason: &anyhow::Error, asked: Option<&Asked>) {
    error(reason);
    let Some(Asked { image }) = asked else { return };
    if ANSWERED.load(Ordering::Relaxed) {
        return;
    }
    let mut message = chain(reason);
    // it has a key of its own
    if let Some(rest) = image.as_ref().and_then(|image| message.strip_prefix(image)?.strip_prefix(": ")) {
        message = rest.to_owned();
    }
    let document = failure::of(reason).message(message).image(image.clone()).to_json();
    // what was to be told is on stderr
    let _ = print_json(&document);
}

/// Says on stderr why there is no answer, or not all of it.
pub(crate) fn error(error: &anyhow::Error) {
    say("error", chain(error));
}

/// The error and its causes; many an error names its cause already.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string).filter(|cause| !cause.is_empty()) {
        if !text.contains(&cause) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&cause);
        }
    }
    text
}

/// Says on stderr what the reader of the result should know.
pub(crate) fn warning(text: &str) {
    say("warning", text);
}

/// Something that happens while a command goes on.
pub(crate) fn note(text: &str) {
    let _ = progress::around(|| writeln!(io::stderr(), "ddi: {}", escape_sentence(text)));
}

fn say(what: &str, text: impl Display) {
    /// Columns of a line that somebody may have to read: what was given, or is in an image, may have any length.
    const MAX: usize = 1000;
    let text = cut(&escape_sentence(text), MAX, term());
    // there is nobody left to tell if this fails
    let _ = progress::around(|| writeln!(io::stderr(), "ddi: {what}: {text}"));
}

/// Bytes as people say them, `184.0K`, in the form of `systemd-dissect`.
fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["K", "M", "G", "T", "P", "E"];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let power = (bytes.ilog2() / 10).clamp(1, 6);
    let unit = 1u128 << (10 * power);
    let tenths = u128::from(bytes) * 10 / unit;
    format!("{}.{}{}", tenths / 10, tenths % 10, UNITS[power as usize - 1])
}

/// Bytes with the unit spelled out, `180 KiB`, with a decimal where it is not a whole number of them.
fn binary_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let power = (bytes.ilog2() / 10).clamp(1, 6);
    let tenths = u128::from(bytes) * 10 / (1u128 << (10 * power));
    let unit = UNITS[power as usize - 1];
    match tenths % 10 {
        0 => format!("{} {unit}", tenths / 10),
        tenth => format!("{}.{tenth} {unit}", tenths / 10),
    }
}

/// `1 block`, `2 blocks`.
fn count(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::{binary_size, escape_json, human_size};

    #[test]
    fn json_is_fit_for_a_terminal_and_means_the_same() {
        for text in [
            "a\u{7f}\u{9b}31m",
            "\u{202e}\u{ad}\u{feff}",
            "\u{e0041}\u{10ffff}",
            "\\u{1b}",
            "é\u{1f600}\"\\",
            "\u{fffd}",
        ] {
            let value = serde_json::json!({ text: [text] });
            let json = escape_json(&format!("{value:#}"));
            assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), value);
            assert!(json.chars().all(|c| c == '\n' || !c.is_control()), "{json:?}");
        }
        assert_eq!(escape_json("\u{202e}\u{e0041}é"), "\\u202e\\udb40\\udc41é");
    }

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.0K"),
            (184 * 1024, "184.0K"),
            (1536 * 1024, "1.5M"),
            (u64::MAX, "15.9E"),
        ] {
            assert_eq!(human_size(bytes), text);
        }
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (180 << 10, "180 KiB"),
            (1536 << 10, "1.5 MiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(binary_size(bytes), text);
        }
    }
}
