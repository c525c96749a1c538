//! Chooses one candidate per frame, or none, so that the track is smooth: dynamic programming over time.

use super::F0Frame;
use super::candidates::{Candidates, MAX_CANDIDATES, PREVIEW_FRAMES};

/// States of a frame: unvoiced, the candidates, and out of sight.
const STATES: usize = MAX_CANDIDATES + 2;

// Costs are negative logarithms of probabilities; these were settled on the sounds that the judge learned from.

/// Extra cost of unvoiced frames: a voice that is taken for noise stays at the singer's pitch and is heard as an octave
/// error, while noise that is taken for a voice is hardly heard.
const UNVOICED: f32 = 1.0;

/// Cost of a change between voiced and unvoiced.
const VOICING_CHANGE: f32 = 3.0;

/// Cost of going on unseen: a voice too low for a preview.
const HIDDEN: f32 = 0.5;

/// Cost per octave of F0 change between neighbouring frames, and its bound.
const GLIDE_PER_OCTAVE: f32 = 8.0;
const GLIDE_MAX: f32 = 8.0;

/// What is known about one frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct Observation {
    /// Possible periods.
    pub candidates: Candidates,
    /// What it costs that none of them is F0, see [`judge`](super::judge::judge).
    pub unvoiced: f32,
    /// Probability of being voiced, in `0.0..=1.0`: handed on.
    pub voicing: f32,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    frame: F0Frame,
    log2_f0: f32,
    /// Cost of the best path that ends here.
    cost: f32,
    /// State of the frame before on that path.
    from: u8,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    states: [State; STATES],
    len: usize,
}

/// The running dynamic programme; decides `lag` frames after a frame came.
#[derive(Debug)]
pub struct Track {
    /// The newest `lag + 1` columns, as a ring.
    columns: Box<[Column]>,
    newest: usize,
}

const START: Column = Column {
    states: [State { frame: F0Frame { f0_hz: 0.0, voicing: 0.0 }, log2_f0: 0.0, cost: 0.0, from: 0 }; STATES],
    len: 1,
};

impl Track {
    /// A track that begins unvoiced.
    pub fn new(lag: usize) -> Self {
        Self { columns: vec![START; lag + 1].into_boxed_slice(), newest: 0 }
    }

    /// Begins again.
    pub fn reset(&mut self) {
        self.columns.fill(START);
        self.newest = 0;
    }

    /// Adds a frame and returns the one that came `lag` frames before. `previews` are the next frames as far as they
    /// can be seen; they count for this decision and are forgotten.
    pub fn push(&mut self, frame: &Observation, previews: &[Observation]) -> F0Frame {
        let column = Column::after(&self.columns[self.newest], frame);
        self.newest = (self.newest + 1) % self.columns.len();
        self.columns[self.newest] = column;
        let mut ahead = [START; PREVIEW_FRAMES + 1];
        ahead[0] = column;
        let previews = &previews[..previews.len().min(PREVIEW_FRAMES)];
        for (index, preview) in previews.iter().enumerate() {
            ahead[index + 1] = Column::after(&ahead[index], preview);
        }
        let mut state = ahead[previews.len()].cheapest();
        for column in ahead[1..=previews.len()].iter().rev() {
            state = usize::from(column.states[state].from);
        }
        self.decided(state)
    }

    /// Follows the path that ends in a state of the newest column back to the oldest frame that is kept.
    fn decided(&self, mut state: usize) -> F0Frame {
        let mut position = self.newest;
        for _ in 0..self.columns.len() - 1 {
            state = usize::from(self.columns[position].states[state].from);
            position = (position + self.columns.len() - 1) % self.columns.len();
        }
        self.columns[position].states[state].frame
    }
}

impl Column {
    /// The column of a frame that follows another.
    fn after(before: &Column, observation: &Observation) -> Self {
        let Observation { candidates, unvoiced, voicing } = observation;
        let voicing = *voicing;
        let mut column = START;
        column.states[0].frame.voicing = voicing;
        column.states[0].cost = *unvoiced + UNVOICED;
        for candidate in candidates.as_slice() {
            column.states[column.len] = State {
                frame: F0Frame { f0_hz: candidate.f0_hz, voicing },
                log2_f0: candidate.f0_hz.log2(),
                cost: candidate.cost,
                from: 0,
            };
            column.len += 1;
        }
        let visible = column.len;
        let previous = &before.states[..before.len];
        for state in &mut column.states[..visible] {
            let cost_from = |from: &State| from.cost + change_cost(from, state);
            let (index, cost) = cheapest(previous.iter().map(cost_from));
            state.cost += cost;
            state.from = index as u8;
        }
        // A voice that is too low to be visible in a preview continues as it was.
        let hidden = |from: &State| from.frame.f0_hz > 0.0 && from.frame.f0_hz < candidates.lowest_hz;
        let cost_from = |from: &State| if hidden(from) { from.cost + HIDDEN } else { f32::INFINITY };
        let (index, cost) = cheapest(previous.iter().map(cost_from));
        if cost.is_finite() {
            column.states[visible] = State { cost, from: index as u8, ..previous[index] };
            column.len += 1;
        }
        let (_, least) = cheapest(column.states[..column.len].iter().map(|state| state.cost));
        column.states.iter_mut().for_each(|state| state.cost -= least);
        column
    }

