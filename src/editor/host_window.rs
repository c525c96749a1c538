//! The editor as the framework knows it: egui's, and a window that is gone when the host is told so.
//!
//! baseview 0.4.2 lets the thread of a window on X11 run on when it was already ending as the host closed the window
//! (`run_until_closed` asks that thread to show the window first, fails and does not join). The thread then takes down
//! OpenGL while the host unloads the plugin, opens the next editor or ends: a crash. So [`Window`] waits for it. For the
//! same reason the OpenGL library stays loaded: its destructors of thread-local data are also run by threads of other
//! windows, after the last close of ours would have unloaded it.
//!
//! Runs on the host's main thread, [`WindowThread::enter`] on the window's. Knows nothing of what the window shows.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use nice_plug::context::gui::GuiContext;
use nice_plug::editor::dpi::NativeSize;
use nice_plug::editor::{self, HostMethods, Modifiers, ParentWindowHandle, ResizeHint, SpawnedEditor, VirtualKeyCode};
use nice_plug_egui::{EguiEditor, baseview};

use super::window::EditorWindow;

type Inner = EguiEditor<EditorWindow>;
type InnerHandle = <Inner as editor::Editor>::Handle;

/// Time that a window's thread gets to end. It has nothing to do any more but to take down OpenGL.
const END_LIMIT: Duration = Duration::from_secs(5);

/// The thread that draws a window, where that is a thread of its own.
#[derive(Debug, Default)]
pub struct WindowThread(AtomicI32);

impl WindowThread {
    /// Says that the calling thread draws the window. [window thread]
    pub fn enter(&self) {
        #[cfg(target_os = "linux")]
        self.0.store(linux::current(), Ordering::Release);
    }

    /// Waits for the thread to be gone, its thread-local data with it. [main-thread]
    fn wait_for_end(&self) {
        let thread = self.0.swap(0, Ordering::AcqRel);
        let end = Instant::now() + END_LIMIT;
        while thread != 0 && is_running(thread) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[cfg(target_os = "linux")]
use linux::is_running;

/// Elsewhere windows live on the host's thread.
#[cfg(not(target_os = "linux"))]
fn is_running(_thread: i32) -> bool {
    false
}

#[cfg(target_os = "linux")]
mod linux {
    use std::sync::Once;

    /// Id of the calling thread, as the kernel counts them.
    pub fn current() -> i32 {
        // SAFETY: takes nothing and always succeeds.
        unsafe { libc::gettid() }
    }

    /// Whether `thread` of this process is there. The kernel's word, as it comes after all that the thread does.
    pub fn is_running(thread: i32) -> bool {
        // SAFETY: signal 0 is sent to nobody, only the thread's being there is looked at.
        thread != current() && unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, 0) } == 0
    }

    /// Keeps the OpenGL library loaded, and with it the drivers that it loads.
    pub fn keep_opengl() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            for name in [c"libEGL.so.1", c"libGLX.so.0"] {
                // SAFETY: the library that the window opens anyway; null, where it is not there, is as good.
                unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NODELETE) };
            }
        });
    }
}

/// Makes the windows of an instance.
pub struct Editor {
    inner: Inner,
    thread: Arc<WindowThread>,
}

impl Editor {
    /// `thread` is the one that `inner`'s content enters.
    pub fn new(inner: Inner, thread: Arc<WindowThread>) -> Self {
        Self { inner, thread }
    }
}

impl editor::Editor for Editor {
    type Handle = EditorHandle;

    fn spawn(
        &self,
        parent: Option<ParentWindowHandle>,
        wait_for_parent: bool,
        fallback_scale_factor: Option<f64>,
        gui_context: GuiContext,
        host: Option<HostMethods>,
    ) -> Result<SpawnedEditor<EditorHandle>, Box<dyn Error>> {
        #[cfg(target_os = "linux")]
        linux::keep_opengl();
        let spawned = self.inner.spawn(parent, wait_for_parent, fallback_scale_factor, gui_context, host);
        let SpawnedEditor { handle, window } = spawned.inspect_err(|_| self.thread.wait_for_end())?;
        let window = Window { inner: Some(window), thread: self.thread.clone() };
        Ok(SpawnedEditor { handle: EditorHandle(handle), window })
    }

