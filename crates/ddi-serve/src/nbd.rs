//! The protocol: fixed newstyle, with structured replies and `base:allocation`.
//!
//! ```text
//! greeting ─▶ options: LIST, INFO, STRUCTURED_REPLY, SET_META_CONTEXT ─▶ GO ─▶ requests ─▶ DISC, or the end
//!             └──────────── handshake ──────────────────────────────┘       └─ session ─┘
//! ```

mod handshake;
mod input;
mod session;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::Arc;

use crate::link::Link;
use crate::server::Shared;

/// Most bytes that are read in one request: what clients ask for at most if nothing else was said.
pub(crate) const MAX_READ: u32 = 32 << 20;
/// Longest name or description of an export, in bytes.
pub(crate) const MAX_NAME: usize = 4096;

/// Serves one client, from the greeting to the end. Returns true if it got as far as to use an export.
pub(crate) fn serve(shared: &Arc<Shared>, link: &Arc<dyn Link>) -> bool {
    let mut input = input::Input::new(&**link);
    match handshake::shake(shared, &mut input) {
        Ok(Some(agreed)) => {
            session::run(shared, link, input, agreed);
            true
        }
        // it left, or spoke something else
        Ok(None) | Err(_) => false,
    }
}
