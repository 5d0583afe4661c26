//! Definitions of transfers: the `*.transfer` files of sysupdate.d(5).

use std::fmt;

use ddi_gpt::{Architecture, Guid, PartitionType};

use super::{Pattern, PatternError};
use crate::unit_file::{self, Line};

/// Where the files of a transfer go.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// `Type=`: `partition`, `regular-file`, …; empty if it is not said.
    pub kind: String,
    /// `MatchPartitionType=`.
    pub partition_type: Guid,
    /// `MatchPattern=`: what labels look like. The first one makes new ones.
    pub patterns: Vec<Pattern>,
}

impl Target {
    /// Partitions of that type, with labels of that pattern.
    pub fn partition(partition_type: Guid, pattern: Pattern) -> Self {
        Target { kind: "partition".to_owned(), partition_type, patterns: vec![pattern] }
    }

    /// The type of partitions of that name, such as `root-x86-64`, or GUID. A name without an architecture means that of
    /// this machine, as to systemd.
    ///
    /// # Errors
    /// [`ddi_gpt::Error`] if there is none.
    pub fn partition_type(name: &str) -> Result<Guid, ddi_gpt::Error> {
        let known = PartitionType::from_name(name, Architecture::NATIVE)?;
        known.guid().ok_or(ddi_gpt::Error::UnknownDesignator)
    }

    /// Returns true if it is a partition.
    pub fn is_partition(&self) -> bool {
        self.kind == "partition"
    }
}

/// One of the files that make a version.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transfer {
    /// The name of its definition, or its pattern.
    pub name: String,
    /// What the names of its files look like: any of these.
    pub source: Vec<Pattern>,
    /// `Type=` of the section `[Source]`: `url-file`, `regular-file`, …; empty if it is not said.
    pub source_kind: String,
    /// `Verify=`: the manifest must be signed. Systemd's default.
    pub verify: bool,
    /// Where they go, if that is known.
    pub target: Option<Target>,
    /// `MinVersion=`: older ones are passed over.
    pub min_version: Option<String>,
    /// `ProtectVersion=`: never removed.
    pub protect_version: Option<String>,
    /// `InstancesMax=`.
    pub instances_max: Option<u64>,
    /// Keys with a specifier (`%`) in their values, which is not expanded here.
    pub unexpanded: Vec<String>,
}

/// What is wrong with a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferProblem {
    /// Not UTF-8.
    NotUtf8,
    /// Neither a section, nor `Key=value`, nor a comment.
    Syntax,
    /// A pattern that is none.
    Pattern(PatternError),
    /// No `MatchPattern=` in the section `[Source]` or, for partitions, `[Target]`.
    NoPattern {
        /// The section.
        section: &'static str,
    },
    /// No type of partitions.
    PartitionType,
    /// Not a number, or less than 2.
    InstancesMax,
    /// Not a version.
    Version,
}

/// A definition that is not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferError {
    /// Number of the line that it begins at, from 1; 0 for the whole file.
    pub line: usize,
    /// What is wrong.
    pub problem: TransferProblem,
}

impl TransferError {
    /// Stable name for programs.
    pub fn code(&self) -> &'static str {
        match &self.problem {
            TransferProblem::NotUtf8 => "transfer-not-utf-8",
            TransferProblem::Syntax => "transfer-syntax",
            TransferProblem::Pattern(error) => error.code(),
            TransferProblem::NoPattern { .. } => "transfer-no-pattern",
            TransferProblem::PartitionType => "transfer-partition-type",
            TransferProblem::InstancesMax => "transfer-instances-max",
            TransferProblem::Version => "transfer-version",
        }
    }
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        match &self.problem {
            TransferProblem::NotUtf8 => f.write_str("not UTF-8"),
            TransferProblem::Syntax => f.write_str("neither a section nor a key with a value"),
            TransferProblem::Pattern(error) => error.fmt(f),
            TransferProblem::NoPattern { section } => write!(f, "no MatchPattern= in [{section}]"),
            TransferProblem::PartitionType => f.write_str("not a type of partitions"),
            TransferProblem::InstancesMax => f.write_str("not a number of at least 2"),
            TransferProblem::Version => f.write_str("not a version"),
        }
    }
}

impl core::error::Error for TransferError {}

impl Transfer {
    /// Files of this pattern.
    pub fn new(source: Pattern) -> Self {
        Transfer {
            name: source.to_string(),
            source: vec![source],
            source_kind: String::new(),
            verify: true,
            target: None,
            min_version: None,
            protect_version: None,
            instances_max: None,
            unexpanded: Vec::new(),
        }
    }

