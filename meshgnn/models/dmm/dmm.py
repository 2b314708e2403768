"""`DMM`: the operator from a field on a mesh to the mesh moved for it."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.losses.monge_ampere import MongeAmpere
from meshgnn.models.dmm.coarse import coarse_space
from meshgnn.models.dmm.paper import PaperPotential
from meshgnn.models.dmm.paper_training import collocation_loss, fit_last_layer
from meshgnn.models.dmm.stages import Stages
from meshgnn.models.dmm.walls import wall_attributes
from meshgnn.models.presets import filled
from meshgnn.monitors import Monitor
from meshgnn.operators import neighbour_steps

_DEFAULTS: dict[str, dict[str, Any]] = {
    "mesh": {"stages": 6, "solves": 6, "width": 16},
    "paper": {"resolution": 48},
}
_MONITOR = {"mesh": (Monitor.kind, Monitor.scale), "paper": ("gradient", 0.01)}


class DMM(nn.Module):
    """x(ξ; u) with m(x) |K_x| = θ |K_ξ| for every cell, m the monitor of u: one call, no labels.

    That is the Monge–Ampère equation m(x) det(I + H φ) = θ on cells, x = ξ + ∇φ, ∂φ/∂n = 0.

    - "mesh": any simplicial mesh in 2D and 3D, holes, corners, any number of nodes and fields.
      T Gauss–Newton steps on Σ |K_ξ| r², r = log(m |K_x| / θ |K_ξ|), whose weights in each cell a
      small network sets from invariants (r, det J, distortions, m) of the cell and those around:
      see `Stages`, `Problem.newton`. Untrained it is that classical iteration; trained by
      `losses.MongeAmpere` it needs fewer steps and keeps better angles. Each step solves
      H v = −∂E/∂x among the motions that the walls allow (along sides and curves, corners fixed).
      On a box its leading part is a vector Laplacian that commutes with ∇, so that v is the
      gradient of a potential; at holes and re-entrant corners, where x = ξ + ∇φ would leave the
      domain or tear at the corner, it bends to them. What holds for any weights: m = 1 leaves the
      mesh exactly as it is; nothing depends on the numbering, the place, the direction and the
      unit of length; a step is halved until every cell keeps 0.15 of its volume, so cells stay
      positive but for the rounding where nodes slide on curves: `adaptivity.moved` guarantees it.
    - "paper": the published potential on the unit square, see `PaperPotential`; scale 0.01. Loss
      `collocation_loss` with weights 1, 1000, 1, Adam, then `fit_last_layer`. The condition on the
      boundary is a penalty and nothing keeps cells from folding: `adaptivity.moved` does.

    Graphs have one known state, `MeshDataset(samples, history=1, bundle=0)`; of more the last is
    taken. With `graph.density` [N] these values are m instead of the monitor of u.

    Args:
        preset: one of the above.
        dim: space dimension d, 2 or 3.
        kind, scale, smoothing: of the `Monitor`; its defaults (paper: "gradient", 0.01).
        stages: T; 6.
        solves: steps of conjugate gradients in a stage; 6.
        width: of the network; 16.
        resolution: of the grid in the paper preset; 48.

    Raises:
        ValueError: an unknown preset, an option of another, sizes out of range; a monitor that
            `Monitor` refuses; graphs without what `transform` adds; a step without a positive
            definite system, such as of weights that are NaN.

    Source: Hu, Wang & Ma, Better Neural PDE Solvers Through Data-Free Mesh Movers, ICLR 2024 (the
    task and the paper preset); Budd, Huang & Russell, Acta Numerica 18 (2009) (the equation).
    """

    def __init__(
        self,
        preset: str = "mesh",
        dim: int = 2,
        kind: str | None = None,
        scale: float | None = None,
        smoothing: float = 1.0,
        stages: int | None = None,
        solves: int | None = None,
        width: int | None = None,
        resolution: int | None = None,
    ) -> None:
        super().__init__()
        given = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.hparams = _checked(given)
        self.monitor = Monitor(self.hparams["kind"], self.hparams["scale"], smoothing)
        options = {name: self.hparams[name] for name in _DEFAULTS[preset]}
        self.net: Stages | PaperPotential
        if preset == "mesh":
            self.net, self.loss = Stages(**options), MongeAmpere()
        else:
            self.net, self.loss = PaperPotential(**options), collocation_loss
        self.reads_values = preset == "paper"  # of u; the other takes m alone

    def transform(self, graph: Data) -> Data:
        """A copy of the graph with what depends on its mesh alone.

        Raises:
            ValueError: surfaces and curves in space; for the paper preset other meshes than of the
                unit square.
        """
        graph = graph.clone()
        simplices = graph.simplex_index.t().contiguous()
        found = {"cell_steps": neighbour_steps(simplices, len(graph.pos))}
        if isinstance(self.net, PaperPotential):
            found |= self.net.transform(graph)
        else:
            found |= wall_attributes(graph) | coarse_space(graph.pos)
        for name, value in found.items():
            graph[name] = value
        return graph

    def density(self, graph: Data, monitor: Monitor | None = None) -> Float[Tensor, " N"]:
        """m of the last known state at the nodes, by the model's monitor or another."""
        monitor = self.monitor if monitor is None else monitor
        pos, u = graph.pos, graph.u[:, -1]
        with torch.autocast(pos.device.type, enabled=False):  # differences need every digit
            return monitor(pos, graph.simplex_index.t(), u, graph.get("batch")).to(pos.dtype)

    def forward(self, graph: Data) -> Float[Tensor, "N 1 d"]:
        """Where the nodes go, in the coordinates and the unit of `graph.pos`."""
        if graph.get("cell_steps") is None:
            raise ValueError("DMM: the graph lacks what its mesh needs; use model.transform(graph)")
        if isinstance(self.net, PaperPotential):
            return self.net(graph)[:, None]
        m = graph.get("density")
        return self.net(graph, self.density(graph) if m is None else m)[:, None]

    def fit_last_layer(self, graphs: list[Data], steps: int = 100, seed: int = 0) -> float:
        """The second stage of training of the paper preset, see `paper_training.fit_last_layer`.

        Raises:
            ValueError: another preset.
        """
        if not isinstance(self.net, PaperPotential):
            raise ValueError("DMM.fit_last_layer: the preset 'mesh' has no second stage; use fit")
        return fit_last_layer(self, graphs, steps, seed)


def _checked(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments with the defaults of the preset filled in; others of its options stay None."""
    least = {"stages": 1, "solves": 1, "width": 1}
    hparams = filled("DMM", given, _DEFAULTS, least)
    preset = hparams["preset"]
    for name, default in zip(("kind", "scale"), _MONITOR[preset], strict=True):
        if hparams[name] is None:
            hparams[name] = default
    if hparams["dim"] not in ((2, 3) if preset == "mesh" else (2,)):
        raise ValueError(f"DMM: expected dim 2 or 3 (paper: 2), got {hparams['dim']}")
    return hparams
