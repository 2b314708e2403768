"""Shape parameters that make a surrogate's answer least, by its gradient."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor
from torch_geometric.data import Data

from meshgnn.mesh.topology import boundary
from meshgnn.operators import hat_gradients, lumped_mass

_KIND = ("vertex", "line", "triangle", "tetra")


@dataclass(frozen=True, eq=False)
class Optimum:
    """Where an objective J is least, and how it got there.

    Args:
        parameters: p* [P].
        value: J(p*).
        start: p_0 [P], the start that was given; of restarts the random ones do not count.
        start_value: J(p_0).
        path: [K, P] all parameters that were asked for in the run that came to p*.
        values: J [K].
        evaluations: of J and its gradient, in all runs.
    """

    parameters: Float[np.ndarray, " P"]
    value: float
    start: Float[np.ndarray, " P"]
    start_value: float
    path: Float[np.ndarray, "K P"]
    values: Float[np.ndarray, " K"]
    evaluations: int

    @property
    def gain(self) -> float:
        """J(p_0) - J(p*), as the objective sees it; ask finite elements for the true one."""
        return self.start_value - self.value


@dataclass(frozen=True)
class Gain:
    """A gain that a surrogate promised, its error bar, and the true one.

    Args:
        promised: J(p_0) - J(p*) by the surrogate.
        deviation: σ of it. Of a regression with deviations at both ends √(σ(p_0)² + σ(p*)²), as if
            the errors there had nothing in common; of an ensemble that of its members' gains.
        true: by finite elements on the same two shapes.
        factor: half width of the band in deviations; 1.96 covers 95 % of a normal distribution, of
            few members take that of Student's t.
    """

    promised: float
    deviation: float
    true: float
    factor: float = 1.96

    @property
    def band(self) -> float:
        """Half width of the band."""
        return self.factor * self.deviation

    @property
    def off(self) -> float:
        """|promised - true| / |true|; infinite where nothing was gained in truth."""
        error = abs(self.promised - self.true)
        return error / abs(self.true) if self.true else (np.inf if error else 0.0)

    @property
    def told(self) -> bool:
        """Whether the true gain is within the band."""
        return abs(self.promised - self.true) <= self.band

    def __str__(self) -> str:
        place = "within" if self.told else "outside of"
        return (
            f"gain promised {self.promised:.4g} ± {self.band:.2g}, true {self.true:.4g}: "
            f"off by {self.off:.1%}, {place} the band"
        )


def optimise(
    objective: Callable[[Float[Tensor, " P"]], Float[Tensor, ""]],
    bounds: Float[np.ndarray, "P _"],
    start: Float[np.ndarray, " P"] | None = None,
    *,
    accept: Callable[[Float[np.ndarray, " P"]], bool] | None = None,
    restarts: int = 0,
    seed: int = 0,
    iterations: int = 50,
) -> Optimum:
    """p* = argmin J(p) over l <= p <= u, by L-BFGS-B with the gradient of autograd.

    J is any function of a float64 tensor [P] that torch can differentiate: a graph model or `MMGP`
    (its field, or one of its `scalars`, with or without a multiple of their deviation) on
    `moved_graph(graph, morph.points(p))`, a regression in p itself, a penalised sum of both. A
    local minimum is found; `restarts` more runs begin at random parameters. The surrogate is
    exploited where it errs: compare `Optimum.gain` with that of a true solution, see `Gain`, and
    keep bounds where there were training data.

    Args:
        objective: J.
        bounds: [l, u] of every parameter, such as `Morph.bounds`.
        start: p_0; None for 0, as near as the bounds allow.
        accept: whether parameters are allowed, such as those of valid meshes; of what was asked
            for the best allowed is returned.
        restarts: further runs.
        seed: of their starts.
        iterations: of each run, at most.

    Raises:
        ValueError: bounds or a start that do not fit; an objective that is no scalar, not finite or
            not differentiable, or raises one itself (a folded reference); nothing accepted.

    Source: Byrd, Lu, Nocedal, Zhu, SIAM J. Sci. Comput. 16 (1995) 1190-1208 (L-BFGS-B).
    """
    if bounds.shape[1:] != (2,) or not np.isfinite(bounds).all() or (np.diff(bounds) < 0).any():
        raise ValueError("optimise: expected finite bounds [P, 2] with the lower value first")
    low, high = bounds.T
    first = np.clip(np.zeros(len(low)), low, high) if start is None else start
    if first.shape != low.shape or (first < low).any() or (first > high).any():
        raise ValueError(
            f"optimise: expected a start of {len(low)} parameters within the bounds, got {first}"
        )
    rng = np.random.default_rng(seed)
    starts = [first, *(rng.uniform(low, high) for _ in range(restarts))]
    runs = [_run(objective, bounds, point, iterations) for point in starts]
    best: Optimum | None = None
    total = sum(len(values) for _, values in runs)
    begin = runs[0][0][0], float(runs[0][1][0])
    for path, values in runs:
        for k in np.argsort(values, kind="stable"):
            if accept is None or accept(path[k]):
                found = Optimum(path[k], float(values[k]), *begin, path, values, total)
                best = found if best is None or found.value < best.value else best
                break
    if best is None:
        raise ValueError(
            f"optimise: none of {total} parameters that were asked for was accepted; start from "
            "accepted ones"
        )
    return best


def _run(
    objective: Callable[[Tensor], Tensor],
    bounds: Float[np.ndarray, "P _"],
    start: Float[np.ndarray, " P"],
    iterations: int,
) -> tuple[Float[np.ndarray, "K P"], Float[np.ndarray, " K"]]:
    path, values = [], []
    # parameters of different size, such as lengths and angles, are compared by their bounds
    width = np.ptp(bounds, axis=1)
    scale = np.where(width > 0, width, 1.0)

    def asked(q: np.ndarray) -> tuple[float, np.ndarray]:
        p = torch.tensor(np.clip(q * scale, *bounds.T), requires_grad=True)
        value, slope = _evaluated(objective, p)
        path.append(p.detach().numpy().copy())
        values.append(float(value.detach()))
        return values[-1], slope.numpy() * scale

    limits = np.column_stack([bounds[:, 0] / scale, bounds[:, 1] / scale])
    options = {"maxiter": iterations}
    minimize(asked, start / scale, jac=True, bounds=limits, method="L-BFGS-B", options=options)
    return np.stack(path), np.array(values)


def _evaluated(objective: Callable[[Tensor], Tensor], p: Tensor) -> tuple[Tensor, Tensor]:
    """J(p) and its gradient."""
    try:
        value = objective(p)
    except ValueError as error:
        raise ValueError(f"optimise: at {p.tolist()}: {error}. Narrow the bounds") from error
    if value.numel() != 1 or not value.requires_grad:
        raise ValueError(
            "optimise: expected the objective to be a scalar that depends on the parameters, got "
            f"a tensor of shape {tuple(value.shape)} with requires_grad {value.requires_grad}"
        )
    (slope,) = torch.autograd.grad(value.sum(), p)
    if not torch.isfinite(value).all() or not torch.isfinite(slope).all():
        raise ValueError(f"optimise: the objective or its gradient is not finite at {p.tolist()}")
    return value, slope


def moved_graph(graph: Data, points: Float[Tensor, "N d"]) -> Data:
    """The graph with its nodes elsewhere: positions, mass, normals and areas follow, with gradient.

    Values at nodes (inputs, boundary values) stay what they are at each node; loads of fluxes
    change as the boundary around their node does. Models whose `transform` prepares a graph from
    its positions do not see the change: give them a graph without it.

    Args:
        graph: of a mesh of simplices whose dimension is d, not periodic.
        points: x [N, d], such as `Morph.points(p)`.

    Raises:
        ValueError: another number of points; a surface or curve in space, or a periodic graph.
    """
    simplices, d = graph.simplex_index.t(), graph.pos.shape[1]
    if points.shape != graph.pos.shape:
        raise ValueError(
            f"moved_graph: expected points {tuple(graph.pos.shape)}, got {tuple(points.shape)}"
        )
    if simplices.shape[1] != d + 1 or "period" in graph:
        raise ValueError(
            "moved_graph: expected a plane or solid mesh that is not periodic, got simplices of "
            f"{simplices.shape[1]} corners in {d} dimensions"
        )
    x = points - points.mean(dim=0)
    normal, area = _boundary(x, simplices)
    ratio = torch.where(area > 0, area / graph.area.clamp(min=1e-30), 1.0)[:, None]
    moved = graph.clone()
    dtype = graph.pos.dtype
    moved.pos, moved.normal, moved.area = x.to(dtype), normal.to(dtype), area.to(dtype)
    moved.mass = lumped_mass(x, simplices).to(dtype)
    moved.flux_load = graph.flux_load * ratio.to(dtype)
    moved.robin_load = graph.robin_load * ratio.to(dtype)
    return moved


def _boundary(
    x: Float[Tensor, "N d"], simplices: Tensor
) -> tuple[Float[Tensor, "N d"], Float[Tensor, " N"]]:
    """Unit outward normals and lumped areas of the boundary nodes; 0 inside.

    The normal of a facet times its area is -d |s| ∇φ of the corner opposite to it.
    """
    d = x.shape[1]
    rows = boundary({_KIND[d]: simplices.cpu().numpy()}, len(x))
    facets, owner = (torch.as_tensor(part, device=x.device) for part in next(iter(rows.values())))
    hats, volume = hat_gradients(x, simplices)
    own = simplices[owner]
    opposite = (own[:, :, None] != facets[:, None, :]).all(dim=2)
    outward = -d * volume[owner].abs()[:, None] * hats[owner][opposite]
    total = x.new_zeros(x.shape).index_add(0, facets.reshape(-1), outward.repeat_interleave(d, 0))
    share = (outward.norm(dim=1) / d).repeat_interleave(d)
    area = x.new_zeros(len(x)).index_add(0, facets.reshape(-1), share)
    length = total.square().sum(dim=1, keepdim=True)
    inside = length == 0
    # a root has no slope at 0
    normal = total / torch.where(inside, 1.0, length).sqrt()
    return torch.where(inside, 0.0, normal), area
