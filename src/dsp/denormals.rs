//! How the calling thread treats denormal numbers.
//!
//! In silence, decaying filters reach denormals, which are a hundred times as slow on some processors. Flushing them is a
//! mode of the thread, and results depend on it. So it is set during processing and restored afterwards, and every thread
//! and host computes the same.

/// Restores the thread's mode when dropped.
#[derive(Debug)]
#[must_use = "the mode is restored when this is dropped"]
pub struct DenormalMode {
    saved: Word,
    /// Modes belong to a thread: not to be sent to another.
    _thread: std::marker::PhantomData<*const ()>,
}

impl DenormalMode {
    /// Flushes denormal results and inputs to zero until dropped. Without effect on processors other than x86-64 and
    /// AArch64. Costs some nanoseconds.
    pub fn flush() -> Self {
        let mode = Self::keep();
        write(mode.saved | FLUSH);
        mode
    }

    /// Changes nothing now, but undoes when dropped what foreign code did to the mode meanwhile.
    pub fn keep() -> Self {
        Self { saved: read(), _thread: std::marker::PhantomData }
    }
}

impl Drop for DenormalMode {
    fn drop(&mut self) {
        write(self.saved);
    }
}

#[cfg(target_arch = "x86_64")]
type Word = u32;
#[cfg(not(target_arch = "x86_64"))]
type Word = u64;

/// FTZ (bit 15) and DAZ (bit 6) of MXCSR: Intel SDM volume 1, 10.2.3.
#[cfg(target_arch = "x86_64")]
const FLUSH: Word = 1 << 15 | 1 << 6;
/// FZ (bit 24) of FPCR: Arm ARM, C5.2.8.
#[cfg(not(target_arch = "x86_64"))]
const FLUSH: Word = 1 << 24;

#[cfg(target_arch = "x86_64")]
fn read() -> Word {
    let mut word: Word = 0;
    // SAFETY: stores the 32 bits of MXCSR into `word`; every x86-64 processor has SSE.
    unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut word, options(nostack, preserves_flags)) };
    word
}

#[cfg(target_arch = "x86_64")]
fn write(word: Word) {
    // SAFETY: `word` is a value read from MXCSR with only defined bits added; exceptions stay masked as they were.
    unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const word, options(nostack, preserves_flags, readonly)) };
}

#[cfg(target_arch = "aarch64")]
fn read() -> Word {
    let word: Word;
    // SAFETY: reads FPCR, which every AArch64 processor with floating point has.
    unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) word, options(nomem, nostack, preserves_flags)) };
    word
}

#[cfg(target_arch = "aarch64")]
fn write(word: Word) {
    // SAFETY: `word` is a value read from FPCR with only the FZ bit added.
    unsafe { std::arch::asm!("msr fpcr, {}", in(reg) word, options(nomem, nostack, preserves_flags)) };
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn read() -> Word {
    0
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn write(_word: Word) {}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use super::*;

    /// Half the smallest normal number, computed at run time.
    fn half_of_smallest() -> f32 {
        std::hint::black_box(f32::MIN_POSITIVE) * std::hint::black_box(0.5)
    }

    #[test]
    fn flushes_while_alive_and_restores_after() {
        assert!(half_of_smallest() > 0.0);
        {
            let _mode = DenormalMode::flush();
            assert_eq!(half_of_smallest(), 0.0);
        }
        assert!(half_of_smallest() > 0.0);
    }

    #[test]
    fn keep_undoes_what_others_set() {
        {
            let _mode = DenormalMode::keep();
            std::mem::forget(DenormalMode::flush());
            assert_eq!(half_of_smallest(), 0.0);
        }
        assert!(half_of_smallest() > 0.0);
    }
}
