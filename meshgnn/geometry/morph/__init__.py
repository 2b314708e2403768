"""Variation of a given mesh: its nodes moved by shape parameters, cells and names kept.

    family = variations(mesh, 1000, seed=0, kinds=[FreeForm(4), Motion("hole")], fixed=("clamp",))
    family[7].mesh, family[7].parameters

`Morph` is the map from parameters to nodes, computed once for a mesh.
"""

from meshgnn.geometry.morph.deformation import Deformation, Kind
from meshgnn.geometry.morph.family import variation, variations
from meshgnn.geometry.morph.mapping import Morph, Variation
from meshgnn.geometry.morph.motion import Motion
from meshgnn.geometry.morph.normals import Fillet, Modal, Noise, Offset
from meshgnn.geometry.morph.remeshing import filled, remeshed
from meshgnn.geometry.morph.spatial import FreeForm, RadialBasis
from meshgnn.geometry.morph.surfaces import start
from meshgnn.geometry.morph.validity import crossings, flaw

__all__ = [
    "Deformation",
    "Fillet",
    "FreeForm",
    "Kind",
    "Modal",
    "Morph",
    "Motion",
    "Noise",
    "Offset",
    "RadialBasis",
    "Variation",
    "crossings",
    "filled",
    "flaw",
    "remeshed",
    "start",
    "variation",
    "variations",
]
