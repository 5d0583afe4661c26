//! The Discoverable Partitions Specification: what a partition is for, and for which machine.

mod architecture;
mod others;
mod types;

use alloc::string::String;
use core::fmt;
use core::str::FromStr;

pub use architecture::{Architecture, compare_architectures};

use crate::{Error, Guid};

/// What a partition is for. The order is systemd's: that of its output, and of image policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Designator {
    /// The root file system.
    Root,
    /// `/usr`.
    Usr,
    /// `/home`.
    Home,
    /// `/srv`.
    Srv,
    /// The EFI system partition: `/efi` or `/boot`.
    Esp,
    /// The extended boot loader partition: `/boot`.
    Xbootldr,
    /// Swap.
    Swap,
    /// The verity hash tree of [`Designator::Root`].
    RootVerity,
    /// The verity hash tree of [`Designator::Usr`].
    UsrVerity,
    /// The signature of the root hash of [`Designator::Root`].
    RootVeritySig,
    /// The signature of the root hash of [`Designator::Usr`].
    UsrVeritySig,
    /// `/var/tmp`.
    Tmp,
    /// `/var`.
    Var,
}

impl Designator {
    /// All of them, in order.
    pub const ALL: [Self; 13] = [
        Self::Root,
        Self::Usr,
        Self::Home,
        Self::Srv,
        Self::Esp,
        Self::Xbootldr,
        Self::Swap,
        Self::RootVerity,
        Self::UsrVerity,
        Self::RootVeritySig,
        Self::UsrVeritySig,
        Self::Tmp,
        Self::Var,
    ];

    /// The name that systemd gives it, as `root-verity-sig`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Usr => "usr",
            Self::Home => "home",
            Self::Srv => "srv",
            Self::Esp => "esp",
            Self::Xbootldr => "xbootldr",
            Self::Swap => "swap",
            Self::RootVerity => "root-verity",
            Self::UsrVerity => "usr-verity",
            Self::RootVeritySig => "root-verity-sig",
            Self::UsrVeritySig => "usr-verity-sig",
            Self::Tmp => "tmp",
            Self::Var => "var",
        }
    }

    /// The designator of the verity hash tree of this one: only root and usr have one.
    pub const fn verity(self) -> Option<Self> {
        match self {
            Self::Root => Some(Self::RootVerity),
            Self::Usr => Some(Self::UsrVerity),
            _ => None,
        }
    }

    /// The designator of the signature for this one: only root and usr have one.
    pub const fn verity_sig(self) -> Option<Self> {
        match self {
            Self::Root => Some(Self::RootVeritySig),
            Self::Usr => Some(Self::UsrVeritySig),
            _ => None,
        }
    }

    /// The designator of the data that this hash tree or signature is for; `None` for all that is data itself.
    pub const fn data_of(self) -> Option<Self> {
        match self {
            Self::RootVerity | Self::RootVeritySig => Some(Self::Root),
            Self::UsrVerity | Self::UsrVeritySig => Some(Self::Usr),
            _ => None,
        }
    }

    /// True if the types differ by architecture: root, usr, and what belongs to them. The same ones are compared by the version
    /// in their label when there are several.
    pub const fn has_architecture(self) -> bool {
        matches!(self, Self::Root | Self::Usr) || self.data_of().is_some()
    }

    /// Where the file system goes inside the image; the ESP's place depends on what is there.
    pub const fn mount_point(self) -> Option<&'static str> {
        match self {
            Self::Root => Some("/"),
            Self::Usr => Some("/usr"),
            Self::Home => Some("/home"),
            Self::Srv => Some("/srv"),
            Self::Esp => Some("/efi"),
            Self::Xbootldr => Some("/boot"),
            Self::Tmp => Some("/var/tmp"),
            Self::Var => Some("/var"),
            _ => None,
        }
    }
}

impl fmt::Display for Designator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Designator {
    type Err = Error;

    /// # Errors
    /// [`Error::UnknownDesignator`]
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|d| d.name() == name).ok_or(Error::UnknownDesignator)
    }
}

