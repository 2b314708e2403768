"""PhysicsNeMo's MeshGraphNet beside ours: same graph, same weights, into `results/peers.json`.

    python3 -m venv peer
    peer/bin/pip install torch==2.13.0
    peer/bin/pip install nvidia-physicsnemo==2.2.2 torch==2.13.0 torchvision==0.28.0 torch-geometric
    peer/bin/pip install --no-build-isolation torch-scatter
    python scripts/benchmarks/peers.py --python peer/bin/python --nodes 2000 20000

Each side is a process of its own with one thread; they take turns, forward and forward + backward,
and the least CPU time of each counts. Theirs runs with its concat trick, which makes it faster.
Outputs must agree to 1e-5 of the largest value. Ours has `gather="states"`, as theirs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

RESULTS = Path(__file__).resolve().parent / "results" / "peers.json"
WIDTH, BLOCKS = 128, 15
# Of larger meshes one side is measured after the other: theirs take 0.5 MB a node.
_TOGETHER = 10_000


def prepare(nodes: int, folder: Path) -> None:
    """The graph, what goes into the encoders, and weights, for both sides."""
    from meshgnn.benchmark.measure import unsolved
    from meshgnn.graph import to_graph

    model, graph = _ours(), to_graph(unsolved(nodes))
    inputs: dict[str, torch.Tensor] = {}
    for name, part in (("x", model.encode_node), ("edge", model.encode_edge)):
        part.register_forward_pre_hook(lambda _, given, key=name: inputs.update({key: given[0]}))
    model(graph)  # with gradients: the edges go in at once
    state = model.state_dict()
    torch.save(
        {"graph": graph.to_dict(), "state": state, "edges": graph.edge_index, **inputs},
        folder / "work.pt",
    )


def _ours(recompute: bool = False) -> Any:
    from meshgnn.models.mesh_graph_net import MeshGraphNet

    torch.manual_seed(0)
    kinds = {"activation": "relu", "gather": "states", "recompute": recompute}
    return MeshGraphNet(width=WIDTH, blocks=BLOCKS, **kinds)


def our_side(work: dict[str, Any], kind: str) -> tuple[nn.Module, Any]:
    """Our model and a call of it."""
    from torch_geometric.data import Data

    from meshgnn.allocator import keep_freed_memory

    keep_freed_memory()
    model = _ours(kind == "ours, recompute")
    model.load_state_dict(work["state"])
    graph = Data(**work["graph"])
    return model, lambda: model(graph)[:, 0]


def their_side(work: dict[str, Any], kind: str) -> tuple[nn.Module, Any]:
    """Their model with our weights, and a call of it."""
    _declare_operators()
    from physicsnemo.models.meshgraphnet import MeshGraphNet  # type: ignore[import-not-found]
    from torch_geometric.data import Data

    sizes = ("processor", "node_encoder", "edge_encoder", "node_decoder")
    model = MeshGraphNet(
        work["x"].shape[1],
        work["edge"].shape[1],
        1,
        processor_size=BLOCKS,
        mlp_activation_fn="relu",
        do_concat_trick=kind == "theirs",
        **{f"hidden_dim_{name}": WIDTH for name in sizes},
    )
    with torch.no_grad():
        for name, value in translated(work["state"], kind == "theirs").items():
            model.get_parameter(name).copy_(value)
    graph = Data(edge_index=work["edges"], num_nodes=len(work["x"]))
    x, edge = work["x"].detach(), work["edge"].detach()
    return model, lambda: model(x, edge, graph)


def translated(state: dict[str, torch.Tensor], split: bool) -> dict[str, torch.Tensor]:
    """Our weights under their names; columns in their order."""
    out = {}
    for name, value in state.items():
        head, *rest = name.split(".")
        if head in ("encode_node", "encode_edge", "decode"):
            theirs = {"encode_node": "node_encoder", "encode_edge": "edge_encoder"}
            out[".".join([theirs.get(head, "node_decoder"), "model", *rest])] = value
        elif head == "blocks":
            number, part, *rest = rest
            edge = f"processor.processor_layers.{2 * int(number)}.edge_mlp"
            node = f"processor.processor_layers.{2 * int(number) + 1}.node_mlp.model"
            if part == "node":
                first = rest == ["0", "weight"]  # ours takes (h, sum), theirs (sum, h)
                value = value.roll(WIDTH, dims=1) if first else value
                out[".".join([node, *rest])] = value
            elif part == "rest":
                place = str(int(rest[0]) + (1 if split else 2))
                out[".".join([edge, "model", place, *rest[1:]])] = value
            else:
                out |= _first(edge, rest[0], value, split)
    return out


def _first(edge: str, kind: str, value: torch.Tensor, split: bool) -> dict[str, torch.Tensor]:
    """The first edge layer: ours takes (target, source, edge), theirs (edge, source, target)."""
    if kind == "bias":
        return {f"{edge}.bias" if split else f"{edge}.model.0.bias": value}
    target, source, own = value.split(WIDTH, dim=1)
    if not split:
        return {f"{edge}.model.0.weight": torch.cat([own, source, target], dim=1)}
    return {f"{edge}.lin_efeat": own, f"{edge}.lin_src": source, f"{edge}.lin_dst": target}


def _declare_operators() -> None:
    """A torchvision made for CUDA looks for operators that a CPU torch lacks, only to name them."""
    try:
        import torchvision  # type: ignore[import-not-found]  # noqa: F401
    except RuntimeError:
        for name in [key for key in sys.modules if key.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declare_operators.kept = library  # type: ignore[attr-defined]


def serve(kind: str, file: str) -> None:
    """A side: answers "forward", "train" and "output" on its input with a line of JSON."""
    torch.set_num_threads(1)
    work = torch.load(file, weights_only=False)
    model, call = (our_side if kind.startswith("ours") else their_side)(work, kind)
    before = _peak()
    for line in sys.stdin:
        start = time.process_time()
        if line.strip() == "train":
            model.zero_grad(set_to_none=True)
            call().square().mean().backward()
        else:
            with torch.no_grad():
                field = call()
        answer: dict[str, Any] = {"ms": 1e3 * (time.process_time() - start), "peak_mb": _peak()}
        if line.strip() == "output":
            answer |= {"field": field.flatten().tolist(), "before_mb": before}
        print("ANSWER" + json.dumps(answer), flush=True)


def _peak() -> float:
    """Of this program alone: ru_maxrss would count what its parent held when it was started."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


