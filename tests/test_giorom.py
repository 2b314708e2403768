"""`GIOROM`: free flight, conservation, symmetries, batches, walls and held parts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from mesh_builders import box
from particle_builders import alive, jittered, started
from torch_geometric.data import Batch, Data

from meshgnn.geometry.domains import draw
from meshgnn.marching import rollout
from meshgnn.mesh import Mesh
from meshgnn.models.giorom import GIOROM, sparse
from meshgnn.models.giorom.sparse import decoded, with_sources
from meshgnn.problems import Elastodynamics
from meshgnn.sample import Sample

TIMES = np.linspace(0, 1, 101)
SMALL = {"points": 20, "width": 16, "seed": 0}


def body(dim: int = 2, n: int = 0, **options) -> Sample:
    """An unsolved body of some 50 nodes."""
    mesh = jittered("triangle", n or 6) if dim == 2 else jittered("tetra", n or 3)
    return Elastodynamics(TIMES, **options).sample(mesh)


def made(sample: Sample, **options) -> GIOROM:
    """With scales of a body whose waves take ten frames or so."""
    torch.manual_seed(0)
    dim = sample.mesh.dim
    model = GIOROM(dim=dim, params=len(sample.params), **{**SMALL, **options})
    model.scale_out.std.fill_(2e-3)
    model.scale_theta.std.fill_(torch.inf)
    if model.solid is None:
        model.net.scale_velocity.std.fill_(0.05)
    else:
        model.solid.modulus.fill_(5e-3)
    return model


def spin(dim: int, rate: float = 3.0):
    """v(X) of a turn about the middle in the plane of the first two axes, and of a drift."""
    turn = np.zeros((dim, dim))
    turn[0, 1], turn[1, 0] = -rate, rate
    return lambda x: (x - 0.5) @ turn.T + 0.3


def strain(dim: int):
    """u(X) of a shear and a squeeze."""
    matrix = 0.05 * np.random.default_rng(1).normal(size=(dim, dim))
    return lambda x: (x - 0.5) @ matrix.T


def zero_heads(model: GIOROM) -> GIOROM:
    """Random weights but for the last layers, which say nothing."""
    alive(model)
    if model.solid is not None:
        return model
    heads = [model.net.head[-1]] if hasattr(model.net, "head") else []
    heads = heads or [model.net.pair[-1], model.net.press[-1]]
    for head in heads:
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    return model


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("options", [{}, {"solid": False}, {"preset": "paper", "width": None}])
def test_free_flight_is_exact(dim: int, options: dict):
    """S2: x = X + v t + g t² / 2 over 100 steps to 1e-6, whatever the law is."""
    v, g = np.array([0.5, 0.2, -0.3])[:dim], np.array([0.0, 0.1, -0.9])[:dim]
    sample = body(dim, velocity=v.tolist(), gravity=g.tolist())
    steps = 100 if options.get("preset") is None else 12
    flown = rollout(zero_heads(made(sample, **options)), sample, steps)
    t = flown.times[:, None, None]
    assert np.abs(flown.u - v * t - g * t**2 / 2).max() < 1e-6


def test_slow_motion_far_away_is_kept():
    """A body 10 m away that moves 1e-6 m in a frame: single precision would leave it at rest."""
    sample = body(displacement=[10.0, 0.0], velocity=[1e-4, 0.0])
    model = zero_heads(made(sample))
    flown, sources = rollout(model, sample, 50), started(model, sample).source_index
    assert np.abs(flown.u[-1, sources] - [10.00005, 0.0]).max() < 1e-7


def totals(model: GIOROM, sample: Sample, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Momentum and angular momentum (planes xy, xz, yz) between the states; m = volume, Δt = 1."""
    graph = started(model, sample)
    chosen, mass = graph.source_index.numpy(), graph.source_mass.double().numpy()[:, None]
    x = sample.mesh.points[chosen] + u[:, chosen]
    p = mass * np.diff(x, axis=0)
    pairs = np.triu_indices(x.shape[2], 1)
    whole = np.einsum("tna,tnb->tab", x[:-1], p)
    return p.sum(axis=1), (whole - whole.swapaxes(1, 2))[:, pairs[0], pairs[1]]


@pytest.mark.parametrize("dim", [2, 3])
def test_momentum_and_angular_momentum_of_a_free_body(dim: int):
    """Both are kept by a strained, spinning body with random weights, to rounding."""
    sample = body(dim, velocity=spin(dim), displacement=strain(dim))
    model = alive(made(sample, solid=False))
    u = rollout(model, sample, 40).u
    plain = rollout(made(sample, solid=False), sample, 40).u
    assert np.abs(u - plain).max() > 0.01  # it does something
    p, turn = totals(model, sample, u)
    scale_p, scale_turn = np.abs(p[0]).max(), np.abs(turn[0]).max()
    assert np.abs(p - p[0]).max() < 2e-6 * scale_p
    assert np.abs(turn - turn[0]).max() < 1e-5 * scale_turn


