//! Chooses one candidate per frame, or none, so that the track is smooth: dynamic programming over time.

use super::F0Frame;
use super::candidates::{Candidates, MAX_CANDIDATES};

/// States of a frame: unvoiced and the candidates.
const STATES: usize = MAX_CANDIDATES + 1;

/// Correlation at which voiced and unvoiced are equally dear.
const VOICED_CORRELATION: f32 = 0.55;

/// Cost of a change between voiced and unvoiced.
const VOICING_CHANGE: f32 = 0.08;

/// Cost per octave of F0 change between neighbouring frames, and its bound.
const GLIDE_PER_OCTAVE: f32 = 0.5;
const GLIDE_MAX: f32 = 0.35;

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
    /// The newest `lag + 1` columns as a ring.
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
        // One column more than needed for the answer: the predecessor of the oldest is still being read.
        Self { columns: vec![START; lag + 2].into_boxed_slice(), newest: 0 }
    }

    /// Begins again.
    pub fn reset(&mut self) {
        self.columns.fill(START);
        self.newest = 0;
    }

    /// Adds a frame and returns the one that came `lag` frames before.
    pub fn push(&mut self, candidates: &Candidates) -> F0Frame {
        let before = self.columns[self.newest];
        self.newest = (self.newest + 1) % self.columns.len();
        let column = &mut self.columns[self.newest];
        let voicing = candidates.as_slice().iter().map(|c| c.correlation).fold(0.0, f32::max);
        let best_merit = candidates.as_slice().iter().map(|c| c.merit).fold(0.0, f32::max);
        column.len = 1 + candidates.as_slice().len();
        column.states[0] = State {
            frame: F0Frame { f0_hz: 0.0, voicing },
            cost: 1.0 - VOICED_CORRELATION + (best_merit - VOICED_CORRELATION).max(0.0),
            ..State::default()
        };
        for (state, candidate) in column.states[1..].iter_mut().zip(candidates.as_slice()) {
            *state = State {
                frame: F0Frame { f0_hz: candidate.f0_hz, voicing: candidate.correlation },
                log2_f0: candidate.f0_hz.log2(),
                cost: 1.0 - candidate.merit,
                from: 0,
            };
        }
        let mut cheapest = f32::INFINITY;
        for state in &mut column.states[..column.len] {
            let mut best = (f32::INFINITY, 0);
            for (index, previous) in before.states[..before.len].iter().enumerate() {
                let cost = previous.cost + change_cost(previous, state);
                if cost < best.0 {
                    best = (cost, index);
                }
            }
            state.cost += best.0;
            state.from = best.1 as u8;
            cheapest = cheapest.min(state.cost);
        }
        column.states.iter_mut().for_each(|state| state.cost -= cheapest);
        self.decided()
    }

    /// Follows the best path back to the oldest frame that is kept.
    fn decided(&self) -> F0Frame {
        let newest = &self.columns[self.newest];
        let mut index = (0..newest.len).min_by(|&a, &b| newest.states[a].cost.total_cmp(&newest.states[b].cost));
        let mut position = self.newest;
        for _ in 0..self.columns.len() - 2 {
            index = index.map(|index| usize::from(self.columns[position].states[index].from));
            position = (position + self.columns.len() - 1) % self.columns.len();
        }
        index.map_or(F0Frame::default(), |index| self.columns[position].states[index].frame)
    }
}

fn change_cost(from: &State, to: &State) -> f32 {
    match (from.frame.f0_hz > 0.0, to.frame.f0_hz > 0.0) {
        (true, true) => (GLIDE_PER_OCTAVE * (from.log2_f0 - to.log2_f0).abs()).min(GLIDE_MAX),
        (false, false) => 0.0,
        _ => VOICING_CHANGE,
    }
}
