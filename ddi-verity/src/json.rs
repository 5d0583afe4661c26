//! Results as JSON: the documents that `ddi verity --json` prints.
//!
//! ```
//! use ddi_verity::json::VerifyDocument;
//! # use ddi_verity::{Algorithm, HashTree, HashType, Options, Params, Placement, Salt};
//! # let data = vec![7; 300 * 4096];
//! # let params = Params::new(HashType::Normal, Algorithm::Sha256, 4096, 4096, 300, Salt::EMPTY)?;
//! # let tree = HashTree::new(params, Placement::Bare(0))?.vouched();
//! # let hash = std::sync::Mutex::new(Vec::new());
//! # let root = tree.build(&data, &hash, &Options::new())?;
//! # let hash = hash.into_inner()?;
//! let verdict = tree.verify(&data, &hash, &root, &Options::new())?;
//! println!("{}", VerifyDocument::new(&tree, &root, &verdict).to_json());
//! # assert_eq!(verdict.to_json()["corruptDataBlocks"]["count"], 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A document has its name and version as `schema`. The types whose own `to_json` has none give a part of one.

use serde_json::{Map, Value, json};

use crate::error::Error;
#[cfg(feature = "fec")]
use crate::fec::{FecLayout, Repair, Repaired};
use crate::geometry::CheckedTree;
use crate::hash::RootHash;
use crate::tree::HashTree;
use crate::verdict::{BlockRanges, Verdict};

/// What a root hash leaves open, where nobody but the superblock says how many data blocks there are.
const NOT_PROMISED: &str = "that the number of data blocks, which the superblock names and nothing authenticates, is the one \
    the root hash was made with: hash blocks offered as data match it too; --data-blocks says the number";

/// A tree that was made, or that a superblock describes: `ddi.verity-tree/1`.
#[derive(Debug, Clone, Copy)]
pub struct TreeDocument<'a> {
    tree: &'a HashTree,
    uuid: Option<[u8; 16]>,
    root_hash: Option<&'a RootHash>,
    #[cfg(feature = "fec")]
    parity: Option<(&'a FecLayout, u64)>,
}

impl<'a> TreeDocument<'a> {
    /// The parameters of `tree` and where it lies.
    pub fn new(tree: &'a HashTree) -> Self {
        TreeDocument {
            tree,
            uuid: None,
            root_hash: None,
            #[cfg(feature = "fec")]
            parity: None,
        }
    }

    /// The UUID in the superblock; none for a tree without one.
    #[must_use]
    pub fn uuid(mut self, uuid: Option<[u8; 16]>) -> Self {
        self.uuid = uuid;
        self
    }

    /// The root hash, where it is known: a superblock does not have it.
    #[must_use]
    pub fn root_hash(mut self, root_hash: &'a RootHash) -> Self {
        self.root_hash = Some(root_hash);
        self
    }

    /// The parity over it, at `offset` in bytes.
    #[cfg(feature = "fec")]
    #[must_use]
    pub fn parity(mut self, layout: &'a FecLayout, offset: u64) -> Self {
        self.parity = Some((layout, offset));
        self
    }

    /// The document.
    pub fn to_json(&self) -> Value {
        let mut document = parameters(self.tree);
        document.insert("schema".into(), "ddi.verity-tree/1".into());
        document.insert("uuid".into(), self.uuid.map(uuid_text).into());
        document.insert("rootHash".into(), self.root_hash.map(RootHash::to_string).into());
        #[cfg(feature = "fec")]
        if let Some((layout, offset)) = self.parity {
            document.insert("fec".into(), layout.to_json(offset));
        }
        document.into()
    }
}

/// What came of checking data and tree against a root hash: `ddi.verity-verify/1`.
#[derive(Debug, Clone, Copy)]
pub struct VerifyDocument<'a> {
    tree: &'a CheckedTree,
    root_hash: &'a RootHash,
    verdict: &'a Verdict,
    #[cfg(feature = "fec")]
    healable: Option<(&'a FecLayout, u64, &'a Repair)>,
    size_is_given: bool,
}

impl<'a> VerifyDocument<'a> {
    /// What `verdict` says of `tree`.
    pub fn new(tree: &'a CheckedTree, root_hash: &'a RootHash, verdict: &'a Verdict) -> Self {
        VerifyDocument {
            tree,
            root_hash,
            verdict,
            #[cfg(feature = "fec")]
            healable: None,
            size_is_given: false,
        }
    }

