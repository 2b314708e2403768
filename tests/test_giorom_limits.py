"""`GIOROM` where it is given little or too much, what it refuses, and a short training of it."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from mesh_builders import box
from particle_builders import alive, jittered, started
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from meshgnn import losses
from meshgnn.checkpoint import load, save
from meshgnn.graph import MeshDataset, to_graph
from meshgnn.marching import rollout
from meshgnn.marching.blow_up import BlownUp
from meshgnn.mesh import Mesh
from meshgnn.models.giorom import GIOROM
from meshgnn.models.giorom.sparse import _on_surface, with_sources
from meshgnn.problems import Elastodynamics, MaterialPoints
from meshgnn.sample import Sample
from meshgnn.train import fit

SMALL = {"points": 20, "width": 16, "slices": 4, "seed": 0}
MESH = jittered("triangle", 6)


def vibrating(seed: int, frames: int = 25, **options) -> Sample:
    """A body stretched and turning at random, in free fall, solved by finite elements."""
    rng = np.random.default_rng(seed)
    strain, rate = 0.25 * rng.normal(size=(2, 2)), 2 * rng.normal()
    turn = np.array([[0.0, -rate], [rate, 0.0]])
    return Elastodynamics(
        np.linspace(0, (frames - 1) / 24, frames),
        young=3e4,
        gravity=[0.0, -1.0],
        displacement=lambda x: (x - 0.5) @ strain.T,
        velocity=lambda x: (x - 0.5) @ turn.T,
        **options,
    ).solve(MESH)


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [vibrating(seed) for seed in range(3)]


def fresh(sample: Sample, **options) -> GIOROM:
    torch.manual_seed(0)
    model = GIOROM(params=len(sample.params), **{**SMALL, **options})
    if model.solid is not None:
        model.solid.modulus.fill_(5e-3)
    return model


def short_training(samples: list[Sample], rate: float, **options) -> GIOROM:
    model = fresh(samples[0], **options)
    one = MeshDataset(samples, history=3)
    fit(model, one, epochs=2, batch_size=4, lr=rate, progress=False)
    several = MeshDataset(samples, history=3, bundle=4, stride=4)
    loss, options = losses.unrolled(4, model.loss), {"epochs": 2, "batch_size": 4}
    fit(model, several, lr=rate / 2, loss=loss, keep_statistics=True, progress=False, **options)
    return model


@pytest.fixture(scope="module")
def trained(samples: list[Sample]) -> GIOROM:
    return short_training(samples, 5e-2)


@pytest.fixture(scope="module")
def loose(samples: list[Sample]) -> GIOROM:
    return short_training(samples, 5e-3, solid=False)


def test_a_short_training_beats_ballistic(trained: GIOROM, tmp_path):
    """From displacement and velocity alone, on a motion not trained on: a tenth of the square of
    the error of u + v t + g t² / 2 over 24 frames; the file gives the same march."""
    sample = vibrating(9)
    t = sample.times[:, None, None]
    ballistic = sample.u[0] + t * sample.inputs[:, 2:] + t**2 / 2 * sample.params[-2:]
    march = rollout(trained, replace(sample, u=None), 24).u
    error, other = (np.sqrt(np.square(u - sample.u).mean()) for u in (march, ballistic))
    assert error**2 < 0.1 * other**2, (error, other)
    save(trained, tmp_path / "model.pt")
    again = rollout(load(tmp_path / "model.pt"), replace(sample, u=None), 3).u
    np.testing.assert_array_equal(again, march[:4])


def scene(model: GIOROM) -> Data:
    """A frame with strains, speeds, walls near all sides and a held part."""
    sample = vibrating(7, 4, dirichlet={"left": 0.0})
    graph = model.transform(to_graph(sample, history=3))
    graph.walls = torch.tensor([[-0.55, -0.55, 0.55, 0.55]])
    return graph


def effect(model: GIOROM, graph: Data, *tensors: torch.Tensor) -> float:
    """How much the accelerations change, relative to themselves, without these weights."""
    sources = graph.source_index
    u, free = graph.u[sources], ~graph.dirichlet_mask[sources]

    @torch.no_grad()
    def result() -> torch.Tensor:
        return (model(graph.clone())[sources, 0] - 2 * u[:, -1] + u[:, -2]) * free

    before, kept = result(), [t.detach().clone() for t in tensors]
    with torch.no_grad():
        for t in tensors:
            t.zero_()
        after = result()
        for t, old in zip(tensors, kept, strict=True):
            t.copy_(old)
    assert torch.equal(result(), before)
    return float((after - before).norm() / before.norm())


def test_every_branch_of_the_net_is_alive(loose: GIOROM):
    """S7: without attention, walls, pairs, kinds or messages the acceleration is another."""
    graph, net = scene(loose), loose.net
    with torch.no_grad():  # the training had no walls: their last layer is still 0
        net.press[-1].weight.normal_(std=0.1)
    heads = net.globals.out, net.pair[-1], net.press[-1]
    for head in heads:
        assert effect(loose, graph, head.weight, head.bias) > 1e-3
    assert effect(loose, graph, net.encode.get_submodule("0").weight[:, :4]) > 1e-3  # kinds
    assert effect(loose, graph, net.encode_edge.get_submodule("0").weight) > 1e-3
    assert effect(loose, graph, net.blocks[0].rest.get_submodule("1").weight) > 1e-3


def test_every_part_of_the_solid_is_alive(trained: GIOROM):
    """S7: with any other modulus the acceleration is another; friction at a wall that the body
    slides along."""
    graph, solid = scene(trained), trained.solid
    for k in range(4):
        assert effect(trained, graph, solid.bias[k]) > 1e-3
    graph.walls = torch.tensor([[-0.4, -0.4, 0.4, 0.4]])
    assert effect(trained, graph, solid.bias[4]) > 1e-3


def test_parameters_act_and_gravity_is_none_of_them(samples: list[Sample]):
    """θ of another stiffness gives another motion; gravity acts by itself, and not through θ."""
    model = fresh(samples[0])
    graphs = [model.transform(to_graph(s, history=3)) for s in (*samples, vibrating(3))]
    graphs[-1].theta = graphs[-1].theta * torch.tensor([2.0, 1, 1, 1, 1, 1, 1])
    model.fit_statistics(graphs)
    assert torch.isinf(model.scale_theta.std[-2:]).all() and torch.isfinite(
        model.scale_theta.std[0]
    )
    alive(model)
    graph, other = graphs[0], graphs[0].clone()
    before = model(graph)
    other.theta = graph.theta + torch.tensor([0.0, 0, 0, 0, 0, 5, 5])
    assert torch.equal(model(other), before)
    other.theta = graph.theta * torch.tensor([1.5, 1, 1, 1, 1, 1, 1])
    assert (model(other) - before).abs().max() > 1e-5


@pytest.mark.parametrize(
    "options", [{"solid": False}, {"preset": "paper", "width": None, "slices": None}]
)
def test_other_steppers_train_and_march(options: dict, samples: list[Sample]):
    """Without a shape, and as published: statistics, two epochs, a march that stays finite."""
    model = fresh(samples[0], **options)
    history = model.hparams["history"]
    data = MeshDataset(samples[:1], history=history, stride=6)
    losses_seen = fit(model, data, epochs=2, batch_size=4, lr=1e-4, progress=False).train
    assert all(np.isfinite(losses_seen))
    march = rollout(model, replace(samples[1], u=None), 3)
    assert np.isfinite(march.u).all() and len(march.u) == 4


@pytest.mark.parametrize("preset", ["mesh", "paper"])
def test_noise_is_that_of_the_velocities(preset: str, samples: list[Sample]):
    """Known states are shaken by noise times the spread of velocities, m a frame, and the held
    ones are not; none without gradients."""
    own = {"solid": False} if preset == "mesh" else {"width": None, "slices": None}
    model = fresh(samples[0], preset=preset, noise=0.5, **own)
    graphs = [model.transform(g) for g in MeshDataset(samples, history=model.hparams["history"])]
    model.fit_statistics(graphs)
    graph = graphs[0]
    graph.dirichlet_mask = graph.dirichlet_mask.clone()
    graph.dirichlet_mask[:5] = True
    seen = []

    def spy(given: Data) -> torch.Tensor:
        seen.append((given.u - graph.u).detach())
        return given.u[:, -1:]

    model.loss(spy, graph)
    spread = np.concatenate([np.diff(s.u, axis=0).ravel() for s in samples]).std()
    assert 0.7 < seen[0][5:].std() / (0.5 * spread) < 1.4
    assert not seen[0][:5].any()
    with torch.no_grad():
        model.loss(spy, graph)
    assert not seen[1].any()


def test_the_choice_of_points(samples: list[Sample]):
    """A share or a number, another seed or sampling another set; a set of one's own is kept."""
    graph = to_graph(samples[0], history=3)

    def chosen(**options) -> list[int]:
        return fresh(samples[0], **options).transform(graph).source_index.tolist()

    number = len(graph.pos)
    assert len(chosen(points=0.25)) == round(0.25 * number) and len(chosen(points=10)) == 10
    assert chosen(points=10_000) == list(range(number))
    assert chosen() == chosen() != chosen(seed=1) and chosen() != chosen(sampling="random")
    assert "source_index" not in graph
    own = with_sources(graph.clone(), np.arange(0, number, 3), 2.5)
    assert fresh(samples[0]).transform(own) is own


