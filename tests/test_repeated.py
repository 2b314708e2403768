"""Rollouts in bfloat16, by torch.compile and from recorded calls."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from learning_builders import Tiny, decaying, steady

from meshgnn.checkpoint import predict
from meshgnn.marching import rollout
from meshgnn.marching.repeated import Recorded
from meshgnn.models import MeshGraphNet


def net(**options) -> MeshGraphNet:
    torch.manual_seed(0)
    return MeshGraphNet(channels=2, inputs=0, history=1, width=16, blocks=2, **options)


def again(run):
    """As a CUDA graph: what was computed once is computed again into the same memory."""
    out = run()
    return out, lambda: out.copy_(run())


def test_bfloat16_is_near_float32_and_leaves_boundary_values_exact():
    """Differences of a few 2⁻⁸ of the change that the network makes, and not 0."""
    sample, model = decaying(), net()
    full = rollout(model, sample, 3)
    half = rollout(model, sample, 3, precision="bf16-mixed")
    change = np.abs(full.u[1:] - full.u[:1]).max()
    assert 0 < np.abs(half.u - full.u).max() < 2**-5 * change
    mask = sample.boundary.dirichlet_mask
    assert (half.u[:, mask] == full.u[:, mask]).all() and mask.any()


def test_steady_fields_in_bfloat16():
    torch.manual_seed(1)
    model, sample = MeshGraphNet(width=16, blocks=2), steady()
    full, half = predict(model, sample), predict(model, sample, precision="bf16-mixed")
    free = ~sample.boundary.dirichlet_mask
    assert 0 < np.abs(half.u - full.u)[0][free].max() < 2**-5 * np.abs(full.u[0][free]).max()
    with pytest.raises(ValueError, match="precision 32-true or bf16-mixed, got '64'"):
        predict(model, sample, precision="64")


def test_recorded_calls_give_the_same_march(monkeypatch):
    sample, model = decaying(), net()
    made = []

    def recorded(model, graph, way, precision):
        made.append(Recorded(model, graph, precision, again))
        return made[0]

    plain = [rollout(model, sample, 4, precision=p) for p in ("32-true", "bf16-mixed")]
    monkeypatch.setattr(sys.modules["meshgnn.marching.rollout"], "repeated", recorded)
    for precision, expected in zip(("32-true", "bf16-mixed"), plain, strict=True):
        made.clear()
        found = rollout(model, sample, 4, precision=precision, compile="cuda-graph")
        assert len(made) == 1
        np.testing.assert_array_equal(found.u, expected.u)


def test_torch_compile_takes_the_place_of_the_model(monkeypatch):
    """Without its compilers, which take a minute: what is called is what it gives, once made."""
    model, sample, made, out = net(), decaying(), [], torch.zeros(())

    def compiled(given, **options):
        made.append((given, options))

        def call(graph):
            nonlocal out
            out.fill_(float("nan"))  # results of earlier calls may be written over
            out = model(graph)
            return out

        return call

    monkeypatch.setattr(torch, "compile", compiled)
    found = rollout(model, sample, 3, compile="inductor")
    monkeypatch.undo()
    np.testing.assert_array_equal(found.u, rollout(model, sample, 3).u)
    assert made == [(model, {"mode": None, "dynamic": False})]


@pytest.mark.slow
@pytest.mark.many
def test_torch_traces_a_model_with_its_graph_as_a_whole():
    """In a process without the checks of shapes, which torch cannot trace, and no compiler."""
    script = """
import numpy as np, torch
from learning_builders import decaying
from meshgnn.marching import rollout
from meshgnn.models import MeshGraphNet
from torch._dynamo.utils import counters
model, sample = MeshGraphNet(channels=2, inputs=0, history=1, width=16, blocks=1), decaying()
compile = torch.compile
torch.compile = lambda model, **options: compile(model, backend="eager", dynamic=False)
found = rollout(model, sample, 2, compile="inductor").u
np.testing.assert_allclose(found, rollout(model, sample, 2).u, atol=1e-5)
print("equal", len(counters["graph_break"]))
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    run = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert run.stdout.strip() == "equal 0", run.stderr[-2000:]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_cuda_graph_gives_the_same_march():
    sample, model = decaying(), net().cuda()
    found = rollout(model, sample, 5, compile="cuda-graph")
    np.testing.assert_allclose(found.u, rollout(model, sample, 5).u, atol=1e-5)
    assert found.u.shape[0] == 6


def test_what_is_refused():
    model, sample = Tiny(channels=2, inputs=0, history=1), decaying()
    with pytest.raises(ValueError, match="precision 32-true or bf16-mixed, got '16-true'"):
        rollout(model, sample, 1, precision="16-true")
    with pytest.raises(ValueError, match="compile to be one of .*, got 'fast'"):
        rollout(model, sample, 1, compile="fast")
    with pytest.raises(ValueError, match="needs a model on a CUDA device, this one is on cpu"):
        rollout(model, sample, 1, compile="cuda-graph")


def test_a_model_that_cannot_be_recorded_says_why(monkeypatch):
    def refuse(run):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(
        sys.modules["meshgnn.marching.rollout"],
        "repeated",
        lambda model, graph, way, precision: Recorded(model, graph, precision, refuse),
    )
    with pytest.raises(ValueError, match="Tiny cannot be recorded .*: operation not permitted"):
        rollout(Tiny(channels=2, inputs=0, history=1), decaying(), 1)
