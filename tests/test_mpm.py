"""Materials of the material point method: stresses, plastic flow; what is refused."""

import numpy as np
import pytest
from mpm_builders import block

from meshgnn.mpm import MATERIALS, Material, Particles, Scene, plane, space
from meshgnn.mpm.laws import eigen

RNG = np.random.default_rng(0)


def full(entries: np.ndarray, dim: int) -> np.ndarray:
    """Symmetric matrices [n, d, d] from the entries that are kept."""
    pairs = {2: "00 11 01", 3: "00 11 22 01 02 12"}[dim].split()
    matrix = np.zeros((len(entries), dim, dim))
    for (i, j), value in zip(pairs, entries.T, strict=True):
        matrix[:, int(i), int(j)] = matrix[:, int(j), int(i)] = value
    return matrix


def deformed(gradient: np.ndarray, material: Material) -> Particles:
    """Particles with these deformation gradients [n, d, d], of one step from rest."""
    count, dim = gradient.shape[:2]
    state = Particles.at_rest(np.zeros((count, dim)), np.zeros((count, dim)), np.ones(count), 1.0)
    state.affine[:] = gradient - np.eye(dim)
    constants, kernels = material.constants(dim), {2: plane, 3: space}[dim]
    bad = kernels.deform(state.affine, state.stretch, state.stress, state.energy, 1.0, constants)
    assert bad == -1
    return state


def gradients(dim: int, count: int = 20, size: float = 0.2) -> np.ndarray:
    return np.eye(dim) + RNG.uniform(-size, size, (count, dim, dim))


def test_eigenpairs() -> None:
    """A = Σ λ v vᵀ with orthonormal v, to rounding, for any A, also with repeated eigenvalues."""
    turned = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
    cases = [np.diag([1.0, 1, 1]), turned @ np.diag([2.0, 2, 5]) @ turned.T, np.diag([3.0, 1, 2])]
    cases += [turned @ np.diag([1, 1 + 1e-9, 1e-6]) @ turned.T, *(a + a.T for a in gradients(3))]
    for matrix in cases:
        work, vectors = matrix.copy(), np.empty((3, 3))
        eigen(work, vectors)
        np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-14)
        again = vectors @ np.diag(np.diag(work)) @ vectors.T
        np.testing.assert_allclose(again, matrix, atol=1e-14 * np.abs(matrix).max() * 5)


@pytest.mark.parametrize("dim", [2, 3])
def test_stress_is_that_of_the_deformation_gradient(dim: int) -> None:
    """τ = 2 μ (F - R) Fᵀ + λ J (J - 1), λ J (J - 1), and U (2 μ ε + λ Σ ε) Uᵀ by SVD of F."""
    found, one = gradients(dim), np.eye(dim)
    left, s, right = np.linalg.svd(found)
    volume, strain = np.linalg.det(found), np.log(s)
    for law in ("fixed-corotated", "volumetric", "Hencky"):
        material = Material(law, 1e5, 0.3)
        shear, bulk = material.lame
        pressure = (bulk * volume * (volume - 1))[:, None, None] * one
        if law == "fixed-corotated":
            pressure = pressure + 2 * shear * (found - left @ right) @ found.transpose(0, 2, 1)
        if law == "Hencky":
            spread = 2 * shear * strain + bulk * strain.sum(axis=1, keepdims=True)
            pressure = (left * spread[:, None]) @ left.transpose(0, 2, 1)
        stress = full(deformed(found, material).stress, dim)
        np.testing.assert_allclose(stress, pressure, atol=1e-10 * shear)


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("law", ["fixed-corotated", "volumetric", "Hencky"])
def test_stress_is_the_derivative_of_the_energy(dim: int, law: str) -> None:
    """ψ((I + ε L) F) - ψ((I - ε L) F) = 2 ε τ : L, and no stress in a rotation."""
    material, step = Material(law, 1e5, 0.3), 1e-5
    found, way = gradients(dim), RNG.normal(size=(20, dim, dim))
    ahead, back = (deformed(found + e * way @ found, material).energy for e in (step, -step))
    work = (full(deformed(found, material).stress, dim) * way).sum(axis=(1, 2))
    np.testing.assert_allclose((ahead - back) / (2 * step), work, rtol=1e-6, atol=1e-4)
    turned = np.linalg.qr(RNG.normal(size=(5, dim, dim)))[0]
    turned[:, 0] *= np.sign(np.linalg.det(turned))[:, None]
    assert np.abs(deformed(turned, material).stress).max() < 1e-9


