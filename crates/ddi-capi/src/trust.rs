//! Whom the caller trusts, and what it demands: a `ddi_trust`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ddi_core::policy::ImagePolicy;
use ddi_core::{Assurance, Role, Trust as CoreTrust};
use ddi_signature::{CERTIFICATE_DIRECTORIES, Certificates};

use crate::error::Error;

/// Whom the caller trusts, and what it demands. An image takes a copy of it when it is opened.
#[derive(Debug, Default)]
pub struct Trust {
    demands: Mutex<Demands>,
}

/// What is in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Demands {
    trust: CoreTrust,
    certificates: Option<Certificates>,
    pub(crate) policy: Option<ImagePolicy>,
    allows_unproven: bool,
}

impl Trust {
    fn lock(&self) -> MutexGuard<'_, Demands> {
        self.demands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it says now.
    pub(crate) fn demands(&self) -> Demands {
        self.lock().clone()
    }

    pub(crate) fn add_root_hash(&self, role: &str, hash: &str) -> Result<(), Error> {
        let (role, hash) = (self::role(role)?, hash.parse().map_err(|error| Error::of(&error))?);
        let mut demands = self.lock();
        demands.trust = demands.trust.clone().and_root_hash(role, hash);
        Ok(())
    }

    pub(crate) fn add_data_size(&self, role: &str, bytes: u64) -> Result<(), Error> {
        let role = self::role(role)?;
        let mut demands = self.lock();
        demands.trust = demands.trust.clone().and_data_size(role, bytes);
        Ok(())
    }

    pub(crate) fn add_certificates(&self, path: &std::path::Path) -> Result<(), Error> {
        let mut demands = self.lock();
        // a file of no use leaves everything as it was
        let mut certificates = demands.certificates.clone().unwrap_or_default();
        certificates.add_path(path)?;
        demands.certificates = Some(certificates);
        Ok(())
    }

    pub(crate) fn add_systemd(&self) {
        self.lock().certificates.get_or_insert_default().add_directories(&CERTIFICATE_DIRECTORIES);
    }

    pub(crate) fn set_policy(&self, text: &str) -> Result<(), Error> {
        let policy = match ImagePolicy::named(text) {
            Some(policy) => policy,
            None => text.parse().map_err(|error| Error::of(&error))?,
        };
        self.lock().policy = Some(policy);
        Ok(())
    }

    pub(crate) fn allow_unproven(&self) {
        self.lock().allows_unproven = true;
    }
}

impl Demands {
    /// Who is trusted, as the libraries have it.
    pub(crate) fn trust(&self) -> CoreTrust {
        match &self.certificates {
            Some(certificates) => self.trust.clone().and_certificates(certificates.clone()),
            None => self.trust.clone(),
        }
    }

    /// How good an answer from the files of an image has to be.
    pub(crate) fn least(&self) -> Assurance {
        if self.allows_unproven { Assurance::Claimed } else { Assurance::Authenticated }
    }
}

/// A role by its name.
pub(crate) fn role(name: &str) -> Result<Role, Error> {
    let found = Role::ALL.into_iter().find(|role| role.name() == name);
    found.ok_or_else(|| Error::usage("unknown-role", format!("there is no role {name}: root or usr")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_changes_nothing() {
        let trust = Trust::default();
        let root = "0b02558e5692d4c7028416cd86dafb69df95c4aef3d09519d02b6669c3aa6686";
        trust.add_root_hash("root", root).unwrap();
        for (role, hash) in [("home", root), ("root", "12"), ("usr", ""), ("", root), ("Root", root)] {
            assert!(trust.add_root_hash(role, hash).is_err(), "{role} {hash}");
        }
        assert!(trust.add_certificates("/does/not/exist".as_ref()).is_err());
        assert!(trust.set_policy("root=signd").is_err());
        let demands = trust.demands();
        assert!(demands.trust().vouches_for(&root.parse().unwrap(), Role::Root));
        assert_eq!((demands.trust().root_hashes().len(), demands.policy), (1, None));
        assert!(demands.trust().trusted_certificates().is_none());
        assert_eq!(demands.least(), Assurance::Authenticated);
    }
}
