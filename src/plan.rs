//! `ddi plan`: what becomes of a disk when the image on it is first started.

use anyhow::{Context, anyhow};
use ddi_build::{DefinitionOptions, Definitions, ImageSize, Plan, PlanOptions, Specifiers, parse_size};
use ddi_core::steps::Table;
use ddi_gpt::Architecture;

use crate::ExitStatus;
use crate::build::{sector_size, seed, with_arguments};
use crate::cli::PlanArgs;
use crate::failure::{self, Asked};
use crate::files::{self, Stop};
use crate::output::{self, Planned};
use crate::verify::open;

pub(crate) fn run(args: &PlanArgs) -> anyhow::Result<ExitStatus> {
    let stop = match plan(args) {
        Ok(()) => return Ok(ExitStatus::Good),
        Err(stop) => stop,
    };
    let asked = args.json.then(|| Asked { image: Some(args.files.image.display().to_string()) });
    let (outcome, error) = stop.into_parts();
    // whose outcome is known already: of files
    let outcome = match failure::status(&error) {
        ExitStatus::Bad => ExitStatus::Bad,
        _ => outcome,
    };
    output::failed(&error.context(args.files.image.display().to_string()), asked.as_ref());
    Ok(outcome)
}

fn plan(args: &PlanArgs) -> Result<(), Stop> {
    let image = open(&args.files.image, &args.files.unpack)?;
    let Table::Gpt(table) = image.table() else {
        return Err(anyhow!("has no GUID partition table").into());
    };
    // that of the machine which starts the image, and need not be this one
    let native = match &args.files.select.architecture {
        Some(name) => Some(name.parse().with_context(|| format!("architecture {name} is not known"))?),
        None => Architecture::NATIVE,
    };
    let mut options = DefinitionOptions::new();
    if let Some(native) = native {
        options = options.native(native);
    }
    let definitions = match &args.definitions.definitions[..] {
        [] => {
            let found = files::definitions(&args.files)?;
            // after `native`, which sets the specifiers anew
            if let Some(os_release) = &found.os_release {
                options = options.specifiers(Specifiers::new(native).os_release(os_release));
            }
            let options = with_arguments(&args.definitions, options)?;
            let texts = found.texts.iter().map(|(path, text)| (&**path, &**text));
            Definitions::from_texts(texts, &options)
        }
        folders => Definitions::from_folders(folders, &with_arguments(&args.definitions, options)?),
    };
    let definitions = definitions.map_err(anyhow::Error::from)?;
    let (seed, _) = seed(&args.definitions)?;
    let size = match &args.size {
        Some(text) => parse_size(text).with_context(|| format!("--size {text}"))?,
        None => table.disk_size(),
    };
    let mut options = PlanOptions::new(seed)
        .table(table)
        .image(&args.files.image)
        .size(ImageSize::Bytes(size))
        .factory_reset(args.factory_reset);
    if let Some(sector_size) = sector_size(args.files.unpack.sector_size)? {
        options = options.sector_size(sector_size);
    }
    let plan = Plan::new(&definitions, &options).map_err(anyhow::Error::from)?;
    for notice in plan.notices() {
        output::warning(&notice.to_string());
    }
    output::planned(&Planned { plan: &plan, seed, json: args.json })?;
    Ok(())
}
