"""`docs/movers.md` from the result files of `movers.py`."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "movers.md"
HEAD = """# Meshes that move: every figure

Made by `python scripts/benchmarks/movers.py`; the files are in `scripts/benchmarks/results/`.
Volumes are signed. The share of a cell is the integral of the monitor over the moved cell by the
volume of the cell of the reference; std and range ratios are those of the shares, moved over
unmoved, CV is std over mean. Interpolation and FEM errors are L2, against the function itself,
moved over unmoved. CPU seconds of one thread of a shared machine.
"""
FIELDS = """Functions of one to three fronts, rims of discs and bumps, 2 to 5 edges thin,
on eight families of meshes (squares, polygons, domains with holes), no two cases alike. Runs that
end in `mover` are of the packaged weights, the others of the classical mesh. "failed" are those
where its iteration diverged and said so; they are left out. Mean, median, worst:
"""
SHARES = """Shares of the cases: std ratio within the bar (0.20 at scale 1, 0.35 at 0.1), within
1.5 times that of the classical mesh, no angle below 5°, interpolation error not above that of the
mesh given; the mean std ratio on the families that the mover was trained on and on the other five:
"""
SPEED = """CPU seconds of one thread. "learned": `mg.adapt` with the packaged weights, everything
included; of these, the call of the network in "forward", what depends on the mesh alone in "mesh".
"classical": at its end, and stopped at the first iteration as even as the learned mesh, where it
gets there.
"""
SHOWN = ("std_ratio", "of_classical", "range_ratio", "cv_after", "interpolation_ratio", "seconds")


SHORT = """## Aims that are missed, or not measured

Of the tables above: interpolation error 0.70 on average and never above 1; equidistribution and
closeness to the classical mesh in every case (they hold on average); angles of classical meshes
with gradient monitors; five times the speed at 10,000 nodes; a gain of the moving solver. The
cube with the default monitor keeps 0.68 of its spread (0.5 with gradients is met). Beyond them:
one step below 1/50 of the mean square of persistence (Burgers 1/9, wake 1/24); a range of the
shares below 0.35 of that before, on average, at scale 0.1 (0.38 classical, 0.59 learned); a way
to the moved mesh and back below 1 % (5 % on fronts, 2.4 % in wakes). Not measured: the
determinant of I + H at 20,000 points (cells are checked instead), monitors at scale 0.01, the
published mover of `preset="paper"` on held-out fields.
"""


def write() -> None:
    """Write the page; runs without a result file are named as missing."""
    from movers import RUNS
    from movers_solver_tables import section

    lines = [HEAD, "## Cases with published figures\n"]
    found = _read("references")
    lines += ["`references`: not measured.\n"] if found is None else _references(found)
    lines += ["## Held-out fields\n", FIELDS]
    names = [name for name in RUNS if name.startswith("fields")]
    lines += [
        "| run | cases | nodes | " + " | ".join(SHOWN) + " | folded | outside | angle | failed |"
    ]
    lines += ["|---" * (len(SHOWN) + 7) + "|"]
    lines += [_fields(name, _read(name)) for name in names]
    lines += ["", SHARES, "| run | bar | classical | angle | interpolation | trained | unseen |"]
    files = [(name, _read(name)) for name in names]
    lines += ["|---" * 7 + "|", *(_shares(name, file) for name, file in files if file)]
    lines += ["", "## The packaged weights\n", *_training(_read("train"))]
    lines += ["## Time at 10,000 nodes\n", *_speed(_read("speed"))]
    lines += ["", *section(), SHORT]
    PAGE.write_text("\n".join(lines) + "\n")
    print(f"wrote {PAGE.name}")


def _read(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"movers_{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def _references(found: dict[str, Any]) -> list[str]:
    lines = []
    for case, rows in found.items():
        columns = list(dict.fromkeys(key for row in rows.values() for key in row))
        lines += [f"| {case} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
        for name, row in rows.items():
            cells = [f"{row[c]:.3g}" if c in row else "" for c in columns]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        lines.append("")
    published = (
        "Published (movement, its demonstrations): Helmholtz CV 0.473 to 0.0257, error ratio "
    )
    return [*lines, published + "0.58; ring CV 1.21 to 0.349, each on its own triangles.\n"]


def _fields(name: str, found: dict[str, Any] | None) -> str:
    if found is None:
        return f"| `{name}` | not measured |" + " |" * (len(SHOWN) + 5)
    ratios = [", ".join(f"{v:.3g}" for v in found.get(key, [])) for key in SHOWN]
    low, high = found["nodes"]
    rest = [found["folded"], found["outside"], f"{found['smallest_angle']:.3g}°", found["failed"]]
    return _line(f"`{name}`", found["count"], f"{low} to {high}", *ratios, *rest)


def _line(*cells: Any) -> str:
    return "| " + " | ".join(f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells) + " |"


def _shares(name: str, found: dict[str, Any]) -> str:
    """How many cases meet what is asked for."""
    parts = [found["share"], found.get("classical_share"), found["angle_share"]]
    parts.append(1 - found["not_better"] / found["count"])
    shares = ["" if part is None else f"{100 * part:.1f} %" for part in parts]
    return _line(f"`{name}`", *shares, found["std_ratio_trained"], found["std_ratio_unseen"])


def _training(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return ["`train`: not measured.\n"]
    monitors = ", ".join(f"{kind} {scale:g}" for kind, scale in found["monitors"])
    losses = "; ".join(f"{loss[0]:.3g} to {loss[-1]:.3g}" for loss in found["loss"])
    epochs = " and ".join(str(phase[0]) for phase in found["phases"])
    lines = [
        f"{found['cases']} fields on as many meshes of three families, no labels, {epochs} epochs, "
        "the last ones with a weight on the mean distortion, and the mean of the weights before "
        f"and after these; {found['seconds'] / 60:.0f} CPU minutes of one thread, one seed. "
        f"Monitors: {monitors}. Losses {losses}. Validation cases of the same families, mean, "
        "worst:\n",
        "| monitor | std_ratio | smallest_angle | interpolation_ratio | folded or outside |",
        "|---" * 5 + "|",
    ]
    for name, row in found["validation"].items():
        pairs = [", ".join(f"{v:.3g}" for v in row[k]) for k in ("std_ratio", "smallest_angle")]
        lines.append(_line(name, *pairs, row["interpolation_ratio"], row["bad"]))
    return [*lines, ""]


def _speed(found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return ["`speed`: not measured.\n"]
    head = ["case", "nodes", "learned: s", "forward", "mesh", "std_ratio", "angle"]
    head += ["classical: s", "std_ratio", "angle", "as even: s", "iterations", "times faster"]
    lines = [SPEED, _line(*head), "|---" * len(head) + "|"]
    for name, row in found["cases"].items():
        ours, end, even = row["learned"], row["classical"], row.get("as_even")
        cells = [ours[k] for k in ("seconds", "forward", "mesh", "std_ratio", "smallest_angle")]
        cells += [end[k] for k in ("seconds", "std_ratio", "smallest_angle")]
        if even is None:
            cells += ["never", "", ""]
        else:
            cells += [even["seconds"], even["iterations"], even["seconds"] / ours["seconds"]]
        lines.append(_line(name, row["nodes"], *cells))
    return [
        *lines,
        f"\nTraining took {found['training']:.0f} s; a mesh saves {found['saved']:.3g} s on "
        "average over the classical one at its end: break-even after "
        f"{found['break_even']:.0f} meshes.",
    ]
