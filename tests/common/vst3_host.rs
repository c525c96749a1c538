//! A VST3 host in the test's own process: it drives the real plugin through the real factory.
#![allow(dead_code, missing_docs, reason = "each test file uses its own part")]

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nice_plug::wrapper::vst3::vst3::Steinberg::Vst::*;
use nice_plug::wrapper::vst3::vst3::Steinberg::*;
use nice_plug::wrapper::vst3::vst3::{Class, ComPtr, ComWrapper, Interface};

use coffre as _;

unsafe extern "system" {
    /// Exported by the plugin for hosts; here the linker finds it.
    fn GetPluginFactory() -> *mut c_void;
}

pub const BLOCK: usize = 256;

/// What the plugin asked of its host.
#[derive(Clone, Default)]
pub struct Handler(pub Arc<AtomicUsize>);

impl Class for Handler {
    type Interfaces = (IComponentHandler,);
}

impl IComponentHandlerTrait for Handler {
    unsafe fn beginEdit(&self, _: ParamID) -> tresult {
        kResultOk
    }
    unsafe fn performEdit(&self, _: ParamID, _: ParamValue) -> tresult {
        kResultOk
    }
    unsafe fn endEdit(&self, _: ParamID) -> tresult {
        kResultOk
    }
    unsafe fn restartComponent(&self, flags: int32) -> tresult {
        if flags == RestartFlags_::kLatencyChanged as int32 {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        kResultOk
    }
}

/// The changes of one block: a point at its start for every parameter.
pub struct Changes(Vec<ComPtr<IParamValueQueue>>);

impl Class for Changes {
    type Interfaces = (IParameterChanges,);
}

impl IParameterChangesTrait for Changes {
    unsafe fn getParameterCount(&self) -> int32 {
        self.0.len() as int32
    }
    unsafe fn getParameterData(&self, index: int32) -> *mut IParamValueQueue {
        self.0.get(index as usize).map_or(std::ptr::null_mut(), ComPtr::as_ptr)
    }
    unsafe fn addParameterData(&self, _: *const ParamID, _: *mut int32) -> *mut IParamValueQueue {
        std::ptr::null_mut()
    }
}

struct Point(ParamID, ParamValue);

impl Class for Point {
    type Interfaces = (IParamValueQueue,);
}

impl IParamValueQueueTrait for Point {
    unsafe fn getParameterId(&self) -> ParamID {
        self.0
    }
    unsafe fn getPointCount(&self) -> int32 {
        1
    }
    unsafe fn getPoint(&self, _: int32, offset: *mut int32, value: *mut ParamValue) -> tresult {
        // SAFETY: the plugin's own places.
        unsafe {
            offset.write(0);
            value.write(self.1);
        }
        kResultOk
    }
    unsafe fn addPoint(&self, _: int32, _: ParamValue, _: *mut int32) -> tresult {
        kResultFalse
    }
}

pub fn changes(values: &[(ParamID, f64)]) -> ComPtr<IParameterChanges> {
    let point = |&(id, value)| ComWrapper::new(Point(id, value)).to_com_ptr().expect("it has this interface");
    ComWrapper::new(Changes(values.iter().map(point).collect())).to_com_ptr().expect("it has this interface")
}

/// An instance, active at 48 kHz with blocks of [`BLOCK`]. Its methods may be called from the threads that the API gives
/// them to.
pub struct Plugin {
    pub component: ComPtr<IComponent>,
    pub processor: ComPtr<IAudioProcessor>,
    pub controller: ComPtr<IEditController>,
    pub handler: Handler,
}

impl Plugin {
    pub fn new() -> Self {
        // SAFETY: the calls follow the order of the VST3 workflow, with pointers to live objects.
        unsafe {
            let factory = ComPtr::<IPluginFactory>::from_raw(GetPluginFactory().cast()).expect("a factory");
            let mut info = std::mem::zeroed::<PClassInfo>();
            assert_eq!(factory.getClassInfo(0, &mut info), kResultOk);
            let mut object = std::ptr::null_mut();
            let id = IComponent::IID;
            assert_eq!(factory.createInstance(info.cid.as_ptr(), id.as_ptr().cast(), &mut object), kResultOk);
            let component = ComPtr::<IComponent>::from_raw(object.cast()).expect("a component");
            assert_eq!(component.initialize(std::ptr::null_mut()), kResultOk);
            let processor = component.cast::<IAudioProcessor>().expect("a processor");
            let controller = component.cast::<IEditController>().expect("a controller");
            let handler = Handler::default();
            let told =
                ComWrapper::new(handler.clone()).to_com_ptr::<IComponentHandler>().expect("it has this interface");
            assert_eq!(controller.setComponentHandler(told.as_ptr()), kResultOk);
            let plugin = Self { component, processor, controller, handler };
            plugin.activate();
            plugin
        }
    }

