//! Signatures and certificates: "is there" and "was verified" are two states.

use std::time::SystemTime;

use ddi_signature::{Certificate, Certificates};
use ddi_verity::{HashType, Params};
use serde_json::{Value, json};

use super::{hex, reason};
use crate::trust::signature::{CheckedSignature, SignaturePlace, SignatureState};

/// What was signed along with the root hash, with the keys that the parameters of a superblock have elsewhere.
fn bound_tree(tree: &Params) -> Value {
    json!({
        "dataSize": tree.data_size(),
        "dataBlockSize": tree.data_block_size(),
        "hashBlockSize": tree.hash_block_size(),
        "hashType": match tree.hash_type() { HashType::ChromeOs => 0, HashType::Normal => 1 },
        "algorithm": tree.algorithm().name(),
        "salt": hex(tree.salt().as_bytes()),
    })
}

impl CheckedSignature {
    /// As JSON: a part of `ddi.inspect/1` and `ddi.verify/1`.
    pub fn to_json(&self) -> Value {
        let (place, partition) = match self.place {
            SignaturePlace::Partition(number) => ("partition", Some(number)),
            SignaturePlace::Sidecar => ("beside", None),
        };
        let mut value = json!({ "place": place, "partition": partition, "state": self.state.name() });
        let more = match &self.state {
            SignatureState::Verified(verified) => {
                let signer = verified.signer();
                let certificate = &signer.certificate;
                let facts = json!({
                    "subject": certificate.subject(),
                    "certificateFingerprint": certificate.fingerprint().to_string(),
                    "certificatePath": certificate.path().map(|path| path.display().to_string()),
                    "expired": certificate.not_after() < SystemTime::now(),
                    "key": certificate.key_name(),
                    "authenticatedAttributes": signer.has_attributes,
                    "boundTree": signer.bound_tree.as_ref().map(bound_tree),
                });
                Some(("signer", facts))
            }
            SignatureState::NotTrusted { signer } => {
                Some(("claims", json!({ "issuer": signer.issuer(), "serial": hex(signer.serial()) })))
            }
            SignatureState::OtherRootHash { found } => Some(("rootHash", found.to_string().into())),
            SignatureState::Failed(error) => Some(("error", reason(error.code(), error))),
            SignatureState::Unchecked => None,
        };
        if let (Some((key, more)), Some(object)) = (more, value.as_object_mut()) {
            object.insert(key.to_owned(), more);
        }
        value
    }
}

/// Which certificates there were to choose from. `named`: by the caller, and not found in systemd's folders.
pub(super) fn certificates(certificates: &Certificates, named: bool) -> Value {
    let one = |certificate: &Certificate| {
        json!({
            "subject": certificate.subject(),
            "fingerprint": certificate.fingerprint().to_string(),
            "path": certificate.path().map(|path| path.display().to_string()),
        })
    };
    json!({
        "source": if named { "options" } else { "directories" },
        "trusted": certificates.trusted().iter().map(one).collect::<Vec<_>>(),
    })
}
