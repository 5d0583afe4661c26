//! Entries of the boot menu: their text, and their order.

use std::cmp::Ordering;

use ddi_gpt::compare_version_bytes;

use crate::metadata::EnvFile;
use crate::uki::{BootName, BootState};

/// The keys of an entry that name files.
const FILES: [&str; 6] = ["linux", "initrd", "efi", "uki", "devicetree", "devicetree-overlay"];
/// Those that say what is started.
const BOOTS: [&str; 4] = ["linux", "efi", "uki", "uki-url"];

/// A text file in `/loader/entries` (UAPI.1, *Type #1*).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct TypeOne {
    fields: Vec<(String, String)>,
}

impl TypeOne {
    pub(super) fn parse(text: &[u8]) -> Self {
        TypeOne { fields: fields(text) }
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.fields.iter().rev().find(|(known, _)| known == key).map(|(_, value)| &**value)
    }

    /// The keys that say what is started.
    pub(super) fn boots(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(key, _)| &**key).filter(|key| BOOTS.contains(key))
    }

    /// The files that must be there: the key, and the path from the root of the partition.
    pub(super) fn paths(&self) -> impl Iterator<Item = (&str, String)> {
        let is_file = |(key, _): &&(String, String)| FILES.contains(&&**key);
        self.fields.iter().filter(is_file).flat_map(|(key, value)| {
            // overlays are a list
            let paths = if key == "devicetree-overlay" { value.split(' ').collect() } else { vec![&**value] };
            paths.into_iter().filter(|path| !path.is_empty()).map(|path| (&**key, rooted(path)))
        })
    }

    /// The command line: all `options` one after the other.
    pub(super) fn options(&self) -> String {
        let options = self.fields.iter().filter(|(key, _)| key == "options").map(|(_, value)| &**value);
        options.collect::<Vec<_>>().join(" ")
    }
}

/// Lines of a key, blanks, and a value, which may be in quotes; `#` begins a comment, and a NUL ends all. As
/// `line_get_key_value` of systemd-boot.
pub(super) fn fields(text: &[u8]) -> Vec<(String, String)> {
    const BLANKS: [char; 2] = [' ', '\t'];
    let text = String::from_utf8_lossy(text.split(|byte| *byte == 0).next().unwrap_or_default());
    let line = |line: &str| {
        let line = line.trim_matches(BLANKS);
        let (key, value) = line.split_once(BLANKS)?;
        let value = value.trim_start_matches(BLANKS);
        let quoted = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
        let value = quoted('"').or_else(|| quoted('\'')).unwrap_or(value);
        (!line.starts_with('#')).then(|| (key.to_owned(), value.to_owned()))
    };
    text.split(['\n', '\r']).filter_map(line).collect()
}

/// As EFI has it or as others have it.
fn rooted(path: &str) -> String {
    let path = path.replace('\\', "/");
    if path.starts_with('/') { path } else { format!("/{path}") }
}

/// What the boot menu sorts by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    name: BootName,
    shown: String,
    sort_key: Option<String>,
    machine_id: String,
    version: String,
}

impl Entry {
    /// As `bootspec_pick_name_version_sort_key` of systemd.
    pub(super) fn of_uki(name: BootName, shown: &str, os_release: &EnvFile) -> Self {
        let first =
            |keys: &[&str]| keys.iter().find_map(|key| os_release.get_non_empty(key)).map(str::to_owned);
        Entry {
            name,
            shown: shown.to_owned(),
            sort_key: first(&["IMAGE_ID", "ID"]),
            machine_id: String::new(),
            version: first(&["IMAGE_VERSION", "VERSION", "VERSION_ID", "BUILD_ID"]).unwrap_or_default(),
        }
    }

    pub(super) fn of_type_one(name: BootName, shown: &str, entry: &TypeOne) -> Self {
        let get = |key| entry.get(key).map(str::to_owned);
        Entry {
            name,
            shown: shown.to_owned(),
            sort_key: get("sort-key"),
            machine_id: get("machine-id").unwrap_or_default(),
            version: get("version").unwrap_or_default(),
        }
    }

