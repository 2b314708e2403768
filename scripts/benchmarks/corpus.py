"""Files that nobody here wrote: read → Poisson → .vtu → read, and the table of what came out.

    python scripts/benchmarks/corpus.py             all files; resumes, writes docs/corpus.md
    python scripts/benchmarks/corpus.py FILE        one file, its result as JSON

The files are the tutorials and examples of the gmsh wheel and the example meshes of PyVista. Each
runs in a process of its own, since gmsh may crash or not return; results are kept in out/corpus.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import meshgnn as mg
from meshgnn.mesher import current_mesh, mesh_file, session

ROOT = Path(__file__).parents[2]
LIMIT = 120  # seconds
DEFAULT = "boundary"  # the group that Mesh adds where no boundary part is named
GMSH = {".geo", ".step", ".stp", ".brep", ".stl", ".msh"}
PYVISTA = {".ply", ".vtk", ".vti", ".vtu", ".vtp"}
HEAD = """# Files that nobody here wrote

Made by `python scripts/benchmarks/corpus.py`: every .geo, .step, .stp, .stl and .msh file of the
gmsh wheel (share/doc/gmsh) and the example meshes of PyVista, read or meshed at their own sizes.
{summary}

- *gmsh*: node, cell and group counts equal those of the gmsh API for the same .geo model.
- *max u*: of −Δu = 1 with u = 0 on the whole boundary, P1.
- *.vtu*: points, cells, groups and u read back equal from a .vtu file.
- Warnings are those of the package (what was left out) and of gmsh.

