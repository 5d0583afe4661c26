//! Image policies: which partitions of an image may be used, and how each must be protected.
//!
//! The language of systemd.image-policy(7), as of systemd 260:
//!
//! ```text
//!   root=verity+signed:usr=absent:home=encrypted+unprotected+absent:=ignore
//!   └┬─┘ └────┬──────┘ └───┬────┘                                   └──┬──┘
//!  designator  flags    more rules                    the default, for all designators without a rule
//! ```
//!
//! Three things are easily overlooked, and stay true here:
//! - a part of a rule that says nothing allows everything: `root=read-only-on` is open for all protections;
//! - a rule for `root` that asks for verity or a signature implies one for `root-verity` and `root-verity-sig`;
//! - flags that make no sense for a designator are removed *afterwards*: `home=verity` can never be met.
//!
//! This module never looks at an image. It is given [`Facts`], and says what they meet by one of two
//! [`Reading`]s: what was *proven*, or what systemd goes by, which is what is *there*.
//!
//! ```
//! use ddi_gpt::Designator;
//! use ddi_core::policy::{Flags, ImagePolicy};
//!
//! let policy: ImagePolicy = "root=signed:=absent".parse()?;
//! assert_eq!(policy.effective(Designator::Root).uses(), Flags::SIGNED);
//! // the tree and the signature must be there as well
//! assert_eq!(policy.effective(Designator::RootVeritySig).uses(), Flags::UNPROTECTED);
//! assert_eq!(policy.effective(Designator::Home).uses(), Flags::ABSENT);
//! # Ok::<(), ddi_core::policy::ParseError>(())
//! ```

mod check;
pub(crate) mod evaluation;
mod flags;
mod named;
mod parse;

use core::fmt;

use ddi_gpt::Designator;

pub use check::{Decision, Encryption, Facts, Presence, ProofLevel, Reading, Refusal, Violation};
use ddi_fs::FsKind;
pub use flags::Flags;
pub use parse::{ParseError, ParseErrorKind, Skipped};

/// How many designators there are.
const DESIGNATORS: usize = Designator::ALL.len();

/// Which partitions may be used, and how each must be protected.
///
/// Two policies are equal if they were written the same, order and aliases aside; see
/// [`is_equivalent`](Self::is_equivalent) for whether they have the same effect. [`Default`] is the policy that
/// ignores everything, which is what the empty string stands for.
///
/// Displayed as short as possible; [`to_long_string`](Self::to_long_string) leaves nothing out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImagePolicy {
    /// As written, in the order of [`Designator::ALL`].
    rules: [Option<Flags>; DESIGNATORS],
    /// As written, or [`Flags::IGNORE`].
    default: Flags,
}

impl Default for ImagePolicy {
    fn default() -> Self {
        Self::IGNORE
    }
}

impl ImagePolicy {
    /// A policy without rules.
    const fn from_default(default: Flags) -> Self {
        ImagePolicy { rules: [None; DESIGNATORS], default }
    }

    fn iter(&self) -> impl Iterator<Item = (Designator, Option<Flags>)> {
        Designator::ALL.into_iter().zip(self.rules)
    }

    /// The rule for `designator` as it was written.
    pub fn rule(&self, designator: Designator) -> Option<Flags> {
        self.iter().find(|(d, _)| *d == designator).and_then(|(_, rule)| rule)
    }

    /// The default rule as it was written, or what holds when none was.
    pub fn default_rule(&self) -> Flags {
        self.default
    }

    /// Sets or removes the rule for `designator`.
    fn set(&mut self, designator: Designator, rule: Option<Flags>) {
        for (slot, d) in self.rules.iter_mut().zip(Designator::ALL) {
            if d == designator {
                *slot = rule;
            }
        }
    }

    /// What holds for `designator`: its rule, else what the rule for the data implies for a hash tree or a
    /// signature, else the default; with everything filled in that was left open, and without what makes no sense.
    pub fn effective(&self, designator: Designator) -> Flags {
        let explicit = self.rule(designator).map(|rule| rule.normalize(designator));
        explicit.or_else(|| self.implied(designator)).unwrap_or_else(|| self.default.normalize(designator))
    }

    /// What the rule for the data implies for its hash tree or signature.
    fn implied(&self, designator: Designator) -> Option<Flags> {
        let data = designator.data_of()?;
        let flags = self.rule(data)?.normalize(data);
        let is_tree = data.verity() == Some(designator);
        let needed = if is_tree { Flags::VERITY | Flags::SIGNED } else { Flags::SIGNED };
        let inherited = Flags::UNUSED | Flags::ABSENT | Flags::READ_ONLY | Flags::GROWFS;
        flags.intersects(needed).then(|| (Flags::UNPROTECTED | flags & inherited).normalize(designator))
    }

