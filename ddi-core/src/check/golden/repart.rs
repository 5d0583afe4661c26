//! Partition definitions for systemd-repart, as far as they say which partitions are still to be made.
//!
//! Source: repart.d(5); systemd, `src/repart/repart.c:context_load_partition_table`.

use ddi_gpt::{Architecture, Partition, PartitionType};

use crate::check::{find, names};
use crate::contents::Unreadable;
use crate::files::{FileType, Tree};
use crate::metadata::MAX_FILE;

/// Where definitions are, the most important first.
const DIRECTORIES: [&[u8]; 4] =
    [b"/etc/repart.d", b"/run/repart.d", b"/usr/local/lib/repart.d", b"/usr/lib/repart.d"];

/// One definition: the file, and what it says in the end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Definition {
    pub(super) path: Vec<u8>,
    pub(super) type_name: Option<String>,
    pub(super) kind: Option<PartitionType>,
    label: Option<String>,
    format: Option<String>,
    size_min: Option<String>,
    verity: Option<String>,
    supplement_for: Option<String>,
}

impl Definition {
    /// `usr-x86-64-verity, label _empty, format …`
    pub(super) fn summary(&self) -> String {
        let mut text = self.kind.map_or_else(|| "?".to_owned(), |kind| kind.name());
        for (name, value) in [
            ("label", &self.label),
            ("format", &self.format),
            ("verity", &self.verity),
            ("at least", &self.size_min),
        ] {
            if let Some(value) = value {
                text.push_str(&format!(", {name} {value}"));
            }
        }
        text
    }

    fn set(&mut self, key: &str, value: &str) {
        let field = match key {
            "Type" => &mut self.type_name,
            "Label" => &mut self.label,
            "Format" => &mut self.format,
            "SizeMinBytes" => &mut self.size_min,
            "Verity" => &mut self.verity,
            "SupplementFor" => &mut self.supplement_for,
            _ => return,
        };
        *field = Some(value.to_owned()).filter(|value| !value.is_empty());
    }

    /// Takes over what the text of a file sets.
    fn apply(&mut self, text: &str) {
        let mut in_section = false;
        let mut joined = String::new();
        for line in text.lines() {
            let line = line.trim();
            // comments may stand between the lines of one setting
            if line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(begin) = line.strip_suffix('\\') {
                joined.push_str(begin);
                joined.push(' ');
                continue;
            }
            joined.push_str(line);
            let line = std::mem::take(&mut joined);
            let line = line.trim();
            if line.starts_with('[') {
                in_section = line == "[Partition]";
            } else if in_section && let Some((key, value)) = line.split_once('=') {
                self.set(key.trim(), value.trim());
            }
        }
    }
}

/// The definitions of an image, in their order. `native` is what types without an architecture mean.
pub(super) fn read(tree: &Tree, native: Option<Architecture>) -> Result<Vec<Definition>, Unreadable> {
    let mut definitions = Vec::new();
    for (name, path) in files(tree, b"")? {
        let Some(text) = content(tree, &path)? else { continue };
        let mut definition = Definition { path, ..Definition::default() };
        definition.apply(&text);
        for (_, path) in files(tree, &[&*name, b".d"].concat())? {
            if let Some(text) = content(tree, &path)? {
                definition.apply(&text);
            }
        }
        let kind =
            definition.type_name.as_deref().and_then(|name| PartitionType::from_name(name, native).ok());
        definition.kind = kind;
        definitions.push(definition);
    }
    Ok(definitions)
}

/// The name of a file, and its path.
type Named = (Vec<u8>, Vec<u8>);