def test_patches_are_those_of_a_solid(samples: list[Sample]):
    """What needs none has none, and goes on with those that there are; a solid says that they are
    missing."""
    graph, solid, loose = (
        to_graph(samples[0], history=3),
        fresh(samples[0]),
        fresh(samples[0], solid=False),
    )
    with_patches, without = solid.transform(graph), loose.transform(graph)
    assert "strain_index" in with_patches and "strain_index" not in without
    assert torch.equal(with_patches.source_index, without.source_index)
    assert torch.equal(loose(with_patches), loose(without))
    with pytest.raises(ValueError, match=r"expected patches for a solid.*with_sources\(\.\.\., pa"):
        solid.transform(without)


def test_points_that_are_apart_are_said(samples: list[Sample]):
    """R given too small: a warning with the least one; that one joins them in silence."""
    graph = to_graph(samples[0], history=3)
    chosen = np.arange(0, len(graph.pos), 4)
    with pytest.warns(UserWarning, match=r"GIOROM: R = 0\.05 leaves some of the .* points apart"):
        with_sources(graph.clone(), chosen, 2.5, radius=0.05)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        least = with_sources(graph.clone(), chosen, 1e-3).radius
        with_sources(graph.clone(), chosen, 2.5, radius=float(least) * 1.001)


