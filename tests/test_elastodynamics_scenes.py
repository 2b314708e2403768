"""Elastic bodies at walls, drawn at random, and what `Elastodynamics` refuses."""

import numpy as np
import pytest
from mesh_builders import box, octasphere

from meshgnn.fem.elastic_kernels import contact
from meshgnn.fem.explicit import BlowUp
from meshgnn.geometry import domains
from meshgnn.mesh import Mesh
from meshgnn.problems import Elastodynamics
from meshgnn.sample import Sample

SQUARE = box("triangle", 4)
TIMES = np.linspace(0, 0.4, 21)


@pytest.mark.parametrize("law", ["neo-Hookean", "fixed-corotated"])
@pytest.mark.parametrize("cells", ["triangle", "mixed 2D", "tetra"])
def test_bodies_bounce_above_the_floor(cells: str, law: str) -> None:
    """min x >= floor at every frame, E falls by little and never rises, and it comes up again."""
    mesh = box(cells, 3)
    dim = mesh.dim
    tilt = np.eye(dim)
    tilt[[0, -1], [-1, 0]] = 0.3, -0.3
    tilt /= np.sqrt(1.09)
    if dim == 3:
        tilt[1, 1] = 1
    found = Elastodynamics(
        TIMES, 2e5, law=law, velocity=[0.0] * (dim - 1) + [-3.0],
        displacement=lambda x: x @ (tilt - np.eye(dim)).T,
        walls=([None] * (dim - 1) + [-0.4], None),
    ).solve(mesh)  # fmt: skip
    heights = mesh.points[:, -1] + found.u[..., -1]
    assert heights.min() >= -0.4 - 1e-12 and heights.min() < -0.4 + 1e-3
    total = np.add(found.meta["energy"]["kinetic"], found.meta["energy"]["strain"])
    assert total.max() < 1.01 * total[0] and total[-1] > 0.85 * total[0]
    up = np.array(found.meta["momentum"]["linear"])[:, -1]
    assert up[0] < 0 and up[-1] > 0.5 * abs(up[0])
    assert found.meta["walls"] == {
        "lo": [None] * (dim - 1) + [-0.4],
        "hi": [None] * dim,
    }


def test_impulses_at_walls_obey_coulomb() -> None:
    """The node lands on the wall; the speed along it falls by μ times the impulse, at most to 0.

    A held component takes no part.
    """
    lo, hi = np.array([-np.inf, 0.0]), np.array([np.inf, 1.0])
    x, u = np.array([[0.0, 0.1], [0.0, 0.9], [0.0, 0.0], [0.0, 0.5]]), np.zeros((4, 2))
    v = np.array([[2.0, -3.0], [-0.5, 3.0], [1.0, -1.0], [1.0, 1.0]])
    fixed = np.zeros((4, 2), bool)
    fixed[2, 1] = True
    contact(x, u, v, fixed, 0.1, lo, hi, 0.5)
    np.testing.assert_allclose(v, [[1.0, -1.0], [0.0, 1.0], [1.0, -1.0], [1.0, 1.0]], atol=1e-13)
    assert x[0, 1] + 0.1 * v[0, 1] == pytest.approx(0)


def test_friction_stops_a_sliding_body() -> None:
    """On the floor under g with velocity v it stops after v² / (2 μ g), as a rigid block does."""
    times, mu, speed = np.linspace(0, 0.6, 13), 0.2, 1.0
    block = SQUARE.moved(SQUARE.points * [1, 0.25])
    options = {"young": 1e5, "gravity": [0.0, -9.81], "velocity": [speed, 0.0]}
    walls = ([None, 0.0], None)
    rough = Elastodynamics(times, walls=walls, friction=mu, **options).solve(block)
    way = rough.u[-1, :, 0].mean()
    assert way == pytest.approx(speed**2 / (2 * mu * 9.81), rel=0.1)
    smooth = Elastodynamics(times, walls=walls, **options).solve(block)
    np.testing.assert_allclose(smooth.u[-1, :, 0].mean(), speed * 0.6, rtol=1e-3)


def test_a_part_may_be_driven_and_lie_against_a_wall() -> None:
    """u(X, t) holds at every time, the free end stops at the wall; the later part wins."""

    def push(x: np.ndarray, t: float) -> np.ndarray:
        return t + 0 * x[..., 0]

    found = Elastodynamics(
        TIMES, dirichlet={"left": (push, None), "origin": 0.0}, walls=(None, (1.1, None)),
        damping=5.0,
    ).solve(SQUARE)  # fmt: skip
    left = np.setdiff1d(SQUARE.nodes_of("left"), SQUARE.nodes_of("origin"))
    for k, t in enumerate(TIMES):
        np.testing.assert_allclose(found.u[k, left, 0], t, atol=1e-14)
    assert np.abs(found.u[:, left, 1]).max() > 1e-3
    assert not found.u[:, SQUARE.nodes_of("origin")].any()
    reach = (SQUARE.points + found.u)[..., 0].max()
    assert 1.1 - 1e-9 < reach <= 1.1 + 1e-12
    values = found.boundary.dirichlet_values
    assert values.shape == found.u.shape
    mask = found.boundary.dirichlet_mask
    np.testing.assert_array_equal(found.u[:, mask], values[:, mask])