/// A partition's type, recognised.
///
/// ```
/// use ddi_gpt::{Architecture, Designator, Guid, PartitionType};
///
/// let guid: Guid = "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5".parse()?;
/// let verity = PartitionType::from_guid(guid);
/// assert_eq!(verity, PartitionType::Designated(Designator::RootVerity, Some(Architecture::X86_64)));
/// assert_eq!(verity.to_string(), "root-x86-64-verity");
/// # Ok::<(), ddi_gpt::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PartitionType {
    /// A type of the Discoverable Partitions Specification. The architecture is there exactly if
    /// [`Designator::has_architecture`].
    Designated(Designator, Option<Architecture>),
    /// One person's home directory; never mounted by dissection.
    UserHome,
    /// Linux data: taken for root when it is the only one and there is nothing better.
    LinuxGeneric,
    /// Any other type.
    Unknown(Guid),
}

impl PartitionType {
    /// Looks the type up: a binary search.
    pub fn from_guid(guid: Guid) -> Self {
        let digits = guid.to_u128();
        match SORTED.binary_search_by(|(key, _)| key.cmp(&digits)) {
            Ok(at) => SORTED.get(at).map_or(Self::Unknown(guid), |(_, found)| *found),
            Err(_) => Self::Unknown(guid),
        }
    }

    /// The type GUID; `None` only for a designator with an architecture it does not go with, which [`PartitionType::from_guid`]
    /// never makes.
    pub fn guid(self) -> Option<Guid> {
        if let Self::Unknown(guid) = self {
            return Some(guid);
        }
        SORTED.iter().find(|(_, known)| *known == self).map(|(digits, _)| Guid::from_u128(*digits))
    }

    /// All 135 types, ordered by GUID.
    pub fn all() -> impl ExactSizeIterator<Item = (Guid, Self)> {
        SORTED.iter().map(|(digits, known)| (Guid::from_u128(*digits), *known))
    }

    /// The designator, for a type that has one.
    pub const fn designator(self) -> Option<Designator> {
        match self {
            Self::Designated(designator, _) => Some(designator),
            _ => None,
        }
    }

    /// The architecture, for a type that names one.
    pub const fn architecture(self) -> Option<Architecture> {
        match self {
            Self::Designated(_, architecture) => architecture,
            _ => None,
        }
    }

    /// The symbolic name, as `root-x86-64-verity`, `esp` or `linux-generic`; the GUID of an unknown type.
    pub fn name(self) -> String {
        alloc::format!("{self}")
    }

    /// What fdisk and gdisk call a type that the specification does not name, as `BIOS boot`; `None` for all others. For
    /// people only: it is no [`name`](Self::name) that could be read back.
    pub fn common_name(self) -> Option<&'static str> {
        match self {
            Self::Unknown(guid) => others::name(guid),
            _ => None,
        }
    }

    /// Reads a symbolic name or a GUID, as systemd's tools do.
    ///
    /// `root`, `usr-verity` and the like are those of `native`, `root-secondary`, `usr-secondary-verity` those of its
    /// [secondary](Architecture::secondary) architecture. Architectures may go by their other names (`root-aarch64`).
    ///
    /// # Errors
    /// [`Error::UnknownPartitionType`], also for names that need an architecture which `native` does not give.
    pub fn from_name(name: &str, native: Option<Architecture>) -> Result<Self, Error> {
        if let Some(guid) = Guid::parse(name) {
            return Ok(Self::from_guid(guid));
        }
        match name {
            "user-home" => return Ok(Self::UserHome),
            "linux-generic" => return Ok(Self::LinuxGeneric),
            _ => {}
        }
        if let Ok(designator) = name.parse::<Designator>() {
            let architecture = if designator.has_architecture() { native } else { None };
            return Self::designated(designator, architecture);
        }
        let (stem, of): (_, fn(Designator) -> Option<Designator>) =
            if let Some(stem) = name.strip_suffix("-verity-sig") {
                (stem, Designator::verity_sig)
            } else if let Some(stem) = name.strip_suffix("-verity") {
                (stem, Designator::verity)
            } else {
                (name, Some)
            };
        let (data, architecture) = stem.split_once('-').ok_or(Error::UnknownPartitionType)?;
        let data: Designator = data.parse().map_err(|_| Error::UnknownPartitionType)?;
        let designator = of(data).ok_or(Error::UnknownPartitionType)?;
        let architecture = match architecture {
            "secondary" => native.and_then(Architecture::secondary),
            name => name.parse().ok(),
        };
        Self::designated(designator, Some(architecture.ok_or(Error::UnknownPartitionType)?))
    }

    fn designated(designator: Designator, architecture: Option<Architecture>) -> Result<Self, Error> {
        if designator.has_architecture() != architecture.is_some() {
            return Err(Error::UnknownPartitionType);
        }
        Ok(Self::Designated(designator, architecture))
    }
}

