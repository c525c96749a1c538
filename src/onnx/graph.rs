//! One loaded graph, shared by all who run it, and the tensors of one user of it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use ort::memory::Allocator;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{IoBinding, RunOptions, Session};
use ort::value::{Outlet, Tensor, TensorElementType, ValueType};
use sha2::{Digest as _, Sha256};

use super::device::{self, Device};
use super::queue::QUEUE;
use super::watchdog::{STILL, Stopwatch, Watched, watch};
use super::{GraphError, Runtime, provider};
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
    /// Longest run, as the watchdog counts it (computing time, on a busy computer); what takes longer is stopped.
    pub run_limit: Duration,
    /// Threads of one run, the caller's included.
    pub threads: usize,
    /// Whether it runs on the chosen device, one run of the process at a time, rather than on its caller's thread.
    pub is_large: bool,
}

/// A window of 11 s through a large network takes about as long on a slow processor.
const LARGE_RUN_LIMIT: Duration = Duration::from_secs(60);

/// Beyond this many threads the layers are too small to be shared out.
const MAX_THREADS: usize = 8;

impl Settings {
    /// For networks that have seconds to chew on: all processors, up to `MAX_THREADS`.
    pub fn large() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(MAX_THREADS);
        Self { run_limit: LARGE_RUN_LIMIT, threads, is_large: true }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self { run_limit: RUN_LIMIT, threads: 1, is_large: false }
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

/// Graphs that this process has loaded so far.
static LOADED: AtomicUsize = AtomicUsize::new(0);

/// The large graphs, for [`large_in_use`].
static LARGE: Mutex<Vec<Weak<Graph>>> = Mutex::new(Vec::new());

/// The large graphs that were opened or joined since a device was last chosen: where each is, and whether all of it is
/// there.
pub(super) fn large_in_use() -> Vec<(Device, bool)> {
    let graphs = LARGE.lock().unwrap_or_else(PoisonError::into_inner);
    let live = graphs.iter().filter_map(Weak::upgrade);
    let current = live.filter(|graph| graph.chosen.load(Ordering::Relaxed) == device::version());
    current.map(|graph| graph.place()).collect()
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
    settings: Settings,
    /// While the session is on a device that can be lost.
    spare: Mutex<Option<Spare>>,
    /// [`device::version`] when it was last opened or joined.
    chosen: AtomicU32,
    /// Sessions that were lost; who is bound to an older one binds anew.
    losses: AtomicUsize,
}

/// What is needed to do without a device.
struct Spare {
    device: Device,
    /// Whether all of the graph is there.
    is_whole: bool,
    /// The file.
    bytes: Vec<u8>,
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
        type Open = HashMap<([u8; 32], Device), Weak<Graph>>;
        static OPEN: OnceLock<Mutex<Open>> = OnceLock::new();
        let mut open = OPEN.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = if settings.is_large { device::usable(runtime) } else { Device::Cpu };
        let key = (key, wanted);
        if let Some(graph) = open.get(&key).and_then(Weak::upgrade) {
            graph.chosen.store(device::version(), Ordering::Relaxed);
            return Ok(graph);
        }
        let refused = |error: ort::Error| GraphError::Load { graph: name, reason: error.to_string() };
        let bytes = build()?;
        let (session, is_whole, device) = match provider::open(runtime, &bytes, settings.threads, wanted) {
            Ok((session, is_whole)) => (session, is_whole, wanted),
            Err(error) if wanted != Device::Cpu => {
                let reason = provider::reason(wanted, &error.to_string());
                device::set_trouble(format!("the graph `{name}` cannot be loaded on the {}: {reason}", wanted.title()));
                (session(runtime, &bytes, settings.threads, Device::Cpu, false).map_err(refused)?, true, Device::Cpu)
            }
            Err(error) => return Err(refused(error)),
        };
        let spare = || Spare { device, is_whole, bytes: bytes.into_owned() };
        let graph = Arc::new(Self {
            name,
            session: Mutex::new(Some(session)),
            returned: Condvar::new(),
            options: RunOptions::new().map_err(refused)?,
            stopwatch: Stopwatch::new(),
            settings,
            spare: Mutex::new((device != Device::Cpu).then(spare)),
            chosen: AtomicU32::new(device::version()),
            losses: AtomicUsize::new(0),
        });
        LOADED.fetch_add(1, Ordering::Relaxed);
        watch(Arc::downgrade(&graph), settings.run_limit / 4);
        if settings.is_large {
            let mut large = LARGE.lock().unwrap_or_else(PoisonError::into_inner);
            large.retain(|other| other.strong_count() > 0);
            large.push(Arc::downgrade(&graph));
        }
        open.retain(|_, other| other.strong_count() > 0);
        open.insert(key, Arc::downgrade(&graph));
        Ok(graph)
    }

