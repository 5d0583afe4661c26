pub(crate) mod memory;

pub(crate) mod corpus;
#[cfg(all(feature = "fs-erofs", feature = "fs-ext4", feature = "fs-squashfs"))]
mod extents;
mod hostile;
mod paths;