def test_two_bodies_of_one_mesh():
    """No strain and no weight leads from one to the other, and each flies as it does alone."""
    one = box("triangle", 4)
    points = np.concatenate([one.points, one.points + [1.02, 0.0]])
    cells = one.cells["triangle"]
    mesh = Mesh(points, {"triangle": np.concatenate([cells, cells + len(one.points)])}, {})
    side = np.arange(len(points)) >= len(one.points)
    velocity = np.where(side[:, None], [0.5, 0.0], [-0.5, 0.3])
    problem = MaterialPoints(np.linspace(0, 1, 51), velocity=velocity, gravity=[0.0, -1.0])
    sample = problem.sample(mesh)
    model = fresh(sample, points=24)
    graph = started(model, sample, 0.02)
    sources, nodes = graph.source_index, torch.from_numpy(side)
    rows = torch.repeat_interleave(torch.arange(len(graph.strain_count)), graph.strain_count)
    share = torch.zeros(len(graph.strain_count)).index_add(0, rows, nodes[graph.strain_index] + 0.0)
    assert ((share == 0) | (share == graph.strain_count)).all()
    with_weight = graph.decode_weight.t() != 0
    assert (nodes[graph.decode_index] == nodes)[with_weight].all()
    assert graph.radius < 0.8 and nodes[sources].any() and not nodes[sources].all()
    flown = rollout(model, sample, 50)
    t = flown.times[:, None, None]
    exact = velocity * t + t**2 / 2 * [0.0, -1.0]
    assert np.abs(flown.u - exact).max() < 2e-6
    few = to_graph(replace(sample, u=np.zeros((3, len(points), 2)), times=sample.times[:3]), 2)
    with pytest.raises(
        ValueError, match=r"at least 4 points of a body in 2D, got 0 \(that of node"
    ):
        with_sources(few, np.arange(8), 2.5)


