"""Bodies in motion: where their nodes are, and where they would be if nothing but gravity acted."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    from meshgnn.sample import Sample


def is_body(sample: "Sample") -> bool:
    """Whether the state is a displacement, and the sample says how the body moves at first."""
    inputs, components = sample.names.get("inputs", []), sample.names.get("u", [])
    axes = "xyz"[: sample.mesh.points.shape[1]]
    wanted = {f"initial_{kind}{axis}" for kind in "uv" for axis in axes}
    return components == [f"u{axis}" for axis in axes] and wanted <= set(inputs)


def places(sample: "Sample") -> Float[np.ndarray, "T N d"] | None:
    """X + u at each time; None for what is no body in motion."""
    if sample.u is None or not is_body(sample):
        return None
    return sample.mesh.points + sample.u


def ballistic(sample: "Sample") -> Float[np.ndarray, "T N d"]:
    """u(t) = u_0 + (t - t_0) v_0 + (t - t_0)² g / 2, and what is prescribed; there are no walls."""
    names, axes = sample.names["inputs"], "xyz"[: sample.channels]
    first, speed = (
        sample.inputs[:, [names.index(f"initial_{kind}{axis}") for axis in axes]] for kind in "uv"
    )
    params = dict(zip(sample.names.get("params", []), sample.params, strict=False))
    gravity = np.array([params.get(f"gravity_{axis}", 0.0) for axis in axes])
    since = (sample.times - sample.times[0])[:, None, None]
    u = first + since * speed + since**2 / 2 * gravity
    given = np.stack([sample.dirichlet_at(float(t)) for t in sample.times])
    return np.where(sample.boundary.dirichlet_mask, given, u)


def thinned(sample: "Sample", most: int) -> "Sample":
    """The sample at so many of its times at most, the first and the last among them."""
    count = len(sample.times)
    if count <= most or sample.u is None:
        return sample
    kept = np.linspace(0, count - 1, most).round().astype(int)
    boundary = sample.boundary
    if boundary.dirichlet_values.ndim == 3:
        boundary = replace(boundary, dirichlet_values=boundary.dirichlet_values[kept])
    return replace(sample, u=sample.u[kept], times=sample.times[kept], boundary=boundary)


def distances(found: "Sample", truth: "Sample") -> "Sample":
    """|u - u_truth| at every node, as a field of its own."""
    from meshgnn.sample import Boundary

    assert found.u is not None and truth.u is not None
    gap = np.linalg.norm(found.u - truth.u, axis=2, keepdims=True)
    name = "distance to finite elements"
    return replace(
        found,
        u=gap,
        boundary=Boundary.none(found.mesh.num_nodes, 1),
        names=found.names | {"u": [name]},
        units=found.units | {name: "m"},
    )