    /// Returns true if it comes from the network, with a `SHA256SUMS` as the list of what there is.
    pub fn is_from_url(&self) -> bool {
        matches!(&*self.source_kind, "url-file" | "url-tar")
    }

    /// Reads a definition. Keys that have no part in which files belong together are passed over.
    ///
    /// # Errors
    /// [`TransferError`]
    pub fn parse(name: &str, text: &[u8]) -> Result<Self, TransferError> {
        let whole = |problem| TransferError { line: 0, problem };
        let text = std::str::from_utf8(text).map_err(|_| whole(TransferProblem::NotUtf8))?;
        let mut transfer = Transfer {
            name: name.to_owned(),
            source: Vec::new(),
            source_kind: String::new(),
            verify: true,
            target: None,
            min_version: None,
            protect_version: None,
            instances_max: None,
            unexpanded: Vec::new(),
        };
        let mut target = Target { kind: String::new(), partition_type: generic(), patterns: Vec::new() };
        let mut section = String::new();
        unit_file::each_line(text, |line, said| {
            let at = |problem| TransferError { line, problem };
            let (key, value) = match said {
                Line::Section(name) => {
                    section = name.to_owned();
                    return Ok(());
                }
                Line::Setting(key, value) => (key, value),
                Line::Other => return Err(at(TransferProblem::Syntax)),
            };
            if value.replace("%%", "").contains('%') {
                transfer.unexpanded.push(format!("{section}.{key}"));
            }
            let value = value.replace("%%", "%");
            let version = || match super::is_version(&value) {
                true => Ok(Some(value.clone())),
                false if value.is_empty() || value.contains('%') => Ok(None),
                false => Err(at(TransferProblem::Version)),
            };
            match (&*section, key) {
                ("Transfer", "MinVersion") => transfer.min_version = version()?,
                ("Transfer", "ProtectVersion") => transfer.protect_version = version()?,
                // what is no truth value is passed over
                ("Transfer", "Verify") => transfer.verify = truth(&value).unwrap_or(transfer.verify),
                ("Source", "Type") => transfer.source_kind = value,
                ("Source", "MatchPattern") => patterns(&mut transfer.source, &value).map_err(at)?,
                ("Target", "MatchPattern") => patterns(&mut target.patterns, &value).map_err(at)?,
                ("Target", "Type") => target.kind = value,
                ("Target", "MatchPartitionType") => {
                    let known = Target::partition_type(&value);
                    target.partition_type = known.map_err(|_| at(TransferProblem::PartitionType))?;
                }
                ("Target", "InstancesMax") => {
                    let number = value.parse().ok().filter(|number| *number >= 2);
                    transfer.instances_max = Some(number.ok_or(at(TransferProblem::InstancesMax))?);
                }
                _ => {}
            }
            Ok(())
        })?;
        if transfer.source.is_empty() {
            return Err(whole(TransferProblem::NoPattern { section: "Source" }));
        }
        if target.is_partition() && target.patterns.is_empty() {
            return Err(whole(TransferProblem::NoPattern { section: "Target" }));
        }
        transfer.target = (!target.kind.is_empty()).then_some(target);
        Ok(transfer)
    }
}

/// As `parse_boolean` of systemd.
fn truth(text: &str) -> Option<bool> {
    match &*text.to_ascii_lowercase() {
        "1" | "yes" | "y" | "true" | "t" | "on" => Some(true),
        "0" | "no" | "n" | "false" | "f" | "off" => Some(false),
        _ => None,
    }
}

/// Patterns are separated by white space, and an empty value takes back those before.
fn patterns(known: &mut Vec<Pattern>, value: &str) -> Result<(), TransferProblem> {
    if value.is_empty() {
        known.clear();
    }
    for word in value.split_ascii_whitespace() {
        let word = word.trim_matches('"');
        known.push(word.parse().map_err(TransferProblem::Pattern)?);
    }
    Ok(())
}

