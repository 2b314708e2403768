"""`MPPDE`: time-dependent equations by message passing."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.losses import one_step
from meshgnn.models.mp_pde.mesh_net import MeshNet
from meshgnn.models.mp_pde.paper import PaperNet
from meshgnn.models.presets import filled

_DEFAULTS: dict[str, dict[str, Any]] = {
    "mesh": {
        "width": 64,
        "layers": 6,
        "hops": 1,
        "slices": 0,
        "conditioning": "concat",
        "library": True,
        "library_noise": 0.01,
    },
    "paper": {
        "width": 128,
        "layers": 6,
        "hops": 3,
        "length": None,
        "duration": None,
        "param_scale": None,
        "periodic": True,
        "absolute": True,
        "conditioned": True,
    },
}
_LEAST = {"dim": 1, "channels": 1, "inputs": 0, "params": 0, "history": 1, "bundle": 1}
_LEAST |= {"width": 1, "layers": 0, "hops": 1, "slices": 0, "library_noise": 0}


class MPPDE(nn.Module):
    """The next S states of a time-dependent equation from the last K:

        û_l = u_k + l Δt d_l,   l = 1..S;   û = g on Dirichlet nodes, at the time of each state.

    One call gives a bundle of S states, which `rollout` feeds back.

    - "mesh": for any mesh in 1D, 2D, 3D, components, K and S. d_l = Φ W_l + σ_l ⊙ (network)_l:
      Φ are candidate terms of an equation at the last state (u, ∇u, Δu, u ⊗ ∇u, products with θ
      and more, see `Library`), from P1 stencils that hold across periodic boundaries; W is fitted
      by least squares before training, and the network starts at 0. So the untrained model is the
      equation that the data show, stepped explicitly, and message passing learns what that misses.
      Messages see Φ, relative positions in units of the local edge length, differences of all K
      states, node types, normals, boundary values to come and θ. Aggregation is the mean. It may
      start from fewer than K true states (`graph.known`), as few as one: train with
      `losses.short_history`.
    - "paper": the published architecture with K = S of 20, 25 or 50; see `PaperNet` for its
      options, its training and what it does not know.

    Stability is no part of the model: see `losses.pushforward`, `fit(noise=...)` and the wrappers
    `Integrated`, `Refined` and `MeanConserving`. Not covered: equations whose state is not in u
    (give velocities of a wave equation as components), and time steps other than the trained one.

    Args:
        preset: one of the above.
        dim: space dimension d.
        channels: C.
        inputs: F, columns of `a` (paper: any number, none is used).
        params: P, columns of θ.
        history: K.
        bundle: S.
        width: of node states and messages; 64 (paper: 128).
        layers: number of message-passing layers; 6.
        hops: neighbours are so many edges of the mesh away; 1 (paper: 3).
        slices: learned slices of a global path after each layer (`SliceAttention`), for what acts
            at a distance, as pressure does; 0 for none. "mesh" only, as the following.
        conditioning: how θ acts in every layer: "concat" (in each update, as published), "film"
            (gain and shift from θ), "attention" (gain and shift from θ and the mean state).
        library: False starts from d = 0 instead of the fitted terms, which stay as features.
        library_noise: half of the rows of the fit have noise on their states, of this many
            standard deviations of u, so that short waves decay in a march; 0.01. It is raised
            (up to 0.9) until marches of the fitted terms alone stay in twice the range of the data;
            where none does, it stays and there is a warning. 0 for a plain fit.
        length, duration, param_scale, periodic, absolute, conditioned: of the paper preset, see
            `PaperNet`.

    Raises:
        ValueError: an unknown preset or conditioning, an option of another preset, a size below
            its least value; the paper preset with history other than bundle.

    Source: Brandstetter, Worrall & Welling, Message Passing Neural PDE Solvers, ICLR 2022; the
    fitted library after Brunton, Proctor & Kutz 2016 (SINDy).
    """

    starts_alone = True

    def __init__(
        self,
        preset: str = "mesh",
        dim: int = 2,
        channels: int = 1,
        inputs: int = 0,
        params: int = 0,
        history: int = 1,
        bundle: int = 1,
        width: int | None = None,
        layers: int | None = None,
        hops: int | None = None,
        slices: int | None = None,
        conditioning: str | None = None,
        library: bool | None = None,
        library_noise: float | None = None,
        length: float | None = None,
        duration: float | None = None,
        param_scale: Sequence[float] | None = None,
        periodic: bool | None = None,
        absolute: bool | None = None,
        conditioned: bool | None = None,
    ) -> None:
        super().__init__()
        given = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.hparams = _checked(given)
        problem = {name: self.hparams[name] for name in ("dim", "channels", "params")}
        options = {name: self.hparams[name] for name in _DEFAULTS[preset]}
        self.net: MeshNet | PaperNet
        if preset == "mesh":
            self.net, self.loss = MeshNet(self.hparams), one_step
            self.scale_out = self.net.scale_out
        else:
            self.starts_alone = False
            self.net = PaperNet(window=history, **problem, **options)
            self.loss = self.net.loss

    def transform(self, graph: Data) -> Data:
        """A copy of the graph with what the network needs of the mesh, computed once."""
        return self.net.transform(graph.clone())

    def fit_statistics(self, graphs: list[Data]) -> None:
        """Normalisation, and the fitted terms, from transformed graphs with their first targets."""
        self.net.fit_statistics(graphs)

    def forward(self, graph: Data) -> Float[Tensor, "N S C"]:
        """The next S states in physical units, exact where they are prescribed."""
        return self.net(graph)


def _checked(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments with the defaults of the preset filled in; others of its options stay None."""
    hparams = filled("MPPDE", given, _DEFAULTS, _LEAST)
    if hparams["preset"] == "paper":
        if hparams["history"] != hparams["bundle"]:
            raise ValueError(
                "MPPDE: the paper preset takes as many states as it gives, got "
                f"history={hparams['history']}, bundle={hparams['bundle']}; use the preset 'mesh'"
            )
        del hparams["inputs"]  # it looks at none, and graphs may have any
    return hparams
