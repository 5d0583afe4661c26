//! Deciding: what an image policy says to each partition, by what is known of it.
//!
//! A policy is read in two ways, and both must let an image pass:
//!
//! 1. while it is dissected, by what is **there**, as systemd does ([`DissectOptions::policy`]). That also says which
//!    partitions are left alone;
//! 2. afterwards, by what was **proven**: the [`PolicyResult`]s here. `signed` is met by a signature that verified over the
//!    root hash that every block matches, never by the presence of a partition.
//!
//! The first alone is what `systemd-dissect` goes by, and is kept apart for comparison ([`PolicyEvaluation::systemd`]).

use ddi_gpt::Designator;
use ddi_verity::Strictness;

use crate::dissect::{DissectOptions, DissectedImage, DissectionRecord};
use crate::error::{Error, ErrorKind};
use crate::image::Image;
use crate::policy::{Decision, Facts, Flags, ImagePolicy, ProofLevel, Reading, Refusal, Violation};
use crate::prove::{Assessment, Depth, Outcome, TailRule, check_content, check_size};
use crate::report::finding::Authority;
use crate::trust::{Role, TrustedRootHash, Voucher};
use crate::unproven::Unproven;
use crate::verity_set::VeritySet;

/// What a policy says to the partition of one designator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyResult {
    /// Which designator.
    pub designator: Designator,
    /// Number of the partition, if there is one, and it is in a table.
    pub partition: Option<u32>,
    /// What is known of it.
    pub facts: Facts,
    /// What the policy allows there.
    pub allowed: Flags,
    /// What it comes to.
    pub result: Result<Decision, Violation>,
}

/// What a policy says to an image.
#[derive(Debug)]
#[non_exhaustive]
pub struct PolicyEvaluation {
    /// One for each designator, by what was proven; of a bare image, for the root file system alone. Empty if the image
    /// cannot be dissected at all.
    pub rulings: Vec<PolicyResult>,
    /// What systemd would say, which goes by what is there. Never enough by itself. Of an error whose
    /// [`authority`](Error::authority) is another, it is not known.
    pub systemd: Result<(), Error>,
    /// The policy has a part in that.
    by_policy: bool,
    /// The policy, if the image may be used on machines of other architectures.
    exposed_to: Option<ImagePolicy>,
}

impl PolicyEvaluation {
    /// By what was proven. `options` are those of `dissection`, whose policy it is; none at all allows everything.
    pub fn new(
        image: &Image,
        dissection: &DissectionRecord,
        options: &DissectOptions,
        assessment: &Assessment,
    ) -> Self {
        Self::with(image, dissection, options, |dissected, designator| {
            assessment.facts(dissected, designator)
        })
    }

    /// By what **would be** proven if every block matched its root hash: for showing, before any block was looked at.
    pub fn foresee(
        image: &Image,
        dissection: &DissectionRecord,
        options: &DissectOptions,
        sets: &[VeritySet],
        trusted: &[TrustedRootHash],
    ) -> Self {
        Self::with(image, dissection, options, |dissected, designator| {
            let mut facts = dissected.facts(designator);
            let number = dissected.get(designator).map(|partition| partition.number);
            let is_meant = |set: &&VeritySet| {
                set.role.data() == designator && set.data.map(|data| data.number) == number
            };
            let worth = |set: &VeritySet| match set.trusted(trusted).map(|t| t.voucher()) {
                _ if !could_be_proven(image, set) => ProofLevel::None,
                Some(Voucher::Certificate(_)) => ProofLevel::Signature,
                Some(Voucher::Caller) => ProofLevel::RootHash,
                None => ProofLevel::Intact,
            };
            facts.proof = sets.iter().filter(is_meant).map(worth).min().unwrap_or(ProofLevel::None);
            facts
        })
    }

