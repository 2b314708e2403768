"""The tutorials and examples inside the gmsh wheel against the gmsh API's own counts.

All of them with their fields and files are in docs/corpus.md (scripts/benchmarks/corpus.py); here
are those that mesh fast, in this process, one after the other: they must not disturb each other.
"""

import re
import runpy
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from meshgnn.mesher import mesh_file

ROOT = Path(__file__).parents[1]
WHEEL = Path(sys.prefix) / "share" / "doc" / "gmsh"
CORPUS = runpy.run_path(str(ROOT / "scripts" / "benchmarks" / "corpus.py"))
# What its own algorithms do not repeat from run to run.
UNSTEADY = {"examples/boolean/thicksolid.geo", "tutorials/t17.geo"}


def table():
    """{file: row} of docs/corpus.md."""
    text = (ROOT / "docs" / "corpus.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    return {row[0].removeprefix("gmsh/"): row for row in rows if row and row[0].startswith("gmsh/")}


ROWS = table()
MESHED = {name: row for name, row in ROWS.items() if row[1] and name.endswith(".geo")}


def seconds(name):
    return float(MESHED[name][7])


pytestmark = pytest.mark.skipif(not WHEEL.exists(), reason="this gmsh came without its examples")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A copy: scripts may write beside themselves."""
    return Path(shutil.copytree(WHEEL, tmp_path_factory.mktemp("corpus") / "gmsh"))


def case(name):
    return pytest.param(name, marks=pytest.mark.slow if seconds(name) > 0.6 else ())


@pytest.mark.parametrize("name", [case(name) for name in sorted(MESHED)])
def test_counts_equal_those_of_the_gmsh_api(name, files):
    """Nodes, cells by type and elements by group; the table holds the same numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert CORPUS["agreement"](files / name).startswith("=")
        mesh = mesh_file(files / name)
    assert np.isfinite(mesh.points).all()
    assert mesh.num_cells > 0
    if name not in UNSTEADY:
        assert mesh.num_nodes == int(MESHED[name][2])
        counts = dict(re.findall(r"(\d+) (\w+)", MESHED[name][1]))
        assert counts == {str(len(block)): kind for kind, block in mesh.cells.items()}


def test_every_file_of_the_wheel_is_in_the_table():
    names = {p.relative_to(WHEEL).as_posix() for p in WHEEL.rglob("*")}
    assert {name for name in names if Path(name).suffix in CORPUS["GMSH"]} == set(ROWS)


def test_the_table_has_no_disagreement_and_a_reason_for_every_gap():
    for name, row in ROWS.items():
        _, cells, _, _, gmsh, _, vtu, _, why = row
        assert gmsh != "NO", name
        assert vtu != "NO", name
        assert vtu == "=" or why, name
        assert cells or why, name
    assert sum(row[6] == "=" for row in ROWS.values()) > 90


def test_files_without_geometry_say_so(files):
    with pytest.raises(ValueError, match="no cells of dimension 1: the model has 0 curves"):
        mesh_file(files / "examples" / "struct" / "struct.geo")
