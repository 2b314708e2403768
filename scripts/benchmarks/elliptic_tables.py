"""`docs/elliptic.md` from the result files of `elliptic.py` and its companions."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "elliptic.md"
SECTIONS = {
    "Four-corner polygons on gmsh meshes, Dirichlet": {
        "corner_900": "900 samples; zero-shot on other shapes, sizes and sources",
        "corner_300": "300 samples, the same number of steps",
        "corner_90": "90 samples, the same number of steps",
        "corner_900_seed1": "900 samples, another seed",
        "corner_900_seed2": "900 samples, a third seed",
        "corner_900_no_tokens": "without the boundary encoder",
        "corner_900_nonlinear": "the nonlinear preset",
        "corner_900_p2": "trained on P2 labels, with a learned operator",
    },
    "Mixed conditions: a quarter of the perimeter insulated": {"mixed_900": "900 samples"},
    "The lattice of the publication, finite volumes": {
        "lattice_900": "900 samples, with a learned operator",
        "lattice_900_fixed_operator": "900 samples, P1 operator of the dual mesh",
        "paper": "the published architecture and defects; AdamW, one cycle to 3e-4, batches of 4 "
        "(published: Adam, 5e-5, batches of 1, 1,000 epochs)",
    },
    "Other problems": {
        "box": "3D box with a hole",
        "elasticity": "linear elasticity, plates with holes",
        "materials": "2 to 4 materials, contrast 1,000",
    },
    "The packaged model": {"packaged": "seven families, 300 to 5,000 nodes, mixed, k to 1,000"},
    "Electrostatics of Lötzsch et al. 2022": {
        "loetzsch_random": "BENO, randomised meshes",
        "loetzsch_fixed": "BENO, one mesh for each shape",
        "loetzsch_random_net": "MeshGraphNet, randomised meshes",
        "loetzsch_fixed_net": "MeshGraphNet, one mesh for each shape",
    },
}
HEAD = """# Elliptic problems: every figure, beside what needs no learning

Made by `python scripts/benchmarks/elliptic.py`; the files are in `scripts/benchmarks/results/`.
Errors are mass-weighted relative L2 to P1 on the same mesh (finite volumes on a lattice), means
over the samples; "to P2" is the distance to P2 at the same nodes. "label itself" is the distance
of the P1 label to P2: below it, nearer to P1 no longer means nearer to the truth. The classical
solver is scikit-fem's assembly and a sparse direct factorisation, its time without meshing. One
thread of a shared machine; times vary by a factor of two.
"""


def write() -> None:
    """Write the page; configurations without a result file are named as missing."""
    lines = [HEAD]
    for title, runs in SECTIONS.items():
        lines.append(f"## {title}\n")
        for name, what in runs.items():
            path = RESULTS / f"elliptic_{name}.json"
            if path.exists():
                lines += _run(name, what, json.loads(path.read_text()))
            else:
                lines.append(f"`{name}` ({what}): not measured.\n")
    path = RESULTS / "elliptic_ablations.json"
    if path.exists():
        lines += _ablations(json.loads(path.read_text()))
    lines += _preconditioner(json.loads((RESULTS / "preconditioner_data.json").read_text()))
    PAGE.write_text("\n".join(lines))
    print(f"wrote {PAGE.name}")


def _run(name: str, what: str, result: dict[str, Any]) -> list[str]:
    plan = result["configuration"]
    lines = [
        f"**`{name}`**: {what}. {plan['name']}, {result['parameters']:,} parameters; "
        f"{plan['train'][1]} samples of {result['nodes']} nodes on average, {result['epochs']} "
        f"epochs, {result['train_seconds'] / 60:.1f} min on {result['threads']} thread, seed "
        f"{plan['seed']}, {plan['labels'].upper()} labels.\n",
        "| test | predictor | to P1 | worst | rel. H1 | to P2 | s / sample |",
        "|---|---|---|---|---|---|---|",
    ]
    for title, rows in result["tests"].items():
        shown = f"{title}, {rows['classical']['nodes']:.0f} nodes"
        for predictor, row in rows.items():
            keys = ("relative_l2", "worst_l2", "relative_h1", "to_p2", "seconds")
            cells = [f"{row[key]:.2g}" if key in row else "" for key in keys]
            bold = "**" if predictor == "learned" else ""
            lines.append(f"| {shown} | {bold}{predictor}{bold} | {' | '.join(cells)} |")
            shown = ""
    return [*lines, ""]


def _ablations(result: dict[str, Any]) -> list[str]:
    lines = [
        "## Ablations of the data\n",
        f"`ablations`: the trained networks with damaged data, {result['samples']} samples, "
        "against the undamaged solution; beside them an exact solver with the same damage.\n",
        "| test | data | network | exact solver |",
        "|---|---|---|---|",
    ]
    for test in ("four corners", "mixed"):
        for what, row in result[test].items():
            lines.append(f"| {test} | {what} | {row['learned']:.2g} | {row['exact solver']:.2g} |")
    lines += ["", "| test | error of u_f | error of u_g | ‖u_f‖ / ‖u‖ |", "|---|---|---|---|"]
    for name, row in result["parts of u"].items():
        cells = [f"{row[key]:.2g}" for key in ("u_f", "u_g", "share of u_f")]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "Superposition defect ‖N(a + b) − N(a) − N(b)‖ / ‖N(a + b)‖: "]
    defects = result["superposition defect"].items()
    return [*lines[:-1], lines[-1] + ", ".join(f"{k} {v:.1e}" for k, v in defects) + ".", ""]


def _preconditioner(result: dict[str, Any]) -> list[str]:
    lines = [
        "## The learned preconditioner\n",
        f"`python scripts/benchmarks/preconditioner.py`: {result['parameters']:,} parameters, "
        f"{result['systems']} systems, {result['epochs']} epochs. Mean iterations of conjugate "
        "gradients to a relative residual of 1e-8 from zero; MIC(0) is modified IC(0), without "
        "learning. Times and break-even: `results/preconditioner_times.json`.\n",
        "| systems | unknowns | IC(0) | learned | MIC(0) | MIC(0), 95 % | learned / IC(0) |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in result["iterations to 1e-8"].items():
        keys = ("unknowns", "IC(0)", "learned", "MIC(0)", "MIC(0), 0.95", "learned / IC(0)")
        lines.append(f"| {name} | {' | '.join(str(row[key]) for key in keys)} |")
    return [*lines, ""]