    fn with(
        image: &Image,
        dissection: &DissectionRecord,
        options: &DissectOptions,
        facts: impl Fn(&DissectedImage, Designator) -> Facts,
    ) -> Self {
        let policy = options.policy.unwrap_or(ImagePolicy::ALLOW);
        let without_policy;
        let dissected = match (&dissection.outcome, options.policy) {
            (Ok(dissected), _) => Some(dissected),
            // the first violation ended it; for the others, what is in the image must be known
            (Err(_), Some(_)) => {
                without_policy =
                    DissectionRecord::new(image, &DissectOptions { policy: None, ..options.clone() });
                without_policy.outcome.as_ref().ok()
            }
            (Err(_), None) => None,
        };
        let ruling = |dissected: &DissectedImage, designator| {
            let facts = facts(dissected, designator);
            PolicyResult {
                designator,
                partition: dissected.get(designator).and_then(|partition| partition.number),
                facts,
                allowed: policy.effective(designator),
                result: policy.check_use(designator, &facts, Reading::Proven),
            }
        };
        let rulings = dissected.map(|dissected| {
            let judged = Designator::ALL.into_iter().filter(|d| dissected.is_judged(*d));
            judged.map(|designator| ruling(dissected, designator)).collect()
        });
        PolicyEvaluation {
            rulings: rulings.unwrap_or_default(),
            systemd: dissection.outcome.as_ref().map(|_| ()).map_err(Clone::clone),
            exposed_to: options.policy.filter(|_| !options.one_architecture),
            by_policy: (dissection.outcome.is_err() && dissected.is_some())
                || dissection.refusals.iter().any(|error| matches!(error.cause(), Error::Policy(_))),
        }
    }

    /// What is refused, by designator.
    pub fn violations(&self) -> impl Iterator<Item = Violation> + '_ {
        self.rulings.iter().filter_map(|ruling| ruling.result.err())
    }

    /// What a machine of another architecture would use, though the policy does not let it: see
    /// [`Unproven::is_exposed`]. None if the image is meant for one machine.
    pub fn exposed<'a>(&'a self, assessment: &'a Assessment) -> impl Iterator<Item = &'a Unproven> + 'a {
        let is_refused = |partition: &&Unproven| {
            let check = |policy: ImagePolicy| {
                policy.check_use(partition.designator, &Facts::PRESENT, Reading::Proven).is_err()
            };
            partition.is_exposed && self.exposed_to.is_some_and(check)
        };
        assessment.unproven.iter().filter(is_refused)
    }

    /// What the policy comes to. `assessment` as for [`new`](Self::new): where blocks could not be read, and that may be
    /// all that is wrong, nobody can tell.
    pub fn verdict(&self, assessment: &Assessment) -> Access {
        let could_not_read = |violation: Violation| {
            let role = Role::of(violation.designator);
            let of = |proof: &crate::prove::Proof| Some(proof.role) == role;
            violation.why == Refusal::Protection
                && assessment.proofs.iter().any(|p| of(p) && p.outcome == Outcome::Unknown)
        };
        match &self.systemd {
            Err(_) if self.by_policy => Access::Refused,
            _ if self.exposed(assessment).next().is_some() => Access::Refused,
            _ if self.violations().any(|violation| !could_not_read(violation)) => Access::Refused,
            Err(error) if is_refusal(error) => Access::Refused,
            Err(_) => Access::Unknown,
            Ok(()) if self.violations().next().is_some() => Access::Unknown,
            Ok(()) => Access::Allowed,
        }
    }
}

/// Returns true if it was possible to look, and the image is refused as a whole for what was found. Returns false if
/// nothing can be made out, or the call makes no sense. A table that breaks a rule of UEFI alone was read: software
/// makes different things of it, so that what holds for one reader holds for no other, and the policy is met for none.
fn is_refusal(error: &Error) -> bool {
    match error.cause() {
        Error::Table(_) | Error::Mbr(_) => error.authority() == Authority::Uefi,
        Error::NothingRecognised | Error::Empty | Error::NotMountable { designator: None, .. } => false,
        error => !matches!(error.kind(), ErrorKind::Io | ErrorKind::Usage),
    }
}

