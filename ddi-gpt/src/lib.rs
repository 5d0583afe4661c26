//! GUID partition tables (UEFI 2.10, chapter 5) and the Discoverable Partitions Specification: parse, judge, write.
//!
//! ```text
//! LBA 0    protective MBR          first 512 bytes: one record of type EE
//!     1    primary header          CRC-32 over itself; place, size and CRC-32 of its array
//!     2    primary entry array     128 entries of 128 bytes: type, GUID, first, last, attributes, name
//!          …
//!          partitions              within first_usable ..= last_usable
//!          …
//!   −33    backup entry array      the same bytes (−33: with blocks of 512 bytes)
//!    −1    backup header           the same facts; its own place and that of its array
//! ```
//!
//! Both copies are read and judged, and every difference between them is told. There is no I/O: [`examine`] asks a closure for
//! the few blocks it needs, and gives an [`Examination`] with everything that can be shown of an image, however broken. Only
//! [`Examination::gpt`] makes a [`Gpt`], and all that is in a `Gpt` has passed every check. [`Builder`] writes tables, and
//! [`Examination::repair`] makes one of two copies of which one is good.
//!
//! ```
//! # let disk = ddi_gpt::Builder::new(1 << 20, ddi_gpt::BlockSize::B512, ddi_gpt::Guid::from_u128(1))
//! #     .partition(ddi_gpt::NewPartition::new(
//! #         "4f68bce3-e8cd-4db1-96e7-fbcaf984b709".parse()?, ddi_gpt::Guid::from_u128(2)).size(4096))
//! #     .build()?.to_disk();
//! use ddi_gpt::{Designator, Mode};
//!
//! let examination = ddi_gpt::examine(disk.len() as u64, None, |offset, buf| {
//!     let offset = offset as usize;
//!     disk.get(offset..offset + buf.len()).map(|bytes| buf.copy_from_slice(bytes)).ok_or("the disk got shorter")
//! })?;
//! for partition in examination.gpt(Mode::Strict)?.partitions() {
//!     println!("{}: {} at {}", partition.number, partition.partition_type(), partition.range);
//!     assert_eq!(partition.partition_type().designator(), Some(Designator::Root));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Bounds
//!
//! Whatever the image says, [`examine`] reads at most 64 KiB and two entry arrays of at most [`MAX_ARRAY_SIZE`], each byte at
//! most once, and holds no more. Checks take n·log n for n entries. Nothing panics on any input.
//!
//! # Features
//!
//! | feature | default | brings |
//! | --- | --- | --- |
//! | `getrandom` | no | `Guid::random` |
//! | `uuid` | no | `From` between [`Guid`] and `uuid::Uuid` |
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::string_slice
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod anomaly;
mod attributes;
mod block;
mod copy;
mod derive;
mod difference;
mod dps;
mod entry;
mod error;
mod escape;
mod examine;
mod guid;
mod header;
mod mbr;
mod name;
#[cfg(test)]
mod properties;
mod repair;
mod source;
mod table;
#[cfg(test)]
mod testing;
mod version;
mod write;

pub use anomaly::Anomaly;
pub use attributes::{AttributeEffect, Attributes};
pub use block::{BlockSize, ByteRange, Lba, LbaRange};
pub use copy::{MAX_ARRAY_SIZE, Side, TableCopy};
pub use derive::{
    Seed, Transient, app_specific, partial_type, pending_type, root_hash_from_guids, transient_type,
    var_guid, verity_guids,
};
pub use difference::{Difference, Field, Value};
pub use dps::{Architecture, Designator, PartitionType, compare_architectures};
pub use entry::Entry;
pub use error::{Error, ErrorKind, TablePart};
pub use escape::Escaped;
pub use examine::{Examination, examine};
pub use guid::Guid;
pub use header::Header;
pub use mbr::{BootRecord, BootRecordEntry, ProtectiveMbr};
pub use name::Name;
pub use repair::{Repair, RepairOptions, RepairStep};
pub use table::{Condition, Gpt, Mode, Partition};
pub use version::{compare_version_bytes, compare_versions};
pub use write::{Builder, NewPartition, WrittenTable};
