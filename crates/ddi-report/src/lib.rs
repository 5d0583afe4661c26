//! What was found out about a disk image, as a document to keep or to hand on: an HTML [`Page`], [`markdown()`],
//! [`sarif()`].
//!
//! All are made from the JSON documents `ddi.inspect/1`, `ddi.verify/1` and `ddi.check/1`. A key that is missing, or of another
//! type than its schema says, counts as not known: no document makes this crate panic.
//!
//! ```
//! use ddi_report::Page;
//! use serde_json::json;
//!
//! let verified = json!({ "schema": "ddi.verify/1", "outcome": "not-proven", "exitStatus": 1, "proofs": [] });
//! let page = Page::new("<b>.raw").document(&verified).to_html();
//! assert!(page.contains("NOT PROVEN"));
//! assert!(page.contains("&lt;b&gt;.raw"));
//! ```
#![forbid(unsafe_code)]
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

mod document;
mod html;
mod markdown;
mod sarif;
mod text;
mod verdict;

pub use html::files::FileTree;
pub use html::page::Page;
pub use html::writer::Html;
pub use markdown::markdown;
pub use sarif::sarif;
pub use verdict::{Tone, Verdict};
