"""Explicit elastodynamics at its limits: stiff cells, flat cells, one cell, walls that touch."""

import numpy as np
import pytest
from mesh_builders import box

from meshgnn.fem.elastic_solid import LAWS, Solid
from meshgnn.fem.explicit import BlowUp
from meshgnn.mesh import Mesh
from meshgnn.problems import Elastodynamics

SQUARE = box("triangle", 4)
ONE = {
    2: Mesh(np.eye(3, 2, -1), {"triangle": np.arange(3)[None]}),
    3: Mesh(np.eye(4, 3, -1), {"tetra": np.arange(4)[None]}),
}
TIMES = np.array([0.0, 0.1, 0.2])


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("dim", [2, 3])
def test_the_estimate_of_the_frequency_bounds_it_at_large_strains(dim: int, law: str) -> None:
    """ω² of a cell stretched 0.2 to 2 times in any directions, against M⁻¹ ∂²E/∂u² by differences:
    never below 0.99 of the largest eigenvalue, where steps are halved from 0.8 on."""
    rng, ratios = np.random.default_rng(0), []
    for _ in range(25):
        corners = rng.normal(size=(dim + 1, dim))
        if np.linalg.det(corners[1:] - corners[0]) < 0:
            corners[[0, 1]] = corners[[1, 0]]
        lame, shear = 10 ** rng.uniform(-1, 1.5, (2, 1))
        body = Solid(ONE[dim].moved(corners), lame, shear, np.ones(1), law)
        left, _, right = np.linalg.svd(rng.normal(size=(dim, dim)))
        f = left * np.exp(rng.uniform(-1.5, 0.7, dim)) @ right
        f[0] *= np.sign(np.linalg.det(f))
        u, step = corners @ (f - np.eye(dim)).T, 1e-6 * np.abs(corners).max()
        tangent = [
            (body.forces(u - e)[0] - body.forces(u + e)[0]).ravel() / (2 * step)
            for e in step * np.eye(u.size).reshape(-1, *u.shape)
        ]
        mass = np.repeat(body.mass, dim)
        omega = np.linalg.eigvalsh(np.array(tangent) / np.sqrt(mass[:, None] * mass)).max()
        ratios.append(body.forces(u)[2] / omega)
    assert min(ratios) > 0.99 and np.median(ratios) < 2.5


def test_a_cell_that_begins_too_flat_is_named() -> None:
    """The blow-up at the start names the cell that is pressed flat: one at x > 0.75."""
    problem = Elastodynamics(TIMES, displacement=lambda x: np.where(x > 0.9, -0.249975, 0) * [1, 0])
    with pytest.raises(BlowUp, match="blew up at t = 0 s: simplex .* pressed flat") as caught:
        problem.solve(SQUARE)
    assert caught.value.cell >= 0
    corners = SQUARE.points[SQUARE.simplices[caught.value.cell], 0]
    assert corners.min() == 0.75 and corners.max() == 1
    assert caught.value.sample is not None and len(caught.value.sample.times) == 1


@pytest.mark.parametrize("dim", [2, 3])
def test_one_cell_between_walls_that_it_touches(dim: int) -> None:
    """It stays in its box, rests on the floor, and no energy comes from the walls."""
    gravity = np.array([0.0] * (dim - 1) + [-9.81])
    walls = (np.zeros(dim), np.ones(dim))
    found = Elastodynamics(TIMES, gravity=gravity, walls=walls, courant=0.02).solve(ONE[dim])
    x = ONE[dim].points + found.u
    assert x.min() >= 0 and x.max() <= 1 and x[1:, -1, -1].max() < 0.99
    total = np.sum(list(found.meta["energy"].values()), axis=0)
    assert (np.diff(total) < 0.02 * np.max(found.meta["energy"]["kinetic"])).all()
    free = Elastodynamics(TIMES, gravity=gravity, walls=None).solve(ONE[dim])
    np.testing.assert_allclose(free.u[-1], np.broadcast_to(gravity * 0.02, x[0].shape), atol=1e-12)


def test_what_a_landing_loses_falls_with_the_cells() -> None:
    """Half the size of cells, at most two thirds of the loss, of a square that falls on a corner:
    8 and 4.4 % of its energy."""
    turn, losses = np.array([[np.cos(0.35), -np.sin(0.35)], [np.sin(0.35), np.cos(0.35)]]), []
    for count in (10, 20):
        found = Elastodynamics(
            np.linspace(0, 1.2, 13), 2e5, gravity=[0.0, -9.81], walls=([None, -0.6], None),
            displacement=lambda x: (x - 0.5) @ (turn - np.eye(2)).T,
        ).solve(box("triangle", count))  # fmt: skip
        energy = found.meta["energy"]
        total = np.sum(list(energy.values()), axis=0)
        losses.append((total[0] - total[-1]) / np.add(energy["kinetic"], energy["strain"]).max())
    assert 0 < losses[1] < losses[0] / 1.5 < 0.07


def test_arrays_of_any_layout_and_precision_are_data() -> None:
    """Nodal velocities in single precision or by columns are those in double precision by rows."""
    v = np.stack([np.ones(SQUARE.num_nodes), SQUARE.points[:, 0]], axis=1)
    plain, *others = (
        Elastodynamics(TIMES, velocity=given).solve(SQUARE).u
        for given in (v, np.asfortranarray(v), v.astype(np.float32))
    )
    for other in others:
        np.testing.assert_allclose(other, plain, atol=1e-6)
    whole = Elastodynamics(TIMES, gravity=(0, -1))
    vars(whole).update(friction=1, damping=1, young=np.float32(1e5))
    scene = whole.scene(SQUARE)
    assert type(scene.friction) is type(scene.damping) is float  # nothing is compiled anew
    assert whole.sample(SQUARE).names["params"][0] == "young"
    with pytest.raises(ValueError, match="velocity: 60 values are NaN or infinite"):
        Elastodynamics(TIMES, velocity=np.nan * v).solve(SQUARE)
    with pytest.raises(ValueError, match="gravity: expected a positive number, .* got 0"):
        Elastodynamics.draw(SQUARE, np.random.default_rng(0), gravity=0.0)


def test_steps_are_halved_where_a_body_is_pressed_and_no_energy_comes_of_it() -> None:
    """A square thrown at a floor at nearly √(E / ρ): more steps than at rest, to half its
    length; what lands is lost at once, and from then on E is kept within 2 %."""
    problem = Elastodynamics(
        np.linspace(0, 0.3, 7), 2e5, velocity=[0.0, -12.0], walls=([None, -0.1], None)
    )
    found = problem.solve(SQUARE)
    nominal = np.ceil(0.05 / (problem.courant * problem.solid(SQUARE).stable_step))
    assert max(found.meta["steps"]) == 2 * nominal
    squeezed = [SQUARE.moved(SQUARE.points + u).volumes / SQUARE.volumes for u in found.u]
    assert 0 < np.min(squeezed) < 0.6
    total = np.add(found.meta["energy"]["kinetic"], found.meta["energy"]["strain"])
    assert total.max() == total[0] and np.ptp(total[1:]) < 0.02 * total[0]
