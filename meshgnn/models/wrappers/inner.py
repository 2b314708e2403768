"""What all wrappers need of the model inside: its sizes, and its description in a checkpoint."""

from typing import Any

from torch import nn

from meshgnn.models import MODELS

_SIZES = ("dim", "channels", "inputs", "cell_inputs", "params", "history", "bundle")


def described(inner: nn.Module, wrapper: str, **sizes: int) -> dict[str, Any]:
    """Plain data to build a wrapper again: the sizes of its graphs, and the model inside.

    Args:
        inner: the model inside.
        wrapper: name of the wrapper, for errors.
        sizes: those that differ from the inner model's.

    Raises:
        ValueError: a model without `hparams`, or one for steady problems.
    """
    hparams = getattr(inner, "hparams", None)
    if not isinstance(hparams, dict) or not hparams.get("history"):
        raise ValueError(
            f"{wrapper}: expected a model of states in time, with hparams that hold history >= 1, "
            f"got {type(inner).__name__} with {hparams}; make it with history=1"
        )
    own = {name: hparams[name] for name in _SIZES if name in hparams}
    return {**own, **sizes, "inner": {"model": type(inner).__name__, "hparams": hparams}}


def steady(inner: nn.Module, wrapper: str) -> dict[str, Any]:
    """As `described`, of a model without known states.

    Raises:
        ValueError: a model without `hparams`, or one for problems in time.
    """
    hparams = getattr(inner, "hparams", None)
    if not isinstance(hparams, dict) or hparams.get("history"):
        raise ValueError(
            f"{wrapper}: expected a steady model with hparams, got {type(inner).__name__} with "
            f"{hparams}; problems in time are not covered"
        )
    own = {name: hparams[name] for name in _SIZES if name in hparams}
    return {**own, "inner": {"model": type(inner).__name__, "hparams": hparams}}


def of_inner(name: str, default: Any = None) -> Any:
    """An attribute that is the one of the model inside; the default where that has none."""
    return property(
        lambda self: getattr(self.inner, name, default), doc=f"{name} of the inner model."
    )


def rebuilt(inner: dict[str, Any]) -> nn.Module:
    """The model that `described` describes, with new weights; wrappers may hold wrappers.

    Raises:
        ValueError: a model that this version does not know.
    """
    name = inner["model"]
    if name not in MODELS:
        raise ValueError(
            f"load: the model inside is a {name!r}, which this version does not know; it knows "
            f"{', '.join(MODELS)}"
        )
    return getattr(MODELS[name], "rebuild", MODELS[name])(**inner["hparams"])
