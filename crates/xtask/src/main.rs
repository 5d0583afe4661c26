//! `cargo xtask man [DIR]` and `cargo xtask completions [DIR]`: what packages install beside the command.
//!
//! The definitions of arguments are those of the command, the same files: `src/cli.rs`, what is below it, and `src/exit.rs` are links here. The command
//! itself has neither a library target for it nor what makes pages and completions, and is built as before.
#![forbid(unsafe_code)]

#[expect(dead_code, reason = "only the definitions count here, not what is done with the values")]
mod cli;
mod examples;
#[cfg_attr(not(test), expect(dead_code, reason = "the table counts here, and how a command ends does not"))]
mod exit;
mod man;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::cli::Cli;

/// Makes what packages install beside ddi
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Tasks {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Manual pages, one for each command
    Man {
        /// Where to
        #[arg(default_value = "target/man")]
        folder: PathBuf,
    },
    /// Completions for bash, zsh and fish
    Completions {
        /// Where to
        #[arg(default_value = "target/completions")]
        folder: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Tasks::parse().task {
        Task::Man { folder } => {
            fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
            for (name, page) in man::pages() {
                write(&folder.join(name), page.as_bytes())?;
            }
        }
        Task::Completions { folder } => {
            fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
            // under the names by which each shell looks for them
            for (shell, name) in [(Shell::Bash, "ddi"), (Shell::Zsh, "_ddi"), (Shell::Fish, "ddi.fish")] {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Cli::command(), "ddi", &mut script);
                write(&folder.join(name), &script)?;
            }
        }
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    fs::write(path, bytes).with_context(|| path.display().to_string())
}