    /// What the parity at `offset`, in bytes, could heal.
    #[cfg(feature = "fec")]
    #[must_use]
    pub fn healable(mut self, layout: &'a FecLayout, offset: u64, repair: &'a Repair) -> Self {
        self.healable = Some((layout, offset, repair));
        self
    }

    /// Whether the number of data blocks is the caller's word, and not only that of a superblock. If it is not, the document
    /// says what that leaves open.
    #[must_use]
    pub fn size_is_given(mut self, given: bool) -> Self {
        self.size_is_given = given;
        self
    }

    /// The document.
    pub fn to_json(&self) -> Value {
        let mut document = verdict_members(self.verdict);
        let widened = self.tree.geometry().exceptions.iter().map(ToString::to_string).collect();
        document.insert("schema".into(), "ddi.verity-verify/1".into());
        document.insert("rootHash".into(), self.root_hash.to_string().into());
        document.insert("parameters".into(), self.tree.to_json());
        document.insert("widened".into(), widened);
        #[cfg(feature = "fec")]
        if let Some((layout, offset, repair)) = self.healable {
            document.insert("fec".into(), layout.to_json(offset));
            document.insert("healable".into(), repair.to_json());
        }
        document.insert("notPromised".into(), (!self.size_is_given).then_some(NOT_PROMISED).into());
        document.into()
    }
}

/// Parameters and sizes that are not allowed, so that no block was looked at: `ddi.verity-refused/1`.
#[derive(Debug, Clone, Copy)]
pub struct RefusedDocument<'a> {
    error: &'a Error,
    option: Option<&'a str>,
}

impl<'a> RefusedDocument<'a> {
    /// Why, and the option of the command that would allow it.
    pub fn new(error: &'a Error, option: Option<&'a str>) -> Self {
        RefusedDocument { error, option }
    }

    /// The document.
    pub fn to_json(&self) -> Value {
        let RefusedDocument { error, option } = self;
        json!({
            "schema": "ddi.verity-refused/1",
            "proven": false,
            "refused": { "code": error.code(), "message": error.to_string(), "option": option },
        })
    }
}

/// What a repair did: `ddi.verity-repair/1`.
#[cfg(feature = "fec")]
#[derive(Debug, Clone, Copy)]
pub struct RepairDocument<'a> {
    layout: &'a FecLayout,
    offset: u64,
    root_hash: &'a RootHash,
    repair: &'a Repair,
    written: bool,
}

#[cfg(feature = "fec")]
impl<'a> RepairDocument<'a> {
    /// What `repair` found with the parity at `offset`, in bytes. `written`: whether the healed blocks went anywhere.
    pub fn new(
        layout: &'a FecLayout,
        offset: u64,
        root_hash: &'a RootHash,
        repair: &'a Repair,
        written: bool,
    ) -> Self {
        RepairDocument { layout, offset, root_hash, repair, written }
    }

    /// The document.
    pub fn to_json(&self) -> Value {
        let mut document = repair_members(self.repair);
        document.insert("schema".into(), "ddi.verity-repair/1".into());
        document.insert("rootHash".into(), self.root_hash.to_string().into());
        document.insert("fec".into(), self.layout.to_json(self.offset));
        document.insert("written".into(), self.written.into());
        document.into()
    }
}

impl HashTree {
    /// Parameters and place as JSON; offsets and sizes are in bytes.
    pub fn to_json(&self) -> Value {
        parameters(self).into()
    }
}

impl Verdict {
    /// All of it as JSON. Ranges of blocks are `[first, last]`.
    pub fn to_json(&self) -> Value {
        verdict_members(self).into()
    }
}

#[cfg(feature = "fec")]
impl FecLayout {
    /// What it covers as JSON: all that decoding needs, none of which is on disk. `offset` is where the parity begins, in
    /// bytes.
    pub fn to_json(&self, offset: u64) -> Value {
        json!({
            "roots": self.roots(),
            "offset": offset,
            "size": self.parity_size(),
            "blockSize": self.block_size(),
            "dataBlocks": self.data_blocks(),
            "hashBlocks": self.hash_blocks(),
            "rounds": self.rounds(),
        })
    }
}

