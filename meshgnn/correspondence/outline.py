"""The boundary of a plane reference, placed on that of another shape."""

import numpy as np
import torch
from jaxtyping import Float, Int

from meshgnn.correspondence.curves import Curve, Placement, outline
from meshgnn.correspondence.matching import features, matched
from meshgnn.correspondence.shape import Shape


class Outline:
    """x(f) of one curve to x(f) of the other, f the fraction of its length, corner to corner.

    Args:
        shape: the reference, plane.
        sharp: turns by more than this are corners, rad.

    Raises:
        ValueError: as `curves.outline`.
    """

    def __init__(self, shape: Shape, sharp: float) -> None:
        self.sharp = sharp
        self.curves = outline(shape, sharp)
        self.axes = torch.eye(2, dtype=torch.float64)
        self._names = [curve.name for curve in self.curves]
        self._features = _features(self.curves, shape)
        own = [curve.fractions(shape.points, self.axes).detach() for curve in self.curves]
        # an open curve leaves its last node to the one that starts there
        self._fractions = [f if c.closed else f[:-1] for c, f in zip(self.curves, own, strict=True)]
        nodes = [c.nodes[: len(f)] for c, f in zip(self.curves, self._fractions, strict=True)]
        self.nodes: Int[np.ndarray, " B"] = np.concatenate(nodes)
        self.fixed = len(self.nodes)
        begins = {int(curve.nodes[0]): k for k, curve in enumerate(self.curves)}
        self._next = [begins[int(curve.nodes[-1])] for curve in self.curves]

    def place(self, shape: Shape) -> Placement:
        """Where `nodes` come to lie on the boundary of another shape.

        Raises:
            ValueError: other parts, holes or corners than the reference; the same ones in another
                order.
        """
        curves = outline(shape, self.sharp)
        names = [curve.name for curve in curves]
        order = matched(
            names, _features(curves, shape), self._names, self._features, "curves between corners"
        )
        chosen = [curves[k] for k in order]
        for k, (curve, wanted) in enumerate(zip(chosen, self.curves, strict=True)):
            follower = chosen[self._next[k]]
            if curve.closed != wanted.closed or curve.nodes[-1] != follower.nodes[0]:
                raise ValueError(
                    f"correspondence: the boundary goes on otherwise behind part {curve.name!r} "
                    "than in the reference; its corners, or the order of the parts around the "
                    "shape, are others. Name the parts apart, or leave the shape out"
                )
        axes = self.axes.to(shape.points.device)
        rows = [
            curve.at(shape.points, f.to(axes.device), axes)
            for curve, f in zip(chosen, self._fractions, strict=True)
        ]
        return Placement.joined(rows)


def _features(curves: list[Curve], shape: Shape) -> Float[np.ndarray, "P f"]:
    points = shape.numbers
    centres = np.array([curve.centre(points) for curve in curves])
    chords = np.array([curve.chord(points) for curve in curves])
    return features(centres, chords, points)
