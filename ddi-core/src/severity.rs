//! How bad something is, and whose rule says so.

use core::fmt;

/// How bad a [`Finding`](crate::Finding) is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Unusual, or read differently by different programs.
    Warning,
    /// The image, or this part of it, is broken or cannot be used.
    Error,
}

impl Severity {
    /// `note`, `warning` or `error`.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Whose rule it is that a [`Finding`](crate::Finding) is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Authority {
    /// The UEFI specification: partition tables.
    Uefi,
    /// The Discoverable Partitions Specification.
    Dps,
    /// What systemd does, as of the version that was looked at.
    Systemd,
    /// The format of dm-verity, or of a file system: the kernel's rule.
    Linux,
    /// Nobody else's: what ddi finds worth knowing.
    Ddi,
}

impl Authority {
    /// `UEFI`, `DPS`, `systemd 257`, `Linux`, `ddi`.
    pub fn name(self) -> &'static str {
        match self {
            Authority::Uefi => "UEFI",
            Authority::Dps => "DPS",
            Authority::Systemd => "systemd 257",
            Authority::Linux => "Linux",
            Authority::Ddi => "ddi",
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
