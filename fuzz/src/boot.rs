//! What the firmware starts, and what an update brings.

use ddi_os::sysupdate::{Manifest, Pattern, Transfer};
use ddi_os::uki::{BootName, BootState, CommandLine, Kind, PcrSignatures, Uki};

/// Asserts of a PE file: its sections are in the file; what is said of a section's content has the size that it has in
/// memory, and begins as in the file; there are at most 256 profiles; each profile sees a section of its own before that of
/// the base.
pub fn uki(input: &[u8]) {
    let Ok(uki) = Uki::read(&input) else { return };
    assert!((1..=256).contains(&uki.profile_count()));
    assert_eq!(uki.profiles().count(), uki.profile_count());
    assert!(uki.profile(uki.profile_count()).is_none());
    let listed = uki.base.len() + uki.profiles.iter().map(Vec::len).sum::<usize>();
    assert_eq!(listed, uki.pe.sections.len());
    for content in uki.base.iter().chain(uki.profiles.iter().flatten()) {
        let section = &content.section;
        let (offset, size) = (section.raw_offset as usize, section.content_size() as usize);
        let Some(text) = &content.text else { continue };
        assert_eq!(text.len(), section.virtual_size as usize);
        assert_eq!(text[..size], input[offset..offset + size]);
        assert!(text[size..].iter().all(|byte| *byte == 0));
    }
    if uki.kind == Kind::Uki {
        assert!(uki.pe.is_efi_application());
    }
    for profile in uki.profiles() {
        for content in profile.sections() {
            drop((content.section.name.to_string(), profile.has_own(&content.section.name.to_string())));
        }
        drop((profile.os_release(), profile.uname(), profile.identity(), profile.pcr_signatures()));
        if let Some(line) = profile.command_line() {
            assert_eq!(
                line.value("roothash").is_some(),
                line.words().any(|word| word.starts_with("roothash="))
            );
        }
    }
    drop(uki.duplicates());
}

/// Asserts, of the text that the first byte chooses: a boot entry without counters is good and keeps its ending without them,
/// one with them is not; a name that a pattern takes has a version; no path of a manifest leads out of its directory.
pub fn update(input: &[u8]) {
    let Some((which, input)) = input.split_first() else { return };
    match which % 5 {
        0 => {
            let Ok(manifest) = Manifest::parse(input) else { return };
            assert!(manifest.files.len() <= input.len() / 67);
            for file in &manifest.files {
                let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\0', '\n']);
                assert!(file.name.split('/').all(is_plain), "{:?}", file.name);
            }
        }
        1 => {
            let text = String::from_utf8_lossy(input);
            let Some((pattern, names)) = text.split_once('\n') else { return };
            let Ok(pattern) = pattern.parse::<Pattern>() else { return };
            for name in names.lines() {
                if let Some(fields) = pattern.fields(name) {
                    assert!(!fields.version.is_empty() && name.contains(&fields.version));
                    assert_eq!(pattern.fields(name), Some(fields));
                }
            }
        }
        2 => drop(Transfer::parse("fuzz.transfer", input)),
        3 => {
            let Ok(name) = BootName::parse(input) else { return };
            let id = name.id();
            assert!(id.len() <= input.len());
            let ending = |name: &[u8]| name.rsplit(|byte| *byte == b'.').next().map(<[u8]>::to_vec);
            assert_eq!(ending(&id), ending(input));
            assert_eq!(id != input, name.state() != BootState::Good);
        }
        _ => {
            let line = CommandLine::parse(input);
            assert!(line.words().count() <= input.len());
            drop(PcrSignatures::parse(input));
        }
    }
}
