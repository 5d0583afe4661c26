//! The partition table: arithmetic, places, counts, disagreement, labels.
//!
//! A copy whose bytes are not those that were written is passed over for the other one; a copy that is whole and lies makes
//! the image an error, since other software believes it.

use ddi_gpt::BlockSize;

use super::base::{GOOD, Part, disk, disk_of};
use super::media::*;
use super::{Class, base};

const MAX: u64 = u64::MAX;

pub(crate) fn images() -> Class {
    let mut class = Class::new("G");
    ranges(&mut class);
    arrays(&mut class);
    headers(&mut class);
    differences(&mut class);
    labels(&mut class);
    remains(&mut class);
    class
}

/// Partition 1 at other blocks.
fn ranges(class: &mut Class) {
    let good = base();
    let start = good.lbas(1).0;
    let (hash_start, hash_end) = good.lbas(2);
    let last = good.size / 512 - 1;
    // over the table is the worse of two faults
    let (outside, over) = ("gpt-partition-outside-usable", "gpt-partition-over-table");
    for (what, start, end, answer) in [
        ("ends one block before it starts", start, start - 1, "gpt-partition-inverted"),
        ("starts at 2^60, ends at 100", 1 << 60, 100, "gpt-partition-inverted"),
        ("starts at 2^64-1, ends at 0", MAX, 0, "gpt-partition-inverted"),
        ("starts at 2^60, ends behind that", 1 << 60, (1 << 60) + 100, outside),
        ("starts and ends at 2^64-1", MAX, MAX, outside),
        ("ends at 2^64-1, so that its size wraps", start, MAX, over),
        ("covers all of 2^64 blocks", 0, MAX, over),
        ("ends at 2^63", start, 1 << 63, over),
        ("ends at 2^55-1, the last block whose end in bytes is below 2^64", start, (1 << 55) - 1, over),
        ("starts at LBA 0, over the protective MBR", 0, 5, over),
        ("covers LBA 1 to 40, over the primary table", 1, 40, over),
        ("covers the primary entry array", 2, 33, over),
        ("reaches into the backup array", hash_end + 1, last - 10, outside),
        ("covers the backup header", hash_end + 1, last, over),
        ("ends one block past the disk", hash_end + 1, last + 1, over),
        ("shares one block with the next partition", start, hash_start, "gpt-partitions-overlap"),
        ("is where the next partition is", hash_start, hash_end, "gpt-partitions-overlap"),
        ("contains the next partition", start, hash_end + 1, "gpt-partitions-overlap"),
        ("lies within the next partition", hash_start + 1, hash_start + 1, "gpt-partitions-overlap"),
    ] {
        let media = base().entry_both(1, START, start).entry_both(1, END, end);
        class.add(format!("a partition {what}"), media, "inspect", 1, answer);
    }
}

