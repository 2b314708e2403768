"""The observer: where its sources are, what it may depend on, and that it learns."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from learning_builders import box, decaying
from torch_geometric.data import Batch

from meshgnn.checkpoint import load, save
from meshgnn.geometry.periodic import periodic_square
from meshgnn.graph import MeshDataset, to_graph
from meshgnn.graph.radius import component_count
from meshgnn.losses import one_step
from meshgnn.marching import rollout
from meshgnn.mesh.periodic import twins
from meshgnn.models import MODELS
from meshgnn.models.observer.in_time import time_weights
from meshgnn.models.observer.sources import HELD, SENSOR, Sources
from meshgnn.models.observer.surroundings import Places
from meshgnn.sample import Boundary, Sample
from meshgnn.train import fit

SMALL = {"channels": 2, "history": 2, "bundle": 4, "width": 16, "hidden": 8, "blocks": 2}
SMALL |= {"share": 0.3, "neighbours": 6, "links": 4}
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [decaying(seed, times=8, n=7) for seed in range(3)]


def build(seed: int = 0, **options) -> torch.nn.Module:
    torch.manual_seed(seed)
    return MODELS["Observer"](**SMALL | options)


@pytest.fixture(scope="module")
def trained(samples) -> torch.nn.Module:
    model = build()
    fit(model, MeshDataset(samples, 2, 4), epochs=20, batch_size=6, lr=6e-3, progress=False)
    return model


@pytest.fixture(scope="module")
def shaken(trained) -> torch.nn.Module:
    """Random last layers, so that nothing is hidden by what is small."""
    torch.manual_seed(1)
    model = copy.deepcopy(trained)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.05 * torch.randn_like(p))
    return model.eval()


def graphs_of(model: torch.nn.Module, samples: list[Sample]) -> list:
    return [model.transform(to_graph(s, 2, 4)) for s in samples]


def bare(model: torch.nn.Module) -> torch.nn.Module:
    """Without what the attention adds."""
    model = copy.deepcopy(model)
    for part in (model.reader.mix, model.reader.decode):
        torch.nn.init.zeros_(part[-1].weight)
        torch.nn.init.zeros_(part[-1].bias)
    return model


def drifting(times: int = 8) -> Sample:
    """u = sin(2π(x − t)) cos(2πy) on the periodic square."""
    mesh, t = periodic_square(0.12), 0.05 * np.arange(times)
    x, y = 2 * np.pi * mesh.points.T
    u = np.sin(x - 2 * np.pi * t[:, None]) * np.cos(y)
    none = Boundary.none(mesh.num_nodes, 1)
    pairs = {"left": "right", "bottom": "top"}
    boundary = replace(none, twin=twins(mesh, pairs))
    return Sample(mesh, boundary, np.zeros((mesh.num_nodes, 0)), t, u[..., None])


# what is near


def test_interpolation_reproduces_linear_functions_between_sensors_and_held_nodes(samples):
    """Σ_j λ_j (a + b·x_j) = a + b·x, at the sources exactly; k sensors, k / 3 held nodes."""
    model = build()
    (graph,) = graphs_of(model, samples[:1])
    sources = Sources.of(graph, graph.sensor, 4)
    points = RNG.uniform(-0.5, 0.5, (200, 2))
    view = sources.view(points, np.zeros(200, np.int64), 6)
    assert view.index.shape == (200, 8) and bool((~sources.sensor[view.index]).any())
    linear = graph.pos[sources.node] @ torch.tensor([2.0, -3.0]) + 1
    found = (view.weight * linear[view.index]).sum(dim=1)
    np.testing.assert_allclose(found, points @ [2, -3] + 1, atol=2e-6)
    own = graph.pos[sources.node].double().numpy()
    there = sources.view(own, np.zeros(len(own), np.int64), 6)
    values = torch.randn(len(own))
    torch.testing.assert_close((there.weight * values[there.index]).sum(dim=1), values)
    assert there.aside.abs().max() < 1e-10


def test_what_is_near_changes_continuously():
    """λ, windows and geometry along a line through crowded sources: no jumps where one leaves."""
    rng = np.random.default_rng(2)
    places = Places(rng.random((60, 2)), rng.random((40, 2)), np.zeros(2))
    line = np.linspace([0.05, 0.1], [0.95, 0.9], 20001)
    near = places.nearest(line, 9)
    full = np.zeros((len(line), 100))
    np.put_along_axis(full, near.index, 1 - near.share**2, axis=1)
    assert np.abs(np.diff(full, axis=0)).max() < 5e-3
    assert (near.share[:, 9:] < 1).any() and (near.share[:, 9:] == 1).any()


def test_sensors_are_connected_and_spread():
    """Two clusters far apart are joined; edges come sorted; a node with a value leads to sensors
    alone."""
    two = np.concatenate([RNG.random((12, 2)), RNG.random((12, 2)) + [9, 0]])
    pairs, delta, reach = Places(two, np.array([[0.5, 0.6]]), np.zeros(2)).links(3)
    inner = pairs[:, pairs[0] < 24]
    assert component_count(inner, 24) == 1 and pairs[1].max() < 24 and (pairs[0] == 24).any()
    assert 2 <= (np.abs(inner[0] // 12 - inner[1] // 12)).sum() < 6  # few between the clusters
    key = pairs[1] * 25 + pairs[0]
    assert (np.diff(key) > 0).all() and reach.shape == (24,)
    every = np.concatenate([two, [[0.5, 0.6]]])
    np.testing.assert_allclose(delta, every[pairs[0]] - every[pairs[1]])


def test_sensors_do_not_depend_on_the_numbering_or_the_place(samples):
    """The same places are chosen of a shuffled, shifted mesh."""
    model, points = build(), samples[0].mesh.points
    order = RNG.permutation(len(points))
    (graph,) = graphs_of(model, samples[:1])
    other = copy.copy(graph)
    del other.sensor
    other.pos, other.dirichlet_mask = graph.pos[order] + 3.0, graph.dirichlet_mask[order]
    assert torch.equal(model.transform(other).sensor, graph.sensor[order])
    count = int((graph.sensor == SENSOR).sum())
    assert count == round(0.3 * len(points)) and bool((graph.sensor == HELD).any())
    assert int((build(sampling="random").transform(other).sensor == SENSOR).sum()) == count


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_interpolation_in_time(count):
    """Exact at the states, for lines from two and parabolas from three of them; continuous with its
    derivative; sums to 1."""
    t = torch.linspace(0, count - 1, 401, dtype=torch.float64)
    weights = time_weights(t, count)
    frames = torch.arange(count, dtype=torch.float64)
    torch.testing.assert_close(time_weights(frames, count), torch.eye(count, dtype=torch.float64))
    degree = min(count - 1, 2)
    torch.testing.assert_close(weights @ frames**degree, t**degree)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones_like(t))
    assert weights.diff(dim=0).abs().max() < 0.03 and weights.diff(n=2, dim=0).abs().max() < 2e-3


# invariances


def test_order_and_parts_of_the_queries_do_not_matter(shaken, samples):
    """Shuffled, in parts, or one by one: the same to 1e-6; so with the times."""
    points, times = RNG.random((60, 2)), np.array([0.1, 0.17, 0.4, 0.43, 0.9])
    whole = shaken.at(samples[0], points, times)
    order = RNG.permutation(60)
    assert whole.shape == (5, 60, 2) and np.isfinite(whole).all()
    np.testing.assert_allclose(
        shaken.at(samples[0], points[order], times), whole[:, order], atol=1e-6
    )
    parts = [shaken.at(samples[0], some, times) for some in np.array_split(points, 7)]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-6)
    each = [shaken.at(samples[0], points, times[i : i + 1]) for i in range(5)]
    np.testing.assert_allclose(np.concatenate(each), whole, atol=1e-6)


def test_translation_changes_nothing(shaken, samples):
    sample, far = samples[1], np.array([4.0, -8.0])
    moved = replace(sample, mesh=sample.mesh.moved(sample.mesh.points + far))
    points, times = RNG.random((40, 2)), np.array([0.25, 0.3])
    np.testing.assert_allclose(
        shaken.at(moved, points + far, times), shaken.at(sample, points, times), atol=2e-5
    )


def test_a_batch_equals_single_graphs(shaken, samples):
    graphs = graphs_of(shaken, [*samples, decaying(9, times=8, n=5)])
    together = shaken(Batch.from_data_list(graphs))
    alone = torch.cat([shaken(graph) for graph in graphs])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


def test_only_values_at_sources_are_read(shaken, samples):
    (graph,) = graphs_of(shaken, samples[:1])
    before = shaken(graph)
    loss = shaken.loss(shaken, graph)
    graph.u[graph.sensor == 0] = 1e3
    graph.y[graph.sensor == 0] = torch.nan
    assert torch.equal(shaken(graph), before) and torch.equal(shaken.loss(shaken, graph), loss)
    graph.u[graph.sensor == SENSOR] += 0.1
    assert not torch.equal(shaken(graph), before)


def test_periods_do_not_matter():
    """A periodic field shifted by half a period in space, sensors with it."""
    sample = drifting()
    model = build(channels=1, neighbours=8).eval()
    torch.manual_seed(2)
    for p in model.parameters():
        p.data.add_(0.05 * torch.randn_like(p))
    points, times = RNG.random((30, 2)), np.array([0.1, 0.12])
    found = model.at(sample, points, times)
    edge = points * [0, 1]
    np.testing.assert_allclose(
        model.at(sample, edge, times), model.at(sample, edge + [1, 0], times), atol=1e-5
    )
    assert np.abs(found).max() < 20


# the field


def test_the_field_is_continuous_in_space_and_time(shaken, samples):
    """Differences along lines are of the order of the steps, at the boundary and at frames too."""
    line = np.linspace([0.0, 0.31], [1.0, 0.64], 4001)
    along = shaken.at(samples[0], line, np.array([0.25]))[0]
    assert np.abs(np.diff(along, axis=0)).max() < 0.02 * np.ptp(along)
    times = np.linspace(0.1, 0.5, 2001)
    over = shaken.at(samples[0], line[::400], times)
    assert np.abs(np.diff(over, axis=0)).max() < 0.02 * np.ptp(over)


def test_prescribed_values_are_exact(shaken, samples):
    """At their nodes, in forward and at any time of `at`; sensors hold the stepped values."""
    sample = samples[0]
    (graph,) = graphs_of(shaken, [sample])
    out = shaken(graph)
    held = graph.dirichlet_mask
    assert torch.equal(out[held[:, 0]], graph.dirichlet[held[:, 0]])
    times = np.array([0.2, 0.23, 0.4])
    found = shaken.at(sample, sample.mesh.points, times)
    for state, time in zip(found, times, strict=True):
        values = sample.dirichlet_at(float(time))
        np.testing.assert_array_equal(state[held.numpy()], values[held.numpy()])
    np.testing.assert_allclose(found[0], out[:, 0].detach(), atol=1e-5)
    sources = Sources.of(graph, graph.sensor, 4)
    stepped = shaken.stepper(graph, sources)[0][1:]
    torch.testing.assert_close(out[sources.node].transpose(0, 1), stepped, atol=1e-5, rtol=1e-5)


def test_a_part_of_the_components_may_be_prescribed(samples):
    """Nodes with one of two components given are no sources, and exact in that one."""
    sample = samples[0]
    mask = sample.boundary.dirichlet_mask & np.array([True, False])
    values = np.where(mask, sample.boundary.dirichlet_values, 0.0)
    sample = replace(
        sample, boundary=replace(sample.boundary, dirichlet_mask=mask, dirichlet_values=values)
    )
    model = build().eval()
    (graph,) = graphs_of(model, [sample])
    assert not (graph.sensor == HELD).any()
    found = model.at(sample, sample.mesh.points, np.array([0.34]))[0]
    np.testing.assert_array_equal(found[mask], sample.dirichlet_at(0.34)[mask])


def test_untrained_it_is_the_interpolation_of_the_last_values(samples):
    """u = a·x, the same at all times, is met everywhere."""
    x, slopes = samples[0].mesh.points, np.array([[1.0, 2.0], [0.5, -1.0]])
    u, held = np.repeat((x @ slopes)[None], 8, axis=0), samples[0].boundary
    values = np.where(held.dirichlet_mask, u, 0.0)
    sample = replace(samples[0], u=u, boundary=replace(held, dirichlet_values=values))
    points = RNG.random((50, 2))
    found = build().at(sample, points, np.array([0.1, 0.33]))
    np.testing.assert_allclose(found, np.stack(2 * [points @ slopes]), atol=1e-5)


# learning


def test_training_beats_its_base_and_is_kept(trained, samples, tmp_path):
    """Trained at the sensors alone it is better between them than the interpolation of the last
    values, and than that of the stepped ones; the file gives the same field; it marches."""
    fresh = build()
    graphs = graphs_of(fresh, samples)
    fresh.fit_statistics(graphs)
    with torch.no_grad():
        error, stepped, before = (
            np.mean([float(one_step(m.eval(), g)) for g in graphs])
            for m in (trained, bare(trained), fresh)
        )
    assert error < 0.6 * before and error < 0.95 * stepped
    save(trained, tmp_path / "observer.pt")
    again = load(tmp_path / "observer.pt")
    points, times = RNG.random((20, 2)), np.array([0.15, 0.2])
    np.testing.assert_array_equal(
        again.at(samples[0], points, times), trained.at(samples[0], points, times)
    )
    march, truth = rollout(again, samples[0], 6).u, samples[0].u
    assert np.linalg.norm(march - truth) < np.linalg.norm(truth[[1]] - truth)


def test_every_branch_is_alive_after_a_few_steps(trained, samples):
    """No parameter without gradient, at sensors alone and at all nodes."""
    for loss in (trained.loss, one_step):
        model = copy.deepcopy(trained).train()
        loss(model, Batch.from_data_list(graphs_of(model, samples))).backward()
        still = [k for k, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        assert still == []


def test_sensors_are_left_out_in_training_only(samples):
    """About a quarter, other ones each time; never so many that nothing is left."""
    model = build()
    batch = Batch.from_data_list(graphs_of(model, samples * 20))
    all_of_them = batch.sensor == SENSOR
    model.train()
    kinds = [model._kind(batch) == SENSOR for _ in range(2)]
    share = 1 - float(kinds[0].sum() / all_of_them.sum())
    assert 0.15 < share < 0.35 and not torch.equal(*kinds)
    assert torch.equal(model.eval()._kind(batch), batch.sensor)
    few = build(share=0.03, drop=0.5).train()
    graph = Batch.from_data_list(graphs_of(few, samples[:1] * 50))
    for _ in range(5):
        kept = (few._kind(graph) == SENSOR).long()
        assert torch.zeros(50, dtype=torch.int64).index_add(0, graph.batch, kept).min() >= 4


def test_other_sensors_may_be_given(trained, samples):
    sample = samples[0]
    inside = np.flatnonzero(~sample.boundary.dirichlet_mask[:, 0])
    other = np.random.default_rng(5).permutation(inside)[:30]
    points, times = RNG.random((40, 2)), sample.times[2:5]
    one, two = (trained.at(sample, points, times, s) for s in (None, other))
    assert 0 < np.linalg.norm(one - two) < 0.2 * np.linalg.norm(one)


@pytest.mark.filterwarnings("ignore:local_rbf.*lie in a plane")
@pytest.mark.parametrize("dim", [1, 3])
def test_lines_and_solids(dim):
    """It learns nothing of the plane: u = t + Σ x on other meshes, twice the frames of a bundle."""
    mesh = box({1: "line", 3: "tetra"}[dim], {1: 30, 3: 4}[dim])
    t = 0.1 * np.arange(8)
    u = (t[:, None] + mesh.points.sum(axis=1))[..., None]
    sample = Sample(mesh, Boundary.none(mesh.num_nodes, 1), np.zeros((mesh.num_nodes, 0)), t, u)
    model = build(dim=dim, channels=1, share=0.6, drop=0.0)
    fit(model, MeshDataset([sample], 2, 4), epochs=2, progress=False)
    found = model.at(sample, mesh.points[3:9] * 0.9, np.array([0.15, 0.7]))
    assert found.shape == (2, 6, 1) and np.isfinite(found).all()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"history": 0}, "expected history of at least 1, got 0"),
        ({"neighbours": 2}, "expected neighbours of at least 3, got 2"),
        ({"heads": 3}, "expected hidden to be a multiple of heads, got 8 and 3"),
        ({"stride": 3}, "expected bundle to be a multiple of stride, got 4 and 3"),
        ({"sampling": "grid"}, "unknown sampling 'grid'; choose one of farthest, random"),
        ({"share": 0.0}, r"expected a share in \(0, 1\] and drop in \[0, 1/2\], got 0.0 and 0.25"),
    ],
)
def test_refuses_options(options, text):
    with pytest.raises(ValueError, match=text):
        build(**options)


def test_refuses_questions(trained, samples):
    sample, here, now = samples[0], np.full((2, 2), 0.5), np.array([0.2])
    for points, times, sensors, text in (
        (here * [[1], [np.nan]], now, None, "1 points are NaN or infinite, the first is 1"),
        (here, np.array([np.inf]), None, "1 times are NaN or infinite, the first is 0"),
        (here[:, :1], now, None, r"expected points \[M, 2\], got \[2, 1\]"),
        (here, np.array([0.2, 0.05]), None, "from 0.1 s, .* got 1 before it, the first 0.05 s"),
        (here * 4, now, None, "2 of 2 points are outside the bounding box of the mesh"),
        (here, now, np.array([3, 400]), "sensors to be nodes from 0 to .*, got 3 to 400"),
        (here, now, np.array([0, 1, 20]), "at least 4 sensors at nodes without .* got 1"),
    ):
        with pytest.raises(ValueError, match=text):
            trained.at(sample, points, times, sensors)
    assert trained.at(sample, here[:0], now).shape == (1, 0, 2)


def test_refuses_graphs(samples):
    model = build()
    with pytest.raises(ValueError, match="does not say where sensors are .* apply model.transform"):
        model(to_graph(samples[0], 2, 4))
    with pytest.raises(
        ValueError, match="at least 4 nodes without prescribed values .* got 2 of 12"
    ):
        model.transform(to_graph(decaying(0, n=2), 2, 4))
