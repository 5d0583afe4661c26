//! Prints the partition table of an image: `cargo run -p ddi-gpt --example table -- IMAGE [BLOCK-SIZE]`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::{env, error::Error};

use ddi_gpt::{BlockSize, Mode, Side};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let file = File::open(arguments.next().ok_or("usage: table IMAGE [BLOCK-SIZE]")?)?;
    let block_size = match arguments.next() {
        None => None,
        Some(size) => Some(BlockSize::from_bytes(size.parse()?).ok_or("not a block size")?),
    };
    let size = file.metadata()?.len();
    let examination = ddi_gpt::examine(size, block_size, |offset, buf| file.read_exact_at(buf, offset))?;

    for anomaly in examination.anomalies() {
        println!("odd: {anomaly}");
    }
    for side in [Side::Primary, Side::Backup] {
        if let Err(error) = &examination.copy(side).outcome {
            println!("{side}: {error}");
        }
    }
    let gpt = examination.gpt(Mode::Tolerant)?;
    println!("{} {} {} {}", gpt.disk_guid(), gpt.block_size(), gpt.usable(), gpt.condition());
    for difference in gpt.differences() {
        println!("differs: {difference}");
    }
    for partition in gpt.partitions() {
        println!(
            "{} {} {} {} {} [{}] {}",
            partition.number,
            partition.lbas,
            partition.partition_type(),
            partition.type_guid,
            partition.guid,
            partition.attributes,
            partition.name
        );
    }
    Ok(())
}
