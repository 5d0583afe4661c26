//! Tells whether the root partition of an image is the one with this root hash.

use ddi_core::{Image, Trust};

pub(crate) fn is_genuine(path: &str, root_hash: &str) -> Result<bool, Box<dyn std::error::Error>> {
    // must come from a place that whoever made the image cannot write to
    let trust = Trust::root_hash(root_hash.parse()?);
    Ok(Image::open(path)?.dissect(&trust).verify()?.is_authentic())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root_hash = "262757df7d5755c592d74c7fa869421aae036b0b3a40039445a493da59efc8eb";
    println!("{}", is_genuine("tests/data/sample.raw", root_hash)?);
    Ok(())
}
