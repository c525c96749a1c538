"""Ardour 7 as a host: makes a session without a window, puts audio on its tracks, exports it.

Everything lies below one folder, which serves Ardour as home: its plugins, its cache, its sessions.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

LIBRARIES = Path("/usr/lib/ardour7")

# Ardour counts time in these: so many a second.
SUPERCLOCK = 282_240_000

# Ardour 7.3 frees what it does not own when an export is done (in ~PortExportChannel, called by main), now and then, also
# without any plugin: 8 of 120 runs without glibc's heap checks. What lies before the pointer decides in which of the words
# of glibc's free() the run ends. Only such a run is tried again.
OWN_CRASHES = (
    "free(): invalid",
    "munmap_chunk(): invalid pointer",
    "corrupted size vs. prev_size",
    "double free or corruption",
)
ATTEMPTS = 5

# Seen once in some hundreds of exports: a stretch of silence holds words of its heap instead, halves of addresses among
# them: 47 samples from the start of a block on, up to 3.9e-26. No sum of sounds gives that; from here on it is ours.
DUST = 1e-20

# Before an export its main thread sometimes waits for its butler thread for ever: 1 of 60 runs, without any plugin as
# with one. An export takes 2 s here. A run that hangs is tried again only if none of its threads is inside Coffre.
PATIENCE_S = 60
EXPORT_PATIENCE_S = 40

SCRIPT = """
AudioEngine:set_backend("None (Dummy)", "", "")
local session = create_session("{folder}", "{folder.name}", {rate})
local plugin = ARDOUR.LuaAPI.new_plugin(session, "Coffre", ARDOUR.PluginType.VST3, "")
for _, name in ipairs({{{tracks}}}) do
  session:new_audio_track({channels}, 2, nil, 1, name, ARDOUR.PresentationInfo.max_order, ARDOUR.TrackMode.Normal, true)
