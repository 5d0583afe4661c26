//! LUKS 1 and 2: the header's facts, and whether every segment of a LUKS2 carries integrity tags.
//!
//! Nothing in a LUKS header is authenticated: who can write the image can write anything here. It tells how the
//! storage would be opened, never that it is confidential or intact.
//!
//! Source: *LUKS2 On-Disk Format Specification* 1.1; libblkid, `luks.c`.

#[cfg(feature = "luks2")]
use serde_json::{Map, Value};

use super::disk::{Bytes, Disk};
use super::{Error, FsKind, FsUuid, Probe, Text};

const MAGIC: &[u8] = b"LUKS\xba\xbe";
/// The binary header of both versions, as far as it is looked at.
const SIZE: usize = 512;
/// Where the JSON of LUKS2 starts.
const JSON_OFFSET: u64 = 4096;
/// A LUKS2 header is 16 KiB to 4 MiB, says the specification; systemd bounds the JSON area at 16 MiB.
const MAX_HEADER: u64 = (16 << 20) + JSON_OFFSET;
/// What is read of the JSON: a header with all 32 key slots, and a token with a TPM policy for each, stays below.
/// The area itself may be larger, it is filled with zeros.
const MAX_JSON: usize = 256 << 10;
/// There are no more key slots, segments or tokens.
#[cfg(feature = "luks2")]
const MAX_ITEMS: usize = 32;

/// A LUKS header.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Header {
    /// 1 or 2. libblkid takes other numbers for LUKS as well; nothing but the version is known of those.
    pub version: u16,
    /// LUKS2: who the device belongs to, such as `HW-OPAL`.
    pub subsystem: Option<Text>,
    /// LUKS1: cipher and mode, such as `aes-xts-plain64`. LUKS2 has one in each of [`segments`](Metadata::segments).
    pub cipher: Option<Text>,
    /// LUKS2: size of the binary header with its JSON area.
    pub header_size: Option<u64>,
    /// LUKS2: what the JSON says, or why it was not read.
    pub metadata: Option<Result<Metadata, JsonProblem>>,
}

impl Header {
    /// Returns true if the version exists, and the size is one that the specification has.
    pub fn is_usual(&self) -> bool {
        match (self.version, self.header_size) {
            (1, None) => true,
            (2, Some(size)) => size.is_power_of_two() && (16 << 10..=4 << 20).contains(&size),
            _ => false,
        }
    }

    /// Whether every segment carries integrity tags. This is what the policy flag `encryptedwithintegrity` asks for.
    ///
    /// `Some(false)` for LUKS1, which cannot; `None` if the JSON could not be read, and so nobody knows.
    pub fn has_integrity(&self) -> Option<bool> {
        match &self.metadata {
            None => Some(false),
            Some(Ok(metadata)) => Some(metadata.has_integrity()),
            Some(Err(_)) => None,
        }
    }
}

/// The JSON of a LUKS2 header, as far as it is shown. Each list is cut at 32 items.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// The encrypted areas.
    pub segments: Vec<Segment>,
    /// The ways to unlock them.
    pub keyslots: Vec<Keyslot>,
    /// The types of the tokens, such as `systemd-tpm2`.
    pub tokens: Vec<Text>,
    /// Not one segment, or there are more of something than LUKS2 can have.
    pub is_odd: bool,
}

/// An encrypted area.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Segment {
    /// Such as `crypt`, `linear`, `hw-opal`.
    pub kind: Text,
    /// Such as `aes-xts-plain64`.
    pub encryption: Option<Text>,
    /// Such as `hmac(sha256)`; `None` also where the header says `none`.
    pub integrity: Option<Text>,
    /// Encryption sector in bytes.
    pub sector_size: Option<u64>,
}

/// A way to unlock.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keyslot {
    /// Such as `luks2`.
    pub kind: Text,
    /// The function that turns a passphrase into a key, such as `argon2id`.
    pub kdf: Option<Text>,
}

/// Why the JSON of a LUKS2 header was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum JsonProblem {
    /// The header is larger than its device, smaller than its binary part, or larger than any can be.
    HeaderSize,
    /// The JSON is longer than anything that cryptsetup writes.
    TooLong,
    /// It is not JSON, nested too deeply, or not an object.
    Syntax,
    /// This build does not read it (feature `luks2`).
    NotCompiledIn,
}

impl Metadata {
    /// Returns true if every segment carries integrity tags. Without a segment, returns false.
    pub fn has_integrity(&self) -> bool {
        !self.is_odd && !self.segments.is_empty() && self.segments.iter().all(|s| s.integrity.is_some())
    }

    #[cfg(not(feature = "luks2"))]
    fn parse(_: &[u8]) -> Result<Self, JsonProblem> {
        Err(JsonProblem::NotCompiledIn)
    }

