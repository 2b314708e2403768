"""VTK's XML and legacy files from elsewhere: every encoding, lattices, surfaces, damaged ones."""

import base64
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from meshgnn.io import read, read_fields, read_frames

xml = pytest.importorskip("vtkmodules.vtkIOXML")
legacy = pytest.importorskip("vtkmodules.vtkIOLegacy")
pv = pytest.importorskip("pyvista")

RNG = np.random.default_rng(5)
EXAMPLES = Path(pv.examples.__file__).parent


MODES = list(product(("Ascii", "Binary", "Appended"), (0, 1), ("None", "ZLib", "LZMA"),
                     ("UInt32", "UInt64")))  # fmt: skip


def beam():
    grid = pv.examples.load_hexbeam()
    grid["v"] = RNG.random((grid.n_points, 3))
    grid.field_data["note"] = np.array(["text, which ParaView writes too"])
    return grid


def vtu(path: Path, grid, mode="Binary", encode=1, compressor="ZLib", header="UInt64") -> Path:
    writer = xml.vtkXMLUnstructuredGridWriter()
    writer.SetInputData(grid)
    writer.SetFileName(str(path))
    getattr(writer, f"SetDataModeTo{mode}")()
    getattr(writer, f"SetCompressorTypeTo{compressor}")()
    getattr(writer, f"SetHeaderTypeTo{header}")()
    writer.SetEncodeAppendedData(encode)
    writer.Write()
    return path


@pytest.mark.parametrize(("mode", "encode", "compressor", "header"), MODES)
def test_every_encoding_that_vtk_writes(mode, encode, compressor, header, tmp_path):
    grid = beam()
    path = vtu(tmp_path / "a.vtu", grid, mode, encode, compressor, header)
    mesh, point, cell = read_fields(path)
    np.testing.assert_allclose(mesh.points, grid.points, atol=1e-6)
    np.testing.assert_array_equal(mesh.cells["hexahedron"], grid.cells.reshape(-1, 9)[:, 1:])
    np.testing.assert_allclose(point["v"], grid["v"])
    np.testing.assert_array_equal(cell["sample_cell_scalars"], grid["sample_cell_scalars"])
    assert "note" not in point


def test_lz4_is_refused_with_the_remedy(tmp_path):
    path = vtu(tmp_path / "a.vtu", beam(), compressor="LZ4")
    with pytest.raises(ValueError, match="a.vtu: vtkLZ4DataCompressor is not known here; save it"):
        read(path)


PIECES = """<VTKFile type="UnstructuredGrid" version="0.1" byte_order="BigEndian">
<UnstructuredGrid>
<Piece NumberOfPoints="3" NumberOfCells="1"><PointData><DataArray type="Float32" Name="u">
1 2 3</DataArray></PointData><CellData/><Points><DataArray type="Float32"
NumberOfComponents="3">0 0 0 1 0 0 0 1 0</DataArray></Points><Cells>
<DataArray type="Int32" Name="connectivity">0 1 2</DataArray>
<DataArray type="Int32" Name="offsets">3</DataArray>
<DataArray type="UInt8" Name="types">5</DataArray></Cells></Piece>
<Piece NumberOfPoints="4" NumberOfCells="1"><PointData><DataArray type="Float32" Name="u">
4 5 6 7</DataArray></PointData><CellData/><Points><DataArray type="Float32"
NumberOfComponents="3">2 0 0 3 0 0 2 1 0 3 1 0</DataArray></Points><Cells>
<DataArray type="Int32" Name="connectivity">0 1 2 3</DataArray>
<DataArray type="Int32" Name="offsets">4</DataArray>
<DataArray type="UInt8" Name="types">8</DataArray></Cells></Piece>
</UnstructuredGrid></VTKFile>"""


def test_two_pieces_and_a_pixel(tmp_path):
    """Of several pieces meshio keeps the last."""
    (tmp_path / "a.vtu").write_text(PIECES)
    mesh, point, _ = read_fields(tmp_path / "a.vtu")
    np.testing.assert_array_equal(mesh.cells["triangle"], [[0, 1, 2]])
    np.testing.assert_array_equal(mesh.cells["quad"], [[3, 4, 6, 5]])
    np.testing.assert_array_equal(point["u"], np.arange(1, 8))
    assert mesh.volumes.min() > 0


