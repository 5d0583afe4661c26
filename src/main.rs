//! The `ddi` command: inspect and verify Discoverable Disk Images.
#![forbid(unsafe_code)]

mod bake;
mod begun;
mod bench;
mod build;
mod check;
mod cli;
mod exit;
mod failure;
mod files;
mod images;
mod inspect;
mod keep;
mod output;
mod overwrite;
mod parity;
mod plan;
mod policy;
mod read;
mod serve;
mod sign;
mod split;
mod sums;
mod table;
mod trust;
mod verify;
mod verity;

use std::process::ExitCode;

use crate::cli::{CheckCommand, Cli, Command, PolicyCommand, VerityCommand};
pub(crate) use crate::exit::ExitStatus;

fn main() -> ExitCode {
    let Cli { command, color, quiet } = Cli::of_arguments();
    output::set(color, quiet);
    let asked = command.asked();
    let _activity = command.is_silent_work().then(output::Activity::new);
    let status = match command {
        Command::Inspect(mut args) => images::of_inspect(&mut args),
        Command::Verify(mut args) => images::of_verify(&mut args),
        Command::Read(args) => read::run(&args),
        Command::Ls(args) => files::ls(&args),
        Command::Cat(args) => files::cat(&args),
        Command::Extract(args) => files::extract(&args),
        Command::Mtree(args) => files::mtree(&args),
        Command::Policy(PolicyCommand::Show(args)) => policy::show(&args),
        Command::Policy(PolicyCommand::Check(args)) => policy::check(&args),
        Command::Check(CheckCommand::Portable(args)) => check::portable(&args),
        Command::Check(CheckCommand::Extension(args)) => check::extension(&args),
        Command::Check(CheckCommand::Golden(mut args)) => images::of_golden(&mut args),
        Command::Check(CheckCommand::Boot(mut args)) => images::of_boot(&mut args),
        Command::Check(CheckCommand::Update(args)) => check::update::run(&args),
        Command::Bake(args) => bake::run(&args),
        Command::Build(args) => build::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Sign(args) => sign::run(&args),
        Command::Plan(args) => plan::run(&args),
        Command::Split(args) => split::run(&args),
        Command::Table(args) => table::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Verity(VerityCommand::Format(args)) => verity::format::run(&args),
        Command::Verity(VerityCommand::Verify(args)) => verity::verify::run(&args),
        Command::Verity(VerityCommand::Repair(args)) => verity::repair::run(&args),
        Command::Verity(VerityCommand::Dump(args)) => verity::dump::run(&args),
    };
    status
        .unwrap_or_else(|error| {
            output::failed(&error, asked.as_ref());
            failure::status(&error)
        })
        .into()
}
