"""What the processes see of a sample: coefficients of its shape and of its data."""

import warnings
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.correspondence import Correspondence
from meshgnn.models.mmgp.buffers import sized_by_checkpoint
from meshgnn.models.mmgp.laying import Family
from meshgnn.models.mmgp.modes import Modes

# What modes may leave out of a new shape or its data, in units of the spread of the training set.
_MISSED = 0.3


@dataclass(frozen=True, eq=False)
class Described:
    """One graph as the processes see it.

    Args:
        laid: the reference over its mesh.
        z: [q] its coefficients, of mean 0 and variance 1 over the training set.
        size: A, what its solution is to be divided by.
    """

    laid: Correspondence
    z: Float[Tensor, " q"]
    size: Float[Tensor, ""]


class Description(nn.Module):
    """z = (shape, inputs, boundary data, θ), each by its principal components on the reference.

    The shape are the coordinates of the laid reference about their mean, for graphs do not say
    where their shape is. With `linear`, data that the solution is linear in are divided by

        A² = mean over their columns of (mean square on this sample / that over the training set).

    What the components cannot say of a sample is not in z, nor in the band: data that never varied
    in training, a condition of another kind on a part, a shape that varies in other ways. `forward`
    warns of it.

    Args:
        family: the reference.
        params: P, columns of θ.
        linear: columns of `a` among these data; None where the problem is not linear.
        tolerance, modes: of `Modes`.
    """

    theta: Tensor
    squares: Tensor
    held: Tensor

    def __init__(
        self, family: Family, params: int, linear: list[int] | None, tolerance: float, modes: int
    ) -> None:
        super().__init__()
        self.family, self.linear = family, linear
        self.shapes, self.data = Modes(tolerance, modes), Modes(tolerance, modes)
        self.rim = Modes(tolerance, modes)
        self.register_buffer("theta", torch.zeros(2, params, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(0, dtype=torch.float64))
        self.register_buffer("held", torch.zeros(0, 0, dtype=torch.float64))
        sized_by_checkpoint(self)

    @torch.no_grad()
    def fit(self, graphs: list[Data]) -> list[Described]:
        """Find the reference and all components; the description of every graph.

        Raises:
            ValueError: shapes that are not of one family, with the number of the first.
        """
        self.family.fit(graphs)
        laid = [self.family.over(graph) for graph in graphs]
        mass = self.family.mass()
        self.shapes.fit(torch.stack([self._coordinates(each) for each in laid]), mass)
        fields = [e.to_reference(g.a.double()) for e, g in zip(laid, graphs, strict=True)]
        rims = [e.rim.data(_rim(g)) for e, g in zip(laid, graphs, strict=True)]
        found = [self._mean_squares(f, r, g) for f, r, g in zip(fields, rims, graphs, strict=True)]
        self.squares = torch.stack(found).mean(dim=0)
        scaled = [self._scaled(f, r, g) for f, r, g in zip(fields, rims, graphs, strict=True)]
        self.data.fit(torch.stack([f for f, _, _ in scaled]), mass)
        rim = torch.stack([r for _, r, _ in scaled])
        self.rim.fit(rim, torch.ones_like(rim[0, :, 0]))
        masks = [e.rim.data(_held(g)) for e, g in zip(laid, graphs, strict=True)]
        self.held = torch.stack(masks).mean(dim=0)
        theta = torch.cat([graph.theta for graph in graphs]).double()
        mean = theta.mean(dim=0)
        spread = ((theta - mean) ** 2).mean(dim=0).sqrt()
        spread = torch.where(spread > 1e-6 * theta.abs().amax(dim=0), spread, 1.0)
        self.theta = torch.stack([mean, spread])
        return [self._described(*each) for each in zip(laid, graphs, strict=True)]

    def forward(self, graph: Data) -> Described:
        """Of one graph; warns where it differs from the training set in ways that z cannot say.

        Raises: ValueError: a shape of another family; a reference that folds.
        """
        return self._described(self.family.over(graph), graph, new=True)

    def _described(self, laid: Correspondence, graph: Data, new: bool = False) -> Described:
        shape = self._coordinates(laid)
        coefficients = [self.shapes.encode(shape)]
        # without them nothing is to be interpolated, which takes half of the time
        needs = len(self.data) or bool((self.squares[: len(self.linear or ())] > 0).any())
        data = (
            laid.to_reference(graph.a.double())
            if needs
            else graph.a.new_zeros(len(self.family.points), graph.a.shape[1]).double()
        )
        data, rim, size = self._scaled(data, laid.rim.data(_rim(graph)), graph)
        if len(self.data):
            coefficients.append(self.data.encode(data))
        if len(self.rim):
            coefficients.append(self.rim.encode(rim))
        if new:
            self._warn(shape, data if needs else graph.a.double(), rim, laid.rim.data(_held(graph)))
        coefficients.append((graph.theta[0].double() - self.theta[0]) / self.theta[1])
        return Described(laid, torch.cat(coefficients), size)

    @torch.no_grad()
    def _warn(
        self,
        shape: Float[Tensor, "R d"],
        data: Float[Tensor, "Q F"],
        rim: Float[Tensor, "B G"],
        held: Float[Tensor, "B C"],
    ) -> None:
        reasons = []
        for modes, field, title in (
            (self.shapes, shape, "coordinates"),
            (self.data, data, "inputs"),
            (self.rim, rim, "Dirichlet values, fluxes and Robin coefficients"),
        ):
            if columns := modes.strange(field):
                reasons.append(f"columns {columns} of its {title} never varied there, and do here")
            if len(modes) and len(field) == len(modes.mean):
                missed = modes.missed(field, modes.encode(field))
                if missed > max(_MISSED, 2 * float(modes.left)):
                    reasons.append(f"its {title} are {missed:.1f} deviations off all that was seen")
        always = ((self.held - 0.5).abs() > 0.499) & ((held - self.held).abs() > 0.5)
        if count := int(always.any(dim=1).sum()):
            reasons.append(f"conditions are of another kind at {count} of {len(held)} places")
        if reasons:
            warnings.warn(
                "MMGP: this sample differs from those of the training in ways that the model does "
                f"not see, so that neither field nor band can be trusted: {'; '.join(reasons)}. "
                "Train on samples that vary like it",
                stacklevel=2,
            )

    def _coordinates(self, laid: Correspondence) -> Float[Tensor, "R d"]:
        mass = self.family.mass()
        return laid.points - mass @ laid.points / mass.sum()

    def _mean_squares(
        self, data: Float[Tensor, "R F"], rim: Float[Tensor, "B G"], graph: Data
    ) -> Float[Tensor, " k"]:
        """Of the columns that the solution is linear in."""
        if self.linear is None:
            return data.new_zeros(0)
        mass, both = self.family.mass(), 2 * graph.dirichlet.shape[2]
        inside = mass @ data[:, self.linear] ** 2 / mass.sum() if self.linear else data.new_zeros(0)
        return torch.cat([inside, (rim[:, :both] ** 2).mean(dim=0)])

    def _scaled(
        self, data: Float[Tensor, "R F"], rim: Float[Tensor, "B G"], graph: Data
    ) -> tuple[Float[Tensor, "R F"], Float[Tensor, "B G"], Float[Tensor, ""]]:
        """The data with what the solution is linear in divided by A, and A."""
        one = torch.ones((), dtype=data.dtype, device=data.device)
        if self.linear is None:
            return data, rim, one
        there = self.squares > 0
        ratio = self._mean_squares(data, rim, graph)[there] / self.squares[there]
        size = ratio.mean().sqrt() if there.any() else one
        size = torch.where(size > 0, size, one)
        each = torch.ones_like(data[0])
        each[self.linear] = size
        both = torch.arange(rim.shape[1], device=rim.device) < 2 * graph.dirichlet.shape[2]
        return data / each, rim / torch.where(both, size, one), size


def _rim(graph: Data) -> Float[Tensor, "N G"]:
    """The data on the boundary; the first two groups of columns scale with the solution."""
    return torch.cat([graph.dirichlet[:, 0], graph.flux, graph.robin], dim=1).double()


def _held(graph: Data) -> Float[Tensor, "N C"]:
    """1 where a value is prescribed."""
    return graph.dirichlet_mask.double()
