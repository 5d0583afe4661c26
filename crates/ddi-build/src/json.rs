//! Plans, and what was made by them, as JSON: the documents that `ddi plan` and `ddi build` print, byte for byte.
//!
//! ```
//! use ddi_build::json::PlanDocument;
//! use ddi_build::{DefinitionOptions, Definitions, ImageSize, Plan, PlanOptions};
//!
//! let texts = [("10-var.conf", "[Partition]\nType=var\n")];
//! let definitions = Definitions::from_texts(texts, &DefinitionOptions::new())?;
//! let seed = "11111111-2222-4333-8444-555555555555".parse()?;
//! let plan = Plan::new(&definitions, &PlanOptions::new(seed).size(ImageSize::Bytes(64 << 20)))?;
//! let document = PlanDocument::new(&plan, seed).to_json();
//! assert_eq!((&document["schema"], &document["size"]), (&"ddi.plan/1".into(), &(64 << 20).into()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use ddi_gpt::Guid;
use serde_json::{Map, Value, json};

use crate::plan::{Content, Plan, PlannedTree};
use crate::write::Written;

/// A plan, and nothing more: `ddi.plan/1`.
#[derive(Debug, Clone, Copy)]
pub struct PlanDocument<'a> {
    plan: &'a Plan,
    seed: Guid,
}

impl<'a> PlanDocument<'a> {
    /// What `plan` says, made with `seed`.
    pub fn new(plan: &'a Plan, seed: Guid) -> Self {
        PlanDocument { plan, seed }
    }

    /// The document.
    pub fn to_json(&self) -> Value {
        document("ddi.plan/1", self.plan, self.seed).into()
    }
}

/// An image that was made: `ddi.build/1`.
#[derive(Debug, Clone, Copy)]
pub struct BuildDocument<'a> {
    written: &'a Written,
    seed: Guid,
    tools: Option<&'a BTreeMap<String, String>>,
    sums: Option<&'a Path>,
}

impl<'a> BuildDocument<'a> {
    /// What was `written`, with `seed`.
    pub fn new(written: &'a Written, seed: Guid) -> Self {
        BuildDocument { written, seed, tools: None, sums: None }
    }

    /// The programs that had a part in it, and their versions: [`Tools::used`](crate::Tools::used).
    #[must_use]
    pub fn tools(self, tools: &'a BTreeMap<String, String>) -> Self {
        BuildDocument { tools: Some(tools), ..self }
    }

    /// The file with the sums, if one was made.
    #[must_use]
    pub fn sums(self, sums: Option<&'a Path>) -> Self {
        BuildDocument { sums, ..self }
    }

    /// The document.
    pub fn to_json(&self) -> Value {
        let mut document = document("ddi.build/1", &self.written.plan, self.seed);
        document.insert("tools".into(), json!(self.tools.cloned().unwrap_or_default()));
        document.insert("split".into(), self.written.split.iter().map(|path| shown(path)).collect());
        document.insert("sums".into(), self.sums.map(shown).into());
        document.into()
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// What both have.
fn document(schema: &str, plan: &Plan, seed: Guid) -> Map<String, Value> {
    // the rows of systemd-repart, and more; what serialises to them cannot fail
    let mut partitions = serde_json::to_value(plan).unwrap_or_default();
    for (row, partition) in partitions.as_array_mut().into_iter().flatten().zip(plan.partitions()) {
        let Some(row) = row.as_object_mut() else { continue };
        let (format, encrypted) = match &partition.content {
            Content::FileSystem { format, encrypted, .. } => (Some(format.name()), *encrypted),
            _ => (None, false),
        };
        row.insert("attributes".into(), format!("{:#018x}", partition.attributes.0).into());
        row.insert("deferred".into(), partition.deferred.into());
        row.insert("format".into(), format.into());
        row.insert("encrypted".into(), encrypted.into());
    }
    let geometry = plan.geometry();
    let mut document = Map::new();
    let mut insert = |key: &str, value: Value| document.insert(key.into(), value);
    insert("schema", schema.into());
    insert("image", shown(plan.image()).into());
    insert("seed", seed.to_string().into());
    insert("diskUuid", plan.disk_guid().to_string().into());
    insert("size", geometry.size.into());
    insert("sectorSize", geometry.sector_size.bytes().into());
    insert("firstUsableLba", geometry.usable.first.0.into());
    insert("lastUsableLba", geometry.usable.last.0.into());
    insert("neededSize", plan.needed_size().into());
    insert("compatible", plan.compatibility().to_string().into());
    insert("partitions", partitions);
    insert("trees", plan.trees().iter().map(|it| tree(plan, it)).collect());
    let dropped = plan
        .dropped()
        .iter()
        .map(|it| json!({ "file": shown(&it.file), "priority": it.priority, "minSize": it.min_size }));
    insert("dropped", dropped.collect());
    insert("notices", plan.notices().iter().map(ToString::to_string).collect());
    document
}

fn tree(plan: &Plan, tree: &PlannedTree) -> Value {
    let number = |at: usize| plan.partitions().get(at).map(|partition| partition.number);
    json!({
        "rootHash": tree.root_hash.map(|root_hash| root_hash.to_string()),
        "algorithm": tree.params.algorithm().to_string(),
        "dataBlockSize": tree.params.data_block_size(),
        "hashBlockSize": tree.params.hash_block_size(),
        "dataBlocks": tree.params.data_blocks(),
        "salt": tree.params.salt().to_string(),
        "uuid": tree.uuid.to_string(),
        "dataPartition": number(tree.data),
        "hashPartition": number(tree.hash),
        "signaturePartition": tree.signature.and_then(number),
    })
}
