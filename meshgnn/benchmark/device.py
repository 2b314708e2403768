"""One interaction block on a GPU beside its roofline: operations and bytes are counted."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import torch
from torch import Tensor

from meshgnn.benchmark.measure import Row, operations, unsolved
from meshgnn.graph import to_graph
from meshgnn.nn import InteractionBlock
from meshgnn.nn.triton_walk import kernels

_LARGE = 4096  # side of the product, and rows of 64 kB of the copy, that give the two rates


def traffic(nodes: int, edges: int, width: int, half: bool, train: bool = False) -> int:
    """Bytes that a block of two hidden layers cannot avoid to move; its weights are not counted.

    Forward: of an edge e, e + m and two indices; of a node h, both products of the first layer
    written and read, the sum written and read, and the new h. States are in float32, products in
    bfloat16 if `half`. Backward: all that once more, and the gradients of what was read and
    written.
    """
    state, product = 4 * width, (2 if half else 4) * width
    forward = edges * (2 * state + 16) + nodes * (4 * state + 4 * product)
    backward = edges * (3 * state + 16) + nodes * (6 * state + 6 * product)
    return forward + backward if train else forward


def roofline_ms(work: int | float, moved: int | float, rate: float, bandwidth: float) -> float:
    """max(operations / rate, bytes / bandwidth): what no implementation is faster than."""
    return 1e3 * max(work / rate, moved / bandwidth)


def core_on_device(
    nodes: tuple[int, ...] = (20_000, 100_000),
    width: int = 128,
    repeats: int = 20,
    device: str = "cuda",
) -> list[Row]:
    """Time, memory and roofline of one block: whole tensors and, if there is Triton, the kernels.

    Wall time of the device, the least of several. Rates are those of a large product and of a copy
    in the same run.

    Args:
        nodes: mesh sizes.
        width: H.
        repeats: measured calls, after three to warm up.
        device: "cuda"; "cpu" for a look at the numbers without a GPU.

    Returns:
        One row per size, form and number format: `forward_ms`, `train_ms` (forward and backward),
        `roofline_forward_ms`, `roofline_train_ms`, `forward_share` and `train_share` of it that is
        reached, `peak_mb`, `difference` to whole tensors in float32.

    Raises:
        ValueError: no such device here.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("bench core: torch sees no CUDA device here; take --device cpu")
    forms = ["plain"] + ["triton"] * (device == "cuda" and find_spec("triton") is not None)
    rows: list[Row] = []
    for n in nodes:
        index = to_graph(unsolved(n)).edge_index.to(device)
        exact: Tensor | None = None
        for half in (False, True):
            for form in forms:
                row, out = _row(form, half, index, width, repeats)
                exact = out if exact is None else exact
                row["difference"] = float((out - exact).abs().max() / exact.abs().max())
                rows.append(row)
    return rows


def _row(form: str, half: bool, index: Tensor, width: int, repeats: int) -> tuple[Row, Tensor]:
    device, edges, nodes = index.device, index.shape[1], int(index.max()) + 1
    torch.manual_seed(0)
    block = InteractionBlock(width, hidden=2).to(device)
    h, e = (torch.randn(n, width).to(device).requires_grad_() for n in (nodes, edges))

    def forward() -> Tensor:
        with torch.no_grad(), _format(form, half, device):
            return block(h, e.clone(), index, residual=True)[0].float()

    def train() -> None:
        with _format(form, half, device):
            out = block(h, e, index, residual=True)
        torch.autograd.backward(out, [torch.ones_like(x) for x in out])

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    row: Row = {"nodes": nodes, "form": f"{form} {'bf16' if half else 'fp32'}"}
    row |= {"edges": edges, "forward_ms": _ms(forward, device, repeats)}
    row["train_ms"] = _ms(train, device, repeats)
    if device.type == "cuda":
        row["peak_mb"] = torch.cuda.max_memory_allocated(device) / 2**20
    rate, bandwidth = _rates(half, device)
    work = operations(nodes, edges, width, blocks=1)
    for name, factor in (("forward", 1), ("train", 3)):
        moved = traffic(nodes, edges, width, half, train=name == "train")
        floor = roofline_ms(factor * work, moved, rate, bandwidth)
        row |= {f"roofline_{name}_ms": floor, f"{name}_share": floor / float(row[f"{name}_ms"])}
    return row, forward()


@contextmanager
def _format(form: str, half: bool, device: torch.device) -> Iterator[None]:
    with kernels(form), torch.autocast(device.type, torch.bfloat16, enabled=half):
        yield


def _rates(half: bool, device: torch.device, side: int = _LARGE) -> tuple[float, float]:
    """Operations per second of a large product, bytes per second of a large copy."""
    side = side if device.type == "cuda" else side // 8
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16 if half else torch.float32)
    source = torch.empty(side, 2**14, device=device)
    target = torch.empty_like(source)
    product = _ms(lambda: a @ a, device, 5)
    copy = _ms(lambda: target.copy_(source), device, 5)
    return 2e3 * side**3 / product, 2e3 * source.nbytes / copy


def _ms(function: Callable[[], object], device: torch.device, repeats: int) -> float:
    """The least wall time of several calls that the device has finished, ms."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    for _ in range(3):
        function()
    times = []
    for _ in range(repeats):
        wait()
        start = time.perf_counter()
        function()
        wait()
        times.append(1e3 * (time.perf_counter() - start))
    return min(times)
