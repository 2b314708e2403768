"""`BENO`: elliptic solvers that know their boundary."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from meshgnn.models.beno.linear import LinearNet
from meshgnn.models.beno.paper import DEFECTS, PaperNet

PRESETS = ("linear", "nonlinear", "paper")
EQUATIONS = ("diffusion", "elasticity")
_PROBLEM = ("preset", "dim", "channels", "inputs", "equation")
_SIZES = {"width", "layers", "heads", "blocks", "slice_nodes", "max_functions", "kernels"}
_SIZES |= {"tokens", "passes"}
_LINEAR = _SIZES | {"boundary_encoder", "learned_operator"}
_PAPER = {"width", "layers", "heads", "defects"}


class BENO(nn.Module):
    """u = u_f + u_g: the source with zero boundary data, and the boundary data with zero source.

    The presets "linear" and "nonlinear" solve −∇·(k∇u) = f and linear elasticity on any mesh of
    simplices (other cells by their split), in 1D, 2D and 3D, with Dirichlet, Neumann and Robin
    parts, k or λ and μ that may jump from cell to cell. In each of the two branches, over L layers,

        u ← u + γ ⊙ z + Σ_h η_h ⊙ (K_h z) + μ p + ω S (SᵀKS)⁻¹ Sᵀ r,   r = b − K u,  z = D⁻¹ r,

    from u = G, the extension of the boundary values into the domain by attention of the nodes to
    boundary tokens (`BoundaryAttention`); K and b are the P1 operator and load of the mesh, with
    learned_operator times learned factors, D the diagonal (blocks) of K, p the step before. The
    gates γ, η, μ, the edge kernels K_h and the coarse space S (soft slices around M nodes spread
    by farthest-point sampling, times 1 or the rigid motions, smoothed by K) come from a
    message-passing trunk that sees geometry, coefficients and the boundary tokens. All its inputs
    are relative lengths and invariants: nothing changes under rigid motion, reflection or a change
    of units. Where cells are much longer than wide, the steps are shortened so that the untrained
    layers cannot diverge (`relaxation`); convergence is slow there. Work and memory of the layers
    are linear in the number of nodes once max_functions is reached; the transform also measures
    every node's distance to the boundary.

    - "linear": weights depend on geometry and coefficients only, so that the map from (f, g) to u
      is exactly linear: superposition and scaling hold to rounding, and f = g = 0 gives 0.
    - "nonlinear": the gates of a branch also see the relative size of its u and z. Homogeneous of
      degree one; superposition holds to the error of the solution.
    - "paper": the published architecture, on the lattices of `datasets.beno` only; see `PaperNet`.

    Not covered: tensor-valued k, convection, reaction terms, periodic meshes. Quads, hexahedra and
    the like are split into simplices, on which the network is P1: on coarse meshes of such cells (a
    few hundred nodes) that differs from their own finite elements by up to 0.1, which no training
    of the linear preset removes. Boundary terms are lumped, fluxes constant on a facet: with Robin
    parts the fixed point differs from P1 by some 1e-3. The solution of a pure Neumann problem has
    zero mean. On meshes so symmetric that several nodes are equally far and heavy, rounding decides
    which becomes a slice centre.

    Args:
        preset: one of the above.
        dim: space dimension d.
        channels: C, by default 1 for diffusion and d for elasticity; no other value is possible.
        inputs: F, columns of `a`, of which the first C are the source; None takes any number.
        equation: "diffusion" or "elasticity".
        width: hidden size of the trunk, default 48 (paper: 128).
        layers: L, default 8 (paper: 10).
        heads: of the boundary attention, default 2 (paper: 2).
        blocks: message-passing blocks of the trunk, default 2.
        slice_nodes: degrees of freedom per coarse function, default 12.
        max_functions: the largest number of coarse functions, default 512.
        kernels: number of edge kernels h, default 4.
        tokens: the largest number of boundary tokens, default 256.
        passes: how often the L layers are gone through, default 1. More need no training: on cells
            that are not long they bring u nearer to the fixed point.
        boundary_encoder: False leaves the tokens out (for ablations): G = 0, no context.
        learned_operator: True gives the edges of K and the entries of b learned positive factors,
            equal to 1 at the start, so that the network can fit labels that are better than P1 on
            its mesh (P2, a finer mesh) or come from another scheme (finite volumes). Where many
            cells are obtuse (K_ij > 0) factors far from 1 may make K indefinite; the layers then
            lose their coarse correction. Without it the P1 solution is the fixed point
            of the layers. Diffusion only.
        defects: of the paper preset, which defects of the published code to keep, see `PaperNet`;
            None keeps all.

    Raises:
        ValueError: an unknown preset, equation or defect; another number of channels; an option of
            another preset; a size that is no positive integer.

    Source: Wang et al., Boundary-embedded Neural Operators for Elliptic PDEs, ICLR 2024 (branches,
    boundary embedding); two-level additive Schwarz and smoothed aggregation (Vaněk, Mandel &
    Brezina 1996, eq. 2) with learned smoothers; slices after Wu et al. 2024.
    """

    def __init__(
        self,
        preset: str = "linear",
        dim: int = 2,
        channels: int | None = None,
        inputs: int | None = None,
        equation: str = "diffusion",
        width: int | None = None,
        layers: int | None = None,
        heads: int | None = None,
        blocks: int | None = None,
        slice_nodes: int | None = None,
        max_functions: int | None = None,
        kernels: int | None = None,
        tokens: int | None = None,
        passes: int | None = None,
        boundary_encoder: bool | None = None,
        learned_operator: bool | None = None,
        defects: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        given = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        _check_problem(preset, equation, dim, channels)
        options = {k: v for k, v in given.items() if v is not None and k not in _PROBLEM}
        _check_options(preset, equation, options)
        channels = dim if equation == "elasticity" else 1
        self.hparams = given | {"channels": channels}
        self.net: PaperNet | LinearNet
        if preset == "paper":
            kept = options.pop("defects", DEFECTS)
            self.net = PaperNet(**options, **{name: name in kept for name in DEFECTS})
        else:
            elastic, adaptive = equation == "elasticity", preset == "nonlinear"
            self.net = LinearNet(channels, elastic, adaptive=adaptive, **options)
        self.loss = self.net.loss

    def fit_statistics(self, graphs: list[Data]) -> None:
        """The normalisation of the paper preset; the others need none."""
        if isinstance(self.net, PaperNet):
            self.net.fit_statistics(graphs)

    def transform(self, graph: Data) -> Data:
        """A copy of the graph with what the preset needs: operator and tokens, or the lattice.

        Raises:
            ValueError: inputs over the cells other than the source's components and k, or λ and μ;
                the paper preset away from a lattice; a periodic mesh.
        """
        if any(graph.get(name) is not None for name in ("period", "edge_shift", "simplex_shift")):
            raise ValueError(
                "BENO: expected a mesh without periodic sides, got a graph that wraps round "
                "(Boundary.twin); BENO would take the cells at the seam for long ones: give every "
                "side a condition, or use MeshGraphNet or MPPDE"
            )
        device = graph.pos.device  # scalar work, once a graph: it stays on the CPU
        return self.net.transform(graph.clone().to("cpu")).to(device)

    def branches(self, graph: Data) -> Float[Tensor, "N 2 C"]:
        """u_f and u_g, the parts of u that come from the source and from the boundary.

        At prescribed entries u_g is the given value.

        Raises:
            ValueError: a batch whose graphs did not go through `transform`.
        """
        if self.net.marker not in graph:
            if getattr(graph, "batch", None) is not None:
                raise ValueError(
                    "BENO: expected graphs that went through model.transform, got a batch that "
                    "did not; apply it to each graph before batching (MeshDataset.transformed)"
                )
            graph = self.transform(graph)
        parts = self.net(graph)
        given = torch.stack([torch.zeros_like(graph.dirichlet[:, 0]), graph.dirichlet[:, 0]], dim=1)
        return torch.where(graph.dirichlet_mask[:, None], given, parts)

    def forward(self, graph: Data) -> Float[Tensor, "N 1 C"]:
        """The field in physical units, equal to the boundary values where they are prescribed.

        Raises:
            ValueError: see `branches`.
        """
        return self.branches(graph).sum(dim=1, keepdim=True)


def _check_problem(preset: str, equation: str, dim: int, channels: int | None) -> None:
    if preset not in PRESETS:
        raise ValueError(f"BENO: expected a preset of {', '.join(PRESETS)}, got {preset!r}")
    if equation not in EQUATIONS:
        raise ValueError(f"BENO: expected an equation of {', '.join(EQUATIONS)}, got {equation!r}")
    if dim not in (1, 2, 3):
        raise ValueError(f"BENO: dim: expected 1, 2 or 3, got {dim!r}")
    if equation == "elasticity" and dim == 1:
        raise ValueError("BENO: elasticity is in 2D and 3D, not in 1D; use diffusion for bars")
    expected = dim if equation == "elasticity" else 1
    if channels not in (None, expected):
        other = "elasticity" if equation == "diffusion" and channels == dim else None
        remedy = f'give equation="{other}"' if other else "leave channels out"
        raise ValueError(
            f"BENO: {equation} in {dim}D has {expected} components, got channels={channels}; "
            f"{remedy}"
        )
    if preset == "paper" and (equation, dim) != ("diffusion", 2):
        raise ValueError(f"BENO: the paper preset is for diffusion in 2D, not {equation} in {dim}D")


def _check_options(preset: str, equation: str, options: dict[str, Any]) -> None:
    known = _PAPER if preset == "paper" else _LINEAR
    if foreign := sorted(options.keys() - known):
        raise ValueError(f"BENO: the {preset} preset takes no {', '.join(foreign)}; leave them out")
    for name, value in options.items():
        if name in _SIZES and (type(value) is not int or value < 1):
            raise ValueError(f"BENO: {name}: expected an integer of at least 1, got {value!r}")
    if options.get("learned_operator") and equation == "elasticity":
        raise ValueError(
            "BENO: a learned operator is for diffusion alone: factors at the edges would let "
            "rigid motions have energy; leave learned_operator out for elasticity"
        )
    if unknown := sorted(set(options.get("defects", ())) - set(DEFECTS)):
        raise ValueError(f"BENO: unknown defect {unknown[0]!r}; there are {', '.join(DEFECTS)}")
