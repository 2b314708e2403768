"""What else could make blocks faster on a CPU: torch.compile, another order of the nodes."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data

from meshgnn.benchmark.measure import Row, apart, set_up, square_arrays, unsolved
from meshgnn.graph import local_order, renumbered, to_graph
from meshgnn.mesh import Mesh
from meshgnn.models import MeshGraphNet
from meshgnn.sample import Boundary, Sample


def _net(blocks: int, edges: str = "directed") -> MeshGraphNet:
    torch.manual_seed(0)
    return MeshGraphNet(width=128, blocks=blocks, activation="relu", edges=edges).eval()


def _forward(model: MeshGraphNet, graph: Data) -> torch.Tensor:
    with torch.no_grad():
        return model(graph)


def _train(model: MeshGraphNet, graph: Data) -> None:
    model.zero_grad(set_to_none=True)
    model(graph).square().mean().backward()


def _ms(call: Callable[[], Any]) -> float:
    begin = time.process_time()
    call()
    return 1e3 * (time.process_time() - begin)


def compiled(nodes: int = 2000, repeats: int = 5) -> list[Row]:
    """Blocks that walk their edges, and the same blocks on whole tensors through torch.compile."""
    return apart(_compiled, nodes, repeats)


def _compiled(nodes: int, repeats: int) -> list[Row]:
    set_up(1)
    graph = to_graph(unsolved(nodes))
    models = {"walked": _net(15), "compiled": _net(15)}
    models["compiled"].load_state_dict(models["walked"].state_dict())
    for block in models["compiled"].blocks:
        block.compile()
    first: dict[str, float] = {}
    for name, model in models.items():
        begin = time.perf_counter()
        _forward(model, graph)
        _train(model, graph)
        first[name] = time.perf_counter() - begin
    times: dict[tuple[str, str], list[float]] = {}
    for _ in range(repeats):
        for name, model in models.items():
            for key, call in (("forward_ms", _forward), ("train_ms", _train)):
                ms = _ms(lambda call=call, model=model: call(model, graph))
                times.setdefault((name, key), []).append(ms)
    fields = {name: _forward(model, graph) for name, model in models.items()}
    gap = (fields["compiled"] - fields["walked"]).abs().max() / fields["walked"].abs().max()
    rows: list[Row] = []
    for name in models:
        row: Row = {"nodes": nodes, "form": name, "first_call_s": first[name]}
        row |= {key: min(times[name, key]) for key in ("forward_ms", "train_ms")}
        row["train_ratio"] = row["train_ms"] / min(times["walked", "train_ms"])
        row["forward_ratio"] = row["forward_ms"] / min(times["walked", "forward_ms"])
        rows.append(row | {"difference": float(gap) if name == "compiled" else 0.0})
    return rows


def order(nodes: int, blocks: int, repeats: int = 5) -> list[Row]:
    """A mesh numbered at random, and its graph in the order of reverse Cuthill–McKee."""
    return [
        row for form in ("directed", "mixed") for row in apart(_order, nodes, blocks, repeats, form)
    ]


def _disordered(nodes: int) -> Data:
    """The graph of a square whose nodes are numbered at random."""
    points, cells = square_arrays(nodes)
    random = np.random.default_rng(1).permutation(len(points))
    points[random], cells = points.copy(), {k: random[block] for k, block in cells.items()}
    inputs = np.zeros((len(points), 2))
    return to_graph(Sample(Mesh(points, cells), Boundary.none(len(points), 1), inputs))


def _order(nodes: int, blocks: int, repeats: int, edges: str) -> list[Row]:
    set_up(1)
    given = _disordered(nodes)
    graphs = {"at random": given}

    def sort() -> None:
        graphs["Cuthill-McKee"] = renumbered(given, local_order(given.edge_index, len(given.pos)))

    sorting, model = _ms(sort), _net(blocks, edges)
    times: dict[str, list[float]] = {name: [] for name in graphs}
    for _ in range(repeats):
        for name, graph in graphs.items():
            times[name].append(_ms(lambda graph=graph: _forward(model, graph)))
    rows: list[Row] = []
    for name, graph in graphs.items():
        gap = (graph.edge_index[0] - graph.edge_index[1]).abs().double().mean()
        row: Row = {"nodes": len(given.pos), "blocks": blocks, "edges": edges, "order": name}
        row |= {"mean_gap": round(float(gap)), "forward_ms": min(times[name])}
        row["ratio"] = min(times[name]) / min(times["at random"])
        rows.append(row | {"sorting_ms": sorting if name != "at random" else 0.0})
    return rows


def gathers(nodes: int, repeats: int = 4) -> list[Row]:
    """What a block gathers from the sources of its edges, alone, in both orders; 128 channels."""
    set_up(1)
    given = _disordered(nodes)
    ordered = renumbered(given, local_order(given.edge_index, len(given.pos)))
    states, found = torch.randn(len(given.pos), 128), []
    for name, graph in {"at random": given, "Cuthill-McKee": ordered}.items():
        pieces = graph.edge_index[0].split(2048)
        z = torch.zeros(2048, 128)

        def walk(pieces: Any = pieces, z: torch.Tensor = z) -> None:
            for piece in pieces:
                z[: len(piece)] += states.index_select(0, piece)

        found.append((name, min(_ms(walk) for _ in range(repeats))))
    return [
        {"nodes": len(given.pos), "order": name, "gather_ms": ms, "ratio": ms / found[0][1]}
        for name, ms in found
    ]
