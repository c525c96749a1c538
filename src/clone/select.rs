//! Which frames of the recordings go into the bank.

use super::FeatureFrame;

/// Frames quieter than the median voiced frame by more than this (30 dB, natural-log power) are pauses. Weak
/// fricatives lie 20 to 28 dB below vowels.
const ACTIVE_RANGE: f32 = 7.0;

/// Largest share of unvoiced frames in a bank that has to leave frames out.
const UNVOICED_SHARE: f32 = 0.35;

/// Loudness above which a frame is voice.
pub(super) fn activity_threshold(takes: &[Vec<FeatureFrame>]) -> f32 {
    let mut voiced: Vec<f32> = takes.iter().flatten().filter(|f| f.is_voiced()).map(|f| f.loudness).collect();
    voiced.sort_by(f32::total_cmp);
    voiced.get(voiced.len() / 2).map_or(f32::INFINITY, |median| median - ACTIVE_RANGE)
}

/// Chooses at most `budget` active frames, spread evenly over the recordings, as `(take, frame)` in time order.
pub(super) fn bank_frames(takes: &[Vec<FeatureFrame>], threshold: f32, budget: usize) -> Vec<(usize, usize)> {
    let of_class = |is_voiced: bool| -> Vec<(usize, usize)> {
        let place = |(take, frames): (usize, &Vec<FeatureFrame>)| -> Vec<(usize, usize)> {
            let wanted = |frame: &FeatureFrame| frame.loudness > threshold && frame.is_voiced() == is_voiced;
            (0..frames.len()).filter(|&at| wanted(&frames[at])).map(|at| (take, at)).collect()
        };
        takes.iter().enumerate().flat_map(place).collect()
    };
    let (voiced, unvoiced) = (of_class(true), of_class(false));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
    let unvoiced_budget = ((budget as f32 * UNVOICED_SHARE) as usize).max(budget.saturating_sub(voiced.len()));
    let unvoiced = thin(&unvoiced, unvoiced_budget);
    let voiced = thin(&voiced, budget.saturating_sub(unvoiced.len()));
    let mut chosen = [voiced, unvoiced].concat();
    chosen.sort_unstable();
    chosen
}

/// Keeps `budget` elements at even distances.
fn thin(places: &[(usize, usize)], budget: usize) -> Vec<(usize, usize)> {
    if places.len() <= budget {
        return places.to_vec();
    }
    (0..budget).map(|n| places[n * places.len() / budget]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(voiced: usize, unvoiced: usize, quiet: usize) -> Vec<FeatureFrame> {
        let frame = |f0_hz: f32, loudness: f32| FeatureFrame { f0_hz, loudness, envelope: [0.0; 86], key: None };
        let parts =
            [vec![frame(150.0, -3.0); voiced], vec![frame(0.0, -6.0); unvoiced], vec![frame(0.0, -15.0); quiet]];
        parts.concat()
    }

    #[test]
    fn pauses_stay_out_and_the_budget_is_kept() {
        let takes = [take(600, 300, 200), take(400, 200, 100)];
        let threshold = activity_threshold(&takes);
        for budget in [100, 900, 5_000] {
            let chosen = bank_frames(&takes, threshold, budget);
            assert_eq!(chosen.len(), budget.min(1_500));
            assert!(chosen.is_sorted());
            assert!(chosen.iter().all(|&(take, at)| takes[take][at].loudness > -10.0));
            let unvoiced = chosen.iter().filter(|&&(take, at)| !takes[take][at].is_voiced()).count();
            assert!(unvoiced as f32 <= 0.36 * chosen.len() as f32, "{unvoiced}");
        }
        assert!(bank_frames(&[take(0, 50, 50)], activity_threshold(&[take(0, 50, 50)]), 10).is_empty());
    }
}