def test_samples_hold_the_problem(tmp_path) -> None:
    """Inputs, parameters, materials by cell, and a file that gives all of it back."""
    found = Elastodynamics(
        TIMES[:3],
        density=lambda x: 1000 + 100 * x[..., 0],
        gravity=[0.0, -9.81],
        velocity=[1.0, 2.0],
    ).solve(SQUARE)
    assert found.names["inputs"] == ["initial_ux", "initial_uy", "initial_vx", "initial_vy"]
    assert found.names["params"] == [
        "young", "poisson", "friction", "damping", "gravity_x", "gravity_y",
    ]  # fmt: skip
    np.testing.assert_array_equal(found.params[-2:], [0.0, -9.81])
    assert found.names["cell_inputs"] == ["density"] and np.ptp(found.cell_inputs) > 50
    np.testing.assert_array_equal(found.inputs, np.tile([0, 0, 1, 2.0], (SQUARE.num_nodes, 1)))
    path = tmp_path / "body.vtkhdf"
    found.save(path)
    again = Sample.load(path)
    np.testing.assert_array_equal(again.u, found.u)
    assert again.meta["energy"] == found.meta["energy"] and again.units["ux"] == "m"


def test_materials_by_region_meet_in_balance() -> None:
    """A stiff half and a soft half under one pull: the soft one gives E ratio times as much."""
    mesh = Mesh(SQUARE.points, SQUARE.cells, SQUARE.groups)
    young = np.where(SQUARE.points[SQUARE.cells["triangle"]].mean(axis=1)[:, 0] < 0.5, 4e4, 1e4)
    top = {"left": (0.0, 0.0)}
    found = Elastodynamics(
        np.array([0.0, 40.0]), young, 0.0, 1000.0, gravity=[1e-3, 0.0], dirichlet=top, damping=2.0
    ).solve(mesh)
    u = found.u[-1, :, 0]
    # u' = ρ g (1 - x) / E: u(1/2) = 3/8 ρ g / E_1 and u(1) - u(1/2) = 1/8 ρ g / E_2
    middle, end = (u[np.isclose(SQUARE.points[:, 0], x)].mean() for x in (0.5, 1.0))
    assert middle == pytest.approx(0.375 / 4e4, rel=0.02)
    assert end - middle == pytest.approx(0.125 / 1e4, rel=0.02)


@pytest.mark.parametrize("law", ["neo-Hookean", "fixed-corotated"])
@pytest.mark.parametrize("kind", ["throw", "drop", "pull"])
def test_draws_move_between_their_walls(kind: str, law: str) -> None:
    """Same seed, same field; E never rises by more than 2 %; a pull keeps its clamp and rings."""
    for mesh in (domains.draw("l_shape", 1, 0.2), box("tetra", 2)):
        options = {"kind": kind, "law": law, "frames": 11, "duration": 2.0}
        first, again = (
            Elastodynamics.draw(mesh, np.random.default_rng(3), **options).solve(mesh)
            for _ in range(2)
        )
        np.testing.assert_array_equal(first.u, again.u)
        energy = first.meta["energy"]
        total = np.sum(list(energy.values()), axis=0)
        scale = np.max(np.add(energy["kinetic"], energy["strain"]))
        assert (total - np.minimum.accumulate(total)).max() < 0.02 * scale
        x, walls = mesh.points + first.u, first.meta["walls"]
        for axis in range(mesh.dim):
            low, high = walls["lo"][axis], walls["hi"][axis]
            assert low is None or x[..., axis].min() >= low - 1e-12
            assert high is None or x[..., axis].max() <= high + 1e-12
        held = first.boundary.dirichlet_mask.all(axis=1)
        assert held.any() == (kind == "pull") and not first.u[:, held].any()
        assert np.ptp(first.u, axis=0).max() > 0.05


def test_draws_scale_with_the_body() -> None:
    """Of a body 25 times as large the motion is 25 times as large, in 5 times the time."""
    large = SQUARE.moved(25 * SQUARE.points)
    one, other = (
        Elastodynamics.draw(m, np.random.default_rng(0), kind="drop", frames=11).solve(m)
        for m in (SQUARE, large)
    )
    np.testing.assert_allclose(other.times, 5 * one.times)
    np.testing.assert_allclose(other.u, 25 * one.u, atol=1e-6)


