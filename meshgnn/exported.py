"""Models as programs of torch alone, for graphs of any size: files that run without us."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.atomic import replacing

_CLOSE = 1e-5
_NOTE = "meshgnn.json"
# Attributes that change what a model does where a graph has them: no program can take them later.
_WAYS = {
    "edge_shift": "it is periodic; export the model with periodic graphs",
    "batch": "give it one graph after the other, or export the model with batches",
}
_Sizes = dict[str, list[int | None]]


class Exported:
    """A program that `export` wrote: a graph to its field.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that `export` did not write.
    """

    def __init__(self, path: str | Path) -> None:
        if not Path(path).is_file():
            raise FileNotFoundError(f"Exported: no file {path}; write it with export")
        note = {_NOTE: ""}
        try:
            program = torch.export.load(path, extra_files=note)
            self.note: dict[str, Any] = json.loads(note[_NOTE])
            self.names: list[str] = self.note["inputs"]
            self.sizes: _Sizes = self.note["sizes"]
        except Exception as error:  # whatever reading a foreign file trips over
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ValueError(
                f"Exported: {path} is no program that export wrote: {reason}"
            ) from error
        self.program = program.module()

    def __call__(self, graph: Data) -> Float[Tensor, "N S C"]:
        """The field, as the model gives it; the graph went through `model.transform` if it has one.

        Raises:
            ValueError: a graph without one of the inputs, with one of another size than those of
                `export` had, periodic or a batch where they were not.
        """
        for name, remedy in _WAYS.items():
            if graph.get(name) is not None and name not in self.sizes:
                raise ValueError(
                    f"Exported: the graph has {name}, which those of export had not: {remedy}"
                )
        tensors = _tensors(graph, self.names)
        for name, tensor in zip(self.names, tensors, strict=True):
            sizes, found = self.sizes[name], list(tensor.shape)
            if [n if m is not None else None for n, m in zip(found, sizes, strict=True)] != sizes:
                text = ", ".join("any" if n is None else str(n) for n in sizes)
                raise ValueError(
                    f"Exported: expected graph.{name} of the size [{text}] of the graphs of export,"
                    f" got {found}; only what differed between them may have any size"
                )
        return self.program(*tensors)


def export(model: nn.Module, graphs: Sequence[Data], path: str | Path) -> list[str]:
    """Write the forward of a model as a torch.export program for graphs of any size.

    What differs in size between the graphs (nodes, edges, simplices, tokens, ...) may have any size
    later, what is equal is fixed. The program is traced on the first graph, read back from the file
    and must give the field of the model on all of them, to 1e-5 of its largest value. Weights,
    normalisation and exact boundary values are inside; `model.transform` is not: where a model has
    one, graphs that went through it go in. Evaluation only, on the device of the model.

    The file needs torch alone: `torch.export.load(path).module()(*tensors)` with the tensors of
    the graph in the order that this function returns, which the file names too.

    Args:
        model: MeshGraphNet, BENO ("linear", "nonlinear"), or another whose sizes follow from the
            sizes of its inputs.
        graphs: at least two of different numbers of nodes, as the model takes them.
        path: the file, such as "model.pt2".

    Returns:
        The attributes of a graph that the program takes, in order.

    Raises:
        ValueError: fewer than two graphs, or all of one size; only some of them periodic; a model
            that torch cannot trace for any size; a program whose field differs.
        OSError: the file cannot be written.
    """
    kind = type(model).__name__
    if len({len(graph.pos) for graph in graphs}) < 2:
        raise ValueError(
            "export: expected at least two graphs of different numbers of nodes, to see which "
            f"sizes may change, got {[len(graph.pos) for graph in graphs]}"
        )
    training = model.training
    model.eval()
    try:
        ready = [_transformed(model, graph) for graph in graphs]
        sizes = _sizes(ready)
        with torch.no_grad():
            fields = [model(graph) for graph in ready]
            names = _used(_trace(model, ready[0], list(sizes), sizes), list(sizes))
            program = _trace(model, ready[0], names, sizes)
    finally:
        model.train(training)
    note = {"model": kind, "hparams": getattr(model, "hparams", {})}
    note |= {"inputs": names, "sizes": sizes}
    with replacing(path) as aside:
        torch.export.save(program, aside, extra_files={_NOTE: json.dumps(note)})
        _check(Exported(aside), ready, fields, kind)
    return names


def _transformed(model: nn.Module, graph: Data) -> Data:
    transform = getattr(model, "transform", None)
    return graph if transform is None else transform(graph)


def _sizes(graphs: Sequence[Data]) -> _Sizes:
    """The sizes of all tensors that every graph has; None where the graphs differ."""
    sizes: _Sizes = {}
    for name, value in sorted(graphs[0].to_dict().items()):
        if all(isinstance(graph.get(name), Tensor) for graph in graphs):
            shapes = [graph[name].shape for graph in graphs]
            axes = zip(*shapes, strict=True)
            sizes[name] = [n[0] if len(set(n)) == 1 else None for n in axes]
        elif name in _WAYS and value is not None:
            raise ValueError(
                f"export: only some of the graphs have {name}, and a program is for one kind; "
                "export one for each"
            )
    return sizes


class _Program(nn.Module):
    """The model as a function of tensors."""

    def __init__(self, model: nn.Module, names: list[str], rest: dict[str, Tensor]) -> None:
        super().__init__()
        self.model, self.names, self.rest = model, names, rest

    def forward(self, *tensors: Tensor) -> Tensor:
        given = dict(zip(self.names, tensors, strict=True))
        return self.model(Data(**given, **self.rest))


def _trace(
    model: nn.Module, graph: Data, names: list[str], sizes: _Sizes
) -> torch.export.ExportedProgram:
    changing: dict[str, dict[int, Any]] = {}
    rest = {}
    for name, known in sizes.items():
        axes = [axis for axis, n in enumerate(known) if n is None]
        changing[name] = dict.fromkeys(axes, torch.export.Dim.DYNAMIC)
        if name not in names:  # at most a length that does not change is asked of it
            rest[name] = graph[name].new_zeros([n or 0 for n in known])
    try:
        return torch.export.export(
            _Program(model, names, rest),
            _tensors(graph, names),
            dynamic_shapes=(tuple(changing[name] for name in names),),
            strict=False,
        )
    except Exception as error:  # the tracer has many, most of them RuntimeErrors of its own
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"export: torch.export cannot trace {type(model).__name__} for graphs of any size: "
            f"{reason}"
        ) from error


def _used(program: torch.export.ExportedProgram, names: list[str]) -> list[str]:
    """The inputs that the traced program looks at."""
    given = program.graph_signature.user_inputs
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    return [
        name
        for name, key in zip(names, given, strict=True)
        if any(user.op != "output" for user in nodes[str(key)].users)
    ]


def _tensors(graph: Data, names: list[str]) -> tuple[Tensor, ...]:
    missing = [name for name in names if graph.get(name) is None]
    if missing:
        raise ValueError(
            f"Exported: the graph has no {', '.join(missing)}; build it with to_graph and, for a "
            "model with a transform, apply that first"
        )
    return tuple(graph[name] for name in names)


def _check(program: Exported, graphs: Sequence[Data], fields: list[Tensor], kind: str) -> None:
    with torch.no_grad():
        for graph, field in zip(graphs, fields, strict=True):
            gap = float((program(graph) - field).abs().max() / field.abs().max().clamp(min=1e-30))
            if not gap <= _CLOSE:
                raise ValueError(
                    f"export: the program of {kind} gives another field on a graph of "
                    f"{len(graph.pos)} nodes: it differs by {gap:.2g} of the largest value; "
                    "random numbers or the size of a graph went into the trace"
                )
