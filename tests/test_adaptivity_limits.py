"""Where moved meshes end: graded meshes, fields they serve already, curves, samples elsewhere."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mesh_builders import disc
from test_adaptivity import front, square

from meshgnn.adaptivity import adapt, interpolation_error, mesh_measures, monge_ampere
from meshgnn.adaptivity.sampling import estimated_error
from meshgnn.io import read
from meshgnn.mesh import Mesh
from meshgnn.monitors import Monitor
from meshgnn.sample import Boundary, Sample

MESHES = Path(__file__).resolve().parents[1] / "meshes"


def test_samples_that_do_not_belong():
    """A sample on the mesh before it moved, and a periodic one, whose twins would part."""
    mesh = square(8)
    u = front((0.5, 0.5), 0.3, 0.1)(mesh.points)[:, None]
    sample = Sample(mesh, Boundary.none(81, 1), np.zeros((81, 0)), u=u[None])
    again = adapt(mesh, sample, monitor="gradient")
    with pytest.raises(ValueError, match=r"another mesh than the one given; adapt\(sample.mesh"):
        adapt(again, sample)
    twin = np.arange(81)
    twin[np.flatnonzero(mesh.points[:, 0] == 1)] = np.flatnonzero(mesh.points[:, 0] == 0)
    periodic = replace(sample, u=u[None, twin], boundary=replace(sample.boundary, twin=twin))
    with pytest.raises(ValueError, match="the sample is periodic, and twins would move apart"):
        adapt(mesh, periodic)


@pytest.mark.parametrize("width", [0.05, 0.02])
def test_a_graded_mesh(width):
    """Cells grow tenfold away from a cylinder with a front around it."""
    mesh = read(MESHES / "channel.msh")
    u = lambda x: np.tanh((np.linalg.norm(x - [0.2, 0.2], axis=-1) - 0.08) / width)  # noqa: E731
    values = u(mesh.points)
    even = adapt(mesh, values, monitor="gradient")
    measures = mesh_measures(mesh, even, values, Monitor("gradient"))
    assert measures.std_ratio < 0.5 and measures.folded == 0 and measures.outside == 0
    found = mesh_measures(mesh, adapt(mesh, values), values, exact=u)
    assert found.interpolation_ratio <= 1.0 and found.folded == 0


def test_a_mesh_that_serves_the_field_stays():
    """Where the estimated error would grow the iteration with the least is taken, or none."""
    mesh = square(12)
    worse = monge_ampere(mesh, lambda x: 1 + 9 * x[..., 0], error=lambda m: -m.quality.min())
    assert worse.kept == 0 and (worse.mesh.points == mesh.points).all()
    target = monge_ampere(mesh, lambda x: 1 + 9 * x[..., 0], max_iterations=2).mesh.points
    between = monge_ampere(
        mesh,
        lambda x: 1 + 9 * x[..., 0],
        error=lambda m: (m is mesh) + 2.0 * np.abs(m.points - target).max(),
    )
    assert between.kept <= between.iterations and between.iterations > 2
    assert repr(worse).startswith("Moved(CV 0.") and ", 0 of " in repr(worse)


def test_nodes_of_no_cell_and_two_components():
    """The first do not move; the second exchange no share, and that is no reason to go on."""
    plain = square(6)
    u = front((0.5, 0.5), 0.3, 0.1)(plain.points)
    mesh = Mesh(np.concatenate([plain.points, [[0.31, 0.31]]]), plain.cells)
    found = adapt(mesh, np.append(u, 0.0), monitor="gradient")
    assert (found.points[-1] == 0.31).all() and not np.allclose(found.points, mesh.points)
    assert mesh_measures(mesh, mesh, np.append(u, 0.0)).outside == 0
    both = Mesh(
        np.concatenate([plain.points, plain.points + [2.0, 0.0]]),
        {"triangle": np.concatenate([plain.simplices, plain.simplices + plain.num_nodes])},
    )
    parts = monge_ampere(both, np.repeat([10.0, 1.0], plain.num_nodes))
    assert parts.converged and np.allclose(parts.mesh.points, both.points, atol=1e-6)


def test_volume_lost_at_curves_is_said():
    """A disc of 24 sides; the density itself as values or by the name of its monitor."""
    mesh = disc(24)
    density = 1 + 30 * np.exp(-((mesh.points[:, 0] - 0.9) ** 2) / 0.01)
    with pytest.warns(UserWarning, match=r"[1-9][.0-9]*% of the volume were lost where nodes slid"):
        found = adapt(mesh, mesh.points[:, 0], monitor=density)
    measures = mesh_measures(mesh, found, mesh.points[:, 0], density)
    assert 0.9 < measures.volume_ratio < 0.99 and measures.std_ratio < 0.5


@pytest.mark.parametrize("n", [8, 16])
def test_estimated_error(n):
    """Exact for quadratic u, on the mesh itself and on a moved one."""
    mesh = square(n)
    u = lambda x: 3 * x[..., 0] ** 2 - x[..., 0] * x[..., 1] + 0.5 * x[..., 1] ** 2  # noqa: E731
    values = u(mesh.points)
    moved = monge_ampere(mesh, lambda x: 1 + 5 * x[..., 1]).mesh
    error, scale = estimated_error(mesh, values[:, None]), values.std()
    assert error(mesh) * scale == pytest.approx(interpolation_error(mesh, u), rel=1e-2)
    assert error(moved) * scale == pytest.approx(interpolation_error(moved, u), rel=1e-2)
