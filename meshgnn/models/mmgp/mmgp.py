"""`MMGP`: fields on varying shapes from few samples, with error bars."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from meshgnn.losses import one_step
from meshgnn.models.mmgp.buffers import sized_by_checkpoint
from meshgnn.models.mmgp.describing import Described, Description
from meshgnn.models.mmgp.gaussian_process import GaussianProcesses
from meshgnn.models.mmgp.laying import Family
from meshgnn.models.mmgp.modes import Modes

_BAND = 1.96  # half width of the 95 % band of a normal distribution, in standard deviations


class MMGP(nn.Module):
    """û(x) = Σ_k E[y_k | z] φ_k(ξ(x)):  morph, compress, regress; in closed form, no epochs.

    1. A reference mesh, that of the sample nearest to the mean shape, is laid over every shape by
       its named parts, see `correspondence.Reference`; fields go there and back by linear
       interpolation.
    2. z: principal components of the shapes (coordinates of the laid reference about their mean)
       and of the data on them (inputs, Dirichlet values, fluxes), and the parameters θ.
    3. y: principal components of the solution on the reference.
    4. One Gaussian process z -> y_k for each k, see `GaussianProcesses`.

    The band σ of `uncertainty` adds up the variances of the y_k and what the modes and the
    interpolation leave out; a factor for each component widens or narrows it so that, with every
    training sample left out in turn, 95 % of the nodal values are within 1.96 σ, times
    √(n / (n − q)), for the length scales have seen the samples left out.

    `meshgnn.fit(model, dataset, epochs=1)` fits it: there are no weights to descend on. Samples are
    for a few to some hundred shapes (cost grows as their number cubed). Gradients of fields and
    scalars with respect to `graph.pos` are those of the whole chain, the morphing included. Shapes
    that vary as those of the training, but more, get wide bands; ones that vary in other ways, and
    data that never varied, a warning; a folded reference is an error. Not covered: changes of
    topology, periodic meshes, problems in time, fields with fronts whose place moves against the
    shape (their modes decay slowly).

    Args:
        dim: d, 2 or 3 (tetrahedra).
        channels: C, components of the solution.
        inputs: F, columns of `a`.
        params: P, columns of θ.
        linear: columns of `a` that the solution is linear in, together with the Dirichlet values
            and the fluxes (sources, forces): those are divided by their size A, û is multiplied by
            it, and the processes need not learn this. None for problems that are not linear.
        kernel: "matern52" or "rbf" (infinitely smooth).
        shape_tolerance: what the modes of shapes and data may leave out, as a share of their
            spread.
        field_tolerance: what those of the solution may leave out.
        modes: largest number of modes of each.
        sharp: angle of the boundary, rad, from which on it is a corner.
        parts: names of the boundary; found by the fit.
        scalars: names of the scalar outputs; found by `fit_scalars`.

    Raises:
        ValueError: sizes out of range, an unknown kernel; shapes that are not of one family; a call
            before the fit.

    Source: Casenave, Staber & Roynard, MMGP: a Mesh Morphing Gaussian Process-based machine
    learning method for regression of physical problems under non-parameterized geometrical
    variability, NeurIPS 2023. There morphing is by RBF or Tutte's embedding onto a disc.
    """

    rest: Tensor
    factor: Tensor
    sizes: Tensor
    loss = staticmethod(one_step)
    transform = None

    def __init__(
        self,
        dim: int = 2,
        channels: int = 1,
        inputs: int = 2,
        params: int = 0,
        linear: list[int] | None = None,
        kernel: str = "matern52",
        shape_tolerance: float = 1e-2,
        field_tolerance: float = 1e-3,
        modes: int = 40,
        sharp: float = 1.0471975511965976,
        parts: list[str] | None = None,
        scalars: list[str] | None = None,
    ) -> None:
        super().__init__()
        parts, scalars = list(parts or []), list(scalars or [])
        self.hparams = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        for name, least in {"channels": 1, "inputs": 0, "params": 0, "modes": 1}.items():
            if (size := self.hparams[name]) < least:
                raise ValueError(f"MMGP: expected {name} of at least {least}, got {size}")
        if dim not in (2, 3):
            raise ValueError(f"MMGP: expected dim of 2 or 3, got {dim}")
        if not set(linear or ()) <= set(range(inputs)):
            raise ValueError(
                f"MMGP: expected linear to name columns 0 to {inputs - 1}, got {linear}"
            )
        family = Family(dim, parts, sharp)
        self.description = Description(family, params, linear, shape_tolerance, modes)
        self.fields = Modes(field_tolerance, modes)
        self.processes, self.totals = GaussianProcesses(kernel), GaussianProcesses(kernel)
        for name, shape in {"rest": (0, 0), "factor": (channels,), "sizes": (2,)}.items():
            self.register_buffer(name, torch.ones(shape, dtype=torch.float64))
        sized_by_checkpoint(self)

    def fit_statistics(self, graphs: list[Data]) -> None:
        """The whole fit, from graphs with y.

        Raises:
            ValueError: fewer than 3 graphs; shapes that are not of one family.
        """
        if len(graphs) < 3:
            raise ValueError(f"MMGP: expected at least 3 samples, got {len(graphs)}")
        found = self.description.fit(graphs)
        with torch.no_grad():
            own = [g.y[:, 0].double() / e.size for e, g in zip(found, graphs, strict=True)]
            truth = [e.laid.to_reference(u) for e, u in zip(found, own, strict=True)]
            y = self.fields.fit(torch.stack(truth), self.description.family.mass())
        self.processes.fit(torch.stack([each.z for each in found]), y)
        with torch.no_grad():
            self.rest = self._left_out_by_modes(found, own, truth, y)
            self._calibrate(found, own, [graph.dirichlet_mask for graph in graphs])

    def fit_scalars(self, graphs: list[Data], values: dict[str, Float[Tensor, " n"]]) -> None:
        """Further outputs, one number a sample each, by processes of their own on z (and A).

        Args:
            graphs: of the samples; `fit` comes first.
            values: by name, in the order of the graphs.

        Raises:
            ValueError: another number of values than of graphs, values that are not finite; a call
                before the fit.
        """
        for name, column in values.items():
            if column.shape != (len(graphs),):
                raise ValueError(
                    f"MMGP.fit_scalars: expected {len(graphs)} values of {name!r}, one a graph, "
                    f"got shape {list(column.shape)}"
                )
            if not column.isfinite().all():
                raise ValueError(
                    f"MMGP.fit_scalars: expected finite values of {name!r}, got "
                    f"{int((~column.isfinite()).sum())} that are not"
                )
        with torch.no_grad():
            found = [self._described(graph) for graph in graphs]
            size = torch.stack([each.size for each in found])
            # of sizes that differ by rounding only nothing is learned
            spread = torch.where(size.std() > 1e-9 * size.mean(), size.std(), 1.0)
            self.sizes = torch.stack([size.mean(), spread])
            z = torch.stack([self._with_size(each) for each in found])
        self.totals.fit(z, torch.stack([v.to(z) for v in values.values()], dim=1))
        self.hparams["scalars"][:] = list(values)

    def scalars(self, graph: Data) -> dict[str, tuple[Float[Tensor, ""], Float[Tensor, ""]]]:
        """Mean and standard deviation of every scalar output, differentiable in `graph.pos`."""
        mean, variance = self.totals(self._with_size(self._described(graph))[None])
        names = self.hparams["scalars"]
        return dict(zip(names, zip(mean[0], variance[0].sqrt(), strict=True), strict=True))

    def forward(self, graph: Data) -> Float[Tensor, "N 1 C"]:
        """The mean field, equal to the boundary values where they are prescribed."""
        return torch.cat([self._mean(part) for part in _single(graph)])[:, None]

    def uncertainty(self, graph: Data) -> Float[Tensor, "N 1 C"]:
        """σ of every nodal value; 0 where they are prescribed."""
        return torch.cat([self._deviation(part) for part in _single(graph)])[:, None]

    def _described(self, graph: Data) -> Described:
        if not len(self.processes.inputs):
            raise ValueError("MMGP: it is not fitted; call fit with a data set of solved samples")
        return self.description(graph)

    def _with_size(self, found: Described) -> Float[Tensor, " _"]:
        if self.hparams["linear"] is None:
            return found.z
        return torch.cat([found.z, ((found.size - self.sizes[0]) / self.sizes[1])[None]])

    def _mean(self, graph: Data) -> Float[Tensor, "N C"]:
        found = self._described(graph)
        y, _ = self.processes(found.z[None])
        out = (found.size * found.laid.to_shape(self.fields.decode(y[0]))).to(graph.pos.dtype)
        return torch.where(graph.dirichlet_mask, graph.dirichlet[:, 0], out)

    def _deviation(self, graph: Data) -> Float[Tensor, "N C"]:
        found = self._described(graph)
        _, variance = self.processes(found.z[None])
        out = found.size * self.factor * self._band(found, variance[0])
        return out.to(graph.pos.dtype).masked_fill(graph.dirichlet_mask, 0.0)

    def _band(self, found: Described, variance: Float[Tensor, " K"]) -> Float[Tensor, "N C"]:
        square = found.laid.to_shape(self.fields.spread(variance) + self.rest)
        return square.clamp(min=0).sqrt()

    def _left_out_by_modes(
        self, found: list[Described], own: list[Tensor], truth: list[Tensor], y: Tensor
    ) -> Float[Tensor, "R C"]:
        """Mean squares of what the modes and the interpolation leave out."""
        parts = []
        for each, u, v, coefficients in zip(found, own, truth, y, strict=True):
            lost = each.laid.to_reference((each.laid.to_shape(v) - u) ** 2)
            parts.append((self.fields.decode(coefficients) - v) ** 2 + lost)
        return torch.stack(parts).mean(dim=0)

    def _calibrate(self, found: list[Described], own: list[Tensor], masks: list[Tensor]) -> None:
        """The factor with which 95 % of the values of left-out samples are within 1.96 σ."""
        ratios = []
        rows = zip(found, own, masks, *self.processes.left_out(), strict=True)
        for each, u, mask, mean, variance in rows:
            error = (each.laid.to_shape(self.fields.decode(mean)) - u).abs()
            band = self._band(each, variance)
            ratio = error / torch.where(band > 0, band, torch.inf)
            ratios.append(ratio.masked_fill(mask, torch.nan))
        n, q = self.processes.inputs.shape
        factor = torch.cat(ratios).nanquantile(0.95, dim=0) / _BAND * (n / max(n - q, 1)) ** 0.5
        self.factor = torch.where(factor > 0, factor, 1.0)


def _single(graph: Data) -> list[Data]:
    return graph.to_data_list() if isinstance(graph, Batch) else [graph]
