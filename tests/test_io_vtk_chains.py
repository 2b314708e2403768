"""VTK files with polylines and triangle strips, and files that end too early."""

import numpy as np
import pytest
from sample_builders import square

from meshgnn.io import read, read_fields, write

pv = pytest.importorskip("pyvista")


@pytest.mark.parametrize("suffix", [".vtu", ".vtk"])
def test_polylines_and_strips_are_lines_and_triangles(suffix, tmp_path):
    """A strip over 2 x 1 squares has 4 triangles of area 1/2 that turn alike; arrays follow."""
    points = np.array([[0.0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 1, 0], [2, 0, 0], [2, 1, 0]])
    for number, kind, count, size in ((6, "triangle", 4, 2.0), (4, "line", 5, 3 + 2 * 2**0.5)):
        grid = pv.UnstructuredGrid(np.array([6, *range(6)]), [number], points)
        grid.cell_data["part"] = [7]
        grid.save(tmp_path / f"a{suffix}")
        mesh, _, cell = read_fields(tmp_path / f"a{suffix}")
        assert mesh.cells[kind].shape == (count, mesh.dim + 1)
        assert mesh.volumes.sum() == pytest.approx(size) and (mesh.volumes > 0).all()
        np.testing.assert_array_equal(cell["part"], [7] * count)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_vtu_that_was_cut_off(share, tmp_path):
    path = tmp_path / "a.vtu"
    write(path, square())
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match="a.vtu: the file was cut off"):
        read(path)


@pytest.mark.parametrize(
    "piece", ["", '<Piece NumberOfPoints="0"/>', "<Piece><Points/><Cells/></Piece>"]
)
def test_a_vtu_without_points_or_cells(piece, tmp_path):
    kind, path = "UnstructuredGrid", tmp_path / "a.vtu"
    path.write_text(f'<VTKFile type="{kind}"><{kind}>{piece}</{kind}></VTKFile>')
    with pytest.raises(ValueError, match="a.vtu: it holds no points or cells"):
        read(path)