end
session:route_by_name("coffre"):add_processor_by_index(plugin, 0, nil, true)
{parameters}
-- A value counts once the plugin has processed a block with it.
ARDOUR.LuaAPI.usleep(500000)
session:save_state("")
io.stderr:write("LATENCY " .. plugin:to_insert():signal_latency() .. "\\n")
"""


class Daw:
    """A home with the bundle, known to the scanner."""

    def __init__(self, home: Path, vst3: str):
        self.home = home
        self.unexplained = 0
        self.environment = {**os.environ, "HOME": str(home), "LD_LIBRARY_PATH": str(LIBRARIES)}
        # Folders of this user's own would be searched too.
        for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
            self.environment.pop(name, None)
        plugins = home / ".vst3"
        plugins.mkdir(parents=True)
        (plugins / "Coffre.vst3").symlink_to(vst3)
        self.run(LIBRARIES / "ardour-vst3-scanner", "-f", plugins / "Coffre.vst3")
        # The scanner dates its notes like the plugin; Ardour takes only newer ones.
        for note in (home / ".cache/ardour7/vst").glob("*.v3i"):
            note.touch()

    def run(self, *command: object, may_crash: bool = False, patience: float = PATIENCE_S) -> str:
        """Runs a program of Ardour's. Its Lua may crash while it ends, after the work is done.

        Raises `OwnFailure` for what Ardour does by itself, `AssertionError` for the rest.
        """
        program = subprocess.Popen(
            [str(word) for word in command],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.home,
        )
        try:
            out, error = program.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            try:
                stacks = _stacks(program.pid)
            finally:
                program.kill()
                program.communicate()
            if "Thread " not in stacks:
                self.unexplained += 1
                assert self.unexplained < 2, f"{command[0]} hung twice, and gdb cannot tell where"
                raise OwnFailure(f"{command[0]} hangs, nobody knows where") from None
            inside = threads_inside(stacks)
            assert not inside, f"{command[0]} hangs inside Coffre:\n" + "\n".join(inside)
            raise OwnFailure(f"{command[0]} hangs, outside Coffre") from None
        if program.returncode == 0 or may_crash:
            return out + error
        if any(sign in error for sign in OWN_CRASHES):
            raise OwnFailure(error[-200:])
        raise AssertionError(f"{command[0]} ended with {program.returncode}:\n{error[-2000:]}")

    def export(
        self,
        rate: int,
        tracks: dict[str, np.ndarray],
        parameters: dict[int, float] | None = None,
        is_bypassed: bool = False,
        wanted: np.ndarray | None = None,
    ) -> tuple[np.ndarray, int]:
        """The master bus of tracks with these signals, of which the one named `coffre` has the plugin, and the latency
        that Ardour was told. Parameters are given by number, normalised. What is `wanted` tells the plugin's errors from
        Ardour's dust."""
        folder = self.home / f"session-{len(list(self.home.glob('session-*')))}"
        channels = len(next(iter(tracks.values())))
        lines = [f"ARDOUR.LuaAPI.set_processor_param(plugin, {n}, {v})" for n, v in (parameters or {}).items()]
        if is_bypassed:
            lines.append('session:route_by_name("coffre"):nth_plugin(0):deactivate()')
        names = ", ".join(f'"{name}"' for name in tracks)
        script = self.home / "session.lua"
        script.write_text(
            SCRIPT.format(folder=folder, rate=rate, tracks=names, channels=channels, parameters="\n".join(lines))
        )
        said = self.insist(folder, "ardour7-lua", script, may_crash=True)
        latency = re.search(r"LATENCY (\d+)", said)
        assert latency, f"Ardour has not loaded the plugin:\n{said[-2000:]}"

        document = folder / f"{folder.name}.ardour"
        text = document.read_text()
        sources = ""
        for index, (name, audio) in enumerate(tracks.items()):
            file = f"{name}.wav"
            soundfile.write(folder / "interchange" / folder.name / "audiofiles" / file, audio.T, rate, subtype="FLOAT")
            first = 900_000 + 100 * index
            for channel in range(channels):
                sources += (
                    f'<Source name="{file}" type="audio" flags="" id="{first + channel}" channel="{channel}" gain="1"/>'
                )
            region = _region(name, first, channels, _ticks(audio.shape[1], rate))
            text, count = re.subn(rf'(<Playlist id="\d+" name="{name}" [^>]*)/>', rf"\1>{region}</Playlist>", text)
            assert count == 1, f"no playlist of {name}"
        end = _ticks(max(audio.shape[1] for audio in tracks.values()), rate)
        session_range = f'<Location id="990000" name="session" start="a0" end="a{end}" flags="IsSessionRange" locked="0"/>'
        text = text.replace("<Sources/>", f"<Sources>{sources}</Sources>")
        text = text.replace("<Locations/>", f"<Locations>{session_range}</Locations>")
        document.write_text(text)

        result = folder / "export.wav"
        export = ("ardour7-export", "-b", "float", "-o", result, folder, folder.name)
        is_dry_heard = any(audio.any() for name, audio in tracks.items() if name != "coffre")

        def check() -> None:
            made = soundfile.read(result, dtype="float32", always_2d=True)[0].T
            # Once in some dozens of exports on a busy machine, the tracks without the plugin with it.
            if is_dry_heard and not made.any():
                raise OwnFailure("exported silence, of the track without the plugin too")
            if wanted is not None and made.shape == wanted.shape and 0 < np.abs(made - wanted).max() < DUST:
                raise OwnFailure("exported words of its heap where there is silence")

        self.insist(result, *export, check=check, patience=EXPORT_PATIENCE_S)
        audio, exported_rate = soundfile.read(result, dtype="float32", always_2d=True)
        assert exported_rate == rate
        return audio.T, int(latency[1])

    def insist(self, makes: Path, *command: object, check: Callable[[], None] = lambda: None, **options) -> str:
        """Runs a program that makes a file or folder, again and again while Ardour fails by itself: `run` or `check`
        raises `OwnFailure`."""
        failures = []
        for _ in range(ATTEMPTS):
            try:
                said = self.run(*command, **options)
                check()
                return said
            except OwnFailure as failure:
                failures.append(str(failure))
                if makes.is_dir():
                    shutil.rmtree(makes)
                else:
                    makes.unlink(missing_ok=True)
        raise AssertionError(f"Ardour failed by itself {ATTEMPTS} times:\n" + "\n".join(failures))


class OwnFailure(Exception):
    """A crash, a hang or a silence of Ardour's that no plugin has a part in."""


def _stacks(process: int) -> str:
    """What each thread of a process is doing; empty without gdb."""
    if not shutil.which("gdb"):
        return ""
    command = ["gdb", "-p", str(process), "-batch", "-nx", "-ex", "thread apply all backtrace 60"]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False).stdout


def threads_inside(stacks: str) -> list[str]:
    """The stacks of the host's threads that are in the plugin; its own are named after it, and wait by design."""
    threads = re.split(r"\n(?=Thread \d+ )", stacks)[1:]
    return [thread for thread in threads if '"coffre' not in thread.partition("\n")[0] and "Coffre.so" in thread]


def _ticks(samples: int, rate: int) -> int:
    return samples * SUPERCLOCK // rate


def _region(name: str, first: int, channels: int, length: int) -> str:
    """A region over the whole of a file, without fades."""
    sources = "".join(
        f' source-{index}="{first + index}" master-source-{index}="{first + index}"' for index in range(channels)
    )
    return (
        f'<Region name="{name}" id="{first + 50}" type="audio" channels="{channels}"{sources} muted="0" opaque="1" '
        f'start="a0" length="a{length}@a0" sync-position="a0" layering-index="0" first-edit="nothing" whole-file="0" '
        'default-fade-in="0" default-fade-out="0" fade-in-active="0" fade-out-active="0" envelope-active="0" '
        'scale-amplitude="1" stretch="1" shift="1" automatic="0" hidden="0" locked="0"/>'
    )
