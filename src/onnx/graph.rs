//! One loaded graph, shared by all who run it, and the tensors of one user of it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use ort::memory::Allocator;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{IoBinding, RunOptions, Session};
use ort::value::{Outlet, Tensor, TensorElementType, ValueType};
use sha2::{Digest as _, Sha256};

use super::watchdog::{Stopwatch, Watched, watch};
use super::{GraphError, Runtime};
use crate::dsp::denormals::DenormalMode;

/// A run of one frame takes about a millisecond; a thousand times as long means that it will not end.
const RUN_LIMIT: Duration = Duration::from_secs(2);

/// One input or output that the caller expects of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port<'a> {
    /// Its name in the graph.
    pub name: &'a str,
    /// Its shape; `None` accepts any whose sizes are all fixed.
    pub shape: Option<&'a [usize]>,
}

/// How a graph is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Longest run; what takes longer is stopped.
    pub run_limit: Duration,
    /// Threads of one run, the caller's included.
    pub threads: usize,
}

/// A window of 11 s through a large network takes about as long on a slow processor.
const LARGE_RUN_LIMIT: Duration = Duration::from_secs(60);

/// Beyond this many threads the layers are too small to be shared out.
const MAX_THREADS: usize = 8;

impl Settings {
    /// For networks that have seconds to chew on: all processors, up to `MAX_THREADS`.
    pub fn large() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MAX_THREADS);
        Self { run_limit: LARGE_RUN_LIMIT, threads }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self { run_limit: RUN_LIMIT, threads: 1 }
    }
}

/// One input or output as a graph declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Its name.
    pub name: String,
    /// Whether its elements are 32-bit floats.
    pub is_f32: bool,
    /// Its sizes; `None` where the graph leaves one open.
    pub shape: Vec<Option<usize>>,
}

/// A loaded graph. All users in the process share one session, and so one copy of the weights; runs take turns.
pub struct Graph {
    name: &'static str,
    /// The session, lent to one run at a time; `None` while lent.
    session: Mutex<Option<Session>>,
    returned: Condvar,
    /// Lets the watchdog end a run. One object for all runs, since they take turns.
    options: RunOptions,
    stopwatch: Stopwatch,
    run_limit: Duration,
}

impl Graph {
    /// Opens the graph in `bytes`, or joins those who already use the same bytes.
    ///
    /// # Errors
    /// [`GraphError::Load`] when the runtime refuses it.
    /// [worker-thread]
    pub fn open(runtime: &Runtime, name: &'static str, bytes: &[u8]) -> Result<Arc<Self>, GraphError> {
        Self::open_with_limit(runtime, name, bytes, RUN_LIMIT)
    }

    /// [`Graph::open`] with another limit on the duration of a run; who joins takes over the limit of the first.
    ///
    /// # Errors
    /// As [`Graph::open`].
    /// [worker-thread]
    pub fn open_with_limit(
        runtime: &Runtime,
        name: &'static str,
        bytes: &[u8],
        run_limit: Duration,
    ) -> Result<Arc<Self>, GraphError> {
        let settings = Settings { run_limit, ..Settings::default() };
        Self::open_built(runtime, name, Sha256::digest(bytes).into(), settings, || Ok(Cow::Borrowed(bytes)))
    }

