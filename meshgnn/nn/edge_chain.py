"""What a block does to the products of its edges, forward and backward, written out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

_aten = torch.ops.aten


class Step(NamedTuple):
    """An activation, the same in place, its derivative (gradient, what was kept) -> gradient.

    What is kept is its output where that is enough, otherwise its input.
    """

    plain: Callable[[Tensor], Tensor]
    apply: Callable[[Tensor], Tensor]
    back: Callable[[Tensor, Tensor], Tensor]
    keeps_output: bool


_STEPS: dict[type, Step] = {
    nn.ReLU: Step(torch.relu, torch.relu_, lambda g, y: _aten.threshold_backward(g, y, 0), True),
    nn.Tanh: Step(torch.tanh, torch.tanh_, _aten.tanh_backward, True),
    nn.SiLU: Step(nn.functional.silu, _aten.silu_, _aten.silu_backward, False),
}


@dataclass(frozen=True)
class Walk:
    """What φ consists of after its first layer: (activation, linear) ..., [activation], [norm].

    Args:
        steps: the activations.
        linears: number of linear layers, one after each activation but perhaps the last.
        eps: of the LayerNorm at the end; None without one.
        residual: the second result is e + m in place of m.
        states: with residual, targets receive Σ (e + m) in place of Σ m.
        keep: keep activations for the gradient; without, they are computed again, piece by piece.
    """

    steps: tuple[Step, ...]
    linears: int
    eps: float | None
    residual: bool = False
    states: bool = False
    keep: bool = True

    @classmethod
    def of(cls, chain: list[nn.Module]) -> "tuple[Walk, list[nn.Module]] | None":
        """The walk of such a chain and its modules with weights; None for any other chain."""
        steps, weighted = [], []
        layers = list(chain)
        norm = layers[-1] if layers and isinstance(layers[-1], nn.LayerNorm) else None
        layers = layers if norm is None else layers[:-1]
        for place, layer in enumerate(layers):
            if place % 2:
                weighted.append(layer)
            elif type(layer) in _STEPS:
                steps.append(_STEPS[type(layer)])
            else:
                return None
        if any(type(layer) is not nn.Linear for layer in weighted):
            return None
        walk = cls(tuple(steps), len(weighted), None if norm is None else norm.eps)
        return walk, weighted + ([] if norm is None else [norm])

    def forward(self, z: Tensor, params: Sequence[Tensor], kept: list[Tensor] | None) -> Tensor:
        """m of a piece from its first products z; fills `kept` with what the derivative needs."""
        for i, step in enumerate(self.steps):
            if kept is None:
                x = step.apply(z)
            elif step.keeps_output:
                x = step.apply(z)
                kept.append(x)
            else:
                kept.append(z)
                x = step.apply(z.clone())
            last = i == self.linears
            z = x if last else torch.addmm(params[2 * i + 1], x, params[2 * i].t())
        if self.eps is None:
            return z
        m, mean, rstd = torch.native_layer_norm(z, [z.shape[1]], params[-2], params[-1], self.eps)
        if kept is not None:
            kept += [z, mean, rstd]
        return m

    def backward(
        self, g: Tensor, params: Sequence[Tensor], kept: list[Tensor], grads: list[Tensor]
    ) -> Tensor:
        """Gradient of z from that of m, for one piece; adds to the gradients of the parameters."""
        if self.eps is not None:
            z, mean, rstd = kept[-3:]
            g, *own = _aten.native_layer_norm_backward(
                g, z, [z.shape[1]], mean, rstd, *params[-2:], [True, True, True]
            )
            for total, part in zip(grads[-2:], own, strict=True):
                total += part
        for i, step in reversed(list(enumerate(self.steps))):
            if i < self.linears:
                x = kept[i] if step.keeps_output else step.apply(kept[i].clone())
                grads[2 * i].addmm_(g.t(), x)
                grads[2 * i + 1] += g.sum(0)
                g = g @ params[2 * i]
            g = step.back(g, kept[i])
        return g

    def differentiable(self, z: Tensor, params: Sequence[Tensor]) -> Tensor:
        """m from z as `forward` gives it, by operations that autograd knows."""
        for i, step in enumerate(self.steps):
            z = step.plain(z)
            if i < self.linears:
                z = nn.functional.linear(z, params[2 * i], params[2 * i + 1])
        if self.eps is None:
            return z
        return nn.functional.layer_norm(z, [z.shape[1]], params[-2], params[-1], self.eps)