def test_random_weights_stay_bounded():
    """A strained, spinning body marches on for 50 steps; nothing in it grows without bounds."""
    sample = body(2, velocity=spin(2), displacement=strain(2))
    u = rollout(alive(made(sample, solid=False)), sample, 50).u
    x = sample.mesh.points + u
    extent = np.linalg.norm(x - x.mean(axis=1, keepdims=True), axis=2).max(axis=1)
    assert extent.max() < 3 * extent[0] and extent[-1] > 0.3 * extent[0]


def shuffled(sample: Sample, order: np.ndarray) -> Sample:
    """Node k is what was node order[k]."""
    mesh, place, held = sample.mesh, np.argsort(order), sample.boundary
    groups = {
        k: type(g)(g.dim, {t: place[c] for t, c in g.cells.items()}) for k, g in mesh.groups.items()
    }
    other = Mesh(mesh.points[order], {k: place[c] for k, c in mesh.cells.items()}, groups)
    boundary = replace(
        held,
        dirichlet_mask=held.dirichlet_mask[order],
        dirichlet_values=held.dirichlet_values[..., order, :],
        facets=np.where(held.facets >= 0, place[held.facets], -1),
    )
    return replace(sample, mesh=other, boundary=boundary, inputs=sample.inputs[order])


def test_the_order_of_the_nodes_does_not_matter():
    """S2: f(P x) = P f(x) with the same sparse set, at a wall and with a held part."""
    held = {"dirichlet": {"left": 0.0}, "walls": ([None, -0.02], None)}
    sample = body(gravity=[0.0, -9.0], velocity=lambda x: 0.5 * x, **held)
    order = np.random.default_rng(0).permutation(sample.mesh.num_nodes)
    model = alive(made(sample))
    one = started(model, sample)
    chosen = np.argsort(order)[one.source_index.numpy()]
    other = Data(**started(model, shuffled(sample, order)).to_dict())
    other = with_sources(other, chosen, model.hparams["reach"])
    torch.testing.assert_close(model(other), model(one)[order], rtol=0, atol=1e-6)


def moving(sample: Sample, seed: int, model: GIOROM) -> Data:
    """Its first graph with known states that differ from node to node."""
    graph = started(model, sample)
    generator = torch.Generator().manual_seed(seed)
    steps = 0.01 * torch.randn(graph.u.shape, generator=generator, dtype=torch.float64)
    graph.u = torch.where(graph.dirichlet_mask[:, None], graph.u, graph.u + steps.cumsum(dim=1))
    return graph


@pytest.mark.parametrize("options", [{}, {"preset": "paper", "width": None}])
def test_graphs_of_a_batch_do_not_see_each_other(options: dict):
    """S3: f([A, B, C])_A = f(A) to 1e-6: one at a wall, one with all its nodes, one large."""
    g = {"gravity": [0.0, -9.0]}
    samples = [
        body(n=6, walls=([None, -0.02], None), **g),
        body(n=3, dirichlet={"left": 0.0}, **g),
        body(n=9, walls=([-0.02, None], [1.02, 1.2]), **g),
    ]
    model = alive(made(samples[0], points=30, **options), 0.05)
    graphs = [moving(s, k, model) for k, s in enumerate(samples)]
    assert [len(graph.source_index) for graph in graphs] == [30, 20, 30]
    together = model(Batch.from_data_list(graphs)).split([len(graph.pos) for graph in graphs])
    for graph, result in zip(graphs, together, strict=True):
        torch.testing.assert_close(result, model(graph), rtol=0, atol=1e-6)


def placed(sample: Sample, matrix: np.ndarray, shift: np.ndarray, walls) -> Sample:
    """The scene under x → M x + s, with gravity and velocities."""
    mesh, dim = sample.mesh, len(shift)
    where = {k: i for i, k in enumerate(sample.names["inputs"])}
    u = sample.inputs[:, [where[f"initial_u{a}"] for a in "xyz"[:dim]]]
    v = sample.inputs[:, [where[f"initial_v{a}"] for a in "xyz"[:dim]]]
    moved = Elastodynamics(
        TIMES,
        gravity=(matrix @ sample.params[-dim:]).tolist(),
        velocity=v @ matrix.T,
        displacement=u @ matrix.T,
        walls=walls,
    )
    points = mesh.points @ matrix.T + shift
    cells = mesh.cells
    if np.linalg.det(matrix) < 0:
        cells = {kind: c[:, [1, 0, *range(2, c.shape[1])]] for kind, c in cells.items()}
    return moved.sample(Mesh(points, cells, {}))


