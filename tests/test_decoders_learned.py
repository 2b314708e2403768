"""Decoders that are trained: what no weights can break, and what they win."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from mesh_builders import wavy

from meshgnn.decoders import KernelDecoder, LearnedResidual, local_rbf, train_decoder
from meshgnn.graph.sampling import farthest_points
from meshgnn.mesh import Mesh
from meshgnn.sample import Boundary, Sample

RNG = np.random.default_rng(0)


def bending(mesh: Mesh, times: int, seed: int) -> Sample:
    """Displacements with waves as short as the spacing of the sources, another phase per seed."""
    x, rng = mesh.points, np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * np.pi, (times, 4, 1))
    waves = rng.normal(size=(times, 4, 2)) * 8
    u = np.sin(np.einsum("tkd,nd->tkn", waves, x) + phase)
    u = np.stack([u[:, :2].sum(axis=1), u[:, 2:].sum(axis=1)], axis=-1) * 0.05
    boundary = Boundary.none(mesh.num_nodes, 2)
    return Sample(mesh, boundary, np.zeros((mesh.num_nodes, 0)), np.arange(float(times)), u)


def disturbed(gates: int = 2) -> LearnedResidual:
    """Weights as they might be after training, in evaluation mode."""
    torch.manual_seed(0)
    model = LearnedResidual(neighbours=12, gates=gates)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return model.eval()


@pytest.fixture(scope="module")
def body() -> tuple[Mesh, np.ndarray]:
    mesh = wavy("triangle", 19)
    return mesh, farthest_points(mesh.points, 42)


def test_an_untrained_residual_is_its_linear_part(body) -> None:
    mesh, sources = body
    model, u = LearnedResidual().eval(), RNG.normal(size=(3, 42, 2))
    plain = local_rbf(mesh.points, sources, 24, power=3.0, fade=0.05)
    np.testing.assert_allclose(model.at(mesh.points, sources)(u), plain(u), atol=1e-5)


def test_affine_motions_and_sources_are_exact_whatever_was_learned(body) -> None:
    """To 1e-5 of the motion; and the network is alive: other motions change with its weights."""
    mesh, sources = body
    decode = disturbed().at(mesh.points, sources)
    u = mesh.points @ RNG.normal(size=(2, 2)) + [3.0, -1.0]
    np.testing.assert_allclose(decode(u[sources]), u, atol=1e-5 * np.abs(u).max())
    u = RNG.normal(size=(42, 2))
    np.testing.assert_allclose(decode(u)[sources], u, atol=1e-5)
    assert np.abs(decode(u) - LearnedResidual(12).eval().at(mesh.points, sources)(u)).max() > 1e-2


def test_turning_and_shifting_the_motion_turns_and_shifts_the_field(body) -> None:
    """x → R x + c of the deformed body: û follows to 1e-4, for positions X + u."""
    mesh, sources = body
    decode = disturbed().at(mesh.points, sources)
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    u = 0.05 * RNG.normal(size=(42, 2))
    moved = (mesh.points[sources] + u) @ turn.T + 2 - mesh.points[sources]
    expected = (mesh.points + decode(u)) @ turn.T + 2 - mesh.points
    np.testing.assert_allclose(decode(moved), expected, atol=1e-4)


def test_the_learned_field_is_continuous_and_sees_the_query(body) -> None:
    """Steps of 2.5e-4 of the body change it by less than 2 % of the range, and by more than 0."""
    mesh, sources = body
    line = np.linspace([0.3, 0.3], [0.7, 0.6], 2001)
    field = disturbed().at(line, mesh.points[sources])
    values = RNG.normal(size=(42, 2))
    change = np.abs(np.diff(field(values), axis=0))
    exchanged = np.diff(np.sort(field.index.numpy(), axis=1), axis=0).any(axis=1).sum()
    assert exchanged >= 5 and change.max() < 0.02 * np.ptp(values) and np.median(change) > 1e-6


@pytest.mark.parametrize("gates", [0, 2])
def test_training_lowers_the_error_on_motion_that_was_held_out(body, gates: int) -> None:
    """Waves near the resolution of the sources: below its own start, and well below local RBF."""
    mesh, sources = body
    train, test = bending(mesh, 40, 1), bending(mesh, 20, 2)
    torch.manual_seed(0)
    model = LearnedResidual(neighbours=16, gates=gates)
    rest = np.setdiff1d(np.arange(mesh.num_nodes), sources)
    assert test.u is not None

    def error(decode) -> float:
        found = decode(test.u[:, sources])[:, rest]
        return float(np.linalg.norm(found - test.u[:, rest]) / np.linalg.norm(test.u[:, rest]))

    start = error(model.eval().at(mesh.points, sources))
    history = train_decoder(model, [train], [sources], steps=60, noise=0.0)
    end = error(model.at(mesh.points, sources))
    assert len(history) == 60 and end < 0.995 * start
    assert end < 0.9 * error(local_rbf(mesh.points, sources))
    again = LearnedResidual(neighbours=16, gates=gates)
    again.load_state_dict(model.state_dict())
    assert error(again.eval().at(mesh.points, sources)) == pytest.approx(end, rel=1e-5)


def test_training_is_reproducible_and_tolerates_perturbed_sources(body) -> None:
    mesh, sources = body
    runs = []
    for _ in range(2):
        torch.manual_seed(3)
        model = LearnedResidual(12, gates=0)
        runs.append(train_decoder(model, [bending(mesh, 5, 1)], [sources], steps=3, noise=0.1))
    assert runs[0] == runs[1]
    clean = train_decoder(
        LearnedResidual(12, gates=0), [bending(mesh, 5, 1)], [sources], 1, noise=0.0
    )
    assert runs[0][0] > clean[0]


def test_the_kernel_sees_the_query_and_learns(body) -> None:
    """Unlike the published one, whose field is the same wherever the sources in the ball are: the
    finite difference in x is not 0. Training lowers the error; frames are independent."""
    mesh, sources = body
    torch.manual_seed(0)
    model = KernelDecoder(2, 2, radius=0.3, hidden=(32, 32))
    train = bending(mesh, 10, 1)
    history = train_decoder(model, [train], [sources], steps=60, frames=2, noise=0.0)
    assert np.mean(history[-5:]) < 0.8 * np.mean(history[:5])
    points = mesh.points[sources]
    u = RNG.normal(size=(3, 42, 2)) * 0.05
    here = model.at(np.array([[0.5, 0.5]]), points)
    there = model.at(np.array([[0.5 + 1e-3, 0.5]]), points)
    assert 1e-7 < np.abs(here(u) - there(u)).max() < 1e-2
    np.testing.assert_allclose(here(u)[1], here(u[1]), atol=1e-7)


def test_double_precision_and_derivatives_in_the_values(body) -> None:
    """Values in double precision come back so; the derivative is finite where nothing moves, of
    displacements and of a scalar."""
    mesh, sources = body
    decode = disturbed().at(mesh.points, sources)
    for values in (torch.zeros(42, 2), torch.ones(3, 42, 1), torch.tensor(mesh.points[sources])):
        values = values.double().requires_grad_()
        found = decode(values)
        found.sum().backward()
        assert found.dtype == torch.float64 and values.grad is not None
        assert values.grad.isfinite().all() and values.grad.abs().max() > 0.1
    kernel = KernelDecoder(2, 2, 0.4).at(mesh.points, sources)
    u = torch.tensor(RNG.normal(size=(42, 2)))
    assert kernel(u).dtype == torch.float64
    np.testing.assert_allclose(kernel(u).detach(), kernel(u.numpy()), atol=1e-7)


def test_frames_at_rest_do_not_spoil_the_training(body) -> None:
    """A trajectory begins at u = 0, where no error is small against the motion; it is measured by
    that of the whole trajectory."""
    mesh, sources = body
    moving = bending(mesh, 6, 1)
    assert moving.u is not None
    train = replace(moving, u=moving.u * np.array([0, 0, 0, 1, 1, 1.0])[:, None, None])
    torch.manual_seed(0)
    model = KernelDecoder(2, 2, radius=0.3, hidden=(16,))
    history = train_decoder(model, [train], [sources], steps=60, frames=1, rate=1e-2, noise=0.0)
    assert max(history) < 5 and all(p.isfinite().all() for p in model.parameters())
    assert np.mean(history[-10:]) < 0.8 * np.mean(history[:10])


def test_refusals(body) -> None:
    mesh, sources = body
    train = bending(mesh, 2, 1)
    model = LearnedResidual(12)
    with pytest.raises(ValueError, match="expected gates >= 0, got -1"):
        LearnedResidual(gates=-1)
    with pytest.raises(ValueError, match="got 1 samples and 2 sets"):
        train_decoder(model, [train], [sources, sources])
    with pytest.raises(ValueError, match="samples with u and more points than sources, got u = N"):
        train_decoder(model, [Sample(mesh, train.boundary, train.inputs)], [sources])
    with pytest.raises(ValueError, match=f"got {mesh.num_nodes} sources of all points"):
        train_decoder(model, [train], [np.arange(mesh.num_nodes)])
    still = replace(train, u=np.zeros((2, mesh.num_nodes, 2)))
    with pytest.raises(ValueError, match="samples that move, got one with u = 0 at all points"):
        train_decoder(model, [still], [sources])
    with pytest.raises(ValueError, match=r"points have no source within 0.05, .*") as caught:
        KernelDecoder(2, 2, 0.05).at(mesh.points, sources)
    need = re.findall(r"a radius of (\S+) reaches all", str(caught.value))
    assert KernelDecoder(2, 2, float(need[0])).at(mesh.points, sources).count.min() >= 1
    for radius in (0.0, np.nan):
        with pytest.raises(ValueError, match=f"expected a positive radius, got {radius}"):
            KernelDecoder(2, 2, radius)
    with pytest.raises(ValueError, match="LearnedResidual: expected at least 3 neighbours in 2 d"):
        LearnedResidual(neighbours=2).at(mesh.points, sources)
    for decode in (
        model.at(mesh.points, sources),
        KernelDecoder(2, 2, 0.4).at(mesh.points, sources),
    ):
        with pytest.raises(ValueError, match=r"expected values \[..., 42, C\] of its 42 sources"):
            decode(np.zeros((41, 2)))
    with pytest.raises(ValueError, match="LearnedResidual: expected at least 4 sources"):
        model.at(mesh.points, sources[:3])
