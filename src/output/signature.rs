//! How signatures and whose word counts are shown, wherever they are: "is there" and "was verified" are two states.

use std::time::SystemTime;

use ddi_core::steps::{CheckedSignature, SignatureState};
use ddi_signature::{CERTIFICATE_DIRECTORIES, Certificate, Certificates, VerifiedRootHash};

use super::{escape, escape_sentence};

/// One signature: where it is and what came of checking it.
pub(super) fn signature_text(signature: &CheckedSignature) -> String {
    let state = match &signature.state {
        SignatureState::Unchecked => "present, not checked".into(),
        SignatureState::Verified(verified) => match verified.signer().bound_tree {
            Some(tree) => {
                let size = tree.data_size();
                format!("verified with the size of the data ({size} bytes), by {}", signer_text(verified))
            }
            None => format!("verified, by {}", signer_text(verified)),
        },
        SignatureState::NotTrusted { signer } => {
            format!("present, but no trusted certificate has {}", escape_sentence(signer))
        }
        SignatureState::OtherRootHash { found } => format!("present, but for the root hash {found}"),
        SignatureState::Failed(error) => {
            format!("no good: {} [{}]", escape_sentence(error), error.code())
        }
        other => escape_sentence(other),
    };
    format!("{}: {state}", signature.place)
}

/// Whose key it was.
pub(super) fn signer_text(verified: &VerifiedRootHash) -> String {
    let certificate = &verified.signer().certificate;
    let mut text = format!("{}, certificate {}", subject(certificate), certificate.fingerprint());
    if is_expired(certificate) {
        text.push_str(" (expired; as in systemd, that does not matter)");
    }
    if let Some(path) = certificate.path() {
        text.push_str(&format!(" from {}", escape(&path.display().to_string())));
    }
    text
}

/// The name of whom the certificate is for.
pub(super) fn subject(certificate: &Certificate) -> String {
    match escape_sentence(certificate.subject()) {
        empty if empty.is_empty() => "somebody without a name".into(),
        name => name,
    }
}

fn is_expired(certificate: &Certificate) -> bool {
    certificate.not_after() < SystemTime::now()
}

/// Which certificates there were to choose from, where none was the right one.
pub(super) fn certificates_text(certificates: &Certificates, named: bool) -> String {
    let from = match named {
        true => "as given".into(),
        false => format!("from {}", CERTIFICATE_DIRECTORIES.join(", ")),
    };
    match certificates.trusted().len() {
        0 => format!("none, {from}"),
        count => format!("{count}, {from}"),
    }
}
