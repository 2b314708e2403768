"""What a graph holds: one table, and the check against it."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch_geometric.data import Data


@dataclass(frozen=True)
class Entry:
    """One attribute of a graph.

    Args:
        shape: one symbol or number per axis, equal symbols have equal lengths: N nodes, E edges
            (both directions), Z simplices of n corners, d space dimension, C components, F inputs,
            G inputs by cell, P parameters, K known states, S states asked for.
        dtype: the type of its numbers.
        meaning: what it is, with the unit where there is one.
        needed: whether every graph has it.
        finite: whether infinite numbers are refused; NaN always is.
    """

    shape: str
    dtype: torch.dtype
    meaning: str
    needed: bool = True
    finite: bool = True


_F, _I, _B = torch.float32, torch.int64, torch.bool
SCHEMA: dict[str, Entry] = {
    "pos": Entry("N d", _F, "node positions less their mean, in the unit of the mesh"),
    "edge_index": Entry("2 E", _I, "row 0 source j, row 1 target i; sorted by i, then j"),
    "simplex_index": Entry("n Z", _I, "nodes of the simplices that P1 lives on"),
    "u": Entry("N K C", _F, "the last K states, oldest first; K = 0 when steady"),
    "a": Entry("N F", _F, "inputs: sources and coefficients"),
    "cell_a": Entry("Z G", _F, "inputs as means over cells, constant on each simplex"),
    "theta": Entry("1 P", _F, "parameters of the whole sample"),
    "bc": Entry("N 4", _F, "one-hot: no condition, Dirichlet (any component), Neumann, Robin"),
    "dirichlet_mask": Entry("N C", _B, "which component of which node is prescribed"),
    "dirichlet": Entry("N S C", _F, "prescribed values of the S states, 0 where free"),
    "flux": Entry("N C", _F, "g of k ∂u/∂n + α u = g: mean over the node's flux facets"),
    "robin": Entry("N C", _F, "α, mean over the node's flux facets"),
    "flux_load": Entry("N C", _F, "∫ g φ_i over the flux facets, lumped"),
    "robin_load": Entry("N C", _F, "∫ α φ_i over the flux facets, lumped"),
    "normal": Entry("N d", _F, "unit outward normal on the boundary, 0 inside"),
    "area": Entry("N", _F, "lumped measure of the boundary ∫ φ_i ds, 0 inside"),
    "mass": Entry("N", _F, "lumped mass ∫ φ_i dx"),
    "dt": Entry("1", _F, "time from one state to the next, s; 0 when steady"),
    "time": Entry("1", _F, "time of the last known state, s", needed=False),
    "known": Entry(
        "1", _F, "how many of the K states are true; older ones repeat them", needed=False
    ),
    "y": Entry("N S C", _F, "the true next S states", needed=False),
    "edge_shift": Entry("E d", _F, "periods added: Δx = x_j − x_i + shift · period", needed=False),
    "period": Entry("1 d", _F, "the period in each direction", needed=False),
    "gravity": Entry("1 d", _F, "acceleration of all that is free, m/s²", needed=False),
    "walls": Entry(
        "1 w",
        _F,
        "of bodies in motion: lowest, then highest positions, w = 2 d, ±inf where open",
        needed=False,
        finite=False,
    ),
    "simplex_shift": Entry("Z m", _F, "periods added to the n corners, m = n d", needed=False),
    "part_index": Entry("k Q", _I, "nodes of the facets of named parts, split", needed=False),
    "part": Entry("Q", _I, "which name each of these facets has", needed=False),
    "part_name": Entry("L b", torch.uint8, "the names, as bytes; see part_names", needed=False),
}
_PERIODIC = ("edge_shift", "period", "simplex_shift")
_SIZES = {
    "dim": ("d", "space dimensions"),
    "channels": ("C", "components of the solution"),
    "inputs": ("F", "inputs per node"),
    "cell_inputs": ("G", "inputs per cell"),
    "params": ("P", "parameters"),
    "history": ("K", "known states"),
    "bundle": ("S", "states to predict"),
}


def check_graph(graph: Data, model: nn.Module | None = None) -> None:
    """Whether one graph (not a batch) follows `SCHEMA`, and fits a model if one is given.

    Covers presence (of what periodicity needs all or nothing), type, shape, finite numbers, index
    ranges, the order of the edges and positive mass. Attributes beyond the schema are left alone. A
    model tells its sizes by `model.hparams`; S may be a multiple of the model's bundle (several
    steps, as a pushforward loss takes them).

    Raises:
        ValueError: the first thing that differs: what was expected, what came, the remedy.
    """
    sizes = _check_shapes(graph)
    for name, entry in SCHEMA.items():
        value = graph.get(name)
        if value is None or not value.is_floating_point():
            continue
        fine = torch.isfinite(value) if entry.finite else ~torch.isnan(value)
        if not fine.all():
            bad = torch.nonzero(~fine)
            raise ValueError(
                f"graph.{name}: {len(bad)} values are NaN or infinite in float32, the first at "
                f"index {tuple(bad[0].tolist())}; repair the data or change its unit"
            )
    for name in ("edge_index", "simplex_index"):
        _check_range(name, graph[name], sizes["N"])
    key = graph.edge_index[1] * sizes["N"] + graph.edge_index[0]
    if not (key[1:] > key[:-1]).all():
        raise ValueError(
            "graph.edge_index: expected edges sorted by target (row 1), then source (row 0), each "
            "once; build graphs with to_graph, or sort them"
        )
    if not (graph.mass > 0).all():
        bad = torch.nonzero(graph.mass <= 0)[:, 0]
        raise ValueError(
            f"graph.mass: expected positive lumped mass, got {len(bad)} nodes without, the first "
            f"{bad[:5].tolist()}; the mesh has inverted or degenerate cells, see mesh.check()"
        )
    if model is not None:
        _check_model(sizes, model)


def _check_shapes(graph: Data) -> dict[str, int]:
    """Presence, types and shapes; returns the lengths of the symbols."""
    sizes: dict[str, int] = {}
    for name, entry in SCHEMA.items():
        value = graph.get(name)
        if value is None and not entry.needed:
            continue
        if not isinstance(value, Tensor):
            raise ValueError(
                f"graph.{name} [{entry.shape}] is missing ({entry.meaning}); build graphs with "
                "to_graph or MeshDataset"
            )
        symbols = entry.shape.split()
        known = [int(s) if s.isdigit() else sizes.get(s) for s in symbols]
        fits = len(symbols) == value.ndim and all(
            length in (None, got) for length, got in zip(known, value.shape, strict=True)
        )
        if not fits or value.dtype != entry.dtype:
            expected = [s if k is None else k for s, k in zip(symbols, known, strict=True)]
            raise ValueError(
                f"graph.{name} ({entry.meaning}): expected {entry.dtype} [{entry.shape}] = "
                f"{expected}, got {value.dtype} {list(value.shape)}; build graphs with to_graph"
            )
        sizes.update(zip(symbols, value.shape, strict=True))
    _check_periodic(graph)
    return sizes


def _check_periodic(graph: Data) -> None:
    missing = [name for name in _PERIODIC if graph.get(name) is None]
    if 0 < len(missing) < len(_PERIODIC):
        raise ValueError(
            f"graph: expected {', '.join(_PERIODIC)} together (a periodic mesh) or none of them, "
            f"without {' and '.join(missing)}; build graphs with to_graph"
        )


def _check_range(name: str, index: Tensor, nodes: int) -> None:
    if index.numel() and (int(index.min()) < 0 or int(index.max()) >= nodes):
        raise ValueError(
            f"graph.{name}: expected node indices from 0 to {nodes - 1}, got {int(index.min())} to "
            f"{int(index.max())}"
        )


def _check_model(sizes: dict[str, int], model: nn.Module) -> None:
    hparams = getattr(model, "hparams", {})
    for key, (symbol, meaning) in _SIZES.items():
        expected, got = hparams.get(key), sizes[symbol]
        if expected is None or got == expected:
            continue
        if symbol == "S" and got % expected == 0:
            continue
        raise ValueError(
            f"{type(model).__name__} was made for {meaning}: {expected} ({key}={expected}), the "
            f"graph has {got}; load or train a model with {key}={got}, or give it other data"
        )
