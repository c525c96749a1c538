//! Opus in Ogg: RFC 6716 and RFC 7845, by the crate `opus-decoder`. Knows no file.

use opus_decoder::OpusDecoder;
use symphonia::core::codecs::audio::AudioCodecParameters;
use symphonia::core::errors::Error;

/// The rate that Opus is always decoded at, in Hz.
const RATE: u32 = 48_000;

/// One stream of one or two channels.
pub(super) struct Opus {
    decoder: OpusDecoder,
    channels: usize,
    /// Samples per channel still to be dropped at the start: the encoder's delay.
    skip: usize,
    gain: f32,
    pcm: Vec<f32>,
}

impl Opus {
    /// A decoder for what the identification header says; `delay` in samples per channel.
    ///
    /// # Errors
    /// Plain words for more channels than two, or a header that makes no sense.
    pub(super) fn new(parameters: &AudioCodecParameters, delay: u32) -> Result<Self, String> {
        let channels = parameters.channels.as_ref().map_or(0, |channels| channels.count());
        // RFC 7845, section 5.1: the output gain at byte 16 in Q7.8 dB, the mapping family at byte 18; 0 = mono or stereo.
        let head = parameters.extra_data.as_deref().filter(|head| head.len() >= 19);
        let head = head.ok_or_else(|| "its header makes no sense".to_owned())?;
        if !(1..=2).contains(&channels) || head[18] != 0 {
            return Err(format!("it is Opus with {channels} channels; Coffre reads one or two"));
        }
        let gain_db = f32::from(i16::from_le_bytes([head[16], head[17]])) / 256.0;
        let decoder = OpusDecoder::new(RATE, channels).map_err(|error| error.to_string())?;
        let pcm = vec![0.0; decoder.max_frame_size_per_channel() * channels];
        Ok(Self { decoder, channels, skip: delay as usize, gain: 10.0_f32.powf(gain_db / 20.0), pcm })
    }

    /// Replaces `block` by what a packet holds, `left` samples per channel at most.
    ///
    /// # Errors
    /// [`Error::DecodeError`] for damaged packets.
    pub(super) fn decode(&mut self, packet: &[u8], left: u64, block: &mut Vec<f32>) -> Result<(), Error> {
        let frames = self.decoder.decode_float(packet, &mut self.pcm, false);
        let frames = frames.map_err(|_| Error::DecodeError("damaged Opus packet"))?;
        let skip = self.skip.min(frames);
        self.skip -= skip;
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(frames - skip);
        let range = skip * self.channels..(skip + wanted) * self.channels;
        let decoded = self.pcm.get(range).ok_or(Error::DecodeError("damaged Opus packet"))?;
        block.extend(decoded.iter().map(|sample| sample * self.gain));
        Ok(())
    }
}
