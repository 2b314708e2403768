"""The surface of a solid reference, placed on that of another shape."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from meshgnn.correspondence.curves import Curve, Placement
from meshgnn.correspondence.matching import features, matched
from meshgnn.correspondence.patches import Surface
from meshgnn.correspondence.shape import Shape
from meshgnn.correspondence.splines import spline, spread_out
from meshgnn.operators import locate

_MOST = 400  # points of a rim that a patch follows


class Skin:
    """Corners to corners, edges by fractions of their length, patches after their edges.

    Patches are the pieces of the named parts between sharp edges. A flat one follows the thin-plate
    spline of its rim in its plane, with which it stays in the plane of the other; a curved one the
    spline of its rim and its centre in space. What is then off the surface goes to the nearest
    point of the same patch.

    Args:
        shape: the reference, of tetrahedra.
        sharp: turns by more than this are edges and corners, rad.

    Raises:
        ValueError: as `Surface`; a patch without an edge.
    """

    def __init__(self, shape: Shape, sharp: float) -> None:
        self.sharp = sharp
        own = Surface(shape, sharp)
        points = shape.numbers
        count = len(own.names)
        bare = set(range(count)) - set(own.label[own.on_rim[own.facets].any(axis=1)].tolist())
        if bare:
            raise ValueError(
                f"correspondence: part {own.names[min(bare)]!r} has a closed piece without edges, "
                "so that nothing fixes how it turns; divide it into named parts that meet in curves"
            )
        self._names, self._features = own.names, own.features
        self.curves = own.curves(np.arange(count))
        self._curve_names = [curve.name for curve in self.curves]
        self._curve_features = _curve_features(self.curves, points)
        self._axes = [_axes(points[curve.nodes]) for curve in self.curves]
        ends = [curve.nodes[[0, -1]] for curve in self.curves if not curve.closed]
        self.corners = np.unique(np.concatenate([np.zeros(0, np.int64), *ends]))
        self._fractions = [
            f if c.closed else f[1:-1]
            for c, axes in zip(self.curves, self._axes, strict=True)
            for f in [c.fractions(shape.points, axes).detach()]
        ]
        inner = [c.nodes[: len(f)] if c.closed else c.nodes[1:-1] for c, f in self._with_fractions]
        rim = np.concatenate([self.corners, *inner])
        self.fixed = len(rim)  # corners and edges come first
        self._place_patches(own, rim)

    @property
    def _with_fractions(self) -> list[tuple[Curve, Float[Tensor, " _"]]]:
        return list(zip(self.curves, self._fractions, strict=True))

    def _place_patches(self, own: Surface, rim: Int[np.ndarray, " r"]) -> None:
        """How the inner nodes of each patch follow its rim, and the patch of each."""
        points = own.shape.numbers
        nodes, self._follow = [rim], []
        place = np.full(len(points), -1)
        place[rim] = np.arange(len(rim))
        for patch in range(len(own.names)):
            every = np.unique(own.facets[own.label == patch])
            inside, around = every[place[every] < 0], place[every][place[every] >= 0]
            around = around[spread_out(points[rim[around]], _MOST)]
            x, centre = points[every], points[every].mean(axis=0)
            _, size, axes = np.linalg.svd(x - centre, full_matrices=False)
            flat = size[-1] < 1e-6 * size[0]
            seen = (points - centre) @ axes[:2].T if flat else points
            controls = seen[rim[around]]
            if not flat:
                controls = np.vstack([controls, own.centres[patch]])
            if len(inside):
                matrix = torch.from_numpy(spline(seen[inside], controls))
                self._follow.append((patch, matrix, torch.from_numpy(around), flat))
            nodes.append(inside)
        self.nodes: Int[np.ndarray, " B"] = np.concatenate(nodes)
        self._patch = np.repeat(np.arange(len(own.names)), [len(part) for part in nodes[1:]])

    def place(self, shape: Shape) -> Placement:
        """Where `nodes` come to lie on the surface of another shape.

        Raises:
            ValueError: other parts, patches, edges or corners than the reference.
        """
        there = Surface(shape, self.sharp)
        kind = "patches between sharp edges"
        order = matched(there.names, there.features, self._names, self._features, kind)
        number = np.argsort(order)
        curves = there.curves(number)
        names, found = [c.name for c in curves], _curve_features(curves, shape.numbers)
        kind = "edges between patches"
        chosen = matched(names, found, self._curve_names, self._curve_features, kind)
        curves = [curves[k] for k in chosen]
        sources = there.rim_sources(number)
        rim = self._rim(shape, curves, sources)
        inner = self._inner(there, order, rim.of(shape.points))
        return Placement.joined([rim, inner])

    def _rim(self, shape: Shape, curves: list[Curve], sources: Int[np.ndarray, " N"]) -> Placement:
        points = shape.points
        corners = self._corners_of(curves)
        rows = [np.stack([corners, corners], axis=1)]
        weights = [torch.tensor([[1.0, 0.0]]).to(points).expand(len(corners), 2)]
        for curve, f, axes in zip(curves, self._fractions, self._axes, strict=True):
            part = curve.at(points, f.to(points.device), axes.to(points.device))
            rows.append(part.nodes.cpu().numpy())
            weights.append(part.weights)
        nodes = np.concatenate(rows)
        nodes = np.column_stack([nodes, nodes[:, 1]])  # triangles have three
        return Placement(
            torch.from_numpy(nodes).to(points.device),
            torch.nn.functional.pad(torch.cat(weights), (0, 1)),
            torch.from_numpy(sources[nodes]).to(points.device),
        )

    def _corners_of(self, curves: list[Curve]) -> Int[np.ndarray, " C"]:
        """The corners in the order of the reference."""
        there: dict[int, int] = {}
        for curve, home in zip(curves, self.curves, strict=True):
            ends = zip(home.nodes[[0, -1]].tolist(), curve.nodes[[0, -1]].tolist(), strict=True)
            alike = curve.closed == home.closed
            if not alike or not (home.closed or all(there.setdefault(a, b) == b for a, b in ends)):
                raise ValueError(
                    f"correspondence: edges meet otherwise at the ends of that of {home.name} than "
                    "in the reference. Name the parts apart, or leave the shape out"
                )
        return np.array([there[int(node)] for node in self.corners], dtype=np.int64)

    def _inner(
        self, there: Surface, order: Int[np.ndarray, " P"], rim: Float[Tensor, "r 3"]
    ) -> Placement:
        points, facets = there.shape.points, torch.from_numpy(there.facets).to(rim.device)
        corners = points[facets]
        area = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        area, label = area.norm(dim=1, keepdim=True), torch.from_numpy(there.label).to(rim.device)
        targets = [rim.new_zeros(0, 3)]
        for patch, matrix, around, flat in self._follow:
            y = rim[around.to(rim.device)]
            if not flat:
                own = label == int(order[patch])
                centre = (area * corners.mean(dim=1))[own].sum(dim=0) / area[own].sum()
                y = torch.cat([y, centre[None]])
            targets.append(matrix.to(rim.device) @ y)
        wanted = torch.cat(targets)
        lift = torch.from_numpy(there.lift).to(rim)
        chosen = lift[torch.from_numpy(order[self._patch]).to(rim.device)]
        apart = torch.stack([torch.ones_like(chosen), 0 * chosen, 0 * chosen], dim=1)
        own = corners + torch.nn.functional.pad(lift[label][:, None, None], (0, 2))
        rows = torch.arange(3 * len(facets), device=rim.device).view(-1, 3)
        found = locate(wanted + chosen[:, None] * apart, own.reshape(-1, 3), rows)
        triangle = found.simplex
        source = torch.from_numpy(there.sources).to(rim.device)
        return Placement(facets[triangle], found.weights, source[triangle])


def _curve_features(
    curves: list[Curve], points: Float[np.ndarray, "N 3"]
) -> Float[np.ndarray, "P f"]:
    centres = np.array([curve.centre(points) for curve in curves]).reshape(-1, 3)
    chords = np.array([curve.chord(points) for curve in curves]).reshape(-1, 3)
    return features(centres, chords, points)


def _axes(x: Float[np.ndarray, "m 3"]) -> Float[Tensor, "2 3"]:
    """In the plane of a closed curve: nearest to an axis of space, and across."""
    normal = np.cross(x[:-1] - x[0], x[1:] - x[0]).sum(axis=0)
    size = np.linalg.norm(normal)
    normal = normal / size if size > 0 else np.array([0.0, 0.0, 1.0])
    first = np.eye(3)[np.abs(normal).argmin()]
    first = first - (first @ normal) * normal
    first /= np.linalg.norm(first)
    return torch.from_numpy(np.stack([first, np.cross(normal, first)]))