impl fmt::Display for PartitionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Designated(designator, Some(architecture)) => {
                let suffix = match designator {
                    Designator::RootVerity | Designator::UsrVerity => "-verity",
                    Designator::RootVeritySig | Designator::UsrVeritySig => "-verity-sig",
                    _ => "",
                };
                let data = designator.data_of().unwrap_or(designator);
                write!(f, "{data}-{architecture}{suffix}")
            }
            Self::Designated(designator, None) => designator.fmt(f),
            Self::UserHome => f.pad("user-home"),
            Self::LinuxGeneric => f.pad("linux-generic"),
            Self::Unknown(guid) => guid.fmt(f),
        }
    }
}

/// The type of `/var`.
pub(crate) const VAR: Guid = Guid::from_u128(types::VAR);

type Row = (u128, PartitionType);

/// Every type, sorted at compile time.
static SORTED: [Row; 135] = sorted_types();

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "runs in the compiler only, which would stop"
)]
const fn sorted_types() -> [Row; 135] {
    use Designator as D;
    let per_architecture: [(D, types::ByArchitecture); 6] = [
        (D::Root, types::ROOT),
        (D::RootVerity, types::ROOT_VERITY),
        (D::RootVeritySig, types::ROOT_VERITY_SIG),
        (D::Usr, types::USR),
        (D::UsrVerity, types::USR_VERITY),
        (D::UsrVeritySig, types::USR_VERITY_SIG),
    ];
    let plain: [Row; 9] = [
        (types::ESP, PartitionType::Designated(D::Esp, None)),
        (types::XBOOTLDR, PartitionType::Designated(D::Xbootldr, None)),
        (types::SWAP, PartitionType::Designated(D::Swap, None)),
        (types::HOME, PartitionType::Designated(D::Home, None)),
        (types::SRV, PartitionType::Designated(D::Srv, None)),
        (types::VAR, PartitionType::Designated(D::Var, None)),
        (types::TMP, PartitionType::Designated(D::Tmp, None)),
        (types::USER_HOME, PartitionType::UserHome),
        (types::LINUX_GENERIC, PartitionType::LinuxGeneric),
    ];
    let mut rows = [(0, PartitionType::UserHome); 135];
    let mut len = 0;
    while len < plain.len() {
        rows[len] = plain[len];
        len += 1;
    }
    let mut i = 0;
    while i < per_architecture.len() {
        let (designator, guids) = per_architecture[i];
        let mut j = 0;
        while j < guids.len() {
            rows[len] = (guids[j], PartitionType::Designated(designator, Some(Architecture::ALL[j])));
            len += 1;
            j += 1;
        }
        i += 1;
    }
    // insertion sort
    let mut i = 1;
    while i < rows.len() {
        let mut j = i;
        while j > 0 && rows[j - 1].0 > rows[j].0 {
            let row = rows[j];
            rows[j] = rows[j - 1];
            rows[j - 1] = row;
            j -= 1;
        }
        i += 1;
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::string::ToString;
    use std::vec::Vec;

    use super::*;

    const CSV: &str = include_str!("testdata/partition-types.csv");

    /// What the compiler makes is what the program would make.
    #[test]
    fn the_table_is_sorted() {
        let rows = sorted_types();
        assert_eq!(rows, SORTED);
        assert!(rows.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn all_135_types_are_those_of_the_specification() {
        let mut lines = CSV.lines();
        assert_eq!(lines.next(), Some("designator,architecture,kind,type_uuid,symbolic_name"));
        let mut count = 0;
        for line in lines {
            let [designator, architecture, _, guid, name] = line.split(',').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            let guid: Guid = guid.parse().unwrap();
            let found = PartitionType::from_guid(guid);
            assert_eq!((found.to_string(), found.name()), (name.into(), name.into()));
            assert_eq!(found.guid(), Some(guid), "{name}");
            assert_eq!(PartitionType::from_name(name, None), Ok(found));
            assert_eq!(PartitionType::from_name(&guid.to_string(), None), Ok(found));
            assert_eq!(found.designator().map_or("", Designator::name), designator, "{name}");
            assert_eq!(found.architecture().map_or("", Architecture::name), architecture, "{name}");
            assert_eq!(
                found.designator().is_some_and(Designator::has_architecture),
                !architecture.is_empty()
            );
            count += 1;
        }
        assert_eq!((count, PartitionType::all().len()), (135, 135));
        assert!(SORTED.is_sorted_by(|a, b| a.0 < b.0), "sorted, no two alike");
    }

    #[test]
    fn names_without_an_architecture_are_the_native_ones() {
        use Architecture as A;
        let parse = |name, native| PartitionType::from_name(name, native).map(|t| t.to_string());
        let amd64 = Some(A::X86_64);
        for (name, native, expected) in [
            ("root", amd64, "root-x86-64"),
            ("root-verity", amd64, "root-x86-64-verity"),
            ("usr-verity-sig", Some(A::Arm64), "usr-arm64-verity-sig"),
            ("root-secondary", amd64, "root-x86"),
            ("usr-secondary-verity", Some(A::Arm64), "usr-arm-verity"),
            ("root-secondary-verity-sig", amd64, "root-x86-verity-sig"),
            ("root-aarch64", None, "root-arm64"),
            ("usr-x86_64-verity", None, "usr-x86-64-verity"),
            ("usr-ppc64el-verity-sig", None, "usr-ppc64-le-verity-sig"),
            ("esp", amd64, "esp"),
            ("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", None, "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"),
        ] {
            assert_eq!(parse(name, native).as_deref(), Ok(expected));
        }
        for bad in [
            "",
            "-",
            "root-",
            "root",
            "root-verity",
            "root-secondary",
            "root-vax",
            "home-x86-64",
            "esp-verity",
            "root-x86-64-",
            "Root-x86-64",
            "root-verity-x86-64",
        ] {
            assert_eq!(parse(bad, None), Err(Error::UnknownPartitionType), "{bad}");
        }
        assert_eq!(parse("root-secondary", Some(A::Riscv64)), Err(Error::UnknownPartitionType));
        let unknown = Guid::from_u128(7);
        assert_eq!(PartitionType::Unknown(unknown).guid(), Some(unknown));
    }

    #[test]
    fn designators() {
        for designator in Designator::ALL {
            assert_eq!(designator.name().parse(), Ok(designator));
            for of in [designator.verity(), designator.verity_sig()].into_iter().flatten() {
                assert_eq!(of.data_of(), Some(designator));
                assert!(of.has_architecture() && of.mount_point().is_none());
            }
        }
        assert!(Designator::ALL.is_sorted());
        assert_eq!("rooted".parse::<Designator>(), Err(Error::UnknownDesignator));
    }

    #[test]
    fn mount_points() {
        let mounted: Vec<_> =
            Designator::ALL.iter().filter_map(|d| Some((d.name(), d.mount_point()?))).collect();
        assert_eq!(
            mounted,
            [
                ("root", "/"),
                ("usr", "/usr"),
                ("home", "/home"),
                ("srv", "/srv"),
                ("esp", "/efi"),
                ("xbootldr", "/boot"),
                ("tmp", "/var/tmp"),
                ("var", "/var"),
            ]
        );
    }
}
