"""Shapes: random families of domains (`domains`), and variation of a given mesh (`morph`).

The names of `morph` are here as well, resolved on first use: `meshgnn.geometry.variations`.
"""

from importlib import import_module
from typing import Any

_NAMES = (
    "Fillet",
    "FreeForm",
    "Modal",
    "Morph",
    "Motion",
    "Noise",
    "Offset",
    "RadialBasis",
    "Variation",
    "filled",
    "remeshed",
    "variation",
    "variations",
)
__all__ = [*_NAMES]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module("meshgnn.geometry.morph"), name)
    raise AttributeError(f"module 'meshgnn.geometry' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
