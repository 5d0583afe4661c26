//! Who vouches for an image, in a line or a word.

use std::path::Path;
use std::time::{Duration, SystemTime};

use ddi_core::RootHashOrigin;
use ddi_core::steps::{CheckedSignature, SignatureState, VeritySet};
use ddi_signature::Certificate;

use super::super::signature::subject;
use super::super::term::{Mark, Style, Term};
use super::super::{escape, escape_sentence};

/// Our word on it, and the rest of the sentence, which may have text from the image.
pub(super) type Told = (Style, &'static str, String);

/// The signature of a set that says most: one that is verified, else one that is no good, else the first.
pub(super) fn best(set: &VeritySet) -> Option<&CheckedSignature> {
    let rank = |signature: &&CheckedSignature| match signature.state {
        SignatureState::Verified(_) => 0,
        SignatureState::Failed(_) | SignatureState::OtherRootHash { .. } => 1,
        _ => 2,
    };
    set.signatures.iter().min_by_key(rank)
}

/// Returns true if the caller gave the root hash of this set.
fn is_given(set: &VeritySet) -> bool {
    set.root_hash.is_some_and(|known| known.origin == RootHashOrigin::Caller)
}

/// How the data of this set is protected, in a word.
pub(super) fn word(set: &VeritySet, term: &Term) -> (Style, String) {
    let (yes, no, unknown) = (term.mark(Mark::Yes), term.mark(Mark::No), term.mark(Mark::Unknown));
    match best(set).map(|signature| &signature.state) {
        _ if set.problem.is_some() => (Style::Bad, format!("unfit {no}")),
        Some(SignatureState::Verified(_)) => (Style::Good, format!("signed {yes}")),
        _ if is_given(set) => (Style::Good, format!("root hash given {yes}")),
        Some(SignatureState::Failed(_) | SignatureState::OtherRootHash { .. }) => {
            (Style::Bad, format!("signed {no}"))
        }
        Some(_) => (Style::Doubtful, format!("signed {unknown}")),
        None => (Style::Doubtful, "unsigned".into()),
    }
}

/// Whose name stands in a signature; empty if it does not say.
pub(super) fn name(set: &VeritySet) -> String {
    match best(set).map(|signature| &signature.state) {
        Some(SignatureState::Verified(verified)) => subject(&verified.signer().certificate),
        Some(SignatureState::NotTrusted { signer }) => escape_sentence(signer.issuer()),
        _ => String::new(),
    }
}

/// Who vouches for the root hash of this set.
pub(super) fn told(set: &VeritySet) -> Told {
    match best(set).map(|signature| &signature.state) {
        Some(SignatureState::Verified(verified)) => {
            let certificate = &verified.signer().certificate;
            let from = match certificate.path().and_then(Path::file_name) {
                Some(name) => format!("trusted: {}", escape(&name.display().to_string())),
                None => "trusted".into(),
            };
            let size =
                if verified.signer().bound_tree.is_some() { ", with the size of the data" } else { "" };
            let text = format!(
                "{} ({}, {}), {from}{size}",
                subject(certificate),
                certificate.key_name(),
                validity(certificate)
            );
            (Style::Plain, "", text)
        }
        _ if is_given(set) => (Style::Good, "you", ": the root hash is the one that was given".into()),
        Some(SignatureState::NotTrusted { signer }) => (
            Style::Doubtful,
            "not trusted",
            format!(": names {}; no certificate for that here", escape_sentence(signer.issuer())),
        ),
        Some(SignatureState::OtherRootHash { found }) => {
            (Style::Bad, "nobody", format!(": the signature is for the root hash {found}"))
        }
        Some(SignatureState::Failed(error)) => {
            (Style::Bad, "nobody", format!(": the signature is no good: {}", escape_sentence(error)))
        }
        Some(_) => (Style::Doubtful, "not checked", String::new()),
        None => (Style::Doubtful, "nobody", ": there is no signature".into()),
    }
}

/// Until when a certificate is valid.
fn validity(certificate: &Certificate) -> String {
    let end = date(certificate.not_after());
    if certificate.not_after() < SystemTime::now() {
        format!("expired {end}")
    } else {
        format!("valid to {end}")
    }
}

/// The day of a time, in UTC.
fn date(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    // from days to a date of the Gregorian calendar, whose years begin in March here
    let days = since.as_secs() / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let in_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let in_month = in_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{:04}-{month:02}-{in_month:02}", era * 400 + year + carry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, text) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_709_164_800, "2024-02-29"),
            (4_102_444_799, "2099-12-31"),
            (4_107_542_400, "2100-03-01"),
            (253_402_300_799, "9999-12-31"),
        ] {
            assert_eq!(date(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }
}