class Side:
    """One side in its process."""

    def __init__(self, python: str, kind: str, file: Path) -> None:
        command = [python, __file__, "--serve", kind, str(file)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, what: str) -> dict[str, Any]:
        """One step of this side, and what it cost."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("ANSWER"):
                return json.loads(line[6:])
        raise RuntimeError(f"peers: {self.process.args} ended without an answer")

    def end(self) -> None:
        """Close its input; it ends by itself."""
        self.process.communicate()


def _measure(sides: dict[str, Side], repeats: int, fields: dict, times: dict) -> None:
    """These sides in turn, `repeats` times, and their end."""
    fields |= {kind: side.ask("output") for kind, side in sides.items()}
    for _ in range(repeats):
        for what in ("forward", "train"):
            for kind, side in sides.items():
                answer = side.ask(what)
                times.setdefault(kind, {}).setdefault(what, []).append(answer["ms"])
                fields[kind]["peak_mb"] = answer["peak_mb"]
    for side in sides.values():
        side.end()


def compare(nodes: int, python: str, repeats: int) -> dict[str, Any]:
    """Times of all sides on one mesh, in turn, and their ratios."""
    with tempfile.TemporaryDirectory() as folder:
        prepare(nodes, Path(folder))
        file = Path(folder) / "work.pt"
        kinds = {"theirs": python, "theirs, plain": python, "ours": sys.executable}
        kinds["ours, recompute"] = sys.executable
        together = [list(kinds)] if nodes <= _TOGETHER else [[kind] for kind in kinds]
        fields: dict[str, dict[str, Any]] = {}
        times: dict[str, dict[str, list[float]]] = {}
        for group in together:
            sides = {kind: Side(kinds[kind], kind, file) for kind in group}
            _measure(sides, repeats, fields, times)
    reference = torch.tensor(fields["theirs"].pop("field"))
    row: dict[str, Any] = {"nodes": nodes, "repeats": repeats}
    for kind, found in times.items():
        field = torch.tensor(fields[kind].pop("field", reference.tolist()))
        gap = float((field - reference).abs().max() / reference.abs().max())
        best = {f"{what}_ms": min(ms) for what, ms in found.items()}
        memory = (fields[kind]["peak_mb"] - fields[kind]["before_mb"]) / nodes
        row[kind] = best | {"difference": gap, "train_mb_per_node": memory}
        for what, ms in found.items():
            row[kind][f"{what}_ratio"] = min(ms) / min(times["theirs"][what])
    return row


def main() -> None:
    """Compare on every mesh, and keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", help="interpreter of the environment with PhysicsNeMo")
    parser.add_argument("--nodes", type=int, nargs="+", default=[2000])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--serve", nargs=2, metavar=("SIDE", "FILE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(*given.serve)
        return
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for nodes in given.nodes:
        found[str(nodes)] = row = compare(nodes, given.python, given.repeats)
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
        print(json.dumps(row, indent=1))


if __name__ == "__main__":
    main()
