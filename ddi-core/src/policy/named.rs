//! The policies that systemd ships, by name.

use ddi_gpt::Designator;

use super::{Flags, ImagePolicy};

/// How the root and `/usr` of an ordinary image may be.
const SYSTEM: Flags =
    Flags::VERITY.or(Flags::SIGNED).or(Flags::ANY_ENCRYPTION).or(Flags::UNPROTECTED).or(Flags::ABSENT);
/// And its data.
const DATA: Flags = Flags::ANY_ENCRYPTION.or(Flags::UNPROTECTED).or(Flags::ABSENT);
/// And what the firmware and the boot loader read.
const BOOT: Flags = Flags::UNPROTECTED.or(Flags::ABSENT);
const STRICT: Flags = Flags::SIGNED.or(Flags::ABSENT);

impl ImagePolicy {
    /// Everything may be used, in whatever way it is protected: `*`. What holds when no policy is given.
    pub const ALLOW: ImagePolicy = ImagePolicy::from_default(Flags::OPEN);
    /// Nothing may exist: `~`.
    pub const DENY: ImagePolicy = ImagePolicy::from_default(Flags::ABSENT);
    /// Everything may exist, nothing is used: `-`.
    pub const IGNORE: ImagePolicy = ImagePolicy::from_default(Flags::IGNORE);
    /// For system extensions.
    pub const SYSEXT: ImagePolicy =
        ImagePolicy::IGNORE.with(Designator::Root, SYSTEM).with(Designator::Usr, SYSTEM);
    /// For system extensions found in an initrd.
    pub const SYSEXT_STRICT: ImagePolicy =
        ImagePolicy::IGNORE.with(Designator::Root, STRICT).with(Designator::Usr, STRICT);
    /// For configuration extensions.
    pub const CONFEXT: ImagePolicy = ImagePolicy::IGNORE.with(Designator::Root, SYSTEM);
    /// For configuration extensions found in an initrd.
    pub const CONFEXT_STRICT: ImagePolicy = ImagePolicy::IGNORE.with(Designator::Root, STRICT);
    /// For `RootImage=` of services and portable services.
    pub const SERVICE: ImagePolicy = ImagePolicy::SYSEXT
        .with(Designator::Home, DATA)
        .with(Designator::Srv, DATA)
        .with(Designator::Tmp, DATA)
        .with(Designator::Var, DATA);
    /// For containers.
    pub const CONTAINER: ImagePolicy =
        ImagePolicy::SERVICE.with(Designator::Esp, BOOT).with(Designator::Xbootldr, BOOT);
    /// For the running system.
    pub const HOST: ImagePolicy = ImagePolicy::CONTAINER.with(Designator::Swap, DATA);

    /// The policies above by the names that systemd's manuals give them.
    pub const NAMED: [(&str, ImagePolicy); 10] = [
        ("allow", ImagePolicy::ALLOW),
        ("deny", ImagePolicy::DENY),
        ("ignore", ImagePolicy::IGNORE),
        ("sysext", ImagePolicy::SYSEXT),
        ("sysext-strict", ImagePolicy::SYSEXT_STRICT),
        ("confext", ImagePolicy::CONFEXT),
        ("confext-strict", ImagePolicy::CONFEXT_STRICT),
        ("container", ImagePolicy::CONTAINER),
        ("service", ImagePolicy::SERVICE),
        ("host", ImagePolicy::HOST),
    ];

    /// The policy of that name. A leading `@`, as `systemd-analyze image-policy` wants it, is taken off.
    pub fn named(name: &str) -> Option<ImagePolicy> {
        let name = name.strip_prefix('@').unwrap_or(name);
        Self::NAMED.into_iter().find(|(known, _)| *known == name).map(|(_, policy)| policy)
    }

    #[expect(
        clippy::as_conversions,
        clippy::indexing_slicing,
        reason = "evaluated by the compiler, which a wrong index stops"
    )]
    const fn with(mut self, designator: Designator, flags: Flags) -> Self {
        self.rules[designator as usize] = Some(flags);
        self
    }
}