    fn size(&self) -> NativeSize<u32> {
        self.inner.size()
    }

    fn resize_hint(&self) -> ResizeHint {
        self.inner.resize_hint()
    }

    fn track_info_updated(&self, info: nice_plug::prelude::TrackInfo) {
        self.inner.track_info_updated(info);
    }

    unsafe fn assume_standalone_in_process(&self) {
        // SAFETY: the caller's promise.
        unsafe { self.inner.assume_standalone_in_process() }
    }
}

/// A window. Dropped, it is closed and its thread has ended.
pub struct Window {
    /// There until it is dropped or has been run to its end.
    inner: Option<baseview::Window>,
    thread: Arc<WindowThread>,
}

impl Drop for Window {
    fn drop(&mut self) {
        drop(self.inner.take());
        self.thread.wait_for_end();
    }
}

/// What the framework tells an open window.
pub struct EditorHandle(InnerHandle);

impl editor::EditorHandle for EditorHandle {
    type Window = Window;
    type Error = baseview::Error;

    fn run_until_closed(mut window: Window) -> Result<(), Self::Error> {
        window.inner.take().map_or(Ok(()), InnerHandle::run_until_closed)
    }

    fn set_parent(&self, parent: ParentWindowHandle, window: &Window) -> Result<(), Self::Error> {
        window.inner.as_ref().map_or(Ok(()), |window| self.0.set_parent(parent, window))
    }

    fn show(&self, window: &Window) -> Result<(), Self::Error> {
        window.inner.as_ref().map_or(Ok(()), |window| self.0.show(window))
    }

    fn hide(&self, window: &Window) -> Result<(), Self::Error> {
        window.inner.as_ref().map_or(Ok(()), |window| self.0.hide(window))
    }

    fn set_size(&self, new_size: NativeSize<u32>, window: &Window) -> Result<(), Self::Error> {
        window.inner.as_ref().map_or(Ok(()), |window| self.0.set_size(new_size, window))
    }

    fn host_main_thread_callback(&self, window: &Window) {
        if let Some(window) = &window.inner {
            self.0.host_main_thread_callback(window);
        }
    }

    fn adjust_size(&self, new_size: NativeSize<u32>, window: &Window) -> Option<NativeSize<u32>> {
        self.0.adjust_size(new_size, window.inner.as_ref()?)
    }

    fn set_fallback_scale_factor(&self, scale_factor: f64, window: &Window) -> Result<(), Self::Error> {
        window.inner.as_ref().map_or(Ok(()), |window| self.0.set_fallback_scale_factor(scale_factor, window))
    }

    fn on_virtual_key_from_host(&self, key_code: VirtualKeyCode, is_down: bool, modifiers: Modifiers) -> bool {
        self.0.on_virtual_key_from_host(key_code, is_down, modifiers)
    }

    fn state_changed(&self) {
        self.0.state_changed();
    }

    fn param_value_changed(&self, id: &str, normalized_value: f32) {
        self.0.param_value_changed(id, normalized_value);
    }

    fn param_modulation_changed(&self, id: &str, modulation_offset: f32) {
        self.0.param_modulation_changed(id, modulation_offset);
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_thread_is_waited_for() {
        let thread = Arc::new(WindowThread::default());
        let entered = thread.clone();
        let started = Instant::now();
        std::thread::spawn(move || {
            entered.enter();
            std::thread::sleep(Duration::from_millis(80));
        });
        while thread.0.load(Ordering::Acquire) == 0 {
            std::thread::yield_now();
        }
        thread.wait_for_end();
        assert!(started.elapsed() >= Duration::from_millis(80));
        assert!(started.elapsed() < END_LIMIT);
        thread.wait_for_end();
    }
}
