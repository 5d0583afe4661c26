//! The bodies of the fuzz targets: functions of a few bytes that panic when something is wrong.
//!
//! `fuzz_targets/` hands them to libFuzzer, `tests/it/properties/seeds.rs` of the top folder runs them over `seeds/`. What a target
//! asserts is said above its function. Checksums are made right here: the libraries have no switch that turns a check off.

mod boot;
mod compressed;
mod fec;
mod files;
mod gpt;
mod image;
mod input;
mod model;
mod nbd;
mod pki;
mod probe;
mod text;
mod verity;

pub use boot::{uki, update};
pub use compressed::compressed;
pub use fec::parity;
pub use files::{fs_btrfs, fs_erofs, fs_ext4, fs_squashfs, fs_vfat, fs_xfs};
pub use gpt::{boot_record, gpt_crate, gpt_disk, gpt_header, gpt_rewrite};
pub use image::{format, image};
pub use nbd::nbd_session;
pub use pki::{certificate, pkcs7, signature_json};
pub use probe::probe;
pub use text::{env_file, escape, policy, unfit_for_a_terminal, words};
pub use verity::{kernels, superblock, verified_reader, verity_verify};

/// A target: its name, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All of them. The comments are the numbers of the acceptance plan.
pub const TARGETS: &[Target] = &[
    ("gpt_header", gpt_header),           // F1
    ("gpt_disk", gpt_disk),               // F2, D1
    ("gpt_rewrite", gpt_rewrite),         // F3
    ("boot_record", boot_record),         // F4
    ("gpt_crate", gpt_crate),             // D1
    ("superblock", superblock),           // F5
    ("verity_verify", verity_verify),     // F6
    ("verified_reader", verified_reader), // F7
    ("parity", parity),
    ("kernels", kernels),
    ("signature_json", signature_json), // F8
    ("pkcs7", pkcs7),                   // F9
    ("certificate", certificate),       // F10
    ("probe", probe),                   // F11
    ("fs_btrfs", fs_btrfs),             // F12
    ("fs_erofs", fs_erofs),
    ("fs_ext4", fs_ext4),
    ("fs_squashfs", fs_squashfs),
    ("fs_vfat", fs_vfat),
    ("fs_xfs", fs_xfs),
    ("compressed", compressed),
    ("env_file", env_file), // F13
    ("policy", policy),
    ("words", words),
    ("escape", escape), // F14
    ("uki", uki),
    ("update", update),
    ("image", image),   // F15
    ("format", format), // F16
    ("nbd_session", nbd_session),
];
