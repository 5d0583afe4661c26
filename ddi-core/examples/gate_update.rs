//! Tells whether an image may be installed: `gate_update IMAGE CERTIFICATE POLICY`, with a policy such as
//! `root=signed`. The exit status is 0 if it may.

use std::error::Error;
use std::process::ExitCode;

use ddi_core::policy::ImagePolicy;
use ddi_core::{Access, Image, Trust};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [image, certificate, policy] = args.as_slice() else {
        return Err("gate_update IMAGE CERTIFICATE POLICY".into());
    };
    let policy: ImagePolicy = policy.parse()?;
    let disk = Image::open(image)?.dissect(&Trust::certificate_file(certificate)?);

    // every block, under a root hash that the key of the certificate signed
    let assessment = disk.verify()?;
    println!("{assessment}");
    if !assessment.is_authentic()
        || disk.evaluate(&policy, &assessment).verdict(&assessment) != Access::Allowed
    {
        return Ok(ExitCode::FAILURE);
    }
    // each block is proven again when it is read, so that the image may have changed meanwhile
    let os_release = disk.mount()?.read("/usr/lib/os-release")?;
    let version = os_release.split(|byte| *byte == b'\n').find(|line| line.starts_with(b"VERSION_ID="));
    println!("{}", String::from_utf8_lossy(version.unwrap_or_default()).escape_debug());
    Ok(ExitCode::SUCCESS)
}
