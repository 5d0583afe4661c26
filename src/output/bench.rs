//! What `ddi bench` prints.

use std::fmt::Write;

use ddi_verity::{Algorithm, Backend};
use serde_json::{Value, json};

use super::{Cell, Table, count, escape, human_size, print, print_json};

/// How fast something went, in bytes a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Speed {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// What was measured.
#[derive(Debug)]
pub(crate) struct Measured {
    /// As `/proc/cpuinfo` has it.
    pub(crate) cpu: Option<String>,
    /// How many threads there are.
    pub(crate) threads: usize,
    pub(crate) algorithm: Algorithm,
    /// What is used unless told otherwise.
    pub(crate) chosen: Backend,
    /// One thread, data in cache.
    pub(crate) backends: Vec<(Backend, Speed)>,
    /// Bytes of data below the trees.
    pub(crate) data_size: u64,
    /// True if the data was a file.
    pub(crate) from_file: bool,
    /// What the trees were made with.
    pub(crate) used: Backend,
    /// Whole trees by number of threads; every block is hashed.
    pub(crate) trees: Vec<(usize, Speed)>,
}

impl Measured {
    /// All of it: `ddi.bench/1`.
    pub(crate) fn to_json(&self) -> Value {
        let run = |key: &str, of: Value, speed: &Speed| {
            json!({
                key: of,
                "bytesPerSecond": speed.median.round() as u64,
                "low": speed.low.round() as u64,
                "high": speed.high.round() as u64,
            })
        };
        let kernel = |(backend, speed): &(Backend, Speed)| run("kernel", backend.name().into(), speed);
        let tree = |(threads, speed): &(usize, Speed)| run("threads", (*threads).into(), speed);
        json!({
            "schema": "ddi.bench/1",
            "cpu": self.cpu,
            "threads": self.threads,
            "hash": self.algorithm.name(),
            "chosen": self.chosen.name(),
            "kernels": self.backends.iter().map(kernel).collect::<Vec<_>>(),
            "trees": {
                "kernel": self.used.name(),
                "size": self.data_size,
                "fromFile": self.from_file,
                "runs": self.trees.iter().map(tree).collect::<Vec<_>>(),
            },
        })
    }
}

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
