"""The published .npy files as lattice samples."""

import warnings
from math import isqrt
from pathlib import Path

import numpy as np
from jaxtyping import Float

from meshgnn.datasets.beno import inverse, volumes
from meshgnn.datasets.beno.lattice import Lattice
from meshgnn.sample import Sample


def read(
    rhs: str | Path,
    sol: str | Path | None = None,
    bc: str | Path | None = None,
    *,
    blurred: bool = False,
) -> list[Sample]:
    """Lattice samples of files with ∇²u = f: sources are -f, k = 1, faces in the order of the file.

    Faces that are stored as g = 0, but through which nothing flows by the discrete equation, are
    the group "insulated": the files do not say which they are. Nothing is repaired but boundary
    points with x and y exchanged; `check` says what else is wrong.

    Args:
        rhs: [S, N², 4] x, y, f, cell type (0 inside); or, alone, what the names of the three files
            have in common: a folder, or folder/prefix of prefix_RHS.npy, ...
        sol: [S, N², 1] u, 0 outside.
        bc: [S, 4N, 3 or more] x, y, g.
        blurred: whether to append the inputs of `volumes.blurred`.

    Raises:
        FileNotFoundError: a file is missing, or three files cannot be told by the name alone.
        ValueError: arrays of other shapes, a lattice that is not that of the unit square by x,
            then y, boundary points that are not the face midpoints of the cells inside.
    """
    paths = _paths(Path(rhs)) if sol is None or bc is None else [Path(rhs), Path(sol), Path(bc)]
    right, solution, boundary = (np.load(path, allow_pickle=False) for path in paths)
    right = right.astype(np.float64)
    size = _check_shapes(paths, right, solution, boundary)
    inside = right[:, :, 3].reshape(-1, size, size) == 0
    faces = np.rint(boundary[:, :, :2] * 2 * size).astype(np.int64)
    lattices = _lattices(paths[2], inside, faces)
    samples, wrong = [], []
    for i, lattice in enumerate(lattices):
        f, u, g = right[i, :, 2], solution[i, :, 0].astype(np.float64), boundary[i, :, 2]
        within = inside[i].ravel()
        source, u, g = -f[within], u[within], g.astype(np.float64)
        closed = inverse.insulated(lattice, source, u, g)
        left = np.abs(inverse.mismatch(lattice, source, u, g, closed)).max()
        if left > 2 * inverse.TOLERANCE * np.abs(g).max():
            wrong.append(i)
        everywhere = volumes.at_boundary(lattice, source[:, None])[:, 0]
        meta = {"corners": len(np.unique(right[i, ~within, 3])), "file": paths[0].name, "index": i}
        square = f.reshape(size, size) if blurred else None
        samples.append(volumes.sample(lattice, everywhere, g, closed, u, square, meta))
    if wrong:
        warnings.warn(
            f"{paths[2]}: the boundary values of {len(wrong)} of {len(samples)} samples are not "
            "those that the solutions were computed with; meshgnn.datasets.beno.check tells where",
            stacklevel=2,
        )
    return samples


def _paths(prefix: Path) -> list[Path]:
    """Raises: FileNotFoundError: not exactly one file of each kind."""
    result = []
    for kind in ("RHS", "SOL", "BC"):
        if prefix.is_dir():
            found = sorted(prefix.glob(f"*{kind}*.npy"))
        else:
            found = [path for path in [Path(f"{prefix}_{kind}.npy")] if path.exists()]
        if len(found) != 1:
            where = f"in {prefix}" if prefix.is_dir() else f"called {prefix}_{kind}.npy"
            raise FileNotFoundError(
                f"expected one {kind} file {where}, found {[path.name for path in found]}; give "
                "folder/prefix, or the three paths"
            )
        result.append(found[0])
    return result


def _check_shapes(
    paths: list[Path],
    rhs: Float[np.ndarray, "..."],
    sol: Float[np.ndarray, "..."],
    bc: Float[np.ndarray, "..."],
) -> int:
    """N. Raises: ValueError: other shapes, or points that are not those of the lattice."""
    size = isqrt(rhs.shape[1]) if rhs.ndim == 3 else 0
    good = rhs.shape == (len(rhs), size**2, 4) and sol.shape == (len(rhs), size**2, 1)
    if not good or bc.ndim != 3 or bc.shape[:2] != (len(rhs), 4 * size) or bc.shape[2] < 3:
        raise ValueError(
            f"expected shapes [S, N², 4], [S, N², 1] and [S, 4N, 3 or more], got {rhs.shape} in "
            f"{paths[0]}, {sol.shape} in {paths[1]}, {bc.shape} in {paths[2]}"
        )
    x = (np.arange(size) + 0.5) / size
    lattice = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    off = np.flatnonzero(np.abs(rhs[:, :, :2] - lattice).max(axis=(1, 2)) > 1e-3 / size)
    if len(off):
        raise ValueError(
            f"{paths[0]}: expected the {size} x {size} cell centres of the unit square, y fastest, "
            f"got other points in {len(off)} samples, the first is number {off[0]}"
        )
    return size


def _lattices(path: Path, inside: np.ndarray, faces: np.ndarray) -> list[Lattice]:
    """The lattice of each sample, x and y of all faces exchanged if only that fits them all.

    Raises:
        ValueError: faces that fit neither way.
    """
    reasons = []
    for swapped, found in ((False, faces), (True, faces[:, :, ::-1])):
        try:
            result = [Lattice(cells, part) for cells, part in zip(inside, found, strict=True)]
        except ValueError as error:
            reasons.append(str(error))
            continue
        if swapped:
            warnings.warn(
                f"{path}: x and y of the boundary points are exchanged in comparison with the "
                f"cells; swapped back in all {len(result)} samples",
                stacklevel=3,
            )
        return result
    raise ValueError(f"{path}: {reasons[0]} (with x and y exchanged they do not fit either)")