    pub fn activate(&self) {
        let mut setup = ProcessSetup {
            processMode: ProcessModes_::kRealtime as int32,
            symbolicSampleSize: SymbolicSampleSizes_::kSample32 as int32,
            maxSamplesPerBlock: BLOCK as int32,
            sampleRate: 48_000.0,
        };
        // SAFETY: as in `new`.
        unsafe {
            self.component.setActive(0);
            assert_eq!(self.processor.setupProcessing(&mut setup), kResultOk);
            assert_eq!(self.component.setActive(1), kResultOk);
            self.processor.setProcessing(1);
        }
    }

    pub fn parameter(&self, name: &str) -> ParamID {
        // SAFETY: the place is valid for writes and integers may be zero.
        unsafe {
            for index in 0..self.controller.getParameterCount() {
                let mut info = std::mem::zeroed::<ParameterInfo>();
                assert_eq!(self.controller.getParameterInfo(index, &mut info), kResultOk);
                let title: Vec<u16> = info.title.iter().copied().take_while(|&c| c != 0).collect();
                if String::from_utf16_lossy(&title) == name {
                    return info.id;
                }
            }
        }
        panic!("no parameter is called {name}");
    }

    /// Reported latency in samples.
    pub fn latency(&self) -> u32 {
        // SAFETY: a live object.
        unsafe { self.processor.getLatencySamples() }
    }

    /// A new view of the editor.
    pub fn view(&self) -> ComPtr<IPlugView> {
        // SAFETY: a live object; the pointer that comes back is counted for its receiver.
        unsafe { ComPtr::from_raw(self.controller.createView(c"editor".as_ptr())) }.expect("a view")
    }

    /// Plays a block of silence, with changes at its start.
    pub fn play(&self, values: &[(ParamID, f64)]) {
        let changes = changes(values);
        let mut samples = [[0.0_f32; BLOCK]; 4];
        let mut channels = samples.each_mut().map(|channel| channel.as_mut_ptr());
        let (inputs, outputs) = channels.split_at_mut(2);
        let bus = |channels: &mut [*mut f32]| AudioBusBuffers {
            numChannels: 2,
            silenceFlags: 0,
            __field0: AudioBusBuffers__type0 { channelBuffers32: channels.as_mut_ptr() },
        };
        let (mut input, mut output) = (bus(inputs), bus(outputs));
        let mut data = ProcessData {
            processMode: ProcessModes_::kRealtime as int32,
            symbolicSampleSize: SymbolicSampleSizes_::kSample32 as int32,
            numSamples: BLOCK as int32,
            numInputs: 1,
            numOutputs: 1,
            inputs: &mut input,
            outputs: &mut output,
            inputParameterChanges: changes.as_ptr(),
            outputParameterChanges: std::ptr::null_mut(),
            inputEvents: std::ptr::null_mut(),
            outputEvents: std::ptr::null_mut(),
            processContext: std::ptr::null_mut(),
        };
        // SAFETY: all pointers are to live objects of this function.
        assert_eq!(unsafe { self.processor.process(&mut data) }, kResultOk);
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        // SAFETY: as in `new`.
        unsafe {
            self.processor.setProcessing(0);
            self.component.setActive(0);
            self.controller.setComponentHandler(std::ptr::null_mut());
            self.component.terminate();
        }
    }
}
