//! Everything that parts can do, for tests of who does it when.

use std::panic::resume_unwind;

use super::{Control, Halt};
use crate::error::Error;

pub(super) const PARTS: usize = 4;

/// What a part does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act {
    Ends,
    /// Ends, and no part behind it matters.
    Stops,
    Fails,
    Panics,
}

impl Act {
    const ALL: [Act; 4] = [Act::Ends, Act::Stops, Act::Fails, Act::Panics];

    /// Each part with each act.
    pub(super) fn of_all_parts() -> impl Iterator<Item = [Act; PARTS]> {
        let acts = Self::ALL.len();
        (0..acts.pow(PARTS as u32))
            .map(move |number| std::array::from_fn(|i| Self::ALL[number / acts.pow(i as u32) % acts]))
    }

    pub(super) fn perform(self, control: &Control<'_>, part: usize) -> Result<usize, Halt> {
        match self {
            Act::Ends => {}
            Act::Stops => control.stop_behind(part),
            Act::Fails => {
                return Err(Halt::Error(Error::BlockRange { block: part as u64, data_blocks: 0 }));
            }
            // without a word on stderr
            Act::Panics => resume_unwind(Box::new("on purpose")),
        }
        Ok(part)
    }

    pub(super) fn is_bad(self) -> bool {
        matches!(self, Act::Fails | Act::Panics)
    }

    /// Returns true if `error` is what `part` ends with by this act; false for an act that is not bad.
    pub(super) fn gives(self, part: usize, error: &Error) -> bool {
        match (self, error) {
            (Act::Fails, Error::BlockRange { block, .. }) => *block == part as u64,
            (Act::Panics, Error::Worker) => true,
            _ => false,
        }
    }
}
