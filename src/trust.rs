//! Who is trusted: root hashes, certificates and image policies, as they were given.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use ddi_core::policy::ImagePolicy;
use ddi_core::{DataSize, Role, TrustedRootHash};
use ddi_signature::{CERTIFICATE_DIRECTORIES, Certificates};
use ddi_verity::RootHash;

use crate::cli::{CertificateArgs, TrustArgs};
use crate::{output, verity};

impl TrustArgs {
    /// The root hashes that the user vouches for.
    pub(crate) fn root_hashes(&self) -> anyhow::Result<Vec<TrustedRootHash>> {
        let mut trusted = Vec::new();
        for (role, given) in [(Role::Root, &self.root_hash), (Role::Usr, &self.usr_hash)] {
            if let Some(given) = given {
                trusted.push(TrustedRootHash::by_caller(root_hash(given)?, role));
            }
        }
        Ok(trusted)
    }

    /// The sizes of data that the user vouches for.
    pub(crate) fn data_sizes(&self) -> anyhow::Result<&[DataSize]> {
        for role in Role::ALL {
            if self.data_sizes.iter().filter(|given| given.role == role).count() > 1 {
                bail!("--data-size was given twice for {role}");
            }
        }
        Ok(&self.data_sizes)
    }
}

impl TrustArgs {
    /// The files that these options name, so that none of them is written to. Nothing else depends on this list.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let hashes = [&self.root_hash, &self.usr_hash].into_iter().flatten().map(PathBuf::from);
        let mut files: Vec<PathBuf> = hashes.filter(|path| path.exists()).collect();
        for path in &self.certificates.files {
            match fs::read_dir(path) {
                Ok(entries) => files.extend(entries.flatten().map(|entry| entry.path())),
                Err(_) => files.push(path.clone()),
            }
        }
        files
    }
}

impl CertificateArgs {
    /// The certificates that were named, else those in systemd's folders. A file of no use is an error if it was named,
    /// and passed over with a warning if it was only found.
    pub(crate) fn load(&self) -> anyhow::Result<Certificates> {
        let mut certificates = Certificates::new();
        if self.files.is_empty() {
            certificates.add_directories(&CERTIFICATE_DIRECTORIES);
        }
        for path in &self.files {
            certificates.add_path(path).with_context(|| path.display().to_string())?;
        }
        for skipped in certificates.skipped() {
            output::warning(&format!("{}: {}", skipped.path.display(), skipped.reason));
        }
        Ok(certificates)
    }
}

/// A policy by its name or written out.
pub(crate) fn policy(text: &str) -> anyhow::Result<ImagePolicy> {
    if let Some(policy) = ImagePolicy::named(text) {
        return Ok(policy);
    }
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    text.parse().with_context(|| match is_word {
        // nothing of the language of policies is in it: a name was meant
        true => {
            let names = ImagePolicy::NAMED.map(|(name, _)| name).join(", ");
            format!("{text} is not one of the policies with a name, which are {names}")
        }
        false => text.to_owned(),
    })
}

/// From hexadecimal digits, or else from the file of that name.
fn root_hash(given: &str) -> anyhow::Result<RootHash> {
    let path = Path::new(given);
    match given.parse() {
        Ok(hash) => Ok(hash),
        Err(_) if path.exists() => verity::read_root_hash(path),
        Err(error) => bail!("{given} is neither a root hash ({error}) nor a file"),
    }
}