    /// Opens the graph that `build` makes, or joins those who already use the graph with this key, without building.
    ///
    /// The key must stand for the bytes: a hash of them or of all that they are made from. Who joins takes over the
    /// settings of the first.
    ///
    /// # Errors
    /// [`GraphError::Load`] when the runtime refuses it, and what `build` says.
    /// [worker-thread]
    pub fn open_built<'b>(
        runtime: &Runtime,
        name: &'static str,
        key: [u8; 32],
        settings: Settings,
        build: impl FnOnce() -> Result<Cow<'b, [u8]>, GraphError>,
    ) -> Result<Arc<Self>, GraphError> {
        static OPEN: OnceLock<Mutex<HashMap<[u8; 32], Weak<Graph>>>> = OnceLock::new();
        let mut open = OPEN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(graph) = open.get(&key).and_then(Weak::upgrade) {
            return Ok(graph);
        }
        let refused = |error: ort::Error| GraphError::Load { graph: name, reason: error.to_string() };
        let run_limit = settings.run_limit;
        let session = session(runtime, &build()?, settings.threads).map_err(refused)?;
        let graph = Arc::new(Self {
            name,
            session: Mutex::new(Some(session)),
            returned: Condvar::new(),
            options: RunOptions::new().map_err(refused)?,
            stopwatch: Stopwatch::new(),
            run_limit,
        });
        watch(Arc::downgrade(&graph), run_limit / 4);
        open.retain(|_, other| other.strong_count() > 0);
        open.insert(key, Arc::downgrade(&graph));
        Ok(graph)
    }

    /// Name of the graph in messages.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Value of a metadata key of the file; `None` without it.
    ///
    /// # Errors
    /// [`GraphError::TimedOut`] while a run does not end.
    pub fn metadata(&self, key: &str) -> Result<Option<String>, GraphError> {
        self.lend(|session| session.metadata().ok().and_then(|metadata| metadata.custom(key)))
    }

    /// Inputs and outputs as the graph declares them.
    ///
    /// # Errors
    /// [`GraphError::TimedOut`] while a run does not end.
    pub fn ports(&self) -> Result<[Vec<Declared>; 2], GraphError> {
        self.lend(|session| [session.inputs(), session.outputs()].map(|list| list.iter().map(declared).collect()))
    }

    /// Checks the graph against the expected ports and prepares the tensors of one user, all zero.
    ///
    /// # Errors
    /// [`GraphError::Contract`] when names, element types or shapes differ, or other inputs exist.
    /// [worker-thread]
    pub fn call(self: &Arc<Self>, inputs: &[Port<'_>], outputs: &[Port<'_>]) -> Result<GraphCall, GraphError> {
        let unfit = |reason| GraphError::Contract { graph: self.name, reason };
        self.lend(|session| {
            let input_shapes = fit("input", inputs, session.inputs()).map_err(unfit)?;
            let output_shapes = fit("output", outputs, session.outputs()).map_err(unfit)?;
            let unbound = |error: ort::Error| unfit(error.to_string());
            let mut binding = session.create_binding().map_err(unbound)?;
            let allocator = Allocator::default();
            let zeros = |shape: &[usize]| {
                let mut tensor = Tensor::<f32>::new(&allocator, shape.to_vec()).map_err(unbound)?;
                tensor.extract_tensor_mut().1.fill(0.0);
                Ok(tensor)
            };
            // Tensors from `Tensor::new` are bound without a copy: writing into them between runs is what a run sees.
            let mut input_tensors = Vec::with_capacity(inputs.len());
            for (port, shape) in inputs.iter().zip(&input_shapes) {
                let tensor = zeros(shape)?;
                binding.bind_input(port.name, &tensor).map_err(unbound)?;
                input_tensors.push(tensor);
            }
            let mut output_tensors = Vec::with_capacity(outputs.len());
            for (port, shape) in outputs.iter().zip(&output_shapes) {
                let mut tensor = zeros(shape)?;
                binding.bind_output(port.name, &mut tensor).map_err(unbound)?;
                output_tensors.push(tensor);
            }
            Ok(GraphCall { graph: Arc::clone(self), binding, inputs: input_tensors, outputs: output_tensors })
        })?
    }

    /// Runs `work` with the session, after those who came before.
    ///
    /// The session is taken out of its mutex, so that waiting for it can be given up.
    fn lend<T>(&self, work: impl FnOnce(&mut Session) -> T) -> Result<T, GraphError> {
        /// Puts the session back, also when `work` unwinds.
        struct Loan<'g>(&'g Graph, Option<Session>);
        impl Drop for Loan<'_> {
            fn drop(&mut self) {
                *self.0.session.lock().unwrap_or_else(PoisonError::into_inner) = self.1.take();
                self.0.returned.notify_one();
            }
        }

        let timed_out = || GraphError::TimedOut { graph: self.name, limit_ms: self.limit_ms() };
        let slot = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut slot, _) = self
            .returned
            .wait_timeout_while(slot, self.run_limit * 2, |slot| slot.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        let mut loan = Loan(self, Some(slot.take().ok_or_else(timed_out)?));
        drop(slot);
        loan.1.as_mut().map(work).ok_or_else(timed_out)
    }

    /// Runs `work`, one run of the session, under the watchdog's eyes.
    pub(super) fn timed<T>(
        &self,
        work: impl FnOnce(&mut Session, &RunOptions) -> Result<T, GraphError>,
    ) -> Result<T, GraphError> {
        self.lend(|session| {
            self.stopwatch.start();
            let result = work(session, &self.options);
            let was_stopped = self.stopwatch.is_over(self.run_limit);
            self.stopwatch.stop();
            // Whatever the watchdog did, the next run starts free.
            let _ = self.options.unterminate();
            result.map_err(|error| match was_stopped {
                true => GraphError::TimedOut { graph: self.name, limit_ms: self.limit_ms() },
                false => error,
            })
        })?
    }

    fn limit_ms(&self) -> u64 {
        u64::try_from(self.run_limit.as_millis()).unwrap_or(u64::MAX)
    }
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Watched for Graph {
    fn check(&self) {
        if self.stopwatch.is_over(self.run_limit) {
            // Takes effect at the next node of the graph; the run then returns an error.
            let _ = self.options.terminate();
        }
    }
}