/// The entry array: size and number of entries, place.
fn arrays(class: &mut Class) {
    for (size, answer) in [
        (0, "gpt-entry-size"),
        (1, "gpt-entry-size"),
        (64, "gpt-entry-size"),
        (96, "gpt-entry-size"),
        (127, "gpt-entry-size"),
        (129, "gpt-entry-size"),
        (192, "gpt-entry-size"),
        (0xffff_ffff, "gpt-entry-size"),
        // 128 * 2^n, but all of the array would be 256 GiB
        (1 << 31, "gpt-array-too-large"),
        (1 << 30, "gpt-array-too-large"),
    ] {
        let media = base().set_both(ENTRY_SIZE, size);
        class.add(format!("entries of {size} bytes"), media, "inspect", 1, answer);
    }
    for (count, answer) in [
        (0, "gpt-no-entries"),
        (8193, "gpt-array-too-large"),
        (1 << 26, "gpt-array-too-large"),
        // times 128 that is 2^32, and 0 in 32 bits
        (1 << 25, "gpt-array-too-large"),
        (0xffff_ffff, "gpt-array-too-large"),
    ] {
        let media = base().set_both(COUNT, count);
        class.add(format!("an array of {count} entries"), media, "inspect", 1, answer);
    }
    // room for it is there: 8 GiB of sparse zeros, of which neither the CRC nor the memory is to be spent
    let sparse = disk_of(&GOOD.parts("root-x86-64", "os_1"), BlockSize::B512, 32 << 30, (128, 128));
    let media = sparse.clone().set_both(COUNT, 1 << 26);
    class.add("2^26 entries in a sparse image of 32 GiB", media, "inspect", 1, "gpt-array-too-large");
    let media = sparse.set_both(ENTRY_SIZE, 1 << 20);
    class.add("entries of 1 MiB in a sparse image of 32 GiB", media, "inspect", 1, "gpt-array-too-large");

    let last = base().size / 512 - 1;
    for (what, lba, answer) in [
        ("at LBA 0, over the protective MBR", 0, "gpt-array-over-table"),
        ("at LBA 1, over the header", 1, "gpt-array-over-table"),
        ("among the partitions", 300, "gpt-usable-over-table"),
        ("in the last block", last, "gpt-array-beyond-disk"),
        ("past the end of the disk", last + 100, "gpt-array-beyond-disk"),
        ("at 2^55, which is byte 2^64", 1 << 55, "gpt-array-beyond-disk"),
        ("at 2^63", 1 << 63, "gpt-array-beyond-disk"),
        ("at 2^64-1", MAX, "gpt-array-beyond-disk"),
    ] {
        let mut media = base();
        let array = media.get(1024, 128 * 128);
        if lba <= 300 && lba > 1 {
            media.put(lba * 512, array);
        }
        let mut media = media.set_both(ARRAY_LBA, lba);
        // a CRC that is right on a lie
        if lba < last {
            for copy in BOTH {
                media.repair(copy);
            }
        }
        class.add(format!("the entry arrays of both copies {what}"), media, "inspect", 1, answer);
    }
    let mut media = base();
    for copy in BOTH {
        media.set_raw(copy, ARRAY_CRC, 0x1234_5678);
        media.repair_header(copy);
    }
    class.add("wrong CRCs of both arrays", media, "inspect", 1, "gpt-array-crc");
    let parts = GOOD.parts("root-x86-64", "os_1");
    let media = disk_of(&parts, BlockSize::B512, 0, (64, 256));
    class.add("entries of 256 bytes, which UEFI allows", media, "inspect", 0, "gpt-unusual-entry-size");
    let media = base().entry_bytes(Copy::Primary, 100, 40, b"leftover").entry_bytes(
        Copy::Backup,
        100,
        40,
        b"leftover",
    );
    class.add("bytes in an unused entry", media, "inspect", 0, "gpt-entry-bytes-not-zero");
}

