mod pe;

use proptest::prelude::*;

pub(crate) use self::pe::PeBuilder;
use super::*;

impl PeBuilder {
    /// Where the header of section `index` is.
    fn header(index: usize) -> usize {
        64 + 24 + 240 + 40 * index
    }
}

fn plain() -> PeBuilder {
    PeBuilder::new()
        .section(".osrel", b"ID=demo\nIMAGE_VERSION=7\n")
        .section(".cmdline", b"quiet roothash=ab")
        .section(".uname", b"6.99.0\n")
        .section(".linux", &[7; 5000])
}

fn read(bytes: &[u8]) -> Result<Uki, Error> {
    Uki::read(&bytes)
}

#[test]
fn a_uki() {
    let uki = read(&plain().build()).unwrap();
    assert_eq!((uki.kind, uki.profile_count(), uki.duplicates().len()), (Kind::Uki, 1, 0));
    assert_eq!(uki.pe.machine.architecture(), Some(ddi_gpt::Architecture::X86_64));
    assert_eq!((uki.pe.is_pe32_plus, uki.pe.certificates), (true, None));
    let profile = uki.profile(0).unwrap();
    assert_eq!(profile.os_release().unwrap().unwrap().get("IMAGE_VERSION"), Some("7"));
    assert_eq!(profile.command_line().unwrap().value("roothash"), Some("ab"));
    assert_eq!(profile.uname().as_deref(), Some("6.99.0"));
    assert_eq!(profile.identity(), (None, None));
    assert_eq!(profile.section(".linux").unwrap().text, None);
    assert!(uki.profile(1).is_none());
    let signed = PeBuilder { certificates: (0x2000, 8), ..plain() };
    assert_eq!(read(&signed.build()).unwrap().pe.certificates, Some((0x2000, 8)));
}

/// What systemd-boot and systemd-stub ask of the headers and of the kernel.
#[test]
fn f6_headers_and_kernels() {
    let mut early = plain().build();
    early[60] = 60;
    early.copy_within(64..68, 60);
    assert!(matches!(read(&early), Err(Error::NotPe { .. })));
    let of = |kernels: &[&[u8]]| {
        let add =
            |builder: PeBuilder, kernel: &&[u8]| builder.section(".profile", b"").section(".linux", kernel);
        read(&kernels.iter().fold(PeBuilder::new(), add).build()).unwrap().kernel_is_pe
    };
    for (kernels, expected) in [
        (&[][..], None),
        (&[&b"MZ"[..]], Some(true)),
        (&[b"M"], Some(false)),
        (&[b""], Some(false)),
        (&[b"\\EFI\\k.efi"], Some(false)),
        (&[b"MZ", b"MZ"], Some(true)),
        (&[b"MZ", b"ELF"], Some(false)),
        (&[b"ELF", b"MZ"], Some(false)),
    ] {
        assert_eq!(of(kernels), expected, "{kernels:?}");
    }
    let uki = read(&plain().build()).unwrap();
    assert!(uki.has_section(".osrel") && !uki.has_section(".osre") && !uki.has_section(".initrd"));
}

#[test]
fn what_it_is() {
    let linux = PeBuilder::new().section(".linux", b"kernel");
    for (builder, kind) in [
        (plain(), Kind::Uki),
        (linux.clone(), Kind::Other),
        (PeBuilder { subsystem: 11, ..plain() }, Kind::Other),
        (PeBuilder::new().section(".text", b"code"), Kind::Other),
        (PeBuilder::new().section(".cmdline", b"debug"), Kind::Addon),
        (PeBuilder::new().section(".initrd", b"cpio"), Kind::Addon),
        // a name of eight bytes, none of them NUL
        (PeBuilder::new().section(".cmdlin", b"debug"), Kind::Other),
        (PeBuilder::new().section(".cmdlineX".get(..8).unwrap(), b"debug"), Kind::Addon),
    ] {
        assert_eq!(read(&builder.build()).unwrap().kind, kind, "{builder:?}");
    }
}

