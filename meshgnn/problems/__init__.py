"""Partial differential equations as frozen dataclasses; `PROBLEMS` maps names to classes.

`meshgnn.problems.Poisson` and `PROBLEMS["Poisson"]` are the same class; both import it on access.
"""

from typing import Any

from meshgnn.lazy import LazyMapping

PROBLEMS = LazyMapping(
    {
        "Poisson": "meshgnn.problems.poisson:Poisson",
        "LinearElasticity": "meshgnn.problems.elasticity:LinearElasticity",
        "Heat": "meshgnn.problems.heat:Heat",
        "AdvectionDiffusion": "meshgnn.problems.advection_diffusion:AdvectionDiffusion",
        "Burgers": "meshgnn.problems.burgers:Burgers",
        "CombinedEquation": "meshgnn.problems.combined_equation:CombinedEquation",
        "FitzHughNagumo": "meshgnn.problems.fitz_hugh_nagumo:FitzHughNagumo",
        "MaterialPoints": "meshgnn.problems.material_points:MaterialPoints",
        "Elastodynamics": "meshgnn.problems.elastodynamics:Elastodynamics",
        "NavierStokes": "meshgnn.problems.navier_stokes:NavierStokes",
        "Wave": "meshgnn.problems.wave:Wave",
    }
)
__all__ = ["PROBLEMS"]


def __getattr__(name: str) -> Any:
    if name in PROBLEMS:
        return PROBLEMS[name]
    raise AttributeError(f"meshgnn.problems has no {name!r}; it has {', '.join(__dir__())}")


def __dir__() -> list[str]:
    return sorted(["PROBLEMS", *PROBLEMS])