/// Returns true if all that can be known of a set beforehand is as it must be for [`prove`](crate::prove()). That takes
/// more than a tree and a root hash: the hash blocks of a good image have both.
fn could_be_proven(image: &Image, set: &VeritySet) -> bool {
    let (None, Some(tree), Some(data)) = (&set.problem, &set.tree, set.data) else { return false };
    let usual = (Strictness::default(), TailRule::default());
    check_size(image, set, tree, data, usual, FORESEEN_TAIL).is_ok()
        && check_content(image, set, tree, data, TailRule::default(), Depth::All).is_ok()
}

/// Of what follows the protected blocks, this many bytes are looked at without proving anything.
const FORESEEN_TAIL: u64 = 1 << 20;

/// What a policy comes to for a whole image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Each partition may be used, or is left alone.
    Allowed,
    /// At least one is not as the policy wants it.
    Refused,
    /// It was not possible to look.
    Unknown,
}

impl Access {
    /// `allowed`, `refused`, `could-not-tell`.
    pub fn name(self) -> &'static str {
        match self {
            Access::Allowed => "allowed",
            Access::Refused => "refused",
            Access::Unknown => "could-not-tell",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::VeritySettings;
    use crate::prove::{ProveOptions, prove};
    use crate::testing::{Disk, DiskImage as _, Set, erofs, image};
    use crate::verity_set::{BindOptions, verity_sets};

    fn judge(image: &Image, policy: &str, trusted: &[TrustedRootHash]) -> (PolicyEvaluation, Access) {
        let mut options = DissectOptions::new(VeritySettings::new(trusted, image.sidecars()));
        options.policy = Some(policy.parse().unwrap());
        let dissection = DissectionRecord::new(image, &options);
        let assessment = prove(image, &dissection, &ProveOptions { trusted, ..Default::default() });
        let judgement = PolicyEvaluation::new(image, &dissection, &options, &assessment);
        let verdict = judgement.verdict(&assessment);
        (judgement, verdict)
    }

    #[test]
    fn presence_is_not_enough() {
        let set = Set::new(erofs(20, 1));
        let image = Disk::new().set("root-x86-64", "os", &set).image();
        let trusted = [TrustedRootHash::by_caller(set.root, Role::Root)];
        // a signature partition is there, and systemd content with it
        let (judgement, verdict) = judge(&image, "root=signed", &trusted);
        assert_eq!((judgement.systemd.is_ok(), verdict), (true, Access::Refused));
        let violations: Vec<_> = judgement.violations().map(|violation| violation.designator).collect();
        assert_eq!(violations, [Designator::Root]);
        let (judgement, verdict) = judge(&image, "root=verity", &[]);
        assert_eq!((judgement.systemd.is_ok(), verdict), (true, Access::Refused));
        assert_eq!(judge(&image, "root=verity", &trusted).1, Access::Allowed);
        assert_eq!(judgement.rulings.len(), Designator::ALL.len());
    }

    #[test]
    fn all_violations_are_told_though_the_first_ends_the_dissection() {
        let disk = Disk::new().part("root-x86-64", "os", &erofs(20, 1)).part("swap", "", &[0; 4096]);
        let (judgement, verdict) = judge(&disk.image(), "root=signed:swap=absent:home=unprotected", &[]);
        assert_eq!(verdict, Access::Refused);
        let violations: Vec<_> =
            judgement.violations().map(|violation| violation.designator.name()).collect();
        assert_eq!(violations, ["root", "home", "swap", "root-verity", "root-verity-sig"]);
        assert!(matches!(judgement.systemd, Err(Error::Policy(_))));
    }

    #[test]
    fn of_a_bare_image_the_root_is_judged_alone() {
        let (judgement, verdict) = judge(&image(erofs(20, 1)), "root=unprotected:home=unprotected", &[]);
        assert_eq!((judgement.rulings.len(), verdict), (1, Access::Allowed));
        assert_eq!(judge(&image(erofs(20, 1)), "root=verity", &[]).1, Access::Refused);
    }

    /// The hash blocks of a good image as data, under its own root hash: nothing that is foreseen to be proven.
    #[test]
    fn hash_blocks_are_not_foreseen_to_be_data() {
        let good = Set::new(erofs(256, 1));
        let foresee = |set: &Set| {
            let image = Disk::new().pair("root-x86-64", "os", set).image();
            let trusted = [TrustedRootHash::by_caller(set.root, Role::Root)];
            let mut options = DissectOptions::new(VeritySettings::new(&trusted, image.sidecars()));
            options.policy = Some("root=verity".parse().unwrap());
            let dissection = DissectionRecord::new(&image, &options);
            let sets =
                verity_sets(&image, &dissection, &BindOptions { trusted: &trusted, ..Default::default() });
            assert!(sets[0].problem.is_none());
            let judgement = PolicyEvaluation::foresee(&image, &dissection, &options, &sets, &trusted);
            (judgement.rulings[0].facts.proof, judgement.violations().count())
        };
        assert_eq!(foresee(&good), (ProofLevel::RootHash, 0));
        // two level-0 blocks under the top one, which is the hash partition's second block
        let confused = Set::new(good.hash[2 * 4096..4 * 4096].to_vec());
        assert_eq!((confused.root, confused.data.len()), (good.root, 2 * 4096));
        assert_eq!(foresee(&confused), (ProofLevel::None, 1));
        // a file system that goes on behind what is protected
        let mut cut = erofs(256, 1);
        cut[1060..1064].copy_from_slice(&257_u32.to_le_bytes());
        assert_eq!(foresee(&Set::new(cut)), (ProofLevel::None, 1));
    }

    /// What is refused as a whole was looked at: that is no *could not tell*.
    #[test]
    fn f12_a_refusal_as_a_whole_is_a_refusal() {
        let (root, usr) = (Set::new(erofs(20, 1)), Set::new(erofs(20, 2)));
        let [for_root, for_usr] = [(&root, Role::Root), (&usr, Role::Usr)]
            .map(|(set, role)| TrustedRootHash::by_caller(set.root, role));
        let both = Disk::new().pair("root-x86-64", "os", &root).pair("usr-x86-64", "os", &usr);
        let (judgement, verdict) = judge(&both.image(), "*", &[for_root, for_usr]);
        assert!(matches!(judgement.systemd, Err(Error::RootAndUsrVerity)));
        assert_eq!((judgement.violations().count(), verdict), (0, Access::Refused));
        let ambiguous =
            ddi_testing::planted::image(&[ddi_fs::probe::FsKind::Ext4, ddi_fs::probe::FsKind::Iso9660]);
        let (_, verdict) = judge(&Disk::new().part("root-x86-64", "os", &ambiguous).image(), "*", &[]);
        assert_eq!(verdict, Access::Refused);
    }

    /// A table that UEFI alone forbids was read: it is refused, whatever the policy, and not *could not tell*. Of one that nobody
    /// can read there is nothing to tell.
    #[test]
    fn f3_what_readers_differ_about_is_refused() {
        let overlapping = image(crate::testing::mbr(&[(0x80, 0x83, 1, 9), (0, 0x83, 5, 9)]));
        let (evaluation, verdict) = judge(&overlapping, "*", &[]);
        let error = evaluation.systemd.unwrap_err();
        assert_eq!(
            (error.authority(), error.systemd_errno(), verdict),
            (Authority::Uefi, None, Access::Refused)
        );
        let mut bytes = Disk::new().part("root-x86-64", "os", &erofs(20, 1)).bytes();
        let end = bytes.len();
        (bytes[520], bytes[end - 500]) = (9, 9);
        let (evaluation, verdict) = judge(&image(bytes), "*", &[]);
        assert_eq!(evaluation.systemd.unwrap_err().authority(), Authority::Systemd);
        assert_eq!(verdict, Access::Unknown);
    }

    /// Blocks that could not be read are no violation, and no permission; what is missing besides is refused all the same.
    #[test]
    fn what_could_not_be_read_is_neither_allowed_nor_refused() {
        let set = Set::new(erofs(20, 1));
        let disk = Disk::new().pair("root-x86-64", "os", &set);
        let trusted = [TrustedRootHash::by_caller(set.root, Role::Root)];
        let cancel = core::sync::atomic::AtomicBool::new(true);
        let engine = ddi_verity::Options::new().cancel(&cancel);
        for (policy, verdict) in [
            ("root=verity", Access::Unknown),
            ("root=verity+unprotected", Access::Allowed),
            ("root=verity:home=unprotected", Access::Refused),
        ] {
            let image = disk.image();
            let mut options = DissectOptions::new(VeritySettings::new(&trusted, image.sidecars()));
            options.policy = Some(policy.parse().unwrap());
            let dissection = DissectionRecord::new(&image, &options);
            let prove_options = ProveOptions { trusted: &trusted, engine, ..Default::default() };
            let assessment = prove(&image, &dissection, &prove_options);
            assert_eq!(assessment.proofs[0].outcome, Outcome::Unknown);
            let judgement = PolicyEvaluation::new(&image, &dissection, &options, &assessment);
            assert_eq!(judgement.verdict(&assessment), verdict, "{policy}");
        }
    }

    /// What a machine of another architecture would use counts, another version for the same one does not.
    #[test]
    fn another_machine_is_judged_too() {
        let set = Set::new(erofs(20, 1));
        let trusted = [TrustedRootHash::by_caller(set.root, Role::Root)];
        let same = Disk::new().pair("root-x86-64", "os_2", &set).part("root-x86-64", "os_1", &erofs(20, 9));
        let foreign = same.clone().part("root-arm64", "os_2", &erofs(20, 9));
        for (disk, policy, one_architecture, verdict) in [
            (&same, "root=verity", false, Access::Allowed),
            (&foreign, "root=verity", false, Access::Refused),
            (&foreign, "root=verity", true, Access::Allowed),
            (&foreign, "root=verity+unprotected", false, Access::Allowed),
        ] {
            let image = disk.image();
            let mut options = DissectOptions::new(VeritySettings::new(&trusted, image.sidecars()));
            options.native = Some(ddi_gpt::Architecture::X86_64);
            options.one_architecture = one_architecture;
            options.policy = Some(policy.parse().unwrap());
            let dissection = DissectionRecord::new(&image, &options);
            let prove_options = ProveOptions { trusted: &trusted, one_architecture, ..Default::default() };
            let assessment = prove(&image, &dissection, &prove_options);
            let judgement = PolicyEvaluation::new(&image, &dissection, &options, &assessment);
            let told = (policy, one_architecture);
            assert_eq!(judgement.verdict(&assessment), verdict, "{told:?} {:?}", dissection.outcome.is_ok());
            let exposed = judgement.exposed(&assessment).count();
            assert_eq!(exposed, usize::from(verdict == Access::Refused), "{told:?}");
        }
    }

    #[test]
    fn what_cannot_be_dissected_cannot_be_judged() {
        let (judgement, verdict) = judge(&image(vec![7; 8192]), "*", &[]);
        assert_eq!((judgement.rulings.len(), verdict), (0, Access::Unknown));
        // but if it is the policy that leaves nothing to use, it is refused
        let disk = Disk::new().part("root-x86-64", "os", &erofs(20, 1));
        assert_eq!(judge(&disk.image(), "-", &[]).1, Access::Refused);
    }
}
