//! Partition definitions for systemd-repart, as far as they say which partitions are still to be made.
//!
//! Source: repart.d(5); systemd, `src/repart/repart.c:context_load_partition_table`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::ControlFlow;

use ddi_gpt::{Architecture, Partition, PartitionType};

use crate::metadata::MAX_FILE;
use crate::unit_file::{self, Line};
use crate::{absent_is_none, find};
use ddi_core::MountError;
use ddi_fs::{self as files, FileType, Limit, Place, Vfs};

/// Where definitions are, the most important first.
const DIRECTORIES: [&[u8]; 4] =
    [b"/etc/repart.d", b"/run/repart.d", b"/usr/local/lib/repart.d", b"/usr/lib/repart.d"];

/// Names that are listed in all of these directories and those of drop-ins together: far more than there are partitions. Each
/// name is one lookup at most, in a directory of at most as many.
const MAX_NAMES: usize = 4096;

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
        let Ok(()) = unit_file::each_line::<Infallible>(text, |_, line| {
            match line {
                Line::Section(name) => in_section = name == "Partition",
                Line::Setting(key, value) if in_section => self.set(key, value),
                _ => {}
            }
            Ok(())
        });
    }
}

/// The definitions of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definitions {
    /// In their order.
    pub(super) found: Vec<Definition>,
    /// There are more than are looked at.
    pub(super) has_more: bool,
}

/// Reads them. `native` is what types without an architecture mean.
pub(super) fn read(tree: &Vfs, native: Option<Architecture>) -> Result<Definitions, MountError> {
    let mut reader = Reader { tree, left: MAX_NAMES };
    let mut found = Vec::new();
    let read = reader.definitions(&mut |definition| {
        let name = definition.type_name.as_deref();
        let kind = name.and_then(|name| PartitionType::from_name(name, native).ok());
        found.push(Definition { kind, ..definition });
    });
    let has_more = match read {
        Ok(()) => false,
        Err(MountError::FileSystem(files::Error::Budget(Limit::Entries))) => true,
        Err(error) => return Err(error),
    };
    Ok(Definitions { found, has_more })
}

/// Reads definitions until there are too many names.
struct Reader<'a> {
    tree: &'a Vfs,
    /// Names that may still be listed.
    left: usize,
}

/// A file in one of the directories: its path, and where it is if that is no link.
struct Named {
    path: Vec<u8>,
    place: Place,
}