/// `linux-generic`.
fn generic() -> Guid {
    PartitionType::LinuxGeneric.guid().unwrap_or(Guid::NIL)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# comment\n[Transfer]\nMinVersion=5\nProtectVersion=%A\n\n[Source]\nType=url-file\n\
        Path=https://example.invalid/\nMatchPattern=os_@v.root.xz\n";

    fn good() -> String {
        GOOD.to_owned()
            + "MatchPattern=os_@v.root\n[Target]\nType=partition\nPath=auto\nMatchPattern=os_@v\n\
               MatchPartitionType=root-x86-64\nInstancesMax=3\nReadOnly=1\n"
    }

    #[test]
    fn definition() {
        let transfer = Transfer::parse("50-root", good().as_bytes()).unwrap();
        let patterns: Vec<_> = transfer.source.iter().map(ToString::to_string).collect();
        assert_eq!(patterns, ["os_@v.root.xz", "os_@v.root"]);
        assert_eq!((transfer.min_version.as_deref(), transfer.protect_version.as_deref()), (Some("5"), None));
        assert_eq!(
            (transfer.instances_max, &transfer.unexpanded[..]),
            (Some(3), &["Transfer.ProtectVersion".to_owned()][..])
        );
        let target = transfer.target.unwrap();
        assert_eq!(target.partition_type.to_string(), "4f68bce3-e8cd-4db1-96e7-fbcaf984b709");
        assert!(target.is_partition());
        assert!(transfer.source_kind == "url-file" && transfer.verify);
        let unsigned = good().replace("MinVersion", "Verify=off\nVerify=what\nMinVersion");
        assert!(!Transfer::parse("a", unsigned.as_bytes()).unwrap().verify);
        // a later word takes back an earlier one, however it is written
        for yes in ["1", "yes", "Y", "true", "t", "ON"] {
            let text = unsigned.replace("Verify=what", &format!("Verify={yes}"));
            assert!(Transfer::parse("a", text.as_bytes()).unwrap().verify, "{yes}");
        }
        for (kind, is_url) in [("url-file", true), ("url-tar", true), ("regular-file", false), ("", false)] {
            let text = good().replace("url-file", kind);
            assert_eq!(Transfer::parse("a", text.as_bytes()).unwrap().is_from_url(), is_url, "{kind}");
        }
        let fewest = good().replace("Max=3", "Max=2").replace("Version=%A", "Version=7");
        let fewest = Transfer::parse("a", fewest.as_bytes()).unwrap();
        assert_eq!((fewest.instances_max, fewest.protect_version.as_deref()), (Some(2), Some("7")));
    }

    /// Patterns are often written one below the other.
    #[test]
    fn lines_that_go_on() {
        let text = "[Source]\nMatchPattern=os_@v.root.xz \\\n# the old ones\n             os_@v.root\n\
                    [Transfer]\nMinVersion=\\\n 5\nnonsense\n";
        let error = Transfer::parse("a", text.as_bytes()).unwrap_err();
        assert_eq!((error.line, error.code()), (8, "transfer-syntax"));
        let transfer = Transfer::parse("a", text.replace("nonsense", "").as_bytes()).unwrap();
        let patterns: Vec<_> = transfer.source.iter().map(ToString::to_string).collect();
        assert_eq!(patterns, ["os_@v.root.xz", "os_@v.root"]);
        assert_eq!(transfer.min_version.as_deref(), Some("5"));
    }

    #[test]
    fn refused() {
        for (from, to, code) in [
            ("[Source]", "Source", "transfer-syntax"),
            ("os_@v.root.xz", "os.root.xz", "pattern-no-version"),
            ("os_@v.root\n", "os_@v.root\nMatchPattern=\n", "transfer-no-pattern"),
            ("=os_@v\n", "=\n", "transfer-no-pattern"),
            ("root-x86-64", "root-x86-65", "transfer-partition-type"),
            ("Max=3", "Max=1", "transfer-instances-max"),
            ("MinVersion=5", "MinVersion=5~1", "transfer-version"),
        ] {
            assert!(good().contains(from), "{from}");
            let text = good().replacen(from, to, 1);
            assert_eq!(Transfer::parse("a", text.as_bytes()).unwrap_err().code(), code, "{from}");
        }
        let whole = Transfer::parse("a", b"\xff").unwrap_err();
        assert_eq!((whole.code(), whole.to_string().as_str()), ("transfer-not-utf-8", "not UTF-8"));
        let first = Transfer::parse("a", b"nonsense").unwrap_err();
        assert!(first.line == 1 && first.to_string().starts_with("line 1: "), "{first}");
        let text = good().replacen("Max=3", "Max=1", 1);
        let error = Transfer::parse("a", text.as_bytes()).unwrap_err();
        assert!(
            error.line > 0 && error.to_string().starts_with(&format!("line {}: ", error.line)),
            "{error}"
        );
    }
}
