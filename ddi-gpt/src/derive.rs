//! GUIDs that follow from something else: root hashes, machine ids, seeds.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{Error, Guid, PartitionType};

/// The unique GUIDs that a verity data partition and its hash partition have under a root hash: its first and its last sixteen
/// bytes (DPS, *Verity*). They say which partitions to try, and prove nothing.
///
/// ```
/// let root_hash = core::array::from_fn::<u8, 32, _>(|i| i as u8 + 1);
/// let (data, hash) = ddi_gpt::verity_guids(&root_hash)?;
/// assert_eq!(data.to_string(), "01020304-0506-0708-090a-0b0c0d0e0f10");
/// assert_eq!(ddi_gpt::root_hash_from_guids(data, hash), root_hash);
/// # Ok::<(), ddi_gpt::Error>(())
/// ```
///
/// # Errors
/// [`Error::RootHashTooShort`] below 16 bytes; [`Error::RootHashHalfZero`] if one of the two would be [`Guid::NIL`].
pub fn verity_guids(root_hash: &[u8]) -> Result<(Guid, Guid), Error> {
    let too_short = Error::RootHashTooShort { len: root_hash.len() };
    let (Some(first), Some(last)) = (root_hash.first_chunk::<16>(), root_hash.last_chunk::<16>()) else {
        return Err(too_short);
    };
    let (data, hash) = (Guid::from_uuid(*first), Guid::from_uuid(*last));
    if data.is_nil() || hash.is_nil() {
        return Err(Error::RootHashHalfZero);
    }
    Ok((data, hash))
}

/// The 32-byte root hash that two partitions with these unique GUIDs would have: a **guess**, which the image itself makes.
/// Longer root hashes are not in the GUIDs as a whole.
pub fn root_hash_from_guids(data: Guid, hash: Guid) -> [u8; 32] {
    zerocopy::transmute!([data.to_uuid(), hash.to_uuid()])
}

/// An id that belongs to `base` and to one use of it: systemd's `sd_id128_get_app_specific()`.
pub fn app_specific(base: Guid, app: Guid) -> Guid {
    version_4(&hmac_sha256(&base.to_uuid(), &[&app.to_uuid()]))
}

/// The unique GUID that the `/var` partition of the machine with this id has (DPS, *Partition Type UUIDs*, `var`). The id's bytes
/// are in print order, as `/etc/machine-id` has them.
pub fn var_guid(machine_id: [u8; 16]) -> Guid {
    app_specific(Guid::from_uuid(machine_id), crate::dps::VAR)
}

/// The type that systemd-sysupdate gives a partition of type `of` while it is being written.
pub fn partial_type(of: Guid) -> Guid {
    app_specific(of, PARTIAL)
}

/// The type that systemd-sysupdate gives a partition of type `of` that is complete and not yet to be used.
pub fn pending_type(of: Guid) -> Guid {
    app_specific(of, PENDING)
}

const PARTIAL: Guid = Guid::from_u128(0xaccfa0c2_da24_460a_9fc9_0bb8fc785219);
const PENDING: Guid = Guid::from_u128(0x80f3d61e_2383_43b9_81f5_ce3793f47d4c);

/// How far systemd-sysupdate has come with a partition whose type is not that of its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transient {
    /// Being written.
    Partial,
    /// Complete, not yet to be used.
    Pending,
}

/// Says if a type is that of a partial or pending partition of one of the known types, and of which. Hashes twice for each
/// known type, so ask only for unknown ones.
pub fn transient_type(guid: Guid) -> Option<(Transient, PartitionType)> {
    PartitionType::all().find_map(|(of, known)| {
        if partial_type(of) == guid {
            Some((Transient::Partial, known))
        } else if pending_type(of) == guid {
            Some((Transient::Pending, known))
        } else {
            None
        }
    })
}

/// What systemd-repart derives every id of an image from, so that an image can be built twice alike (repart.d(5), `--seed=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(Guid);

impl Seed {
    /// A seed as given to `--seed=`.
    pub const fn new(seed: Guid) -> Self {
        Self(seed)
    }

    /// The disk's GUID.
    pub fn disk_guid(self) -> Guid {
        self.derive(&[b"disk-uuid"])
    }

    /// The unique GUID of the partition of this type that `index` others of the same type come before. Partitions under verity
    /// have one by their root hash instead.
    pub fn partition_guid(self, partition_type: Guid, index: u64) -> Guid {
        let kind = partition_type.to_uuid();
        match index {
            0 => self.derive(&[&kind]),
            _ => self.derive(&[&kind, &index.to_le_bytes()]),
        }
    }

    /// The UUID of the file system in the partition for which [`Seed::partition_guid`] gives `partition`.
    pub fn file_system_uuid(partition: Guid) -> Guid {
        Self(partition).derive(&[b"file-system-uuid"])
    }

    /// The UUID of the LUKS volume in the partition for which [`Seed::partition_guid`] gives `partition`.
    pub fn luks_uuid(partition: Guid) -> Guid {
        Self(partition).derive(&[b"luks-uuid"])
    }

    /// The UUID in the verity superblock.
    pub fn verity_uuid(self) -> Guid {
        self.derive(&[b"verity-uuid"])
    }

    /// The verity salt.
    pub fn verity_salt(self) -> [u8; 32] {
        hmac_sha256(&self.0.to_uuid(), &[b"verity-salt"])
    }

    fn derive(self, message: &[&[u8]]) -> Guid {
        version_4(&hmac_sha256(&self.0.to_uuid(), message))
    }
}

