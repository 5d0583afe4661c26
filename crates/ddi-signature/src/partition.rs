//! The verity signature partition: one JSON object, filled up with NULs.

#[cfg(feature = "pkcs7")]
mod json;

use ddi_verity::RootHash;

use super::Fingerprint;

/// Size in bytes above which a signature partition or a signature file is refused, as systemd does.
pub const MAX_SIGNATURE_SIZE: usize = 4 << 20;
/// Size in bytes above which the text in front of the NULs is refused. systemd has no such limit; a signature with a
/// hundred certificates in it is smaller.
pub const MAX_SIGNATURE_TEXT: usize = 512 << 10;

/// What a verity signature partition holds. That it is there says nothing about who made it, nor if the
/// signature is good: [`Certificates::verify`](super::Certificates::verify) does.
///
/// ```
/// # use ddi_signature::RootHashSignature;
/// let mut partition = br#"{"rootHash":"0b02558e5692d4c7028416cd86dafb69df95c4aef3d09519d02b6669c3aa6686",
///     "signature":"MAA="}"#.to_vec();
/// partition.resize(4096, 0);
/// let found = RootHashSignature::parse(&partition)?;
/// assert_eq!(found.root_hash.as_bytes()[..4], [0x0b, 0x02, 0x55, 0x8e]);
/// assert_eq!(found.pkcs7, [0x30, 0]);
/// # Ok::<(), ddi_signature::SignatureError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootHashSignature {
    /// The root hash that the writer says was signed.
    pub root_hash: RootHash,
    /// SHA-256 of the signer's certificate, as the writer says.
    pub certificate_fingerprint: Option<Fingerprint>,
    /// PKCS#7 SignedData as DER, unchecked: input for [`DetachedSignature::parse`](super::DetachedSignature::parse).
    pub pkcs7: Vec<u8>,
}
