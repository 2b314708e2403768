"""The field at any point and time from the values at few nodes of a mesh."""

import copy
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.decoders.linear import weighted_sum
from meshgnn.graph import dirichlet_at
from meshgnn.losses.steady import free_mean_square
from meshgnn.marching import evaluating, ready
from meshgnn.marching.start import first_graph, known_states, step_of
from meshgnn.models.observer.asking import check_asked, check_hparams, given_sensors, imposed
from meshgnn.models.observer.in_time import time_weights
from meshgnn.models.observer.reader import Reader
from meshgnn.models.observer.sources import SENSOR, Sources, View, chosen_sensors
from meshgnn.models.observer.stepper import Stepper
from meshgnn.nn import Standardise

_PAIRS = 2**18  # pairs of points and sources at a time: some 40 MB a tensor


def observed(model: Any, graph: Data) -> Float[Tensor, ""]:
    """Mean square error at the sensors alone, in units of the spread of the increments.

    In training the model leaves some sensors out: at these it learns what is between sensors, at
    the others how they go on. Nothing but the values at the sensors is read of the data.
    """
    part = copy.copy(graph)
    part.asked = graph.sensor == SENSOR
    error = model(part) - graph.y[part.asked]
    rows = Data(mass=graph.mass[part.asked], dirichlet_mask=graph.dirichlet_mask[part.asked])
    return free_mean_square(model, rows, error)