@pytest.mark.parametrize(("binary", "version"), list(product((False, True), (42, 51))))
def test_every_legacy_file_that_vtk_writes(binary, version, tmp_path):
    grid = beam()
    del grid.field_data["note"]
    grid["colours"] = RNG.integers(0, 255, (grid.n_points, 4)).astype(np.uint8)
    grid.GetPointData().SetActiveScalars("colours")
    grid.GetPointData().SetActiveVectors("v")
    writer = legacy.vtkUnstructuredGridWriter()
    writer.SetInputData(grid)
    writer.SetFileName(str(tmp_path / "a.vtk"))
    writer.SetFileType(2 if binary else 1)
    writer.SetFileVersion(version)
    writer.Write()
    mesh, point, cell = read_fields(tmp_path / "a.vtk")
    np.testing.assert_array_equal(mesh.cells["hexahedron"], grid.cells.reshape(-1, 9)[:, 1:])
    np.testing.assert_allclose(point["v"], grid["v"], atol=1e-6)
    assert point["colours"].shape == (99, 4)
    np.testing.assert_array_equal(cell["sample_cell_scalars"], grid["sample_cell_scalars"])


@pytest.mark.parametrize("suffix", [".vtk", ".vtp", ".ply", ".stl"])
@pytest.mark.parametrize("binary", [False, True])
def test_surfaces(suffix, binary, tmp_path):
    sphere = pv.Sphere(theta_resolution=8, phi_resolution=8)
    sphere.save(tmp_path / f"a{suffix}", binary=binary)
    mesh = read(tmp_path / f"a{suffix}")
    assert (mesh.num_nodes, mesh.num_cells) == (sphere.n_points, sphere.n_cells)
    assert mesh.points.shape[1] == 3 and not mesh.groups
    np.testing.assert_allclose(mesh.volumes.sum(), sphere.area, rtol=1e-5)


def test_structured_files(tmp_path):
    """Lattices of one, two and three dimensions; voxels; x runs fastest."""
    for dims, kind, size in (
        ((5, 1, 1), "line", 4),
        ((3, 4, 1), "quad", 6),
        ((3, 4, 2), "hexahedron", 6),
    ):
        image = pv.ImageData(dimensions=dims)
        image["n"] = np.arange(float(image.n_points))
        for grid, name in (
            (image, "image"),
            (image.cast_to_structured_grid(), "structured"),
            (image.cast_to_rectilinear_grid(), "rectilinear"),
            (image.cast_to_unstructured_grid(), "voxels"),
        ):
            grid.save(tmp_path / f"{name}.vtk")
            mesh, point, _ = read_fields(tmp_path / f"{name}.vtk")
            assert list(mesh.cells) == [kind]
            np.testing.assert_allclose(mesh.volumes.sum(), size)
            np.testing.assert_array_equal(point["n"], image["n"])
            np.testing.assert_allclose(mesh.points, image.points[:, : mesh.points.shape[1]])


@pytest.mark.parametrize("suffix", [".vtu", ".vtk", ".vtkhdf"])
def test_second_order_cells_of_vtk_become_linear(suffix, tmp_path):
    cells = np.array([6, 0, 1, 2, 3, 4, 5])
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0.5, 0, 0], [0.5, 0.5, 0], [0, 0.5, 0]])
    grid = pv.UnstructuredGrid(cells, [22], points)
    grid["u"] = np.arange(6.0)
    path = tmp_path / f"a{suffix}"
    if suffix == ".vtkhdf":
        hdf = pytest.importorskip("vtkmodules.vtkIOHDF").vtkHDFWriter()
        hdf.SetInputData(grid)
        hdf.SetFileName(str(path))
        hdf.Write()
    else:
        grid.save(path)
    with pytest.warns(UserWarning, match="1 cells of second or higher order became linear; the 3 "):
        mesh, point, _ = read_fields(path)
    np.testing.assert_array_equal(mesh.cells["triangle"], [[0, 1, 2]])
    np.testing.assert_array_equal(point["u"], [0, 1, 2])


