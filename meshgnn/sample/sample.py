"""`Sample`: one mesh, the data of one problem on it, and its solution once there is one.

The only seam between numerics (left) and learning (right). A training set is a folder of samples,
each one a transient .vtkhdf that ParaView opens.
"""

import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from meshgnn.frames import Frames
from meshgnn.mesh import Mesh
from meshgnn.sample.boundary import Boundary, check_facets, check_same, check_twin
from meshgnn.vtkhdf import read_vtkhdf, write_vtkhdf

_VERSION = 1  # of the arrays and the meta that a sample is in a file
_EXTRA = ("facets", "alpha", "flux", "twin")
_META = ("names", "units", "label_error", "meta")


@dataclass(frozen=True, eq=False, repr=False)
class Sample:
    """A mesh, the inputs of a problem on it, and the field u(t_k, x_i) when it is known.

    Args:
        mesh: the mesh.
        boundary: conditions as data, see `Boundary`.
        inputs: [N, F] sources and coefficients at the nodes.
        times: [T] s; [0.] for a steady problem.
        u: [T, N, C] solution in physical units, or None when unsolved.
        params: [P] numbers that hold for the whole sample (viscosity, Mach number).
        names: {"u": C names, "inputs": F names, "params": P names, "cell_inputs": G names}.
        units: {name: SI unit string}, names without an entry are dimensionless.
        label_error: relative L2 distance of u to a finer solution, where it was measured.
        meta: problem, seed, versions; anything JSON can hold.
        cell_inputs: [M, G] sources and coefficients as means over the cells; [M, 0] by default.

    Raises:
        ValueError: an array whose shape does not fit the mesh, the times or the other arrays, or
            that holds NaN or infinity; facets with nodes that the mesh does not have; u, inputs or
            Dirichlet conditions that differ among the twins of a periodic mesh.
    """

    mesh: Mesh
    boundary: Boundary
    inputs: Float[np.ndarray, "N F"]
    times: Float[np.ndarray, " T"] = field(default_factory=lambda: np.zeros(1))
    u: Float[np.ndarray, "T N C"] | None = None
    params: Float[np.ndarray, " P"] = field(default_factory=lambda: np.zeros(0))
    names: dict[str, list[str]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    label_error: float | None = None
    meta: dict[str, Any] = field(default_factory=dict)
    cell_inputs: Float[np.ndarray, "M G"] = field(default_factory=lambda: np.zeros((0, 0)))

    def __post_init__(self) -> None:
        nodes, cells, boundary = self.mesh.num_nodes, self.mesh.num_cells, self.boundary
        if self.cell_inputs.shape[1:] == (0,):  # none, whatever the mesh
            object.__setattr__(self, "cell_inputs", np.zeros((cells, 0)))
        full = (len(self.times), nodes, boundary.dirichlet_mask.shape[-1])  # T, N, C
        facets = (len(boundary.facets), full[2])
        values = boundary.dirichlet_values
        expected = {
            "inputs": (self.inputs, (nodes, *(self.inputs.shape[1:] or [1]))),
            "cell_inputs": (self.cell_inputs, (cells, *(self.cell_inputs.shape[1:] or [1]))),
            "params": (self.params, (self.params.size,)),
            "times": (self.times, (self.times.size,)),
            "boundary.dirichlet_mask": (boundary.dirichlet_mask, full[1:]),
            "boundary.dirichlet_values": (values, full if values.ndim == 3 else full[1:]),
            "boundary.alpha": (boundary.alpha, facets),
            "boundary.flux": (boundary.flux, facets),
        } | ({} if self.u is None else {"u": (self.u, full)})
        for name, (array, shape) in expected.items():
            if array.shape != shape:
                raise ValueError(
                    f"Sample {name}: expected shape {shape}, got {array.shape}; pass arrays that "
                    "belong to this mesh, these times, facets and components"
                )
            if not np.isfinite(array).all():
                bad = np.argwhere(~np.isfinite(array))
                raise ValueError(
                    f"Sample {name}: {len(bad)} values are NaN or infinite, the first at index "
                    f"{tuple(int(i) for i in bad[0])}; remove or repair them"
                )
        check_facets(boundary.facets, nodes)
        check_twin(boundary.twin, nodes)
        for name in ("boundary.dirichlet_mask", "boundary.dirichlet_values", "u", "inputs"):
            if len(boundary.twin) and name in expected:
                check_same(boundary.twin, name, expected[name][0])

    def __repr__(self) -> str:
        u = "unsolved" if self.u is None else f"u {list(self.u.shape)}"
        return f"Sample({self.mesh!r}, {u}, {len(self.times)} times, names={self.names})"

    @property
    def channels(self) -> int:
        """Number of components C of the solution."""
        return self.boundary.dirichlet_mask.shape[1]

    def with_solution(
        self, u: Float[np.ndarray, "T N C"], times: Float[np.ndarray, " T"] | None = None
    ) -> "Sample":
        """The same sample with another solution (and its times).

        Raises:
            ValueError: other times although the Dirichlet values are given at those of the sample.
        """
        times = self.times if times is None else times
        if self.boundary.dirichlet_values.ndim == 3 and not np.array_equal(times, self.times):
            raise ValueError(
                "Sample.with_solution: the Dirichlet values [T, N, C] belong to the times of the "
                "sample; use dataclasses.replace with u, times and a boundary at these times"
            )
        return replace(self, u=u, times=times)

    def dirichlet_at(self, time: float) -> Float[np.ndarray, "N C"]:
        """Prescribed values at a time, linear between the given times and constant beyond."""
        values = self.boundary.dirichlet_values
        if values.ndim == 2:
            return values
        position = np.interp(time, self.times, np.arange(len(self.times)))
        low = int(position)
        high = min(low + 1, len(self.times) - 1)
        return values[low] + (position - low) * (values[high] - values[low])

    def frames(self) -> Frames:
        """The sample as named arrays on the mesh, which is what files hold.

        Point arrays: every component of u and every input under its name (`u`, `u_1`, ... and
        `input_0`, ... where they have none; an input that is called like a component becomes
        `<name>_input`), `dirichlet_mask` and `dirichlet_values`. Cell arrays: every cell input
        under its name (`cell_input_0`, ...; `<name>_cells` where that is taken at the nodes).

        Raises:
            ValueError: names that do not fit the arrays, or occur twice.
        """
        steady = len(self.times) == 1 and self.times[0] == 0
        steady = steady and self.boundary.dirichlet_values.ndim == 2
        names = self._names("u", ["u", *(f"u_{i}" for i in range(1, self.channels))])
        inputs = self._names("inputs", _numbered("input", self.inputs))
        inputs = [f"{name}_input" if name in names else name for name in inputs]
        arrays = list(zip(inputs, self.inputs.T, strict=True))
        if self.u is not None:
            arrays += zip(names, np.moveaxis(self.u[0] if steady else self.u, -1, 0), strict=True)
        arrays += [
            ("dirichlet_mask", self.boundary.dirichlet_mask),
            ("dirichlet_values", self.boundary.dirichlet_values),
        ]
        cells = self._names("cell_inputs", _numbered("cell_input", self.cell_inputs))
        taken = {*names, *(name for name, _ in arrays)}
        cells = [f"{name}_cells" if name in taken else name for name in cells]
        every = [*(name for name, _ in arrays), *cells]
        if len(set(every)) < len(every):
            raise ValueError(f"Sample.names: one occurs twice in {every}")
        return Frames(
            self.mesh,
            dict(arrays),
            dict(zip(cells, self.cell_inputs.T, strict=True)),
            times=None if steady else self.times,
            extra={name: getattr(self.boundary, name) for name in _EXTRA},
            meta={
                "sample": _VERSION,
                "u": names if self.u is not None else None,
                "inputs": inputs,
                "cell_inputs": cells,
                "params": self.params.tolist(),
                **{name: getattr(self, name) for name in _META},
            },
        )

    def save(self, path: str | Path) -> None:
        """Write one .vtkhdf, which ParaView opens; `Sample.load` gives back an equal sample.

        The file appears whole or not at all. `meta` comes back as JSON has it (lists for tuples).

        Raises:
            ValueError: see `frames`; a `path` that does not end in .vtkhdf.
            OSError: the path cannot be written.
        """
        if Path(path).suffix != ".vtkhdf":
            raise ValueError(f"Sample.save: expected a path ending in .vtkhdf, got {path}")
        write_vtkhdf(path, self.frames())

    @classmethod
    def load(cls, path: str | Path) -> "Sample":
        """Read a sample that `save` wrote. Warns of points that move (`meshgnn.write(points=)`).

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged, no sample, or of another version.
        """
        frames = read_vtkhdf(path)
        meta, point = frames.meta, frames.point
        if frames.points is not None:
            warnings.warn(
                f"{path}: the points move in this file, and a sample has one mesh: that of the "
                "first time; meshgnn.io.read_frames gives the points of all times",
                stacklevel=2,
            )
        if meta.get("sample") != _VERSION:
            raise ValueError(
                f"{path}: expected a sample of version {_VERSION}, got "
                f"{meta.get('sample', 'a file that holds none')}; meshgnn.read gives its mesh, "
                "meshgnn.io.read_frames its arrays"
            )
        u = None
        if meta["u"]:
            u = np.stack([point[name] for name in meta["u"]], axis=-1)
            u = u if frames.times is not None else u[None]
        inputs = [point[name] for name in meta["inputs"]]
        cells = [frames.cell[name] for name in meta.get("cell_inputs", [])]
        return cls(
            frames.mesh,
            Boundary(
                point["dirichlet_mask"].astype(bool),
                point["dirichlet_values"],
                **{name: frames.extra[name] for name in _EXTRA if name in frames.extra},
            ),
            np.stack(inputs, axis=-1) if inputs else np.zeros((frames.mesh.num_nodes, 0)),
            np.zeros(1) if frames.times is None else frames.times,
            u,
            np.array(meta["params"], np.float64),
            **{name: meta[name] for name in _META},
            cell_inputs=np.stack(cells, axis=-1) if cells else np.zeros((0, 0)),
        )

    def _names(self, kind: str, default: list[str]) -> list[str]:
        names = self.names.get(kind) or default
        if len(names) != len(default):
            raise ValueError(
                f"Sample.names: expected {len(default)} names of {kind!r}, got {names}"
            )
        return names


def _numbered(name: str, columns: Float[np.ndarray, "_ _"]) -> list[str]:
    return [f"{name}_{i}" for i in range(columns.shape[1])]
