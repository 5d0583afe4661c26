//! Writes a small image with a table: `cargo run -p ddi-gpt --example make_table -- IMAGE BLOCK-SIZE`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::{env, error::Error};

use ddi_gpt::{Attributes, BlockSize, Builder, NewPartition, PartitionType, Seed};

fn main() -> Result<(), Box<dyn Error>> {
    let [path, block_size] = <[String; 2]>::try_from(env::args().skip(1).collect::<Vec<_>>())
        .map_err(|_| "usage: make_table IMAGE BLOCK-SIZE")?;
    let block_size = BlockSize::from_bytes(block_size.parse()?).ok_or("not a block size")?;
    let size = 64 << 20;
    let seed = Seed::new("01020304-0506-0708-090a-0b0c0d0e0f10".parse()?);
    let mut builder = Builder::new(size, block_size, seed.disk_guid());
    for (name, bytes) in [("esp", 8 << 20), ("root-x86-64", 20 << 20), ("root-x86-64-verity", 1 << 20)] {
        let kind = PartitionType::from_name(name, None)?.guid().ok_or("not a type")?;
        builder = builder.partition(
            NewPartition::new(kind, seed.partition_guid(kind, 0))
                .size(bytes)
                .attributes(if name == "esp" { Attributes::default() } else { Attributes::READ_ONLY })
                .name(name.parse()?),
        );
    }
    let linux = PartitionType::LinuxGeneric.guid().ok_or("not a type")?;
    builder = builder.partition(NewPartition::new(linux, seed.partition_guid(linux, 0)).number(9));
    let table = builder.build()?;

    let file = File::create(path)?;
    file.set_len(size)?;
    for (offset, bytes) in table.writes() {
        file.write_all_at(bytes, offset)?;
        file.sync_data()?;
    }
    Ok(())
}
