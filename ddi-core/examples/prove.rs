//! Is the root partition of an image the one with this root hash?

use ddi_core::{
    DissectOptions, Dissection, Image, Outcome, ProveOptions, Role, TrustedRootHash, VeritySettings, prove,
};

pub(crate) fn is_genuine(path: &str, root_hash: &str) -> Result<bool, Box<dyn std::error::Error>> {
    // on our word: the root hash must come from a place that whoever made the image cannot write to
    let trusted = [TrustedRootHash::by_caller(root_hash.parse()?, Role::Root)];
    let image = Image::open(path)?;
    let verity = VeritySettings::new(&trusted, image.sidecars());
    let dissection = Dissection::new(&image, &DissectOptions::new(verity));
    let mut options = ProveOptions::default();
    options.trusted = &trusted;
    Ok(prove(&image, &dissection, &options).outcome == Outcome::TrustedAndProven)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root_hash = "262757df7d5755c592d74c7fa869421aae036b0b3a40039445a493da59efc8eb";
    println!("{}", is_genuine("tests/data/sample.raw", root_hash)?);
    Ok(())
}