@pytest.mark.parametrize("dim", [2, 3])
def test_plastic_flow_ends_on_the_yield_surface(dim: int) -> None:
    """Plasticine: |dev τ| <= σ_y at the same volume; sand: Mohr and Coulomb, nothing in tension."""
    found = gradients(dim)
    plain = deformed(found, Material("Hencky", 3e5, 0.25))
    state = deformed(found, MATERIALS["plasticine"])
    stress, trial = full(state.stress, dim), full(plain.stress, dim)
    trace = np.trace(stress, axis1=1, axis2=2)
    np.testing.assert_allclose(trace, np.trace(trial, axis1=1, axis2=2), atol=1e-7)
    deviator = np.linalg.norm(stress - trace[:, None, None] / dim * np.eye(dim), axis=(1, 2))
    np.testing.assert_allclose(deviator.max(), 5e3, rtol=1e-9)
    assert (deviator < 5e3 * (1 + 1e-9)).all()
    state.affine[:] = 0  # the same again, without motion
    kernels = {2: plane, 3: space}[dim]
    before = state.stress.copy()
    constants = MATERIALS["plasticine"].constants(dim)
    kernels.deform(state.affine, state.stretch, state.stress, state.energy, 1.0, constants)
    np.testing.assert_allclose(state.stress, before, rtol=1e-9, atol=1e-6)

    sheared = np.eye(dim)[None] * np.array([0.9, 0.97, 1.02])[:, None, None]
    sheared[:, 0, 1] += 0.3
    stress = full(deformed(sheared, MATERIALS["sand"]).stress, dim)
    principal = np.linalg.eigvalsh(stress[0])
    trace, mean = principal.sum(), principal.mean()
    sine = np.sin(np.deg2rad(25))
    if dim == 2:
        assert principal[1] - principal[0] == pytest.approx(-sine * trace)
    else:
        published = (2 / 3) ** 0.5 * 2 * sine / (3 - sine)
        assert np.linalg.norm(principal - mean) == pytest.approx(-published * trace)
    assert not stress[2].any()


def test_particles_that_there_are_not() -> None:
    """NaN, and particles without mass."""
    x, volume = block(2, 3)
    wrong = np.where(np.arange(9)[:, None] < 8, np.nan, x)
    with pytest.raises(ValueError, match="the velocity of 8 is NaN or infinite, the first 0"):
        Particles.at_rest(x, wrong, volume, 1.0)
    with pytest.raises(ValueError, match="positive volume and density, the least mass is -0.0278"):
        Particles.at_rest(x, x, volume, -1.0)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"law": "rubber"}, "law: expected one of fixed-corotated, volumetric, Hencky, got 'rubb"),
        ({"young": 0.0}, "young: expected a positive number, got 0"),
        ({"density": np.inf}, "density: expected a positive number, got inf"),
        ({"yield_stress": np.nan}, "yield_stress: expected a positive number, got nan"),
        ({"poisson": 0.5}, "poisson: expected a number between -1 and 0.5, both excluded"),
        ({"law": "volumetric", "poisson": 0.0}, "between 0 and 0.5, .* law 'volumetric', got 0"),
        ({"friction_angle": 90.0}, "friction_angle: expected degrees from 0 to below 90, got 90"),
        ({"yield_stress": 5.0, "friction_angle": 5.0}, "expected one of them, of the law 'Hencky'"),
        ({"law": "fixed-corotated", "friction_angle": 5.0}, "got inf Pa and 5 degrees of 'fixed-c"),
    ],
)
def test_materials_that_there_are_not(numbers: dict, message: str) -> None:
    """Every number is checked when a material is made."""
    with pytest.raises(ValueError, match=message):
        Material(**({"law": "Hencky", "young": 1e5, "poisson": 0.2} | numbers))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gravity": [0, np.nan]}, "gravity: expected one number for each axis, got"),
        ({"cell": 0.0}, "cell: expected a positive length, got 0"),
        ({"friction": -1.0}, "friction: expected a coefficient >= 0 or inf, got -1"),
        ({"walls": ([0, 0, 0], None)}, "walls: expected 2 coordinates .None where open., got"),
        ({"walls": ([0, 0], [1, 0.1])}, r"at least two cells \(0.2\) above .* \[0.0, 0.0\] and"),
        ({"walls": ([0, np.nan], None)}, "walls: expected upper ones at least two cells"),
    ],
)
def test_scenes_that_there_are_not(given: dict, message: str) -> None:
    """Gravity, walls, cell and friction are checked when a scene is made."""
    scene = {"gravity": [0, -9.81], "walls": None, "cell": 0.1, "friction": 0.0}
    with pytest.raises(ValueError, match=message):
        Scene.of(**(scene | given))