impl Reader<'_> {
    fn definitions(&mut self, each: &mut dyn FnMut(Definition)) -> Result<(), MountError> {
        let mut listed = Vec::new();
        for directory in DIRECTORIES {
            let found = find(self.tree, directory)?;
            listed.extend(found.map(|place| self.list(place, directory)).transpose()?);
        }
        // the first one of a name counts, and all directories of a name
        let mut files: BTreeMap<&[u8], &Named> = BTreeMap::new();
        let mut directories: BTreeMap<&[u8], Vec<&Named>> = BTreeMap::new();
        for (name, named) in listed.iter().flatten() {
            if name.ends_with(b".conf") {
                files.entry(name).or_insert(named);
            }
            if let Some(of) = name.strip_suffix(b".d") {
                directories.entry(of).or_default().push(named);
            }
        }
        for (name, file) in files {
            let Some(text) = self.content(file)? else { continue };
            let mut definition = Definition { path: file.path.clone(), ..Definition::default() };
            definition.apply(&text);
            let mut drop_ins: BTreeMap<Vec<u8>, Named> = BTreeMap::new();
            for directory in directories.get(name).into_iter().flatten() {
                let Some(place) = self.follow(directory)? else { continue };
                for (name, named) in self.list(place, &directory.path)? {
                    if name.ends_with(b".conf") {
                        drop_ins.entry(name).or_insert(named);
                    }
                }
            }
            for drop_in in drop_ins.values() {
                definition.apply(&self.content(drop_in)?.unwrap_or_default());
            }
            each(definition);
        }
        Ok(())
    }

    /// The names in a directory, if it is one.
    fn list(&mut self, directory: Place, path: &[u8]) -> Result<Vec<(Vec<u8>, Named)>, MountError> {
        let mut found = Vec::new();
        let mut has_more = false;
        let listed = self.tree.list(directory, &mut |entry, place| match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                let path = [path, b"/", entry.name].concat();
                found.push((entry.name.to_vec(), Named { path, place }));
                ControlFlow::Continue(())
            }
            None => {
                has_more = true;
                ControlFlow::Break(())
            }
        });
        absent_is_none(listed)?;
        if has_more {
            return Err(MountError::FileSystem(files::Error::Budget(Limit::Entries)));
        }
        Ok(found)
    }

    /// Where a file is, links followed.
    fn follow(&self, named: &Named) -> Result<Option<Place>, MountError> {
        match self.tree.stat(named.place).map_err(MountError::FileSystem)?.file_type {
            FileType::Symlink => find(self.tree, &named.path),
            _ => Ok(Some(named.place)),
        }
    }

    /// `None` if it is masked: empty, a link to `/dev/null`, or no file.
    fn content(&self, file: &Named) -> Result<Option<String>, MountError> {
        let Some(place) = self.follow(file)? else { return Ok(None) };
        let stat = self.tree.stat(place).map_err(MountError::FileSystem)?;
        if stat.file_type != FileType::Regular || stat.size == 0 {
            return Ok(None);
        }
        let bytes = self.tree.read(place, MAX_FILE).map_err(MountError::FileSystem)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }
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
    use ddi_testing::memory::Memory;

    fn summaries(memory: Memory) -> Vec<String> {
        let definitions = read(&memory.tree(), Some(Architecture::X86_64)).unwrap();
        assert!(!definitions.has_more);
        definitions.found.iter().map(Definition::summary).collect()
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

    /// Links to one directory of drop-ins do not multiply it.
    #[test]
    fn no_more_than_some_thousand() {
        let mut memory = Memory::new();
        for number in 0..3000 {
            memory = memory.file(&format!("/usr/lib/repart.d/{number:05}.conf"), "[Partition]\nType=srv\n");
        }
        assert_eq!(read(&memory.tree(), None).unwrap().found.len(), 3000);
        let mut memory = Memory::new();
        for number in 0..1000 {
            memory = memory.file(&format!("/drop-ins/{number:05}.conf"), "[Partition]\nLabel=a\n");
        }
        for number in 0..100 {
            let path = format!("/usr/lib/repart.d/{number:05}.conf");
            memory = memory.file(&path, "[Partition]\nType=srv\n").link(&format!("{path}.d"), "/drop-ins");
        }
        let definitions = read(&memory.tree(), None).unwrap();
        assert_eq!((definitions.found.len(), definitions.has_more), (3, true));
        let mut memory = Memory::new();
        for number in 0..5000 {
            memory = memory.file(&format!("/usr/lib/repart.d/{number}"), "");
        }
        let definitions = read(&memory.tree(), None).unwrap();
        assert_eq!((definitions.found.len(), definitions.has_more), (0, true));
    }

    #[test]
    fn types() {
        let memory = Memory::new()
            .file("/etc/repart.d/1.conf", "[Partition]\nType=no-such-type\n")
            .file("/etc/repart.d/2.conf", "[Partition]\nLabel=x\n")
            .file("/etc/repart.d/3.conf", "[Partition]\nType=933ac7e1-2eb4-4f13-b844-0e14e2aef915\n");
        let definitions = read(&memory.tree(), None).unwrap().found;
        let kinds: Vec<_> =
            definitions.iter().map(|definition| definition.kind.map(PartitionType::name)).collect();
        assert_eq!(kinds, [None, None, Some("home".to_owned())]);
        assert_eq!(without_partition(&definitions, &[]).len(), 1);
    }
}
