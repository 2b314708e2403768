"""The messages of a block by the kernels for GPUs, where they were asked for and fit.

The gradient computes all activations again. What the weights need of it is left in memory, one
block at a time, for the products of the library; sources are summed in the order of their own
numbers. Nothing is added atomically.
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from meshgnn.nn.edge_chain import Walk
from meshgnn.nn.edge_walk import _again

_CHOICES = ("plain", "triton")
_WIDTHS = (16, 32, 64, 128)  # powers of two; wider weights do not fit beside a tile
_ACTS = {torch.relu: "relu", torch.tanh: "tanh", nn.functional.silu: "silu"}
_CHOSEN: ContextVar[str | None] = ContextVar("kernels", default=None)
_RUNS: Any = WeakIdKeyDictionary()


@contextmanager
def kernels(name: str) -> Iterator[None]:
    """Inside, blocks on a GPU run by these kernels, whatever MESHGNN_KERNELS says.

    Args:
        name: "triton" or "plain" (whole tensors, torch alone).

    Raises:
        ValueError: another name.
        ImportError: Triton is asked for and not installed.
    """
    token = _CHOSEN.set(_known(name))
    try:
        yield
    finally:
        _CHOSEN.reset(token)


def _known(name: str) -> str:
    if name not in _CHOICES:
        raise ValueError(f"kernels: expected {' or '.join(_CHOICES)} (MESHGNN_KERNELS), got {name}")
    if name == "triton" and find_spec("triton") is None:
        raise ImportError(
            "kernels: 'triton' was asked for (MESHGNN_KERNELS) and is not installed; it comes with "
            "the CUDA wheels of torch for Linux, or by pip install triton. 'plain' needs nothing"
        )
    return name


def fused_fits(walk: Walk, h: Tensor, e: Tensor) -> bool:
    """Whether the kernels were asked for and can run this walk on these tensors.

    On a CPU they run in Triton's interpreter only (TRITON_INTERPRET=1), which is for tests.

    Raises:
        ValueError, ImportError: see `kernels`.
    """
    name = _CHOSEN.get() or _known(os.environ.get("MESHGNN_KERNELS", "plain"))
    if name != "triton" or torch.compiler.is_compiling():
        return False
    if h.device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return False
    reason = _misfit(walk, h, e)
    if reason:
        warnings.warn(f"kernels: whole tensors are used, not Triton: {reason}", stacklevel=2)
    return not reason


def _misfit(walk: Walk, h: Tensor, e: Tensor) -> str:
    if h.shape[1] != e.shape[1] or h.shape[1] not in _WIDTHS:
        return f"widths {h.shape[1]} (nodes) and {e.shape[1]} (edges) are not one of {_WIDTHS}"
    if walk.linears not in (1, 2) or len(walk.steps) != walk.linears:
        return f"{walk.linears} hidden layers are not 1 or 2"
    if _format(e) not in (torch.float32, torch.bfloat16) or e.dtype == torch.float64:
        return f"{_format(e)} is not float32 or bfloat16"
    if h.is_cuda and (torch.version.hip or torch.cuda.get_device_capability(h.device) < (8, 0)):
        return "the GPU is not one of NVIDIA's from compute capability 8.0 on"
    return ""


def _format(e: Tensor) -> torch.dtype:
    """The number format of the products."""
    kind = e.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else e.dtype


@dataclass(frozen=True)
class Runs:
    """Where the edges of every node are.

    Args:
        source: of every edge [E].
        target: of every edge [E], ascending.
        pointer: the edges into node i are those from pointer[i] to pointer[i + 1] [N + 1].
        order: the edges by source [E].
        out_pointer: those out of node i are order[out_pointer[i] : out_pointer[i + 1]] [N + 1].
    """

    source: Int[Tensor, " E"]
    target: Int[Tensor, " E"]
    pointer: Int[Tensor, " P"]
    order: Int[Tensor, " E"]
    out_pointer: Int[Tensor, " P"]

    @classmethod
    def of(cls, edge_index: Int[Tensor, "2 E"], num_nodes: int) -> "Runs":
        """Kept as long as the tensor lives and is not written to."""
        version = -1 if edge_index.is_inference() else edge_index._version
        kept = _RUNS.get(edge_index)
        if kept is not None and kept[0] == (version, num_nodes) and version >= 0:
            return kept[1]
        source, target = (row.clone() for row in edge_index)  # views would keep it alive
        by_source, order = torch.sort(source, stable=True)
        ends = torch.arange(num_nodes + 1, device=source.device)
        pointers = [torch.searchsorted(x, ends, out_int32=True) for x in (target, by_source)]
        runs = cls(source, target, pointers[0], order, pointers[1])
        _RUNS[edge_index] = (version, num_nodes), runs
        return runs


def fused_edges(
    walk: Walk,
    edge_index: Int[Tensor, "2 E"],
    e: Float[Tensor, "E H"],
    p: Float[Tensor, "N H"],
    q: Float[Tensor, "N H"],
    params: list[Tensor],
) -> tuple[Float[Tensor, "N H"], Float[Tensor, "E H"]]:
    """What `walk_edges` gives, in one kernel; results in the number format of e.

    Products are taken in bfloat16 under autocast, otherwise in the format of e, and added up in
    float32. Without gradients e + m is written over e. Can be differentiated twice, the second time
    on whole tensors. `fused_fits` says whether it may be called.
    """
    launch = _Launch(walk, edge_index, len(p), e)
    if torch.is_grad_enabled() and any(x.requires_grad for x in (e, p, q, *params)):
        return _Fused.apply(launch, edge_index, e, p, q, *params)  # type: ignore[return-value]
    return launch.forward([e, p, q, *params], over=walk.residual)


class _Launch:
    """One walk on one graph: sizes, options and the two launches."""

    def __init__(self, walk: Walk, edge_index: Tensor, num_nodes: int, e: Tensor) -> None:
        from meshgnn.nn import triton_kernels  # here: Triton is optional

        self.kernels, self.walk, self.num_nodes = triton_kernels, walk, num_nodes
        self.format, self.runs = _format(e), Runs.of(edge_index, num_nodes)
        half = self.format == torch.bfloat16
        nodes = 32 if half else 16
        count = torch.cuda.get_device_properties(e.device).multi_processor_count if e.is_cuda else 1
        self.programs = max(1, min(-(-num_nodes // nodes), 2 * count))
        exact = "tf32x3" if torch.get_float32_matmul_precision() == "highest" else "tf32"
        self.options: dict[str, Any] = {
            "H": e.shape[1],
            "NODES": nodes,
            "EDGES": 64 if half else 32,
            "LAYERS": walk.linears,
            "ACT": _ACTS[walk.steps[0].plain],  # type: ignore[index]
            "NORM": walk.eps is not None,
            "RESIDUAL": walk.residual,
            "STATES": walk.states,
            "PRECISION": "tf32" if half else exact,
            "PARTS": 2 if half else 3,
            "KEEP": half,
            "num_warps": 8,
            "num_stages": 1,
        }

    def _inputs(self, inputs: Sequence[Tensor]) -> list[Any]:
        """e, p, q, the graph and the parameters, as both kernels begin."""
        e, p, q, *params = (x.detach().contiguous() for x in inputs)
        split = len(params) - 2 * (self.walk.eps is not None)
        products = [x.to(self.format) if x.ndim == 2 else x.float() for x in params[:split]]
        products += products[:2] * (3 - split // 2)  # what is not there is not read
        norm = [x.float() for x in params[split:]] or products[1:2] * 2
        runs = self.runs
        return [e, p, q, runs.source, runs.target, runs.pointer, *products, *norm]

    def forward(self, inputs: Sequence[Tensor], over: bool) -> tuple[Tensor, Tensor]:
        """Sums and messages or states, the latter over e if they may be."""
        given = self._inputs(inputs)
        e = given[0]
        out, total = e if over else torch.empty_like(e), e.new_empty(self.num_nodes, e.shape[1])
        with torch.cuda.device_of(e):
            self.kernels.edge_forward[(self.programs,)](
                *given, out, total, self.num_nodes, self.walk.eps or 0.0, **self.options
            )
        return total, out

    def backward(
        self, inputs: Sequence[Tensor], g_total: Tensor | None, g_out: Tensor | None
    ) -> list[Tensor]:
        """The gradients of all inputs, in their order and number formats."""
        *given, _ = self._inputs(inputs)
        e, p, q, layers = given[0], given[1], given[2], self.walk.linears
        g_e, g_p, g_q = torch.empty_like(e), torch.empty_like(p), torch.empty_like(q)
        left = [torch.empty_like(e, dtype=self.format) for _ in range(2 * layers + 1)]
        x, g = left[:layers], left[layers:]
        sums = torch.zeros(self.programs, 5, e.shape[1], device=e.device)
        seen = [e if y is None else y.contiguous() for y in (g_out, g_total)]
        parts = [*seen, g_e, g_p, x[0], x[-1], g[0], g[1], g[-1], sums]
        flags = {"HAS_OUT": g_out is not None, "HAS_TOTAL": g_total is not None}
        with torch.cuda.device_of(e), torch.autocast(e.device.type, enabled=False):
            self.kernels.edge_backward[(self.programs,)](
                *given, *parts, self.num_nodes, self.walk.eps or 0.0, **self.options, **flags
            )
            if self.num_nodes:
                self.kernels.rows_to_nodes[(self.num_nodes,)](
                    g[0], self.runs.order, self.runs.out_pointer, g_q,
                    H=e.shape[1], ROWS=16, num_warps=1,
                )  # fmt: skip
            products = [a.t() @ b for a, b in zip(g, [e.to(self.format), *x], strict=True)]
        found, biases = [g_e, g_p, g_q], sums.sum(0)
        for i, product in enumerate(products):
            found += [product, biases[i]]
        found += [biases[3], biases[4]] if self.walk.eps is not None else []
        return [a.to(b.dtype) for a, b in zip(found, inputs, strict=True)]


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, launch: _Launch, edge_index: Tensor, *inputs: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.launch = launch
        ctx.save_for_backward(edge_index, *inputs)
        return launch.forward(inputs, over=False)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
        edge_index, *inputs = ctx.saved_tensors
        if all(g is None for g in gradients):
            return None, None, *(None for _ in inputs)
        if torch.is_grad_enabled():  # the gradient of this gradient is asked for
            return None, None, *_again(ctx.launch.walk, edge_index, inputs, list(gradients))
        return None, None, *ctx.launch.backward(inputs, *gradients)
