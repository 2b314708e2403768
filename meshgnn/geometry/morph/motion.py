"""Rigid motion and scaling of a named part, which the rest follows."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from meshgnn.geometry.morph.body import Body
from meshgnn.geometry.morph.deformation import Deformation, symmetric


@dataclass(frozen=True, eq=False)
class Motion:
    """u = ((1 + s) R(ω) - I) (x - c) + t on a part: shift t, turn ω, scaling s about a centre c.

    R is the rotation by ω (rad) in the plane, by |ω| about ω / |ω| in space. The parameters are
    those of t, ω, s whose largest value is not 0, in this order.

    Args:
        part: a group of any dimension: a hole, a face, a region of cells.
        shift: largest |t_a| / diagonal of the bounding box.
        turn: largest |ω_a|, rad.
        scale: largest |s|, below 1.
        centre: c; None for the mean of the part's nodes.
        extension: how the rest follows, see `Body.extended`.

    Raises:
        ValueError: nothing that moves, or values out of their range.
    """

    part: str
    shift: float = 0.03
    turn: float = 0.0
    scale: float = 0.0
    centre: Float[np.ndarray, " d"] | None = None
    extension: str = "elastic"

    def __post_init__(self) -> None:
        values = (self.shift, self.turn, self.scale)
        if not any(values) or min(values) < 0 or self.scale >= 1 or not np.isfinite(values).all():
            raise ValueError(
                "Motion: expected shift, turn >= 0 and 0 <= scale < 1, not all of them 0, got "
                f"{values}"
            )

    def deformation(self, body: Body) -> Deformation:
        """See `Deformation`. Raises: ValueError: arguments that do not fit the mesh."""
        points = body.mesh.points
        d = points.shape[1]
        moved = body.marked(body.mesh.nodes_of(self.part))
        if shared := int((moved & body.fixed_nodes).sum()):
            raise ValueError(
                f"Motion: {self.part!r} has {shared} nodes in common with fixed parts; it cannot "
                "move as a whole"
            )
        if not moved.any():
            raise ValueError(f"Motion: part {self.part!r} is empty; name one that has nodes")
        if d == 1 and not (self.shift or self.scale):
            raise ValueError("Motion: nothing turns in 1D; give a shift or a scale")
        centre = points[moved].mean(axis=0) if self.centre is None else self.centre
        # the affine maps e_a (x - c)_b and e_a
        shape = np.column_stack([points - centre, np.ones(len(points))])
        affine = np.einsum("ac,nb->nacb", np.eye(d), shape).reshape(len(points), d, -1)
        given = moved | body.around(moved)
        modes = body.extended(np.where(moved[:, None, None], affine, 0.0), given, self.extension)
        turns = {1: 0, 2: 1, 3: 3}[d] if self.turn else 0
        shifts, scales = d if self.shift else 0, int(self.scale > 0)
        size = [self.shift * body.diagonal] * shifts + [self.turn] * turns + [self.scale] * scales
        words = ["shift." + a for a in "xyz"[:shifts]]
        words += ["turn"] if turns == 1 else ["turn." + a for a in "xyz"[:turns]]
        names = [f"{self.part} {word}" for word in [*words, *["scale"] * scales]]
        return Deformation(
            modes,
            symmetric(np.array(size)),
            names,
            coefficients=_Affine(d, shifts, turns, scales),
        )


@dataclass(frozen=True)
class _Affine:
    """p -> [(1 + s) R - I | t], row by row; parameters that are absent are 0."""

    d: int
    shifts: int
    turns: int
    scales: int

    def __call__(self, p: Float[Tensor, " P"]) -> Float[Tensor, " K"]:
        shift, turn, scale = p.split([self.shifts, self.turns, self.scales])
        matrix = _rotation(turn, self.d) * (1 + scale.sum())
        shift = shift if self.shifts else p.new_zeros(self.d)
        eye = torch.eye(self.d, dtype=p.dtype, device=p.device)
        return torch.cat([matrix - eye, shift[:, None]], dim=1).reshape(-1)


def _rotation(turn: Float[Tensor, " r"], d: int) -> Float[Tensor, "d d"]:
    """exp of the skew matrix of ω, differentiable at 0 too."""
    skew = turn.new_zeros(d, d)
    if len(turn) == 1:
        skew = turn * torch.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=turn.dtype, device=turn.device)
    elif len(turn) == 3:
        axes = torch.zeros(3, 3, 3, dtype=turn.dtype, device=turn.device)
        for a, b, c in ((0, 2, 1), (1, 0, 2), (2, 1, 0)):
            axes[a, b, c], axes[a, c, b] = 1.0, -1.0
        skew = torch.einsum("a,abc->bc", turn, axes)
    return torch.linalg.matrix_exp(skew)
