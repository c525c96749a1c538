"""The VST3 bundle in an export of Ardour 7, summed with a dry track: delay compensation in a real session.

Ardour exports faster than real time while it tells the plugin that it plays, in blocks of up to 1024 samples.
"""

import shutil

import numpy as np
import pytest

import hosts
from hosts import RATES, assert_same, from_environment

VST3 = from_environment("COFFRE_VST3")

if not shutil.which("ardour7-lua"):
    pytest.skip("Ardour 7 is not installed", allow_module_level=True)

from daw import Daw, threads_inside  # noqa: E402

# Number of a parameter in the order of the plugin.
MIX = 7

# Exports until one is fast enough.
ATTEMPTS = 4


def test_a_hang_inside_the_plugin_is_told_from_ardour_s_own():
    frame = "#1  0x00007f in ?? () from home/.vst3/Coffre.vst3/Contents/x86_64-linux/Coffre.so"
    waiting = f'Thread 2 (Thread 0x7f (LWP 2) "coffre-worker"):\n{frame}'
    main = 'Thread 1 (Thread 0x7e (LWP 1) "ardour7-export"):\n#0  syscall ()'
    assert not threads_inside(f"Attached\n\n{waiting}\n\n{main}\n")
    found = threads_inside(f"Attached\n\n{waiting}\n\n{main}\n{frame}\n")
    assert len(found) == 1 and "ardour7-export" in found[0]


@pytest.fixture(scope="module")
def daw(tmp_path_factory) -> Daw:
    return Daw(tmp_path_factory.mktemp("ardour"), VST3)


def later_impulses(rate: int) -> np.ndarray:
    return np.concatenate([np.zeros((2, 1_000), np.float32), hosts.impulses(rate, 1.0)], axis=1)


@pytest.mark.parametrize("rate", RATES)
def test_a_dry_track_and_the_plugin_s_add_up_sample_by_sample(daw, rate):
    # With the mix saved in the session: that it comes back is proved by the same sum.
    audio = later_impulses(rate)
    found, latency = daw.export(rate, {"coffre": audio, "plain": audio}, {MIX: 0.0}, wanted=2 * audio)
    assert latency > rate // 50
    assert_same(found, 2 * audio, f"the sum at {rate} Hz")


def test_a_deactivated_plugin_is_passed_by(daw):
    audio = later_impulses(48_000)
    found, _ = daw.export(48_000, {"coffre": audio, "plain": audio}, is_bypassed=True, wanted=2 * audio)
    assert_same(found, 2 * audio, "the sum")


def test_a_mono_track_becomes_stereo_in_time(daw):
    audio = later_impulses(48_000)[:1]
    found, _ = daw.export(48_000, {"coffre": audio, "plain": audio}, {MIX: 0.0})
    # The plugin gives the mono signal to both sides; Ardour pans the other track with its law of -3 dB.
    factor = 1 + np.sqrt(0.5)
    assert np.abs(found - factor * audio).max() < 2e-3
    assert_same((found != 0).astype(np.float32), np.repeat((audio != 0).astype(np.float32), 2, axis=0), "places")


def test_the_converted_voice_is_in_time_with_the_command_s(daw):
    # A second of silence first: Ardour may begin before graphs and voices are loaded.
    rate = 48_000
    audio = np.concatenate([np.zeros((2, rate), np.float32), hosts.vocal(rate, 3.0)], axis=1)
    wanted = hosts.converted(audio, rate)
    for _ in range(ATTEMPTS):
        found, _ = daw.export(rate, {"coffre": audio})
        assert found.shape == wanted.shape
        is_converted = converted_places(found, audio, rate)
        if is_converted[rate:].mean() > 0.5:
            break
    else:
        pytest.fail(f"late in {ATTEMPTS} exports: the machine is too slow for real time, or the plugin never converts")
    # Not bit by bit: the session plays before the export begins, so the grid of hops lies elsewhere.
    found, wanted = found * is_converted, wanted * is_converted
    distance = hosts.level_dbfs(found - wanted) - hosts.level_dbfs(wanted)
    assert distance < -15, f"{distance:.1f} dB from what the command makes"
    assert best_lag(found[0], wanted[0]) == 0


def converted_places(found: np.ndarray, dry: np.ndarray, rate: int) -> np.ndarray:
    """Where not the fallback sounds, nor the transition from it or to it.

    Ardour's export claims to play in real time. On a machine on which neither host nor worker reach that, hops are late
    and the dry signal sounds, at its place: 50 ms that are the input bit by bit are that.
    """
    window = rate // 20
    is_dry = np.zeros(found.shape[1], bool)
    for begin in range(0, found.shape[1], window):
        place = slice(begin, begin + window)
        if dry[:, place].any() and np.array_equal(found[:, place], dry[:, place]):
            is_dry[max(0, begin - 2 * window) : begin + 3 * window] = True
    return ~is_dry


def best_lag(one: np.ndarray, other: np.ndarray) -> int:
    """Samples by which `one` comes after `other`, where both are most alike."""
    size = 1 << (len(one) + len(other)).bit_length()
    alike = np.fft.irfft(np.fft.rfft(one, size) * np.conj(np.fft.rfft(other, size)))
    best = int(np.argmax(alike))
    return best - size if best > size // 2 else best