/// Every other field of the header, in both copies.
fn headers(class: &mut Class) {
    let last = base().size / 512 - 1;
    let mut both = |what: &str, field, value, status, answer| {
        class.add(what, base().set_both(field, value), "inspect", status, answer);
    };
    both("header size 0", HEADER_SIZE, 0, 1, "gpt-header-size");
    both("header size 91", HEADER_SIZE, 91, 1, "gpt-header-size");
    both("header size 513, more than a block", HEADER_SIZE, 513, 1, "gpt-header-size");
    both("header size 2^32-1", HEADER_SIZE, 0xffff_ffff, 1, "gpt-header-size");
    both("revision 0.0", REVISION, 0, 1, "gpt-revision");
    both("revision 2.0", REVISION, 0x20000, 1, "gpt-revision");
    both("own LBA 0", MY_LBA, 0, 1, "gpt-my-lba");
    both("own LBA 2^64-1", MY_LBA, MAX, 1, "gpt-my-lba");
    both("usable blocks from 2^63 on", FIRST_USABLE, 1 << 63, 1, "gpt-usable-inverted");
    both("usable blocks up to LBA 0", LAST_USABLE, 0, 1, "gpt-usable-inverted");
    both("usable blocks from LBA 0 on", FIRST_USABLE, 0, 1, "gpt-usable-over-table");
    both("usable blocks from LBA 1 on", FIRST_USABLE, 1, 1, "gpt-usable-over-table");
    both("usable blocks from LBA 3 on", FIRST_USABLE, 3, 1, "gpt-usable-over-table");
    // the primary copy cannot know of it, and no partition is there
    both("usable blocks up to the backup array", LAST_USABLE, last - 10, 0, "gpt-usable-over-table");
    let media = base().set_both(FIRST_USABLE, 0).set_both(LAST_USABLE, 0);
    class.add("usable blocks 0 to 0", media, "inspect", 1, "gpt-usable-over-table");
    let media = base().set_both(FIRST_USABLE, 100).set_both(LAST_USABLE, 101);
    class.add(
        "usable blocks 100 and 101, partitions elsewhere",
        media,
        "inspect",
        1,
        "gpt-partition-outside-usable",
    );
    for (what, lba) in [("one block past the disk", last + 1), ("to 2^64-1", MAX)] {
        let media = base().set_both(LAST_USABLE, lba);
        class.add(format!("usable blocks {what}"), media, "inspect", 1, "gpt-usable-beyond-disk");
    }
    let mut media = base();
    for copy in BOTH {
        media.set_raw(copy, HEADER_CRC, 0);
    }
    class.add("wrong CRCs of both headers", media, "inspect", 1, "gpt-header-crc");
    let mut media = base();
    for copy in BOTH {
        media.set_raw(copy, SIGNATURE, 0);
        media.repair_header(copy);
    }
    class.add("no signature in either header", media, "inspect", 2, "nothing-recognised");
    class.add("no protective MBR", base().with(446, [0; 66]), "inspect", 1, "gpt-mbr-signature");
    let mut media = base();
    for copy in BOTH {
        media.put(media.header(copy) + 20, *b"\x01\0\0\0");
        media.repair_header(copy);
    }
    class.add("the reserved field is not zero", media, "inspect", 0, "gpt-reserved-not-zero");
    let media = base().with(512 + 92, *b"something");
    class.add("text behind the primary header, which no CRC covers", media, "inspect", 1, "tables-differ");
    for (what, lba, answer) in [
        ("itself", 1, "tables-differ"),
        ("LBA 0", 0, "tables-differ"),
        ("the middle of the disk", 500, "gpt-usable-over-table"),
        ("2^64-1", MAX, "tables-differ"),
    ] {
        let media = base().set(Copy::Primary, ALTERNATE_LBA, lba);
        class.add(
            format!("the primary header says that the other one is at {what}"),
            media,
            "inspect",
            1,
            answer,
        );
    }
}

