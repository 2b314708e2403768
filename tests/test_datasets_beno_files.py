"""The published files as samples, and the lint that tells which of them can be trusted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from meshgnn.datasets.beno import CornerCut, check, read, volumes
from meshgnn.sample import Sample

DATA = dict(np.load(Path(__file__).parent / "published" / "beno.npz"))


def written(folder: Path, name: str, **changed: np.ndarray) -> Path:
    for kind in ("RHS", "SOL", "BC"):
        np.save(folder / f"{name}_{kind}.npy", changed.get(kind, DATA[f"{name}_{kind}"]))
    return folder / name


@pytest.fixture
def neumann(tmp_path: Path) -> list[Sample]:
    return read(written(tmp_path, "neumann_4c"))


def test_sound_files_pass_and_are_reproduced(neumann: list[Sample]) -> None:
    """The stored u solves the discrete equation with the stored g and the zero flux found."""
    for sample in neumann:
        sample.mesh.check()
        report = check(sample)
        assert report.ok and str(report).endswith("no findings")
        assert 33 <= report.insulated <= 36 and report.scale == pytest.approx(0.02, rel=1e-4)
        lattice, source, g, insulated, u = volumes.parts(sample)
        again = volumes.system(lattice, source, g, insulated).solve()
        assert np.linalg.norm(again - u) < 1e-5 * np.linalg.norm(u)
        assert sum(wall.faces for wall in report.walls.values()) == 128
        part = np.flatnonzero(insulated[lattice.loop])
        assert (np.diff(np.append(part, part[0] + 128)) > 1).sum() == 1
        assert sample.meta["corners"] == 4 and sample.meta["mixed"]


def test_arrays_of_the_file_are_kept(neumann: list[Sample]) -> None:
    """Centres in row order with u and -f; faces in the order of the list, with its g."""
    for i, sample in enumerate(neumann):
        rhs, sol, bc = (
            DATA[f"neumann_4c_{kind}"][i].astype(float) for kind in ("RHS", "SOL", "BC")
        )
        inside = rhs[:, 3] == 0
        n = inside.sum()
        np.testing.assert_allclose(sample.mesh.points[:n], rhs[inside, :2], atol=1e-6)
        np.testing.assert_array_equal(sample.u[0, :n, 0], sol[inside, 0])
        np.testing.assert_array_equal(sample.inputs[:n, 0], -rhs[inside, 2])
        np.testing.assert_allclose(sample.mesh.points[n : n + 128], bc[:, :2], atol=1e-6)
        np.testing.assert_array_equal(sample.boundary.dirichlet_values[n : n + 128, 0], bc[:, 2])


def test_a_copied_wall_is_flagged(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="of 2 of 2 samples are not those that the solutions"):
        samples = read(written(tmp_path, "dirichlet_3c"), blurred=True)
    for sample in samples:
        report = check(sample)
        assert not report.ok and len(report.findings) == 1
        assert {name for name, wall in report.walls.items() if wall.wrong} == {"-y"}
        wall = report.walls["-y"]
        assert wall.copy_of == "+x" and wall.wrong >= 31 and wall.largest > 0.1
        assert "copied from the wall +x" in str(report)
        assert 0.1 < report.source_share < 0.4
        assert sample.inputs.shape[1] == 5


def test_exchanged_coordinates_are_swapped_and_a_lost_source_is_said(tmp_path: Path) -> None:
    with pytest.warns(UserWarning) as caught:
        samples = read(written(tmp_path, "shipped_4c"))
    messages = [str(w.message) for w in caught]
    assert "swapped back in all 2 samples" in messages[0]
    assert "meshgnn.datasets.beno.check tells where" in messages[1]
    for i, sample in enumerate(samples):
        report = check(sample)
        assert report.walls["-y"].copy_of == "+x" and report.scale == pytest.approx(2)
        assert report.source_share < 5e-3 and "f hardly matters" in report.findings[-1]
        faces = volumes.parts(sample)[0].faces / 64
        np.testing.assert_allclose(faces, DATA["shipped_4c_BC"][i, :, 1::-1], atol=1e-6)


@pytest.mark.parametrize("mixed", [False, True])
def test_our_own_samples_pass(mixed: bool) -> None:
    for seed in range(3):
        cut = CornerCut.draw(np.random.default_rng(seed), None, mixed)
        report = check(cut.lattice_sample())
        assert report.ok and report.insulated == 32 * mixed
        assert max(wall.largest for wall in report.walls.values()) < 1e-10


def changed(sample: Sample, where: np.ndarray, values: np.ndarray) -> Sample:
    """The sample with other Dirichlet values at some faces."""
    lattice = volumes.parts(sample)[0]
    stored = sample.boundary.dirichlet_values.copy()
    stored[len(lattice.centres) + where, 0] = values
    return replace(sample, boundary=replace(sample.boundary, dirichlet_values=stored))


@pytest.mark.parametrize("place", ["inner", "corner"])
def test_one_wrong_value_is_found(place: str) -> None:
    """1e-4 max |g| at one face; at a corner cell both of its walls are named."""
    sample = CornerCut.draw(np.random.default_rng(1), 4).lattice_sample()
    lattice, _, g, _, _ = volumes.parts(sample)
    faces = np.bincount(lattice.owner)[lattice.owner]
    face = np.flatnonzero(faces == (1 if place == "inner" else 2))[:1]
    report = check(changed(sample, face, g[face] + 1e-4 * np.abs(g).max()))
    assert sum(wall.wrong for wall in report.walls.values()) == (1 if place == "inner" else 2)
    assert all(wall.copy_of is None for wall in report.walls.values())


def test_a_reversed_copy_is_recognised() -> None:
    sample = CornerCut.draw(np.random.default_rng(2), 0).lattice_sample()
    lattice, _, g, _, _ = volumes.parts(sample)
    left, top = (np.flatnonzero((lattice.normals == n).all(axis=1)) for n in ((-1, 0), (0, 1)))
    walls = check(changed(sample, top, g[left][::-1])).walls
    assert walls["+y"].copy_of == "-x" and walls["+y"].wrong == 32
    assert not any(walls[name].wrong for name in ("-x", "+x", "-y"))


def test_files_by_folder_and_by_path(tmp_path: Path, neumann: list[Sample]) -> None:
    paths = [tmp_path / f"neumann_4c_{kind}.npy" for kind in ("RHS", "SOL", "BC")]
    for samples in (read(tmp_path), read(*paths)):
        np.testing.assert_array_equal(samples[1].u, neumann[1].u)


def test_files_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected one RHS file in .*found \\[\\]"):
        read(tmp_path)
    with pytest.raises(FileNotFoundError, match="expected one RHS file called .*none_RHS.npy"):
        read(tmp_path / "none")
    name = "neumann_4c"
    with pytest.raises(ValueError, match="expected shapes"):
        read(written(tmp_path, name, SOL=DATA[f"{name}_SOL"][:1]))
    points = DATA[f"{name}_RHS"].copy()
    points[1, :, :2] = points[1, :, 1::-1]
    with pytest.raises(
        ValueError, match="y fastest, got other points in 1 samples, the first is n"
    ):
        read(written(tmp_path, name, RHS=points))
    faces = DATA[f"{name}_BC"].copy()
    faces[0, 5, 0] += 0.25
    with pytest.raises(ValueError, match="with x and y exchanged they do not fit either"):
        read(written(tmp_path, name, BC=faces))
