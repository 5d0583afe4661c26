//! Writes an empty image with a table, the same bytes each time: `make_table IMAGE`.

use std::error::Error;
use std::fs::File;
use std::os::unix::fs::FileExt;

use ddi_gpt::{Attributes, BlockSize, Builder, NewPartition, PartitionType, Seed};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("make_table IMAGE")?;
    let size = 64 << 20;
    let seed = Seed::new("01020304-0506-0708-090a-0b0c0d0e0f10".parse()?);
    let mut builder = Builder::new(size, BlockSize::B512, seed.disk_guid());
    for (name, bytes) in [("esp", 8 << 20), ("root-x86-64", 20 << 20), ("root-x86-64-verity", 1 << 20)] {
        let kind = PartitionType::from_name(name, None)?.guid().ok_or("not a type")?;
        let attributes = if name == "esp" { Attributes::default() } else { Attributes::READ_ONLY };
        let partition = NewPartition::new(kind, seed.partition_guid(kind, 0));
        builder = builder.partition(partition.size(bytes).attributes(attributes).name(name.parse()?));
    }
    let table = builder.build()?;

    let file = File::create(path)?;
    file.set_len(size)?;
    // in this order: the table in use is written last
    for (offset, bytes) in table.writes() {
        file.write_all_at(bytes, offset)?;
        file.sync_data()?;
    }
    Ok(())
}
