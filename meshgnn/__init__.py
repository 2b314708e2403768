"""meshgnn: graph-network solvers on unstructured meshes. Mesh in, field out.

The public names are resolved on first use, so that `import meshgnn` is light and works where gmsh
and PyVista are absent.
"""

from importlib import import_module
from typing import Any

_NAMES = {
    "Mesh": "meshgnn.mesh",
    "Sample": "meshgnn.sample",
    "MeshDataset": "meshgnn.graph",
    "read": "meshgnn.io",
    "write": "meshgnn.io",
    "predict": "meshgnn.checkpoint",
    "load": "meshgnn.checkpoint",
    "save": "meshgnn.checkpoint",
    "fit": "meshgnn.train",
    "rollout": "meshgnn.marching",
    "certify": "meshgnn.certificate",
    "adapt": "meshgnn.adaptivity",
    "plot": "meshgnn.viz",
}
_MODULES = ("models", "problems")

__version__ = "0.1.0"
__all__ = sorted([*_NAMES, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return getattr(import_module(_NAMES[name]), name)
    if name in _MODULES:
        return import_module(f"meshgnn.{name}")
    raise AttributeError(f"module 'meshgnn' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