/// One copy changed, with CRCs that are right on the lie.
fn differences(class: &mut Class) {
    let good = base();
    let end = good.lbas(2).1;
    for copy in BOTH {
        let name = format!("{copy:?}").to_lowercase();
        let mut one = |what: &str, media: Media| {
            class.add(format!("only the {name} copy has {what}"), media, "inspect", 1, "tables-differ");
        };
        one("another disk GUID", base().set(copy, DISK_GUID, 7));
        one("more usable blocks before", base().set(copy, FIRST_USABLE, good.lbas(1).0 - 1));
        one("fewer usable blocks behind", base().set(copy, LAST_USABLE, end));
        one("another partition type", base().entry(copy, 1, TYPE, 0x1122_3344_5566_7788));
        one("another partition GUID", base().entry(copy, 1, GUID, 7));
        one("another end of a partition", base().entry(copy, 2, END, end + 1));
        one("another start of a partition", base().entry(copy, 2, START, end));
        one("other attributes", base().entry(copy, 1, ATTRIBUTES, 1 << 63));
        one("another label", base().entry_bytes(copy, 1, NAME, b"x\0"));
        let third = base().entry_bytes(copy, 2, 0, &[0; 128]);
        one("one partition less", third);
        let entry = good.get(1024 + 128, 128);
        let more = base().entry_bytes(copy, 3, 0, &entry);
        let more = more.entry(copy, 3, GUID, 99).entry(copy, 3, START, end + 1).entry(copy, 3, END, end + 8);
        one("one partition more", more);
        let mut count = base();
        count.set_raw(copy, COUNT, 127);
        count.repair(copy);
        one("fewer entries", count);
    }
    // damage to one copy: the other one is read
    let mut media = base();
    media.set_raw(Copy::Primary, DISK_GUID, 7);
    class.add("the primary header is damaged, the backup good", media, "inspect", 1, "gpt-header-crc");
    let mut media = base();
    media.set_raw(Copy::Backup, DISK_GUID, 7);
    class.add("the backup header is damaged, the primary good", media, "inspect", 0, "gpt-header-crc");
    class.add(
        "the primary array is damaged, the backup good",
        base().flip(1024 + 200),
        "inspect",
        1,
        "gpt-array-crc",
    );
    let media = base().with(512, [0; 512]);
    class.add("the primary header is gone, the backup good", media, "inspect", 1, "gpt-no-signature");
    let media = base().with(base().header(Copy::Backup), [0; 512]);
    class.add("the backup header is gone, the primary good", media, "inspect", 0, "gpt-no-signature");
    // a lie in one copy only
    let start = good.lbas(2).0;
    let media = base().entry(Copy::Primary, 1, END, start);
    class.add("partitions overlap in the primary copy alone", media, "inspect", 1, "gpt-partitions-overlap");
    let media = base().entry(Copy::Backup, 1, END, start);
    class.add("partitions overlap in the backup copy alone", media, "inspect", 1, "tables-differ");
    let media = base().set(Copy::Primary, REVISION, 0x20000);
    class.add("the primary copy alone has revision 2.0", media, "inspect", 1, "gpt-revision");
    let media = base().set(Copy::Primary, COUNT, 1 << 26);
    class.add("the primary copy alone has 2^26 entries", media, "inspect", 1, "gpt-array-too-large");
    // the backup's array among the partitions: whoever reads the backup reads what a partition holds
    let mut media = base();
    let array = media.get(1024, 128 * 128);
    media.put(good.offset(1) + 8192, array);
    let media = media.set(Copy::Backup, ARRAY_LBA, good.lbas(1).0 + 16);
    class.add("the backup array lies in a partition", media, "inspect", 1, "gpt-partition-over-table");
    // two copies with two meanings: a reader of the backup would mount another root
    let other = disk(&[Part::new("root-x86-64", "os_9", &GOOD.data), Part::new("swap", "x", &[0; 8192])]);
    let mut media = base();
    let tail = other.get(other.size - 33 * 512, 33 * 512);
    media.put(media.size - 33 * 512, tail);
    class.add("two whole tables that have nothing in common", media, "inspect", 1, "tables-differ");
    // GUIDs
    let mut media = base();
    for copy in BOTH {
        let guid = media.get(1024 + 16, 16);
        media = media.entry_bytes(copy, 2, 16, &guid);
    }
    class.add("two partitions with one GUID", media, "inspect", 1, "gpt-duplicate-guid");
    let parts = [Part::new("home", "home", &[0; 4096])];
    let media = BOTH.into_iter().fold(disk(&parts), |media, copy| media.entry_bytes(copy, 1, 16, &[0; 16]));
    class.add("a partition without GUID", media, "inspect", 0, "gpt-nil-guid");
}