def refused(match: str, mesh: Mesh = SQUARE, **options) -> None:
    with pytest.raises(ValueError, match=match):
        Elastodynamics(TIMES, **options).solve(mesh)


def test_refusals_of_numbers() -> None:
    for name, value in (("friction", -1.0), ("damping", np.nan), ("courant", 0.0)):
        with pytest.raises(ValueError, match=f"{name}: expected a number .*, got {value}"):
            Elastodynamics(TIMES, **{name: value})
    with pytest.raises(ValueError, match="courant: expected a number above 0 and at most 1, got 2"):
        Elastodynamics(TIMES, courant=2.0)
    with pytest.raises(ValueError, match="law: expected one of neo-Hookean, .*, got 'Ogden'"):
        Elastodynamics(TIMES, law="Ogden")
    with pytest.raises(ValueError, match="times: expected two or more, increasing"):
        Elastodynamics(TIMES[::-1])
    refused("poisson: expected -1 < ν < 1/2, got values from 0.5 to 0.5", poisson=0.5)
    refused("density: expected positive values, the smallest is -1", density=-1.0)
    refused("young: expected positive values, the smallest is 0", young=0.0)
    refused("gravity: expected 2 components, got 3", gravity=[0.0, 0.0, -9.81])
    refused("gravity: 1 values are NaN or infinite", gravity=[0.0, np.nan])
    with pytest.raises(ValueError, match="order: expected 1, elastodynamics has P1 .*, got 2"):
        Elastodynamics(TIMES).solve(SQUARE, order=2)


def test_refusals_of_walls() -> None:
    refused("walls: expected a pair \\(lo, hi\\), got 1 entries", walls=[None])
    refused("walls: lo: expected 2 components, got 1", walls=((0.0,), None))
    refused("walls: expected lo below hi on every axis", walls=((1.0, None), (0.0, None)))
    refused("walls: expected lo below hi on every axis, got .nan", walls=((np.nan, None), None))
    refused(
        r"walls: the body begins beyond them at \d+ nodes, by up to 0.5 m \(node \d+, y = 0\)",
        walls=((None, 0.5), None),
    )


def test_refusals_of_meshes() -> None:
    refused("expected 2D cells in 2D or 3D cells in 3D, got 2D cells in 3D", octasphere(1))
    refused("expected 2D .*, got 1D cells in 1D; bars", box("line", 3))
    flipped = SQUARE.cells["triangle"].copy()
    flipped[3] = flipped[3, ::-1]
    refused("inverted or degenerate .*: 3", Mesh(SQUARE.points, {"triangle": flipped}))
    refused(
        r"displacement: simplex \d+ with nodes .* is turned inside out or torn apart by it",
        displacement=lambda x: x * [-2.0, 0.0],
    )
    refused("no group 'wall'", dirichlet={"wall": 0.0})
    with pytest.raises(ValueError, match="kind: expected one of throw, drop, pull, got 'kick'"):
        Elastodynamics.draw(SQUARE, np.random.default_rng(0), kind="kick")
    bare = Mesh(SQUARE.points, SQUARE.cells)
    with pytest.raises(ValueError, match="clamp: no group of facets faces one way; name a side"):
        Elastodynamics.draw(bare, np.random.default_rng(0), kind="pull")
    with pytest.raises(ValueError, match="clamp: the facets of 'boundary' face all ways"):
        Elastodynamics.draw(bare, np.random.default_rng(0), kind="pull", clamp="boundary")


def test_a_blow_up_says_where_and_keeps_the_frames() -> None:
    """A part pushed through the rest in one direction: RuntimeError with time, node and frames."""

    def push(x: np.ndarray, t: float) -> np.ndarray:
        return np.stack([5 * t + 0 * x[..., 0], 0 * x[..., 0]], axis=-1)

    problem = Elastodynamics(TIMES, dirichlet={"left": push}, walls=(None, (1.0, None)))
    with pytest.raises(
        RuntimeError, match="blew up at t = .* s: simplex .* pressed flat"
    ) as caught:
        problem.solve(SQUARE)
    error = caught.value
    assert isinstance(error, BlowUp) and error.sample is not None
    kept = error.sample
    assert 1 < len(kept.times) < len(TIMES) and kept.times[-1] <= error.time <= 0.2
    assert kept.u.shape[0] == len(kept.times) == len(kept.boundary.dirichlet_values)
    assert error.node in SQUARE.simplices[error.cell]