def compared(sample: Sample, other: Sample, matrix: np.ndarray) -> float:
    """max |u' − M u| over the size of M u after 8 steps of the same random weights, of a solid
    whose waves are as much faster as M is larger, and of points without a shape."""
    return max(_compared(sample, other, matrix, solid) for solid in (True, False))


def _compared(sample: Sample, other: Sample, matrix: np.ndarray, solid: bool) -> float:
    model = alive(made(sample, solid=solid))
    model.scale_out.std.fill_(5e-3)
    one = rollout(model, sample, 8).u
    if solid:
        model.solid.modulus *= np.abs(np.linalg.det(matrix)) ** (2 / len(matrix))
    two = rollout(model, other, 8).u
    expected = one @ matrix.T
    assert np.abs(np.diff(one, 2, axis=0)).max() > 1e-3  # it does something
    return float(np.abs(two - expected).max() / np.abs(expected).max())


WALLS = ([-0.05, -0.02], [1.05, None])


def test_shift_and_scale_of_the_scene():
    """S8: x → s x + t of body, walls, gravity and speeds does the same to the motion."""
    sample = body(gravity=[1.0, -9.0], velocity=spin(2), displacement=strain(2), walls=WALLS)
    for scale, shift in ((1.0, [3.0, -2.0]), (4.0, [0.0, 1.0]), (1e-3, [0.0, 0.0])):
        walls = [
            [None if w is None else scale * w + t for w, t in zip(side, shift, strict=True)]
            for side in WALLS
        ]
        matrix = scale * np.eye(2)
        other = placed(sample, matrix, np.array(shift), walls)
        assert compared(sample, other, matrix) < 1e-5


@pytest.mark.parametrize("dim", [2, 3])
def test_turns_without_walls(dim: int):
    """S8: x → Q x of body, gravity and speeds does the same to the motion."""
    gravity = [1.0, 2.0, -9.0][:dim]
    sample = body(dim, gravity=gravity, velocity=spin(dim), displacement=strain(dim))
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(dim, dim)))[0]
    turn[0] *= np.linalg.det(turn)
    for matrix in (turn, -turn @ np.diag([1.0, *[-1.0] * (dim - 1)])):
        other = placed(sample, matrix, np.zeros(dim), None)
        assert compared(sample, other, matrix) < 1e-5


def test_quarter_turns_and_reflections_with_walls():
    """S8: the walls x in [−0.05, 1.05], y > −0.02 go with the body."""
    sample = body(gravity=[1.0, -9.0], velocity=spin(2), displacement=strain(2), walls=WALLS)
    quarter, mirror = np.array([[0.0, -1.0], [1.0, 0.0]]), np.diag([-1.0, 1.0])
    turned = placed(sample, quarter, np.zeros(2), ([None, -0.05], [0.02, 1.05]))
    assert compared(sample, turned, quarter) < 1e-5
    mirrored = placed(sample, mirror, np.zeros(2), ([-1.05, -0.02], [0.05, None]))
    assert compared(sample, mirrored, mirror) < 1e-5


@pytest.mark.parametrize("dim", [2, 3])
def test_walls_are_never_passed(dim: int):
    """All nodes, also those that follow, with random weights and heads that push them out."""
    walls = [-0.05] * dim, [1.1] * (dim - 1) + [1.2]
    sample = body(dim, gravity=[0.0] * (dim - 1) + [-9.0], velocity=spin(dim, 9.0), walls=walls)
    model = alive(made(sample))
    x = sample.mesh.points + rollout(model, sample, 25).u
    assert x.min() >= -0.05 - 1e-6 and (x.max(axis=(0, 1)) <= np.array(walls[1]) + 1e-6).all()
    assert x.min() < -0.05 + 1e-6  # one is reached
    sources = started(model, sample).source_index.numpy()
    others = np.delete(x, sources, axis=1)
    assert (np.abs(others - -0.05) < 1e-6).any()  # by nodes that follow as well


