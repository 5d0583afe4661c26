//! `/loader/loader.conf`: whether the entry that it makes the default is there.

use super::volume::{TreeFile, Volume};
use super::{Checker, MAX_ENTRY, MAX_FIELD};
use crate::boot::entry::fields;
use crate::{Subject, find, shortened};
use ddi_core::MountError;
use ddi_core::Severity::Warning;

const PATH: &[u8] = b"/loader/loader.conf";
const LOADER_CONF: &str = "loader.conf(5)";

impl Checker<'_> {
    /// systemd-boot reads it from the ESP it was started from.
    pub(super) fn loader_conf(&mut self, volume: &Volume) -> Result<(), MountError> {
        let Some(place) = find(&volume.tree, PATH)? else { return Ok(()) };
        let Some(file) = TreeFile::new(&volume.tree, place) else { return Ok(()) };
        let text = match volume.tree.read(file.place, MAX_ENTRY) {
            Ok(text) => text,
            Err(error) => {
                let subject = volume.subject_of(PATH);
                self.find(Warning, "loader-conf-unreadable", &subject, error.to_string(), LOADER_CONF);
                return Ok(());
            }
        };
        // the last one counts
        let default = fields(&text).into_iter().rfind(|(key, _)| key == "default");
        let Some((_, default)) = default else { return Ok(()) };
        let pattern = default.to_ascii_lowercase();
        // one that systemd-boot makes, the one that was started last, a profile
        if pattern.starts_with("auto-") || pattern.contains(['@', '[']) {
            return Ok(());
        }
        if !self.entries.iter().any(|entry| is_match(pattern.as_bytes(), entry.id().as_bytes())) {
            let subject = Subject::Field { path: volume.path(PATH), key: "default".to_owned() };
            let reason = format!(
                "no entry is called {}: the first one of the menu is started",
                shortened(&default, MAX_FIELD)
            );
            self.find(Warning, "default-matches-nothing", &subject, reason, LOADER_CONF);
        }
        Ok(())
    }
}

/// As `efi_fnmatch` of systemd-boot, without sets of characters. Takes as many steps as the product of both lengths, at most.
fn is_match(pattern: &[u8], name: &[u8]) -> bool {
    let (mut pattern, mut name) = (pattern, name);
    // behind the last star, and what it was compared with
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), name.split_first()) {
            (Some((b'*', rest)), _) => {
                star = Some((rest, name));
                pattern = rest;
            }
            (Some((b'?', rest)), Some((_, after))) => (pattern, name) = (rest, after),
            (Some((expected, rest)), Some((found, after))) if expected == found => {
                (pattern, name) = (rest, after);
            }
            (None, None) => return true,
            _ => {
                // the star takes one more
                let Some((rest, (_, after))) = star.and_then(|(rest, at)| Some((rest, at.split_first()?)))
                else {
                    return false;
                };
                star = Some((rest, after));
                (pattern, name) = (rest, after);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("os_7.efi", "os_7.efi", true),
            ("os_*", "os_7.efi", true),
            ("*", "", true),
            ("*.efi", "a.conf", false),
            ("*a*b", "xaxaxb", true),
            ("*a*b", "xaxaxbx", false),
            ("os_?.efi", "os_7.efi", true),
            ("os_?.efi", "os_.efi", false),
            ("os_7", "os_7.efi", false),
            ("", "a", false),
        ] {
            assert_eq!(is_match(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
        assert!(!is_match("*a".repeat(200).as_bytes(), "a".repeat(199).as_bytes()));
    }
}
