"""A model called again and again on one graph, of which only some tensors change."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.marching.calling import evaluating

WAYS = (None, "inductor", "cuda-graph")
_CHANGING = ("u", "dirichlet", "time", "known")
Run = Callable[[], Tensor]


def repeated(
    model: nn.Module, graph: Data, way: str | None, precision: str
) -> Callable[[Data], Tensor]:
    """What calls the model on this graph, with other states, boundary values and times.

    Args:
        model: any.
        graph: as the model takes it, on its device.
        way: None: as it is; "inductor": torch.compile; "cuda-graph": all launches of one call are
            recorded and repeated as one.
        precision: see `evaluating`.

    Raises:
        ValueError: another way; a CUDA graph off CUDA, or of a model that waits for the GPU.
    """
    if way not in WAYS:
        raise ValueError(f"rollout: expected compile to be one of {WAYS}, got {way!r}")
    if way == "cuda-graph":
        if not graph.pos.is_cuda:
            raise ValueError(
                f"rollout: compile='cuda-graph' needs a model on a CUDA device, this one is on "
                f"{graph.pos.device}; load(name, device='cuda'), or compile='inductor'"
            )
        return Recorded(model, graph, precision, capture)
    call: Callable[[Data], Tensor] = model
    if way == "inductor":
        mode = "reduce-overhead" if graph.pos.is_cuda else None
        call = torch.compile(model, mode=mode, dynamic=False)

    def run(graph: Data) -> Tensor:
        with evaluating(model, precision):
            out = call(graph)
        return out if way is None else out.clone()  # the next call may write over it

    return run


class Recorded:
    """One call of the model, recorded on tensors that stay where they are.

    Args:
        model: any whose launches do not depend on values.
        graph: of all calls.
        precision: see `evaluating`.
        record: a call to where its result will be and what repeats it.

    Raises:
        ValueError: a model that cannot be recorded.
    """

    def __init__(
        self,
        model: nn.Module,
        graph: Data,
        precision: str,
        record: Callable[[Run], tuple[Tensor, Callable[[], object]]],
    ) -> None:
        self.graph = copy.copy(graph)
        for name in _CHANGING:
            self.graph[name] = graph[name].clone()

        def run() -> Tensor:
            with evaluating(model, precision, cached=False):
                return model(self.graph)

        try:
            self.out, self.repeat = record(run)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"rollout: the launches of {type(model).__name__} cannot be recorded as a CUDA "
                f"graph: {reason}; its forward must not ask the GPU for values. Leave compile out"
            ) from error

    def __call__(self, graph: Data) -> Tensor:
        for name in _CHANGING:
            self.graph[name].copy_(graph[name])
        self.repeat()
        return self.out.clone()


def capture(run: Run) -> tuple[Tensor, Callable[[], object]]:
    """By CUDA: a few calls first on a stream aside, which compile and allocate what they need."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = run()
    return out, graph.replay