#[cfg(feature = "fec")]
impl Repair {
    /// All of it as JSON. Ranges of blocks are `[first, last]`.
    pub fn to_json(&self) -> Value {
        repair_members(self).into()
    }
}

fn parameters(tree: &HashTree) -> Map<String, Value> {
    let (params, layout) = (tree.params(), tree.layout());
    let area = layout.tree();
    let salt = params.salt().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    members([
        ("hashType", (params.hash_type() as u32).into()),
        ("algorithm", params.algorithm().name().into()),
        ("dataBlockSize", params.data_block_size().into()),
        ("hashBlockSize", params.hash_block_size().into()),
        ("dataBlocks", params.data_blocks().into()),
        ("hashBlocks", layout.hash_blocks().into()),
        ("levels", layout.levels().len().into()),
        ("treeOffset", area.start.into()),
        ("treeSize", area.end.saturating_sub(area.start).into()),
        ("salt", salt.into()),
    ])
}

fn verdict_members(verdict: &Verdict) -> Map<String, Value> {
    let level = |(number, level): (usize, &crate::verdict::LevelVerdict)| {
        json!({
            "level": number,
            "proven": level.proven,
            "corrupt": ranges(&level.corrupt),
            "unproven": ranges(&level.unproven),
            "spareNotZero": ranges(&level.spare),
        })
    };
    members([
        ("proven", verdict.is_proven().into()),
        ("rootHashMatches", verdict.root_matches().into()),
        ("dataBlocks", verdict.data_blocks.into()),
        ("hashBlocks", verdict.hash_blocks.into()),
        ("provenDataBlocks", verdict.proven_data.into()),
        ("corruptDataBlocks", ranges(&verdict.corrupt_data)),
        ("unprovenDataBlocks", ranges(&verdict.unproven_data)),
        ("levels", verdict.levels.iter().enumerate().map(level).collect()),
        ("complete", verdict.is_complete.into()),
    ])
}

#[cfg(feature = "fec")]
fn repair_members(repair: &Repair) -> Map<String, Value> {
    let of = |found: &Repaired| {
        json!({
            "proven": found.proven,
            "healed": ranges(&found.healed),
            "lost": ranges(&found.lost),
            "unproven": ranges(&found.unproven),
        })
    };
    members([
        ("whole", repair.is_whole().into()),
        ("data", of(&repair.data)),
        ("levels", repair.levels.iter().map(of).collect()),
    ])
}

/// Numbers of blocks, both ends included: programs read `[3, 3]` as block 3.
fn ranges(ranges: &BlockRanges) -> Value {
    let list: Vec<[u64; 2]> =
        ranges.ranges().iter().map(|range| [range.start, range.end.saturating_sub(1)]).collect();
    json!({ "count": ranges.count(), "ranges": list, "truncated": ranges.is_truncated() })
}

fn members<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// RFC 9562, 4: groups of 4, 2, 2, 2 and 6 bytes.
fn uuid_text(uuid: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in uuid.into_iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, HashType, Params, Placement, Salt};

    #[test]
    fn a_tree_without_superblock_has_no_uuid() {
        let params = Params::new(HashType::Normal, Algorithm::Sha256, 4096, 512, 300, Salt::EMPTY).unwrap();
        let tree = HashTree::new(params, Placement::Bare(1024)).unwrap();
        let value = TreeDocument::new(&tree).to_json();
        assert_eq!(
            (&value["uuid"], &value["rootHash"], &value["salt"]),
            (&Value::Null, &Value::Null, &"".into())
        );
        assert_eq!((&value["treeOffset"], &value["treeSize"]), (&1024.into(), &(22 * 512).into()));
        let uuid = *b"\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef";
        let value = TreeDocument::new(&tree).uuid(Some(uuid)).to_json();
        assert_eq!(value["uuid"], "01234567-89ab-cdef-0123-456789abcdef");
    }

    #[test]
    fn ranges_have_both_ends() {
        let mut blocks = BlockRanges::default();
        blocks.push(3..4);
        blocks.push(7..10);
        let value = ranges(&blocks);
        assert_eq!(value, json!({ "count": 4, "ranges": [[3, 3], [7, 9]], "truncated": false }));
    }
}