/// One user's inputs, outputs and binding of a [`Graph`]. Running it allocates no tensors.
#[derive(Debug)]
pub struct GraphCall {
    graph: Arc<Graph>,
    binding: IoBinding,
    inputs: Vec<Tensor<f32>>,
    outputs: Vec<Tensor<f32>>,
}

impl GraphCall {
    /// Values of input `index` (order of the ports), to be written before a run; kept from run to run.
    pub fn input_mut(&mut self, index: usize) -> &mut [f32] {
        self.inputs[index].extract_tensor_mut().1
    }

    /// Values of output `index` after the last run that succeeded.
    pub fn output(&self, index: usize) -> &[f32] {
        self.outputs[index].extract_tensor().1
    }

    /// Copies output `from` to input `to`: the way of a state from one run to the next.
    ///
    /// # Panics
    /// When the lengths differ; check them after [`Graph::call`].
    pub fn feed_back(&mut self, from: usize, to: usize) {
        let Self { inputs, outputs, .. } = self;
        inputs[to].extract_tensor_mut().1.copy_from_slice(outputs[from].extract_tensor().1);
    }

    /// Name of the graph in messages.
    pub fn graph(&self) -> &'static str {
        self.graph.name
    }

    /// Runs the graph once on the calling thread. Inputs stay as they are, whether it succeeds or not.
    ///
    /// # Errors
    /// [`GraphError::Run`] with the runtime's words; [`GraphError::TimedOut`] when the run was stopped or another
    /// user's run does not end.
    /// [worker-thread]
    pub fn run(&mut self) -> Result<(), GraphError> {
        let Self { graph, binding, .. } = self;
        let graph: &Graph = graph;
        graph.timed(|session, options| {
            let result = session.run_binding_with_options(binding, options).map(drop);
            result.map_err(|error| GraphError::Run { graph: graph.name, reason: error.to_string() })
        })
    }
}

fn declared(outlet: &Outlet) -> Declared {
    let (is_f32, shape) = match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => (*ty == TensorElementType::Float32, &shape[..]),
        _ => (false, [].as_slice()),
    };
    let shape = shape.iter().map(|&size| usize::try_from(size).ok()).collect();
    Declared { name: outlet.name().to_owned(), is_f32, shape }
}

/// A session whose threads sleep when there is nothing to do; with one thread it is the caller's.
fn session(runtime: &Runtime, bytes: &[u8], threads: usize) -> ort::Result<Session> {
    // The runtime sets the first session's choice on the thread that builds it, which may be the host's.
    let _restore = DenormalMode::keep();
    Session::builder(runtime.environment())?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_flush_to_zero()?
        .with_log_level(ort::logging::LogLevel::Fatal)?
        .commit_from_memory(bytes)
}

/// Compares the graph's ports with the expected ones and gives each expected port its full shape.
fn fit(kind: &str, expected: &[Port<'_>], found: &[Outlet]) -> Result<Vec<Vec<usize>>, String> {
    if let Some(extra) = found.iter().find(|outlet| expected.iter().all(|port| port.name != outlet.name())) {
        return Err(format!("it has an {kind} `{}` that is not known here", extra.name()));
    }
    expected.iter().map(|port| fit_port(kind, port, found)).collect()
}

fn fit_port(kind: &str, port: &Port<'_>, found: &[Outlet]) -> Result<Vec<usize>, String> {
    let outlet = found.iter().find(|outlet| outlet.name() == port.name);
    let outlet = outlet.ok_or_else(|| format!("it has no {kind} `{}`", port.name))?;
    let ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } = outlet.dtype() else {
        return Err(format!("{kind} `{}` is {}, not a tensor of f32", port.name, outlet.dtype()));
    };
    let Some(expected) = port.shape else {
        let fixed: Result<Vec<usize>, _> = shape.iter().map(|&size| usize::try_from(size)).collect();
        return fixed.map_err(|_| format!("{kind} `{}` has the shape {:?}, which is not fixed", port.name, &shape[..]));
    };
    // A size that the graph leaves open (-1) takes the expected value.
    let fits =
        |(&found, &expected): (&i64, &usize)| usize::try_from(found).is_ok_and(|found| found == expected) || found < 0;
    if shape.len() == expected.len() && shape.iter().zip(expected).all(fits) {
        Ok(expected.to_vec())
    } else {
        Err(format!("{kind} `{}` has the shape {:?}, not {expected:?}", port.name, &shape[..]))
    }
}
