use super::*;
use crate::image::file::{SidecarSignature, Sidecars};
use crate::severity::Authority;
use crate::testing::{Disk, DiskImage as _, Set, erofs, image, luks, mbr, type_guid};
use crate::trust::{KnownRootHash, Role, RootHashOrigin, TrustedRootHash};
use ddi_fs::FsKind;
use ddi_gpt::{Architecture, Attributes, Guid};
use ddi_verity::RootHash;

const X86: Option<Architecture> = Some(Architecture::X86_64);

fn options() -> DissectOptions {
    DissectOptions { native: X86, ..DissectOptions::new(VeritySettings::default()) }
}

/// With this root hash.
fn asking_for(set: &Set, role: Role) -> DissectOptions {
    let known = TrustedRootHash::by_caller(set.root, role);
    DissectOptions { verity: Some(VeritySettings::default().with(known)), ..options() }
}

fn policy(text: &str) -> DissectOptions {
    DissectOptions { policy: Some(text.parse().unwrap()), ..options() }
}

/// A squashfs and a swap area at once.
fn ambiguous() -> Vec<u8> {
    let mut two = vec![0; 2 << 20];
    two[..4].copy_from_slice(b"hsqs");
    two[28] = 4;
    two[1024..1028].copy_from_slice(&1_u32.to_le_bytes());
    two[1028..1032].copy_from_slice(&100_u32.to_le_bytes());
    two[4086..4096].copy_from_slice(b"SWAPSPACE2");
    two
}

#[track_caller]
fn refused(image: &Image, options: &DissectOptions) -> (&'static str, Option<&'static str>) {
    let error = dissect(image, options).unwrap_err();
    (error.code(), error.systemd_errno())
}

/// Designators and partition numbers.
fn chosen(image: &Image, options: &DissectOptions) -> Vec<(Designator, u32)> {
    let dissected = dissect(image, options).unwrap();
    dissected.partitions.iter().map(|p| (p.designator, p.number.unwrap())).collect()
}

