//! A frame by `ruzstd`.

use std::io::{self, Read};

use ruzstd::decoding::errors::{FrameDecoderError, FrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::PIECE;
use crate::unpack::{Compression, Input, MAX_WINDOW_SIZE, Output, Stop, UnpackError, damage};

pub(super) struct Decoder {
    decoder: FrameDecoder,
    piece: Vec<u8>,
}

impl Decoder {
    pub(super) fn new() -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW_SIZE);
        Decoder { decoder, piece: vec![0; PIECE] }
    }

    pub(super) fn frame(&mut self, input: &mut Input<'_>, output: &mut Output<'_>) -> Result<(), Stop> {
        let Decoder { decoder, piece } = self;
        let stop = |error: FrameDecoderError| match error {
            FrameDecoderError::WindowSizeTooBig { .. }
            | FrameDecoderError::FrameHeaderError(FrameHeaderError::WindowTooBig { .. })
            | FrameDecoderError::FailedToInitialize(FrameHeaderError::WindowTooBig { .. }) => {
                UnpackError::WindowTooLarge { compression: Compression::Zstd }.into()
            }
            error => Stop::Decoder(io::Error::new(io::ErrorKind::InvalidData, error)),
        };
        decoder.reset(&mut *input).map_err(stop)?;
        let mut size: u64 = 0;
        while !decoder.is_finished() || decoder.can_collect() > 0 {
            if !decoder.is_finished() {
                decoder.decode_blocks(&mut *input, BlockDecodingStrategy::UptoBlocks(1)).map_err(stop)?;
            }
            while decoder.can_collect() > 0 {
                let count = decoder.read(piece)?;
                output(piece.get(..count).unwrap_or_default())?;
                size = size.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            }
        }
        // 0 is also what it says where the header has no size
        if decoder.content_size() != 0 && decoder.content_size() != size {
            return Err(damage("the content has another size than the frame header says"));
        }
        match (decoder.get_checksum_from_data(), decoder.get_calculated_checksum()) {
            (Some(expected), found) if found != Some(expected) => {
                Err(damage("the content has another checksum than the frame says"))
            }
            _ => Ok(()),
        }
    }
}
