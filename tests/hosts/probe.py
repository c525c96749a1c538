"""What only a fresh process can tell: time to load, memory, and whether destroying the plugin brings the host down.

Run by the tests of pedalboard as `probe.py BUNDLE load | memory COUNT | destroy-new COUNT | destroy-playing COUNT`.
Reports in JSON on the last line of standard output.
"""

import gc
import json
import sys
import threading
import time

import numpy as np
import pedalboard
import psutil

RATE = 48_000
NOISE = np.random.default_rng(1).normal(0.0, 0.1, (2, 2 * RATE)).astype(np.float32)


def load(bundle: str) -> dict:
    """Milliseconds from a path to an instance in a host.

    In DawDreamer: pedalboard renders through whatever it loads, and while a host renders the plugin makes it wait until
    graphs and voices are there.
    """
    import dawdreamer

    engine = dawdreamer.RenderEngine(RATE, 512)
    start = time.perf_counter()
    plugin = engine.make_plugin_processor("coffre", bundle)
    return {"load_ms": 1000 * (time.perf_counter() - start), "latency": plugin.get_latency_samples()}


def memory(bundle: str, count: int) -> dict:
    """Resident megabytes of `count` playing instances above those of the host that has played without them."""
    host = pedalboard.Pedalboard([pedalboard.Gain(), pedalboard.Reverb()])
    host.process(NOISE, RATE)
    before = resident_mb()
    plugins = [pedalboard.load_plugin(bundle) for _ in range(count)]
    for plugin in plugins:
        for voice in (1, 0):
            plugin.parameters["voice"].raw_value = voice / 15
            plugin.process(NOISE, RATE, buffer_size=512, reset=True)
    return {"resident_mb": resident_mb() - before, "instances": len(plugins)}


def destroy(bundle: str, count: int, is_playing: bool) -> dict:
    """Makes and drops instances, fresh ones or in the middle of a stream; threads and memory have to come back."""
    keeper = pedalboard.load_plugin(bundle)
    keeper.process(NOISE, RATE, reset=True)
    settle()
    threads, resident = threads_now(), resident_mb()
    longest = 0.0
    for index in range(count):
        plugin = pedalboard.load_plugin(bundle)
        if is_playing:
            # Every time another place: inside a hop, before the first sound, after it.
            plugin.process(NOISE[:, : 100 + 613 * index], RATE, buffer_size=64 + index, reset=False)
        start = time.perf_counter()
        del plugin
        gc.collect()
        longest = max(longest, time.perf_counter() - start)
    settle()
    still = keeper.process(NOISE, RATE, reset=True)
    return {
        "threads_left": threads_now() - threads,
        "megabytes_left": resident_mb() - resident,
        "longest_ms": 1000 * longest,
        "still_sounds": bool(np.isfinite(still).all() and np.abs(still).max() > 1e-3),
    }


def destroy_in_threads(bundle: str, count: int) -> dict:
    """Drops instances on other threads while one plays on."""
    keeper = pedalboard.load_plugin(bundle)
    wanted = keeper.process(NOISE, RATE, reset=True)
    doomed = [pedalboard.load_plugin(bundle) for _ in range(count)]
    thread = threading.Thread(target=doomed.clear)
    thread.start()
    found = keeper.process(NOISE, RATE, reset=True)
    thread.join()
    return {"identical": bool((wanted == found).all()), "left": len(doomed)}


def settle() -> None:
    gc.collect()
    time.sleep(0.2)


def threads_now() -> int:
    return psutil.Process().num_threads()


def resident_mb() -> float:
    return psutil.Process().memory_info().rss / 2**20


def main() -> None:
    bundle, what, *rest = sys.argv[1:]
    count = int(rest[0]) if rest else 1
    report = {
        "load": lambda: load(bundle),
        "memory": lambda: memory(bundle, count),
        "destroy-new": lambda: destroy(bundle, count, is_playing=False),
        "destroy-playing": lambda: destroy(bundle, count, is_playing=True),
        "destroy-in-threads": lambda: destroy_in_threads(bundle, count),
    }[what]()
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