#[test]
fn content_is_what_is_in_memory() {
    for (virtual_size, text) in [(4, "quie"), (20, "quiet\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), (0, "")] {
        let mut builder = PeBuilder::new().section(".cmdline", b"quiet");
        builder.sections[0].1.resize(if virtual_size > 5 { 512 } else { 5 }, 0);
        builder.sections[0].2 = virtual_size;
        let uki = read(&builder.build()).unwrap();
        assert_eq!(uki.base[0].text.as_deref(), Some(text.as_bytes()), "{virtual_size}");
    }
    // more in memory than in the file: zeros
    let mut builder = PeBuilder::new().section(".cmdline", b"quiet");
    builder.sections[0].2 = 600;
    let text = read(&builder.build()).unwrap().base[0].text.clone().unwrap();
    assert_eq!((text.len(), &text[512..]), (600, &[0; 88][..]));
}

#[test]
fn profiles() {
    let builder = plain()
        .section(".profile", b"ID=main\nTITLE='Main one'\n")
        .section(".pcrsig", b"{}")
        .section(".profile", b"ID=rescue\n")
        .section(".cmdline", b"rescue roothash=cd");
    let uki = read(&builder.build()).unwrap();
    assert_eq!((uki.base.len(), uki.profile_count()), (4, 2));
    let [main, rescue] = [0, 1].map(|number| uki.profile(number).unwrap());
    assert_eq!(main.identity(), (Some("main".to_owned()), Some("Main one".to_owned())));
    assert_eq!(main.command_line().unwrap().value("roothash"), Some("ab"));
    assert_eq!(rescue.command_line().unwrap().value("roothash"), Some("cd"));
    assert_eq!((main.has_own(".pcrsig"), rescue.has_own(".pcrsig")), (true, false));
    assert!(rescue.uname().is_some() && uki.profile(2).is_none());
    let names: Vec<_> = rescue.sections().map(|content| content.section.name.to_string()).collect();
    assert_eq!(names, [".osrel", ".uname", ".linux", ".profile", ".cmdline"]);

    let mut many = plain();
    for _ in 0..MAX_PROFILES {
        many = many.section(".profile", b"ID=a");
    }
    assert_eq!(read(&many.build()).unwrap().profile_count(), MAX_PROFILES);
    assert!(matches!(read(&many.section(".profile", b"ID=b").build()), Err(Error::TooManyProfiles)));
}

#[test]
fn duplicates() {
    let names = |builder: PeBuilder| -> Vec<_> {
        let found = read(&builder.build()).unwrap().duplicates();
        found.into_iter().map(|(profile, name)| (profile, name.to_string())).collect()
    };
    assert_eq!(names(plain().section(".uname", b"7")), [(None, ".uname".to_owned())]);
    assert_eq!(names(plain().section(".dtbauto", b"7").section(".dtbauto", b"8")), []);
    // not one of a UKI: nobody asks for it
    assert_eq!(names(plain().section(".text", b"7").section(".text", b"8")), []);
    let profile = plain().section(".profile", b"").section(".uname", b"7");
    assert_eq!(names(profile.clone()), []);
    assert_eq!(names(profile.section(".uname", b"8")), [(Some(0), ".uname".to_owned())]);
}

/// Each rule broken once.
#[test]
fn hostile_headers() {
    type Edit = fn(&mut Vec<u8>);
    fn put(bytes: &mut [u8], at: usize, value: u32) {
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    let edits: [(&str, Edit); 14] = [
        ("uki-not-pe", |b| b.truncate(63)),
        ("uki-not-pe", |b| b[0] = b'm'),
        ("uki-not-pe", |b| put(b, 60, u32::MAX)),
        ("uki-not-pe", |b| b[64] = b'p'),
        ("uki-not-pe", |b| b[64 + 24] = 7),
        ("uki-not-pe", |b| b.truncate(PeBuilder::header(1))),
        ("uki-headers-too-large", |b| {
            b.resize(200 << 10, 0);
            b[64 + 6] = 0xff;
            b[64 + 7] = 0xff;
        }),
        ("uki-section-outside-file", |b| put(b, PeBuilder::header(1) + 16, u32::MAX)),
        ("uki-section-outside-file", |b| put(b, PeBuilder::header(1) + 20, 64)),
        ("uki-section-outside-file", |b| put(b, PeBuilder::header(1) + 20, u32::MAX)),
        ("uki-section-outside-memory", |b| put(b, PeBuilder::header(3) + 12, u32::MAX)),
        ("uki-sections-overlap", |b| {
            let offset = u32::from_le_bytes(b[PeBuilder::header(0) + 20..][..4].try_into().unwrap());
            put(b, PeBuilder::header(1) + 20, offset + 511);
        }),
        ("uki-sections-overlap", |b| {
            let address = u32::from_le_bytes(b[PeBuilder::header(0) + 12..][..4].try_into().unwrap());
            put(b, PeBuilder::header(1) + 12, address);
        }),
        ("uki-text-too-large", |b| {
            put(b, 64 + 24 + 56, u32::MAX);
            put(b, PeBuilder::header(3) + 12, 1 << 30);
            b[PeBuilder::header(3)..][..8].copy_from_slice(b".osrel\0\0");
            put(b, PeBuilder::header(3) + 8, MAX_TEXT + 1);
        }),
    ];
    for (number, (code, edit)) in edits.into_iter().enumerate() {
        let mut bytes = plain().build();
        edit(&mut bytes);
        assert_eq!(read(&bytes).unwrap_err().code(), code, "{number}");
    }
}

/// All the text that is read has a limit too.
#[test]
fn many_large_texts() {
    let mut builder = plain();
    for _ in 0..65 {
        builder = builder.section(".sbat", &[b' '; MAX_TEXT as usize]);
    }
    assert_eq!(read(&builder.build()).unwrap_err().code(), "uki-text-too-large");
}

proptest! {
    /// Whatever is in the headers: an answer, and no content from outside the file.
    #[test]
    fn damaged_headers(edits in proptest::collection::vec((60_usize..600, any::<u8>()), 1..6), cut in 0_usize..8000) {
        let mut bytes = plain().section(".profile", b"ID=a").section(".cmdline", b"b").build();
        for (at, byte) in edits {
            bytes[at] = byte;
        }
        bytes.truncate(bytes.len() - cut.min(bytes.len()) / 4);
        if let Ok(uki) = read(&bytes) {
            for profile in uki.profiles() {
                let _ = (profile.command_line(), profile.os_release(), profile.identity(), profile.pcr_signatures());
                let is_inside = |section: &Section| {
                    section.raw_size == 0 || u64::from(section.raw_offset) + u64::from(section.raw_size) <= bytes.len() as u64
                };
                prop_assert!(profile.sections().all(|content| is_inside(&content.section)));
            }
            let _ = uki.duplicates();
        }
    }
}
