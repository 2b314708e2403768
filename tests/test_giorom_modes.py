"""Patches as stiff as their body: the lowest vibrations of a mesh by few of its nodes."""

from dataclasses import replace

import numpy as np
import pytest
import skfem
import torch
from mesh_builders import box
from particle_builders import jittered, started
from scipy.linalg import eigvalsh
from scipy.sparse import csr_array
from skfem.models.elasticity import linear_elasticity

from meshgnn.geometry import domains
from meshgnn.graph import to_graph
from meshgnn.graph.sampling import farthest_points
from meshgnn.mesh import Mesh
from meshgnn.models.giorom import GIOROM, modes
from meshgnn.models.giorom.modes import Elastic
from meshgnn.models.giorom.sparse import with_sources
from meshgnn.problems import Elastodynamics
from meshgnn.sample import Sample

TIMES = np.linspace(0, 1, 4)


def of(sample: Sample, points: int = 0, seed: int = 0) -> tuple[Elastic, np.ndarray, np.ndarray]:
    """The mesh without `points`; else its patches, their s [2, Q], and the nodes."""
    model = GIOROM(dim=sample.mesh.dim, params=len(sample.params), points=points or 8, seed=seed)
    graph = started(model, sample)
    held = graph.dirichlet_mask.numpy()
    if not points:
        where, mass = graph.pos.double().numpy(), graph.mass.double().numpy()
        mesh = modes.of_mesh(where, graph.simplex_index.t().numpy(), mass, held)
        return mesh, np.ones((2, len(mesh.volume))), np.arange(len(held))
    chosen, dim = graph.source_index.numpy(), sample.mesh.dim
    ends = np.concatenate([[0], graph.strain_count.cumsum(0).numpy()])
    column = np.searchsorted(chosen, graph.strain_index.numpy())
    rows = csr_array((graph.strain_weight.numpy(), column, ends), (len(ends) - 1, len(chosen)))
    slopes = [csr_array(rows[axis::dim]) for axis in range(dim)]
    volume, mass = graph.strain_volume.numpy(), graph.source_mass.double().numpy()
    size = float(np.ptp(sample.mesh.points, axis=0).max())
    patches = Elastic(slopes, volume, mass, held[chosen], size)
    return patches, graph.strain_stiffer.numpy().T, chosen


def l_shape(clamped: bool) -> Sample:
    """337 nodes; its re-entrant corner is what few points are too stiff for."""
    problem = Elastodynamics(TIMES, dirichlet={"left": 0.0} if clamped else {})
    return problem.sample(domains.draw("l_shape", 1, 0.06))


@pytest.mark.parametrize("lame", [0.3, 3.0])
def test_vibrations_of_a_mesh_are_those_of_finite_elements(lame: float):
    """Beside scikit-fem with the same masses, without the three rigid motions."""
    mesh = jittered("triangle", 5)
    body, even, _ = of(Elastodynamics(TIMES).sample(mesh))
    elements = skfem.MeshTri(mesh.points.T.copy(), mesh.simplices.T.copy())
    basis = skfem.Basis(elements, skfem.ElementVector(skfem.ElementTriP1()))
    matrix = linear_elasticity(Lambda=lame, Mu=1.0).assemble(basis).toarray()
    every = eigvalsh(matrix, np.diag(np.repeat(mesh.lumped_mass, 2)))
    found = body.vibrations(lame, even, 6)
    np.testing.assert_allclose(found.square, every[3:9], rtol=1e-5)
    mass = np.tile(mesh.lumped_mass, 2)[:, None]
    np.testing.assert_allclose(found.shape.T @ (mass * found.shape), np.eye(6), atol=1e-8)