fn labels(class: &mut Class) {
    let utf16 = |text: &str| text.encode_utf16().collect::<Vec<_>>();
    for (what, units) in [
        ("an escape sequence", utf16("\x1b[31mred\x1b]0;title\x07")),
        ("a C1 control sequence", utf16("\u{9b}31m")),
        ("a line feed and a second line", utf16("os\n2 root fake")),
        ("a carriage return", utf16("os\rfake")),
        ("DEL and backspaces", utf16("os\x7f\x08\x08xx")),
        ("a right-to-left override", utf16("os_\u{202e}war.so")),
        ("bidirectional isolates", utf16("\u{2066}os\u{2069}")),
        ("a zero-width space", utf16("o\u{200b}s")),
        ("a byte-order mark", utf16("\u{feff}os")),
        ("a soft hyphen", utf16("o\u{ad}s")),
        ("a lone high surrogate", vec![0x6f, 0xd83d, 0x73]),
        ("a lone low surrogate", vec![0x6f, 0xde00, 0x73]),
        ("surrogates in the wrong order", vec![0xde00, 0xd83d]),
        ("36 escapes", vec![0x1b; 36]),
    ] {
        let bytes: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let mut name = [0; 72];
        name[..bytes.len()].copy_from_slice(&bytes);
        let media = BOTH.into_iter().fold(base(), |media, copy| media.entry_bytes(copy, 1, NAME, &name));
        class.add(format!("a label with {what}"), media, "inspect", 0, "label");
    }
    let mut name = [0; 72];
    name[..2].copy_from_slice(b"a\0");
    name[10..14].copy_from_slice(b"b\0c\0");
    let media = BOTH.into_iter().fold(base(), |media, copy| media.entry_bytes(copy, 1, NAME, &name));
    class.add("a label with text after its end", media, "inspect", 0, "gpt-hidden-name");
}

/// What is left of a disk.
fn remains(class: &mut Class) {
    let cut = |size| {
        let mut media = base();
        media.size = size;
        media
    };
    class.add("one byte", Media::new(1).with(0, *b"x"), "inspect", 2, "nothing-recognised");
    class.add("511 bytes", cut(511), "inspect", 2, "nothing-recognised");
    class.add("the protective MBR alone", cut(512), "inspect", 2, "nothing-recognised");
    class.add("cut off behind half a header", cut(512 + 46), "inspect", 2, "nothing-recognised");
    class.add("cut off behind the header", cut(1024), "inspect", 1, "gpt-usable-beyond-disk");
    class.add("cut off within the entry array", cut(1024 + 4096), "inspect", 1, "gpt-usable-beyond-disk");
    class.add(
        "cut off within a partition",
        cut(base().offset(1) + 4096),
        "inspect",
        1,
        "gpt-usable-beyond-disk",
    );
    class.add(
        "cut off behind the partitions",
        cut((base().lbas(2).1 + 1) * 512),
        "inspect",
        1,
        "gpt-disk-truncated",
    );
    class.add(
        "1 MiB more behind the backup table",
        cut(base().size + (1 << 20)),
        "inspect",
        0,
        "gpt-disk-grown",
    );
    class.add(
        "100 bytes more behind the backup table",
        cut(base().size + 100),
        "inspect",
        0,
        "gpt-partial-block",
    );
    class.add("4 MiB of zeros", Media::new(4 << 20), "inspect", 2, "nothing-recognised");
    let noise = crate::support::Chance(0x5eed).bytes(1 << 20);
    class.add("1 MiB of chance", Media::new(1 << 20).with(0, noise), "inspect", 2, "nothing-recognised");
    class.add(
        "16 TiB less one block of zeros",
        Media::new((16 << 40) - 4096),
        "inspect",
        2,
        "nothing-recognised",
    );
    class.add(
        "4 MiB of EFI PART",
        Media::new(4 << 20).with(0, b"EFI PART".repeat(1 << 19)),
        "inspect",
        1,
        "gpt-ambiguous-block-size",
    );
}
