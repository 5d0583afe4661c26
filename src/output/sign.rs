//! What `ddi sign` prints.

use std::path::Path;

use ddi_signature::sign::SignedRootHash;

use super::signature::subject;
use super::{escape, print};

/// A signature that was written to a file, or to a partition of an image.
pub(crate) fn signed(path: &Path, partition: Option<u32>, signed: &SignedRootHash) -> anyhow::Result<()> {
    let verified = signed.verified();
    let signer = verified.signer();
    let mut text = escape(&path.display().to_string());
    if let Some(number) = partition {
        text.push_str(&format!(", partition {number}"));
    }
    text.push_str(&format!(": signature of {}", verified.root_hash()));
    if let Some(tree) = signer.bound_tree {
        text.push_str(&format!(" and of {} bytes of data", tree.data_size()));
    }
    let fingerprint = signer.certificate.fingerprint();
    print(&format!("{text} by {}, certificate {fingerprint}\n", subject(&signer.certificate)))
}
