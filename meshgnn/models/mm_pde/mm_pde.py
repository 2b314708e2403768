"""`MMPDE`: two solvers, one on the mesh, one on the mesh that a mover makes of the state."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.losses import one_step
from meshgnn.models import MODELS
from meshgnn.models.mm_pde.moved_graph import added, carried, moved_graph, with_topology
from meshgnn.models.mp_pde import MPPDE
from meshgnn.models.wrappers.inner import rebuilt
from meshgnn.nn import Standardise
from meshgnn.operators import Transfer, unfolded

Mover = Callable[[Data], Tensor]
_OWN = ("mover", "fixed_branch", "train_mover", "conservative")
_PREFIX = "mover_"


class MMPDE(nn.Module):
    """û_l = u_k + l Δt (f_l(u_k) + γ ⊙ I2[ g_l(I1[u_k]) ]),   l = 1..S;   û = g on Dirichlet nodes.

    f and g are networks of one class, `MPPDE`, of equal size: f works on the mesh given, g on the
    same mesh with its nodes at x = mover(u_k), closer where the state asks for it. I1 and I2 carry
    states to the moved mesh and rates back (`operators.Transfer`): constants and linear fields are
    exact, means are kept. f starts as the fitted equation (see `MPPDE`) and g, which learns what f
    misses, at 0, with γ = 1 for every component; so the untrained model is the equation that the
    data show. The mesh is moved anew for each call, from the reference and by the last state alone.

    Two switches are the lines of an ablation: mover="identity" is this model without its idea, with
    the same networks and skips, and fixed_branch=False has only û = u_k + l Δt I2[g_l(I1[u_k])],
    where g is the one that starts as the fitted equation.

    No gain was found, see docs/movers.md: the state lives on the nodes given, so that a finer mesh
    at a front sees no more than these hold, and a call costs ten times that of the identity. Where
    a mesh that moves does lower errors is FEM, `adaptivity.adapt`.

    Nodes where boundary conditions change stay; steps that would fold a cell are shortened
    (`operators.unfolded`). Nodes that a mover puts outside of the domain take the nearest values.
    Not covered: periodic meshes and surfaces (but by the identity), preset "paper" of `MPPDE`.

    Args:
        mover: graph -> x [N, 1, d], positions like `graph.pos`, of a graph with the last known
            state alone; "identity" (or None). A model of `MODELS` travels in the checkpoint; its
            `transform` is called once for each mesh. Any other function works, and cannot be saved.
        dim, channels, inputs, params, history, bundle, width, layers, hops, slices, conditioning,
            library, library_noise: of both networks, see `MPPDE`; `library` and its noise are for
            the one that starts as the fitted equation, the other has the terms as features.
        fixed_branch: whether there is f.
        train_mover: whether the mover learns from the loss. Else it has no gradients and stays in
            evaluation mode (both are set in the module that is given).
        conservative: whether I1 and I2 keep means; else they interpolate only.

    Raises:
        ValueError: a mover that is no function; options that `MPPDE` refuses; when called: a mover
            that gives NaN or another shape, a mesh that is not covered.

    Source: Hu, Wang & Ma, Better Neural PDE Solvers Through Data-Free Mesh Movers, ICLR 2024. There
    the networks have no skip, transfers are learned and do not keep constants, and there is a
    third, dense network instead of f's fitted terms.
    """

    starts_alone = True
    loss = staticmethod(one_step)

    def __init__(
        self,
        mover: Mover | str | None = "identity",
        dim: int = 2,
        channels: int = 1,
        inputs: int = 0,
        params: int = 0,
        history: int = 1,
        bundle: int = 1,
        width: int = 64,
        layers: int = 6,
        hops: int = 1,
        slices: int = 0,
        conditioning: str = "concat",
        library: bool = True,
        library_noise: float = 0.01,
        fixed_branch: bool = True,
        train_mover: bool = False,
        conservative: bool = True,
    ) -> None:
        super().__init__()
        given: Any = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        if mover not in (None, "identity") and not callable(mover):
            raise ValueError(
                "MMPDE: expected a mover graph -> x [N, 1, d] (a trained DMM, a function) or "
                f"'identity', got {mover!r}"
            )
        if (other := getattr(mover, "hparams", {}).get("dim", dim)) != dim:
            raise ValueError(f"MMPDE: expected a mover of dim {dim}, got one of dim {other}")
        self.hparams = given | {"mover": _described(mover)}
        options = {name: value for name, value in given.items() if name not in _OWN}
        self.train_mover, self.conservative = train_mover, conservative
        self.fixed = MPPDE(**options) if fixed_branch else None
        options["library"] = library and not fixed_branch
        self.moved = MPPDE(**options)
        self.gate = nn.Parameter(torch.ones(channels)) if fixed_branch else None
        self.scale_out = Standardise(channels)
        self.mover = None if isinstance(mover, str) else mover
        if isinstance(self.mover, nn.Module) and not train_mover:
            self.mover.requires_grad_(False).eval()

    @classmethod
    def rebuild(cls, mover: str | dict[str, Any], **options: Any) -> "MMPDE":
        """From `hparams`, with new weights."""
        return cls(rebuilt(mover) if isinstance(mover, dict) else mover, **options)

    def train(self, mode: bool = True) -> "MMPDE":
        """As of any module, but for a mover that is not trained."""
        super().train(mode)
        if isinstance(self.mover, nn.Module) and not self.train_mover:
            self.mover.eval()
        return self

    def transform(self, graph: Data) -> Data:
        """A copy of the graph with what the networks and the mover need of the mesh."""
        if "stencil_index" in graph:
            return graph  # transformed before
        if self.mover is None:
            return self.moved.transform(graph)
        own = getattr(self.mover, "transform", None)
        asked = {} if own is None else own(self._asked(graph)).to_dict()
        graph = self.moved.transform(with_topology(graph.clone()))
        for name, value in added(graph, asked).items():
            graph[_PREFIX + name] = value
        return graph

    @torch.no_grad()
    def fit_statistics(self, graphs: list[Data]) -> None:
        """Normalisation and fitted terms of both networks; g is fitted to what f leaves."""
        free = [~g.dirichlet_mask.any(dim=1) for g in graphs]
        changes = ((g.y - g.u[:, -1:])[f].flatten(0, 1) for g, f in zip(graphs, free, strict=True))
        self.scale_out.fit(changes)
        if self.fixed is not None:
            self.fixed.fit_statistics(graphs)
        parts = []
        for graph in graphs:
            base = graph.u[:, -1:] if self.fixed is None else self.fixed(graph)
            part, transfer = self._on_moved_mesh(graph)
            rest = graph.y - base
            if transfer is not None:
                rest = carried(rest, graph.dirichlet_mask, transfer.to_moved)
            part.y = part.u[:, -1:] + rest
            parts.append(part)
        self.moved.fit_statistics(parts)

    def forward(self, graph: Data) -> Float[Tensor, "N S C"]:
        """The next S states in physical units, exact where they are prescribed."""
        mask = graph.dirichlet_mask
        part, transfer = self._on_moved_mesh(graph)
        change = self.moved(part) - part.u[:, -1:]
        if self.fixed is not None:  # f has the boundary values right, and g nothing to add
            change = torch.where(mask[:, None], 0.0, change)
        if transfer is not None:
            change = carried(change, mask, transfer.to_given)
        if self.fixed is None or self.gate is None:
            out = graph.u[:, -1:] + change
        else:
            out = self.fixed(graph) + self.gate * change
        return torch.where(mask[:, None], graph.dirichlet, out)

    def points(self, graph: Data) -> Float[Tensor, "N d"]:
        """x: where the nodes are that g works on, for the last state of a transformed graph.

        Relative to the mean of the nodes of the mesh, as `graph.pos` is.
        """
        pos = graph.pos
        if self.mover is None:
            return pos
        if "moved_to" in graph and torch.equal(graph.moved_for, graph.u[:, -1]):
            return graph.moved_to
        with torch.set_grad_enabled(self.train_mover and torch.is_grad_enabled()):
            x = self.mover(self._asked(graph))
        if x.shape != (len(pos), 1, pos.shape[1]) or not torch.isfinite(x).all():
            raise ValueError(
                f"MMPDE: expected finite positions {[len(pos), 1, pos.shape[1]]} of the mover, got "
                f"{list(x.shape)} with {int((~torch.isfinite(x)).sum())} that are not finite; "
                "train the mover on fields like these"
            )
        x = torch.where(graph.pinned[:, None], pos, x[:, 0].to(pos.dtype))
        x = unfolded(pos, x, graph.simplex_index.t())[0]
        return x if self.train_mover else x.detach()

    def remembered(self, graph: Data, x: Float[Tensor, "N d"] | None = None) -> Data:
        """A copy of a transformed graph with the points of its last state, or with those given.

        They are taken as long as the last state is this one to the last bit, and made anew for any
        other: for training on one step, where the mover sees the same data in every epoch. All
        graphs of a batch have them or none.

        Raises:
            ValueError: a mover that is trained, whose points change.
        """
        if self.train_mover:
            raise ValueError(
                "MMPDE.remembered: the mover is trained, so its points change; use "
                "train_mover=False, or the graphs as they are"
            )
        graph = graph.clone()
        graph.moved_to = self.points(graph).detach().clone() if x is None else x
        graph.moved_for = graph.u[:, -1].clone()
        return graph

    def _on_moved_mesh(self, graph: Data) -> tuple[Data, Transfer | None]:
        """The graph of g, and the transfer to it; the graph itself where nothing moves."""
        if self.mover is None:
            return copy.copy(graph), None
        with torch.autocast(graph.pos.device.type, enabled=False):  # geometry needs float32
            moved = self.points(graph)
            simplices, batch = graph.simplex_index.t(), graph.get("batch")
            steps = graph.neighbour_steps
            transfer = Transfer.between(
                graph.pos, moved, simplices, steps, batch, self.conservative
            )
            return moved_graph(graph, moved, transfer), transfer

    def _asked(self, graph: Data) -> Data:
        """The graph as the mover takes it: the last state, and what its transform added."""
        part = copy.copy(graph)
        part.u, part.dirichlet = graph.u[:, -1:], graph.dirichlet[:, :1]
        for name in ("y", "known"):
            if name in part:
                del part[name]
        for name in list(part.keys()):
            if name.startswith(_PREFIX):
                part[name.removeprefix(_PREFIX)] = part[name]
                del part[name]
        if "near_index" in part and _PREFIX + "edge_index" not in graph:
            part.edge_index = part.near_index
        return part


def _described(mover: Mover | str | None) -> Any:
    """Plain data to restore a mover from; the mover itself, which `save` refuses, without any."""
    if mover is None:
        return "identity"
    name = type(mover).__name__
    if isinstance(mover, nn.Module) and name in MODELS and MODELS[name] is type(mover):
        return {"model": name, "hparams": mover.hparams}
    return mover
