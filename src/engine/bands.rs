//! The band axis on which all spectral envelopes of the native engine live.
//!
//! Plain arithmetic: no state, no allocation, any thread.

/// Bands of a spectral envelope (natural logarithm of power at [`centre_hz`]).
pub const ENV_BANDS: usize = 86;

/// Band that lies at 8 kHz. Bands `0..=BAND_8_KHZ` are known to audio of 16 kHz, the rest only to full-band audio.
pub const BAND_8_KHZ: usize = 63;

/// Frequency on the mel scale of O'Shaughnessy (1987), `2595 log10(1 + f / 700)`.
pub fn mel_from_hz(hz: f32) -> f32 {
    2595.0 * (1.0 + hz / 700.0).log10()
}

/// Inverse of [`mel_from_hz`], in Hz.
pub fn hz_from_mel(mel: f32) -> f32 {
    700.0 * (10.0_f32.powf(mel / 2595.0) - 1.0)
}

/// Distance of two band centres on the mel scale.
pub fn spacing_mel() -> f32 {
    mel_from_hz(8000.0) / BAND_8_KHZ as f32
}

/// Centre of a band in Hz: 0 for band 0, 8000 for [`BAND_8_KHZ`], about 20.3 kHz for the last one.
pub fn centre_hz(band: usize) -> f32 {
    hz_from_mel(band as f32 * spacing_mel())
}

/// Fractional band of a frequency; not limited to the existing bands.
pub fn band_from_hz(hz: f32) -> f32 {
    mel_from_hz(hz) / spacing_mel()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_reach_from_zero_over_8_khz_to_20_khz() {
        assert_eq!(centre_hz(0), 0.0);
        assert!((centre_hz(BAND_8_KHZ) - 8000.0).abs() < 0.1);
        assert!((20_000.0..21_000.0).contains(&centre_hz(ENV_BANDS - 1)));
        assert!((band_from_hz(centre_hz(40)) - 40.0).abs() < 1e-3);
    }
}
