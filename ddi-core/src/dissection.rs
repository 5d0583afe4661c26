//! An image, whom the caller trusts, and what comes of the two: [`Dissection`].

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::dissect::{DissectOptions, DissectionRecord, VeritySettings};
use crate::error::{Error, ErrorKind};
use crate::image::Image;
use crate::mount::{Contents, MountError, MountedTree};
use crate::policy::ImagePolicy;
use crate::policy::evaluation::PolicyEvaluation;
use crate::prove::damage::Damage;
#[cfg(feature = "fec")]
use crate::prove::fec::FecDevice;
use crate::prove::partition::ProvenPartition;
use crate::prove::{Assessment, Outcome, ProveOptions, prove_sets};
use crate::report::{Report, ReportOptions};
use crate::trust::{Assurance, Role, Trust};
use crate::verity_set::{BindOptions, VeritySet, verity_sets};

/// An image of which it is known what each part is for, and whom the caller trusts. Everything else is asked of it.
///
/// It owns what it needs, is cheap to clone, and may be kept and shared between threads.
///
/// ```no_run
/// use ddi_core::{Image, Trust};
///
/// let disk = Image::open("image.raw")?.dissect(&Trust::certificate_file("vendor.crt")?);
/// let os_release = disk.mount()?.read("/usr/lib/os-release")?; // proven bytes or an error
/// println!("{}", disk.verify()?); // every block
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Dissection {
    inner: Arc<Inner>,
    #[cfg(feature = "fec")]
    fec: Arc<[FecDevice]>,
}

struct Inner {
    image: Image,
    trust: Trust,
    options: DissectOptions,
    hash_offset: Option<u64>,
    record: DissectionRecord,
    /// Found once, when first asked for.
    sets: OnceLock<Arc<[VeritySet]>>,
}

impl Image {
    /// Finds out what each part of the image is for, as systemd-dissect does. Never fails: what is wrong with the image is told
    /// by what is asked next.
    pub fn dissect(self, trust: &Trust) -> Dissection {
        let verity = VeritySettings::new(trust.root_hashes(), self.sidecars());
        let options = DissectOptions::new(verity);
        Dissection::new(self, trust, options, None)
    }
}

impl Dissection {
    /// The same with options: which machine, which policy. For a bare image with its hash tree behind the data, `hash_offset`
    /// says where the superblock is, in bytes.
    pub fn new(image: Image, trust: &Trust, options: DissectOptions, hash_offset: Option<u64>) -> Self {
        let record = DissectionRecord::new(&image, &options);
        let trust = trust.clone();
        let inner = Inner { image, trust, options, hash_offset, record, sets: OnceLock::new() };
        Dissection {
            inner: Arc::new(inner),
            #[cfg(feature = "fec")]
            fec: Arc::new([]),
        }
    }

    /// The same with parity, one for each role at most: damaged blocks of what is read are healed. It says nothing to
    /// [`verify`](Self::verify).
    #[cfg(feature = "fec")]
    #[must_use]
    pub fn with_fec(self, fec: impl IntoIterator<Item = FecDevice>) -> Self {
        Dissection { fec: fec.into_iter().collect(), ..self }
    }

    /// The image.
    pub fn image(&self) -> &Image {
        &self.inner.image
    }

    /// Whom the caller trusts.
    pub fn trust(&self) -> &Trust {
        &self.inner.trust
    }

    /// How it was dissected.
    pub fn options(&self) -> &DissectOptions {
        &self.inner.options
    }

    /// What became of each entry of the partition table, and why the image is refused, if it is.
    pub fn record(&self) -> &DissectionRecord {
        &self.inner.record
    }

    /// Every hash tree with its data and its signature. Found once.
    pub fn verity_sets(&self) -> &[VeritySet] {
        self.shared_sets()
    }

    fn shared_sets(&self) -> &Arc<[VeritySet]> {
        let inner = &*self.inner;
        inner.sets.get_or_init(|| {
            let bind = BindOptions {
                trusted: inner.trust.root_hashes(),
                certificates: inner.trust.trusted_certificates(),
                data_sizes: inner.trust.data_sizes(),
                require_bound_size: inner.trust.requires_bound_size(),
                hash_offset: inner.hash_offset,
            };
            verity_sets(&inner.image, &inner.record, &bind).into()
        })
    }

