"""Buffers whose sizes follow from the data: a checkpoint says what they are."""

from typing import Any

from torch import nn


def sized_by_checkpoint(module: nn.Module) -> None:
    """Let `load_state_dict` take buffers of any size, and drop what was made from the old ones."""
    module.register_load_state_dict_pre_hook(_adopt)


def _adopt(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for name, buffer in list(module.named_buffers(recurse=False)):
        found = state.get(prefix + name)
        if found is not None and found.shape != buffer.shape:
            setattr(module, name, buffer.new_empty(found.shape, dtype=found.dtype))
    module.__dict__.pop("_made", None)
