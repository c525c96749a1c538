//! The last seconds of source and output F0, one point per hop. Fixed size; knows nothing of drawing.

/// Points kept: ten seconds of 10 ms hops.
pub const TRACE_LEN: usize = 1000;

/// Share of the voiced values that may lie outside the shown range, on either side.
const OUTLIERS: f32 = 0.02;

/// One hop's F0 in Hz; 0.0 = unvoiced.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PitchPoint {
    /// F0 of the source.
    pub source_hz: f32,
    /// F0 commanded for the output.
    pub output_hz: f32,
}

/// A ring of the latest [`TRACE_LEN`] hops.
#[derive(Clone, Debug)]
pub struct PitchTrace {
    points: Vec<PitchPoint>,
    /// Where the next point goes; the oldest point once the ring is full.
    next: usize,
}

impl Default for PitchTrace {
    fn default() -> Self {
        Self { points: Vec::with_capacity(TRACE_LEN), next: 0 }
    }
}

impl PitchTrace {
    /// Appends a hop. Values that are not finite or not in `20.0..=5000.0` count as unvoiced.
    pub fn push(&mut self, point: PitchPoint) {
        let clean = |hz: f32| if (20.0..=5000.0).contains(&hz) { hz } else { 0.0 };
        let point = PitchPoint { source_hz: clean(point.source_hz), output_hz: clean(point.output_hz) };
        if self.points.len() < TRACE_LEN {
            self.points.push(point);
        } else {
            self.points[self.next] = point;
        }
        self.next = (self.next + 1) % TRACE_LEN;
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.points.clear();
        self.next = 0;
    }

    /// Number of points, at most [`TRACE_LEN`].
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// The points from newest to oldest; the index is the age in hops.
    pub fn newest_first(&self) -> impl Iterator<Item = PitchPoint> + '_ {
        let len = self.points.len();
        (1..=len).map(move |age| self.points[(self.next + TRACE_LEN - age) % TRACE_LEN])
    }

    /// The newest voiced value of a curve within the last `hops` hops.
    pub fn latest_hz(&self, hops: usize, of: impl Fn(&PitchPoint) -> f32) -> Option<f32> {
        self.newest_first().take(hops).map(|point| of(&point)).find(|hz| *hz > 0.0)
    }

    /// Range of the voiced F0 of both curves, if any, without the outermost `OUTLIERS` on either side: a tracker's
    /// octave errors at the ends of words must not squeeze the melody.
    pub fn extent_hz(&self) -> Option<(f32, f32)> {
        let voiced = self.points.iter().flat_map(|point| [point.source_hz, point.output_hz]).filter(|hz| *hz > 0.0);
        let mut sorted: Vec<f32> = voiced.collect();
        sorted.sort_by(f32::total_cmp);
        let outside = (sorted.len() as f32 * OUTLIERS) as usize;
        Some((*sorted.get(outside)?, *sorted.get(sorted.len() - 1 - outside)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_comes_first_after_wrapping() {
        let mut trace = PitchTrace::default();
        for index in 0..TRACE_LEN + 3 {
            trace.push(PitchPoint { source_hz: 100.0 + index as f32, output_hz: 0.0 });
        }
        let newest: Vec<f32> = trace.newest_first().take(2).map(|point| point.source_hz).collect();
        assert_eq!(newest, [1102.0, 1101.0]);
        assert_eq!(trace.newest_first().count(), TRACE_LEN);
        assert_eq!(trace.newest_first().last().map(|point| point.source_hz), Some(103.0));
    }

    #[test]
    fn nonsense_counts_as_unvoiced() {
        let mut trace = PitchTrace::default();
        for hz in [f32::NAN, f32::INFINITY, -440.0, 1e9, 3.0] {
            trace.push(PitchPoint { source_hz: hz, output_hz: hz });
        }
        assert_eq!(trace.extent_hz(), None);
        assert_eq!(trace.latest_hz(100, |point| point.source_hz), None);
    }

    #[test]
    fn a_few_octave_errors_do_not_widen_the_range() {
        let mut trace = PitchTrace::default();
        for hop in 0..500 {
            let source_hz = if hop % 100 == 0 { 55.0 } else { 220.0 + (hop % 10) as f32 };
            trace.push(PitchPoint { source_hz, output_hz: 0.0 });
        }
        assert_eq!(trace.extent_hz(), Some((220.0, 229.0)));
    }

    #[test]
    fn latest_looks_back_only_so_far() {
        let mut trace = PitchTrace::default();
        trace.push(PitchPoint { source_hz: 220.0, output_hz: 440.0 });
        trace.push(PitchPoint::default());
        assert_eq!(trace.latest_hz(1, |point| point.source_hz), None);
        assert_eq!(trace.latest_hz(2, |point| point.output_hz), Some(440.0));
    }
}