    /// Where it runs.
    pub fn device(&self) -> Device {
        self.place().0
    }

    /// Where it runs, and whether all of it does.
    fn place(&self) -> (Device, bool) {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        spare.as_ref().map_or((Device::Cpu, true), |spare| (spare.device, spare.is_whole))
    }

    /// How many graphs this process has loaded so far; who joins the users of a loaded one does not count.
    pub fn loaded_count() -> usize {
        LOADED.load(Ordering::Relaxed)
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
            let allocator = Allocator::default();
            let zeros = |shape: &[usize]| {
                let mut tensor = Tensor::<f32>::new(&allocator, shape.to_vec()).map_err(unbound)?;
                tensor.extract_tensor_mut().1.fill(0.0);
                Ok(tensor)
            };
            let named = |ports: &[Port<'_>], shapes: &[Vec<usize>]| {
                let pairs = ports.iter().zip(shapes);
                pairs.map(|(port, shape)| Ok((port.name.to_owned(), zeros(shape)?))).collect::<Result<Tensors, _>>()
            };
            let (inputs, outputs) = (named(inputs, &input_shapes)?, named(outputs, &output_shapes)?);
            GraphCall::bound(self, session, inputs, outputs).map_err(unbound)
        })?
    }

    /// Prepares the tensors of one user of a graph that others made, who wants one output and knows its shape.
    ///
    /// # Errors
    /// [`GraphError::Contract`] when there are no such ports of 32-bit floats, or other inputs.
    /// [worker-thread]
    pub fn call_for(
        self: &Arc<Self>,
        input: (&str, &[usize]),
        output: (&str, &[usize]),
    ) -> Result<GraphCall, GraphError> {
        let unfit = |reason: String| GraphError::Contract { graph: self.name, reason };
        let [inputs, outputs] = self.ports()?;
        let is_f32 = |ports: &[Declared], name: &str| ports.iter().any(|port| port.name == name && port.is_f32);
        if inputs.len() != 1 || !is_f32(&inputs, input.0) || !is_f32(&outputs, output.0) {
            return Err(unfit("its ports are not of 32-bit floats".to_owned()));
        }
        self.lend(|session| {
            let unbound = |error: ort::Error| unfit(error.to_string());
            let allocator = Allocator::default();
            let tensor = |(name, shape): (&str, &[usize])| {
                let mut tensor = Tensor::<f32>::new(&allocator, shape.to_vec()).map_err(unbound)?;
                tensor.extract_tensor_mut().1.fill(0.0);
                Ok((name.to_owned(), tensor))
            };
            GraphCall::bound(self, session, vec![tensor(input)?], vec![tensor(output)?]).map_err(unbound)
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
            .wait_timeout_while(slot, self.patience(), |slot| slot.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        let mut loan = Loan(self, Some(slot.take().ok_or_else(timed_out)?));
        drop(slot);
        loan.1.as_mut().map(work).ok_or_else(timed_out)
    }

    /// Runs `work`, one run of the session, under the watchdog's eyes. When it fails on a device that can be lost, the
    /// graph moves to the processor and `work` is done again there.
    pub(super) fn timed<T>(
        &self,
        mut work: impl FnMut(&mut Session, &RunOptions) -> Result<T, GraphError>,
    ) -> Result<T, GraphError> {
        let timed_out = || GraphError::TimedOut { graph: self.name, limit_ms: self.limit_ms() };
        let _turn = match self.settings.is_large {
            true => Some(QUEUE.enter(self.patience()).ok_or_else(timed_out)?),
            false => None,
        };
        self.lend(|session| {
            let mut once = |session: &mut Session| {
                self.stopwatch.start();
                let result = work(session, &self.options);
                let was_stopped = self.stopwatch.is_over(self.settings.run_limit);
                self.stopwatch.stop();
                // Whatever the watchdog did, the next run starts free.
                let _ = self.options.unterminate();
                result.map_err(|error| if was_stopped { timed_out() } else { error })
            };
            match once(session) {
                Err(error) if self.leave_device(session, &error) => once(session),
                result => result,
            }
        })?
    }

    /// Moves the session from its device to the processor; `false` when it is there already or cannot be moved.
    fn leave_device(&self, session: &mut Session, error: &GraphError) -> bool {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Spare { device, bytes, .. }) = spare.as_ref() else { return false };
        let (device, threads) = (*device, self.settings.threads);
        let anew = |runtime| self::session(runtime, bytes, threads, Device::Cpu, false).ok();
        let Some(new) = Runtime::get().ok().and_then(anew) else { return false };
        *session = new;
        *spare = None;
        self.losses.fetch_add(1, Ordering::Relaxed);
        let reason = provider::reason(device, &error.to_string());
        device::set_trouble(format!("the {} failed: {reason}", device.title()));
        true
    }

    /// Longest wait for another run: its watchdog ends it before that.
    fn patience(&self) -> Duration {
        self.settings.run_limit * (STILL + 2)
    }

    fn limit_ms(&self) -> u64 {
        u64::try_from(self.settings.run_limit.as_millis()).unwrap_or(u64::MAX)
    }
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Watched for Graph {
    fn check(&self) {
        if self.stopwatch.is_over(self.settings.run_limit) {
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
    /// What [`Graph::losses`] was when it was bound.
    losses: usize,
    inputs: Tensors,
    outputs: Tensors,
}

/// Tensors by name.
type Tensors = Vec<(String, Tensor<f32>)>;

/// Binds tensors to a session. Those from `Tensor::new` are bound without a copy: writing into them between runs is what
/// a run sees.
fn bind(session: &Session, inputs: &Tensors, outputs: &mut Tensors) -> ort::Result<IoBinding> {
    let mut binding = session.create_binding()?;
    for (name, tensor) in inputs {
        binding.bind_input(name.as_str(), tensor)?;
    }
    for (name, tensor) in outputs {
        binding.bind_output(name.as_str(), tensor)?;
    }
    Ok(binding)
}

impl GraphCall {
    fn bound(graph: &Arc<Graph>, session: &Session, inputs: Tensors, mut outputs: Tensors) -> ort::Result<Self> {
        let binding = bind(session, &inputs, &mut outputs)?;
        let losses = graph.losses.load(Ordering::Relaxed);
        Ok(Self { graph: Arc::clone(graph), binding, losses, inputs, outputs })
    }

    /// Values of input `index` (order of the ports), to be written before a run; kept from run to run.
    pub fn input_mut(&mut self, index: usize) -> &mut [f32] {
        self.inputs[index].1.extract_tensor_mut().1
    }

    /// Values of output `index` after the last run that succeeded.
    pub fn output(&self, index: usize) -> &[f32] {
        self.outputs[index].1.extract_tensor().1
    }

    /// Copies output `from` to input `to`: the way of a state from one run to the next.
    ///
    /// # Panics
    /// When the lengths differ; check them after [`Graph::call`].
    pub fn feed_back(&mut self, from: usize, to: usize) {
        let Self { inputs, outputs, .. } = self;
        inputs[to].1.extract_tensor_mut().1.copy_from_slice(outputs[from].1.extract_tensor().1);
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
        let Self { graph, binding, losses, inputs, outputs } = self;
        let graph: &Graph = graph;
        graph.timed(|session, options| {
            let failed = |error: ort::Error| GraphError::Run { graph: graph.name, reason: error.to_string() };
            let now = graph.losses.load(Ordering::Relaxed);
            // Binding for another device copies the inputs there, so that what was written since is not seen.
            if *losses != now || graph.device() != Device::Cpu {
                *binding = bind(session, inputs, outputs).map_err(failed)?;
                *losses = now;
            }
            let result = session.run_binding_with_options(binding, options).map(drop);
            result.map_err(failed)
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

/// Whether the runtime's fast 8-bit products saturate on this processor: on x86 without VNNI. It has slower ones that do
/// not.
fn saturates_in_8_bits() -> bool {
    #[cfg(target_arch = "x86_64")]
    let is_exact = is_x86_feature_detected!("avx512vnni") || is_x86_feature_detected!("avxvnni");
    #[cfg(not(target_arch = "x86_64"))]
    let is_exact = true;
    !is_exact
}

/// A session whose threads sleep when there is nothing to do; with one thread it is the caller's. `is_whole`: it is an
/// error when the device cannot take all of the graph, rather than the processor's to do the rest.
pub(super) fn session(
    runtime: &Runtime,
    bytes: &[u8],
    threads: usize,
    device: Device,
    is_whole: bool,
) -> ort::Result<Session> {
    // The runtime sets the first session's choice on the thread that builds it, which may be the host's.
    let _restore = DenormalMode::keep();
    let mut builder = Session::builder(runtime.environment())?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(threads)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_flush_to_zero()?
        .with_config_entry("session.x64quantprecision", if saturates_in_8_bits() { "1" } else { "0" })?
        .with_log_level(ort::logging::LogLevel::Fatal)?;
    builder = provider::add(builder, runtime, device)?;
    if is_whole && device != Device::Cpu {
        builder = builder.with_disable_cpu_fallback()?;
    }
    builder.commit_from_memory(bytes)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::model::{Dim, GraphWriter};

    #[test]
    fn a_lost_device_moves_the_graph_to_the_processor_and_calls_bind_anew() {
        let runtime = Runtime::get().expect("ONNX Runtime is installed (`cargo xtask setup`)");
        let mut writer = GraphWriter::new();
        let x = writer.input("x", &[Dim::Fixed(2)]);
        let y = writer.node("Add", &[&x, &x], &[]);
        writer.output(&y, "y", &[Dim::Fixed(2)]);
        let bytes = writer.finish("lost", &[]);
        let graph = Graph::open(runtime, "lost", &bytes).expect("it loads");
        let port = |name| Port { name, shape: None };
        let mut call = graph.call(&[port("x")], &[port("y")]).expect("it fits");
        call.input_mut(0).copy_from_slice(&[1.0, 2.0]);
        let lose = |times: usize| {
            let mut left = times;
            graph.timed(|_, _| match left {
                0 => Ok(()),
                _ => {
                    left -= 1;
                    Err(GraphError::Run { graph: "lost", reason: "device lost".to_owned() })
                }
            })
        };
        assert!(lose(1).is_err(), "on the processor a failure is a failure");
        for (losses, device) in Device::all().skip(1).enumerate() {
            // As if the session were on the device.
            *graph.spare.lock().expect("no panic") = Some(Spare { device, is_whole: true, bytes: bytes.clone() });
            assert_eq!(graph.device(), device);
            assert!(lose(1).is_ok(), "done again on the processor");
            assert_eq!(graph.device(), Device::Cpu);
            let said = device::trouble().expect("a reason");
            assert!(said.starts_with(&format!("the {} failed: ", device.title())), "{said}");
            assert!(said.contains("device lost"), "{said}");
            call.run().expect("it runs");
            assert_eq!((call.output(0), call.losses), (&[2.0, 4.0][..], losses + 1));
        }
    }
}
