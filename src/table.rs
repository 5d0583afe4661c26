//! `ddi table`: a partition table as a map and as a script, and its repair.

mod dump;
mod repair;
mod undo;

pub(crate) use undo::Piece;

use ddi_gpt::{BlockSize, Condition, Examination, Gpt, Mode};
use ddi_io::ReadAt;

use crate::build::sector_size;
use crate::cli::TableArgs;
use crate::failure::Asked;
use crate::verify::open;
use crate::{ExitStatus, output};

pub(crate) fn run(args: &TableArgs) -> anyhow::Result<ExitStatus> {
    let block_size = sector_size(args.unpack.sector_size)?;
    if args.repair {
        return repair::run(args, block_size);
    }
    if let Some(path) = &args.restore {
        return undo::restore(args, path);
    }
    let image = open(&args.image, &args.unpack)?;
    let examination = image.examination();
    let table = match examination.gpt(Mode::Tolerant) {
        Ok(table) => table,
        Err(error) => return Ok(refuse(args, &error)),
    };
    if args.dump {
        if table.condition() != Condition::Intact {
            output::warning(&format!(
                "the table is {}: this is its {} copy",
                table.condition(),
                table.side()
            ));
        }
        match dump::script(&table, &args.image) {
            Ok(script) => output::script(&script)?,
            Err(error) => {
                output::error(&error.context(args.image.display().to_string()));
                return Ok(ExitStatus::Bad);
            }
        }
    } else {
        output::map(&args.image, examination, &table, args.json)?;
    }
    Ok(match table.condition() {
        Condition::Intact | Condition::BackupMisplaced => ExitStatus::Good,
        Condition::PrimaryOnly | Condition::BackupOnly | Condition::Differ => ExitStatus::Bad,
    })
}

fn examine(source: &dyn ReadAt, block_size: Option<BlockSize>) -> std::io::Result<Examination> {
    ddi_gpt::examine(source.size(), block_size, |offset, buf| source.read_exact_at(offset, buf))
}

/// The table is none that something can be done with.
fn refuse(args: &TableArgs, error: &ddi_gpt::Error) -> ExitStatus {
    let shown = args.image.display().to_string();
    let asked = args.json.then(|| Asked { image: Some(shown.clone()) });
    output::failed(&anyhow::Error::from(error.clone()).context(shown), asked.as_ref());
    ExitStatus::Bad
}

/// Free ranges: blocks that partitions may use and none does, in order.
pub(crate) fn free(table: &Gpt) -> Vec<ddi_gpt::LbaRange> {
    let mut taken: Vec<_> = table.partitions().iter().map(|partition| partition.lbas).collect();
    taken.sort_by_key(|lbas| lbas.first);
    let usable = table.usable();
    let mut free = Vec::new();
    let mut next = usable.first.0;
    for lbas in taken {
        if next < lbas.first.0 {
            free.push(ddi_gpt::LbaRange::new(next, lbas.first.0 - 1));
        }
        next = lbas.last.0.saturating_add(1);
    }
    if next <= usable.last.0 {
        free.push(ddi_gpt::LbaRange::new(next, usable.last.0));
    }
    free
}
