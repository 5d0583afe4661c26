//! Where data and hash tree of a set are read from.

use std::sync::Arc;

use ddi_io::{ReadAt, Section};

use crate::error::{Error, Step};
use crate::image::Image;
use crate::verity_set::{Extent, VeritySet};

/// A part of an image, or of a file beside it.
pub(crate) type Piece = Section<Arc<dyn ReadAt>>;

/// Part of a source that belongs to an image.
pub(crate) fn section(source: Arc<dyn ReadAt>, offset: u64, size: u64) -> Result<Piece, Error> {
    Section::new(source, offset, size).map_err(|error| Error::Io {
        step: Step::Open,
        offset: Some(offset),
        error: Arc::new(error),
    })
}

/// Where data and hash tree are read from.
pub(crate) fn sources(image: &Image, set: &VeritySet, data: Extent) -> Result<(Piece, Piece), Error> {
    sources_in(&image.shared_source(), image, set, data)
}

/// The same for whoever reads files, which the image may ask any number of times for: see [`Image::meter`].
pub(crate) fn metered_sources(image: &Image, set: &VeritySet, data: Extent) -> Result<(Piece, Piece), Error> {
    sources_in(&image.metered_source(), image, set, data)
}

fn sources_in(
    source: &Arc<dyn ReadAt>,
    image: &Image,
    set: &VeritySet,
    data: Extent,
) -> Result<(Piece, Piece), Error> {
    let hash = match (&image.sidecars().verity, set.hash.number) {
        (Some(file), None) if set.hash.external => section(file.clone(), 0, file.size())?,
        (_, Some(_)) => section(Arc::clone(source), set.hash.range.offset, set.hash.range.size)?,
        // behind the data: offsets count from the start of the image
        _ => section(Arc::clone(source), 0, image.source().size())?,
    };
    Ok((section(Arc::clone(source), data.range.offset, data.range.size)?, hash))
}
