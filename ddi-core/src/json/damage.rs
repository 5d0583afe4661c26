//! Which files lie in blocks that do not match.

use ddi_fs::{Error as FileError, ExtentKind, Owner, Owners, Untold};
use serde_json::{Map, Value, json};

use super::{insert_name, reason};
use crate::prove::damage::{Damage, DamagedBlocks};

impl Damage {
    /// As JSON: a part of `ddi.verify/1`. `first` and `last` are numbers of data blocks.
    pub fn to_json(&self) -> Value {
        let owners = self.owners.as_ref().ok();
        let range = |(i, damaged): (usize, &DamagedBlocks)| {
            let found = owners.and_then(|owners| owners.ranges.get(i));
            json!({
                "first": damaged.blocks.start,
                "last": damaged.blocks.end.saturating_sub(1),
                "corrupt": damaged.corrupt,
                "files": found.map(|found| found.owners.iter().map(file).collect::<Value>()),
                "fileCount": found.map(|found| found.count),
                "fileSystem": found.map(|found| names(&found.system)),
            })
        };
        json!({
            "fileSystem": self.kind.map(|kind| kind.name()),
            "blocks": self.blocks.iter().enumerate().map(range).collect::<Vec<_>>(),
            "truncated": self.is_truncated,
            "complete": owners.is_some_and(Owners::is_complete),
            "untold": owners.map(|owners| owners.untold.iter().map(untold).collect::<Value>()),
            "untoldCount": owners.map(|owners| owners.untold_count),
            "stopped": owners.and_then(|owners| owners.stopped.as_ref()).map(file_error),
            "problem": self.owners.as_ref().err().map(|error| reason(error.code(), error)),
        })
    }
}

fn file(owner: &Owner) -> Value {
    let mut file = Map::new();
    file.insert("what".into(), names(&owner.kinds));
    insert_name(&mut file, "path", &owner.path);
    file.into()
}

fn untold(untold: &Untold) -> Value {
    let mut value = Map::new();
    value.insert("what".into(), untold.what.name().into());
    value.insert("error".into(), file_error(&untold.error));
    insert_name(&mut value, "path", &untold.path);
    value.into()
}

fn file_error(error: &FileError) -> Value {
    reason(error.code(), error)
}

fn names(kinds: &[ExtentKind]) -> Value {
    kinds.iter().map(|kind| kind.name()).collect()
}