fn hmac_sha256(key: &[u8; 16], message: &[&[u8]]) -> [u8; 32] {
    // a key may have any length, and one shorter than a block is padded with zeros
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let mut mac = Hmac::<Sha256>::new(&block);
    message.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// The first sixteen bytes, marked as a random UUID (systemd, `id128_make_v4_uuid`; the specification leaves this step out).
fn version_4([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..]: &[u8; 32]) -> Guid {
    let (g, i) = ((g & 0x0f) | 0x40, (i & 0x3f) | 0x80);
    Guid::from_uuid([*a, *b, *c, *d, *e, *f, g, *h, i, *j, *k, *l, *m, *n, *o, *p])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Architecture, Designator};

    fn guid(text: &str) -> Guid {
        text.parse().unwrap()
    }

    fn type_guid(name: &str) -> Guid {
        PartitionType::from_name(name, None).unwrap().guid().unwrap()
    }

    fn hex(text: &str) -> std::vec::Vec<u8> {
        (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
    }

    #[test]
    fn halves_of_the_root_hash() {
        let root = hex("00112233445566778899aabbccddeeff102132435465768798a9bacbdcedfe0f");
        let (data, hash) = verity_guids(&root).unwrap();
        assert_eq!(data, guid("00112233-4455-6677-8899-aabbccddeeff"));
        assert_eq!(hash, guid("10213243-5465-7687-98a9-bacbdcedfe0f"));
        assert_eq!(root_hash_from_guids(data, hash)[..], root);

        let mut long = [7; 64];
        long[48..].fill(9);
        assert_eq!(verity_guids(&long), Ok((Guid::from_disk([7; 16]), Guid::from_disk([9; 16]))));
        assert_eq!(verity_guids(&[7; 16]), Ok((Guid::from_disk([7; 16]), Guid::from_disk([7; 16]))));
        assert_eq!(verity_guids(&[7; 15]), Err(Error::RootHashTooShort { len: 15 }));
        assert_eq!(verity_guids(&[]), Err(Error::RootHashTooShort { len: 0 }));
        let mut half = [0; 32];
        half[20] = 1;
        assert_eq!(verity_guids(&half), Err(Error::RootHashHalfZero));
        half.reverse();
        assert_eq!(verity_guids(&half), Err(Error::RootHashHalfZero));
    }

    #[test]
    fn var_of_a_machine() {
        for (machine_id, expected) in [
            ("0123456789abcdef0123456789abcdef", "c0c46eff-e386-4746-a2bd-0962cd326ea2"),
            ("00112233445566778899aabbccddeeff", "979e9af7-1627-4b8e-a6a0-7019e578a8d7"),
        ] {
            assert_eq!(var_guid(guid(machine_id).to_uuid()), guid(expected));
        }
    }

    #[test]
    fn slots_of_sysupdate() {
        let vectors = [
            ("root-x86-64", "7a01d3c6-92ac-43e9-bd77-5726b602ad9d", "64362e66-88a7-463b-b325-7af60c81be06"),
            ("usr-x86-64", "dc0226f3-2b45-4572-844b-c7575b748b24", "ac8558b5-455e-4869-8c5e-d8272455c06a"),
        ];
        for (name, partial, pending) in vectors {
            let of = type_guid(name);
            assert_eq!(partial_type(of), guid(partial));
            assert_eq!(pending_type(of), guid(pending));
            let known = PartitionType::from_guid(of);
            assert_eq!(transient_type(guid(partial)), Some((Transient::Partial, known)));
            assert_eq!(transient_type(guid(pending)), Some((Transient::Pending, known)));
            assert_eq!(PartitionType::from_guid(guid(partial)), PartitionType::Unknown(guid(partial)));
        }
        assert_eq!(transient_type(type_guid("esp")), None);
    }

    #[test]
    fn ids_of_repart() {
        let seed = Seed::new(guid("01020304-0506-0708-090a-0b0c0d0e0f10"));
        let home = type_guid("home");
        assert_eq!(seed.disk_guid(), guid("5316969a-5bc4-43c1-b9e1-bd6849c48964"));
        assert_eq!(seed.partition_guid(home, 0), guid("d6a67596-1a04-4425-a2ac-863f19be4c25"));
        assert_eq!(seed.partition_guid(home, 1), guid("cf243b5c-661d-4a80-a3b2-85640fee4c11"));
        let sig = PartitionType::Designated(Designator::RootVeritySig, Some(Architecture::X86_64));
        assert_eq!(seed.partition_guid(sig.guid().unwrap(), 0), guid("8b6eee92-cc5b-4ec1-819e-5f8c18a78ae0"));
        assert_eq!(
            Seed::file_system_uuid(seed.partition_guid(home, 0)),
            guid("0fecf043-5501-4fbb-866e-f7bde51e294a")
        );
        assert_eq!(
            Seed::luks_uuid(seed.partition_guid(home, 0)),
            guid("9afd116c-7f02-4294-860f-c13edaea52d3")
        );
        let salt = "77f394e3cb5d607af2ea7e368314184b8ead934276d066e12042d3f43e9a38cb";
        assert_eq!(seed.verity_salt()[..], hex(salt));
        assert_eq!(seed.verity_uuid(), {
            let mut salt = hmac_sha256(&seed.0.to_uuid(), &[b"verity-uuid"]);
            salt[6] = salt[6] & 0x0f | 0x40;
            salt[8] = salt[8] & 0x3f | 0x80;
            Guid::from_uuid(*salt.first_chunk().unwrap())
        });
    }
}
