"""The VST3 bundle in pedalboard when things go wrong: silence, bad input, bad states, missing voices, sudden ends.

Also what it costs the host: time to load and memory, each in a fresh process.
"""

import numpy as np
import pytest

import board
import hosts
from hosts import assert_same, level_dbfs, probe

RATE = 48_000

# Limits of the requirements.
LOAD_LIMIT_MS = 300.0
RESIDENT_LIMIT_MB = 200.0
FOUR_TO_ONE_LIMIT = 1.5


def test_silence_in_silence_out():
    silence = np.zeros((2, 3 * RATE), np.float32)
    for mode in ("Live", "Mix"):
        plugin = board.load(latency_mode=mode)
        for _ in range(2):
            found = board.render(plugin, silence, RATE)
        # Mean level, and nothing that stands out of it.
        assert level_dbfs(found) < hosts.SILENCE_DBFS
        assert np.abs(found).max() < 10 ** (hosts.SILENCE_DBFS / 20)


def test_the_sound_ends_soon_after_its_source():
    plugin = board.load()
    audio = np.concatenate([hosts.vocal(RATE), np.zeros((2, RATE), np.float32)], axis=1)
    found = board.render(plugin, audio, RATE)
    assert level_dbfs(found[:, : -2 * RATE // 3]) > -40, "the source is heard"
    after = found[:, hosts.vocal(RATE).shape[1] + RATE // 4 :]
    assert np.abs(after).max() < 10 ** (hosts.SILENCE_DBFS / 20), "a quarter of a second later it is over"


def test_a_reset_forgets_all_audio():
    plugin = board.load()
    plugin.process(hosts.vocal(RATE), RATE, buffer_size=512, reset=False)
    plugin.reset()
    after = plugin.process(np.zeros((2, RATE), np.float32), RATE, buffer_size=512, reset=False)
    assert np.abs(after).max() < 10 ** (hosts.SILENCE_DBFS / 20), "no stale audio after a reset"


BAD_INPUT = {
    "NaN": np.float32(np.nan),
    "infinity": np.float32(np.inf),
    "minus infinity": np.float32(-np.inf),
    "denormal": np.float32(1e-40),
    "+1000": np.float32(1_000),
    "-1000": np.float32(-1_000),
    "largest": np.finfo(np.float32).max,
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_leaves_finite_output_and_no_trace(name):
    good = hosts.vocal(RATE, 1.5)
    bad = np.concatenate([good[:, : RATE // 2], np.zeros((2, RATE // 2), np.float32), good], axis=1)
    wanted = board.render(board.load(), bad, RATE)
    hurt = bad.copy()
    # Every third sample, within a pause.
    hurt[:, RATE // 2 : 3 * RATE // 4 : 3] = BAD_INPUT[name]
    plugin = board.load()
    found = board.render(plugin, hurt, RATE)
    assert np.isfinite(found).all()
    later = slice(-RATE // 2, None)
    distance = level_dbfs(found[:, later]) - level_dbfs(wanted[:, later])
    assert abs(distance) < 1.0, f"half a second afterwards the level is off by {distance:.1f} dB"
    assert_same(board.render(plugin, bad, RATE), wanted, "after a reset nothing of it is left")
    for parameters in ({"mix": 0.0}, {"mix": 100.0, "bypass": True}):
        board.set_parameters(plugin, **parameters)
        assert np.isfinite(board.render(plugin, hurt, RATE)).all(), f"{parameters} passes it on"


def test_a_saved_state_brings_everything_back():
    audio, voice = hosts.vocal(RATE), hosts.voices()[2]
    wanted = {"voice": voice, "transpose_st": -3.0, "likeness": 80.0, "mix": 75.0, "output_gain_db": -6.0}
    first = board.load(**wanted)
    sound = board.render(first, audio, RATE)
    second = board.load()
    assert not np.array_equal(board.render(second, audio, RATE), sound)
    second.raw_state = first.raw_state
    for name, parameter in first.parameters.items():
        assert second.parameters[name].raw_value == pytest.approx(parameter.raw_value, abs=1e-6), name
    assert_same(board.render(second, audio, RATE), sound, "the restored instance")
    saved = hosts.read_state(second.preset_data)
    assert f'"{voice}"' in saved["fields"]["voices"] and saved["params"]["voice"] == {"i32": 3}


def test_a_missing_voice_is_kept_and_named_and_others_sound():
    audio, plugin = hosts.vocal(RATE), board.load()
    state = hosts.read_state(plugin.preset_data)
    ours = hosts.voices()
    state["fields"]["voices"] = state["fields"]["voices"].replace(f'"{ours[0]}"', '"Nobody"', 1)
    identity = state["fields"]["voices"].split('"id":"')[1].split('"')[0]
    state["fields"]["voices"] = state["fields"]["voices"].replace(identity, "0" * 64, 1)
    plugin.preset_data = hosts.with_state(plugin.preset_data, state)
    found = board.render(plugin, audio, RATE)
    assert np.isfinite(found).all() and level_dbfs(found) > -40
    assert_same(found, hosts.converted(audio, RATE, voice="none"), "without a voice only register and colour change")
    assert '"Nobody"' in hosts.read_state(plugin.preset_data)["fields"]["voices"], "kept for a machine that has it"
    plugin.parameters["voice"].raw_value = 1 / 15
    assert_same(board.render(plugin, audio, RATE), hosts.converted(audio, RATE, voice=ours[1]), "the next slot")


def broken_states(good: dict) -> dict[str, bytes | dict]:
    """What a damaged session or a newer version may hand to us."""
    whole = hosts.json.dumps(good).encode()
    random = np.random.default_rng(3)
    states: dict[str, bytes | dict] = {
        "empty": b"",
        "no JSON": b"\xff\xfe not a state \x00" * 10,
        "noise": random.bytes(4_096),
        "cut short": whole[: len(whole) // 2],
        "a list": b"[1, 2, 3]",
        "deep": b"[" * 100_000,
        "no voices": {**good, "fields": {}},
        "voices of another kind": {**good, "fields": {**good["fields"], "voices": "[[17]]"}},
        "a profile that is none": {**good, "fields": {**good["fields"], "source-profile": '"AAAA????"'}},
        "parameters out of range": {**good, "params": {**good["params"], "mix": {"f32": 1e30}, "voice": {"i32": 900}}},
        "unknown parameters": {**good, "params": {**good["params"], "future": {"f32": 1.0}}},
    }
    for index in range(20):
        hurt = bytearray(whole)
        for place in random.integers(0, len(hurt), 8):
            hurt[place] = random.integers(0, 256)
        states[f"damaged {index}"] = bytes(hurt)
    return states


def test_a_corrupt_state_neither_crashes_nor_spoils_the_instance():
    audio = hosts.vocal(RATE, 0.5)
    plugin = board.load(mix=50.0)
    sound = board.render(plugin, audio, RATE)
    preset = plugin.preset_data
    for name, payload in broken_states(hosts.read_state(preset)).items():
        try:
            plugin.preset_data = hosts.with_state(preset, payload)
        except (RuntimeError, ValueError):
            # The host may say that the plugin refused it.
            pass
        assert np.isfinite(board.render(plugin, audio, RATE)).all(), name
        if isinstance(payload, bytes) and not name.startswith("damaged"):
            assert_same(board.render(plugin, audio, RATE), sound, f"{name}: what was there stays")
            assert hosts.read_state(plugin.preset_data) == hosts.read_state(preset), name
        plugin.preset_data = preset
        assert_same(board.render(plugin, audio, RATE), sound, f"a good state after {name}")


def test_a_profile_that_cannot_be_read_is_kept():
    plugin = board.load()
    state = hosts.read_state(plugin.preset_data)
    state["fields"]["source-profile"] = '"bm90IGEgcHJvZmlsZQ=="'
    plugin.preset_data = hosts.with_state(plugin.preset_data, state)
    board.render(plugin, hosts.vocal(RATE, 0.3), RATE)
    assert hosts.read_state(plugin.preset_data)["fields"]["source-profile"] == '"bm90IGEgcHJvZmlsZQ=="'


def test_it_loads_quickly():
    times = [probe("load")["load_ms"] for _ in range(5)]
    print(f"load_ms {times}")
    # The best of five: other work on the machine is not ours.
    assert min(times) < LOAD_LIMIT_MS, times


def test_four_instances_share_what_can_be_shared():
    one, four = probe("memory", "1")["resident_mb"], probe("memory", "4")["resident_mb"]
    print(f"resident_mb one {one:.1f} four {four:.1f}")
    assert 1 < one <= RESIDENT_LIMIT_MB
    assert four <= FOUR_TO_ONE_LIMIT * one


@pytest.mark.parametrize("when", ("destroy-new", "destroy-playing"))
def test_it_can_be_destroyed_at_any_moment(when):
    report = probe(when, "50")
    assert report["still_sounds"] and report["threads_left"] <= 0
    assert report["megabytes_left"] < 20
    assert report["longest_ms"] < 600, "a host is not kept waiting"


def test_instances_are_destroyed_while_another_one_plays():
    assert probe("destroy-in-threads", "4") == {"identical": True, "left": 0}
