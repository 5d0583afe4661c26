//! What `ddi bench` prints.

use std::fmt::Write;

use super::{Cell, Table, count, escape, human_size, print, print_json};
use crate::bench::{Measured, Speed};

/// Speeds, in GB (10⁹ bytes) a second.
pub(crate) fn bench(measured: &Measured, json: bool) -> anyhow::Result<()> {
    if json { print_json(&measured.to_json()) } else { print(&to_text(measured)) }
}

fn to_text(measured: &Measured) -> String {
    let mut text = String::new();
    let cpu = measured.cpu.as_deref().unwrap_or("unknown CPU");
    let _ = writeln!(text, "{}, {}\n", escape(cpu), count(measured.threads as u64, "thread"));
    let _ = writeln!(
        text,
        "{} of blocks of 4096 bytes with 32 bytes of salt, one thread, data in cache",
        measured.algorithm
    );
    let mut table = Table::new(&["KERNEL", ">GB/S", ">LOW", ">HIGH", ">OF PORTABLE", ""]);
    let portable = measured.backends.iter().find(|(backend, _)| backend.name() == "portable");
    for (backend, speed) in &measured.backends {
        let ratio = portable.map_or(String::new(), |(_, base)| format!("{:.2}", speed.median / base.median));
        let chosen = if *backend == measured.chosen { "chosen" } else { " " };
        table.row(columns(backend.name().into(), speed).into_iter().chain([ratio.into(), chosen.into()]));
    }
    text.push_str(&table.render());

    let source = if measured.from_file { "the file" } else { "memory" };
    let _ = writeln!(
        text,
        "\nwhole trees over {} from {source}, every block hashed, kernel {}",
        human_size(measured.data_size),
        measured.used
    );
    let mut table = Table::new(&[">THREADS", ">GB/S", ">LOW", ">HIGH", ">OF ONE"]);
    for (threads, speed) in &measured.trees {
        let ratio = speed.median / measured.trees[0].1.median;
        table.row(
            columns(threads.to_string().into(), speed).into_iter().chain([format!("{ratio:.2}").into()]),
        );
    }
    text.push_str(&table.render());
    text
}

fn columns(name: Cell, speed: &Speed) -> Vec<Cell> {
    let giga = |bytes: f64| format!("{:.2}", bytes / 1e9).into();
    vec![name, giga(speed.median), giga(speed.low), giga(speed.high)]
}
