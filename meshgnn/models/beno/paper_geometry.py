"""What the published network sees of a lattice: points, wall distances, edges, the wall's list."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch_geometric.data import Data

from meshgnn.graph.point_cloud import point_cloud_edges


def boundary_list(graph: Data) -> Bool[Tensor, " N"]:
    """The nodes that are boundary points: on the boundary, with an axis-parallel normal."""
    return (graph.area > 0) & (graph.normal.abs().amax(dim=1) > 0.999)


def add_lattice(graph: Data, neighbours: int) -> Data:
    """A shallow copy of the graph of one lattice sample with the published geometry.

    Adds `place [N, 2]` (coordinates from the corner of the outer square, in the mesh's unit),
    `wall_distance [N, 4]` (to the walls in −x, +x, −y, +y along the axes, 0 on the boundary),
    `cloud_index [2, E]` (edges of the cell centres, `point_cloud_edges`), `nearest_index [N]` (the
    nearest cell centre, a centre's is itself), `wall_index [P]` (the boundary points in the order
    of the nodes), `before_index` and `after_index [P]` (their neighbours in that list, closed).

    Covers cell-centred lattices in 2D as `meshgnn.datasets.beno` makes them, of any size.

    Args:
        graph: one graph (no batch) of a lattice sample.
        neighbours: k of the edges.

    Raises:
        ValueError: several graphs in one; another dimension; points off the lattice; a cell without
            a boundary point in one of the four directions.
    """
    if getattr(graph, "batch", None) is not None:
        raise ValueError(
            "BENO(preset='paper'): expected one graph, got a batch; transform graphs before "
            "batching (MeshDataset.transformed)"
        )
    if graph.pos.shape[1] != 2:
        raise ValueError(
            f"BENO(preset='paper'): expected a lattice in 2D, got points in {graph.pos.shape[1]}D; "
            "use another preset"
        )
    inside, is_wall = graph.area == 0, boundary_list(graph)
    halves, size = _lattice(graph.pos.double(), inside, is_wall)
    centre, wall = torch.nonzero(inside)[:, 0], torch.nonzero(is_wall)[:, 0]
    out = Data(**graph.to_dict())
    out.place = (halves * size / 2).float()
    out.wall_distance = torch.zeros(len(halves), 4)
    steps = _wall_distance(halves, centre, wall, graph.normal[wall, 0].abs() > 0.5)
    out.wall_distance[centre] = (steps * size / 2).float()
    out.cloud_index = centre[
        torch.from_numpy(point_cloud_edges(halves[centre].numpy(), neighbours))
    ]
    out.nearest_index = torch.arange(len(halves))
    gaps = torch.cdist(halves[~inside], halves[centre])
    out.nearest_index[~inside] = centre[gaps.argmin(dim=1)]
    out.wall_index, out.before_index, out.after_index = wall, wall.roll(1), wall.roll(-1)
    return out


def _lattice(
    pos: Float[Tensor, "N 2"], inside: Bool[Tensor, " N"], wall: Bool[Tensor, " N"]
) -> tuple[Float[Tensor, "N 2"], Float[Tensor, ""]]:
    """Coordinates from the corner of the outer square in half cells, whole numbers; the cell size.

    Centres have two odd coordinates, boundary points an odd and an even one.
    """
    from_corner = pos - pos.amin(dim=0)
    side = from_corner.max()
    steps = from_corner[inside, 0].sort().values.diff()
    size = torch.cat([steps[steps > 1e-4 * side], side[None]]).amin()
    size = side / torch.round(side / size)  # float32 holds more digits of the side than of a cell
    halves = torch.round(2 * from_corner / size)
    odd = (halves % 2).sum(dim=1)
    off = (2 * from_corner / size - halves).abs().amax(dim=1) > 0.02
    bad = torch.nonzero(off | (inside & (odd != 2)) | (wall & (odd != 1)))[:, 0]
    if len(bad):
        raise ValueError(
            f"BENO(preset='paper'): {len(bad)} nodes do not lie on a cell-centred lattice, the "
            f"first {bad[:5].tolist()}; this preset takes lattice samples, "
            "datasets.beno.CornerCut.lattice_sample(blurred=True); on meshes use preset='linear'"
        )
    return halves, size


def _wall_distance(
    halves: Float[Tensor, "N 2"],
    centre: Int[Tensor, " n"],
    wall: Int[Tensor, " P"],
    upright: Bool[Tensor, " P"],
) -> Float[Tensor, "n 4"]:
    """Half cells to the nearest wall in −x, +x, −y, +y in the row or column of each cell."""
    distances = []
    for axis, faces in ((0, wall[upright]), (1, wall[~upright])):
        level = halves[centre, 1 - axis, None] == halves[faces, 1 - axis]
        gap = halves[faces, axis] - halves[centre, axis, None]
        for ahead in (-gap, gap):
            there = torch.where(level & (ahead > 0), ahead, torch.inf)
            distances.append(torch.nn.functional.pad(there, (0, 1), value=torch.inf).amin(dim=1))
    out = torch.stack(distances, dim=1)
    bad = torch.nonzero(out.isinf().any(dim=1))[:, 0]
    if len(bad):
        raise ValueError(
            f"BENO(preset='paper'): {len(bad)} cells have no boundary point left, right, below or "
            f"above in their row or column, the first is node {int(centre[bad[0]])}; keep all "
            "boundary face midpoints of the lattice as nodes"
        )
    return out
