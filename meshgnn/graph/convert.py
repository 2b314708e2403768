"""One sample to one graph."""

import warnings

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Data

from meshgnn.graph.periodic import Classes
from meshgnn.mesh.measures import lumped, simplex_measures
from meshgnn.mesh.topology import simplices
from meshgnn.sample import Sample

_NAME = 32  # bytes of a part's name that a graph keeps
_FACETS = {1: "vertex", 2: "line", 3: "triangle", 4: "quad"}


def to_graph(sample: Sample, history: int = 0, bundle: int = 1, start: int = 0) -> Data:
    """The graph of a sample as `SCHEMA` has it, float32 from float64.

    States start ... start + K - 1 go in as `u`, the S after them are the target `y`; without them
    in the sample there is no `y`. Nothing but the first K states, the mesh, the inputs and the
    boundary conditions enters the other attributes.

    Args:
        sample: mesh, inputs, boundary conditions, and u where it is known.
        history: K, known states; 0 for a steady problem.
        bundle: S, states to predict; 1 for a steady problem.
        start: index of the first known state.

    Raises:
        ValueError: fewer than start + K states; several times but history = 0 and not all of them
            asked for; times that are not evenly spaced within the window.
    """
    return Data(**mesh_attributes(sample), **window(sample, history, bundle, start))


def mesh_attributes(sample: Sample) -> dict[str, Tensor]:
    """Everything that does not depend on time."""
    mesh, boundary, classes = sample.mesh, sample.boundary, Classes.of(sample)
    measure, flux_load, robin_load = (classes.sum(load) for load in _facet_loads(sample))
    mask = classes.pick(boundary.dirichlet_mask)
    touched = measure > 0
    over = np.divide(1.0, measure, out=np.zeros_like(measure), where=touched)[:, None]
    robin = robin_load * over
    kind = np.where(touched, np.where((robin != 0).any(axis=1), 3, 2), 0)
    kind[mask.any(axis=1)] = 1
    normal, area = classes.boundary()
    centred = mesh.points - mesh.points.mean(axis=0)  # in float64: far from 0 no digits are lost
    _warn_if_unresolved(centred, mesh.edges)
    return {
        "pos": _float(classes.pick(centred)),
        **_connections(classes),
        "a": _float(classes.pick(sample.inputs)),
        "cell_a": _float(sample.cell_inputs[mesh.simplex_cells]),
        "theta": _float(sample.params[None]),
        "bc": torch.nn.functional.one_hot(torch.from_numpy(kind), 4).float(),
        "dirichlet_mask": torch.from_numpy(mask.copy()),
        "flux": _float(flux_load * over),
        "robin": _float(robin),
        "flux_load": _float(flux_load),
        "robin_load": _float(robin_load),
        "normal": _float(normal),
        "area": _float(area),
        "mass": _float(classes.sum(mesh.lumped_mass)),
        **_scene(sample),
        **_parts(classes),
    }


def _parts(classes: Classes) -> dict[str, Tensor]:
    """Facets of the named groups of the boundary's dimension, split into simplices."""
    mesh = classes.mesh
    named = {name: group for name, group in mesh.groups.items() if group.dim == mesh.dim - 1}
    rows = [simplices(group.cells)[0] for group in named.values()]
    every = np.concatenate([np.zeros((0, mesh.dim), np.int64), *rows])
    texts = b"".join(name.encode()[:_NAME].ljust(_NAME, b"\0") for name in named)
    count = np.array([len(part) for part in rows], dtype=np.int64)
    return {
        "part_index": torch.from_numpy(classes.nodes(every).T.copy()),
        "part": torch.from_numpy(np.repeat(np.arange(len(rows)), count)),
        "part_name": torch.from_numpy(np.frombuffer(texts, np.uint8).reshape(-1, _NAME).copy()),
    }


def part_names(graph: Data) -> list[str]:
    """The names of the parts that `graph.part` counts."""
    rows = graph.part_name.tolist()
    return [bytes(row).rstrip(b"\0").decode(errors="replace") for row in rows]


def _scene(sample: Sample) -> dict[str, Tensor]:
    """Of a body in motion: gravity, and walls relative to the mean of its nodes."""
    out, mesh, names = {}, sample.mesh, sample.names.get("params", [])
    gravity = [f"gravity_{axis}" for axis in "xyz"[: mesh.points.shape[1]]]
    if set(gravity) <= set(names):
        out["gravity"] = _float(sample.params[[names.index(name) for name in gravity]][None])
    if walls := sample.meta.get("walls"):
        sides = ((walls["lo"], -np.inf), (walls["hi"], np.inf))
        bounds = [[far if w is None else w for w in side] for side, far in sides]
        out["walls"] = _float((np.array(bounds) - mesh.points.mean(axis=0)).reshape(1, -1))
    return out


