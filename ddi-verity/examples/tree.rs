//! Makes or checks the hash tree of a file, as `veritysetup format` and `verify` do.
//!
//! ```text
//! tree format DATA HASH
//! tree verify DATA HASH ROOT-HASH
//! ```

use std::error::Error;
use std::fs::File;
use std::process::ExitCode;

use ddi_verity::{FileSource, FormatOptions, HashTree, OpenOptions, Options};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["format", data, hash] => {
            let (data, hash) = (FileSource::open(data)?, File::create(hash)?);
            let made = HashTree::format(&data, &hash, &FormatOptions::new())?;
            println!("{}", made.root_hash);
            Ok(ExitCode::SUCCESS)
        }
        ["verify", data, hash, root_hash] => {
            let (data, hash) = (FileSource::open(data)?, FileSource::open(hash)?);
            let (open, how) = (OpenOptions::new(), Options::new());
            let verdict = HashTree::check(&data, &hash, &root_hash.parse()?, &open, &how)?;
            if !verdict.is_proven() {
                println!("bad blocks: {:?}", verdict.corrupt_data.ranges());
                return Ok(ExitCode::FAILURE);
            }
            Ok(ExitCode::SUCCESS)
        }
        _ => Err("format DATA HASH | verify DATA HASH ROOT-HASH".into()),
    }
}