    /// The order of the menu: what is tried first comes first (UAPI.1, *Sorting*; `boot_entry_compare` of systemd-boot).
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let is_bad = |entry: &Self| entry.name.state() == BootState::Bad;
        let newest_first = |a: &[u8], b: &[u8]| compare_version_bytes(b, a);
        let by_key = match (&self.sort_key, &other.sort_key) {
            (Some(a), Some(b)) => (a.cmp(b))
                .then_with(|| self.machine_id.cmp(&other.machine_id))
                .then_with(|| newest_first(self.version.as_bytes(), other.version.as_bytes())),
            (a, b) => a.is_none().cmp(&b.is_none()),
        };
        let left = |entry: &Self| entry.name.counters.map(|counters| counters.left);
        let done = |entry: &Self| entry.name.counters.and_then(|counters| counters.done);
        is_bad(self)
            .cmp(&is_bad(other))
            .then(by_key)
            .then_with(|| newest_first(&self.name.id(), &other.name.id()))
            .then_with(|| left(other).cmp(&left(self)))
            .then_with(|| done(self).cmp(&done(other)))
    }

    /// What it is called to systemd-boot: its file, in lower case.
    pub(super) fn id(&self) -> String {
        self.shown.rsplit('/').next().unwrap_or_default().to_ascii_lowercase()
    }

    pub(super) fn shown(&self) -> &str {
        &self.shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uki(name: &str, os_release: &str) -> Entry {
        let fields = EnvFile::parse(os_release.as_bytes()).unwrap();
        Entry::of_uki(BootName::parse(name.as_bytes()).unwrap(), name, &fields)
    }

    #[test]
    fn order() {
        let type_one = |name: &str, text: &str| {
            Entry::of_type_one(
                BootName::parse(name.as_bytes()).unwrap(),
                name,
                &TypeOne::parse(text.as_bytes()),
            )
        };
        // ascending: what is tried first comes first
        let sorted = [
            uki("b_10.efi", "ID=a\nVERSION_ID=10"),
            uki("b_9.efi", "ID=a\nVERSION_ID=9"),
            // the same version: by name
            uki("c.efi", "ID=b\nIMAGE_VERSION=1\nVERSION_ID=7"),
            uki("b.efi", "ID=x\nIMAGE_ID=b\nIMAGE_VERSION=1"),
            uki("b+3.efi", "ID=c"),
            uki("b+2-1.efi", "ID=c"),
            uki("b+2-2.efi", "ID=c"),
            type_one("z.conf", "sort-key d\nmachine-id 1\nversion 1"),
            type_one("z.conf", "sort-key d\nmachine-id 2\nversion 2"),
            // without a sort key
            type_one("y_2.conf", "version 1"),
            type_one("y_1.conf", "version 2"),
            // no tries left
            uki("a+0-3.efi", "ID=a\nVERSION_ID=99"),
            type_one("a+0.conf", ""),
        ];
        for (i, a) in sorted.iter().enumerate() {
            for (j, b) in sorted.iter().enumerate() {
                assert_eq!(a.compare(b), i.cmp(&j), "{} {}", a.shown, b.shown);
            }
        }
    }

    #[test]
    fn text() {
        let entry = TypeOne::parse(
            b"# linux /no\ntitle A\nlinux  \\EFI\\a\ninitrd x\ninitrd\t/y\nefi\noptions a=1\noptions  b 'c d'\n\
              devicetree-overlay /d /e\n",
        );
        assert_eq!(entry.boots().collect::<Vec<_>>(), ["linux"]);
        let paths: Vec<_> = entry.paths().collect();
        let expected = [
            ("linux", "/EFI/a"),
            ("initrd", "/x"),
            ("initrd", "/y"),
            ("devicetree-overlay", "/d"),
            ("devicetree-overlay", "/e"),
        ];
        assert_eq!(paths, expected.map(|(key, path)| (key, path.to_owned())));
        assert_eq!(entry.options(), "a=1 b 'c d'");
        assert_eq!(TypeOne::parse(b"\xff\n  \nlinux").boots().count(), 0);
        let quoted = TypeOne::parse(b"linux \"/a b\"\r\noptions 'x y'\rtitle \"\nefi /a\0\nuki /b");
        assert_eq!(quoted.paths().map(|(_, path)| path).collect::<Vec<_>>(), ["/a b", "/a"]);
        assert_eq!((&*quoted.options(), quoted.get("title")), ("x y", Some("\"")));
    }
}
