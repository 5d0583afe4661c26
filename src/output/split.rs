//! What `ddi split` prints.

use std::path::Path;

use ddi_build::{Split, SplitFile};
use serde_json::{Value, json};

use super::{Cell, Table, escape, human_size, print, print_json};

/// The files that were made.
pub(crate) fn split(image: &Path, split: &Split, sums: Option<&Path>, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let files: Vec<Value> = split.files().iter().map(file).collect();
        return print_json(&json!({
            "schema": "ddi.split/1",
            "image": image.display().to_string(),
            "files": files,
            "sums": sums.map(|path| path.display().to_string()),
        }));
    }
    let mut rows = Table::new(&[">  NO", ">SIZE", "TYPE", "FILE"]);
    for SplitFile { partition, path, .. } in split.files() {
        let kind = partition.partition_type();
        rows.row([
            Cell::shown(partition.number),
            Cell::shown(human_size(partition.range.size)),
            Cell::shown(kind.common_name().map_or_else(|| kind.name(), str::to_owned)),
            path.display().to_string().into(),
        ]);
    }
    let mut text = rows.render();
    if let Some(path) = sums {
        text.push_str(&format!("Also made {}\n", escape(&path.display().to_string())));
    }
    print(&text)
}

fn file(file: &SplitFile) -> Value {
    let partition = &file.partition;
    json!({
        "path": file.path.display().to_string(),
        "number": partition.number,
        "type": partition.partition_type().name(),
        "typeUuid": partition.type_guid.to_string(),
        "uuid": partition.guid.to_string(),
        "label": partition.name.label(),
        "offset": partition.range.offset,
        "size": partition.range.size,
    })
}
