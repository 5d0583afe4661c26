//! The C library `libddi`: what `include/ddi.h` declares, over the crates of [ddi](https://github.com/ddi-rs/ddi).
//!
//! ```text
//!   C ──▶ ffi: the border ──────────────▶ image, trust, verity, options ──▶ ddi-core, ddi-os, ddi-verity
//!         NULL, strings, buffers, panics   safe code
//! ```
//!
//! Whatever is unsafe is in `ffi`. Programs in Rust take `ddi-core`.
#![deny(unsafe_code)]
#![cfg_attr(
    not(test),
    warn(
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

mod check;
mod error;
#[expect(unsafe_code, reason = "the border: pointers come in and go out")]
pub mod ffi;
mod image;
mod options;
mod trust;
mod verity;
