"""The VST3 bundle in pedalboard, which renders offline and compensates the delay: timing, identity, automation."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import board
import hosts
from hosts import BLOCKS, RAMP_S, RATES, assert_same


@pytest.fixture(scope="module")
def plugin():
    """One instance for all tests that leave its parameters as they were."""
    return board.load()


@pytest.mark.parametrize("rate", RATES)
def test_reported_latency_is_within_its_bounds(rate):
    plugin = board.load()
    silence = np.zeros((2, 8_192), np.float32)
    for mode, limit, blocks in (
        ("Live", hosts.LIVE_LIMIT_MS, hosts.LIVE_BLOCKS),
        ("Mix", hosts.MIX_LIMIT_MS, BLOCKS),
    ):
        plugin.latency_mode = mode
        for block in blocks:
            # The restart that a new mode asks for comes with the next preparation.
            for _ in range(2):
                board.render(plugin, silence, rate, block)
            latency_ms = 1000 * plugin.reported_latency_samples / rate
            assert 20 < latency_ms <= limit, f"{mode} at {rate} Hz in blocks of {block}: {latency_ms:.2f} ms"


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("rate", RATES)
def test_every_path_is_compensated_to_the_sample(rate, block):
    audio = hosts.vocal(rate)
    plugin = board.load()
    assert_same(board.render(plugin, audio, rate, block), hosts.converted(audio, rate), "wet")
    plugin.mix = 0.0
    assert_same(board.render(plugin, audio, rate, block), audio, "dry")
    assert_same(board.render(plugin, hosts.impulses(rate), rate, block), hosts.impulses(rate), "dry impulses")
    board.set_parameters(plugin, mix=100.0, bypass=True)
    assert_same(board.render(plugin, audio, rate, block), audio, "bypass")


@pytest.mark.parametrize("rate", RATES)
def test_changing_block_lengths_change_nothing(rate):
    audio = hosts.vocal(rate)
    for seed, longest in enumerate((5, 100, 512, 4_096)):
        sizes = hosts.random_partition(audio.shape[1], 3, longest, seed)
        assert_same(board.stream(board.load(), audio, rate, sizes), hosts.converted(audio, rate), f"up to {longest}")
        assert_same(board.stream(board.load(mix=0.0), audio, rate, sizes), audio, f"dry, up to {longest}")


@pytest.mark.parametrize("rate", (22_050, 32_000, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000))
def test_usual_sample_rates_from_lowest_to_highest(plugin, rate):
    audio = hosts.vocal(rate, 0.8)
    found = board.render(plugin, audio, rate)
    assert_same(found, hosts.converted(audio, rate), f"{rate} Hz")
    assert hosts.level_dbfs(found) > -40


def test_mix_mode_is_the_command_s_too():
    audio = hosts.vocal(48_000)
    plugin = board.load(latency_mode="Mix")
    # The first preparation finds the new mode; the restart that it asks for comes with the next one.
    board.render(plugin, audio, 48_000)
    for block in (64, 1024):
        assert_same(board.render(plugin, audio, 48_000, block), hosts.converted(audio, 48_000, "--mode", "mix"), "mix")


def test_every_parameter_is_the_command_s():
    audio, voice = hosts.vocal(48_000), hosts.voices()[2]
    # Values on the grid of 1000 steps over which pedalboard finds texts.
    plugin = board.load(
        voice=voice, transpose_st=-6.0, register="Off", formant_st=1.5, likeness=100.0, mix=50.0, gate_db="-40.0"
    )
    options = ("--transpose", "-6", "--formant", "1.5", "--likeness", "100", "--mix", "50", "--gate", "-40")
    assert_same(board.render(plugin, audio, 48_000), hosts.converted(audio, 48_000, *options, voice=voice), "parameters")


def test_mono_stays_mono_and_stereo_keeps_its_sides(plugin):
    stereo, mono = hosts.vocal(48_000), hosts.vocal(48_000, channels=1)
    found = board.render(plugin, mono, 48_000)
    assert_same(found, hosts.converted(mono, 48_000), "mono")
    wet = board.render(plugin, stereo, 48_000)
    assert_same(wet[:1], wet[1:], "the converted sound of both sides")
    half = board.render(board.load(mix=50.0), stereo, 48_000)
    assert_same(half, wet * np.float32(0.5) + stereo * np.float32(0.5), "half dry")
    assert_same(board.render(board.load(mix=0.0), mono, 48_000), mono, "mono, dry")


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("event", (12_345, 30_011))
def test_mix_and_gain_change_exactly_where_they_were_drawn(rate, event):
    audio, ramp = hosts.vocal(rate), int(rate * RAMP_S)
    wet = hosts.converted(audio, rate)
    sizes = [event, *hosts.random_partition(audio.shape[1] - event, 3, 700, event)]
    for name, value, then in (("mix", 0.0, audio), ("output_gain_db", -24.0, wet * np.float32(10 ** (-24 / 20)))):
        plugin = board.load()

        def before(position, plugin=plugin, name=name, value=value):
            if position == event:
                setattr(plugin, name, value)

        found = board.stream(plugin, audio, rate, sizes, before)
        assert_same(found[:, :event], wet[:, :event], f"{name} before the event")
        end = event + ramp - 1
        assert np.abs(found[:, end:] - then[:, end:]).max() < 1e-6, f"{name} after its ramp"
        share = np.arange(1, ramp, dtype=np.float64) / ramp
        between = wet[:, event:end] * (1 - share) + then[:, event:end] * share
        assert np.abs(found[:, event:end] - between).max() < 1e-5, f"{name} within its ramp"


def test_a_voice_switched_while_playing_neither_clicks_nor_stays():
    rate, event = 48_000, 36_000
    audio = hosts.vocal(rate, 3.0)
    first, second = hosts.voices()[0], hosts.voices()[3]
    pure = [hosts.converted(audio, rate, voice=voice) for voice in (first, second)]
    plugin = board.load(voice=first)

    def before(position):
        if position == event:
            plugin.voice = second

    found = board.stream(plugin, audio, rate, [480] * (audio.shape[1] // 480), before)
    assert np.isfinite(found).all()
    untouched = event - rate // 20
    assert_same(found[:, :untouched], pure[0][:, :untouched], "before the switch")
    later = slice(event + rate // 2, None)
    distance = hosts.level_dbfs(found[:, later] - pure[1][:, later]) - hosts.level_dbfs(pure[1][:, later])
    assert distance < -20, f"the second voice is {distance:.1f} dB away from itself"
    around = slice(untouched, event + rate // 10)
    steepest = max(np.abs(np.diff(voice[0, around])).max() for voice in pure)
    step = np.abs(np.diff(found[0, around])).max()
    assert step <= 1.25 * steepest, f"a step of {step:.3f} where the voices have {steepest:.3f}"


def test_everything_automated_at_once_stays_sound():
    rate, random = 48_000, np.random.default_rng(5)
    audio = hosts.vocal(rate, 3.0)
    plugin = board.load()
    names = ["voice", "transpose_st", "formant_st", "likeness", "mix", "input_gain_db", "output_gain_db", "gate_db"]

    def before(_position):
        for name in random.choice(names, 2):
            plugin.parameters[name].raw_value = float(random.uniform())

    found = board.stream(plugin, audio, rate, hosts.random_partition(audio.shape[1], 3, 800, 9), before)
    assert np.isfinite(found).all()
    # 24 dB at the input and 24 dB at the output are at the disposal of chance.
    assert np.abs(found).max() < 10 ** (48 / 20) * 2
    board.set_parameters(plugin, bypass=True)
    assert_same(board.render(plugin, audio, rate), audio, "bypass afterwards")


def test_four_instances_at_once_sound_like_one():
    audio = hosts.vocal(48_000, 3.0)
    wanted = hosts.converted(audio, 48_000)
    plugins = [board.load() for _ in range(4)]
    # JUCE, in which pedalboard is written, prepares a plugin on the main thread only.
    for plugin in plugins:
        board.render(plugin, audio[:, :1_000], 48_000, 256)
    with ThreadPoolExecutor(4) as threads:
        rendered = list(threads.map(lambda plugin: board.render(plugin, audio, 48_000, 256), plugins))
    for found in rendered:
        assert_same(found, wanted, "together")
    sizes = [480] * (audio.shape[1] // 480)
    assert_same(board.stream(board.load(), audio, 48_000, sizes), wanted, "with four idle ones beside it")
