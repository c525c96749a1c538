//! The CLAP side of the library: the entry, and the plugin that it creates.
//!
//! The plugin is the framework's behind a shell that forwards everything and keeps two things from it. A block before an
//! activation, for which the framework would end the host's process. And a start that is no jump: the framework resets at
//! every start, so a host that starts and stops around each block would never hear anything. Here the reset waits for the
//! next block, which tells whether it goes on where the last one ended. Runs on whatever thread the host calls from.
#![allow(missing_docs, reason = "the entry is a host's business")]

mod passage;

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap_sys::process::{CLAP_PROCESS_ERROR, clap_process, clap_process_status};
use nice_plug::wrapper::clap::{
    CLAP_PLUGIN_FACTORY_ID, CLAP_VERSION, PluginDescriptor, Wrapper, clap_host, clap_plugin, clap_plugin_descriptor,
    clap_plugin_entry, clap_plugin_factory,
};
use nice_plug::wrapper::setup_logger;

use super::Coffre;
use passage::Passage;

thread_local! {
    /// Whether the framework resets the plugin now only because it starts.
    static IS_STARTING: Cell<bool> = const { Cell::new(false) };
}

/// Whether a reset comes from a start: whether it is one is known with the next block. [audio-thread]
pub fn is_starting() -> bool {
    IS_STARTING.get()
}

/// What the host holds. The framework finds its own by `plugin_data`, the shell is found by its place: it begins with what
/// the host holds.
#[repr(C)]
struct Shell {
    plugin: clap_plugin,
    inner: clap_plugin,
    is_active: AtomicBool,
    passage: Passage,
}

impl Shell {
    /// Leaked until the host destroys it.
    ///
    /// # Safety
    /// `host` is the host's and outlives the plugin.
    unsafe fn create(host: *const clap_host) -> *const clap_plugin {
        // The framework's count is given to the host, and taken back when it destroys the plugin.
        // SAFETY: as the caller says.
        let wrapper = std::sync::Arc::into_raw(unsafe { Wrapper::<Coffre>::new(host) });
        // SAFETY: counted just above. The table is copied and never changes afterwards.
        let inner = unsafe { *(*wrapper).clap_plugin.borrow() };
        let plugin = clap_plugin {
            destroy: Some(destroy),
            activate: Some(activate),
            deactivate: Some(deactivate),
            start_processing: Some(start_processing),
            stop_processing: Some(stop_processing),
            reset: Some(reset),
            process: Some(process),
            ..inner
        };
        let shell = Self { plugin, inner, is_active: AtomicBool::new(false), passage: Passage::new(Instant::now()) };
        Box::into_raw(Box::new(shell)).cast()
    }

    fn is_active(&self) -> bool {
        self.is_active.load(Ordering::Acquire)
    }
}

/// The shell of a plugin that the host holds.
///
/// # Safety
/// `plugin` came from [`Shell::create`] and was not destroyed.
unsafe fn shell<'a>(plugin: *const clap_plugin) -> Option<&'a Shell> {
    // SAFETY: the shell begins with what the host holds.
    unsafe { plugin.cast::<Shell>().as_ref() }
}

unsafe extern "C" fn destroy(plugin: *const clap_plugin) {
    if plugin.is_null() {
        return;
    }
    // SAFETY: the host's last call for this plugin, so that nobody holds the shell any more.
    let shell = unsafe { Box::from_raw(plugin.cast::<Shell>().cast_mut()) };
    if let Some(destroy) = shell.inner.destroy {
        // SAFETY: as CLAP says; the framework looks at `plugin_data` alone.
        unsafe { destroy(&shell.inner) };
    }
}

unsafe extern "C" fn activate(plugin: *const clap_plugin, rate: f64, shortest: u32, longest: u32) -> bool {
    // SAFETY: the host keeps CLAP's contract towards the shell, here and below.
    let Some(shell) = (unsafe { shell(plugin) }) else { return false };
    // SAFETY: as above.
    let is_active = shell.inner.activate.is_some_and(|activate| unsafe { activate(plugin, rate, shortest, longest) });
    shell.passage.begin();
    shell.is_active.store(is_active, Ordering::Release);
    is_active
}

