//! Storage of one's own, read through a hash tree: `own_reader DATA HASH ROOT-HASH` copies DATA to stdout, each block proven.

use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use ddi_verity::{FileSource, HashTree, OpenOptions, ReadAt, VerifiedReader};

/// What a `ReadAt` needs: its size, and bytes at an offset, all of them or an error, from any thread. Here it is a file whose
/// bytes are stored inverted; it could be an object store, or a decoder.
struct Inverted(File, u64);

impl ReadAt for Inverted {
    fn size(&self) -> u64 {
        self.1
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buf, offset)?;
        buf.iter_mut().for_each(|byte| *byte = !*byte);
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let [data, hash, root_hash] = <[String; 3]>::try_from(std::env::args().skip(1).collect::<Vec<_>>())
        .map_err(|_| "own_reader DATA HASH ROOT-HASH")?;
    let (file, hash) = (File::open(data)?, FileSource::open(hash)?);
    let data = Inverted(file.try_clone()?, file.metadata()?.len());
    let tree = HashTree::open(&data, &hash, &OpenOptions::new())?;
    let proven = VerifiedReader::open(data, hash, tree, &root_hash.parse()?)?;
    let mut buf = vec![0; 1 << 20];
    for offset in (0..proven.size()).step_by(buf.len()) {
        let size = (proven.size() - offset).min(1 << 20) as usize;
        proven.read_exact_at(offset, &mut buf[..size])?; // not one byte of a block that does not match
        io::stdout().write_all(&buf[..size])?;
    }
    Ok(())
}
