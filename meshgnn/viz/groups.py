"""A mesh with its named groups in colour, and a legend of their names."""

from typing import Any

import numpy as np

from meshgnn.mesh import KINDS, Group, Mesh
from meshgnn.viz.scene import add_label, add_title, plotter_for
from meshgnn.viz.view import FONT, View, edges_visible, grid

# Okabe and Ito (2008), told apart with every kind of colour vision; black and yellow left out,
# which are hard to see on edges and on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#7A5195", "#8C564B")
_PALE = ("#DCE6EE", "#F3E3D3", "#DDEBDD", "#EFE0EA", "#E8E8D8", "#E3E0F0", "#F0E4E4", "#DCEBEB")
_LEGEND_UP_TO = 16
PLAIN = "#E4E4E4"


def draw_groups(mesh: Mesh, pixels: int, window: bool) -> Any:
    """A plotter with the mesh: regions pale, boundary parts, curves and points in full colour."""
    legend = [(f"{name} ({KINDS[group.dim]})", colour) for name, group, colour in coloured(mesh)]
    if len(legend) > _LEGEND_UP_TO:
        legend[_LEGEND_UP_TO:] = [(f"and {len(legend) - _LEGEND_UP_TO} more", "white")]
    side = 90 + round(0.55 * FONT * max((len(text) for text, _ in legend), default=0))
    view = View.of([mesh], pixels, bar=0, side=side if legend else 0)
    plotter = plotter_for(view, 1, 1, window)
    add_groups(plotter, mesh)
    add_title(plotter, view, f"{mesh.num_nodes} nodes, {mesh.num_cells} cells")
    _legend(plotter, view, legend)
    view.look(plotter)
    return plotter


def add_groups(plotter: Any, mesh: Mesh) -> None:
    """The groups into the active part of a plotter, on a grey body where regions leave cells."""
    if not covered(mesh):
        _add(plotter, mesh, mesh.cells, mesh.dim, PLAIN, 0)
    for depth, (_, group, colour) in enumerate(coloured(mesh), start=1):
        _add(plotter, mesh, group.cells, group.dim, colour, depth)


def covered(mesh: Mesh) -> bool:
    """Whether every cell is in a named region."""
    regions = [mesh.cells_of(name) for name, group in mesh.groups.items() if group.dim == mesh.dim]
    return sum(len(np.unique(cells)) for cells in regions) >= mesh.num_cells


def coloured(mesh: Mesh) -> list[tuple[str, Group, str]]:
    """Name, group and colour in the order in which they are drawn: parts after their whole."""
    order = sorted(mesh.groups.items(), key=lambda item: (-item[1].dim, -_count(item[1])))
    colours = _colours(mesh)
    return [(name, group, colours[name]) for name, group in order]


def _count(group: Group) -> int:
    """Number of entities; large groups are drawn first, so that parts of them stay visible."""
    return sum(len(block) for block in group.cells.values())


def _colours(mesh: Mesh) -> dict[str, str]:
    """Pale colours for regions, full ones for all other groups."""
    regions = [name for name, group in mesh.groups.items() if group.dim == mesh.dim]
    others = [name for name in mesh.groups if name not in regions]
    pale = {name: _PALE[place % len(_PALE)] for place, name in enumerate(regions)}
    return pale | {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(others)}


def _add(
    plotter: Any, mesh: Mesh, cells: dict[str, np.ndarray], dim: int, colour: str, depth: int
) -> None:
    style = {
        0: {"style": "points", "point_size": 14, "lighting": False},
        1: {"line_width": 6, "lighting": False},
    }.get(dim) or {
        "show_edges": edges_visible(mesh),
        "edge_opacity": 0.3,
        "lighting": mesh.points.shape[1] == 3,
        "ambient": 0.4,
        "diffuse": 0.6,
    }
    actor = plotter.add_mesh(grid(mesh, cells), color=colour, **style)
    # Groups lie on the cells: what is drawn later is moved towards the eye, or they would flicker.
    actor.mapper.SetResolveCoincidentTopologyToPolygonOffset()
    actor.mapper.SetRelativeCoincidentTopologyPolygonOffsetParameters(0, -2 * depth)
    actor.mapper.SetRelativeCoincidentTopologyLineOffsetParameters(0, -2 * depth - 20)
    actor.mapper.SetRelativeCoincidentTopologyPointOffsetParameter(-2 * depth - 40)


def _legend(plotter: Any, view: View, entries: list[tuple[str, str]]) -> None:
    width, height = view.panel
    left, top = float(width - view.side), float(height - 100)
    step = min(1.6 * FONT, (height - 120) / max(len(entries), 1))
    for row, (text, colour) in enumerate(entries):
        swatch = add_label(plotter, view, "MM", (left, top - row * step))
        swatch.prop.color = swatch.prop.background_color = colour
        swatch.prop.background_opacity = 1.0
        label = add_label(plotter, view, text, (left + 56, top - row * step))
        for piece in (swatch, label):
            piece.prop.font_size = round(min(0.8 * FONT, 0.75 * step))