#[track_caller]
fn skipped(image: &Image, options: &DissectOptions, number: u32) -> Skipped {
    match DissectionRecord::new(image, options).selection(number) {
        Some(Selection::Skipped(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// F1 to F10, C1, H: each broken image ends with its own error, and with the errno of systemd.
#[test]
fn every_refusal_has_its_error() {
    let (set, fs) = (Set::new(erofs(4, 1)), erofs(4, 2));
    let (root, usr) = ("root-x86-64", "usr-x86-64");
    let with = |change: fn(&mut DissectOptions)| {
        let mut options = options();
        change(&mut options);
        options
    };
    let two_headers = {
        let mut bytes = Disk::new().part(root, "", &fs).bytes();
        bytes.copy_within(512..1024, 4096);
        bytes
    };
    let broken_table = {
        let mut bytes = Disk::new().part(root, "", &fs).bytes();
        let end = bytes.len();
        (bytes[520], bytes[end - 500]) = (9, 9);
        bytes
    };
    type Case = (&'static str, Image, DissectOptions, (&'static str, Option<&'static str>));
    let cases: Vec<Case> = vec![
        ("A1", image(two_headers), options(), ("gpt-ambiguous-block-size", Some("ENOTUNIQ"))),
        (
            "A2",
            Disk::new().set(root, "", &set).image(),
            {
                let hash = RootHash::from_bytes(&[0; 32]).unwrap();
                let verity = VeritySettings::default().with(TrustedRootHash::by_caller(hash, Role::Root));
                DissectOptions { verity: Some(verity), ..options() }
            },
            ("unusable-root-hash", Some("EINVAL")),
        ),
        ("A3", image(vec![0; 1 << 20]), options(), ("nothing-recognised", Some("ENOPKG"))),
        (
            "B gpt-only",
            image(fs.clone()),
            with(|o| o.gpt_only = true),
            ("nothing-recognised", Some("ENOPKG")),
        ),
        ("C1", image(broken_table), options(), ("gpt-no-valid-copy", Some("ENOPKG"))),
        (
            "C1 mbr",
            image(mbr(&[(0x80, 0x83, 1, 9)])),
            with(|o| o.gpt_only = true),
            ("nothing-recognised", Some("ENOPKG")),
        ),
        (
            "C1 mbr out of disk",
            image(mbr(&[(0x80, 0x83, 1, 9999)])),
            options(),
            // libblkid does not ask
            ("mbr-outside-disk", None),
        ),
        (
            "C2",
            Disk::new().part(root, "", &fs).image(),
            with(|o| o.verity = Some(VeritySettings { external: true, ..Default::default() })),
            ("external-verity-with-table", Some("EBADR")),
        ),
        (
            "F1",
            Disk::new().part("root-x86-64-verity", "", &set.hash).image(),
            options(),
            ("verity-without-data", Some("EADDRNOTAVAIL")),
        ),
        (
            "F1 usr",
            Disk::new().part(root, "", &fs).part("usr-x86-64-verity-sig", "", &set.signature).image(),
            options(),
            ("verity-without-data", Some("EADDRNOTAVAIL")),
        ),
        (
            "F2",
            Disk::new().part(root, "", &fs).part("root-x86-64-verity-sig", "", &set.signature).image(),
            options(),
            ("signature-without-verity", Some("EADDRNOTAVAIL")),
        ),
        (
            "F3",
            Disk::new().part(root, "", &fs).part("usr-arm64", "", &fs).image(),
            options(),
            ("architectures-differ", Some("EREMOTE")),
        ),
        (
            "F4",
            Disk::new().part("linux-generic", "", &fs).part("linux-generic", "", &fs).image(),
            options(),
            ("several-generic-roots", Some("ENOTUNIQ")),
        ),
        (
            "F4 mbr",
            image(mbr(&[(0x80, 0x83, 1, 9), (0x80, 0x83, 10, 9)])),
            options(),
            ("several-generic-roots", Some("ENOTUNIQ")),
        ),
        (
            "F5",
            Disk::new().part("linux-generic", "", &fs).image(),
            policy("root=absent:=open"),
            ("policy-present", Some("ERFKILL")),
        ),
        (
            "F6",
            Disk::new().part("home", "", &fs).image(),
            with(|o| o.require_root = true),
            ("no-root", Some("ENXIO")),
        ),
        (
            "F6 usr",
            Disk::new().part(usr, "", &fs).image(),
            with(|o| (o.require_root, o.usr_without_root) = (true, false)),
            ("no-root", Some("ENXIO")),
        ),
        (
            "F7",
            Disk::new().set(root, "", &set).set(usr, "", &Set::new(erofs(4, 3))).image(),
            options(),
            ("root-and-usr-verity", Some("ENOTUNIQ")),
        ),
        (
            "F8",
            Disk::new().set(root, "", &set).part(usr, "", &fs).image(),
            options(),
            ("root-verity-with-usr", Some("EADDRNOTAVAIL")),
        ),
        (
            "F9",
            Disk::new().part("home", "", &fs).image(),
            asking_for(&set, Role::Root),
            ("no-data-for-root-hash", Some("EADDRNOTAVAIL")),
        ),
        (
            "F1, the other half of the root hash",
            Disk::new().pair(root, "", &set).image(),
            {
                let mut bytes = set.root.as_bytes().to_vec();
                bytes[0] ^= 1;
                let known = TrustedRootHash::by_caller(RootHash::from_bytes(&bytes).unwrap(), Role::Root);
                DissectOptions { verity: Some(VeritySettings::default().with(known)), ..options() }
            },
            ("no-data-for-root-hash", Some("EADDRNOTAVAIL")),
        ),
        (
            "F9 role",
            Disk::new().set(root, "", &set).image(),
            asking_for(&set, Role::Usr),
            ("no-data-for-root-hash", Some("EADDRNOTAVAIL")),
        ),
        (
            "F10",
            Disk::new().part(root, "", &set.data).guid(set.guids().0).image(),
            asking_for(&set, Role::Root),
            ("no-hash-for-root-hash", Some("EADDRNOTAVAIL")),
        ),
        (
            "F10 after F5",
            Disk::new().part("linux-generic", "", &fs).image(),
            asking_for(&set, Role::Root),
            ("no-hash-for-root-hash", Some("EADDRNOTAVAIL")),
        ),
        (
            "D6",
            Disk::new().set(root, "", &set).edit(|sig| sig.content[0] = b'x').image(),
            asking_for(&set, Role::Root),
            ("signature-json", Some("EINVAL")),
        ),
        ("H", Disk::new().image(), options(), ("nothing-usable", Some("ENOMSG"))),
        (
            "H all skipped",
            Disk::new().part(root, "_empty", &fs).image(),
            options(),
            ("nothing-usable", Some("ENOMSG")),
        ),
        (
            "H all ignored",
            Disk::new().part(root, "", &fs).image(),
            policy("-"),
            ("nothing-usable", Some("ENOMSG")),
        ),
        (
            "I",
            Disk::new().part(root, "", &ambiguous()).image(),
            options(),
            ("ambiguous-file-system", Some("EUCLEAN")),
        ),
    ];
    for (step, image, options, expected) in cases {
        assert_eq!(refused(&image, &options), expected, "{step}");
    }
}

#[test]
fn a_bare_file_system_is_the_root() {
    for (bytes, kind, rw) in [(erofs(4, 1), "erofs", false), (luks(), "crypto_LUKS", true)] {
        let dissected = dissect(&image(bytes), &options()).unwrap();
        let root = dissected.get(Designator::Root).unwrap();
        assert!(dissected.bare);
        assert_eq!((root.file_system.name(), root.number, root.rw), (Some(kind), None, rw));
        assert_eq!(root.protection, Protection::Unprotected);
    }
    assert_eq!(refused(&image(erofs(4, 1)), &policy("root=absent")), ("policy-present", Some("ERFKILL")));
    assert_eq!(refused(&image(erofs(4, 1)), &policy("-")), ("nothing-recognised", Some("ENOPKG")));
    assert_eq!(
        refused(&image(erofs(4, 1)), &policy("root=encrypted")),
        ("policy-encryption", Some("ERFKILL"))
    );
    assert!(dissect(&image(luks()), &policy("root=encrypted")).is_ok());
    assert_eq!(
        refused(&image(erofs(4, 1)), &policy("root=read-only-on")),
        ("policy-read-only", Some("ERFKILL"))
    );
}

/// B comes before C: who puts a superblock into the gap of a GPT image gets a bare image.
#[test]
fn a_whole_image_file_system_wins_over_the_table() {
    let mut bytes = Disk::new().part("root-x86-64", "", &erofs(4, 1)).bytes();
    bytes[0..4].copy_from_slice(b"hsqs");
    bytes[28] = 4;
    let image = image(bytes);
    assert!(dissect(&image, &options()).unwrap().bare);
    assert_eq!(skipped(&image, &options(), 1), Skipped::BareImage);
    let gpt_only = DissectOptions { gpt_only: true, ..options() };
    assert_eq!(chosen(&image, &gpt_only), [(Designator::Root, 1)]);
}

#[test]
fn skipped_partitions_are_as_if_they_were_not_there() {
    let fs = erofs(4, 1);
    let second = |first: Disk| first.part("root-x86-64", "z", &fs).image();
    let root = |label: &str| Disk::new().part("root-x86-64", label, &fs);
    let no_auto = root("zz").attributes(Attributes::NO_AUTO);
    for (image, why) in [
        (second(Disk::new().part("user-home", "", &fs)), Skipped::NotDiscoverable),
        (second(root("").edit(|part| part.type_guid = Guid::from_u128(5))), Skipped::NotDiscoverable),
        (second(root("_empty")), Skipped::EmptySlot),
        (second(root("PRT#zz")), Skipped::Transient),
        (second(root("PND#zz")), Skipped::Transient),
        (second(no_auto), Skipped::NoAuto),
        (second(Disk::new().part("esp", "", &fs).attributes(Attributes::NO_BLOCK_IO)), Skipped::NoBlockIo),
        (second(Disk::new().part("linux-generic", "", &fs)), Skipped::NotNeeded),
    ] {
        assert_eq!(skipped(&image, &options(), 1), why);
        assert_eq!(chosen(&image, &options()), [(Designator::Root, 2)]);
    }
    // the ESP does not heed no-auto
    let esp = Disk::new().part("esp", "", &fs).attributes(Attributes::NO_AUTO).image();
    assert_eq!(chosen(&esp, &options()), [(Designator::Esp, 1)]);
    // where nothing else is left, it is not systemd that refuses the image
    let image = root("PRT#os").image();
    let error = DissectionRecord::new(&image, &options()).outcome.unwrap_err();
    assert_eq!(
        (error.code(), error.systemd_errno(), error.authority()),
        ("nothing-usable", None, Authority::Dps)
    );
    assert_eq!(
        error.to_string(),
        "no usable partition, as partitions labelled half written or pending are left out"
    );
    // unless it would in any case
    let both = root("PRT#os").part("usr-x86-64-verity", "", &fs).image();
    let error = DissectionRecord::new(&both, &options()).outcome.unwrap_err();
    assert_eq!((error.code(), error.authority()), ("verity-without-data", Authority::Systemd));
    // systemd takes transient ones, by their label
    let image = second(root("PRT#"));
    let consider = DissectOptions { transient: Transient::Consider, ..options() };
    assert_eq!(chosen(&image, &consider), [(Designator::Root, 2)]);
    assert!(matches!(skipped(&image, &consider, 1), Skipped::Worse { than: 2, because: Better::Version }));
}

#[test]
fn the_best_candidate_is_chosen() {
    let fs = erofs(4, 1);
    let two = |first: (&str, &str), second: (&str, &str)| {
        Disk::new().part(first.0, first.1, &fs).part(second.0, second.1, &fs).image()
    };
    use Better::{Architecture, First, Version};
    for (first, second, winner, because) in [
        (("root-x86-64", "os_9"), ("root-x86-64", "os_10"), 2, Version),
        (("root-x86-64", "os_10"), ("root-x86-64", "os_9"), 1, Version),
        (("root-x86-64", "os"), ("root-x86-64", "os"), 1, First),
        (("root-x86-64", ""), ("root-x86-64", "a"), 2, Version),
        (("root-x86-64", "1"), ("root-arm64", "2"), 1, Architecture),
        (("root-arm64", "2"), ("root-x86-64", "1"), 2, Architecture),
        (("root-x86", "1"), ("root-arm64", "2"), 1, Architecture),
        (("root-x86", "1"), ("root-x86-64", "1"), 2, Architecture),
        (("root-riscv64", "1"), ("root-arm64", "2"), 2, Version),
        (("home", "1"), ("home", "2"), 1, First),
        (("esp", "1"), ("esp", "2"), 1, First),
    ] {
        let image = two(first, second);
        let dissection = DissectionRecord::new(&image, &options());
        let loser = 3 - winner;
        let why = Skipped::Worse { than: winner, because };
        assert_eq!(dissection.selection(loser), Some(Selection::Skipped(why)), "{first:?} {second:?}");
        assert_eq!(dissection.outcome.unwrap().partitions[0].number, Some(winner));
    }
}

#[test]
fn filters_go_by_label() {
    let fs = erofs(4, 1);
    let disk = Disk::new().part("root-x86-64", "os_1", &fs).part("root-x86-64", "os_2", &fs);
    let filtered = |pattern: &str| {
        let filter = ImageFilter::new().only(Designator::Root, pattern);
        DissectOptions { filter, ..options() }
    };
    assert_eq!(chosen(&disk.image(), &filtered("os_1*")), [(Designator::Root, 1)]);
    assert_eq!(skipped(&disk.image(), &filtered("os_1*"), 2), Skipped::Filter);
    assert_eq!(refused(&disk.image(), &filtered("x")), ("nothing-usable", Some("ENOMSG")));
    assert_eq!(refused(&image(fs.clone()), &filtered("x")), ("excluded-by-filter", Some("ECOMM")));
    assert!(dissect(&image(fs.clone()), &filtered("*")).is_ok());
    // a generic partition would be the root
    let generic = Disk::new().part("linux-generic", "name", &fs).image();
    assert_eq!(skipped(&generic, &filtered("x"), 1), Skipped::Filter);
}

/// With a root hash, only its own partitions count, whatever their version.
#[test]
fn a_root_hash_selects_its_partitions() {
    let (old, new) = (Set::new(erofs(4, 1)), Set::new(erofs(4, 2)));
    let disk = Disk::new().set("usr-x86-64", "os_1", &old).set("usr-x86-64", "os_2", &new);
    let usr = |n| [(Designator::Usr, n), (Designator::UsrVerity, n + 1), (Designator::UsrVeritySig, n + 2)];
    let image = disk.image();
    assert_eq!(chosen(&image, &options()), usr(4));
    let by_hash = asking_for(&old, Role::Usr);
    assert_eq!(chosen(&image, &by_hash), usr(1));
    let (data, hash) = old.guids();
    assert_eq!(skipped(&image, &by_hash, 4), Skipped::OtherGuid { expected: data });
    assert_eq!(skipped(&image, &by_hash, 5), Skipped::OtherGuid { expected: hash });
    assert_eq!(skipped(&image, &by_hash, 6), Skipped::OtherSignature { found: new.root });
    assert!(dissect(&image, &by_hash).unwrap().signature_ready);
    let dissection = DissectionRecord::new(&image, &asking_for(&old, Role::Root));
    assert_eq!(dissection.selection(2), Some(Selection::Skipped(Skipped::OtherRole(Role::Root))));
    // who has nothing to do with verity does not see the trees
    let without = DissectOptions { verity: None, ..options() };
    assert_eq!(chosen(&image, &without), [(Designator::Usr, 4)]);
    assert_eq!(skipped(&image, &without, 5), Skipped::VerityNotWanted);
}

/// With a root hash for each of root and usr, the partitions of both follow from them.
#[test]
fn two_root_hashes_select_the_partitions_of_both() {
    let [root, old, new] = [1, 2, 3].map(|seed| Set::new(erofs(4, seed)));
    let disk = Disk::new().pair("root-x86-64", "os_1", &root).pair("usr-x86-64", "os_1", &old);
    let image = disk.pair("usr-x86-64", "os_2", &new).image();
    let [root, usr] = [(&root, Role::Root), (&old, Role::Usr)]
        .map(|(set, role)| TrustedRootHash::by_caller(set.root, role));
    for trusted in [[root, usr], [usr, root]] {
        let verity = VeritySettings::new(&trusted, &Sidecars::default());
        assert_eq!(verity.first(), Some(trusted[0].into()));
        let dissection = DissectionRecord::new(&image, &DissectOptions { verity: Some(verity), ..options() });
        let chosen = [Designator::Root, Designator::RootVerity, Designator::Usr, Designator::UsrVerity];
        assert_eq!(chosen.map(|designator| dissection.chosen(designator)), [1, 2, 3, 4].map(Some));
        let (data, hash) = old.guids();
        let other = |expected| Some(Selection::Skipped(Skipped::OtherGuid { expected }));
        assert_eq!((dissection.selection(5), dissection.selection(6)), (other(data), other(hash)));
        assert!(matches!(dissection.outcome, Err(Error::RootAndUsrVerity)));
    }
    // the first one for a role counts
    let twice = VeritySettings::default().with(root).with(TrustedRootHash::by_caller(new.root, Role::Root));
    assert_eq!(twice, VeritySettings::default().with(root));
}

/// That root and usr do not go together hides nothing that is wrong besides.
#[test]
fn what_is_wrong_besides_is_found_too() {
    let foreign = |disk: Disk| disk.part("usr-arm64", "", &erofs(4, 9)).image();
    let codes = |image: &Image, options: &DissectOptions| {
        let dissection = DissectionRecord::new(image, options);
        let first = dissection.outcome.err().map(|error| error.code());
        (first, dissection.refusals.iter().map(Error::code).collect::<Vec<_>>())
    };
    let root = || Disk::new().part("root-x86-64", "", &erofs(4, 1));
    let differ = "architectures-differ";
    assert_eq!(codes(&foreign(root()), &options()), (Some(differ), vec![differ]));
    let home = || root().part("home", "", &ambiguous());
    assert_eq!(
        codes(&home().image(), &options()),
        (Some("ambiguous-file-system"), vec!["ambiguous-file-system"])
    );
    assert_eq!(codes(&foreign(home()), &options()), (Some(differ), vec![differ, "ambiguous-file-system"]));
    let by_policy = codes(&foreign(root()), &policy("root=encrypted:usr=unprotected"));
    assert_eq!(by_policy, (Some(differ), vec![differ, "policy-encryption"]));
    let set = Set::new(erofs(4, 1));
    let image = foreign(Disk::new().pair("root-x86-64", "", &set));
    assert_eq!(codes(&image, &options()), (Some(differ), vec![differ, "root-verity-with-usr"]));
}

#[test]
fn var_belongs_to_a_machine() {
    let id = *b"0123456789abcdef";
    let own = ddi_gpt::var_guid(id);
    let disk = Disk::new().part("var", "", &erofs(4, 1)).part("var", "", &erofs(4, 2)).guid(own);
    let image = disk.image();
    assert_eq!(chosen(&image, &options()), [(Designator::Var, 1)]);
    let host = DissectOptions { native: X86, ..DissectOptions::host(id) };
    assert_eq!(skipped(&image, &host, 1), Skipped::OtherMachine { expected: own });
    assert_eq!(chosen(&image, &host), [(Designator::Var, 2)]);
}

#[test]
fn attributes_and_file_systems_decide_about_writing() {
    let (ro, grow) = (Attributes::READ_ONLY, Attributes::GROW_FILE_SYSTEM);
    let (fs, unknown) = (erofs(4, 1), vec![0; 16384]);
    for (type_name, attributes, content, rw, growfs) in [
        ("root-x86-64", Attributes::default(), &unknown, true, false),
        ("root-x86-64", grow, &unknown, true, true),
        ("root-x86-64", ro | grow, &unknown, false, false),
        ("root-x86-64", grow, &fs, false, false),
        ("esp", ro | grow, &unknown, true, false),
        ("swap", ro | grow, &unknown, true, false),
        ("home", ro, &unknown, false, false),
    ] {
        let dissected =
            dissect(&Disk::new().part(type_name, "", content).attributes(attributes).image(), &options());
        let dissected = dissected.unwrap();
        let partition = &dissected.partitions[0];
        assert_eq!((partition.rw, partition.growfs), (rw, growfs), "{type_name} {attributes:?}");
    }
    // verity makes it read-only too
    let set = Set::new(erofs(4, 1));
    let disk = Disk::new().pair("root-x86-64", "", &set).edit_number(1, |part| part.content[1024] = 0);
    let root = |options| dissect(&disk.image(), &options).unwrap().get(Designator::Root).unwrap().rw;
    assert!(root(options()) && !root(asking_for(&set, Role::Root)));
}

/// Whoever signs does not want it written to, whatever the attributes say: as systemd-dissect 257.
#[test]
fn f1_a_signature_partition_makes_its_data_read_only() {
    let set = Set::new(erofs(4, 1));
    for (role, designator) in [("root-x86-64", Designator::Root), ("usr-x86-64", Designator::Usr)] {
        let of = |disk: Disk| {
            let disk = disk.edit_number(1, |part| {
                part.content[1024] = 0;
                part.attributes = Attributes::GROW_FILE_SYSTEM;
            });
            let dissected = dissect(&disk.image(), &options()).unwrap();
            let partition = dissected.get(designator).unwrap();
            (partition.rw, partition.growfs)
        };
        assert_eq!(of(Disk::new().pair(role, "", &set)), (true, true), "{role}");
        assert_eq!(of(Disk::new().set(role, "", &set)), (false, false), "{role}");
        // neither known, nor that of the data
        let other = Set { signature: Set::new(erofs(4, 2)).signature, ..set.clone() };
        assert_eq!(of(Disk::new().set(role, "", &other)), (false, false), "{role}");
    }
}

/// Two file systems in a partition are two, though the systemd that is modelled looks for one of them only.
#[test]
fn f5_content_that_others_see_too_is_ambiguous() {
    let mut both = ddi_testing::planted::image(&[FsKind::Ext4, FsKind::Iso9660]);
    let of = |content: &[u8]| dissect(&Disk::new().part("root-x86-64", "", content).image(), &options());
    let error = of(&both).unwrap_err();
    assert_eq!((error.code(), error.systemd_errno()), ("ambiguous-file-system", Some("EUCLEAN")));
    let error = dissect(&image(both.clone()), &options()).unwrap_err();
    assert_eq!(error.code(), "ambiguous-image");
    both[32 << 10..40 << 10].fill(0);
    assert!(of(&both).is_ok() && dissect(&image(both), &options()).is_ok());
    // the member of an array hides it from whoever knows such members
    let hidden = ddi_testing::planted::image(&[FsKind::Ext4, FsKind::IswRaidMember]);
    for error in [of(&hidden).unwrap_err(), dissect(&image(hidden), &options()).unwrap_err()] {
        assert!(error.to_string().contains("isw_raid_member"), "{error}");
    }
}

/// What systemd mounts from no image is known by its name, bare and in a partition.
#[test]
fn f4_what_is_not_mounted_is_named() {
    let problems = |image: &Image| -> Vec<_> {
        let dissected = dissect(image, &options()).unwrap();
        dissected.not_mountable().map(|error| (error.to_string(), error.systemd_errno())).collect()
    };
    for kind in [FsKind::Ntfs, FsKind::Exfat, FsKind::Iso9660, FsKind::Udf, FsKind::Ext2, FsKind::Ext3]
        .into_iter()
        .chain([FsKind::Minix, FsKind::Jfs, FsKind::ZfsMember, FsKind::Cramfs, FsKind::Swap])
    {
        let content = ddi_testing::planted::image(&[kind]);
        let in_a_partition = Disk::new().part("root-x86-64", "", &content).part("home", "", &content);
        let told =
            |what: &str| (format!("{what} is {kind}, which systemd mounts from no image"), Some("EIDRM"));
        assert_eq!(
            problems(&in_a_partition.image()),
            [told("root partition 1"), told("home partition 2")],
            "{kind}"
        );
        let bare = image(content);
        if kind == FsKind::Swap {
            let error = dissect(&bare, &options()).unwrap_err();
            assert_eq!(error.to_string(), "the image is swap, which systemd mounts from no image");
        } else {
            assert_eq!(problems(&bare), [told("root")], "{kind}");
        }
    }
    for kind in FsKind::MOUNTABLE.iter().chain([&FsKind::CryptoLuks]) {
        let content = ddi_testing::planted::image(&[*kind]);
        assert!(problems(&Disk::new().part("root-x86-64", "", &content).image()).is_empty(), "{kind}");
    }
    let nothing =
        problems(&Disk::new().part("usr-x86-64", "", &[7; 4096]).part("swap", "", &[0; 512]).image());
    let text = "usr partition 1 holds nothing that is recognised as a file system";
    assert_eq!(nothing, [(text.to_owned(), Some("EAFNOSUPPORT"))]);
}

#[test]
fn mbr_disks_have_one_active_linux_partition() {
    let disk = mbr(&[(0, 0x83, 1, 9), (0x80, 0x83, 10, 9), (0, 0xea, 30, 9), (0, 0xef, 40, 9)]);
    let image = image(disk);
    assert_eq!(chosen(&image, &options()), [(Designator::Root, 2), (Designator::Xbootldr, 3)]);
    assert_eq!(skipped(&image, &options(), 1), Skipped::Mbr);
    assert_eq!(skipped(&image, &options(), 4), Skipped::Mbr);
}

/// Policy and filter hold for partitions of an MBR as for others.
#[test]
fn an_mbr_is_under_policy_and_filter() {
    let image = image(mbr(&[(0x80, 0x83, 10, 9), (0, 0xea, 30, 9), (0, 0xea, 50, 9)]));
    let unused = policy("root=unprotected:xbootldr=unused+absent");
    assert_eq!(chosen(&image, &unused), [(Designator::Root, 1)]);
    assert_eq!(skipped(&image, &unused, 2), Skipped::Policy);
    assert_eq!(dissect(&image, &unused).unwrap().ignored, [Designator::Xbootldr]);
    let must_not = ("policy-present", Some("ERFKILL"));
    assert_eq!(refused(&image, &policy("root=unprotected:=absent")), must_not);
    assert_eq!(refused(&image, &policy("-")), ("nothing-usable", Some("ENOMSG")));
    let filtered = |designator| {
        let filter = ImageFilter::new().only(designator, "x");
        DissectOptions { filter, ..options() }
    };
    assert_eq!(chosen(&image, &filtered(Designator::Xbootldr)), [(Designator::Root, 1)]);
    assert_eq!(skipped(&image, &filtered(Designator::Xbootldr), 2), Skipped::Filter);
    assert_eq!(chosen(&image, &filtered(Designator::Root)), [(Designator::Xbootldr, 2)]);
    assert_eq!(skipped(&image, &filtered(Designator::Root), 1), Skipped::Filter);
}

#[test]
fn a_lone_generic_partition_is_the_root() {
    let disk = Disk::new().part("linux-generic", "name", &erofs(4, 1)).part("home", "", &erofs(4, 2));
    let dissected = dissect(&disk.image(), &options()).unwrap();
    let root = dissected.get(Designator::Root).unwrap();
    assert_eq!((root.number, root.label.as_deref(), root.architecture), (Some(1), None, None));
    assert_eq!(root.guid, Some(Guid::from_u128(0x1000)));
    // for usr, it is none
    let error = dissect(&disk.image(), &asking_for(&Set::new(erofs(4, 3)), Role::Usr)).unwrap_err();
    assert!(matches!(error, Error::NoDataForRootHash { role: Role::Usr, .. }));
}

/// The matrix of systemd's TEST-50, as systemd 258 and newer have it.
#[test]
fn policies_are_read_as_systemd_reads_them() {
    let set = Set::new(erofs(4, 1));
    let image = Disk::new().set("root-x86-64", "", &set).image();
    for (text, expected) in [
        ("*", None),
        ("root=unprotected", None),
        ("root=verity", None),
        ("root=verity:root-verity-sig=unused+absent", None),
        ("root=verity:swap=absent", None),
        ("root=verity:swap=absent+unprotected", None),
        ("root=signed", None),
        ("root=verity:=open", None),
        ("root=unprotected:=open", None),
        ("~", Some("ERFKILL")),
        ("root=absent", Some("ERFKILL")),
        ("-", Some("ENOMSG")),
        ("swap=unprotected+encrypted+verity", Some("ERFKILL")),
        ("root=verity:root-verity=unused+absent", Some("ERFKILL")),
        ("root=signed:root-verity-sig=unused+absent", Some("ERFKILL")),
        ("root=signed:root-verity=unused+absent", Some("EADDRNOTAVAIL")),
        ("root=encrypted", Some("ERFKILL")),
    ] {
        let errno = dissect(&image, &policy(text)).err().map(|error| error.systemd_errno().unwrap());
        assert_eq!(errno, expected, "{text}");
    }
}

#[test]
fn verity_is_ready_when_everything_is_there() {
    let set = Set::new(erofs(4, 1));
    let state = |disk: Disk| {
        let dissected = dissect(&disk.image(), &options()).unwrap();
        let origin = dissected.root_hash.map(|known| known.origin);
        (dissected.verity_ready, dissected.signature_ready, origin)
    };
    let (sig, guess) = (Some(RootHashOrigin::SignaturePartition), Some(RootHashOrigin::PartitionGuids));
    assert_eq!(state(Disk::new().set("root-x86-64", "", &set)), (true, true, sig));
    assert_eq!(state(Disk::new().pair("root-x86-64", "", &set)), (true, false, guess));
    assert_eq!(state(Disk::new().part("root-x86-64", "", &set.data)), (false, false, None));
}

/// A bare image has one use alone, and only a root hash for root makes it verity. Each row as systemd-dissect 257 has it.
#[test]
fn a_bare_image_has_one_use() {
    let hash = |role| TrustedRootHash::by_caller(Set::new(erofs(4, 1)).root, role);
    let none = VeritySettings::default();
    let external = VeritySettings { external: true, ..none };
    let with = |role, signature| VeritySettings { external: true, signature, ..none.with(hash(role)) };
    let policies = ["verity", "signed", "verity+signed", "unprotected", "encrypted", "encrypted+unused"];
    for (what, content, verity, accepted) in [
        ("no tree", erofs(4, 1), none, &["unprotected"][..]),
        ("no root hash", erofs(4, 1), external, &["unprotected"]),
        ("tree", erofs(4, 1), with(Role::Root, false), &["verity", "verity+signed"]),
        ("signature", erofs(4, 1), with(Role::Root, true), &["signed", "verity+signed"]),
        ("for usr", erofs(4, 1), with(Role::Usr, false), &["unprotected"]),
        ("signature for usr", erofs(4, 1), with(Role::Usr, true), &["unprotected"]),
        ("LUKS", luks(), none, &["encrypted", "encrypted+unused"]),
        ("LUKS and tree", luks(), with(Role::Root, false), &["verity", "verity+signed"]),
    ] {
        let image = image(content);
        let is_accepted = |uses: &&str| {
            let options = DissectOptions { verity: Some(verity), ..policy(&format!("root={uses}")) };
            match dissect(&image, &options) {
                Ok(_) => true,
                Err(error) => {
                    let is_about_encryption = what == "LUKS" || uses.starts_with("encrypted");
                    let code = if is_about_encryption { "policy-encryption" } else { "policy-protection" };
                    assert_eq!((error.code(), error.systemd_errno()), (code, Some("ERFKILL")));
                    false
                }
            }
        };
        assert_eq!(policies.iter().copied().filter(is_accepted).collect::<Vec<_>>(), accepted, "{what}");
        let dissected = dissect(&image, &DissectOptions { verity: Some(verity), ..options() }).unwrap();
        let is_ready = accepted[0] == "verity" || accepted[0] == "signed";
        assert_eq!(
            (dissected.verity_ready, dissected.signature_ready),
            (is_ready, accepted[0] == "signed"),
            "{what}"
        );
        assert_eq!(dissected.partitions[0].protection != Protection::Unprotected, is_ready, "{what}");
    }
}

#[test]
fn settings_come_in_systemds_order() {
    let (a, b) = (Set::new(erofs(4, 1)).root, Set::new(erofs(4, 2)).root);
    let known = |hash, role, origin| KnownRootHash { hash, role, origin };
    let sidecars = Sidecars {
        root_hashes: vec![
            known(a, Role::Root, RootHashOrigin::Sidecar),
            known(b, Role::Usr, RootHashOrigin::Xattr),
        ],
        signatures: vec![SidecarSignature { role: Role::Usr, pkcs7: vec![] }],
        ..Sidecars::default()
    };
    let found = VeritySettings::new(None, &sidecars);
    assert_eq!(found.first(), Some(sidecars.root_hashes[0]));
    // a signature for usr is none for root
    assert!(!found.signature);
    let trusted = TrustedRootHash::by_caller(b, Role::Usr);
    let given = VeritySettings::new(Some(&trusted), &sidecars);
    assert_eq!(given.first(), Some(known(b, Role::Usr, RootHashOrigin::Caller)));
    assert!(given.signature);
    assert_eq!(VeritySettings::new(None, &Sidecars::default()), VeritySettings::default());
}

#[test]
fn half_written_slots_of_sysupdate_are_of_an_unknown_type() {
    let partial = ddi_gpt::partial_type(type_guid("root-x86-64"));
    let disk = Disk::new().part("root-x86-64", "", &erofs(4, 1)).part("home", "", &erofs(4, 2));
    let image = disk.edit(|part| part.type_guid = partial).image();
    assert_eq!(skipped(&image, &options(), 2), Skipped::NotDiscoverable);
}