/// The `*.conf` files in all directories, by name; of one name the first one counts.
fn files(tree: &Tree, under: &[u8]) -> Result<Vec<Named>, Unreadable> {
    let mut found: Vec<Named> = Vec::new();
    for directory in DIRECTORIES {
        let directory = match under {
            b"" => directory.to_vec(),
            _ => [directory, b"/", under].concat(),
        };
        for (name, _) in names(tree, &directory)? {
            if name.ends_with(b".conf") && found.iter().all(|(other, _)| *other != name) {
                let path = [&*directory, b"/", &*name].concat();
                found.push((name, path));
            }
        }
    }
    found.sort();
    Ok(found)
}

/// `None` if it is masked: empty, a link to `/dev/null`, or no file.
fn content(tree: &Tree, path: &[u8]) -> Result<Option<String>, Unreadable> {
    let Some(place) = find(tree, path)? else { return Ok(None) };
    let stat = tree.stat(place).map_err(Unreadable::FileSystem)?;
    if stat.file_type != FileType::Regular || stat.size == 0 {
        return Ok(None);
    }
    let bytes = tree.read(place, MAX_FILE).map_err(Unreadable::FileSystem)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Definitions that no partition of the table is taken for: each partition, by number, is taken for the first
/// definition of its type that has none yet.
pub(super) fn without_partition<'a>(
    definitions: &'a [Definition],
    partitions: &[Partition],
) -> Vec<&'a Definition> {
    let mut left: Vec<&Definition> = definitions
        .iter()
        .filter(|definition| definition.kind.is_some() && definition.supplement_for.is_none())
        .collect();
    for partition in partitions {
        let kind = partition.partition_type();
        if let Some(at) = left.iter().position(|definition| definition.kind == Some(kind)) {
            left.remove(at);
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::tests::memory::Memory;

    fn summaries(memory: Memory) -> Vec<String> {
        let definitions = read(&memory.tree(), Some(Architecture::X86_64)).unwrap();
        definitions.iter().map(Definition::summary).collect()
    }

    #[test]
    fn settings_of_the_right_section_alone() {
        let text = "Type=esp\n[Other]\nType=home\n[Partition]\n# Type=srv\nType=usr\nLabel=a\nLabel=\n\
                    Format = \\\n; between\n erofs \nSizeMinBytes=10M\nVerity=data";
        assert_eq!(
            summaries(Memory::new().file("/usr/lib/repart.d/10.conf", text)),
            ["usr-x86-64, format erofs, verity data, at least 10M"]
        );
    }

    #[test]
    fn masks_drop_ins_and_order() {
        let memory = Memory::new()
            .file("/usr/lib/repart.d/20-b.conf", "[Partition]\nType=srv\n")
            .file("/usr/lib/repart.d/10-a.conf", "[Partition]\nType=home\n")
            .file("/etc/repart.d/10-a.conf", "[Partition]\nType=var\n")
            .file("/usr/lib/repart.d/10-a.conf.d/x.conf", "[Partition]\nLabel=dropped-in\n")
            .file("/usr/lib/repart.d/30-masked.conf", "[Partition]\nType=swap\n")
            .link("/etc/repart.d/30-masked.conf", "/dev/null")
            .file("/usr/lib/repart.d/40-empty.conf", "")
            .file("/usr/lib/repart.d/50-not-a-definition", "[Partition]\nType=swap\n");
        assert_eq!(summaries(memory), ["var, label dropped-in", "srv"]);
    }

    #[test]
    fn types() {
        let memory = Memory::new()
            .file("/etc/repart.d/1.conf", "[Partition]\nType=no-such-type\n")
            .file("/etc/repart.d/2.conf", "[Partition]\nLabel=x\n")
            .file("/etc/repart.d/3.conf", "[Partition]\nType=933ac7e1-2eb4-4f13-b844-0e14e2aef915\n");
        let definitions = read(&memory.tree(), None).unwrap();
        let kinds: Vec<_> =
            definitions.iter().map(|definition| definition.kind.map(PartitionType::name)).collect();
        assert_eq!(kinds, [None, None, Some("home".to_owned())]);
        assert_eq!(without_partition(&definitions, &[]).len(), 1);
    }
}