| file | cells | nodes | groups | gmsh | max u | .vtu | s | why not, or a warning |
|---|---|---|---|---|---|---|---|---|
"""


def corpus(copies: Path) -> dict[str, Path]:
    """{name: path} of a copy of the files there are, since scripts may write beside themselves."""
    folders = {"gmsh": (Path(sys.prefix) / "share" / "doc" / "gmsh", GMSH)}
    if spec := find_spec("pyvista"):
        folders["pyvista"] = (Path(str(spec.origin)).parent / "examples", PYVISTA)
    files = {}
    for name, (folder, suffixes) in folders.items():
        if folder.exists() and not (copies / name).exists():
            shutil.copytree(folder, copies / name)
        found = [p.relative_to(folder).as_posix() for p in sorted(folder.rglob("*"))]
        files |= {f"{name}/{p}": copies / name / p for p in found if Path(p).suffix in suffixes}
    return files


def agreement(path: Path) -> str:
    """Whether `current_mesh` has the nodes, cells and groups of the model that gmsh holds."""
    with session() as gmsh, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `one` has them already
        gmsh.parser.clear()
        gmsh.option.setNumber("General.AbortOnError", 0)
        gmsh.open(str(path))
        gmsh.model.mesh.generate(gmsh.model.getDimension())
        mesh = current_mesh()
        elements, top = gmsh.model.mesh.getElements, mesh.dim
        groups, tagged = [], set()
        for dim, tag in gmsh.model.getPhysicalGroups():
            entities = gmsh.model.getEntitiesForPhysicalGroup(dim, tag)
            groups.append(sum(sum(map(len, elements(dim, e)[1])) for e in entities))
            tagged |= set(entities) if dim == top else set()
        cells: dict[int, int] = {}
        nodes: set[int] = set()
        for entity in tagged or [tag for _, tag in gmsh.model.getEntities(top)]:
            for kind, tags, corners in zip(*elements(top, entity), strict=True):
                width = gmsh.model.mesh.getElementProperties(kind)[5]
                cells[width] = cells.get(width, 0) + len(tags)
                nodes |= set(corners.reshape(len(tags), -1)[:, :width].ravel().tolist())
    ours = {block.shape[1]: len(block) for block in mesh.cells.values()}
    if (len(nodes), cells) != (mesh.num_nodes, ours):
        return "NO"
    sizes = [sum(map(len, g.cells.values())) for name, g in mesh.groups.items() if name != DEFAULT]
    if sorted(sizes) == sorted(groups):
        return "="
    return "= but for loose parts" if sum(sizes) < sum(groups) else "NO"


def parts(mesh: mg.Mesh) -> list[tuple[np.ndarray, mg.Mesh]]:
    """Nodes and mesh of every connected component."""
    found = []
    for label in range(mesh.components.max() + 1):
        nodes = np.flatnonzero(mesh.components == label)
        inside = {n: c[mesh.components[c[:, 0]] == label] for n, c in mesh.cells.items()}
        cells = {n: np.searchsorted(nodes, c) for n, c in inside.items() if len(c)}
        found.append((nodes, mg.Mesh(mesh.points[nodes], cells)))
    return found


def field(mesh: mg.Mesh, row: dict) -> None:
    """Poisson on the mesh and back from a file, into the row."""
    if not len(mesh.boundary_nodes):
        row["why"] = "a closed surface: no boundary to prescribe"
        return
    problem = mg.problems.Poisson(source=1.0, dirichlet={"*": 0.0})
    u = np.zeros((1, mesh.num_nodes, 1))
    pieces = parts(mesh)
    for nodes, piece in pieces:
        u[:, nodes] = problem.solve(piece).u
    if len(pieces) > 1:
        row["warnings"] = [f"{len(pieces)} parts that do not touch, each solved by itself"]
    sample = problem.sample(mesh).with_solution(u)
    row["max u"] = float(u.max())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "u.vtu"
        mg.write(path, sample)
        back, arrays, _ = mg.io.read_fields(path)
    same = np.array_equal(back.points, mesh.points) and set(back.groups) == set(mesh.groups)
    same &= all(np.array_equal(back.cells[name], block) for name, block in mesh.cells.items())
    row[".vtu"] = bool(same and np.array_equal(arrays["u"].ravel(), u.ravel()))


def one(path: Path) -> dict:
    row: dict = {"warnings": []}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = time.perf_counter()
        try:
            mesh = mesh_file(path) if path.suffix == ".stl" else mg.read(path)
            row["s"] = time.perf_counter() - start
            row |= {"nodes": mesh.num_nodes, "groups": list(mesh.groups)}
            row["cells"] = {name: len(block) for name, block in mesh.cells.items()}
            row["d"] = mesh.points.shape[1]
            if path.suffix == ".geo":
                row["gmsh"] = agreement(path)
            field(mesh, row)
        except Exception as error:  # whatever it is, it goes into the table
            row["why"] = f"{type(error).__name__}: {error}"
    row["warnings"] += dict.fromkeys(str(warning.message) for warning in caught)
    return row


def isolated(path: Path) -> dict:
    command = [sys.executable, __file__, path.resolve()]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return {"why": f"not done in {LIMIT} s", "warnings": []}
    if done.returncode:
        return {"why": f"the process ended with {done.returncode}", "warnings": []}
    return json.loads(done.stdout.splitlines()[-1])


def line(name: str, row: dict) -> str:
    cells = ", ".join(f"{count} {kind}" for kind, count in row.get("cells", {}).items())
    groups = ", ".join(row.get("groups", []))
    groups = groups if len(groups) < 60 else f"{len(row['groups'])} groups"
    u = f"{row['max u']:.4g}" if "max u" in row else ""
    vtu = {True: "=", False: "NO", None: ""}[row.get(".vtu")]
    seconds = f"{row['s']:.2f}" if "s" in row else ""
    remark = row.get("why") or "; ".join(row["warnings"])
    remark = remark.replace("\n", " ").replace("|", "/")
    remark = remark if len(remark) < 220 else remark[:217] + "..."
    parts = [
        name,
        cells,
        row.get("nodes", ""),
        groups,
        row.get("gmsh", ""),
        u,
        vtu,
        seconds,
        remark,
    ]
    return "| " + " | ".join(map(str, parts)) + " |\n"


def main() -> None:
    results = ROOT / "out" / "corpus"
    copies = results / "files"
    rows = {}
    for name, path in corpus(copies).items():
        kept = results / (name.replace("/", "__") + ".json")
        if not kept.exists():
            kept.write_text(json.dumps(isolated(path)), encoding="utf-8")
            print(line(name, json.loads(kept.read_text(encoding="utf-8"))), end="", flush=True)
        rows[name] = json.loads(kept.read_text(encoding="utf-8").replace(f"{copies}/", ""))
    read = sum("cells" in row for row in rows.values())
    solved = sum(".vtu" in row for row in rows.values())
    summary = f"{len(rows)} files: {read} give a mesh, {solved} of them a field and its .vtu."
    text = HEAD.format(summary=summary) + "".join(line(*item) for item in rows.items())
    (ROOT / "docs").mkdir(exist_ok=True)
    (ROOT / "docs" / "corpus.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(one(Path(sys.argv[1]))))
    else:
        main()
