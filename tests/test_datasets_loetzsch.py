"""The electrostatics benchmark drawn anew: shapes, sources, splits, finite-element truth."""

from itertools import islice

import numpy as np
import pytest

from meshgnn.datasets import loetzsch
from meshgnn.problems.poisson import Poisson

AREAS = {
    "square": 1,
    "disc": np.pi / 4,
    "hole": np.pi / 4 - np.pi * 0.12**2,
    "l": 0.75,
    "u": 1 - 0.5 * 0.75,
}


@pytest.mark.parametrize("kind", loetzsch.SHAPES)
def test_fixed_meshes_are_the_published_shapes(kind: str) -> None:
    """Areas in the unit square; circles are polygons with their corners on them."""
    mesh = loetzsch.mesh(kind)
    mesh.check()
    assert mesh is loetzsch.mesh(kind)
    assert mesh.volumes.sum() == pytest.approx(AREAS[kind], rel=0.01)
    assert (mesh.points.min(), mesh.points.max()) == pytest.approx((0, 1), abs=0.01)
    assert 130 < mesh.num_nodes < 300


@pytest.mark.parametrize("kind", loetzsch.SHAPES)
def test_random_meshes_differ_and_pass(kind: str) -> None:
    meshes = [loetzsch.mesh(kind, np.random.default_rng(seed)) for seed in range(6)]
    for mesh in meshes:
        mesh.check()
    assert len({mesh.num_nodes for mesh in meshes}) > 3
    areas = np.array([mesh.volumes.sum() for mesh in meshes])
    if kind == "square":
        assert {round(mesh.num_nodes**0.5) - 1 for mesh in meshes} <= set(range(7, 20))
    elif kind != "disc":
        assert np.ptp(areas) > 0.02


@pytest.mark.parametrize("kind", loetzsch.SHAPES)
def test_samples_hold_discs_and_zero_boundary_values(kind: str) -> None:
    """ρ is 1 at nodes with r² < 0.005 of a node, 0 else; u = 0 on the whole boundary, u >= 0."""
    for index in range(3):
        sample = loetzsch.draw(kind, 4, index)
        mesh, source = sample.mesh, sample.inputs[:, 0]
        gaps = ((mesh.points[:, None] - mesh.points) ** 2).sum(axis=2)
        assert set(np.unique(source)) <= {0.0, 1.0}
        covered = (gaps < 0.005) & (source > 0)
        # every charged node is in a disc all of whose nodes are charged
        whole = ((gaps < 0.005) <= (source > 0)).all(axis=1)
        assert covered[whole].any(axis=0)[source > 0].all()
        mask = sample.boundary.dirichlet_mask[:, 0]
        np.testing.assert_array_equal(np.flatnonzero(mask), mesh.boundary_nodes)
        assert (sample.u[0, mask] == 0).all() and sample.u.max() > 0
        assert 1 <= sample.meta["sources"] <= 3 and sample.meta["order"] == 2


def test_solutions_superpose() -> None:
    """u(ρ_1 + ρ_2) = u(ρ_1) + u(ρ_2) for the P2 and for the P1 solution."""
    mesh = loetzsch.mesh("l")
    one, two = (loetzsch.discs(mesh, mesh.points[[i]]) for i in (20, 90))
    for order in (1, 2):
        solve = [
            Poisson(s, dirichlet={"*": 0.0}).solve(mesh, order).u for s in (one, two, one + two)
        ]
        assert np.abs(solve[0] + solve[1] - solve[2]).max() <= 1e-12 * np.abs(solve[2]).max()


def test_second_order_is_the_better_truth() -> None:
    """P2 on a mesh is nearer than P1 to P1 on the mesh refined twice, for the same P1 source."""
    mesh = loetzsch.mesh("square")
    source = loetzsch.discs(mesh, np.array([[0.4, 0.6]]))
    fine, spread = mesh, source
    for _ in range(2):
        edges = fine.edges
        spread = np.concatenate([spread, spread[edges].mean(axis=1)])
        fine = fine.refined()
    first, second, truth = (
        Poisson(s, dirichlet={"*": 0.0}).solve(m, order).u[0, : mesh.num_nodes]
        for s, m, order in ((source, mesh, 1), (source, mesh, 2), (spread, fine, 1))
    )
    assert np.abs(second - truth).max() < 0.3 * np.abs(first - truth).max()


def test_seeds_decide_everything() -> None:
    one, other = loetzsch.draw("u", 1, 7), loetzsch.draw("u", 1, 7)
    np.testing.assert_array_equal(one.u, other.u)
    assert one.mesh.num_nodes != loetzsch.draw("u", 2, 7).mesh.num_nodes
    assert loetzsch.draw("disc", 0, 0, fixed=True, order=1).meta["order"] == 1


def test_splits() -> None:
    """Counts, shapes and sources of the parts; equal seeds give different samples in them."""
    train = list(loetzsch.samples("train", per_shape=2, fixed=True))
    assert [s.meta["shape"] for s in train] == [k for k in loetzsch.SHAPES[:4] for _ in range(2)]
    validation = list(loetzsch.samples("validation", per_shape=2, fixed=True))
    for a, b in zip(train, validation, strict=True):
        assert a.mesh is b.mesh
    assert any(
        not np.array_equal(a.inputs, b.inputs) for a, b in zip(train, validation, strict=True)
    )
    more = list(loetzsch.samples("superposition", per_shape=2, fixed=True))
    assert {s.meta["sources"] for s in more} <= {4, 5}
    assert next(loetzsch.samples("shape")).meta["shape"] == "u"
    assert len(list(islice(loetzsch.samples("train", fixed=True), 5))) == 5
    counts = {name: part.per_shape * len(part.shapes) for name, part in loetzsch.SPLITS.items()}
    assert counts == {"train": 8000, "validation": 2000, "superposition": 2500, "shape": 2500}


def test_refusals() -> None:
    with pytest.raises(ValueError, match="unknown split 'test'; there are train, validation"):
        loetzsch.samples("test")
    with pytest.raises(ValueError, match="unknown shape 'ring'; there are square, disc"):
        loetzsch.draw("ring", 0, 0)
    with pytest.raises(ValueError, match="unknown shape 'ring'"):
        loetzsch.mesh("ring")
    with pytest.raises(ValueError, match="at most one disc per node, 256, got 300"):
        loetzsch.draw("square", 0, 0, fixed=True, sources=(300, 300))
