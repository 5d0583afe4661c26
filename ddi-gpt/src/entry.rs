//! An entry of the partition entry array, and its attributes.

use core::fmt;
use core::mem::size_of;

use zerocopy::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::{Attributes, Guid, LbaRange, Name};

/// A partition entry as it is on disk, unchecked: the first 128 bytes of each slot (UEFI 2.10, 5.3.3).
#[derive(Clone, Copy, PartialEq, Eq, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Entry {
    /// What the partition is for; [`Guid::NIL`] in an unused slot.
    pub partition_type_guid: Guid,
    /// The partition's own GUID.
    pub unique_partition_guid: Guid,
    /// First block.
    pub starting_lba: U64,
    /// Last block, included.
    pub ending_lba: U64,
    /// Attribute bits.
    pub attributes: U64,
    /// The name.
    pub partition_name: Name,
}

impl Entry {
    /// Bytes of the fields above, the least that an entry may have.
    pub const SIZE: u32 = 128;

    /// True unless the type is [`Guid::NIL`].
    pub fn is_used(&self) -> bool {
        !self.partition_type_guid.is_nil()
    }

    /// The blocks, as the entry gives them.
    pub fn lbas(&self) -> LbaRange {
        LbaRange::new(self.starting_lba.get(), self.ending_lba.get())
    }

    /// The attributes.
    pub fn attributes(&self) -> Attributes {
        Attributes(self.attributes.get())
    }
}

const _: () = assert!(size_of::<Entry>() == 128);

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("partition_type_guid", &self.partition_type_guid)
            .field("unique_partition_guid", &self.unique_partition_guid)
            .field("lbas", &format_args!("{}", self.lbas()))
            .field("attributes", &self.attributes())
            .field("partition_name", &self.partition_name)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blocks_are_shown_as_a_range() {
        let mut entry = Entry::default();
        entry.starting_lba.set(40);
        entry.ending_lba.set(59);
        entry.attributes.set(1);
        assert_eq!(
            std::format!("{entry:?}"),
            "Entry { partition_type_guid: Guid(00000000-0000-0000-0000-000000000000), \
             unique_partition_guid: Guid(00000000-0000-0000-0000-000000000000), lbas: 40..=59, \
             attributes: Attributes(0x1), partition_name: Name() }"
        );
    }
}
