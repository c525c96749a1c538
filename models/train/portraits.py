"""Pictures of the embedded voices: each a piece of the mineral that it is named after, cut into facets.

Everything is computed, from a seed that is the name: a Voronoi diagram whose cells reflect one light, in colours from dark
to light that a voice has by its name. 256 pixels square, PNG.
"""

import zlib

import matplotlib.image
import numpy as np

SIDE = 256
# From shadow to light; cells; how far cells are stretched; share of stripes.
LOOKS = {
    "basalt": (("#14161a", "#2c3138", "#4d5560", "#7d8894"), 26, 1.0, 0.0),
    "celadon": (("#3f6b5c", "#6d9f8b", "#a3c9b5", "#dcefe2"), 34, 1.0, 0.0),
    "garnet": (("#2b040c", "#6e0d22", "#b3203a", "#f0697a"), 30, 1.0, 0.0),
    "ochre": (("#4a2a0c", "#9a5b16", "#cf8b2d", "#f2cf86"), 40, 1.6, 0.15),
    "onyx": (("#08080a", "#1b1b20", "#3a3a42", "#d8d4cc"), 18, 3.5, 0.5),
    "opal": (("#6f8fb8", "#a6c8d8", "#e8d3e6", "#fff3e2"), 44, 1.2, 0.1),
    "quartz": (("#8a8fa3", "#bcc2d2", "#e3e6ee", "#ffffff"), 24, 2.0, 0.0),
    "topaz": (("#6b3305", "#c26d10", "#f0a93a", "#ffe3a1"), 28, 1.0, 0.0),
}


def colours(shades, light):
    """RGB `[..., 3]` of a brightness in 0..1, between a voice's shades."""
    known = np.array([[int(shade[i : i + 2], 16) / 255 for i in (1, 3, 5)] for shade in shades])
    places = np.linspace(0, 1, len(known))
    return np.stack([np.interp(light, places, known[:, channel]) for channel in range(3)], -1)


def draw(name):
    """The picture `[256, 256, 3]` of a voice, 0..1, averaged down from twice the size."""
    shades, cells, stretch, stripes = LOOKS[name]
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    size = 2 * SIDE
    x, y = np.meshgrid(*[np.linspace(-1, 1, size)] * 2)
    angle = rng.uniform(0.5, 1.0)
    u, v = x * np.cos(angle) + y * np.sin(angle), (y * np.cos(angle) - x * np.sin(angle)) * stretch
    seeds = rng.uniform(-1.5, 1.5, (cells, 2)) * [1, stretch]
    distance = np.hypot(u[..., None] - seeds[:, 0], v[..., None] - seeds[:, 1])
    order = np.partition(distance, 1, 2)
    cell, edge = distance.argmin(2), order[..., 1] - order[..., 0]
    # Every facet leans its own way; one light from above on the left.
    lean = rng.normal(0, 0.5, (cells, 2))
    facet = 0.5 - 0.32 * (lean[:, 0] + lean[:, 1])[cell]
    slope = 0.22 * ((u - seeds[cell, 0]) * lean[cell, 1] - (v - seeds[cell, 1]) / stretch * lean[cell, 0])
    bands = 0.5 + 0.5 * np.sin(9 * v / stretch + 1.5 * np.sin(2 * u) + rng.uniform(0, 6))
    light = (1 - stripes) * (facet + slope) + stripes * bands - 0.18 * np.hypot(x + 0.3, y + 0.3) + 0.14
    light += 0.25 * np.exp(-((edge / 0.012) ** 2)) + 0.1 * np.exp(-((edge / 0.05) ** 2))
    picture = colours(shades, np.clip(light, 0, 1))
    return picture.reshape(SIDE, 2, SIDE, 2, 3).mean((1, 3))


def run(folder):
    """Write every picture below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in LOOKS:
        matplotlib.image.imsave(folder / f"{name}.png", draw(name))
