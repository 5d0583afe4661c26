//! Builds or checks the hash tree of a file, as `veritysetup format` and `verify` do: the library and little else.
//!
//! ```text
//! tree format DATA HASH [THREADS]
//! tree verify DATA HASH ROOT-HASH [THREADS]
//! ```

use std::env;
use std::error::Error;
use std::fs::File;
use std::process::ExitCode;

use ddi_verity::{
    Algorithm, FileSource, HashTree, HashType, Options, Params, Placement, ReadAt, RootHash, Salt,
    Strictness, Superblock, WriteAt, check_geometry,
};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match args[..] {
        ["format", data, hash] => format(data, hash, Options::new()),
        ["format", data, hash, threads] => threaded(threads).and_then(|options| format(data, hash, options)),
        ["verify", data, hash, root] => verify(data, hash, root, Options::new()),
        ["verify", data, hash, root, threads] => {
            threaded(threads).and_then(|options| verify(data, hash, root, options))
        }
        _ => Err("format DATA HASH [THREADS] | verify DATA HASH ROOT-HASH [THREADS]".into()),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::from(2)
    })
}

fn threaded(threads: &str) -> Result<Options<'static>, Box<dyn Error>> {
    Ok(Options::new().threads(threads.parse()?))
}

fn format(data: &str, hash: &str, options: Options<'_>) -> Result<ExitCode, Box<dyn Error>> {
    let data = FileSource::open(data)?;
    let salt: Salt = "030a11181f262d343b424950575e656c737a81888f969da4abb2b9c0c7ced5dc".parse()?;
    let params = Params::new(HashType::Normal, Algorithm::Sha256, 4096, 4096, data.size() / 4096, salt)?;
    let tree = HashTree::new(params, Placement::Superblock(0))?;
    let hash = File::create(hash)?;
    hash.set_len(tree.layout().hash_area().end)?;
    let root = tree.build(&data, &hash, &options)?;
    hash.write_all_at(0, &Superblock { params, uuid: *b"an example, yes!" }.to_bytes())?;
    println!("{root}");
    Ok(ExitCode::SUCCESS)
}

fn verify(data: &str, hash: &str, root: &str, options: Options<'_>) -> Result<ExitCode, Box<dyn Error>> {
    let (data, hash) = (FileSource::open(data)?, FileSource::open(hash)?);
    let root: RootHash = root.parse()?;
    let params = Superblock::read(&hash, 0)?.params;
    let tree = HashTree::new(params, Placement::Superblock(0))?;
    let tree = check_geometry(tree, data.size(), hash.size(), Strictness::STRICT)?;
    let verdict = tree.verify(&data, &hash, &root, &options)?;
    if verdict.is_proven() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("{verdict:#?}");
    Ok(ExitCode::FAILURE)
}