    #[cfg(feature = "luks2")]
    fn parse(json: &[u8]) -> Result<Self, JsonProblem> {
        // serde_json nests no deeper than 128
        let value: Value = serde_json::from_slice(json).map_err(|_| JsonProblem::Syntax)?;
        let Value::Object(root) = value else { return Err(JsonProblem::Syntax) };
        let items = |name: &str| match root.get(name) {
            Some(Value::Object(items)) => items.clone(),
            _ => Map::new(),
        };
        let (segments, keyslots, tokens) = (items("segments"), items("keyslots"), items("tokens"));
        let is_odd = segments.is_empty()
            || [segments.len(), keyslots.len(), tokens.len()].into_iter().any(|len| len > MAX_ITEMS);
        Ok(Metadata {
            segments: segments.values().take(MAX_ITEMS).map(Segment::new).collect(),
            keyslots: keyslots.values().take(MAX_ITEMS).map(Keyslot::new).collect(),
            tokens: tokens
                .values()
                .take(MAX_ITEMS)
                .map(|token| text(token, "type").unwrap_or_else(unknown))
                .collect(),
            is_odd,
        })
    }
}

#[cfg(feature = "luks2")]
impl Segment {
    fn new(segment: &Value) -> Self {
        let integrity = segment.get("integrity").and_then(|integrity| text(integrity, "type"));
        Segment {
            kind: text(segment, "type").unwrap_or_else(unknown),
            encryption: text(segment, "encryption"),
            integrity: integrity.filter(|name| name.as_bytes() != b"none"),
            sector_size: segment.get("sector_size").and_then(Value::as_u64),
        }
    }
}

#[cfg(feature = "luks2")]
impl Keyslot {
    fn new(keyslot: &Value) -> Self {
        Keyslot {
            kind: text(keyslot, "type").unwrap_or_else(unknown),
            kdf: keyslot.get("kdf").and_then(|kdf| text(kdf, "type")),
        }
    }
}

#[cfg(feature = "luks2")]
fn text(value: &Value, key: &str) -> Option<Text> {
    value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(Text::from)
}

#[cfg(feature = "luks2")]
fn unknown() -> Text {
    Text::from("unknown")
}

pub(super) fn probe(disk: &Disk<'_>) -> Result<Option<Probe>, Error> {
    let Some(bytes) = disk.bytes(0, SIZE)? else { return Ok(None) };
    let Some((mut probe, mut header)) = parse(&bytes) else { return Ok(None) };
    if let Some(size) = header.header_size {
        header.metadata = Some(match read_json(disk, size)? {
            Ok(json) => Metadata::parse(&json),
            Err(problem) => Err(problem),
        });
    }
    probe.luks = Some(Box::new(header));
    Ok(Some(probe))
}

fn parse(bytes: &Bytes<'_>) -> Option<(Probe, Header)> {
    let magic = bytes.slice(0, 6)?;
    let version = bytes.be16(6)?;
    let hdr_size = bytes.be64(8)?;
    let label = bytes.slice(24, 48)?;
    let uuid = bytes.slice(168, 40)?;
    let subsystem = bytes.slice(208, 48)?;
    let hdr_offset = bytes.be64(256)?;
    // version 1 keeps these where version 2 has other things
    let cipher_name = bytes.slice(8, 32)?;
    let cipher_mode = bytes.slice(40, 32)?;

    // a header that belongs elsewhere is a copy, not ours
    if magic != MAGIC || (version == 2 && hdr_offset != 0) {
        return None;
    }
    let mut probe = Probe::new(FsKind::CryptoLuks, 0);
    probe.version = Some(version.to_string());
    let mut header = Header { version, subsystem: None, cipher: None, header_size: None, metadata: None };
    match version {
        1 => {
            let (name, mode) = (Text::from_field(cipher_name), Text::from_field(cipher_mode));
            if let (Some(name), Some(mode)) = (name, mode) {
                header.cipher = Text::from_field(&[name.as_bytes(), b"-", mode.as_bytes()].concat());
            }
            probe.uuid = Text::from_field(uuid).map(FsUuid::Text);
        }
        2 => {
            header.subsystem = Text::from_field(subsystem);
            header.header_size = Some(hdr_size);
            probe.uuid = Text::from_field(uuid).map(FsUuid::Text);
            probe.label = Text::from_field(label);
            probe.claimed_size = Some(hdr_size);
        }
        _ => {}
    }
    Some((probe, header))
}

/// The JSON, without the zeros behind it.
fn read_json(disk: &Disk<'_>, header_size: u64) -> Result<Result<Vec<u8>, JsonProblem>, Error> {
    let area = header_size.checked_sub(JSON_OFFSET).filter(|area| *area > 0);
    let Some(area) = area.filter(|_| header_size <= MAX_HEADER && header_size <= disk.size()) else {
        return Ok(Err(JsonProblem::HeaderSize));
    };
    let len = usize::try_from(area).map_or(MAX_JSON, |area| area.min(MAX_JSON));
    let Some(bytes) = disk.bytes(JSON_OFFSET, len)? else { return Ok(Err(JsonProblem::HeaderSize)) };
    Ok(match bytes.all().iter().position(|byte| *byte == 0) {
        Some(end) => Ok(bytes.slice(0, end).unwrap_or_default().to_vec()),
        None if len == MAX_JSON => Err(JsonProblem::TooLong),
        None => Ok(bytes.all().to_vec()),
    })
}