    fn cheapest(&self) -> usize {
        cheapest(self.states[..self.len].iter().map(|state| state.cost)).0
    }
}

/// Index and value of the least cost; the first of equals.
fn cheapest(costs: impl Iterator<Item = f32>) -> (usize, f32) {
    costs.enumerate().fold((0, f32::INFINITY), |best, item| if item.1 < best.1 { item } else { best })
}

fn change_cost(from: &State, to: &State) -> f32 {
    match (from.frame.f0_hz > 0.0, to.frame.f0_hz > 0.0) {
        (true, true) => (GLIDE_PER_OCTAVE * (from.log2_f0 - to.log2_f0).abs()).min(GLIDE_MAX),
        (false, false) => 0.0,
        _ => VOICING_CHANGE,
    }
}

#[cfg(test)]
mod tests {
    use super::super::candidates::Candidate;
    use super::*;

    /// A frame with candidates of these probabilities.
    fn observe(list: &[(f32, f32)]) -> Observation {
        let mut candidates = Candidates::default();
        for &(f0_hz, probability) in list {
            candidates.offer(Candidate { f0_hz, cost: -probability.ln(), ..Candidate::default() });
        }
        let none = 1.0 - list.iter().map(|(_, probability)| probability).sum::<f32>();
        Observation { candidates, unvoiced: -none.max(1e-3).ln(), voicing: 1.0 - none }
    }

    #[test]
    fn frames_that_prefer_the_octave_do_not_break_the_track() {
        let mut track = Track::new(0);
        for frame in 0..20 {
            let odd = frame == 10 || frame == 11;
            let list = [(200.0, if odd { 0.1 } else { 0.9 }), (100.0, if odd { 0.85 } else { 0.05 })];
            assert_eq!(track.push(&observe(&list), &[]).f0_hz, 200.0, "frame {frame}");
        }
    }

    #[test]
    fn hindsight_corrects_a_wrong_beginning() {
        // The first two frames look like 100 Hz, the rest is 200 Hz.
        let at = |frame: usize| {
            let early = frame < 2;
            observe(&[(100.0, if early { 0.6 } else { 0.01 }), (200.0, if early { 0.3 } else { 0.95 })])
        };
        let mut live = Track::new(0);
        assert_eq!(live.push(&observe(&[]), &[]).f0_hz, 0.0);
        assert_eq!(live.push(&at(0), &[at(0), at(0)]).f0_hz, 100.0);
        let mut preview = Track::new(0);
        preview.push(&observe(&[]), &[]);
        assert_eq!(preview.push(&at(1), &[at(2), at(3)]).f0_hz, 200.0);
        let mut mix = Track::new(5);
        let frames: Vec<f32> = (0..12).map(|frame| mix.push(&at(frame), &[]).f0_hz).collect();
        assert_eq!(frames[..5], [0.0; 5]);
        assert_eq!(frames[5..], [200.0; 7]);
    }

    #[test]
    fn frames_without_candidates_are_unvoiced() {
        let mut track = Track::new(0);
        track.push(&observe(&[(200.0, 0.95)]), &[]);
        track.push(&observe(&[]), &[]);
        let frame = track.push(&observe(&[]), &[]);
        assert_eq!((frame.f0_hz, frame.voicing), (0.0, 0.0));
    }

    #[test]
    fn a_low_voice_goes_on_where_a_preview_cannot_see_it() {
        let mut track = Track::new(0);
        let low = observe(&[(80.0, 0.9), (240.0, 0.08)]);
        let mut blind = observe(&[(240.0, 0.7)]);
        blind.candidates.lowest_hz = 107.0;
        for _ in 0..5 {
            assert_eq!(track.push(&low, &[blind, blind]).f0_hz, 80.0);
        }
    }
}
