//! Discoverable Disk Images.
#![forbid(unsafe_code)]
pub use ddi_gpt as gpt;
pub use ddi_verity as verity;

pub mod fs;
pub mod mbr;
