//! Which stages an engine has, by mode, and all of them as one.
//!
//! Another finisher in the place of the refiner is a folder with a `Stage<[f32]>` and two lines here. Whoever knows the
//! refiner by name besides fits adaptations to it (`clone::improve`).
//!
//! Runs on the engine's thread; allocates when it is put together.

use super::correct::Corrector;
use super::difference::Difference;
use super::refine::{RefineGraph, Refiner};
use super::stage::{Moment, Stage};
use crate::engine::Mode;
use crate::onnx::{GraphError, Runtime};

/// The stages of an engine, in the order in which they act.
#[derive(Debug, Default)]
pub struct Stages {
    /// Those that change what the map says. None of them may delay: the pitch of the frame is already on its way.
    pub shaping: Vec<Box<dyn Stage<Difference>>>,
    /// Those that change the sound.
    pub finishing: Vec<Box<dyn Stage<[f32]>>>,
}

impl Stages {
    /// The stages of a mode without their graphs: they change nothing, but the delay is the same.
    pub fn without_graphs(mode: Mode) -> Self {
        match mode {
            Mode::Live => Self::default().shaped_by(Corrector::new(None)),
            Mode::Mix => Self::default().finished_by(Refiner::new(None)),
        }
    }

    /// The stages of a mode with the graphs that ship inside the program.
    ///
    /// # Errors
    /// [`GraphError`] when the runtime refuses one of them.
    /// [worker-thread]
    pub fn open(runtime: &Runtime, mode: Mode) -> Result<Self, GraphError> {
        Ok(match mode {
            Mode::Live => Self::default().shaped_by(Corrector::new(Some(Corrector::shipped(runtime)?))),
            Mode::Mix => Self::default().finished_by(Refiner::new(Some(RefineGraph::shipped(runtime)?))),
        })
    }

    /// With one more stage that changes what the map says.
    pub fn shaped_by(mut self, stage: impl Stage<Difference> + 'static) -> Self {
        self.shaping.push(Box::new(stage));
        self
    }

    /// With one more stage that changes the sound.
    pub fn finished_by(mut self, stage: impl Stage<[f32]> + 'static) -> Self {
        self.finishing.push(Box::new(stage));
        self
    }

    /// Lets the stages before the sound change what the map says.
    pub fn shape(&mut self, moment: &Moment<'_>, difference: &mut Difference) {
        self.shaping.iter_mut().for_each(|stage| stage.process(moment, difference));
    }

    /// Lets the stages behind the sound change a hop of it.
    pub fn finish(&mut self, moment: &Moment<'_>, hop: &mut [f32]) {
        let mut moment = *moment;
        for stage in &mut self.finishing {
            stage.process(&moment, hop);
            moment.behind_hops += stage.delay_hops();
        }
    }

    /// Hops from the sound that is made to the sound that comes out.
    pub fn delay_hops(&self) -> usize {
        self.finishing.iter().map(|stage| stage.delay_hops()).sum()
    }

    /// Hops after that until it is silent.
    pub fn tail_hops(&self) -> usize {
        self.finishing.iter().map(|stage| stage.tail_hops()).sum()
    }

    /// The first failure.
    pub fn failure(&self) -> Option<&GraphError> {
        let shaping = self.shaping.iter().find_map(|stage| stage.failure());
        shaping.or_else(|| self.finishing.iter().find_map(|stage| stage.failure()))
    }

    /// Forgets the stream.
    pub fn reset(&mut self) {
        self.shaping.iter_mut().for_each(|stage| stage.reset());
        self.finishing.iter_mut().for_each(|stage| stage.reset());
    }
}
