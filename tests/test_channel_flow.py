"""Channel flows past an obstacle: draws, restarts, meshes, coefficients, a vortex street."""

from dataclasses import replace

import numpy as np
import pytest
from mesh_builders import box

from meshgnn.fem.wake import force_coefficients
from meshgnn.geometry.channel import OBSTACLES, channel, schaefer_turek
from meshgnn.geometry.domains import draw
from meshgnn.mesh import Mesh
from meshgnn.metrics import shedding_frequency
from meshgnn.problems.channel_flow import Gust, parabolic
from meshgnn.problems.navier_stokes import NavierStokes
from meshgnn.sample import Sample


@pytest.fixture(scope="module")
def flow_past() -> tuple[Mesh, NavierStokes]:
    """A coarse channel past an obstacle, 6 frames."""
    mesh = draw("channel_with_obstacle", 3)
    options = {"steps": 5, "duration": 0.1, "spin_up": 0.05}
    return mesh, NavierStokes.draw(mesh, np.random.default_rng(0), **options)


def test_restart_goes_on_as_one_run(flow_past: tuple[Mesh, NavierStokes]) -> None:
    """A march from a `Flow` is the march that did not stop; from a sample's frame it is near."""
    mesh, problem = flow_past
    whole = list(problem.states(mesh))
    later = replace(problem, initial=whole[2], times=problem.times[2:], start=None)
    again = list(later.states(mesh))
    for flow, other in zip(whole[2:], again, strict=True):
        np.testing.assert_allclose(other.velocity, flow.velocity, atol=1e-6)
        np.testing.assert_allclose(other.pressure, flow.pressure, atol=1e-5)
    sample = replace(problem, times=problem.times[:3]).solve(mesh)
    near = replace(problem, initial=sample, times=problem.times[2:], start=None).solve(mesh)
    gap = np.linalg.norm(near.u[-1, :, :2] - whole[-1].velocity[: mesh.num_nodes])
    assert gap < 0.1 * np.linalg.norm(whole[-1].velocity[: mesh.num_nodes])


def test_drawn_flow(flow_past: tuple[Mesh, NavierStokes], tmp_path) -> None:
    """Re within its range and consistent with ν; boundary values exact; the sample is saved."""
    mesh, problem = flow_past
    sample = problem.solve(mesh)
    named = dict(zip(sample.names["params"], sample.params, strict=True))
    across = np.ptp(mesh.points[mesh.nodes_of("obstacle"), 1])
    assert 60 <= named["reynolds"] <= 200
    np.testing.assert_allclose(named["speed"] * across / named["viscosity"], named["reynolds"])
    held = sample.boundary.dirichlet_mask
    assert held[mesh.nodes_of("obstacle"), :2].all() and not held[:, 2].any()
    prescribed = np.where(held, sample.boundary.dirichlet_values, 0)
    np.testing.assert_array_equal(np.where(held, sample.u, 0), np.stack([prescribed] * 6))
    assert prescribed[:, 0].max() > named["speed"]
    sample.save(tmp_path / "flow.vtkhdf")
    assert Sample.load(tmp_path / "flow.vtkhdf").names["u"] == ["u", "v", "p"]
    np.testing.assert_allclose(problem.sample(mesh).inputs, sample.inputs, atol=1e-12)


def test_force_coefficients() -> None:
    """C = 2 F / (U² D)."""
    np.testing.assert_allclose(force_coefficients(np.array([[2.0, 1.0]]), 2.0, 0.5), [[2.0, 1.0]])
    assert force_coefficients(np.zeros(2), 1.0, 1.0).tolist() == [0, 0]


@pytest.mark.parametrize("obstacle", OBSTACLES)
def test_channels(obstacle: str) -> None:
    """Groups, the area of the polygon, finer cells at the obstacle and in the wake."""
    mesh = channel(obstacle)
    area = {"circle": np.pi / 400, "ellipse": np.pi / 800, "square": 0.01, "triangle": 3**0.5 / 400}
    assert mesh.volumes.sum() == pytest.approx(2.2 * 0.41 - area[obstacle], rel=3e-4)
    assert {"inlet", "outlet", "walls", "obstacle", "domain"} == set(mesh.groups)
    assert 1800 < mesh.num_nodes < 2300 and mesh.quality.min() > 0.6
    lengths = np.linalg.norm(np.diff(mesh.points[mesh.edges], axis=1)[:, 0], axis=1)
    middle = mesh.points[mesh.edges].mean(axis=1)
    wake = (np.abs(middle[:, 1] - 0.2) < 0.05) & (middle[:, 0] > 0.5)
    assert lengths[wake].max() < 0.035 < 0.04 < lengths.max() < 0.08


def test_channel_refuses() -> None:
    with pytest.raises(ValueError, match="expected one of circle, ellipse.*'cube'"):
        channel("cube")
    with pytest.raises(ValueError, match="expected positive lengths, got size 0.1, h -1"):
        channel(h=-1.0)
    assert schaefer_turek(0.2, 0.03).num_nodes < 500


def test_inflows_and_draws_that_are_refused() -> None:
    mesh, rng = box("triangle", 2), np.random.default_rng(0)
    with pytest.raises(ValueError, match="'rest' to be a straight part.*normals differ"):
        parabolic(mesh, "rest", 1.0)
    with pytest.raises(ValueError, match="expected a mesh in the plane, got 3D"):
        parabolic(box("tetra", 1), "left", 1.0)
    with pytest.raises(ValueError, match="reynolds: expected 0 < smallest <= largest, got 9"):
        NavierStokes.draw(mesh, rng, reynolds=(9.0, 3.0))
    with pytest.raises(ValueError, match="no group 'inlet' in this mesh"):
        NavierStokes.draw(mesh, rng)


@pytest.mark.slow
def test_vortex_street_of_a_cylinder() -> None:
    """DFG 2D-2 on a coarse mesh: St within 2 % of 0.300, drag and lift near 3.23 and 1.00."""
    mesh = schaefer_turek(0.06, 0.0125)
    inflow = parabolic(mesh, "inlet", 1.0)
    held = {"inlet": inflow, "walls": 0.0, "obstacle": 0.0}
    swirl = Gust(inflow, np.array([0.35, 0.2]), 0.05, 0.1)
    times = 2.0 + np.arange(240) * 0.005
    problem = NavierStokes(times, 1e-3, swirl, held, {"outlet": 0.0}, start=0.0)
    sample = problem.solve(mesh, forces=["obstacle"])
    drag, lift = force_coefficients(np.array(sample.meta["forces"]["obstacle"]), 1.0, 0.1).T
    assert shedding_frequency(lift, 0.005, periods=3.0) * 0.1 == pytest.approx(0.300, rel=0.02)
    assert drag.max() == pytest.approx(3.23, rel=0.03) and lift.max() == pytest.approx(1, rel=0.2)
