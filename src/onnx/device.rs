//! What runs large graphs: the processor, or another device by way of one of the runtime's providers.
//!
//! The processor unless the user chose otherwise: by [`VARIABLE`], or in the editor, which is remembered for the
//! computer elsewhere. Nothing here fails: what cannot run on the chosen device runs on the
//! processor, and the reason is kept to be shown. How a device is reached is the matter of `provider`. Called from
//! worker threads and the command line.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use super::kinds::KINDS;
use super::{Graph, GraphError, LooseInput, Runtime, Settings, graph, provider};

/// Environment variable that names the device by its [`Device::word`].
pub const VARIABLE: &str = "COFFRE_DEVICE";

/// A kind of device. What is known of each is a row of one table, in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Device {
    /// The processor.
    Cpu,
    /// A graphics card of any maker.
    WebGpu,
    /// Apple's graphics.
    CoreMl,
    /// A graphics card of NVIDIA, with the user's own CUDA.
    Cuda,
}

impl Device {
    /// All kinds that there are on any system.
    pub fn all() -> impl Iterator<Item = Self> {
        KINDS.iter().map(|kind| kind.device)
    }

    /// The kinds that this system may have, for a list to choose from.
    pub fn offered() -> impl Iterator<Item = Self> {
        KINDS.iter().filter(|kind| kind.is_here).map(|kind| kind.device)
    }

    /// What it is called in [`VARIABLE`].
    pub fn word(self) -> &'static str {
        self.kind().word
    }

    /// What it is called in front of people.
    pub fn title(self) -> &'static str {
        self.kind().title
    }

    /// The kind that a word names, in any case of its letters.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::all().find(|device| device.word().eq_ignore_ascii_case(word.trim()))
    }
}

/// What [`choose`] was told: place in the table plus one; 0 = nothing.
static CHOSEN: AtomicU8 = AtomicU8::new(0);

/// What [`remember`] was told, in the same way.
static REMEMBERED: AtomicU8 = AtomicU8::new(0);

/// Grows with each choice.
static VERSION: AtomicU32 = AtomicU32::new(0);

/// Why the processor runs what was meant for another device.
static TROUBLE: Mutex<Option<String>> = Mutex::new(None);

/// Chooses the device for graphs that are opened from now on, whatever else was said; `None` leaves it to [`VARIABLE`].
pub fn choose(device: Option<Device>) {
    set(&CHOSEN, device);
}

/// Says what serves where [`VARIABLE`] says nothing: what was chosen on this computer. For graphs that are opened from
/// now on.
pub fn remember(device: Option<Device>) {
    set(&REMEMBERED, device);
}

/// Changes with each [`choose`] and [`remember`]: graphs that are open by then still run where they did.
pub fn version() -> u32 {
    VERSION.load(Ordering::Relaxed)
}

fn set(place: &AtomicU8, device: Option<Device>) {
    place.store(device.map_or(0, |device| device as u8 + 1), Ordering::Relaxed);
    *TROUBLE.lock().unwrap_or_else(PoisonError::into_inner) = None;
    VERSION.fetch_add(1, Ordering::Relaxed);
}

fn get(place: &AtomicU8) -> Option<Device> {
    usize::from(place.load(Ordering::Relaxed)).checked_sub(1).and_then(|index| Device::all().nth(index))
}

/// Whether [`VARIABLE`] decides, so that what is remembered does not count.
pub fn is_fixed() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|word| !word.to_string_lossy().trim().is_empty())
}

/// The device that large graphs are meant for.
pub fn chosen() -> Device {
    if let Some(device) = get(&CHOSEN) {
        return device;
    }
    if !is_fixed() {
        return get(&REMEMBERED).unwrap_or(Device::Cpu);
    }
    let word = std::env::var_os(VARIABLE).unwrap_or_default().to_string_lossy().into_owned();
    Device::from_word(&word).unwrap_or_else(|| {
        let known = Device::all().map(Device::word).collect::<Vec<_>>().join(", ");
        set_trouble(format!("{VARIABLE} says `{word}`, and only these are known: {known}"));
        Device::Cpu
    })
}

/// Why the processor runs what was meant for another device; `None` = everything runs where it was meant to.
pub fn trouble() -> Option<String> {
    TROUBLE.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

pub(super) fn set_trouble(reason: String) {
    *TROUBLE.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
}

/// The chosen device if it can be had and did a trial's work, else the processor; [`trouble`] says why then.
pub fn usable(runtime: &Runtime) -> Device {
    let device = chosen();
    match provider::ready(runtime, device) {
        Ok(()) => device,
        Err(reason) => {
            set_trouble(reason);
            Device::Cpu
        }
    }
}

/// Runs a small graph where large ones would run, and says where that was.
///
/// # Errors
/// [`GraphError`] when it does not run on the processor either.
/// [worker-thread]
pub fn probe(runtime: &Runtime) -> Result<Device, GraphError> {
    let bytes = provider::trial_graph();
    let graph = Graph::open_built(runtime, "probe", [0x9d; 32], Settings::large(), || Ok(bytes.into()))?;
    let [input, _] = provider::TRIAL_PORTS;
    graph.run_loose(&[LooseInput { name: input, shape: &provider::TRIAL_SHAPE, values: &[1.0; 64] }])?;
    Ok(graph.device())
}

/// What really runs the large graphs that are open, in plain words; `None` while none is.
pub fn running() -> Option<String> {
    in_words(&graph::large_in_use())
}

/// Of each graph: where it is, and whether all of it is there.
fn in_words(graphs: &[(Device, bool)]) -> Option<String> {
    let (first, _) = graphs.first()?;
    let other = graphs.iter().map(|(device, _)| *device).find(|device| *device != Device::Cpu);
    let is_whole = graphs.iter().all(|(device, is_whole)| Some(*device) == other && *is_whole);
    Some(match other {
        None => first.title().to_owned(),
        Some(other) if is_whole => other.title().to_owned(),
        Some(other) => partly(other),
    })
}

/// What a device is called that does not do all of the work.
pub fn partly(device: Device) -> String {
    format!("{}, in part the CPU", device.title())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_devices_and_the_table_is_in_their_order() {
        for (index, device) in Device::all().enumerate() {
            assert_eq!(Device::from_word(&device.word().to_uppercase()), Some(device));
            assert_eq!(device as usize, index);
        }
        assert_eq!(Device::from_word("abacus"), None);
        assert_eq!(Device::from_word(" CUDA\n"), Some(Device::Cuda));
        assert_eq!(Device::offered().any(|device| device == Device::CoreMl), cfg!(target_os = "macos"));
        assert_eq!(Device::offered().any(|device| device == Device::Cuda), !cfg!(target_os = "macos"));
    }

    #[test]
    fn a_device_that_does_not_do_all_of_the_work_is_not_said_to() {
        let said = |graphs: &[(Device, bool)]| in_words(graphs).unwrap_or_default();
        assert_eq!(said(&[]), "");
        assert_eq!(said(&[(Device::Cpu, true), (Device::Cpu, true)]), "CPU");
        assert_eq!(said(&[(Device::Cuda, true), (Device::Cuda, true)]), "NVIDIA graphics card (CUDA)");
        for graphs in [[(Device::Cuda, true), (Device::Cpu, true)], [(Device::Cuda, false), (Device::Cuda, true)]] {
            assert_eq!(said(&graphs), "NVIDIA graphics card (CUDA), in part the CPU");
        }
    }
}
