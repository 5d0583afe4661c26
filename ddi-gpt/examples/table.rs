//! Prints the partition table of an image: `table IMAGE`.

use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;

use ddi_gpt::{Mode, Side};

fn main() -> Result<(), Box<dyn Error>> {
    let file = File::open(std::env::args().nth(1).ok_or("table IMAGE")?)?;
    let size = file.metadata()?.len();
    let examination = ddi_gpt::examine(size, None, |offset, buf| file.read_exact_at(buf, offset))?;

    // what can be told of any table, however broken
    for anomaly in examination.anomalies() {
        println!("{anomaly}");
    }
    for side in [Side::Primary, Side::Backup] {
        if let Err(error) = &examination.copy(side).outcome {
            println!("{side} table: {error}");
        }
    }
    // what can be relied upon: one good copy, or two that agree
    let gpt = examination.gpt(Mode::Tolerant)?;
    println!("disk {}, blocks of {}", gpt.disk_guid(), gpt.block_size());
    for p in gpt.partitions() {
        println!("{:>3} {:<22} {} {} {}", p.number, p.partition_type(), p.guid, p.range, p.name);
    }
    Ok(())
}
