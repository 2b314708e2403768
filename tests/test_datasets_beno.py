"""Corner-cut problems: finite volumes, and the same problem on gmsh meshes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from corner_cases import CASES, rng

from meshgnn.datasets.beno import CornerCut, corner_cuts, volumes
from meshgnn.operators import interpolate, locate
from meshgnn.sample import Sample


@pytest.fixture(params=CASES, ids=lambda c: f"{c.corners}{'m' if c.insulated else 'd'}")
def cut(request: pytest.FixtureRequest) -> CornerCut:
    return request.param


def test_solution_satisfies_the_stencil(cut: CornerCut) -> None:
    """Σ_b (u_c - u_b) - h² f_c = 0 with ghost cells 2g - u_c or u_c, summed cell by cell."""
    sample, lattice, n = cut.lattice_sample(), cut.lattice(), cut.cells
    u, count = sample.u[0, :, 0], len(lattice.centres)
    held = sample.boundary.dirichlet_mask[:, 0]
    worst = 0.0
    for c, place in enumerate(lattice.centres):
        total = -sample.inputs[c, 0] / n**2
        for step in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            face = lattice.node_at[tuple(place + step)]
            if face < 0:
                total += u[c] - u[lattice.node_at[tuple(place + 2 * np.array(step))]]
            elif held[face]:
                total += 2 * (u[c] - sample.boundary.dirichlet_values[face, 0])
            else:
                assert u[face] == u[c]
        worst = max(worst, abs(total))
    assert worst <= 1e-10 * np.abs(u).max()
    values = sample.boundary.dirichlet_values[:, 0]
    np.testing.assert_array_equal(u[held], values[held])
    assert not held[:count].any()
    assert held[count : count + 4 * n].sum() == (3 if cut.insulated is not None else 4) * n


def test_corner_values_are_means_of_the_faces_beside_them(cut: CornerCut) -> None:
    lattice, sample = cut.lattice(), cut.lattice_sample()
    first = len(lattice.centres)
    u, held = sample.u[0, :, 0], sample.boundary.dirichlet_mask[:, 0]
    for k, (a, b) in enumerate(lattice.corner_faces + first):
        corner = first + len(lattice.faces) + k
        np.testing.assert_allclose(
            np.abs(sample.mesh.points[[a, b]] - sample.mesh.points[corner]).sum(axis=1),
            0.5 / cut.cells,
        )
        beside = [i for i in (a, b) if held[i]] or [a, b]
        assert held[corner] == held[[a, b]].any()
        assert u[corner] == pytest.approx(u[beside].mean(), abs=1e-15)


def test_solutions_superpose(cut: CornerCut) -> None:
    """u(f, g) = u(f, 0) + u(0, g)."""
    whole = cut.lattice_sample().u
    parts = replace(cut, g=0.0).lattice_sample().u + replace(cut, f=0.0).lattice_sample().u
    assert np.abs(whole - parts).max() <= 1e-12 * np.abs(whole).max()


def test_linear_and_constant_fields_are_exact() -> None:
    """-∇²u = 0 has u = 1 + 2x - y with Dirichlet faces, and u = 3 with insulated ones too."""
    for case in CASES:
        if case.insulated is None:
            linear = replace(case, f=0.0, g=lambda x: 1 + 2 * x[..., 0] - x[..., 1])
            sample, n = linear.lattice_sample(), len(case.lattice().centres)
            x, y = sample.mesh.points[: n + 4 * case.cells].T
            np.testing.assert_allclose(sample.u[0, : len(x), 0], 1 + 2 * x - y, atol=1e-12)
        constant = replace(case, f=0.0, g=3.0).lattice_sample()
        np.testing.assert_allclose(constant.u, 3, atol=1e-12)


def values_at(sample: Sample, x: np.ndarray) -> np.ndarray:
    simplices = torch.tensor(sample.mesh.simplices)
    place = locate(torch.tensor(x), torch.tensor(sample.mesh.points), simplices)
    return interpolate(torch.tensor(sample.u[0]), simplices, place).numpy()[:, 0]


@pytest.mark.parametrize(("corners", "mixed", "order"), [(0, False, 1.7), (4, False, 1.1)])
def test_finite_elements_and_volumes_approach(corners: int, mixed: bool, order: float) -> None:
    """At the lattice centres the two differ by O(h²); by O(h^4/3) where corners are re-entrant."""
    cut = CornerCut.draw(rng(4), corners, mixed, cells=16, sides=(3, 6))
    gaps = []
    for n in (16, 32, 64):
        lattice = cut.lattice_sample(n)
        count = len(cut.lattice(n).centres)
        plane = values_at(cut.mesh_sample(1 / n), lattice.mesh.points[:count])
        u = lattice.u[0, :count, 0]
        gaps.append(np.linalg.norm(plane - u) / np.linalg.norm(u))
    rates = np.log2(np.array(gaps[:-1]) / gaps[1:])
    assert gaps[-1] < 0.01
    assert rates.mean() > order


def test_mixed_problems_approach_too() -> None:
    """At the ends of an insulated part u ~ r^1/2: the difference falls at least like h^3/4."""
    cut = CornerCut.draw(rng(7), 2, True, cells=16, sides=(3, 6))
    gaps = []
    for n in (16, 64):
        lattice, count = cut.lattice_sample(n), len(cut.lattice(n).centres)
        plane = values_at(cut.mesh_sample(1 / n), lattice.mesh.points[:count])
        gaps.append(np.linalg.norm(plane - lattice.u[0, :count, 0]) / np.linalg.norm(plane))
    assert gaps[1] < 0.03
    assert np.log2(gaps[0] / gaps[1]) / 2 > 0.75


def test_lattice_and_mesh_have_the_same_data() -> None:
    """f at the nodes and g on the Dirichlet nodes are the same functions of x."""
    cut = CornerCut.draw(rng(3), 3, True)
    lattice, plane = cut.lattice_sample(), cut.mesh_sample(0.05)
    for sample in (lattice, plane):
        points, mask = sample.mesh.points, sample.boundary.dirichlet_mask[:, 0]
        np.testing.assert_allclose(sample.inputs[:, 0], cut.f(points), atol=1e-14)
        faces = mask & (np.arange(len(mask)) < len(mask) - 4 - 2 * 3) if sample is lattice else mask
        values = sample.boundary.dirichlet_values[faces, 0]
        np.testing.assert_allclose(values, cut.g(points[faces]), atol=1e-14)
        assert (sample.boundary.flux == 0).all() and len(sample.boundary.facets)
        assert sample.names["inputs"] == sample.names["cell_inputs"] == ["source", "diffusivity"]
        assert sample.meta["corners"] == 3 and sample.meta["mixed"]


def test_cell_inputs_are_means_over_the_corners() -> None:
    sample = CASES[0].lattice_sample()
    means = sample.inputs[sample.mesh.cells["quad"]].mean(axis=1)
    np.testing.assert_allclose(sample.cell_inputs, means, atol=1e-15)
    assert (sample.cell_inputs[:, 1] == 1).all()


def test_seeds_decide_everything(tmp_path) -> None:
    """Sample i depends on (seed, i) only, and is the same in a file."""
    one, other = corner_cuts(3, seed=5, mixed=True)[2], corner_cuts(4, seed=5, mixed=True)[2]
    first, second = one.lattice_sample(blurred=True), other.lattice_sample(blurred=True)
    np.testing.assert_array_equal(first.u, second.u)
    np.testing.assert_array_equal(one.mesh().points, other.mesh().points)
    assert not np.array_equal(one.cuts, corner_cuts(3, seed=6)[2].cuts)
    first.save(tmp_path / "one.vtkhdf")
    back = Sample.load(tmp_path / "one.vtkhdf")
    np.testing.assert_array_equal(back.u, first.u)
    np.testing.assert_array_equal(back.inputs, first.inputs)
    np.testing.assert_array_equal(volumes.parts(back)[2], volumes.parts(first)[2])
    assert 0.03 <= one.size <= 0.06


def test_blur_is_a_mean_with_differences_by_cell() -> None:
    """A constant stays, and a linear field keeps its slope per cell away from the edges."""
    n = 16
    x = (np.arange(n) + 0.5) / n
    plane = 2.0 + 3.0 * x[:, None] + 5.0 * x
    mean, dx, dy = volumes.blurred(plane).transpose(2, 0, 1)
    inner = slice(3, -3)
    np.testing.assert_allclose(mean[inner, inner], plane[inner, inner], atol=1e-12)
    np.testing.assert_allclose(dx[inner, inner], 3 / n, atol=1e-12)
    np.testing.assert_allclose(dy[inner, inner], 5 / n, atol=1e-12)
    np.testing.assert_allclose(volumes.blurred(np.ones((n, n)))[..., 0], 1, atol=1e-14)
    weights = np.exp(-(np.array([2, 1, 0, 1, 2]) ** 2) / 50)
    spike = np.zeros((n, n))
    spike[0, 8] = 1.0
    # mirrored about the first cell, which itself is not repeated
    assert volumes.blurred(spike)[0, 8, 0] == pytest.approx((weights[2] / weights.sum()) ** 2)


def test_blurred_inputs_are_those_of_minus_the_source() -> None:
    cut = replace(CASES[8], f=lambda x: x[..., 0])
    sample, lattice = cut.lattice_sample(blurred=True), cut.lattice()
    assert sample.names["inputs"][2:] == ["blur", "blur_x", "blur_y"]
    inner = np.flatnonzero((np.abs(lattice.centres - cut.cells) < cut.cells - 6).all(axis=1))
    np.testing.assert_allclose(sample.inputs[inner, 2], -sample.mesh.points[inner, 0], atol=1e-12)
    np.testing.assert_allclose(sample.inputs[inner, 3], -1 / cut.cells, atol=1e-12)
    first = len(lattice.centres)
    faces = slice(first, first + len(lattice.faces))
    np.testing.assert_array_equal(sample.inputs[faces, 2:], sample.inputs[lattice.owner, 2:])


def test_refusals() -> None:
    good = CASES[8]
    with pytest.raises(ValueError, match="0 to 4 corners or None, got 5"):
        CornerCut.draw(rng(), 5)
    with pytest.raises(ValueError, match="sides from 1 cell on, ascending"):
        CornerCut.draw(rng(), 2, sides=(0, 3))
    with pytest.raises(ValueError, match="1000 draws of 4 rectangles"):
        CornerCut.draw(rng(), 4, sides=(20, 24))
    with pytest.raises(ValueError, match="2 or more from each other"):
        replace(good, cuts=np.array([[8, 3], [7, 3], [0, 0], [0, 0]]))
    with pytest.raises(ValueError, match="2 or more from each other"):
        replace(good, cuts=np.array([[8, 0], [0, 0], [0, 0], [0, 0]]))
    with pytest.raises(ValueError, match="begin at 0 to 63 cells"):
        replace(good, insulated=64)
    with pytest.raises(ValueError, match="a lattice of 24 cells does not meet"):
        replace(good, cuts=np.array([[3, 3], [0, 0], [0, 0], [0, 0]])).lattice_sample(24)
    with pytest.raises(ValueError, match="expected a solved lattice sample"):
        volumes.parts(CASES[0].problem().sample(CASES[0].mesh(0.2)))
