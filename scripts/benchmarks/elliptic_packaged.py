"""The packaged model `mg.load("poisson")`: made, and measured on meshes that it never saw.

    python scripts/benchmarks/elliptic.py packaged    # train it, results/elliptic_packaged.json
    python scripts/benchmarks/elliptic_packaged.py    # install and measure it, docs/poisson.md

Unseen: the plane meshes of `meshes/`, and every plane mesh of 100 to 6,000 nodes in one piece among
the tutorials and examples that come with gmsh. On each, random problems with mixed conditions and
variable k, a third of them with jumps; `certify` and `polish` run on every prediction.
"""

import json
import tempfile
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from corpus import corpus
from elliptic import RESULTS, trained
from elliptic_data import SHAPES, mixed_poisson, problem, samples

import meshgnn as mg
from meshgnn.mesh import Mesh
from meshgnn.metrics import inverse_distance, relative_l2

ROOT = Path(__file__).resolve().parents[2]
DRAWS, NODES = 6, (100, 6000)
HEAD = """# Model card of `mg.load("poisson")`

`BENO()`, linear preset, {parameters:,} parameters, {size:.0f} kB: −∇·(k∇u) = f on any plane mesh,
with Dirichlet, Neumann and Robin parts and k that may jump.

- **Trained on** {samples} problems on as many meshes: squares with cut corners, L shapes, polygons,
  discs with holes, annuli, plates with holes, channels with an obstacle; 300 to 5,000 nodes; k
  constant, smooth to contrast 100, or 2 to 4 materials to contrast 1,000; a quarter of the boundary
  groups Neumann, 15 % Robin; P1 labels; {minutes:.0f} minutes on a core, {epochs} epochs, one seed
- **Made by** `python scripts/benchmarks/elliptic.py packaged`, measured by
  `python scripts/benchmarks/elliptic_packaged.py`.
- **Limits**: plane problems (the weights run in 3D, but were not trained there: `BENO(dim=3)`);
  isotropic k; cells that are not much longer than wide; accuracy falls beyond some 6,000 nodes,
  where the coarse space ends. Quads are split into triangles: on the meshes of quads below the
  error is the distance of P1 on the split to bilinear elements. What the error of a prediction is,
  `certify` says, and `polish` removes it. A sparse direct solver is faster.

Errors are mass-weighted relative L2 to P1 on the same mesh. "estimate" is the algebraic energy
error that `certify` finds without the truth, relative; "true" is that error itself. "from u" and
"from 0" are the iterations that `polish` takes to 1e-10 from the prediction and from zero.
"""


def main() -> None:
    torch.set_num_threads(1)
    model = trained("packaged")
    weights = ROOT / "meshgnn" / "weights" / "poisson.pt"
    mg.save(model, weights)
    path = RESULTS / "elliptic_packaged_unseen.json"
    if not path.exists():
        rows = {"seen": seen(model), "unseen": unseen(model)}
        path.write_text(json.dumps(rows, indent=1) + "\n")
    card(json.loads(path.read_text()), weights.stat().st_size)


def seen(model: torch.nn.Module) -> dict[str, dict[str, float]]:
    """Held-out samples of the training's families, and of two families that it never saw."""
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    for name, count in (("many", 140), ("aerofoil", 20), ("u", 20)):
        for i, truth in enumerate(samples(name, 1, count)):
            family = SHAPES[i % len(SHAPES)] if name == "many" else f"{name}, not trained on"
            found[family].append(measured(model, truth.mesh, problem(name, 1, i)[1]))
    return {name: means(rows) for name, rows in found.items()}


def unseen(model: torch.nn.Module) -> dict[str, dict[str, float]]:
    """{mesh: means over DRAWS problems}."""
    result = {}
    for name, mesh in meshes().items():
        rows = []
        for i in range(DRAWS):
            drawn = mixed_poisson(mesh, np.random.default_rng([21, i]), i)
            rows.append(measured(model, mesh, drawn))
        result[name] = means(rows)
        print(name, result[name], flush=True)
    return result


def meshes() -> dict[str, Mesh]:
    """Plane meshes that nothing was trained on."""
    found = {f"meshes/{p.name}": p for p in sorted((ROOT / "meshes").glob("*.msh"))}
    result = {}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, path in (found | corpus(Path(folder))).items():
            try:
                mesh = mg.read(path)
                mesh.check()
            except Exception as error:  # what cannot be read or solved on is in docs/corpus.md
                print(f"{name}: left out, {str(error).splitlines()[0][:80]}", flush=True)
                continue
            plane = mesh.dim == 2 and mesh.points.shape[1] == 2
            if plane and NODES[0] <= mesh.num_nodes <= NODES[1]:
                result[name] = mesh
    return result


def measured(model: torch.nn.Module, mesh: Mesh, given: Any) -> dict[str, float]:
    """Errors of one prediction, what `certify` says of it, and what `polish` costs."""
    truth = given.solve(mesh)
    found = mg.predict(model, given.sample(mesh))
    certificate = mg.certify(given, found)
    polished = certificate.polish(1e-10, from_zero=True).meta["polish"]
    energy, gap = certificate.equations.energy_norm, (found.u - truth.u).ravel()
    mass = mesh.lumped_mass
    return {
        "nodes": mesh.num_nodes,
        "error": relative_l2(found.u, truth.u, mass),
        "idw": relative_l2(inverse_distance(given.sample(mesh)), truth.u, mass),
        "label": relative_l2(truth.u, given.solve(mesh, order=2).u, mass),
        "estimate": certificate.relative(certificate.algebraic),
        "true": energy(gap) / energy(truth.u.ravel()),
        "from_prediction": polished["iterations"],
        "from_zero": polished["iterations_from_zero"],
    }


def means(rows: list[dict[str, float]]) -> dict[str, float]:
    mean = {key: float(f"{np.mean([row[key] for row in rows]):.4g}") for key in rows[0]}
    return mean | {"worst": max(row["error"] for row in rows), "problems": len(rows)}


def card(rows: dict[str, dict[str, dict[str, float]]], size: int) -> None:
    """docs/poisson.md."""
    made = json.loads((RESULTS / "elliptic_packaged.json").read_text())
    lines = [
        HEAD.format(
            parameters=made["parameters"],
            size=size / 1e3,
            samples=made["configuration"]["train"][1],
            minutes=made["train_seconds"] / 60,
            epochs=made["epochs"],
        )
    ]
    columns = ["nodes", "problems", "error", "worst", "IDW", "P1 to P2", "estimate", "true"]
    for title, table in rows.items():
        lines += [f"## {title.capitalize()}\n", f"| | {' | '.join(columns)} | from u | from 0 |"]
        lines.append("|---" * (len(columns) + 3) + "|")
        for name, row in table.items():
            keys = ["error", "worst", "idw", "label", "estimate", "true"]
            cells = [f"{row['nodes']:.0f}", f"{row['problems']}", *(f"{row[k]:.2g}" for k in keys)]
            cells += [f"{row[k]:.1f}" for k in ("from_prediction", "from_zero")]
            lines.append(f"| {name} | {' | '.join(cells)} |")
        lines.append("")
    (ROOT / "docs" / "poisson.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
