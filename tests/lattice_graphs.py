"""Graphs of lattice samples, straight from cells: small, with a known field."""

import numpy as np
import torch
from torch_geometric.data import Data

NONE = ((0, 0),) * 4


def mask_of(cells: int, corners: tuple) -> np.ndarray:
    """Which cells [x, y] are left of the square."""
    mask = np.ones((cells, cells), dtype=bool)
    for (width, height), (sx, sy) in zip(
        corners, ((1, 1), (-1, 1), (1, -1), (-1, -1)), strict=True
    ):
        mask[::sx, ::sy][:width, :height] = False
    return mask


def lattice(cells: int = 8, corners: tuple = NONE, seed: int = 0, start: int = 0) -> Data:
    """The graph of a lattice sample, u = g = a·x + b (x² − y²) + c x² with f = 2 c.

    Centres, then face midpoints counter-clockwise from the middle of the −x wall (the start moved
    on by `start`), then the corners of the square or of the cuts.
    """
    rng, mask = np.random.default_rng(seed), mask_of(cells, corners)
    centres = np.argwhere(mask) + 0.5
    padded = np.pad(mask, 1)
    walls = []
    for step in np.array([[1, 0], [-1, 0], [0, 1], [0, -1]]):
        there = np.argwhere(mask)
        out = there[~padded[tuple((there + 1 + step).T)]]
        walls.append(np.concatenate([out + 0.5 + step / 2, np.broadcast_to(step, out.shape)], 1))
    wall = np.concatenate(walls)
    angle = np.arctan2(*(wall[:, :2] - cells / 2).T[::-1])
    wall = np.roll(wall[np.argsort(angle)], -start, axis=0)
    signs = np.array([[1, 1], [-1, 1], [1, -1], [-1, -1]])
    tips = np.where(signs > 0, corners, cells - np.array(corners))
    place = np.concatenate([centres, wall[:, :2], tips]) / cells
    normal = np.concatenate([np.zeros_like(centres), wall[:, 2:], -signs / np.sqrt(2)])
    nodes, (ax, ay, b, c) = len(place), rng.normal(size=4)
    x, y = place.T
    u = 0.01 * (ax * x + ay * y + b * (x**2 - y**2) + c * x**2)
    on_wall = np.arange(nodes) >= len(centres)
    a = np.stack([np.full(nodes, -0.02 * c), np.ones(nodes), *rng.normal(size=(3, nodes))], 1)

    def floats(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.array(values, np.float32))

    return Data(
        pos=floats(place - place.mean(axis=0)),
        a=floats(a),
        area=floats(on_wall / cells),
        normal=floats(normal),
        dirichlet_mask=torch.from_numpy(on_wall[:, None]),
        dirichlet=floats((u * on_wall)[:, None, None]),
        flux=torch.zeros(nodes, 1),
        robin=torch.zeros(nodes, 1),
        theta=torch.zeros(1, 0),
        mass=torch.ones(nodes),
        y=floats(u[:, None, None]),
    )


CUTS = (((2, 3), (1, 2), (2, 2), (3, 1)), NONE)
