//! A VST3 host for one rendering: it loads the binary, asks its factory, and calls it as the format says.

use std::ffi::c_void;
use std::path::Path;

use libloading::Library;
use nice_plug::wrapper::vst3::vst3::Steinberg::Vst::*;
use nice_plug::wrapper::vst3::vst3::Steinberg::*;
use nice_plug::wrapper::vst3::vst3::{ComPtr, Interface as _};

/// Begins the use of the binary.
///
/// # Safety
/// The library is a VST3 plugin.
unsafe fn begin(library: &Library) -> bool {
    // SAFETY: the functions have these signatures on these systems. The plugin does not look at the library's handle.
    unsafe {
        #[cfg(windows)]
        return library.get::<unsafe extern "system" fn() -> bool>(b"InitDll").expect("it begins")();
        #[cfg(not(windows))]
        library.get::<unsafe extern "C" fn(*mut c_void) -> bool>(b"ModuleEntry").expect("it begins")(
            std::ptr::null_mut(),
        )
    }
}

/// Ends it.
///
/// # Safety
/// As [`begin`], and nothing of the plugin is used any more.
unsafe fn end(library: &Library) -> bool {
    let name: &[u8] = if cfg!(windows) { b"ExitDll" } else { b"ModuleExit" };
    // SAFETY: the function has this signature.
    unsafe { library.get::<unsafe extern "system" fn() -> bool>(name).expect("it ends")() }
}

/// Renders one channel, offline, from a new instance; returns the latency too.
pub fn render(file: &Path, rate: u32, input: &[f32], block: usize) -> (u32, Vec<f32>) {
    // SAFETY: a plugin of ours; the functions have the signatures of the format, and the calls follow its workflow with
    // pointers to live objects. What was created is gone before the binary's use ends.
    unsafe {
        let library = Library::new(file).expect("a library");
        assert!(begin(&library), "the binary does not begin");
        let factory =
            library.get::<unsafe extern "system" fn() -> *mut c_void>(b"GetPluginFactory").expect("a factory");
        let result = through(&ComPtr::from_raw(factory().cast()).expect("a factory"), rate, input, block);
        assert!(end(&library), "the binary does not end");
        result
    }
}

/// # Safety
/// The factory is that of a binary whose use has begun.
unsafe fn through(factory: &ComPtr<IPluginFactory>, rate: u32, input: &[f32], block: usize) -> (u32, Vec<f32>) {
    // SAFETY: as the caller promises; all pointers are to live objects of this function.
    unsafe {
        let mut info = std::mem::zeroed::<PClassInfo>();
        assert_eq!(factory.getClassInfo(0, &mut info), kResultOk);
        let (mut object, id) = (std::ptr::null_mut(), IComponent::IID);
        assert_eq!(factory.createInstance(info.cid.as_ptr(), id.as_ptr().cast(), &mut object), kResultOk);
        let component = ComPtr::<IComponent>::from_raw(object.cast()).expect("a component");
        assert_eq!(component.initialize(std::ptr::null_mut()), kResultOk);
        let processor = component.cast::<IAudioProcessor>().expect("a processor");
        let mut mono = [SpeakerArr::kMono; 2];
        let (ins, outs) = mono.split_at_mut(1);
        assert_eq!(processor.setBusArrangements(ins.as_mut_ptr(), 1, outs.as_mut_ptr(), 1), kResultOk);
        let mut setup = ProcessSetup {
            processMode: ProcessModes_::kOffline as int32,
            symbolicSampleSize: SymbolicSampleSizes_::kSample32 as int32,
            maxSamplesPerBlock: block as int32,
            sampleRate: f64::from(rate),
        };
        assert_eq!(processor.setupProcessing(&mut setup), kResultOk);
        assert_eq!(component.setActive(1), kResultOk);
        processor.setProcessing(1);
        let latency = processor.getLatencySamples();
        let mut output = Vec::with_capacity(input.len());
        for part in input.chunks(block) {
            let (mut heard, mut said) = (part.to_vec(), vec![0.0_f32; part.len()]);
            let (mut ins, mut outs) = ([heard.as_mut_ptr()], [said.as_mut_ptr()]);
            let bus = |channels: &mut [*mut f32; 1]| AudioBusBuffers {
                numChannels: 1,
                silenceFlags: 0,
                __field0: AudioBusBuffers__type0 { channelBuffers32: channels.as_mut_ptr() },
            };
            let (mut from, mut to) = (bus(&mut ins), bus(&mut outs));
            let mut data = ProcessData {
                processMode: ProcessModes_::kOffline as int32,
                symbolicSampleSize: SymbolicSampleSizes_::kSample32 as int32,
                numSamples: part.len() as int32,
                numInputs: 1,
                numOutputs: 1,
                inputs: &mut from,
                outputs: &mut to,
                inputParameterChanges: std::ptr::null_mut(),
                outputParameterChanges: std::ptr::null_mut(),
                inputEvents: std::ptr::null_mut(),
                outputEvents: std::ptr::null_mut(),
                processContext: std::ptr::null_mut(),
            };
            assert_eq!(processor.process(&mut data), kResultOk);
            output.extend(said);
        }
        processor.setProcessing(0);
        component.setActive(0);
        component.terminate();
        (latency, output)
    }
}
