//! Writes FLAC frame by frame, so that a long file is never held in memory.

use std::io::{Seek, SeekFrom, Write};

use flacenc::bitsink::MemSink;
use flacenc::component::{BitRepr as _, Stream, StreamInfo};
use flacenc::config;
use flacenc::error::{Verified, Verify as _};
use flacenc::source::{Context, Fill as _, FrameBuf};

use crate::new_file::said;

/// Samples per channel in one FLAC frame: what the reference encoder takes.
const FRAME_LEN: usize = 4096;

/// A FLAC stream being written.
pub(super) struct FlacWriter<W> {
    output: W,
    config: Verified<config::Encoder>,
    info: StreamInfo,
    context: Context,
    channels: usize,
    /// Samples of the frame being filled, interleaved.
    pending: Vec<i32>,
    buffer: FrameBuf,
    frames: usize,
}

impl<W: Write + Seek> FlacWriter<W> {
    /// Begins a stream: writes a header that [`FlacWriter::finish`] completes.
    pub(super) fn new(mut output: W, rate: u32, channels: usize, bits: u16) -> Result<Self, String> {
        let mut config = config::Encoder::default();
        config.block_size = FRAME_LEN;
        let config = config.into_verified().map_err(|(_, error)| error.to_string())?;
        let mut info = StreamInfo::new(rate as usize, channels, usize::from(bits)).map_err(|error| {
            format!("FLAC cannot be written with {channels} channel(s) of {bits} bits at {rate} Hz ({error}). Choose a name that ends in .wav")
        })?;
        info.set_block_sizes(FRAME_LEN, FRAME_LEN).map_err(|error| error.to_string())?;
        write_header(&mut output, &info)?;
        let context = Context::new(usize::from(bits), channels);
        let buffer = FrameBuf::with_size(channels, FRAME_LEN).map_err(|error| error.to_string())?;
        Ok(Self { output, config, info, context, channels, pending: Vec::new(), buffer, frames: 0 })
    }

    /// Appends interleaved samples.
    pub(super) fn write(&mut self, samples: &[i32]) -> Result<(), String> {
        self.pending.extend_from_slice(samples);
        let frame_len = FRAME_LEN * self.channels;
        let mut done = 0;
        while self.pending.len() - done >= frame_len {
            self.write_frame(done, frame_len)?;
            done += frame_len;
        }
        self.pending.drain(..done);
        Ok(())
    }

    /// Writes what is left and the final header.
    pub(super) fn finish(mut self) -> Result<(), String> {
        if !self.pending.is_empty() {
            self.write_frame(0, self.pending.len())?;
        }
        self.info.set_md5_digest(&self.context.md5_digest());
        self.info.set_total_samples(self.context.total_samples());
        // A last frame that is shorter does not count: RFC 9639, section 8.2.
        self.info.set_block_sizes(FRAME_LEN, FRAME_LEN).map_err(|error| error.to_string())?;
        self.output.seek(SeekFrom::Start(0)).map_err(|error| said(&error))?;
        write_header(&mut self.output, &self.info)?;
        self.output.flush().map_err(|error| said(&error))
    }

    fn write_frame(&mut self, start: usize, len: usize) -> Result<(), String> {
        let samples = &self.pending[start..start + len];
        self.buffer.fill_interleaved(samples).map_err(|error| error.to_string())?;
        self.context.fill_interleaved(samples).map_err(|error| error.to_string())?;
        let frame = flacenc::encode_fixed_size_frame(&self.config, &self.buffer, self.frames, &self.info)
            .map_err(|error| error.to_string())?;
        self.info.update_frame_info(&frame);
        self.frames += 1;
        let mut sink = MemSink::<u8>::new();
        frame.write(&mut sink).map_err(|error| error.to_string())?;
        self.output.write_all(sink.as_slice()).map_err(|error| said(&error))
    }
}

/// A whole FLAC file in memory: one channel of 16 bits.
///
/// # Errors
/// What the format does not allow, in words.
pub fn flac_from_samples(samples: &[i16], rate: u32) -> Result<Vec<u8>, String> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut writer = FlacWriter::new(&mut bytes, rate, 1, 16)?;
    for part in samples.chunks(FRAME_LEN) {
        writer.write(&part.iter().map(|&sample| i32::from(sample)).collect::<Vec<i32>>())?;
    }
    writer.finish()?;
    Ok(bytes.into_inner())
}

/// The magic word and the one metadata block; always of the same length.
fn write_header<W: Write>(output: &mut W, info: &StreamInfo) -> Result<(), String> {
    let mut sink = MemSink::<u8>::new();
    Stream::with_stream_info(info.clone()).write(&mut sink).map_err(|error| error.to_string())?;
    output.write_all(sink.as_slice()).map_err(|error| said(&error))
}