@pytest.mark.parametrize("clamped", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_few_points_vibrate_as_the_mesh_does(clamped: bool, seed: int):
    """Six frequencies by 60 nodes, of a material in between those that s is found for: within 1 %
    on average, at least twice as near as with s = 1."""
    sample = l_shape(clamped)
    mesh, even, _ = of(sample)
    patches, stiffer, _ = of(sample, 60, seed)
    exact = mesh.vibrations(1.0, even, 6).square

    def off(stiffer: np.ndarray) -> float:
        return float(np.abs(np.sqrt(patches.vibrations(1.0, stiffer, 6).square / exact) - 1).mean())

    assert off(stiffer) < min(0.01, off(np.ones_like(stiffer)) / 2)
    assert (stiffer > 0.3).all() and (stiffer < 3.4).all()


def test_in_space():
    """A clamped block of 216 nodes by 50."""
    sample = Elastodynamics(TIMES, dirichlet={"left": 0.0}).sample(jittered("tetra", 5))
    mesh, even, _ = of(sample)
    patches, stiffer, _ = of(sample, 50)
    exact = mesh.vibrations(1.0, even, 6).square
    off = [
        np.abs(np.sqrt(patches.vibrations(1.0, s, 6).square / exact) - 1).max()
        for s in (np.ones_like(stiffer), stiffer)
    ]
    assert off[1] < 0.03 and off[1] < off[0] / 3


def test_bodies_of_one_mesh_are_each_as_stiff_as_alone():
    one = jittered("triangle", 6)
    cells, count = one.cells["triangle"], one.num_nodes
    points = np.concatenate([one.points, one.points + [1.5, 0.0]])
    two = Mesh(points, {"triangle": np.concatenate([cells, cells + count])}, {})
    samples = [Elastodynamics(TIMES).sample(mesh) for mesh in (one, two)]
    resting = [replace(s, u=np.zeros((4, s.mesh.num_nodes, 2))) for s in samples]
    alone, both = (to_graph(sample, 1) for sample in resting)
    chosen = farthest_points(one.points, 25)
    alone = with_sources(alone, chosen, 2.5).strain_stiffer
    both = with_sources(both, np.concatenate([chosen, chosen + count]), 2.5).strain_stiffer
    assert (alone - 1).abs().max() > 0.05
    torch.testing.assert_close(both, torch.cat([alone, alone]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("points", [40, 70, 105])
def test_a_slit(points: int):
    """Two nodes at each place along it: every patch has a volume and a gradient, and the body
    vibrates, whether or not all nodes have a patch of their own."""
    mesh = box("triangle", 9)
    where, cells = mesh.points, mesh.cells["triangle"].copy()
    along = np.flatnonzero((np.abs(where[:, 1] - 0.5) < 1e-9) & (where[:, 0] > 0.51))
    twin = np.arange(len(where))
    twin[along] = len(where) + np.arange(len(along))
    above = where[cells].mean(axis=1)[:, 1] > 0.5
    cells[above] = twin[cells[above]]
    slit = Mesh(np.concatenate([where, where[along]]), {"triangle": cells}, {})
    assert len(along) > 3 and slit.num_nodes > points
    sample = Elastodynamics(TIMES).sample(slit)
    mesh, even, _ = of(sample)
    patches, stiffer, _ = of(sample, points)
    assert (patches.volume > 0).all() and abs(patches.volume.sum() - 1) < 1e-6
    assert all((np.diff(g.indptr) > 0).all() for g in patches.slopes)
    exact = mesh.vibrations(1.0, even, 6).square
    found = np.sqrt(patches.vibrations(1.0, stiffer, 6).square / exact)
    assert np.abs(found - 1).mean() < 0.3  # patches at the slit see both of its sides


def test_strains_are_found_once():
    """They are asked for in every round, and for every mode."""
    body = of(l_shape(clamped=False))[0]
    assert body.strains is body.strains


def test_what_is_left_as_it_is(monkeypatch):
    """All nodes, a body that is held as a whole, and meshes and sets of which no factor is
    affordable."""
    sample = l_shape(clamped=True)
    assert (of(sample, sample.mesh.num_nodes)[1] == 1).all()
    mesh, _, _ = of(sample)
    patches, stiffer, chosen = of(sample, 60)
    fixed = Elastic(patches.slopes, patches.volume, patches.mass, patches.held | True, 1.0)
    assert (modes.stiffening(mesh, fixed, chosen) == 1).all()
    np.testing.assert_allclose(modes.stiffening(mesh, patches, chosen), stiffer, rtol=1e-5)
    for limits, most in ((modes._LARGEST, 600), (modes._MOST_POINTS, 59)):
        with monkeypatch.context() as patched:
            patched.setitem(limits, 2, most)
            assert (modes.stiffening(mesh, patches, chosen) == 1).all()


def test_vibrations_of_a_mesh_are_found_once(monkeypatch):
    """For other points of the same body, not for another clamp."""
    counted = []
    lowest = modes._lowest
    monkeypatch.setattr(modes, "_lowest", lambda *a: counted.append(a[0].shape[0]) or lowest(*a))
    modes._of_whole.cache_clear()
    for seed in range(3):
        of(l_shape(clamped=True), 40, seed)
    whole = max(counted)
    assert counted.count(whole) == 2
    of(l_shape(clamped=False), 40)
    assert max(counted) > whole
