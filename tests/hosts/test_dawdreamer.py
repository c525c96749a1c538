"""The VST3 bundle in DawDreamer, which compensates no delay and renders while it claims to play in real time."""

import dawdreamer
import numpy as np
import pytest

import hosts
from hosts import BLOCKS, RAMP_S, RATES, assert_same, from_environment

VST3 = from_environment("COFFRE_VST3")

# Output that is rendered after the end of the input: more than any delay.
AFTER_S = 0.5


class Session:
    """One engine with inputs and instances of the plugin, each fed by one input."""

    def __init__(self, rate: int, block: int, audio: np.ndarray, count: int = 1, is_warm: bool = True):
        self.rate, self.audio = rate, audio
        self.engine = dawdreamer.RenderEngine(rate, block)
        after = np.zeros((len(audio), int(rate * AFTER_S)), np.float32)
        self.source = self.engine.make_playback_processor("source", np.concatenate([audio, after], axis=1))
        self.plugins = [self.engine.make_plugin_processor(f"coffre{index}", VST3) for index in range(count)]
        self.plugin = self.plugins[0]
        self.numbers = {entry["name"]: entry["index"] for entry in self.plugin.get_parameters_description()}
        for plugin in self.plugins:
            plugin.record = True
            assert len(audio) == 2 or plugin.set_bus(1, 1)
        graph = [(self.source, []), *[(plugin, ["source"]) for plugin in self.plugins]]
        self.engine.load_graph(graph)
        if is_warm:
            # Until graphs and voices are loaded the dry signal sounds. A host that claims to play in real time is made
            # to wait for them as long as it is ahead of the clock: two seconds of audio are two seconds of loading.
            self.engine.render(min(2.0, audio.shape[1] / rate))
            self.engine.render(min(2.0, audio.shape[1] / rate))

    def set(self, **normalised: float) -> "Session":
        """Sets parameters of the first instance; underscores stand for spaces."""
        for name, value in normalised.items():
            self.plugin.set_parameter(self.numbers[name.replace("_", " ")], value)
        return self

    def raw(self) -> list[np.ndarray]:
        """The output of every instance as it comes, not moved."""
        self.engine.render(self.audio.shape[1] / self.rate + AFTER_S * 0.8)
        return [plugin.get_audio() for plugin in self.plugins]

    def render(self) -> list[np.ndarray]:
        """The output of every instance from its reported latency on, as long as the input."""
        latency, length = self.plugin.get_latency_samples(), self.audio.shape[1]
        return [raw[:, latency : latency + length] for raw in self.raw()]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("rate", RATES)
def test_the_raw_delay_is_the_reported_one(rate, block):
    audio = hosts.vocal(rate)
    wet = Session(rate, block, audio)
    latency = wet.plugin.get_latency_samples()
    assert 1000 * latency / rate <= hosts.LIVE_LIMIT_MS or block not in hosts.LIVE_BLOCKS
    found = wet.raw()[0]
    assert not found[:, :latency].any(), "nothing comes out before its time"
    assert_same(found[:, latency : latency + audio.shape[1]], hosts.converted(audio, rate), "wet")
    impulses = hosts.impulses(rate)
    for parameters in ({"Mix": 0.0}, {"Bypass": 1.0}):
        raw = Session(rate, block, impulses).set(**parameters).raw()[0]
        wanted = np.zeros_like(raw)
        wanted[:, latency : latency + impulses.shape[1]] = impulses
        assert_same(raw, wanted, f"impulses with {parameters}")


def test_mix_mode_delays_as_reported():
    rate = 48_000
    session = Session(rate, 512, hosts.vocal(rate)).set(Latency_mode=1.0)
    # The restart that the new mode asks for comes with the next preparation.
    for _ in range(3):
        session.engine.render(0.1)
    assert 60 < 1000 * session.plugin.get_latency_samples() / rate <= hosts.MIX_LIMIT_MS
    assert_same(session.render()[0], hosts.converted(hosts.vocal(rate), rate, "--mode", "mix"), "mix mode")


def test_rendering_again_gives_the_same():
    session = Session(48_000, 512, hosts.vocal(48_000))
    first = session.render()[0]
    for _ in range(3):
        assert_same(session.render()[0], first, "again")


def test_mono_stays_mono():
    # DawDreamer asks for two channels as a set without sides, which no plugin of plain stereo has: so no mono to stereo.
    mono = hosts.vocal(48_000, channels=1)
    assert_same(Session(48_000, 256, mono).render()[0], hosts.converted(mono, 48_000), "mono")
    assert_same(Session(48_000, 256, mono).set(Mix=0.0).render()[0], mono, "mono, dry")


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("name", ("Mix", "Output gain"))
def test_automation_lands_exactly_the_latency_after_its_event(rate, name):
    block, audio = 64, hosts.vocal(rate)
    # DawDreamer hands automation over once per block.
    event = 40_000 // block * block
    wet, ramp = hosts.converted(audio, rate), int(rate * RAMP_S)
    before, after, then = {
        "Mix": (1.0, 0.0, audio),
        "Output gain": (0.5, 0.0, wet * np.float32(10 ** (-24 / 20))),
    }[name]
    session = Session(rate, block, audio)
    curve = np.full(audio.shape[1] + int(rate * AFTER_S), after, np.float32)
    curve[:event] = before
    session.plugin.set_automation(session.numbers[name], curve)
    found = session.render()[0]
    assert_same(found[:, :event], wet[:, :event], "before the event")
    assert (found[:, event : event + 20] != wet[:, event : event + 20]).any(), "the ramp begins with the event"
    end = event + ramp - 1
    assert np.abs(found[:, end:] - then[:, end:]).max() < 1e-6, "after the ramp"


def test_four_instances_in_one_session_sound_like_one():
    audio = hosts.vocal(48_000, 3.0)
    for found in Session(48_000, 256, audio, count=4).render():
        assert_same(found, hosts.converted(audio, 48_000), "beside three others")


def test_a_saved_state_brings_everything_back(tmp_path):
    audio, path = hosts.vocal(48_000), str(tmp_path / "state")
    first = Session(48_000, 512, audio).set(Voice=3 / 15, Transpose=0.6, Likeness=0.3, Output_gain=0.4)
    sound = first.render()[0]
    first.plugin.save_state(path)
    second = Session(48_000, 512, audio)
    assert not np.array_equal(second.render()[0], sound)
    second.plugin.load_state(path)
    assert_same(second.render()[0], sound, "the restored instance")


def test_a_render_right_after_loading_is_in_time():
    audio = hosts.vocal(48_000, 3.0)
    for _ in range(3):
        dry = Session(48_000, 512, audio, is_warm=False).set(Mix=0.0).render()[0]
        assert_same(dry, audio, "dry")
        found = Session(48_000, 512, audio, is_warm=False).render()[0]
        assert np.isfinite(found).all()
        distance = hosts.level_dbfs(found - hosts.converted(audio, 48_000)) - hosts.level_dbfs(audio)
        assert distance < 3, "dry until the voice is there, then the voice: never both, never twice as loud"
