"""Several processes that train one model: how they begin, agree and end."""

import atexit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import signature
from typing import Any, TypeVar

from torch import nn

from meshgnn.allocator import tune_process

T = TypeVar("T")
_PRECISIONS = ("32-true", "bf16-mixed")


def open_fabric(
    accelerator: str, devices: int | str | list[int], precision: str, hosts: int = 1
) -> Any:
    """Lightning Fabric: it starts the processes, or takes those that torchrun started.

    Raises:
        ValueError: another precision.
    """
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    if precision not in _PRECISIONS:
        raise ValueError(
            f"fit: expected precision {' or '.join(_PRECISIONS)}, got {precision!r}; boundary "
            "values and residuals need float32"
        )
    tune_process()
    options: dict[str, Any] = {
        "accelerator": accelerator,
        "devices": devices,
        "precision": precision,
        "num_nodes": hosts,
    }
    fabric = Fabric(**options)
    if fabric.world_size > 1:
        # buffers are statistics that stay as they are; a broadcast in every call would wait for
        # ever where losses call the model more often in one process than in another
        kept: dict[str, Any] = {_buffers(): False}
        fabric = Fabric(strategy=DDPStrategy(**kept), **options)
    fabric.launch()
    if fabric.world_size > 1:
        atexit.register(_leave)  # Fabric does it for NCCL only
    return fabric


def _buffers() -> str:
    """The option of `DistributedDataParallel`, by which late versions of torch call it."""
    from torch.nn.parallel import DistributedDataParallel

    late = "forward_sync_buffers"
    known = signature(DistributedDataParallel.__init__).parameters
    return late if late in known else "broadcast_buffers"


def same_buffers(fabric: Any, model: nn.Module) -> None:
    """Statistics of the first process in all: each may have seen other graphs."""
    if fabric.world_size > 1:
        for name, value in together(fabric, lambda: dict(model.named_buffers())).items():
            model.get_buffer(name).copy_(value)


def _leave() -> None:
    """Ends the threads of the process group while Python still runs; later they may abort it."""
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


def together(fabric: Any, action: Callable[[], T]) -> T:
    """What `action` gives in the first process, for all; or the error it raises there, in all."""
    outcome: tuple[T | None, Exception | None] = None, None
    if fabric.is_global_zero:
        try:
            outcome = action(), None
        except Exception as error:
            if fabric.world_size == 1:
                raise
            outcome = None, error
    value, error = fabric.broadcast(outcome)
    if error is not None:
        raise error
    return value


@contextmanager
def watched(fabric: Any) -> Iterator[None]:
    """Says what a broken connection means.

    Raises:
        RuntimeError: another process has ended.
    """
    try:
        yield
    except RuntimeError as error:
        lost = ("connection", "gloo", "nccl", "peer")
        if fabric.world_size > 1 and any(word in str(error).lower() for word in lost):
            raise RuntimeError(
                f"fit: another of the {fabric.world_size} processes has ended, so that process "
                f"{fabric.global_rank} cannot go on; the message of the other says why. The last "
                "checkpoint is untouched, and the same call goes on from it"
            ) from error
        raise
