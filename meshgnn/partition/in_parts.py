"""Any local model on graphs larger than memory."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, distributed, nn
from torch.utils.checkpoint import checkpoint
from torch_geometric.data import Data

from meshgnn.partition.cut import known_method
from meshgnn.partition.halo import Part, parts_of, subgraph

Field = Callable[[Data], Float[Tensor, "N S C"]]


def hops_of(model: nn.Module) -> int:
    """How many edges away a node still acts on the field of the model: `model.hops`.

    Raises:
        ValueError: a model that does not tell, says that everything acts everywhere (None), or is
            not the same function part by part (`differs_in_parts` says why).
    """
    name, inner = type(model).__name__, getattr(model, "inner", None)
    if reason := getattr(model, "differs_in_parts", None):
        raise ValueError(f"InParts: {name} has no `hops`: {reason}")
    hops = getattr(model, "hops", None)
    if hops is None:
        of = "" if inner is None else f" of {type(inner).__name__}"
        raise ValueError(
            f"InParts: {name}{of} has no `hops`, the number of edges over which a node "
            "acts on the field: with attention, coarse levels or means over the graph every node "
            "acts everywhere, and parts would give another field. Use it on the whole graph, or "
            "take a local model (MeshGraphNet with slices=0)"
        )
    return int(hops)


class InParts(nn.Module):
    """The field of a local model, part by part, and its gradients: the same as on the whole graph.

    Every part is a graph of its own nodes and of those within `hops` edges, and only the field at
    its own nodes is taken. Memory is that of one part besides the graph itself, also in training:
    nothing of a part is kept for the gradient, it is computed once more when its turn comes, and
    gradients add up over the parts. Any loss of the field of the whole graph works as it is.

    The wrapper has the attributes of its model (loss, hparams, ...) and shares its weights: to save
    it, save `model`. Error bars of an `Ensemble` come part by part as well.

    Args:
        model: a model with `hops`; in time, that of one call.
        max_nodes: the largest number of nodes in a part, halo included.
        method: how to cut, see `partition.cut`.
        spread: whether the processes of a `fit` on several devices share out the parts of every
            graph, in place of the graphs of every batch; all must call it at once.

    Raises:
        ValueError: a model that is not local; max_nodes below 1, or, when it is called, too small
            for the halo; an unknown method.
        ImportError: METIS asked for, and pymetis is not installed.
    """

    def __init__(
        self, model: nn.Module, max_nodes: int, method: str | None = None, spread: bool = False
    ) -> None:
        super().__init__()
        if max_nodes < 1:
            raise ValueError(f"InParts: expected max_nodes of at least 1, got {max_nodes}")
        if method is not None:
            known_method("InParts", method)
        self.hops = hops_of(model)
        self.model, self.max_nodes, self.method = model, max_nodes, method
        self.spread = spread
        self._last: tuple[Tensor, int, list[Part]] | None = None

    def forward(self, graph: Data) -> Float[Tensor, "N S C"]:
        """The field of the whole graph."""
        return self._joined(self.model, graph)

    @property
    def uncertainty(self) -> Field:
        """graph -> σ [N, S, C] by the method of the model, where that has one."""
        own = self.model.uncertainty
        return lambda graph: self._joined(own, graph)  # type: ignore[arg-type]

    def _joined(self, call: Field, graph: Data) -> Float[Tensor, "N S C"]:
        """What a call gives at the nodes of every part, for the whole graph."""
        parts = self.parts(graph)
        if len(parts) == 1:
            return call(graph)
        shared = self.spread and distributed.is_initialized()
        rank, world = (distributed.get_rank(), distributed.get_world_size()) if shared else (0, 1)
        own = parts[rank::world]
        fields, order = [], []
        for part in own or parts[:1]:  # no process is without: gradients wait for all
            if torch.is_grad_enabled():
                field = checkpoint(_at_own, call, graph, part, use_reentrant=False)
            else:
                field = _at_own(call, graph, part)
            fields.append(field)
            order.append(part.nodes[part.own])
        place = torch.cat(order).to(graph.pos.device)
        field = torch.cat(fields) * bool(own) if shared else torch.cat(fields)
        whole = field.new_zeros(len(graph.pos), *field.shape[1:]).index_copy(0, place, field)
        return _Sum.apply(whole) if shared else whole

    def parts(self, graph: Data) -> list[Part]:
        """The parts of this graph; those of the last one again when it has the same edges.

        Also in another tensor: `fit` makes a new batch of the same graph in every step.
        """
        edges, nodes = graph.edge_index, len(graph.pos)
        if self._last is not None:
            last, count, parts = self._last
            same = last is edges or (last.device == edges.device and torch.equal(last, edges))
            if same and count == nodes:
                return parts
        parts = parts_of(graph, self.hops, self.max_nodes, self.method)
        self._last = (edges, nodes, parts)
        return parts

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("model"), name)


def _at_own(call: Field, graph: Data, part: Part) -> Float[Tensor, "O S C"]:
    return call(subgraph(graph, part.nodes))[part.own.to(graph.pos.device)]


class _Sum(torch.autograd.Function):
    """v = Σ_p v_p over the processes, and so for gradients: `fit` then takes their mean."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        value = value.clone()
        distributed.all_reduce(value)
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        distributed.all_reduce(total)
        return total
