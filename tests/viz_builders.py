"""Small meshes and samples for pictures, and what their pixels say."""

from dataclasses import replace

import numpy as np
from matplotlib import colormaps

from meshgnn.mesh import Mesh
from meshgnn.sample import Boundary, Sample


def cube() -> Mesh:
    corners = np.array([[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)], float)
    return Mesh(corners, {"hexahedron": np.array([[0, 1, 3, 2, 4, 5, 7, 6]])}).refined()


def interval(n: int = 20) -> Mesh:
    nodes = np.random.default_rng(0).permutation(n)
    points = np.zeros((n, 1))
    points[nodes, 0] = np.linspace(0, 1, n)
    return Mesh(points, {"line": np.stack([nodes[:-1], nodes[1:]], axis=1)})


def wave(mesh: Mesh, channels: int = 1, times: int = 1, noise: float = 0.0) -> Sample:
    """u_c(x, t) = sin(4x + c + 6t) + noise cos(9x)."""
    x, t = mesh.points[:, 0], np.linspace(0, 1, times)
    phase = x[None, :, None] * 4 + np.arange(channels) + 6 * t[:, None, None]
    u = np.sin(phase) + noise * np.cos(9 * x)[None, :, None]
    boundary = Boundary.none(mesh.num_nodes, channels)
    names = {"u": ["ux", "uy", "uz"][:channels] if channels > 1 else ["u"], "inputs": ["source"]}
    inputs = mesh.points[:, :1] ** 2
    return Sample(mesh, boundary, inputs, times=t, u=u, names=names, units={"u": "K"})


def with_band(sample: Sample, std: float) -> Sample:
    """The same field with a constant standard deviation, as `predict(uncertainty=True)` gives."""
    assert sample.u is not None
    names = sample.names | {"u": [*sample.names["u"], *(f"{n}_std" for n in sample.names["u"])]}
    u = np.concatenate([sample.u, np.full_like(sample.u, std)], axis=2)
    boundary = Boundary.none(sample.mesh.num_nodes, 2 * sample.channels)
    return replace(sample, u=u, names=names, boundary=boundary)


def like(image: np.ndarray, colour: object, within: int = 12) -> np.ndarray:
    """[H, W] which pixels have this colour."""
    return np.abs(image[..., :3].astype(int) - np.asarray(colour)).max(axis=-1) <= within


def colours_of(name: str) -> np.ndarray:
    """The ends and the middle of a colour map, 0 to 255."""
    return colormaps[name]([0.0, 0.5, 1.0], bytes=True)[:, :3].astype(int)


def ink(image: np.ndarray) -> float:
    """The share of the pixels that are not white."""
    return float((image < 235).any(axis=-1).mean())


def written(image: np.ndarray) -> int:
    """How many pixels are black as letters are."""
    return int((image < 60).all(axis=-1).sum())
