/// What `memory.rs` is written over, here and in `ddi-testing`.
mod api {
    pub(crate) use crate::probe::FsKind;
    pub(crate) use crate::*;
}
#[expect(unreachable_pub, dead_code, reason = "it is part of ddi-testing as well")]
pub(crate) mod memory;

pub(crate) mod corpus;
#[cfg(all(feature = "fs-erofs", feature = "fs-ext4", feature = "fs-squashfs"))]
mod extents;
mod hostile;
mod paths;
