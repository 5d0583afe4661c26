//! What each exit status says, for every command: the one table that `--help`, the documents and the tests go by.
//!
//! Uses nothing else of the command, so that what writes manuals can include it.

/// What the exit status says. The numbers are promised in `--help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// 0: proven under a root hash that the caller trusts; or, for commands that prove nothing, all is well.
    Good = 0,
    /// 1: not proven, broken, or forbidden.
    Bad = 1,
    /// 2: could not tell.
    Unknown = 2,
    /// 3: every block matches a root hash that nobody vouches for.
    Unvouched = 3,
}

impl ExitStatus {
    /// The worse of two: what is bad is worse than what is not known, and that than what nobody vouches for.
    pub(crate) fn worst(self, other: Self) -> Self {
        let rank = |status| match status {
            ExitStatus::Good => 0,
            ExitStatus::Unvouched => 1,
            ExitStatus::Unknown => 2,
            ExitStatus::Bad => 3,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

impl From<ExitStatus> for std::process::ExitCode {
    fn from(status: ExitStatus) -> Self {
        std::process::ExitCode::from(status as u8)
    }
}

/// A cause, and how a command ends because of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cause {
    /// Stable name of the row.
    #[cfg_attr(not(test), expect(dead_code, reason = "for what writes manuals"))]
    pub(crate) id: &'static str,
    /// What happened, for people.
    pub(crate) what: &'static str,
    /// How every command that can meet it ends.
    pub(crate) status: ExitStatus,
}

const fn cause(status: ExitStatus, id: &'static str, what: &'static str) -> Cause {
    Cause { id, what, status }
}

/// Every cause, by exit status. Of several causes the worst counts: 1, then 2, then 3.
pub(crate) const CAUSES: &[Cause] = &[
    cause(
        ExitStatus::Good,
        "proven",
        "every block matches a root hash that you gave or a trusted key signed",
    ),
    cause(
        ExitStatus::Good,
        "fine",
        "a command that proves nothing found nothing broken, or did what it was asked to",
    ),
    cause(ExitStatus::Good, "integrity-asked", "every block matches, and --integrity-only asked for no more"),
    cause(ExitStatus::Bad, "corrupt", "a block does not match the root hash"),
    cause(ExitStatus::Bad, "other-root-hash", "the root hash given is for nothing in the image"),
    cause(
        ExitStatus::Bad,
        "unprotected",
        "something that would be used has no hash tree, and proof is asked for",
    ),
    cause(ExitStatus::Bad, "broken-table", "the partition table cannot be used, or --strict refuses it"),
    cause(ExitStatus::Bad, "refused", "systemd, the image policy or a check refuses the image"),
    cause(ExitStatus::Unknown, "usage", "wrong arguments"),
    cause(
        ExitStatus::Unknown,
        "not-there",
        "the file is not there, cannot be opened, is empty or no disk image at all",
    ),
    cause(ExitStatus::Unknown, "unrecognised", "nothing in the bytes is recognised, such as random bytes"),
    cause(ExitStatus::Unknown, "io", "reading or writing failed, or the disk is full"),
    cause(ExitStatus::Unknown, "unpack", "a compressed image cannot be unpacked, or is larger than allowed"),
    cause(ExitStatus::Unknown, "unsupported", "a format or a part of one that ddi does not know"),
    cause(ExitStatus::Unvouched, "intact", "every block matches a root hash that nobody vouches for"),
];

/// The table as text, for `ddi --help`.
pub(crate) fn help() -> String {
    let mut text =
        "Exit status: the same of all commands. Of several causes the worst counts: 1, then 2, then 3\n"
            .to_owned();
    let mut before = None;
    for Cause { what, status, .. } in CAUSES {
        let number = if before == Some(*status) { " ".to_owned() } else { (*status as u8).to_string() };
        text.push_str(&format!("  {number}  {what}\n"));
        before = Some(*status);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_in_order_and_told_apart() {
        assert!(CAUSES.is_sorted_by_key(|cause| cause.status as u8));
        for (number, cause) in CAUSES.iter().enumerate() {
            assert!(CAUSES[..number].iter().all(|other| other.id != cause.id && other.what != cause.what));
        }
    }

    #[test]
    fn the_worst_of_several_counts() {
        use ExitStatus::{Bad, Good, Unknown, Unvouched};
        let order = [Good, Unvouched, Unknown, Bad];
        for (number, status) in order.into_iter().enumerate() {
            for better in &order[..=number] {
                assert_eq!((status.worst(*better), better.worst(status)), (status, status));
            }
        }
    }
}