@pytest.mark.parametrize(
    ("kind", "size", "text"),
    [(7, 5, "polygon"), (15, 10, "pentagonal prism"), (99, 4, "unknown")],
)
def test_cells_that_we_do_not_have_are_named(kind, size, text, tmp_path):
    ids = " ".join(map(str, range(size)))
    body = (
        PIECES.split("<Piece")[0]
        + f"""<Piece NumberOfPoints="{size}" NumberOfCells="1">
<Points><DataArray type="Float64" NumberOfComponents="3">{"0.5 " * 3 * size}</DataArray></Points>
<Cells><DataArray type="Int64" Name="connectivity">{ids}</DataArray><DataArray type="Int64"
Name="offsets">{size}</DataArray><DataArray type="UInt8" Name="types">{kind}</DataArray></Cells>
</Piece></UnstructuredGrid></VTKFile>"""
    )
    (tmp_path / "a.vtu").write_text(body)
    with pytest.raises(
        ValueError, match=rf"1 cells of VTK type {kind} \({text}\) with {size} vert"
    ):
        read(tmp_path / "a.vtu")


def test_lower_dimensional_cells_and_tags_stay_what_they_are(tmp_path):
    """Integer arrays stay arrays; sides of cells go in silence, a beam with a warning."""
    points = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [2, 0, 0]])
    cells = np.array([2, 0, 1, 3, 0, 1, 2, 2, 1, 3])
    grid = pv.UnstructuredGrid(cells, [3, 5, 3], points)
    grid.cell_data["gmsh:physical"] = [1, 2, 3]
    grid.save(tmp_path / "a.vtu")
    with pytest.warns(UserWarning) as record:
        mesh, _, cell = read_fields(tmp_path / "a.vtu")
    assert sorted(str(warning.message) for warning in record) == [
        "1 unused nodes were dropped",
        "cells that are no facet or edge of a cell of dimension 2 were dropped: 1 line",
    ]
    assert list(mesh.groups) == ["boundary"]
    np.testing.assert_array_equal(cell["gmsh:physical"], [2])


def test_nan_arrays_do_not_stop_the_mesh(tmp_path):
    grid = beam()
    grid["gap"] = np.where(np.arange(99) < 3, np.nan, 1.0)
    vtu(tmp_path / "a.vtu", grid)
    assert read(tmp_path / "a.vtu").num_nodes == 99
    assert np.isnan(read_fields(tmp_path / "a.vtu")[1]["gap"][:3]).all()
    with pytest.raises(ValueError, match="point array 'gap': 3 values are NaN or infinite"):
        read_frames(tmp_path / "a.vtu")


@pytest.mark.parametrize("compressor", ["vtkZLibDataCompressor", "vtkLZMADataCompressor"])
def test_damaged_compression_is_refused_by_name(compressor, tmp_path):
    path = tmp_path / "a.vtu"
    blocks = np.array([1, 8, 8, 8], "<u4").tobytes() + b"nonsense"
    data = base64.b64encode(blocks[:16]) + base64.b64encode(blocks[16:])
    path.write_text(
        f'<VTKFile type="UnstructuredGrid" compressor="{compressor}"><UnstructuredGrid><Piece>'
        '<Points><DataArray type="Float64" NumberOfComponents="3" format="binary">'
        f"{data.decode()}</DataArray></Points></Piece></UnstructuredGrid></VTKFile>"
    )
    with pytest.raises(ValueError, match="a.vtu: its compressed data are damaged .*; save it anew"):
        read(path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.vtk", "hello\n", "expected '# vtk DataFile Version' in the first line"),
        ("a.vtk", "# vtk DataFile Version 3.0\n\nASCII\nHELLO 3\n", "unknown line: 'HELLO 3'"),
        ("a.vtk", "# vtk DataFile Version 3.0\n\nASCII\nPOINTS 3 float\n1 2", "was cut off"),
        ("a.vtk", "# vtk DataFile Version 3.0\n\nASCII\nPOINTS 1 float\n1 2 3", "no points or no"),
        ("a.vtk", "# vtk DataFile Version 3.0\n\nASCII\nDIMENSIONS 1 1 1\nORIGIN 0 0 0\n"
         "SPACING 1 1 1\n", "the lattice is a single point"),
        ("a.vtk", "# vtk DataFile Version 3.0\n\nASCII\nFIELD f 1\na 1 1 string\nx\n",
         "arrays of 'string' are not known here; save the file as .vtu"),
        ("a.vtu", "hello", "syntax error"),
        ("a.vti", '<VTKFile type="ImageData"/>', "expected an UnstructuredGrid or PolyData, got I"),
        ("a.pvd", '<VTKFile type="Collection"/>', "expected one file for each time, got 0"),
    ],
)  # fmt: skip
def test_damaged_files_are_refused_by_name(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=f"{name}: .*{message}"):
        read(tmp_path / name)