    /// The defaults for proving, with what the caller trusts.
    pub fn prove_options(&self) -> ProveOptions<'_> {
        let mut options = ProveOptions::default();
        options.trusted = self.inner.trust.root_hashes();
        options.certificates = self.inner.trust.trusted_certificates();
        options.data_sizes = self.inner.trust.data_sizes();
        options.require_bound_size = self.inner.trust.requires_bound_size();
        options.hash_offset = self.inner.hash_offset;
        options.one_architecture = self.inner.options.one_architecture;
        #[cfg(feature = "fec")]
        {
            options.fec = &self.fec;
        }
        options
    }

    /// Proves every block that is protected; reads all of them.
    ///
    /// # Errors
    /// What kept it from telling: a source that failed, an image that is none. An image that is not what it should be is an
    /// answer, not an error.
    pub fn verify(&self) -> Result<Assessment, Error> {
        let assessment = self.verify_with(&self.prove_options());
        if assessment.outcome == Outcome::Unknown {
            let problem = assessment.proofs.iter().find_map(|proof| proof.problem.clone());
            if let Some(error) = problem.or_else(|| assessment.refused.clone()) {
                return Err(error);
            }
        }
        Ok(assessment)
    }

    /// The same with options: start from [`prove_options`](Self::prove_options). Root hashes, certificates, sizes and offset are
    /// those of this dissection, whatever stands in the options.
    pub fn verify_with(&self, options: &ProveOptions<'_>) -> Assessment {
        let mut options = *options;
        let own = self.prove_options();
        options.trusted = own.trusted;
        options.certificates = own.certificates;
        options.data_sizes = own.data_sizes;
        options.require_bound_size = own.require_bound_size;
        options.hash_offset = own.hash_offset;
        prove_sets(&self.inner.image, &self.inner.record, self.verity_sets(), &options)
    }

    /// The data of root or `/usr`, every byte of which is proven before it comes out, under a root hash that the caller trusts.
    ///
    /// # Errors
    /// [`Error::Unprotected`] if there is no hash tree for it; [`Error::RootHashUnknown`] if there is none that is trusted; why
    /// it cannot be opened.
    pub fn partition(&self, role: Role) -> Result<ProvenPartition, Error> {
        let chosen = self.inner.record.chosen(role.data());
        let is_bare = self.inner.record.outcome.as_ref().is_ok_and(|dissected| dissected.bare);
        let options = self.prove_options();
        let is_its = |set: &&VeritySet| {
            let number = set.data.map(|data| data.number);
            set.role == role
                && (number == Some(chosen) && chosen.is_some() || is_bare && number == Some(None))
        };
        let mut sets = self.verity_sets().iter().filter(is_its).peekable();
        if sets.peek().is_none() {
            return Err(match &self.inner.record.outcome {
                Err(error) if error.kind() != ErrorKind::Mismatch && chosen.is_none() => error.clone(),
                _ => Error::Unprotected { role, partition: chosen },
            });
        }
        let set = sets.find(|set| set.trusted(options.trusted).is_some());
        ProvenPartition::open(&self.inner.image, set.ok_or(Error::RootHashUnknown { role })?, &options)
    }

    /// The files, as systemd would mount them, from proven bytes: an answer in which a file system had a part that nobody the
    /// caller trusts vouches for is an error.
    ///
    /// # Errors
    /// [`MountError`]: the image is refused; root or `/usr` cannot be opened.
    pub fn mount(&self) -> Result<MountedTree, MountError> {
        self.mount_at_least(Assurance::Authenticated)
    }

    /// The same for answers that need not be authenticated: [`Assurance::Intact`] for blocks that match a root hash from
    /// anywhere, [`Assurance::Claimed`] for whatever is there. A protected file system is read through its proof in any case.
    /// One besides root and `/usr` that cannot be opened stays closed: what is asked of it is an error.
    ///
    /// # Errors
    /// As [`mount`](Self::mount).
    pub fn mount_at_least(&self, least: Assurance) -> Result<MountedTree, MountError> {
        let options = self.prove_options();
        let contents = Contents::new(&self.inner.image, &self.inner.record, self.verity_sets(), &options);
        let (mut files, left_out) = contents.whole()?;
        for (designator, _) in left_out {
            files.close(designator, self.inner.record.chosen(designator));
        }
        Ok(MountedTree::new(files, least))
    }

    /// Everything that is known about the image, from few and bounded reads. Nothing of it is proven but what says so.
    pub fn report(&self) -> Report {
        let mut options = ReportOptions::new(&self.inner.image);
        options.dissect = self.inner.options.clone();
        options.trusted = self.inner.trust.root_hashes();
        options.certificates = self.inner.trust.trusted_certificates();
        options.data_sizes = self.inner.trust.data_sizes();
        options.require_bound_size = self.inner.trust.requires_bound_size();
        options.hash_offset = self.inner.hash_offset;
        let sets = Arc::clone(self.shared_sets());
        Report::with_sets(&self.inner.image, &self.inner.record, sets, &options)
    }

    /// What `policy` says to the image by what was proven of it.
    pub fn evaluate(&self, policy: &ImagePolicy, assessment: &Assessment) -> PolicyEvaluation {
        let mut options = self.inner.options.clone();
        options.policy = Some(*policy);
        let record = DissectionRecord::new(&self.inner.image, &options);
        PolicyEvaluation::new(&self.inner.image, &record, &options, assessment)
    }

    /// Which files lie in the blocks that did not match, for each proof of `assessment`; `None` where all of them do.
    pub fn damage(&self, assessment: &Assessment) -> Vec<Option<Damage>> {
        Damage::find_in(&self.inner.image, self.verity_sets(), &assessment.proofs)
    }

    /// Which files lie in data blocks of `partition`, which is of this image and in which they were found corrupt: `blocks`,
    /// ascending.
    pub fn damage_in(&self, partition: &ProvenPartition, blocks: &[Range<u64>]) -> Damage {
        Damage::found(&self.inner.image, self.verity_sets(), partition, blocks)
    }
}

