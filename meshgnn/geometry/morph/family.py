"""`variations`: a reproducible family of shapes from one mesh."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from meshgnn.geometry.morph.deformation import Kind
from meshgnn.geometry.morph.mapping import Morph, Variation
from meshgnn.geometry.morph.spatial import FreeForm
from meshgnn.geometry.morph.surfaces import start
from meshgnn.mesh import Mesh


def variations(
    mesh: Mesh | str | Path | Any,
    n: int,
    seed: int = 0,
    kinds: Sequence[Kind] = (FreeForm(),),
    **options: Any,
) -> list[Variation]:
    """n valid variations of a mesh; member i depends on (seed, i) only, bit for bit.

    Args:
        mesh: a mesh, a file that `start` reads (.stl, .step, .msh, .vtu, .ply, .obj, ...), or a
            PyVista data set.
        n: number of members.
        seed: of the parameters.
        kinds: how the mesh varies: `FreeForm`, `RadialBasis`, `Modal`, `Noise`, `Offset`, `Fillet`,
            `Motion`, or several of them at once.
        options: of `Morph`: fixed, free, slide, floor, remesh, halvings, reach.

    Raises:
        ValueError: n < 1, and as `Morph`, `start`.
    """
    if n < 1:
        raise ValueError(f"variations: expected n >= 1, got {n}")
    morph = Morph(start(mesh), kinds, **options)
    return [morph.draw(seed, index) for index in range(n)]


def variation(
    mesh: Mesh | str | Path | Any,
    seed: int = 0,
    index: int = 0,
    kinds: Sequence[Kind] = (FreeForm(),),
    **options: Any,
) -> Variation:
    """One member of what `variations` returns for the same seed; arguments as there."""
    return Morph(start(mesh), kinds, **options).draw(seed, index)
