//! Whether an extension goes with a host.
//!
//! Source: systemd, `src/shared/extension-util.c:extension_release_validate`. Where the specification and systemd differ,
//! systemd counts: `ID_LIKE` and the level of a host without a version are judged as version 258 does.

use crate::metadata::{EnvFile, ExtensionClass};
use ddi_fs::Vfs;

/// Where an extension is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExtensionScope {
    /// Into the system.
    System,
    /// Into an initrd.
    Initrd,
    /// Into a portable service.
    Portable,
}

impl ExtensionScope {
    /// `system`, `initrd`, `portable`.
    pub fn name(self) -> &'static str {
        match self {
            ExtensionScope::System => "system",
            ExtensionScope::Initrd => "initrd",
            ExtensionScope::Portable => "portable",
        }
    }
}

/// What an extension is to extend.
#[derive(Debug, Clone, Copy)]
pub struct ExtensionHost<'a> {
    /// Its os-release.
    pub os_release: &'a EnvFile,
    /// Its machine, under systemd's name: `x86-64`.
    pub architecture: &'a str,
    /// Its files, if they are known: then they are compared with those of the extensions.
    pub tree: Option<&'a Vfs>,
}

/// Why an extension goes with a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExtensionMatch {
    /// Its `ID` is `_any`: nothing else is asked.
    AnyId,
    /// The host has neither a version nor a level: the `ID` is enough.
    NoHostVersion,
    /// Both have the same level; the version is not asked.
    Level,
    /// Both have the same version.
    Version,
    /// The host has a level alone, and the extension has none.
    NoExtensionLevel,
}

impl ExtensionMatch {
    /// In words.
    pub fn reason(self) -> &'static str {
        match self {
            ExtensionMatch::AnyId => "ID is _any",
            ExtensionMatch::NoHostVersion => "same ID, and the host has no version",
            ExtensionMatch::Level => "same ID and level",
            ExtensionMatch::Version => "same ID and version",
            ExtensionMatch::NoExtensionLevel => "same ID, and only the host has a level",
        }
    }
}

/// Why an extension does not go with a host; in the order in which it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExtensionMismatch {
    /// The host's os-release has no `ID`: nothing can be merged.
    HostWithoutId,
    /// The release file has no field.
    Empty,
    /// It is not for this scope.
    Scope,
    /// It is for another machine.
    Architecture,
    /// It has no `ID`.
    NoId,
    /// It has another `ID`, which is not among the host's `ID_LIKE` either.
    Id,
    /// Both have a level, and not the same one.
    Level,
    /// The host has a version, and it has none.
    NoVersion,
    /// Both have a version, and not the same one.
    Version,
}

impl ExtensionMismatch {
    /// The number of the question, from 1; 0 is about the host alone.
    pub fn step(self) -> u8 {
        match self {
            ExtensionMismatch::HostWithoutId => 0,
            ExtensionMismatch::Empty => 1,
            ExtensionMismatch::Scope => 2,
            ExtensionMismatch::Architecture => 3,
            ExtensionMismatch::NoId => 4,
            ExtensionMismatch::Id => 6,
            ExtensionMismatch::Level => 8,
            ExtensionMismatch::NoVersion | ExtensionMismatch::Version => 9,
        }
    }

