//! From text to policy.

use core::fmt;
use core::ops::Range;
use core::str::FromStr;

use ddi_gpt::Designator;

use super::{Flags, ImagePolicy};

/// A policy that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// Where: a range of bytes of the text, possibly an empty one.
    pub at: Range<usize>,
}

/// What is wrong with a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// A rule without `=`; also an empty one, before, between or after colons.
    Syntax,
    /// Not the name of a designator.
    UnknownDesignator,
    /// Not the name of a flag.
    UnknownFlag,
    /// A second rule for the same designator, or a second default rule.
    Duplicate,
}

impl ParseErrorKind {
    /// A stable name for programs.
    pub fn code(self) -> &'static str {
        match self {
            ParseErrorKind::Syntax => "policy-syntax",
            ParseErrorKind::UnknownDesignator => "policy-unknown-designator",
            ParseErrorKind::UnknownFlag => "policy-unknown-flag",
            ParseErrorKind::Duplicate => "policy-duplicate-rule",
        }
    }

    /// What systemd's parser returns for it.
    pub fn errno_name(self) -> &'static str {
        match self {
            ParseErrorKind::Syntax => "EINVAL",
            ParseErrorKind::UnknownDesignator => "EBADSLT",
            ParseErrorKind::UnknownFlag => "EBADRQC",
            ParseErrorKind::Duplicate => "ENOTUNIQ",
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            ParseErrorKind::Syntax => "a rule must be DESIGNATOR=FLAGS",
            ParseErrorKind::UnknownDesignator => "no such designator",
            ParseErrorKind::UnknownFlag => "no such flag",
            ParseErrorKind::Duplicate => "a second rule for the same designator",
        };
        write!(f, "image policy, byte {}: {what}", self.at.start)
    }
}

impl core::error::Error for ParseError {}

/// A word that [`ImagePolicy::parse_gracefully`] did not know and left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// [`UnknownDesignator`](ParseErrorKind::UnknownDesignator) or [`UnknownFlag`](ParseErrorKind::UnknownFlag).
    pub kind: ParseErrorKind,
    /// Where: a range of bytes of the text.
    pub at: Range<usize>,
}

/// Strictly, as systemd reads command lines.
impl FromStr for ImagePolicy {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse(text, &mut |kind, at| Err(ParseError { kind, at }))
    }
}

impl ImagePolicy {
    /// Reads a policy as systemd 259 and newer read unit files: unknown designators and flags are left out, and
    /// told.
    ///
    /// This can open a policy: of `root=new-protection` remains `root=`, which allows everything.
    ///
    /// # Errors
    /// [`ParseErrorKind::Syntax`] and [`ParseErrorKind::Duplicate`]
    pub fn parse_gracefully(text: &str) -> Result<(Self, Vec<Skipped>), ParseError> {
        let mut skipped = Vec::new();
        let policy = parse(text, &mut |kind, at| {
            skipped.push(Skipped { kind, at });
            Ok(())
        })?;
        Ok((policy, skipped))
    }
}

/// Called with each unknown word; an error ends the parsing.
type Unknown<'a> = dyn FnMut(ParseErrorKind, Range<usize>) -> Result<(), ParseError> + 'a;

fn parse(text: &str, unknown: &mut Unknown<'_>) -> Result<ImagePolicy, ParseError> {
    match text {
        "" | "-" => return Ok(ImagePolicy::IGNORE),
        "*" => return Ok(ImagePolicy::ALLOW),
        "~" => return Ok(ImagePolicy::DENY),
        _ => {}
    }
    let mut policy = ImagePolicy::IGNORE;
    let mut has_default = false;
    for (start, rule) in split(text, 0, ':') {
        let Some((name, flags)) = rule.split_once('=') else {
            return Err(error(ParseErrorKind::Syntax, start, rule));
        };
        // behind the name and the `=`
        let flags_start = start.saturating_add(name.len()).saturating_add(1);
        let (name_start, name) = strip(start, name);
        let duplicate = error(ParseErrorKind::Duplicate, name_start, name);
        if name.is_empty() {
            if has_default {
                return Err(duplicate);
            }
            has_default = true;
            policy.default = parse_flags(flags, flags_start, unknown)?;
            continue;
        }
        let Some(designator) = Designator::ALL.into_iter().find(|d| d.name() == name) else {
            // its flags are not looked at either
            unknown(ParseErrorKind::UnknownDesignator, duplicate.at)?;
            continue;
        };
        if policy.rule(designator).is_some() {
            return Err(duplicate);
        }
        policy.set(designator, Some(parse_flags(flags, flags_start, unknown)?));
    }
    Ok(policy)
}

fn parse_flags(text: &str, start: usize, unknown: &mut Unknown<'_>) -> Result<Flags, ParseError> {
    let (start, text) = strip(start, text);
    let mut flags = Flags::EMPTY;
    if matches!(text, "" | "-") {
        return Ok(flags);
    }
    for (start, word) in split(text, start, '+') {
        let (start, word) = strip(start, word);
        match Flags::from_name(word) {
            Some(flag) => flags = flags | flag,
            None => unknown(ParseErrorKind::UnknownFlag, range(start, word))?,
        }
    }
    Ok(flags)
}

/// The pieces of `text` between separators, each with its place.
fn split(text: &str, start: usize, separator: char) -> impl Iterator<Item = (usize, &str)> {
    text.split(separator).scan(start, move |next, piece| {
        let start = *next;
        *next = start.saturating_add(piece.len()).saturating_add(separator.len_utf8());
        Some((start, piece))
    })
}

/// Without white space at both ends, and where that starts.
fn strip(start: usize, text: &str) -> (usize, &str) {
    const WHITE_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];
    let rest = text.trim_start_matches(WHITE_SPACE);
    let skipped = text.len().saturating_sub(rest.len());
    (start.saturating_add(skipped), rest.trim_end_matches(WHITE_SPACE))
}

fn range(start: usize, text: &str) -> Range<usize> {
    start..start.saturating_add(text.len())
}

fn error(kind: ParseErrorKind, start: usize, text: &str) -> ParseError {
    ParseError { kind, at: range(start, text) }
}
