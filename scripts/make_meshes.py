"""Make NAME.msh from every NAME.geo of a folder with gmsh, and the table in its README.md.

    python scripts/make_meshes.py [FOLDER]          (FOLDER: meshes)

Format (2.2 or 4.1, ASCII or binary) and sizes are options inside the .geo files, so that
`gmsh -3 NAME.geo` makes the same mesh.
"""

import sys
from pathlib import Path

from meshgnn.mesher import current_mesh, generate, session

INTRO = """# Meshes

Small meshes with named boundaries, each made by gmsh {version} from the .geo file beside it:
`python scripts/make_meshes.py`. Groups are gmsh's physical groups, with their dimension.

| file | what it is | cells | nodes | groups | format |
|---|---|---|---|---|---|
"""


def make(geo: Path) -> str:
    """Write NAME.msh beside NAME.geo; returns its row of the table."""
    with session() as gmsh:
        gmsh.parser.clear()
        gmsh.open(str(geo))
        generate(gmsh.model.getDimension())
        gmsh.write(str(geo.with_suffix(".msh")))
        mesh = current_mesh()
        version = gmsh.option.getNumber("Mesh.MshFileVersion")
        binary = gmsh.option.getNumber("Mesh.Binary")
    what = geo.read_text(encoding="utf-8").splitlines()[0].removeprefix("//").strip()
    cells = ", ".join(f"{len(block)} {name}" for name, block in mesh.cells.items())
    groups = ", ".join(f"`{name}` ({group.dim}D)" for name, group in mesh.groups.items())
    form = f"{version:.1f} {'binary' if binary else 'ASCII'}"
    return f"| {geo.stem}.msh | {what} | {cells} | {mesh.num_nodes} | {groups} | {form} |\n"


def main(folder: Path) -> None:
    rows = [make(geo) for geo in sorted(folder.glob("*.geo"))]
    with session() as gmsh:
        version = gmsh.option.getString("General.Version")
    text = INTRO.format(version=version) + "".join(rows)
    (folder / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    default = Path(__file__).parents[1] / "meshes"
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else default)
