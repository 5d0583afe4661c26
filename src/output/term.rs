//! What the terminal, the locale and the user want: columns, characters, colours.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use crate::cli::ColorChoice;

/// Columns where there is no terminal to ask.
const DEFAULT_COLUMNS: usize = 100;
/// Fewer are taken for so many.
const MIN_COLUMNS: usize = 20;
/// More are taken for so many: nobody reads lines that long.
const MAX_COLUMNS: usize = 1000;

/// What output looks like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    /// No line is longer.
    pub(super) columns: usize,
    /// Somebody reads it on a terminal, or says how many columns there are.
    pub(super) is_terminal: bool,
    /// The locale has more than ASCII: of *our* marks. Text from an image is escaped, whatever the locale.
    pub(super) is_unicode: bool,
    /// Our words and marks are coloured.
    pub(super) has_color: bool,
}

/// What is meant by a colour. Text from an image has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    /// Titles, and what matters less.
    Faint,
    /// Proven, or as it should be.
    Good,
    /// Worth a look.
    Doubtful,
    /// Wrong, and nothing else.
    Bad,
}

/// Marks of ours, each with its stand-in for a locale without them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Something is missing here.
    Cut,
    Yes,
    No,
    Unknown,
}

impl Term {
    /// As stdout, the environment and `--color` have it.
    pub(super) fn detect(choice: ColorChoice) -> Self {
        let env = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let is_terminal = io::stdout().is_terminal();
        Term {
            columns: columns(env("COLUMNS"), is_terminal),
            is_terminal: is_terminal || env("COLUMNS").is_some(),
            is_unicode: is_utf8(["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(env)),
            has_color: has_color(choice, is_terminal, &env),
        }
    }

    pub(super) fn mark(&self, mark: Mark) -> &'static str {
        let (unicode, ascii) = match mark {
            Mark::Cut => ("…", "..."),
            Mark::Yes => ("✓", "+"),
            Mark::No => ("✗", "x"),
            Mark::Unknown => ("?", "?"),
        };
        if self.is_unicode { unicode } else { ascii }
    }

    /// Our own word in a colour; the columns that it takes stay the same.
    pub(super) fn paint(&self, style: Style, text: &str) -> String {
        let code = match style {
            _ if !self.has_color || text.is_empty() => return text.to_owned(),
            Style::Plain => return text.to_owned(),
            Style::Faint => "2",
            Style::Good => "32",
            Style::Doubtful => "33",
            Style::Bad => "31",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

#[cfg(test)]
impl Term {
    pub(super) fn plain(columns: usize) -> Self {
        Term { columns, is_terminal: true, is_unicode: true, has_color: false }
    }

    pub(super) fn ascii(columns: usize) -> Self {
        Term { columns, is_terminal: true, is_unicode: false, has_color: false }
    }
}

static TERM: OnceLock<Term> = OnceLock::new();

/// The one of this run; `--color` is known from the first call of [`set`].
pub(super) fn term() -> &'static Term {
    TERM.get_or_init(|| Term::detect(ColorChoice::Auto))
}

/// Says how coloured output is to be.
pub(crate) fn set(choice: ColorChoice) {
    TERM.get_or_init(|| Term::detect(choice));
}

fn columns(given: Option<OsString>, is_terminal: bool) -> usize {
    let given = given.and_then(|given| given.to_str()?.parse().ok()).filter(|columns| *columns > 0);
    let asked = || {
        let size = rustix::termios::tcgetwinsize(io::stdout()).ok().filter(|_| is_terminal)?;
        Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
    };
    given.or_else(asked).unwrap_or(DEFAULT_COLUMNS).clamp(MIN_COLUMNS, MAX_COLUMNS)
}

/// Returns true if the locale of this name has UTF-8, as `locale(7)` names it.
fn is_utf8(locale: Option<OsString>) -> bool {
    let Some(locale) = locale.as_ref().and_then(|locale| locale.to_str()) else { return false };
    let codeset = locale.split_once('.').map_or("", |(_, codeset)| codeset);
    let codeset = codeset.split('@').next().unwrap_or_default();
    matches!(codeset.to_ascii_lowercase().as_str(), "utf-8" | "utf8")
}

/// What was asked for; else as no-color.org and bixense.com/clicolors have it.
fn has_color(choice: ColorChoice, is_terminal: bool, env: &dyn Fn(&str) -> Option<OsString>) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto if env("NO_COLOR").is_some() => false,
        ColorChoice::Auto if env("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
        ColorChoice::Auto => is_terminal && env("TERM").is_some_and(|value| value != "dumb"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_what_was_said_else_a_default() {
        for (given, expected) in [
            (Some("80"), 80),
            (Some("0"), 100),
            (Some("x"), 100),
            (None, 100),
            (Some("3"), 20),
            (Some("99999"), 1000),
        ] {
            assert_eq!(columns(given.map(OsString::from), false), expected);
        }
    }

    #[test]
    fn locales() {
        for (name, expected) in [
            ("C.UTF-8", true),
            ("en_US.utf8", true),
            ("de_DE.UTF-8@euro", true),
            ("C", false),
            ("POSIX", false),
            ("de_DE", false),
            ("de_DE.ISO-8859-1", false),
        ] {
            assert_eq!(is_utf8(Some(name.into())), expected, "{name}");
        }
        assert!(!is_utf8(None));
    }

    #[test]
    fn colour_is_asked_for_or_fits() {
        let env = |set: &'static [(&str, &str)]| {
            move |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        };
        use ColorChoice::{Always, Auto, Never};
        for (choice, is_terminal, set, expected) in [
            (Auto, true, &[("TERM", "xterm")][..], true),
            (Auto, false, &[("TERM", "xterm")], false),
            (Auto, true, &[("TERM", "dumb")], false),
            (Auto, true, &[], false),
            (Auto, true, &[("TERM", "xterm"), ("NO_COLOR", "1")], false),
            (Auto, false, &[("CLICOLOR_FORCE", "1")], true),
            (Auto, false, &[("CLICOLOR_FORCE", "0")], false),
            (Auto, false, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
            (Always, false, &[("NO_COLOR", "1"), ("TERM", "dumb")], true),
            (Never, true, &[("CLICOLOR_FORCE", "1"), ("TERM", "xterm")], false),
        ] {
            assert_eq!(has_color(choice, is_terminal, &env(set)), expected, "{choice:?} {set:?}");
        }
    }
}