    /// The file system that is assumed without looking: a rule that names exactly one.
    pub fn assumed_file_system(&self, designator: Designator) -> Option<FsKind> {
        self.effective(designator).single_file_system()
    }

    /// Returns true if it has the same effect as `other` on every designator.
    pub fn is_equivalent(&self, other: &ImagePolicy) -> bool {
        self.default.extend() == other.default.extend()
            && Designator::ALL.into_iter().all(|d| self.effective(d) == other.effective(d))
    }

    /// What both policies allow.
    ///
    /// The rules implied for hash trees and signatures are those of the result. As systemd's
    /// `image_policy_intersect()`, but for a rule for a hash tree or signature that equals the default: systemd
    /// drops it, although the rule for the data then implies another, and allows more than one of the two did.
    ///
    /// # Errors
    /// [`Unsatisfiable`] if nothing could meet the result.
    pub fn intersect(&self, other: &ImagePolicy) -> Result<ImagePolicy, Unsatisfiable> {
        self.combine(other, |a, b| a & b)
    }

    /// What at least one of the policies allows. As systemd's `image_policy_union()`, with the same difference as
    /// [`intersect`](Self::intersect).
    ///
    /// # Errors
    /// [`Unsatisfiable`] if nothing could meet the result: both say of a designator what makes no sense for it.
    pub fn union(&self, other: &ImagePolicy) -> Result<ImagePolicy, Unsatisfiable> {
        self.combine(other, |a, b| a | b)
    }

    fn combine(&self, other: &Self, op: impl Fn(Flags, Flags) -> Flags) -> Result<Self, Unsatisfiable> {
        let default = op(self.default.extend(), other.default.extend());
        if default.has_empty_part() {
            return Err(Unsatisfiable { designator: None });
        }
        let mut result = ImagePolicy::from_default(default.reduce());
        let mut combined = Vec::new();
        for designator in Designator::ALL {
            if self.rule(designator).is_none() && other.rule(designator).is_none() {
                continue;
            }
            let flags = op(self.effective(designator), other.effective(designator));
            // the bits of a partition that must be absent are gone, and nothing is missing then
            let gone = flags.uses() == Flags::ABSENT;
            if flags.uses().is_empty() || (flags.has_empty_part() && !gone) {
                return Err(Unsatisfiable { designator: Some(designator) });
            }
            result.set(designator, Some(flags.reduce()));
            combined.push((designator, flags));
        }
        for (designator, flags) in combined {
            let same_as_default = result.default.normalize(designator) == flags;
            if same_as_default {
                result.drop_redundant(designator);
            }
        }
        Ok(result)
    }

    /// Removes the rule for `designator`, unless something would change, for it or for what belongs to it.
    fn drop_redundant(&mut self, designator: Designator) {
        let mut without = *self;
        without.set(designator, None);
        if Designator::ALL.into_iter().all(|d| self.effective(d) == without.effective(d)) {
            *self = without;
        }
    }

    /// The policy with everything written out: parsing it gives an equal policy.
    pub fn to_long_string(&self) -> String {
        let mut text = String::new();
        for (designator, rule) in self.iter() {
            if let Some(flags) = rule {
                text.push_str(designator.name());
                text.push('=');
                text.push_str(&flags.to_string());
                text.push(':');
            }
        }
        text.push('=');
        text.push_str(&self.default.to_string());
        text
    }
}

/// As short as possible: parsing it gives an equivalent policy.
impl fmt::Display for ImagePolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (symbol, policy) in [("*", Self::ALLOW), ("-", Self::IGNORE), ("~", Self::DENY)] {
            if self.is_equivalent(&policy) {
                return f.write_str(symbol);
            }
        }
        let mut short = *self;
        for (designator, rule) in self.iter() {
            // as systemd: the rule as it was written, against the default with everything filled in
            if rule == Some(self.default.normalize(designator)) {
                short.drop_redundant(designator);
            }
        }
        let mut separator = "";
        for (designator, rule) in short.iter() {
            if let Some(flags) = rule {
                write!(f, "{separator}{}={}", designator.name(), flags.short())?;
                separator = ":";
            }
        }
        if self.default.extend() != Flags::IGNORE.extend() {
            write!(f, "{separator}={}", self.default.short())?;
        }
        Ok(())
    }
}

/// Two policies whose combination nothing can meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsatisfiable {
    /// Where they contradict; `None`: in the default rule.
    pub designator: Option<Designator>,
}

impl fmt::Display for Unsatisfiable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.designator {
            Some(designator) => {
                write!(f, "the image policies contradict each other for {}", designator.name())
            }
            None => f.write_str("the image policies contradict each other in the default rule"),
        }
    }
}

impl core::error::Error for Unsatisfiable {}

#[cfg(test)]
mod tests;