@pytest.mark.parametrize("cells", ["quad", "mixed 2D", "hexahedron", "mixed 3D", "shell"])
def test_bodies_of_other_cells(cells: str):
    """Their surface is that of the mesh (all nodes of a shell, which no patch is stiffer for), and
    they fall as a stone does."""
    mesh = box("triangle" if cells == "shell" else cells, 4)
    if cells == "shell":
        height = 0.2 * np.sin(3 * mesh.points[:, :1])
        mesh = Mesh(np.hstack([mesh.points, height]), mesh.cells, {})
    dim = mesh.points.shape[1]
    gravity = np.eye(dim)[-1] * -1.0
    sample = Elastodynamics(np.linspace(0, 1, 51), gravity=gravity).sample(mesh)
    torch.manual_seed(0)
    model = GIOROM(dim=dim, params=len(sample.params), points=12)
    model.solid.modulus.fill_(5e-3)
    graph = started(model, sample, 0.02)
    surface = np.arange(mesh.num_nodes) if cells == "shell" else np.unique(mesh.boundary_nodes)
    np.testing.assert_array_equal(np.flatnonzero(_on_surface(graph)), surface)
    assert bool((graph.strain_stiffer == 1).all()) == (cells == "shell")
    t = sample.times[:, None, None]
    assert np.abs(rollout(model, sample, 50).u - t**2 / 2 * gravity).max() < 2e-6


def test_what_a_graph_may_lack(samples: list[Sample]):
    """Without gravity and walls none act, alone and in a batch."""
    model = alive(fresh(samples[0]), 0.1)
    model.scale_out.std.fill_(1e-3)
    model.scale_theta.std.fill_(torch.inf)
    graph = model.transform(to_graph(samples[0], history=3))
    plain, open_graph = graph.clone(), graph.clone()
    del plain.gravity, plain.walls
    open_graph.gravity = torch.zeros(1, 2)
    assert torch.equal(model(plain), model(open_graph))
    both = model(Batch.from_data_list([plain, plain]))
    torch.testing.assert_close(both[: len(graph.pos)], model(plain), rtol=0, atol=1e-6)
    assert not torch.equal(model(plain), model(graph))


def test_a_blow_up_is_said(samples: list[Sample]):
    """S4: weights that throw all points away, or are NaN, end in BlownUp with the states so far."""
    sample = replace(samples[0], u=None)
    for preset in ({"solid": False}, {"preset": "paper", "width": None, "slices": None}):
        model = alive(fresh(sample, **preset))
        model.scale_out.std.fill_(1e12)
        with pytest.raises(BlownUp, match="blown up") as raised:
            rollout(model, sample, 5)
        assert raised.value.sample is not None and np.isfinite(raised.value.sample.u).all()
    nn.init.constant_(next(iter(model.net.head[-1].parameters())), torch.nan)
    solid = fresh(sample)
    nn.init.constant_(solid.solid.bias, torch.nan)
    for other in (model, solid):
        with pytest.raises(BlownUp, match="step 1 .* holds NaN or infinity"):
            rollout(other, sample, 5)


@pytest.mark.parametrize(("solid", "far"), [(True, 2), (False, 99)])
def test_states_far_apart_or_at_one_place(solid: bool, far: float, samples: list[Sample]):
    """Points that meet, that know no neighbour (a solid three times its size), that are NaN: no
    error in the step itself."""
    model = alive(fresh(samples[0], solid=solid), 0.05)
    model.scale_theta.std.fill_(torch.inf)  # else random weights leave a solid a modulus or none
    graph = model.transform(to_graph(samples[0], history=3))
    met = graph.clone()
    met.u = met.u - met.pos[:, None]
    assert model(met).isfinite().all()
    apart = graph.clone()
    apart.u = apart.u + far * apart.pos[:, None]
    assert model(apart).isfinite().all()
    lost = graph.clone()
    lost.u = lost.u.clone()
    lost.u[graph.source_index[3]] = torch.nan
    assert model(lost).isnan().any()


