"""The shipped meshes: the table says what the files hold, and the sources give the files."""

import re
import runpy
import shutil
from pathlib import Path

import meshio
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "meshes"
DIMENSION = {"vertex": 0, "line": 1, "triangle": 2, "quad": 2}


def table():
    lines = (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    return {row[0]: row for row in rows[2:]}


def held(path):
    """(cells of the highest dimension, nodes, groups, format) as meshio and the header say."""
    mesh = meshio.read(path)
    dims = {block.type: DIMENSION.get(block.type, 3) for block in mesh.cells}
    top = [block for block in mesh.cells if dims[block.type] == max(dims.values())]
    cells: dict[str, int] = dict.fromkeys((block.type for block in top), 0)
    for block in top:
        cells[block.type] += len(block.data)
    groups = {name: int(dim) for name, (_, dim) in mesh.field_data.items()}
    version, binary = path.read_bytes().split(b"\n")[1].split()[:2]
    form = f"{version.decode()} {'binary' if binary == b'1' else 'ASCII'}"
    return mesh, cells, groups, form


def test_every_file_is_in_the_table():
    names = {path.name for path in FOLDER.glob("*.msh")}
    assert names == set(table())
    assert names == {path.stem + ".msh" for path in FOLDER.glob("*.geo")}
    assert 8 <= len(names) <= 12
    assert {"plate.msh", "bracket.msh"} <= names


@pytest.mark.parametrize("name", sorted(table()))
def test_table_agrees_with_the_file(name):
    _, what, cells, nodes, groups, form = table()[name]
    path = FOLDER / name
    mesh, counts, dims, header = held(path)
    assert path.stat().st_size < 300_000
    assert what
    assert set(cells.split(", ")) == {f"{count} {kind}" for kind, count in counts.items()}
    assert int(nodes) == len(mesh.points)
    assert dict(re.findall(r"`(\w+)` \((\d)D\)", groups)) == {k: str(v) for k, v in dims.items()}
    assert form == header
    tagged = np.unique(np.concatenate(mesh.cell_data["gmsh:physical"])).tolist()
    assert sorted({int(tag) for tag, _ in mesh.field_data.values()}) == tagged  # none is empty


def test_the_set_covers_dimensions_types_and_formats():
    texts = [" | ".join(row) for row in table().values()]
    for word in (" line", " triangle", " quad,", " quad ", " tetra", " hexahedron", " wedge"):
        assert any(word in text for text in texts), word
    for form in ("2.2 ASCII", "4.1 ASCII", "4.1 binary"):
        assert any(form in text for text in texts), form
    plate = int(table()["plate.msh"][3])
    assert 400 <= plate <= 900


def test_sources_give_the_shipped_files(tmp_path):
    """Rounded, since other gmsh versions differ in the last digits."""
    for geo in FOLDER.glob("*.geo"):
        shutil.copy(geo, tmp_path)
    runpy.run_path(str(ROOT / "scripts" / "make_meshes.py"))["main"](tmp_path)
    assert (tmp_path / "README.md").read_bytes() == (FOLDER / "README.md").read_bytes()
    for path in FOLDER.glob("*.msh"):
        shipped, made = meshio.read(path), meshio.read(tmp_path / path.name)
        np.testing.assert_allclose(made.points, shipped.points, atol=1e-12)
        for one, other in zip(made.cells, shipped.cells, strict=True):
            np.testing.assert_array_equal(one.data, other.data)
