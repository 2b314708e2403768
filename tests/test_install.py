"""Importing is light, works without the extras, and gives the names that the README shows."""

import importlib
import json
import pkgutil
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

import meshgnn as mg

HEAVY = ("torch", "torch_geometric", "gmsh", "pyvista", "vtk", "skfem", "meshio", "h5py", "scipy")
HEAVY += ("lightning_fabric", "joblib", "matplotlib", "pyamg", "numba", "rich", "typer")


def run(code: str, tmp_path: Path) -> str:
    """The output of a fresh interpreter in another directory."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_is_light(tmp_path):
    """At most 0.3 s, and nothing heavy: names are resolved on first use."""
    code = f"""
import json, sys, time
begin = time.perf_counter()
import meshgnn
seconds = time.perf_counter() - begin
print(json.dumps([seconds, [name for name in {HEAVY!r} if name in sys.modules]]))
"""
    seconds, loaded = json.loads(run(code, tmp_path))
    assert seconds < 0.3 and loaded == []


def test_import_after_torch_is_light(tmp_path):
    """All public names together, beyond torch, PyG and the numerics they stand on."""
    code = """
import sys
import meshgnn
for name in meshgnn.__all__:
    getattr(meshgnn, name)
print(*(name for name in ("gmsh", "pyvista", "vtk", "matplotlib", "joblib") if name in sys.modules))
"""
    assert run(code, tmp_path).split() == []


def test_works_without_the_extras(tmp_path):
    """With gmsh and PyVista absent: mesh, FEM solution, graph; a picture names the remedy."""
    code = """
import sys
for name in ("gmsh", "pyvista", "matplotlib", "torch_scatter"):
    sys.modules[name] = None
import numpy as np
import meshgnn as mg
from meshgnn.graph import to_graph

points = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
mesh = mg.Mesh(points, {"triangle": np.array([[0, 1, 2], [0, 2, 3]])}).refined().refined()
sample = mg.problems.Poisson(dirichlet={"boundary": lambda x: x[..., 0]}).solve(mesh)
assert np.allclose(sample.u[0, :, 0], mesh.points[:, 0], atol=1e-10)
print(to_graph(sample).num_nodes)
for what in (lambda: mg.plot(mesh), lambda: mg.read("a.geo", size=1.0)):
    open("a.geo", "w").write("Point(1) = {0, 0, 0};")
    try:
        what()
    except ImportError as error:
        print(error)
"""
    count, picture, geometry = run(code, tmp_path).splitlines()
    assert int(count) == 25
    assert "meshgnn[viz]" in picture and "meshgnn[mesh]" in geometry


def test_public_names():
    """At most 16; functions and classes stay what they are when all modules are imported."""
    before = {name: getattr(mg, name) for name in mg.__all__}
    for module in pkgutil.walk_packages(mg.__path__, "meshgnn."):
        if module.name != "meshgnn.nn.triton_kernels" or find_spec("triton"):
            importlib.import_module(module.name)
    assert len(before) <= 16
    for name, value in before.items():
        assert getattr(mg, name) is value and name in dir(mg)
        assert isinstance(value, ModuleType) == (name in ("models", "problems"))


def test_unknown_name():
    with pytest.raises(AttributeError, match="module 'meshgnn' has no attribute 'solve'; it has"):
        mg.solve  # noqa: B018


def test_version_is_the_one_of_the_package():
    import tomllib

    text = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert tomllib.loads(text)["project"]["version"] == mg.__version__


@pytest.mark.parametrize("folder", ["meshgnn", "scripts", "tests", "notebooks"])
def test_names_that_are_not_there_are_found(folder, tmp_path):
    """By the style check, beside shapes in annotations, in every folder."""
    code = """
import numpy as np
from jaxtyping import Float

x: Float[np.ndarray, "N C"] | Float[np.ndarray, " *C"] = np.zeros((missing, 1))
"""
    check = ["ruff", "check", "--stdin-filename", f"{folder}/some.py", "--output-format", "concise"]
    done = subprocess.run(
        [sys.executable, "-m", *check, "-"],
        cwd=Path(__file__).parents[1], input=code, capture_output=True, text=True,
    )  # fmt: skip
    assert re.findall("([A-Z]+[0-9]+) (.*)", done.stdout) == [
        ("F821", "Undefined name `missing`")
    ], done.stdout + done.stderr


def test_scripts_name_no_host():
    """Set-up goes through the machine's own configuration of pip and apt."""
    root = Path(__file__).parents[1]
    for path in (*root.glob("scripts/*.sh"), root / "scripts/constraints.txt", root / ".ci/run"):
        assert "://" not in path.read_text(), path