def test_gradients_are_finite_and_reach_everything(samples: list[Sample]):
    """Of a batch at walls, with a held part, through 2 steps of its own."""
    data = MeshDataset(
        [vibrating(s, 6, dirichlet={"left": 0.0}) for s in (4, 5)], history=3, bundle=2
    )
    model = alive(fresh(samples[0]), 0.05).train()
    graphs = [model.transform(graph) for graph in data]
    for graph in graphs:
        graph.walls = torch.tensor([[-0.5, -0.5, 0.5, 0.5]])
    model.fit_statistics(graphs)
    batch = next(iter(DataLoader(graphs, batch_size=4)))
    losses.unrolled(2, model.loss)(model, batch).backward()
    for name, p in model.named_parameters():
        assert p.grad is not None and p.grad.isfinite().all(), name
    still = [n for n, p in model.named_parameters() if not p.grad.any()]
    assert set(still) <= {"solid.weight"}  # θ does not vary


def test_half_precision(samples: list[Sample]):
    """Under bfloat16 the state keeps its precision, and changes by little."""
    model = alive(fresh(samples[0]), 0.05)
    model.scale_out.std.fill_(1e-3)
    graph = model.transform(to_graph(samples[0], history=3))
    full = model(graph)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(graph)
    assert rough.dtype == full.dtype == torch.float32
    assert (rough - full).abs().max() < 0.1 * (full[:, 0] - graph.u[:, -1]).abs().max()


@pytest.mark.gpu
def test_it_runs_unchanged_on_a_gpu(samples: list[Sample]):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    model = alive(fresh(samples[0]), 0.05)
    graph = model.transform(to_graph(samples[0], history=3))
    on_cpu = model(graph)
    on_gpu = model.to("cuda")(graph.clone().to("cuda"))
    torch.testing.assert_close(on_gpu.cpu(), on_cpu, rtol=1e-3, atol=1e-5)
    assert np.isfinite(rollout(model, replace(samples[0], u=None), 3).u).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "mine"}, "GIOROM: unknown preset 'mine'; choose one of mesh, paper"),
        ({"dim": 4}, "GIOROM: expected dim of 2 or 3, got 4"),
        ({"dim": 1}, "GIOROM: expected dim of at least 2, got 1"),
        ({"channels": 3}, r"expected channels = 2 \(the displacement\) and bundle = 1, got"),
        ({"bundle": 2}, "GIOROM: expected channels = 2 .* bundle=2"),
        ({"sampling": "grid"}, "unknown sampling 'grid'; choose one of farthest, random"),
        (
            {"points": 0.0},
            r"expected points as a share between 0 and 1 or a whole number, got 0\.0",
        ),
        ({"points": 20.5}, r"or a whole number, got 20\.5"),
        ({"points": -3}, "or a whole number, got -3"),
        ({"reach": 0.0}, r"GIOROM: expected reach > 0 and noise >= 0, got 0\.0, 0\.1"),
        ({"noise": -1.0}, r"GIOROM: expected reach > 0 and noise >= 0, got 2\.5, -1\.0"),
        ({"history": 1}, "GIOROM: expected history of at least 2, got 1"),
        ({"preset": "paper", "width": 8}, "the preset 'paper' has no option width"),
        ({"query_point": True}, "the preset 'mesh' has no option query_point"),
    ],
)
def test_refused_arguments(options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        GIOROM(**options)


def test_too_few_points(samples: list[Sample]):
    graph = to_graph(samples[0], history=3)
    for points in (3, 1, 0.01):
        with pytest.raises(
            ValueError, match=r"expected at least 4 points of a body in 2D, got [13]"
        ):
            fresh(samples[0], points=points).transform(graph)
    assert len(fresh(samples[0], points=4).transform(graph).source_index) == 4