impl fmt::Debug for Dissection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dissection")
            .field("image", &self.inner.image)
            .field("trust", &self.inner.trust)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use ddi_io::ReadAt;

    use super::*;
    use crate::mount::ReadError;
    use crate::policy::evaluation::Access;
    use crate::testing::{Disk, DiskImage as _, Set, erofs, luks};

    fn trusting(set: &Set) -> Trust {
        Trust::root_hash(set.root)
    }

    #[test]
    fn it_can_be_kept_and_shared() {
        fn check<T: Send + Sync + Clone + 'static>() {}
        check::<Dissection>();
        check::<MountedTree>();
        check::<Trust>();
    }

    #[test]
    fn authentic_under_the_right_root_hash_alone() {
        let set = Set::new(erofs(300, 1));
        let disk = Disk::new().set("root-x86-64", "os", &set);
        let verify = |trust: &Trust| disk.image().dissect(trust).verify();
        let assessment = verify(&trusting(&set)).unwrap();
        assert!(assessment.is_authentic());
        assert_eq!(assessment.code(), "trusted-and-proven");
        assert_eq!(assessment.to_string(), "every block of root matches the root hash that you gave");
        // for usr it says nothing of root
        assert!(!verify(&Trust::usr_hash(set.root)).is_ok_and(|assessment| assessment.is_authentic()));
        let other = Set::new(erofs(300, 2));
        assert!(!verify(&trusting(&other)).is_ok_and(|assessment| assessment.is_authentic()));
        let intact = verify(&Trust::nobody()).unwrap();
        assert_eq!(intact.code(), "intact-unvouched");
        let damaged = disk.edit_number(1, |part| part.content[9000] ^= 1);
        let damaged = damaged.image().dissect(&trusting(&set));
        let assessment = damaged.verify().unwrap();
        assert_eq!(assessment.to_string(), "do not trust this image");
        assert_eq!(damaged.damage(&assessment)[0].as_ref().unwrap().blocks[0].blocks, 2..3);
    }

    /// Blocks that were met when they were read, and not by proving all of them.
    #[test]
    fn damage_that_a_reader_met() {
        let set = Set::new(erofs(300, 1));
        let disk = Disk::new().set("root-x86-64", "os", &set);
        let disk = disk.edit_number(1, |part| part.content[250 * 4096] ^= 1).image().dissect(&trusting(&set));
        let partition = disk.partition(Role::Root).unwrap();
        assert!(partition.read_exact_at(250 * 4096, &mut [0]).is_err());
        let found = disk.damage_in(&partition, std::slice::from_ref(&(250..251)));
        assert_eq!((found.blocks[0].blocks.clone(), found.owners.unwrap().ranges.len()), (250..251, 1));
    }

    #[test]
    fn bytes_of_a_partition() {
        let set = Set::new(erofs(300, 1));
        let disk = Disk::new().set("root-x86-64", "os", &set);
        let proven = disk.image().dissect(&trusting(&set)).partition(Role::Root).unwrap();
        let mut bytes = vec![0; set.data.len()];
        proven.read_exact_at(0, &mut bytes).unwrap();
        assert!(bytes == set.data);
        let code = |trust: &Trust, role| match disk.image().dissect(trust).partition(role) {
            Ok(_) => "",
            Err(error) => error.code(),
        };
        assert_eq!(code(&Trust::nobody(), Role::Root), "root-hash-unknown");
        assert_eq!(code(&trusting(&set), Role::Usr), "unprotected");
    }

    /// Directories of an unprotected home partition beside a proven root: the root is told, the home is not.
    #[test]
    fn s8_files_that_are_not_proven_have_no_part_in_an_answer() {
        let set = Set::new(erofs(300, 1));
        let parts = Disk::new().set("root-x86-64", "os", &set).part("home", "", &erofs(20, 3));
        let disk = parts.image().dissect(&trusting(&set));
        let tree = disk.mount().unwrap();
        assert_eq!(tree.mounted().len(), 2);
        assert!(tree.stat("/").unwrap().file_type == ddi_fs::FileType::Directory);
        assert!(tree.read("/etc/os-release").unwrap_err().is_absent());
        for error in [
            tree.stat("/home").unwrap_err(),
            tree.read("/home/secret").unwrap_err(),
            tree.read_dir("/home").unwrap_err(),
            // the mount point is an entry of the root directory
            tree.read_dir("/").unwrap_err(),
            tree.walk("/", ddi_fs::Budget::default(), |_, _| std::ops::ControlFlow::Continue(()))
                .unwrap_err(),
        ] {
            assert_eq!(error.code(), "not-protected", "{error}");
            assert!(!error.is_absent());
        }
        // one answer has nothing to do with the next
        assert!(tree.read("/etc/os-release").unwrap_err().is_absent());
        let claimed = disk.mount_at_least(Assurance::Claimed).unwrap();
        let names: Vec<_> = claimed.read_dir("/").unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, [b"home".to_vec()]);
        let nobody = parts.image().dissect(&Trust::nobody()).mount().unwrap();
        assert!(matches!(
            nobody.read("/etc/os-release").unwrap_err(),
            ReadError::NotProven { assurance: Assurance::Intact, .. }
        ));
    }

    /// A home partition that cannot be opened: nobody takes the empty directory below for it.
    #[test]
    fn what_cannot_be_opened_is_not_absent() {
        let set = Set::new(erofs(300, 1));
        let disk = Disk::new().set("root-x86-64", "os", &set).part("home", "", &luks());
        let disk = disk.image().dissect(&trusting(&set));
        for (least, code) in [
            (Assurance::Authenticated, "not-protected"),
            (Assurance::Claimed, "unsupported-file-system-feature"),
        ] {
            let tree = disk.mount_at_least(least).unwrap();
            let error = tree.read("/home/user/file").unwrap_err();
            assert!(error.code() == code && !error.is_absent(), "{error}: {}", error.code());
            assert!(tree.read("/etc/os-release").unwrap_err().is_absent());
        }
    }

    /// Sets are looked for once, whatever is asked, and however often.
    #[test]
    fn sets_are_found_once() {
        let set = Set::new(erofs(300, 1));
        let disk = Disk::new().set("root-x86-64", "os", &set).image().dissect(&trusting(&set));
        let first = disk.verity_sets().as_ptr();
        let assessment = disk.verify().unwrap();
        let report = disk.report();
        let _ = (disk.mount().unwrap(), disk.damage(&assessment), disk.partition(Role::Root).unwrap());
        assert_eq!(report.verity.as_ptr(), first);
        assert_eq!(disk.clone().verity_sets().as_ptr(), first);
    }

    #[test]
    fn policies_by_what_was_proven() {
        let set = Set::new(erofs(300, 1));
        let verdict = |policy: &str| {
            let disk = Disk::new().set("root-x86-64", "os", &set).image().dissect(&trusting(&set));
            let assessment = disk.verify().unwrap();
            disk.evaluate(&policy.parse().unwrap(), &assessment).verdict(&assessment)
        };
        assert_eq!(verdict("root=verity"), Access::Allowed);
        assert_eq!(verdict("root=signed"), Access::Refused);
    }
}
