//! Whether one person speaks, or several: compares pieces of the recordings with each other.
//!
//! A phone's shape depends on who says it, but also on the phone, so each frame is compared with the mean of its phone.
//! What remains, averaged over seconds, is the speaker (and the microphone). Two groups of pieces that lie far apart
//! are two speakers. Grouping: two means (Lloyd 1982), started at the pair that lies farthest apart.

use crate::engine::bands::ENV_BANDS;
use crate::engine::content::PHONES;

/// Bands that are compared: the speech band, where every recording has signal.
const BANDS: std::ops::Range<usize> = 4..60;

/// Bands whose values are averaged: details between neighbours are the pitch's, not the speaker's.
const GROUP: usize = 4;

/// Values that describe a piece: groups of bands, and the F0.
pub(super) const VALUES: usize = (BANDS.end - BANDS.start) / GROUP + 1;

/// Voiced frames that make a piece: 2.5 s.
const PIECE_FRAMES: usize = 250;

/// Least pieces to say anything.
const LEAST_PIECES: usize = 3;

/// Most pieces compared with each other.
const MOST_PIECES: usize = 240;

/// Weight of the F0, in octaves, beside the shape's values in natural-log power.
const F0_WEIGHT: f32 = 4.0;

/// What describes one piece of a recording.
type Piece = [f32; VALUES];

/// One active voiced frame.
#[derive(Clone, Copy, Debug)]
pub struct VoicedFrame {
    /// Envelope minus loudness.
    pub shape: [f32; ENV_BANDS],
    /// F0 in Hz.
    pub f0_hz: f32,
    /// Class of the content encoder; 0 without one.
    pub phone: usize,
}

/// What the comparison found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speakers {
    /// Distance of the two groups of pieces that lie farthest apart,.
    pub distance: f32,
    /// Share of the smaller group, in `0.0..=0.5`.
    pub minority: f32,
}

impl Speakers {
    /// Compares the frames' pieces; `None` when there are too few.
    pub fn compare(frames: &[VoicedFrame]) -> Option<Self> {
        let pieces = pieces(frames);
        if pieces.len() < LEAST_PIECES {
            return None;
        }
        let is_second = two_groups(&pieces)?;
        let of = |second: bool| pieces.iter().zip(&is_second).filter(move |(_, is)| **is == second).map(|(p, _)| p);
        let (one, other) = (mean(of(false)), mean(of(true)));
        let minority = of(true).count().min(of(false).count()) as f32 / pieces.len() as f32;
        Some(Self { distance: distance(&one, &other), minority })
    }
}

/// What of a frame is compared.
pub(super) fn values(frame: &VoicedFrame) -> [f32; VALUES] {
    std::array::from_fn(|n| match n + 1 < VALUES {
        true => {
            let first = BANDS.start + n * GROUP;
            frame.shape[first..first + GROUP].iter().sum::<f32>() / GROUP as f32
        }
        false => F0_WEIGHT * frame.f0_hz.max(20.0).log2(),
    })
}

/// Cuts the frames into pieces and describes each.
fn pieces(frames: &[VoicedFrame]) -> Vec<Piece> {
    let mut sums = vec![([0.0_f64; VALUES], 0_u32); PHONES];
    for frame in frames {
        let (sum, count) = &mut sums[frame.phone.min(PHONES - 1)];
        sum.iter_mut().zip(values(frame)).for_each(|(sum, value)| *sum += f64::from(value));
        *count += 1;
    }
    let piece = |frames: &[VoicedFrame]| -> Piece {
        let mut piece = [0.0; VALUES];
        for frame in frames {
            let (sum, count) = &sums[frame.phone.min(PHONES - 1)];
            for (n, value) in values(frame).into_iter().enumerate() {
                piece[n] += (value - (sum[n] / f64::from(*count)) as f32) / frames.len() as f32;
            }
        }
        piece
    };
    let all: Vec<Piece> = frames.chunks_exact(PIECE_FRAMES).map(piece).collect();
    let step = all.len().div_ceil(MOST_PIECES).max(1);
    all.into_iter().step_by(step).collect()
}

/// Groups the pieces; `None` when all of them are alike.
fn two_groups(pieces: &[Piece]) -> Option<Vec<bool>> {
    let mut farthest = (0.0, 0, 0);
    for one in 0..pieces.len() {
        for other in one + 1..pieces.len() {
            let apart = distance(&pieces[one], &pieces[other]);
            if apart > farthest.0 {
                farthest = (apart, one, other);
            }
        }
    }
    let (_, one, other) = Some(farthest).filter(|(apart, ..)| *apart > 0.0)?;
    let mut centres = [pieces[one], pieces[other]];
    let mut is_second = Vec::new();
    for _ in 0..20 {
        let nearer = |piece: &Piece| distance(piece, &centres[1]) < distance(piece, &centres[0]);
        let next: Vec<bool> = pieces.iter().map(nearer).collect();
        if next == is_second {
            break;
        }
        is_second = next;
        for (group, centre) in centres.iter_mut().enumerate() {
            let members = pieces.iter().zip(&is_second).filter(|(_, is)| usize::from(**is) == group);
            *centre = mean(members.map(|(piece, _)| piece));
        }
    }
    Some(is_second)
}

fn mean<'a>(pieces: impl Iterator<Item = &'a Piece>) -> Piece {
    let (mut sum, mut count) = ([0.0; VALUES], 0.0_f32);
    for piece in pieces {
        sum.iter_mut().zip(piece).for_each(|(sum, value)| *sum += value);
        count += 1.0;
    }
    sum.map(|sum| sum / count.max(1.0))
}

/// Root mean square of the differences.
fn distance(one: &Piece, other: &Piece) -> f32 {
    (one.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f32>() / VALUES as f32).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speech(tilt: f32, f0_hz: f32, frames: usize) -> Vec<VoicedFrame> {
        let frame = |n: usize| VoicedFrame {
            shape: std::array::from_fn(|band| {
                -4.0 + tilt * (band as f32 / 20.0).sin() + 2.0 * ((n / 9 * 7 + band) as f32 * 0.7).sin()
            }),
            f0_hz: f0_hz * (1.0 + 0.1 * (n as f32 * 0.02).sin()),
            phone: 1 + n / 9 % 30,
        };
        (0..frames).map(frame).collect()
    }

    #[test]
    fn two_different_speakers_lie_farther_apart_than_one_and_himself() {
        let one = Speakers::compare(&speech(1.0, 120.0, 4_000)).expect("enough");
        let both = [speech(1.0, 120.0, 2_000), speech(-1.0, 210.0, 1_000)].concat();
        let two = Speakers::compare(&both).expect("enough");
        assert!(two.distance > 4.0 * one.distance, "{one:?} {two:?}");
        assert!((two.minority - 0.33).abs() < 0.05, "{two:?}");
    }

    #[test]
    fn short_and_constant_recordings_say_nothing() {
        assert_eq!(Speakers::compare(&speech(1.0, 120.0, 600)), None);
        let frame = VoicedFrame { shape: [0.0; ENV_BANDS], f0_hz: 100.0, phone: 0 };
        assert_eq!(Speakers::compare(&vec![frame; 3_000]), None);
    }
}
