//! What `ddi build` and `ddi plan` print.

use std::collections::BTreeMap;
use std::path::Path;

use ddi_build::json::{BuildDocument, PlanDocument};
use ddi_build::{Plan, PlannedPartition, Written};
use ddi_gpt::Guid;

use super::{escape, human_size, print, print_json};

/// An image that was made.
pub(crate) struct Made<'a> {
    pub(crate) written: &'a Written,
    pub(crate) seed: Guid,
    pub(crate) tools: &'a BTreeMap<String, String>,
    pub(crate) sums: Option<&'a Path>,
    pub(crate) json: bool,
}

/// A plan, and nothing more.
pub(crate) struct Planned<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) seed: Guid,
    pub(crate) json: bool,
}

pub(crate) fn built(made: &Made<'_>) -> anyhow::Result<()> {
    let plan = &made.written.plan;
    let shown = |path: &Path| path.display().to_string();
    if made.json {
        let document = BuildDocument::new(made.written, made.seed).tools(made.tools).sums(made.sums);
        return print_json(&document.to_json());
    }
    let mut text = plan.to_string();
    text.push_str(&facts(plan, made.seed));
    for tree in plan.trees() {
        if let Some(root_hash) = tree.root_hash {
            let name = &plan.partitions()[tree.data].partition_type;
            text.push_str(&format!("Root hash {root_hash} of {name}\n"));
        }
    }
    for (name, version) in made.tools {
        text.push_str(&format!("Made with {name}: {}\n", escape(version)));
    }
    for path in made.written.split.iter().map(|path| &**path).chain(made.sums) {
        text.push_str(&format!("Also made {}\n", escape(&shown(path))));
    }
    print(&text)
}

/// A bare image, and what is beside it.
pub(crate) fn baked(image: &Path, baked: &ddi_build::Baked) -> anyhow::Result<()> {
    let mut text = format!("Root hash {}\n", baked.root_hash);
    for path in [image].into_iter().chain(baked.written.split.iter().map(|path| &**path)) {
        text.push_str(&format!("Made {}\n", escape(&path.display().to_string())));
    }
    print(&text)
}

pub(crate) fn planned(planned: &Planned<'_>) -> anyhow::Result<()> {
    if planned.json {
        return print_json(&PlanDocument::new(planned.plan, planned.seed).to_json());
    }
    let mut text = planned.plan.to_string();
    text.push_str(&facts(planned.plan, planned.seed));
    let was = |it: &PlannedPartition| (it.offset, it.old_size);
    if planned.plan.partitions().iter().any(|it| it.old_size > 0) {
        text.push_str(&format!("before {}\n", picture(planned.plan, was)));
    }
    text.push_str(&format!("after  {}\n", picture(planned.plan, |it| (it.offset, it.size))));
    print(&text)
}

/// The disk in a line: the last digit of each partition's number where it lies, a point where nothing does.
fn picture(plan: &Plan, place: impl Fn(&PlannedPartition) -> (u64, u64)) -> String {
    const CELLS: u64 = 100;
    let size = u128::from(plan.geometry().size.max(1));
    let cell = |offset: u64| (u128::from(offset) * u128::from(CELLS) / size) as usize;
    let mut cells = vec!['.'; CELLS as usize];
    for partition in plan.partitions() {
        let (offset, size) = place(partition);
        if size == 0 {
            continue;
        }
        let digit = char::from_digit((partition.number + 1) % 10, 10).unwrap_or('#');
        let (first, last) = (cell(offset), cell(offset.saturating_add(size - 1)));
        cells.iter_mut().take(last + 1).skip(first).for_each(|cell| *cell = digit);
    }
    format!("|{}|", cells.into_iter().collect::<String>())
}

fn facts(plan: &Plan, seed: Guid) -> String {
    let geometry = plan.geometry();
    let mut text = format!(
        "Image of {} bytes ({}), sectors of {}, disk {}, seed {seed}\n",
        geometry.size,
        human_size(geometry.size),
        geometry.sector_size.bytes(),
        plan.disk_guid()
    );
    for dropped in plan.dropped() {
        text.push_str(&format!(
            "No room for {} of priority {}, which needs {}\n",
            escape(&dropped.file.display().to_string()),
            dropped.priority,
            human_size(dropped.min_size)
        ));
    }
    text
}
