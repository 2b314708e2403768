"""Samples to graphs: the schema, boundary data on nodes, windows in time, batches."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from learning_builders import Tiny, box, decaying, dirichlet_everywhere, steady
from mesh_builders import BOXES
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

from meshgnn.graph import SCHEMA, MeshDataset, check_graph, dirichlet_at, part_names, to_graph
from meshgnn.mesh import Group, Mesh
from meshgnn.sample import Boundary, Sample


def with_flux(cells: str, g: float, alpha: float = 0.0) -> Sample:
    """∂u/∂n + α u = g on the facets with x = 0, u = 0 on those with x = 1."""
    mesh = box(cells, 2)
    width = max(block.shape[1] for block in mesh.boundary_facets.values())
    rows = [
        np.pad(block, ((0, 0), (0, width - block.shape[1])), constant_values=-1)
        for block in mesh.boundary_facets.values()
    ]
    facets = np.concatenate(rows)[mesh.facet_centres[:, 0] < 1e-9]
    mask = mesh.points[:, :1] > 1 - 1e-9
    zero = np.zeros((mesh.num_nodes, 1))
    ones = np.ones((len(facets), 1))
    boundary = Boundary(mask, zero, facets, alpha * ones, g * ones)
    return Sample(mesh, boundary, np.zeros((mesh.num_nodes, 1)), u=zero[None])


@pytest.mark.parametrize("cells", BOXES)
def test_edges_are_those_of_the_cells_in_both_directions_sorted_by_target(cells: str) -> None:
    sample = steady(cells=cells, n=2)
    graph = to_graph(sample)
    check_graph(graph)
    source, target = graph.edge_index.numpy()
    assert (np.lexsort((source, target)) == np.arange(len(source))).all()
    undirected = np.unique(np.sort(graph.edge_index.numpy().T, axis=1), axis=0)
    assert len(source) == 2 * len(undirected)
    assert (undirected == sample.mesh.edges).all()
    assert graph.is_undirected() and not graph.has_self_loops()


@pytest.mark.parametrize("cells", BOXES)
def test_geometry_is_that_of_the_mesh_in_float32(cells: str) -> None:
    """Σ mass = |Ω| = 1 and Σ_i area_i n_i = 0 over the closed boundary."""
    sample = steady(cells=cells, n=2)
    graph, mesh = to_graph(sample), sample.mesh
    assert graph.mass.sum().item() == pytest.approx(1.0, rel=1e-6)
    centred = mesh.points - mesh.points.mean(axis=0)
    np.testing.assert_array_equal(graph.pos.numpy(), centred.astype(np.float32))
    np.testing.assert_allclose(graph.area.numpy(), mesh.node_areas, rtol=1e-6)
    np.testing.assert_array_equal(graph.simplex_index.numpy(), mesh.simplices.T)
    np.testing.assert_allclose(graph.normal.numpy(), mesh.node_normals, atol=1e-6)


@pytest.mark.parametrize("cells", BOXES)
def test_flux_is_lumped_exactly(cells: str) -> None:
    """g = 3 on the side x = 0 of measure 1: Σ_i ∫ g φ_i = 3, and the nodal density is 3."""
    sample = with_flux(cells, g=3.0, alpha=2.0)
    graph, on_side = to_graph(sample), torch.from_numpy(sample.mesh.points[:, 0] < 1e-6)
    assert graph.flux_load.sum().item() == pytest.approx(3.0, rel=1e-5)
    assert graph.robin_load.sum().item() == pytest.approx(2.0, rel=1e-5)
    torch.testing.assert_close(graph.flux[:, 0], 3.0 * on_side)
    torch.testing.assert_close(graph.robin[:, 0], 2.0 * on_side)
    assert (graph.flux_load[~on_side] == 0).all()


def test_flux_between_two_facets_is_weighted_by_area() -> None:
    """Facets of length 1 and 2 with g = 1 and 4 meet: (1·1 + 2·4) / 3 = 3."""
    points = np.array([[0.0, 0.0], [1.0, 0.0], [3.0, 0.0], [1.0, 1.0]])
    mesh = Mesh(points, {"triangle": np.array([[0, 1, 3], [1, 2, 3]])})
    facets = np.array([[0, 1], [1, 2]])
    boundary = replace(
        Boundary.none(4, 1), facets=facets, alpha=np.zeros((2, 1)), flux=np.array([[1.0], [4.0]])
    )
    graph = to_graph(Sample(mesh, boundary, np.zeros((4, 0))))
    torch.testing.assert_close(graph.flux[:, 0], torch.tensor([1.0, 3.0, 4.0, 0.0]))
    torch.testing.assert_close(graph.flux_load[:, 0], torch.tensor([0.5, 4.5, 4.0, 0.0]))


def test_boundary_type_is_one_hot_dirichlet_before_robin_before_neumann() -> None:
    sample = with_flux("triangle", g=0.0)  # a natural condition is a condition
    graph, x = to_graph(sample), torch.tensor(sample.mesh.points[:, 0])
    left, right = x < 1e-6, x > 1 - 1e-6
    assert (graph.bc.sum(dim=1) == 1).all()
    assert (graph.bc.argmax(dim=1) == torch.where(left, 2, torch.where(right, 1, 0))).all()
    robin = to_graph(with_flux("triangle", g=0.0, alpha=1.0))
    assert (robin.bc[left].argmax(dim=1) == 3).all()


def test_components_are_prescribed_one_by_one() -> None:
    """A symmetry plane fixes u_x alone: the node is a Dirichlet node, u_y stays free."""
    mesh = box(n=2)
    mask = np.zeros((mesh.num_nodes, 2), dtype=bool)
    mask[mesh.points[:, 0] == 0, 0] = True
    boundary = replace(Boundary.none(mesh.num_nodes, 2), dirichlet_mask=mask)
    values = np.where(mask, 5.0, 7.0)  # values where nothing is prescribed must not get through
    boundary = replace(boundary, dirichlet_values=values)
    graph = to_graph(Sample(mesh, boundary, np.zeros((mesh.num_nodes, 0))))
    assert (graph.dirichlet_mask.numpy() == mask).all()
    torch.testing.assert_close(graph.dirichlet[:, 0], 5.0 * graph.dirichlet_mask)
    assert (graph.bc[:, 1].bool() == graph.dirichlet_mask[:, 0]).all()


def test_steady_graph_has_no_state_and_one_target() -> None:
    graph = to_graph(steady())
    assert graph.u.shape == (30, 0, 1) and graph.y.shape == (30, 1, 1) and graph.dt.item() == 0
    assert "y" not in to_graph(steady(solved=False))


def test_window_holds_known_states_targets_and_their_boundary_values() -> None:
    sample = decaying(times=7)
    graph = to_graph(sample, history=2, bundle=3, start=1)
    check_graph(graph)
    np.testing.assert_array_equal(graph.u[:, 1].numpy(), sample.u[2].astype(np.float32))
    np.testing.assert_array_equal(graph.y[:, 0].numpy(), sample.u[3].astype(np.float32))
    assert graph.dt.item() == pytest.approx(0.1)
    mask = graph.dirichlet_mask[:, None]
    torch.testing.assert_close(graph.dirichlet, torch.where(mask, graph.y, 0.0))


def test_boundary_values_beyond_the_data_are_the_last_ones() -> None:
    sample = decaying(times=3)
    values = dirichlet_at(sample, np.array([0.15, 9.0]))
    half = (sample.dirichlet_at(0.1) + sample.dirichlet_at(0.2)) / 2
    np.testing.assert_allclose(values[:, 0].numpy(), half, atol=1e-6)
    np.testing.assert_allclose(values[:, 1].numpy(), sample.dirichlet_at(0.2), atol=1e-6)


def test_bad_windows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"start \+ history = 8 states in sample.u, got 6"):
        to_graph(decaying(times=6), history=8)
    with pytest.raises(ValueError, match="the sample has 6 times, but history=0"):
        to_graph(decaying(times=6))
    sample = replace(decaying(times=3), times=np.array([0.0, 0.1, 0.9]))
    with pytest.raises(ValueError, match="evenly spaced times in a window, got steps from 0.1"):
        to_graph(sample, history=1, bundle=2)
    assert to_graph(sample, history=1, start=1).dt.item() == pytest.approx(0.8)
    tiny = replace(sample, times=1e-8 * sample.times)  # a tolerance is of dt, not of one second
    with pytest.raises(ValueError, match="evenly spaced times in a window, got steps from 1e-09"):
        to_graph(tiny, history=1, bundle=2)
    late = replace(sample, times=1e6 + np.array([0.0, 1e-3, 2e-3]))  # rounded to 1e-7 of a step
    assert to_graph(late, history=1, bundle=2).dt.item() == pytest.approx(1e-3, rel=1e-4)


def test_far_from_the_origin_positions_keep_their_digits() -> None:
    """x − mean x is taken in float64: a shift by a multiple of the rounding changes nothing."""
    sample = steady()
    points = np.round(sample.mesh.points * 2**20) / 2**20
    near, far = (replace(sample, mesh=sample.mesh.moved(points + by)) for by in (0.0, 2.0**20))
    torch.testing.assert_close(to_graph(far).pos, to_graph(near).pos, rtol=0, atol=1e-7)


def test_edges_that_float32_does_not_resolve_are_warned_of() -> None:
    sample = steady()
    points = sample.mesh.points.copy()
    short = sample.mesh.edges[0]
    points[short[1]] = points[short[0]] + 1e-6
    with pytest.warns(UserWarning, match="the shortest edge .* is less than 1e-5 of the distance"):
        to_graph(replace(sample, mesh=sample.mesh.moved(points)))


def test_schema_says_all_that_a_graph_holds() -> None:
    assert set(to_graph(steady()).keys()) <= set(SCHEMA)
    needed = {name for name, entry in SCHEMA.items() if entry.needed}
    assert needed | {"y", "part", "part_index", "part_name"} == set(to_graph(steady()).keys())


def test_a_graph_keeps_the_names_of_the_boundary() -> None:
    """Facets and names of every part, also of graphs taken out of a batch again; 32 bytes each."""
    mesh = Mesh(box().points, box().cells, {"wall " * 8: Group(1, box().boundary_facets)})
    sample = replace(steady(), mesh=mesh)
    batch = Batch.from_data_list([to_graph(steady()), to_graph(sample)])
    assert check_graph(to_graph(sample)) is None
    for graph, name, given in zip(
        batch.to_data_list(), ("boundary", ("wall " * 8)[:32]), (box(), mesh), strict=True
    ):
        assert part_names(graph) == [name]
        found = graph.part_index[:, graph.part == 0].T.numpy()
        assert np.array_equal(found, given.boundary_facets["line"])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mass", None, r"graph.mass \[N\] is missing \(lumped mass"),
        ("pos", torch.zeros(30, 2, dtype=torch.float64), r"expected torch.float32 \[N d\]"),
        ("a", torch.zeros(29, 2), r"= \[30, 'F'\], got torch.float32 \[29, 2\]"),
        ("y", torch.zeros(30, 1, 2), r"\[30, 1, 1\], got torch.float32 \[30, 1, 2\]"),
        ("cell_a", torch.zeros(39, 2), r"= \[40, 'G'\], got torch.float32 \[39, 2\]"),
        ("a", torch.full((30, 2), torch.inf), r"graph.a: 60 values are NaN or infinite"),
        ("edge_index", torch.tensor([[0], [30]]), "node indices from 0 to 29, got 0 to 30"),
        ("edge_index", torch.tensor([[1, 0], [1, 0]]), "sorted by target"),
        ("mass", torch.zeros(30), r"30 nodes without, the first \[0, 1, 2, 3, 4\]"),
    ],
)
def test_check_names_what_is_wrong(name: str, value: torch.Tensor | None, message: str) -> None:
    graph = to_graph(steady())
    graph[name] = value
    with pytest.raises(ValueError, match=message):
        check_graph(graph)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"dim": 3}, r"made for space dimensions: 3 \(dim=3\), the graph has 2; load or train"),
        ({"channels": 2}, "components of the solution: 2"),
        ({"inputs": 5}, "inputs per node: 5"),
        ({"cell_inputs": 1}, r"inputs per cell: 1 \(cell_inputs=1\), the graph has 2"),
        ({"params": 1}, "parameters: 1"),
        ({"history": 1}, "known states: 1"),
        ({"bundle": 2}, "states to predict: 2"),
    ],
)
def test_check_compares_with_the_model(sizes: dict[str, int], message: str) -> None:
    graph = to_graph(steady())
    check_graph(graph, Tiny())
    model = Tiny()
    model.hparams |= sizes
    with pytest.raises(ValueError, match=message):
        check_graph(graph, model)


def test_batch_counts_on_in_every_index() -> None:
    samples = [by_cell(steady(*of)) for of in ((0,), (1, "quad"), (2, "triangle", 3))]
    graphs = [to_graph(sample) for sample in samples]
    batch = next(iter(DataLoader(MeshDataset(samples), batch_size=3)))
    start = 0
    for i, graph in enumerate(graphs):
        nodes = batch.batch == i
        for name in ("edge_index", "simplex_index"):
            inside = nodes[batch[name][0]]
            torch.testing.assert_close(batch[name][:, inside] - start, graph[name])
        torch.testing.assert_close(batch.y[nodes], graph.y)
        own = nodes[batch.simplex_index[0]]
        torch.testing.assert_close(batch.cell_a[own], graph.cell_a)
        start += graph.num_nodes
    assert batch.theta.shape == (3, 0) and batch.dt.shape == (3,)
    key = batch.edge_index[1] * batch.num_nodes + batch.edge_index[0]
    assert (key[1:] > key[:-1]).all()


def by_cell(sample: Sample) -> Sample:
    """With cell inputs that tell every cell from the others."""
    return replace(sample, cell_inputs=np.random.default_rng(3).random((sample.mesh.num_cells, 2)))


@pytest.mark.parametrize("cells", BOXES)
def test_inputs_by_cell_hold_on_each_of_its_simplices(cells: str) -> None:
    """A quadrilateral is two triangles, a hexahedron five or six tetrahedra, of one value."""
    sample = by_cell(steady(cells=cells, n=2))
    cell_a, mesh = to_graph(sample).cell_a.numpy(), sample.mesh
    assert len(cell_a) == len(mesh.simplices)
    total = np.abs(mesh.simplex_volumes) @ cell_a
    np.testing.assert_allclose(total, np.abs(mesh.volumes) @ sample.cell_inputs, rtol=1e-6)
    expected = sample.cell_inputs[mesh.simplex_cells].astype(np.float32)
    np.testing.assert_array_equal(cell_a, expected)
    without = replace(sample, cell_inputs=np.zeros((0, 0)), names={})
    assert to_graph(without).cell_a.shape == (len(cell_a), 0)
    check_graph(to_graph(without))


def test_windows_keep_the_inputs_by_cell() -> None:
    dataset = MeshDataset([by_cell(decaying(0)), by_cell(decaying(1))], history=1)
    for i in (0, 3, 7):
        torch.testing.assert_close(dataset[i].cell_a, to_graph(dataset.samples[0], 1).cell_a)


def test_dataset_windows_and_slices() -> None:
    dataset = MeshDataset([decaying(0), decaying(1, times=4)], history=1, bundle=2)
    assert len(dataset) == 4 + 2 and len(MeshDataset(dataset.samples, 1, stride=2)) == 3 + 2
    expected = to_graph(dataset.samples[1], 1, 2, start=1)
    for name, value in dataset[-1].to_dict().items():
        torch.testing.assert_close(value, expected[name])
    part = dataset[4:]
    assert len(part) == 2 and repr(part).startswith("MeshDataset(2 graphs of 2 samples")
    torch.testing.assert_close(part[1].u, dataset[5].u)
    assert len(list(dataset)) == 6
    with pytest.raises(IndexError):
        dataset[6]


def test_dataset_from_files_equals_that_from_memory(tmp_path) -> None:
    samples = [steady(i) for i in range(3)]
    for i, sample in enumerate(samples):
        sample.save(tmp_path / f"{i:06d}.vtkhdf")
    read = MeshDataset(tmp_path)
    for a, b in zip(MeshDataset(samples), read, strict=True):
        assert all(torch.equal(a[name], b[name]) for name in a.keys())  # noqa: SIM118
    assert read.names == samples[0].names and read.units == {}


def test_transform_is_applied_once_per_sample() -> None:
    calls = []

    def count(graph):
        calls.append(graph)
        graph.degree_index = torch.arange(graph.num_nodes)
        return graph

    dataset = MeshDataset([decaying(0), decaying(1)], history=1)
    changed = dataset.transformed(count)
    assert len(calls) == 2
    assert all("degree_index" in graph for graph in changed) and len(calls) == 2
    assert "degree_index" not in dataset[0]
    torch.testing.assert_close(changed[3].u, dataset[3].u)
    part = dataset[6:].transformed(count)  # windows of sample 1 only
    assert len(calls) == 3 and all("degree_index" in graph for graph in part)


def test_datasets_that_make_no_sense_are_refused(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="no .vtkhdf samples in"):
        MeshDataset(tmp_path)
    with pytest.raises(ValueError, match="at least one sample, got an empty list"):
        MeshDataset([])
    with pytest.raises(ValueError, match="sample 1 has 0 states"):
        MeshDataset([steady(0), steady(1, solved=False)])
    with pytest.raises(ValueError, match="sample 1 differs from sample 0 in space dimension"):
        MeshDataset([steady(0), steady(1, cells="tetra", n=2)])
    other = replace(steady(1), names={"u": ["T"], "inputs": ["source", "diffusivity"]})
    with pytest.raises(ValueError, match="sample 1 differs from sample 0 in names"):
        MeshDataset([steady(0), other])
    mesh = steady(1).mesh
    two = replace(
        steady(1),
        boundary=dirichlet_everywhere(mesh, np.zeros((mesh.num_nodes, 2))),
        u=np.zeros((1, mesh.num_nodes, 2)),
    )
    with pytest.raises(ValueError, match="number of components: expected 1, got 2"):
        MeshDataset([steady(0), two])
    bare = replace(steady(1), cell_inputs=np.zeros((0, 0)))
    with pytest.raises(ValueError, match="number of cell inputs: expected 2, got 0"):
        MeshDataset([steady(0), bare])


def test_a_data_set_has_one_time_step() -> None:
    a, b = decaying(0), decaying(1)
    rounded = replace(b, times=b.times * (1 + 1e-6))
    assert len(MeshDataset([a, rounded], history=1)) == 10
    with pytest.raises(ValueError, match=r"to be 0.1 s, the first .* 0.5 to 0.5 s in sample 1; re"):
        MeshDataset([a, replace(b, times=5 * b.times)], history=1)
    uneven = replace(a, times=np.array([0, 0.1, 0.2, 0.4, 0.5, 0.6]))
    with pytest.raises(ValueError, match=r"got steps from 0.1 to 0.2 s in sample 0"):
        MeshDataset([uneven], history=1)


@pytest.mark.slow
def test_a_million_nodes_become_a_graph_in_seconds() -> None:
    """The bar is 6 s (median of 3, quiet machine); here a bound that noise does not break."""
    from time import process_time

    mesh = box(n=1000)
    sample = Sample(mesh, Boundary.none(mesh.num_nodes, 1), np.zeros((mesh.num_nodes, 1)))
    begin = process_time()
    graph = to_graph(sample)
    assert process_time() - begin < 20
    assert graph.num_nodes > 1_000_000


def test_gravity_and_walls_of_a_body_in_motion() -> None:
    """Gravity as in the parameters; walls relative to the mean of the nodes, ±inf where open."""
    mesh = box(n=3)
    names = {"u": ["ux", "uy"], "params": ["young", "gravity_x", "gravity_y"]}
    body = Sample(
        mesh=mesh,
        boundary=Boundary.none(mesh.num_nodes, 2),
        inputs=np.zeros((mesh.num_nodes, 0)),
        params=np.array([1e5, 0.5, -9.0]),
        names=names,
        meta={"walls": {"lo": [None, -0.25], "hi": [1.5, None]}},
    )
    graph = to_graph(body)
    check_graph(graph)
    assert graph.gravity.tolist() == [[0.5, -9.0]]
    lo_x, lo_y, hi_x, hi_y = graph.walls[0].tolist()
    centre = mesh.points.mean(axis=0)
    assert lo_x == -np.inf and hi_y == np.inf
    np.testing.assert_allclose([hi_x, lo_y], [1.5 - centre[0], -0.25 - centre[1]], rtol=1e-6)
    bare = to_graph(replace(body, names={"u": ["ux", "uy"]}, meta={}))
    check_graph(bare)
    assert "gravity" not in bare and "walls" not in bare
    graph.walls[0, 1] = torch.nan
    with pytest.raises(ValueError, match=r"graph.walls: 1 values are NaN"):
        check_graph(graph)
    with pytest.raises(
        ValueError, match=r"graph.gravity .*acceleration of all that is free.* \[1, 2"
    ):
        check_graph(bare.update({"gravity": torch.zeros(1, 3)}))