    /// Stable name for programs.
    pub fn code(self) -> &'static str {
        match self {
            ExtensionMismatch::HostWithoutId => "host-without-id",
            ExtensionMismatch::Empty => "empty-extension-release",
            ExtensionMismatch::Scope => "other-scope",
            ExtensionMismatch::Architecture => "other-architecture",
            ExtensionMismatch::NoId => "no-id",
            ExtensionMismatch::Id => "other-id",
            ExtensionMismatch::Level => "other-level",
            ExtensionMismatch::NoVersion => "no-version-id",
            ExtensionMismatch::Version => "other-version-id",
        }
    }

    /// The field of the release file that it is about.
    pub(super) fn key(self, class: ExtensionClass) -> Option<&'static str> {
        match self {
            ExtensionMismatch::HostWithoutId | ExtensionMismatch::Empty => None,
            ExtensionMismatch::Scope => Some(class.scope_key()),
            ExtensionMismatch::Architecture => Some("ARCHITECTURE"),
            ExtensionMismatch::NoId | ExtensionMismatch::Id => Some("ID"),
            ExtensionMismatch::Level => Some(class.level_key()),
            ExtensionMismatch::NoVersion | ExtensionMismatch::Version => Some("VERSION_ID"),
        }
    }

    /// In words, with both values.
    pub fn reason(self, release: &EnvFile, class: ExtensionClass, host: &ExtensionHost<'_>) -> String {
        let ours = |key| release.get(key).unwrap_or_default();
        let theirs = |key| host.os_release.get(key).unwrap_or_default();
        match self {
            ExtensionMismatch::HostWithoutId => "the host's os-release has no ID".into(),
            ExtensionMismatch::Empty => "the release file has no field".into(),
            ExtensionMismatch::Scope => match release.get(class.scope_key()) {
                Some(scopes) => format!("it is for the scopes '{scopes}'"),
                None => "it is for the scopes 'system portable', as it does not say otherwise".into(),
            },
            ExtensionMismatch::Architecture => {
                format!("it is for {}, the host is {}", ours("ARCHITECTURE"), host.architecture)
            }
            ExtensionMismatch::NoId => "there is no ID".into(),
            ExtensionMismatch::Id => match host.os_release.get_non_empty("ID_LIKE") {
                Some(like) => format!("it is for {}, the host is {} (like {like})", ours("ID"), theirs("ID")),
                None => format!("it is for {}, the host is {}", ours("ID"), theirs("ID")),
            },
            ExtensionMismatch::Level => {
                let key = class.level_key();
                format!("it is for level {}, the host has {}", ours(key), theirs(key))
            }
            ExtensionMismatch::NoVersion => {
                format!("it says no version, the host has {}", theirs("VERSION_ID"))
            }
            ExtensionMismatch::Version => {
                format!("it is for version {}, the host has {}", ours("VERSION_ID"), theirs("VERSION_ID"))
            }
        }
    }
}

/// Checks that an extension with this release file goes with that host. Without a scope, the scope is not checked.
///
/// ```
/// use ddi_os::{ExtensionHost, ExtensionMatch, ExtensionMismatch, match_extension};
/// use ddi_os::metadata::{EnvFile, ExtensionClass};
///
/// let os_release = EnvFile::parse(b"ID=debian\nVERSION_ID=13\n").unwrap();
/// let host = ExtensionHost { os_release: &os_release, architecture: "x86-64", tree: None };
/// let ask = |text: &[u8]| match_extension(&EnvFile::parse(text).unwrap(), ExtensionClass::Sysext, &host, None);
/// assert_eq!(ask(b"ID=debian\nVERSION_ID=13\n"), Ok(ExtensionMatch::Version));
/// assert_eq!(ask(b"ID=debian\nVERSION_ID=12\n"), Err(ExtensionMismatch::Version));
/// assert_eq!(ask(b"ID=_any\n"), Ok(ExtensionMatch::AnyId));
/// ```
///
/// # Errors
/// The first question that is answered with no.
pub fn match_extension(
    release: &EnvFile,
    class: ExtensionClass,
    host: &ExtensionHost<'_>,
    scope: Option<ExtensionScope>,
) -> Result<ExtensionMatch, ExtensionMismatch> {
    let theirs = |key| host.os_release.get_non_empty(key);
    let Some(host_id) = theirs("ID") else { return Err(ExtensionMismatch::HostWithoutId) };
    if release.is_empty() {
        return Err(ExtensionMismatch::Empty);
    }
    if let Some(scope) = scope {
        // not set is the default, and set to nothing is for no scope
        let scopes = release.get(class.scope_key()).unwrap_or("system portable");
        if !words(scopes).any(|word| word == scope.name()) {
            return Err(ExtensionMismatch::Scope);
        }
    }
    let architecture = release.get_non_empty("ARCHITECTURE").unwrap_or("_any");
    if architecture != "_any" && architecture != host.architecture {
        return Err(ExtensionMismatch::Architecture);
    }
    let id = release.get_non_empty("ID").ok_or(ExtensionMismatch::NoId)?;
    if id == "_any" {
        return Ok(ExtensionMatch::AnyId);
    }
    if id != host_id && !is_like(id, host) {
        return Err(ExtensionMismatch::Id);
    }
    let key = class.level_key();
    // a level on both sides counts in place of the version
    match (theirs("VERSION_ID"), theirs(key), release.get_non_empty(key)) {
        (None, None, _) => Ok(ExtensionMatch::NoHostVersion),
        (_, Some(host), Some(ours)) if host == ours => Ok(ExtensionMatch::Level),
        (_, Some(_), Some(_)) => Err(ExtensionMismatch::Level),
        (Some(host), _, _) => match release.get_non_empty("VERSION_ID") {
            None => Err(ExtensionMismatch::NoVersion),
            Some(ours) if ours == host => Ok(ExtensionMatch::Version),
            Some(_) => Err(ExtensionMismatch::Version),
        },
        // the specification would pass it over, and systemd takes it
        (None, Some(_), None) => Ok(ExtensionMatch::NoExtensionLevel),
    }
}

