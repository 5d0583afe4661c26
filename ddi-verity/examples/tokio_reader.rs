//! From an asynchronous runtime and over asynchronous storage: `tokio_reader DATA HASH ROOT-HASH` reads many blocks at once.

use std::error::Error;
use std::io;
use std::sync::Arc;

use ddi_verity::{FileSource, HashTree, OpenOptions, ReadAt, VerifiedReader};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

/// Asynchronous storage as a `ReadAt`. It is read from blocking threads alone, where waiting for the runtime is allowed.
struct Remote {
    path: String,
    size: u64,
    runtime: Handle,
}

impl ReadAt for Remote {
    fn size(&self) -> u64 {
        self.size
    }
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.runtime.block_on(async {
            let mut file = tokio::fs::File::open(&self.path).await?; // or a request for a range
            file.seek(io::SeekFrom::Start(offset)).await?;
            file.read_exact(buf).await.map(drop)
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [path, hash, root_hash] = <[String; 3]>::try_from(std::env::args().skip(1).collect::<Vec<_>>())
        .map_err(|_| "tokio_reader DATA HASH ROOT-HASH")?;
    let size = tokio::fs::metadata(&path).await?.len();
    let (data, root_hash) = (Remote { path, size, runtime: Handle::current() }, root_hash.parse()?);
    let hash = FileSource::open(hash)?;
    let proven = spawn_blocking(move || {
        let tree = HashTree::open(&data, &hash, &OpenOptions::new())?;
        VerifiedReader::open(data, hash, tree, &root_hash)
    });
    let proven = Arc::new(proven.await??);

    let blocks = (0..proven.size().min(64 * 4096)).step_by(4096).map(|offset| {
        let proven = Arc::clone(&proven);
        spawn_blocking(move || {
            let mut block = vec![0; 4096.min((proven.size() - offset) as usize)];
            proven.read_exact_at(offset, &mut block).map(|()| block)
        })
    });
    let tasks: Vec<_> = blocks.collect();
    let mut bytes = 0;
    for task in tasks {
        bytes += task.await??.len();
    }
    println!("{bytes} bytes, each proven");
    Ok(())
}