unsafe extern "C" fn deactivate(plugin: *const clap_plugin) {
    // SAFETY: as above.
    let Some(shell) = (unsafe { shell(plugin) }) else { return };
    if shell.is_active.swap(false, Ordering::AcqRel)
        && let Some(deactivate) = shell.inner.deactivate
    {
        // SAFETY: as above.
        unsafe { deactivate(plugin) };
    }
}

unsafe extern "C" fn start_processing(plugin: *const clap_plugin) -> bool {
    // SAFETY: as above.
    let Some(shell) = (unsafe { shell(plugin) }) else { return false };
    if !shell.is_active() {
        return false;
    }
    shell.passage.start();
    IS_STARTING.set(true);
    // SAFETY: as above.
    let has_started = shell.inner.start_processing.is_some_and(|start| unsafe { start(plugin) });
    IS_STARTING.set(false);
    has_started
}

unsafe extern "C" fn stop_processing(plugin: *const clap_plugin) {
    // SAFETY: as above.
    let Some(shell) = (unsafe { shell(plugin) }) else { return };
    shell.passage.stop();
    if shell.is_active()
        && let Some(stop) = shell.inner.stop_processing
    {
        // SAFETY: as above.
        unsafe { stop(plugin) };
    }
}

unsafe extern "C" fn reset(plugin: *const clap_plugin) {
    // SAFETY: as above.
    let Some(shell) = (unsafe { shell(plugin) }) else { return };
    if shell.is_active()
        && let Some(reset) = shell.inner.reset
    {
        // SAFETY: as above.
        unsafe { reset(plugin) };
    }
}

unsafe extern "C" fn process(plugin: *const clap_plugin, block: *const clap_process) -> clap_process_status {
    // SAFETY: as above.
    let (Some(shell), Some(header)) = (unsafe { (shell(plugin), block.as_ref()) }) else { return CLAP_PROCESS_ERROR };
    if !shell.is_active() {
        return CLAP_PROCESS_ERROR;
    }
    if shell.passage.is_jump(header.steady_time, header.frames_count, Instant::now()) {
        // SAFETY: as above.
        unsafe { reset(plugin) };
    }
    // SAFETY: as above.
    let status = shell.inner.process.map_or(CLAP_PROCESS_ERROR, |process| unsafe { process(plugin, block) });
    shell.passage.end(Instant::now());
    status
}

fn descriptor() -> &'static PluginDescriptor {
    static DESCRIPTOR: OnceLock<PluginDescriptor> = OnceLock::new();
    DESCRIPTOR.get_or_init(PluginDescriptor::for_plugin::<Coffre>)
}

unsafe extern "C" fn count(_: *const clap_plugin_factory) -> u32 {
    1
}

unsafe extern "C" fn describe(_: *const clap_plugin_factory, index: u32) -> *const clap_plugin_descriptor {
    if index == 0 { descriptor().clap_plugin_descriptor() } else { std::ptr::null() }
}

unsafe extern "C" fn create(
    _: *const clap_plugin_factory,
    host: *const clap_host,
    id: *const c_char,
) -> *const clap_plugin {
    // SAFETY: null or a string of the host's that lives through this call.
    let is_ours = !id.is_null() && unsafe { CStr::from_ptr(id) } == descriptor().clap_id();
    // SAFETY: the host gives itself.
    if is_ours { unsafe { Shell::create(host) } } else { std::ptr::null() }
}

static FACTORY: clap_plugin_factory = clap_plugin_factory {
    get_plugin_count: Some(count),
    get_plugin_descriptor: Some(describe),
    create_plugin: Some(create),
};

extern "C" fn init(_path: *const c_char) -> bool {
    setup_logger::<Coffre>();
    true
}

extern "C" fn deinit() {}

extern "C" fn factory(id: *const c_char) -> *const c_void {
    // SAFETY: null or a string of the host's that lives through this call.
    let is_ours = !id.is_null() && unsafe { CStr::from_ptr(id) } == CLAP_PLUGIN_FACTORY_ID;
    if is_ours { (&raw const FACTORY).cast() } else { std::ptr::null() }
}

/// What CLAP hosts look for in the library.
// SAFETY: CLAP's name for exactly this, and nothing else in the library has it.
#[unsafe(no_mangle)]
#[used]
pub static clap_entry: clap_plugin_entry = clap_plugin_entry {
    clap_version: CLAP_VERSION,
    init: Some(init),
    deinit: Some(deinit),
    get_factory: Some(factory),
};
