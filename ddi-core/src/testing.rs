//! Images in memory, opened.

pub(crate) use ddi_testing::*;

use crate::image::Image;
use crate::image::file::Sidecars;

/// A disk of the tests, opened.
pub(crate) trait DiskImage {
    /// With nothing beside it.
    fn image(&self) -> Image;

    /// With these files beside it.
    fn beside(&self, sidecars: Sidecars) -> Image;
}

impl DiskImage for Disk {
    fn image(&self) -> Image {
        image(self.bytes())
    }

    fn beside(&self, sidecars: Sidecars) -> Image {
        Image::with_sidecars(Box::new(self.bytes()), None, sidecars, None).unwrap()
    }
}

pub(crate) fn image(bytes: Vec<u8>) -> Image {
    Image::new(Box::new(bytes)).unwrap()
}