def test_friction_is_that_of_coulomb(monkeypatch: pytest.MonkeyPatch):
    """A block slides on the floor: the push along it is μ times the push up while all nodes slide,
    and never more; much friction stops what touches in a frame, and does not turn it back."""
    monkeypatch.setattr(sparse, "_on_surface", lambda graph: np.ones(len(graph.pos), bool))
    v, mu, g = 0.3, 0.2, 9.0
    block = Elastodynamics(TIMES, velocity=[v, 0.0], gravity=[0.0, -g], walls=([None, 0.0], None))
    sample = block.sample(box("triangle", 4))
    model = made(sample)
    graph = started(model, sample)
    chosen, mass = graph.source_index.numpy(), graph.source_mass.double().numpy()

    def marched(friction: float, steps: int) -> np.ndarray:
        bias = float(np.log(np.expm1(10 * friction))) / 10 if friction else -1e4
        model.solid.bias.data[-2:] = torch.tensor([bias, -40.0])  # nothing comes back
        return rollout(model, sample, steps).u[:, chosen]

    u = np.einsum("n,tna->ta", mass / mass.sum(), marched(mu, 12))
    x, y = np.concatenate([[[-v, 0.0]], np.diff(u, axis=0) / 0.01 * [-1, 1]]).T
    along, up = np.diff(x), np.diff(y) + 0.01 * g
    np.testing.assert_allclose(along[1:4], mu * up[1:4], rtol=0.05)
    assert (along <= mu * up + 1e-4).all() and (x < 0).all()
    floor = sample.mesh.points[chosen, 1] == 0
    stuck, smooth = (marched(friction, 1)[1, floor, 0] for friction in (20.0, 0.0))
    assert floor.sum() > 2 and np.abs(stuck).max() < 0.1 * smooth.max() and stuck.min() > -1e-6
    np.testing.assert_allclose(smooth, 0.01 * v, rtol=1e-2)


def test_held_and_driven_parts():
    """They are where they are prescribed, to the last digit, and the others follow."""
    sample = body(dirichlet={"left": (lambda x, t: 0.5 * t + 0 * x[..., 0], None), "origin": 0.0})
    model = alive(made(sample), 0.1)
    marched = rollout(model, sample, 20)
    mask = sample.boundary.dirichlet_mask
    for k in (1, 10, 20):
        assert (marched.u[k][mask] == sample.dirichlet_at(float(marched.times[k]))[mask]).all()
    graph = started(model, sample)
    out = model(graph)[:, 0]
    fixed = graph.dirichlet_mask
    assert torch.equal(out[fixed], graph.dirichlet[:, 0][fixed].double())
    assert marched.u[-1, ~mask.any(axis=1), 0].mean() > 0.01  # pushed along


def test_neighbours_feel_a_driven_part_in_the_same_frame():
    """A part that jumps by 5 mm in the first frame pushes what was at rest beside it."""
    sample = body(dirichlet={"left": (lambda x, t: 0.5 * t + 0 * x[..., 0], 0.0)})
    model = zero_heads(made(sample))
    graph = started(model, sample)
    free = ~graph.dirichlet_mask.any(dim=1)[graph.source_index]
    moved = model(graph)[graph.source_index, 0, 0][free]
    assert 1e-5 < moved.max() < 5e-3


@pytest.mark.parametrize("dim", [2, 3])
def test_what_follows(dim: int):
    """S6: the field is that of the sources at these, and affine where they are; S5: linear and
    continuous in all else."""
    sample = body(dim, 5 if dim == 3 else 9)
    graph = started(made(sample, points=30), sample)
    chosen = graph.source_index
    rng = np.random.default_rng(3)
    matrix, shift = torch.tensor(rng.normal(size=(dim, dim))), torch.tensor(rng.normal(size=dim))
    affine = graph.pos.double() @ matrix.T + shift
    assert (decoded(graph, affine[chosen]) - affine).abs().max() < 1e-5 * affine.abs().max()
    values = torch.tensor(rng.normal(size=(len(chosen), dim)), requires_grad=True)
    field = decoded(graph, values)
    assert torch.equal(field[chosen], values)
    twice = decoded(graph, 2 * values)
    torch.testing.assert_close(twice, 2 * field, rtol=1e-5, atol=1e-6)
    field.square().sum().backward()
    assert values.grad is not None and (values.grad != 0).all()
    moved = sample.mesh.moved(sample.mesh.points + 1e-5 * rng.normal(size=sample.mesh.points.shape))
    other = Data(**started(made(sample, points=30), replace(sample, mesh=moved)).to_dict())
    other = with_sources(other, chosen.numpy(), 2.5)
    assert (decoded(other, values) - field).abs().max() < 1e-2


def test_a_body_of_a_mesher():
    """Another family of bodies, unstructured: R joins all points, masses are those of the body."""
    sample = Elastodynamics(TIMES).sample(draw("annulus", 0, 0.15))
    graph = started(made(sample, points=0.2), sample)
    assert len(graph.source_index) == round(0.2 * sample.mesh.num_nodes)
    torch.testing.assert_close(graph.source_mass.sum(), graph.mass.sum())
