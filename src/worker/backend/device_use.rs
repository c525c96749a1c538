//! Which device runs RVC voices, for the editor: the one chosen on this computer, and the one really in use. Runs on the
//! loader's thread.

use crate::bridge::{DeviceChoice, DeviceKind};
use crate::onnx::Runtime;
use crate::onnx::device::{self, Device};
use crate::settings::{self, Settings};

/// The device of one instance's RVC voices.
#[derive(Debug, Default)]
pub(super) struct DeviceUse {
    /// The settings of this computer, once they were read.
    settings: Option<Settings>,
    /// What a trial showed last, and of which choice.
    tried: Option<(u32, Device)>,
    /// Why the last choice could not be kept; empty when it was.
    trouble: String,
}

impl DeviceUse {
    /// Takes a choice, keeps it for this computer, and tries it.
    pub(super) fn choose(&mut self, word: &str) {
        let Some(device) = Device::from_word(word) else { return };
        self.trouble = settings::choose_device(device).err().unwrap_or_default();
        self.settings = Some(Settings { device: Some(device), note: String::new() });
        self.tried = None;
        if let Ok(runtime) = Runtime::get()
            && let Ok(device) = device::probe(runtime)
        {
            self.tried = Some((device::version(), device));
        }
    }

    /// What to show. `is_rvc`: RVC voices run now.
    pub(super) fn tell(&mut self, is_rvc: bool) -> DeviceChoice {
        // The first time, before anything is opened: another instance may have chosen since the process began.
        let settings = self.settings.get_or_insert_with(settings::applied);
        let chosen = device::chosen();
        let version = device::version();
        let tried = self.tried.filter(|(of, _)| *of == version).map(|(_, device)| device);
        let used = || is_rvc.then(|| Runtime::get().map_or(Device::Cpu, device::usable)).or(tried);
        let note = if self.trouble.is_empty() { &settings.note } else { &self.trouble };
        DeviceChoice {
            kinds: Device::offered()
                .map(|kind| DeviceKind { word: kind.word().into(), title: kind.title().into() })
                .collect(),
            chosen: chosen.word().to_owned(),
            runs_on: is_rvc
                .then(device::running)
                .flatten()
                .unwrap_or_else(|| runs_on(used(), device::trouble().is_some())),
            reason: device::trouble().unwrap_or_default(),
            fixed_by: if device::is_fixed() { device::VARIABLE.to_owned() } else { String::new() },
            note: note.clone(),
        }
    }
}

/// What would run, in plain words, while no graph says it; after a failure a device is not said to do all.
fn runs_on(device: Option<Device>, has_trouble: bool) -> String {
    match device {
        None => String::new(),
        Some(device) if has_trouble && device != Device::Cpu => device::partly(device),
        Some(device) => device.title().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_never_said_better_than_it_is() {
        assert_eq!(runs_on(None, true), "");
        assert_eq!(runs_on(Some(Device::Cpu), true), "CPU");
        assert_eq!(runs_on(Some(Device::WebGpu), false), "graphics card (WebGPU)");
        assert_eq!(runs_on(Some(Device::WebGpu), true), "graphics card (WebGPU), in part the CPU");
        assert_eq!(runs_on(Some(Device::Cuda), true), "NVIDIA graphics card (CUDA), in part the CPU");
    }
}
