"""MMGP where it has nothing to go by: fields that never vary, data and shapes unlike the training.

The family: plates with a hole, stretched along x. All have one mesh at other places.
"""

import warnings

import numpy as np
import pytest
import torch

from meshgnn.checkpoint import load, predict, save
from meshgnn.geometry.polygon import Loop, circle, mesh_polygon
from meshgnn.graph import MeshDataset
from meshgnn.mesh import Mesh
from meshgnn.metrics import relative_l2
from meshgnn.models import MODELS
from meshgnn.models.mmgp.modes import Modes
from meshgnn.problems import Poisson
from meshgnn.sample import Sample
from meshgnn.train import fit

SIDES = ["bottom", "right", "top", "left"]
STRETCHES = np.linspace(0.8, 1.2, 6)


@pytest.fixture(scope="module")
def plate() -> Mesh:
    corners = np.array([[-1.0, -0.5], [1.0, -0.5], [1.0, 0.5], [-1.0, 0.5]])
    return mesh_polygon([Loop(corners, SIDES), circle((0.1, 0.0), 0.2, "hole", 0.15)], 0.25)


def solved(
    plate: Mesh,
    stretch: float,
    source: float = 1.0,
    value: float = 0.0,
    held: tuple[str, ...] = ("left", "hole"),
    shear: float = 0.0,
) -> Sample:
    x, y = plate.points.T
    mesh = plate.moved(np.stack([stretch * x, y + shear * x], axis=1))
    free = {name: 0.0 for name in (*SIDES, "hole") if name not in held}
    return Poisson(source, dirichlet=dict.fromkeys(held, value), neumann=free).solve(mesh)


def fitted(samples: list[Sample], **options):
    model = MODELS["MMGP"](modes=3, **options)
    fit(model, MeshDataset(samples), epochs=1, progress=False)
    return model


@pytest.fixture(scope="module")
def model(plate):
    return fitted([solved(plate, s) for s in STRETCHES])


def error(model, sample: Sample) -> float:
    return float(relative_l2(predict(model, sample).u, sample.u, sample.mesh.lumped_mass))


def test_a_new_member_of_the_family_is_predicted_without_a_warning(model, plate):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert error(model, solved(plate, 1.05)) < 0.01


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"source": 2.0}, r"columns \[0\] of its inputs never varied"),
        ({"value": 1.0}, r"columns \[0\] of its Dirichlet values, fluxes and Robin"),
        ({"held": ("right", "hole")}, r"conditions are of another kind at \d+ of \d+ places"),
        ({"shear": 0.2}, r"its coordinates are \d+\.\d deviations off"),
    ],
)
def test_data_and_shapes_that_never_varied_are_said_and_matter(model, plate, change, reason):
    """The field is that of the training data: without the warning it would pass for right."""
    with pytest.warns(UserWarning, match=reason):
        assert error(model, solved(plate, 1.0, **change)) > 0.02


def test_a_linear_problem_scales_with_a_source_that_never_varied(plate):
    model = fitted([solved(plate, s) for s in STRETCHES], linear=[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert error(model, solved(plate, 1.05, source=7.0)) < 0.01
    with pytest.warns(UserWarning, match="columns .* of its Dirichlet values"):
        error(model, solved(plate, 1.05, value=1.0))


def test_a_shape_off_the_span_of_the_family_is_said_in_its_deviations(plate, tmp_path):
    """Sheared and stretched together in training: one mode; sheared alone is off it."""
    model = fitted([solved(plate, s, shear=0.5 * (s - 1)) for s in STRETCHES])
    save(model, tmp_path / "sheared.pt")
    for one in (model, load(tmp_path / "sheared.pt")):
        with pytest.warns(UserWarning, match=r"its coordinates are \d.\d deviations off"):
            predict(one, solved(plate, 1.0, shear=0.2))


@pytest.mark.parametrize("linear", [None, [0]])
@pytest.mark.parametrize(("source", "value"), [(0.0, 1.0), (0.0, 0.0)])
def test_fields_that_are_constant_and_the_same_come_back(plate, tmp_path, source, value, linear):
    """u = value: no mode, no process, no deviation; also from a file."""
    samples = [solved(plate, s, source, value) for s in STRETCHES[:3]]
    model = fitted(samples, linear=linear)
    assert len(model.fields) == 0
    save(model, tmp_path / "constant.pt")
    out = predict(load(tmp_path / "constant.pt"), samples[1], uncertainty=True)
    assert np.allclose(out.u[..., 0], value, atol=1e-6)
    assert np.abs(out.u[..., 1]).max() < 1e-6


def test_one_shape_three_times_gives_its_field(plate):
    sample = solved(plate, 1.0)
    assert error(fitted([sample] * 3), sample) < 1e-6


def test_what_modes_miss_is_measured_in_spreads_of_the_training_set():
    """Snapshots ± e_1: spread 1 at one of 4 points. A field 0.5 e_2 off is 0.5/1 of it."""
    v = torch.zeros(2, 4, 1, dtype=torch.float64)
    v[0, 0], v[1, 0] = 1.0, -1.0
    modes = Modes(1e-2, 3)
    modes.fit(v, torch.ones(4, dtype=torch.float64))
    off = torch.tensor([[1.0], [0.5], [0.0], [0.0]], dtype=torch.float64)
    assert modes.missed(off, modes.encode(off)).item() == pytest.approx(0.5)
    assert modes.left.item() < 1e-12
    assert modes.strange(off) == [] and modes.varied.tolist() == [True]