/// Returns true if the host is said to be like that system.
fn is_like(id: &str, host: &ExtensionHost<'_>) -> bool {
    host.os_release.get("ID_LIKE").is_some_and(|like| words(like).any(|word| word == id))
}

/// What white space separates, for systemd.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', '\t', '\n', '\r']).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extension::tests::{X86, env};

    fn ask(
        class: ExtensionClass,
        release: &str,
        host: &str,
        scope: Option<ExtensionScope>,
    ) -> Result<ExtensionMatch, ExtensionMismatch> {
        let os_release = env(host);
        let host = ExtensionHost { os_release: &os_release, architecture: X86, tree: None };
        match_extension(&env(release), class, &host, scope)
    }

    /// Fields are separated by blanks; `~` is a blank in a value.
    #[test]
    fn truth_table() {
        use ExtensionMatch as M;
        use ExtensionMismatch as N;
        type Row<'a> = (&'a str, &'a str, Result<M, N>);
        let rows: &[Row<'_>] = &[
            // 0: the host
            ("ID=_any", "", Err(N::HostWithoutId)),
            ("ID=_any", "ID=", Err(N::HostWithoutId)),
            ("", "VERSION_ID=1", Err(N::HostWithoutId)),
            // 1: no field
            ("", "ID=a", Err(N::Empty)),
            ("#ID=a", "ID=a", Err(N::Empty)),
            // 3: architecture
            ("ID=a ARCHITECTURE=x86-64", "ID=a", Ok(M::NoHostVersion)),
            ("ID=a ARCHITECTURE=", "ID=a", Ok(M::NoHostVersion)),
            ("ID=a ARCHITECTURE=_any", "ID=a", Ok(M::NoHostVersion)),
            ("ID=a ARCHITECTURE=arm64", "ID=a", Err(N::Architecture)),
            ("ID=a ARCHITECTURE=x86", "ID=a", Err(N::Architecture)),
            ("ID=a ARCHITECTURE=any", "ID=a", Err(N::Architecture)),
            ("ID=a ARCHITECTURE=native", "ID=a", Err(N::Architecture)),
            ("ID=_any ARCHITECTURE=arm64", "ID=a", Err(N::Architecture)),
            // before the ID is asked
            ("ARCHITECTURE=arm64", "ID=a", Err(N::Architecture)),
            // 4: ID
            ("VERSION_ID=1", "ID=a VERSION_ID=1", Err(N::NoId)),
            ("ID= VERSION_ID=1", "ID=a VERSION_ID=1", Err(N::NoId)),
            // 5: any ID
            ("ID=_any", "ID=a VERSION_ID=1 SYSEXT_LEVEL=2", Ok(M::AnyId)),
            ("ID=_any VERSION_ID=9 SYSEXT_LEVEL=9", "ID=a VERSION_ID=1 SYSEXT_LEVEL=2", Ok(M::AnyId)),
            ("ID=any", "ID=a", Err(N::Id)),
            // 6: same ID, or alike
            ("ID=b", "ID=a", Err(N::Id)),
            ("ID=A", "ID=a", Err(N::Id)),
            ("ID=b VERSION_ID=1", "ID=a VERSION_ID=1", Err(N::Id)),
            ("ID=b", "ID=a ID_LIKE=b", Ok(M::NoHostVersion)),
            ("ID=b", "ID=a ID_LIKE=c~b~d", Ok(M::NoHostVersion)),
            ("ID=b", "ID=a ID_LIKE=bb", Err(N::Id)),
            ("ID=b", "ID=a ID_LIKE=", Err(N::Id)),
            ("ID=b VERSION_ID=1", "ID=a ID_LIKE=b VERSION_ID=1", Ok(M::Version)),
            ("ID=b VERSION_ID=2", "ID=a ID_LIKE=b VERSION_ID=1", Err(N::Version)),
            // the extension's own ID_LIKE is not asked
            ("ID=b ID_LIKE=a", "ID=a", Err(N::Id)),
            // 7: a host without a version
            ("ID=a VERSION_ID=1", "ID=a", Ok(M::NoHostVersion)),
            ("ID=a SYSEXT_LEVEL=1", "ID=a VERSION_ID= SYSEXT_LEVEL=", Ok(M::NoHostVersion)),
            // 8: levels, if both have one
            ("ID=a SYSEXT_LEVEL=1", "ID=a SYSEXT_LEVEL=1", Ok(M::Level)),
            ("ID=a SYSEXT_LEVEL=1", "ID=a SYSEXT_LEVEL=2", Err(N::Level)),
            ("ID=a SYSEXT_LEVEL=1", "ID=a SYSEXT_LEVEL=1.0", Err(N::Level)),
            ("ID=a SYSEXT_LEVEL=1 VERSION_ID=2", "ID=a SYSEXT_LEVEL=1 VERSION_ID=1", Ok(M::Level)),
            ("ID=a SYSEXT_LEVEL=2 VERSION_ID=1", "ID=a SYSEXT_LEVEL=1 VERSION_ID=1", Err(N::Level)),
            // of the other class, that is not asked
            ("ID=a CONFEXT_LEVEL=1", "ID=a SYSEXT_LEVEL=1", Ok(M::NoExtensionLevel)),
            ("ID=a CONFEXT_LEVEL=1", "ID=a CONFEXT_LEVEL=2", Ok(M::NoHostVersion)),
            // 9: versions
            ("ID=a VERSION_ID=1", "ID=a VERSION_ID=1", Ok(M::Version)),
            ("ID=a VERSION_ID=1.0", "ID=a VERSION_ID=1", Err(N::Version)),
            ("ID=a", "ID=a VERSION_ID=1", Err(N::NoVersion)),
            ("ID=a VERSION_ID=", "ID=a VERSION_ID=1", Err(N::NoVersion)),
            ("ID=a SYSEXT_LEVEL=1", "ID=a VERSION_ID=1", Err(N::NoVersion)),
            ("ID=a SYSEXT_LEVEL=1 VERSION_ID=1", "ID=a VERSION_ID=1", Ok(M::Version)),
            ("ID=a VERSION_ID=1", "ID=a VERSION_ID=1 SYSEXT_LEVEL=1", Ok(M::Version)),
            ("ID=a", "ID=a VERSION_ID=1 SYSEXT_LEVEL=1", Err(N::NoVersion)),
            // 10: a host with a level alone
            ("ID=a", "ID=a SYSEXT_LEVEL=1", Ok(M::NoExtensionLevel)),
            ("ID=a VERSION_ID=7", "ID=a SYSEXT_LEVEL=1", Ok(M::NoExtensionLevel)),
        ];
        assert!(rows.len() >= 40);
        for (release, host, expected) in rows {
            let sysext = ask(ExtensionClass::Sysext, release, host, None);
            assert_eq!(sysext, *expected, "{release:?} on {host:?}");
            // the same for the other class with the other keys
            let swap = |text: &str| {
                text.replace("SYSEXT_", "%").replace("CONFEXT_", "SYSEXT_").replace('%', "CONFEXT_")
            };
            let (release, host) = (swap(release), swap(host));
            assert_eq!(
                ask(ExtensionClass::Confext, &release, &host, None),
                *expected,
                "{release:?} on {host:?}"
            );
        }
    }

    #[test]
    fn scopes() {
        use ExtensionScope as S;
        let all = [S::System, S::Initrd, S::Portable];
        for (release, taken) in [
            ("ID=_any", [true, false, true]),
            ("ID=_any SYSEXT_SCOPE=", [false, false, false]),
            ("ID=_any SYSEXT_SCOPE=initrd", [false, true, false]),
            ("ID=_any SYSEXT_SCOPE=initrd~system", [true, true, false]),
            ("ID=_any SYSEXT_SCOPE=systems", [false, false, false]),
            ("ID=_any CONFEXT_SCOPE=initrd", [true, false, true]),
        ] {
            for (scope, taken) in all.into_iter().zip(taken) {
                let expected = if taken { Ok(ExtensionMatch::AnyId) } else { Err(ExtensionMismatch::Scope) };
                assert_eq!(
                    ask(ExtensionClass::Sysext, release, "ID=a", Some(scope)),
                    expected,
                    "{release} {scope:?}"
                );
            }
        }
        // asked before the architecture
        let both = "ID=_any SYSEXT_SCOPE=initrd ARCHITECTURE=arm64";
        assert_eq!(ask(ExtensionClass::Sysext, both, "ID=a", Some(S::System)), Err(ExtensionMismatch::Scope));
    }
}