class Observer(nn.Module):
    """u(x, t) = û + σ r,   û = Σ_j λ_j(x) v_j(t),  v_j(t) = Σ_k W_k(t) v_jk,  z_j(t) likewise.

    v_jk and z_jk are values and states of the sources j in frame k, marched by `Stepper` on the
    graph of the sources: the sensors, and the nodes where all components are prescribed, which are
    known at all times. λ interpolates in space and reproduces linear functions, W in time
    (`time_weights`); r is what attention over the sources around x adds (`Reader`). At the start
    the values stay as they are and r = 0: the field is the interpolation of the last known values.

    Of the K known states only the values at the sources are read. Sensors are a share of the nodes,
    chosen by `transform` from their places, unless graphs bring `sensor` [N] (1 for sensors, 2
    where all components are prescribed, else 0) or `at` is told. In training every graph leaves
    out a random part of them, on average `drop`, so that predictions depend little on which nodes
    have sensors. With the default loss nothing else is learned from (partial observations); where
    training data are known everywhere, `fit(loss=losses.one_step)` learns from all nodes.

    The field is continuous in x and t, the cost is linear in the number of query points, and a
    translation of the mesh changes nothing. Sources see each other across holes and thin walls.
    Not covered: equations whose state is not in u, and time steps other than the trained one.

    Args:
        dim: d.
        channels: C.
        inputs: F, columns of `a`, read at the sources.
        params: P.
        history: K.
        bundle: S, frames that a call gives.
        width: H of the states.
        blocks: message passing layers of a step.
        stride: frames of a step; divides `bundle`.
        links: sensors that each is linked with.
        neighbours: k, sensors around a query point.
        hidden: of the attention.
        heads: of the attention; divides `hidden`.
        share: sensors over nodes.
        sampling: "farthest" or "random" points.
        drop: mean share of the sensors that are left out in training, at most 1/2; with 0 and the
            default loss nothing is learned of what lies between sensors.
        seed: of the choice of sensors.

    Raises:
        ValueError: a size below its least value or no divisor, an unknown sampling, shares out of
            range.

    Source: Janny, Nadri, Digne & Wolf, Space and time continuous physics simulation from partial
    observations, ICLR 2024.
    """

    loss = staticmethod(observed)

    def __init__(
        self,
        dim: int = 2,
        channels: int = 1,
        inputs: int = 0,
        params: int = 0,
        history: int = 2,
        bundle: int = 10,
        width: int = 64,
        blocks: int = 3,
        stride: int = 2,
        links: int = 6,
        neighbours: int = 12,
        hidden: int = 32,
        heads: int = 4,
        share: float = 0.1,
        sampling: str = "farthest",
        drop: float = 0.25,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.hparams = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        check_hparams(self.hparams)
        self.dim, self.channels, self.history = dim, channels, history
        self.links, self.neighbours, self.drop = links, neighbours, drop
        self.share, self.sampling, self.seed = share, sampling, seed
        self.stepper = Stepper(dim, channels, inputs, params, history, width, blocks, stride)
        self.reader = Reader(dim, channels, width, hidden, heads)
        self.scale_out = Standardise(channels)

    def transform(self, graph: Data) -> Data:
        """The kind of every node, where the graph does not say which are sensors."""
        if "sensor" not in graph:
            least = self.dim + 2
            graph.sensor = chosen_sensors(graph, self.share, self.sampling, self.seed, least)
        return graph

    @torch.no_grad()
    def fit_statistics(self, graphs: list[Data]) -> None:
        """All normalisation from the values at the sensors of the training graphs."""
        sources = [Sources.of(graph, graph.sensor, self.links) for graph in graphs]
        self.stepper.fit_statistics(graphs, sources)
        own = [s.node[s.sensor] for s in sources]
        self.scale_out.fit(
            (g.y - g.u[:, -1:])[n].flatten(0, 1) for g, n in zip(graphs, own, strict=True)
        )

    def forward(self, graph: Data) -> Float[Tensor, "N S C"]:
        """The field at the nodes (those of `graph.asked` [N] alone, if it is there)."""
        kind, batch = self._kind(graph), getattr(graph, "batch", None)
        asked = graph.get("asked")
        rows = (
            torch.arange(len(kind), device=kind.device) if asked is None else asked.nonzero()[:, 0]
        )
        sources = Sources.of(graph, kind, self.links)
        owner = torch.zeros_like(rows) if batch is None else batch[rows]
        places = graph.pos[rows].detach().cpu().double().numpy()
        view = sources.view(places, owner.cpu().numpy(), self.neighbours)
        values, states = self.stepper(graph, sources)
        out = self._read(view, values[1:], states[1:]).transpose(0, 1)
        return torch.where(graph.dirichlet_mask[rows, None], graph.dirichlet[rows], out)

    def at(
        self,
        sample: Any,
        points: Float[np.ndarray, "M d"],
        times: Float[np.ndarray, " T"],
        sensors: Int[np.ndarray, " n"] | None = None,
    ) -> Float[np.ndarray, "T M C"]:
        """u(x, t) at any points and times after the last of the K known states.

        Each row depends on its own point and time alone. Where prescribed values hold they are
        exact, at the nodes of the mesh and any time. In holes and notches of the mesh the field is
        continued.

        Args:
            sample: mesh, inputs, conditions; of u the first K states, at the sensors.
            points: x [M, d], in the unit of the mesh.
            times: t [T], s; beyond `bundle` frames the march goes on.
            sensors: nodes with sensors; by default as in training.

        Raises:
            ValueError: points or times that are not finite, points outside the bounding box of the
                mesh, times before the last known state; sensors that are no nodes of the mesh, or
                too few of them; anything that `rollout` refuses of a sample.
        """
        start = known_states(self, sample, None)
        dt, last = step_of(self, sample, len(start), None), float(sample.times[len(start) - 1])
        check_asked(sample, points, times, last, dt)
        graph = first_graph(self, sample, start, dt)
        if sensors is not None:
            graph.sensor = given_sensors(sample, graph, sensors, self.dim + 2)
        out = np.empty((len(times), len(points), self.channels))
        if not out.size:
            return out
        with evaluating(self):
            graph = ready(self, graph)
            sources, values, states = self._marched(sample, graph, times, last, dt)
            local = points - sample.mesh.points.mean(axis=0)
            step = max(1, _PAIRS // (len(times) * (self.neighbours + self.neighbours // 3)))
            for i in range(0, len(points), step):
                part = local[i : i + step]
                view = sources.view(part, np.zeros(len(part), np.int64), self.neighbours)
                out[:, i : i + step] = self._read(view, values, states).double().cpu().numpy()
        return imposed(sample, points, times, out)

    def _marched(
        self, sample: Any, graph: Data, times: np.ndarray, last: float, dt: float
    ) -> tuple[Sources, Tensor, Tensor]:
        """The sources, and their values [T, n, C] and states [T, n, H] at the times."""
        position = (times - last) / dt
        position = np.where(
            np.abs(position - np.rint(position)) < 1e-6, np.rint(position), position
        )
        stride = self.stepper.stride
        steps = int(position.max()) + 2  # one beyond the last, see `time_weights`
        steps = -(-steps // stride) * stride
        ahead = last + dt * np.arange(1, steps + 1)
        graph.dirichlet = dirichlet_at(sample, ahead).to(graph.pos.device)
        sources = Sources.of(graph, graph.sensor, self.links)
        values, states = self.stepper(graph, sources)
        values = torch.cat([graph.u[sources.node, :-1].transpose(0, 1), values])
        place = graph.pos.new_tensor(position)
        early = self.history - 1
        values = torch.einsum("ta,anc->tnc", time_weights(place + early, len(values)), values)
        states = torch.einsum("ta,anh->tnh", time_weights(place, len(states)), states)
        known = dirichlet_at(sample, times).to(values.device)[sources.node].transpose(0, 1)
        return sources, torch.where(graph.dirichlet_mask[sources.node], known, values), states

    def _kind(self, graph: Data) -> Int[Tensor, " N"]:
        """Kinds of the nodes; in training without the sensors that are left out this time."""
        if "sensor" not in graph:
            raise ValueError(
                "Observer: the graph does not say where sensors are (graph.sensor); apply "
                "model.transform, as fit, rollout and at do"
            )
        kind, batch = graph.sensor, getattr(graph, "batch", None)
        if not (self.training and self.drop):
            return kind
        owner = torch.zeros_like(kind) if batch is None else batch
        count, device = len(graph.theta), kind.device
        rate = 2 * self.drop * torch.rand(count, device=device)
        left_out = (kind == SENSOR) & (torch.rand(len(kind), device=device) < rate[owner])
        rest = torch.zeros(count, device=device, dtype=torch.int64)
        rest = rest.index_add(0, owner, ((kind == SENSOR) & ~left_out).long())
        return torch.where(left_out & (rest >= self.dim + 2)[owner], 0, kind)

    def _read(
        self, view: View, values: Float[Tensor, "T n C"], states: Float[Tensor, "T n H"]
    ) -> Float[Tensor, "T Q C"]:
        """The field at the points of a view."""
        base = weighted_sum(view.index, view.weight, values)
        unit = self.stepper.scale_step.std
        jumps = (values[:, view.index] - base[:, :, None]) / unit
        scale = self.stepper.length.log()
        place = torch.cat([view.place[..., :-1], view.place[..., -1:] - scale], dim=2)
        return base + unit * self.reader(view, states, jumps, place)