def _connections(classes: Classes) -> dict[str, Tensor]:
    """Edges and simplices; on a periodic mesh with the periods that each of them crosses."""
    mesh = classes.mesh
    simplex_index = torch.from_numpy(classes.nodes(mesh.simplices).T.copy())
    if not classes.periodic:
        edges = directed_edges(mesh.edges, mesh.num_nodes)
        return {"edge_index": torch.from_numpy(edges), "simplex_index": simplex_index}
    pairs, shift = classes.edges()
    both = np.concatenate([pairs, pairs[:, ::-1]])  # row (i, j) is the edge from j to i
    order = np.lexsort((both[:, 1], both[:, 0]))
    return {
        "edge_index": torch.from_numpy(both[order].T[::-1].copy()),
        "simplex_index": simplex_index,
        "edge_shift": _float(np.concatenate([shift, -shift])[order]),
        "period": _float(classes.period[None]),
        "simplex_shift": _float(classes.shifts[mesh.simplices].reshape(len(mesh.simplices), -1)),
    }


def window(sample: Sample, history: int, bundle: int, start: int) -> dict[str, Tensor]:
    """What depends on time: the known states, boundary values and target of one window."""
    count, first, classes = len(sample.times), start + history, Classes.of(sample)
    states = np.zeros((0, sample.mesh.num_nodes, sample.channels)) if sample.u is None else sample.u
    if len(states) < first and history:
        raise ValueError(
            f"to_graph: expected at least start + history = {first} states in sample.u, got "
            f"{len(states)}; give the initial states, or a smaller history"
        )
    if history == 0 and bundle != count:
        raise ValueError(
            f"to_graph: the sample has {count} times, but history=0, bundle={bundle}; pass "
            "history=1 (or more) for a time-dependent problem"
        )
    times = sample.times[start : first + bundle]
    steps = np.diff(times)
    dt = float(steps[-1]) if len(steps) else 0.0
    if not same_step(steps, dt):
        raise ValueError(
            f"to_graph: expected evenly spaced times in a window, got steps from {steps.min():g} "
            f"to {steps.max():g} at index {start}; resample, or take history=1, bundle=1"
        )
    last = float(times[min(history, len(times)) - 1]) if history else float(sample.times[0] - dt)
    out = {
        "u": _float(classes.pick(states[start:first].swapaxes(0, 1))),
        "dirichlet": dirichlet_at(sample, last + dt * np.arange(1, bundle + 1)),
        "dt": torch.tensor([dt]),
    }
    if history:
        out["time"] = torch.tensor([last])
    if len(states) >= first + bundle:
        out["y"] = _float(classes.pick(states[first : first + bundle].swapaxes(0, 1)))
    return out


def dirichlet_at(sample: Sample, times: Float[np.ndarray, " S"]) -> Float[Tensor, "N S C"]:
    """Prescribed values at the given times (s), 0 where free; constant beyond the given data."""
    mask = sample.boundary.dirichlet_mask
    values = [np.where(mask, sample.dirichlet_at(float(t)), 0.0)[:, None] for t in times]
    none = np.zeros((len(mask), 0, mask.shape[1]))  # of a graph without a next state, S = 0
    return _float(Classes.of(sample).pick(np.concatenate([none, *values], axis=1)))


def same_step(steps: Float[np.ndarray, " n"], dt: float) -> bool:
    """Whether all time steps (s) are dt, to 1e-4 of it: far above the rounding of given times."""
    return np.allclose(steps, dt, rtol=1e-4, atol=0.0)


def directed_edges(edges: Int[np.ndarray, "E 2"], num_nodes: int) -> Int[np.ndarray, "2 D"]:
    """Both directions of every edge, row 0 source, row 1 target, sorted by target, then source."""
    keys = np.concatenate([edges[:, 0] * num_nodes + edges[:, 1], edges @ (1, num_nodes)])
    keys.sort()  # one sort of integers is several times faster than lexsort
    target, source = np.divmod(keys, num_nodes)
    return np.stack([source, target])


def _facet_loads(
    sample: Sample,
) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, "N C"], Float[np.ndarray, "N C"]]:
    """∫ φ_i, ∫ g φ_i and ∫ α φ_i over the flux facets, with g and α constant on each."""
    mesh, boundary = sample.mesh, sample.boundary
    total = np.zeros((1 + 2 * sample.channels, mesh.num_nodes))
    density = np.concatenate(
        [np.ones((len(boundary.facets), 1)), boundary.flux, boundary.alpha], axis=1
    )
    corners = (boundary.facets >= 0).sum(axis=1)
    for size in np.unique(corners):
        chosen = np.flatnonzero(corners == size)
        parts, owner = simplices({_FACETS[int(size)]: boundary.facets[chosen, :size]})
        areas = np.abs(simplex_measures(mesh.points, parts))
        for row, values in zip(total, density[chosen].T, strict=True):
            row += lumped(parts, areas * values[owner], mesh.num_nodes)
    loads = total[1:].T
    return total[0], loads[:, : sample.channels], loads[:, sample.channels :]


def _warn_if_unresolved(points: np.ndarray, edges: np.ndarray) -> None:
    """Warn where float32 leaves fewer than about four digits of the shortest edge."""
    sides = points[edges[:, 0]] - points[edges[:, 1]]
    shortest = float(np.sqrt(np.einsum("ed,ed->e", sides, sides).min(initial=np.inf)))
    far = float(np.abs(points).max())
    if shortest < 1e-5 * far:
        warnings.warn(
            f"the shortest edge ({shortest:.3g}) is less than 1e-5 of the distance from the mean "
            f"of the nodes to the farthest ({far:.3g}): graphs are float32 and resolve it poorly; "
            "use a coarser mesh there, or a smaller domain",
            stacklevel=3,
        )


def _float(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float32, order="C"))
