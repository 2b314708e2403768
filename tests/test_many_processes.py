"""Two processes train as one, fail together, and go on from the same checkpoint."""

import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from learning_builders import steady

from meshgnn.graph import MeshDataset
from meshgnn.losses import one_step, relative_l2_loss
from meshgnn.models import MeshGraphNet
from meshgnn.train import fit
from meshgnn.train.processes import together, watched

pytestmark = pytest.mark.many

PROGRAM = """
import errno, json, os, sys
import torch
from learning_builders import steady
from test_many_processes import OPTIONS, data, parts, small_net
from meshgnn import checkpoint
from meshgnn.graph import MeshDataset
from meshgnn.losses import one_step, relative_l2_loss
from meshgnn.partition import InParts
from meshgnn.train import fit

rank, folder = int(os.environ["LOCAL_RANK"]), sys.argv[1]
said = {}

def trained(loss, model=None, graphs=None, **options):
    model = small_net(rank) if model is None else model  # weights of the first are taken
    history = fit(model, graphs or data(), loss=loss, devices=2, **OPTIONS | options)
    return list(history.train), [p.detach() for p in model.parameters()]

def failing(name, loss, path, **options):
    before = os.path.getmtime(path)
    try:
        trained(loss, checkpoint=path, **options)
    except Exception as error:
        said[name] = f"{type(error).__name__}: {error}"
    said[name + " untouched"] = os.path.getmtime(path) == before
    with open(f"{folder}/said_{rank}.json", "w") as file:
        json.dump(said, file)

results = {"one_step": trained(one_step), "relative": trained(relative_l2_loss)}
spread = small_net()
results["parts"] = trained(one_step, InParts(spread, 60, "bisection", spread=True), parts())

path = f"{folder}/run.pt"
constant = {"schedule": "constant"}
trained(one_step, checkpoint=path, **constant | {"epochs": 2})
calls = []
def not_a_number(model, graph):
    calls.append(0)
    return one_step(model, graph) * (float("nan") if rank == 1 and len(calls) == 2 else 1.0)
failing("nan", not_a_number, path, **constant)

real = checkpoint.write
def full(path, content):
    raise OSError(errno.ENOSPC, "No space left on device")
checkpoint.write = full
failing("full", one_step, path, **constant)
checkpoint.write = real
results["resumed"] = trained(one_step, checkpoint=path, **constant)
results["constant"] = trained(one_step, **constant)
if rank == 0:
    torch.save(results, f"{folder}/results.pt")

def dies(model, graph):
    if rank == 1:
        os._exit(3)
    return one_step(model, graph)
failing("dead", dies, path, **constant | {"epochs": 9})
"""
OPTIONS = {"epochs": 3, "batch_size": 4, "accelerator": "cpu", "progress": False}


def data() -> MeshDataset:
    """Seven graphs of unequal volume and size: batches of 4 and 3."""
    samples = [steady(i, n=2 + i % 3) for i in range(7)]
    return MeshDataset(samples)


def parts() -> MeshDataset:
    return MeshDataset([steady(0, n=12), steady(1, n=9)])


def small_net(seed: int = 0) -> MeshGraphNet:
    torch.manual_seed(seed)
    return MeshGraphNet(dim=2, channels=1, inputs=2, width=8, blocks=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What two processes wrote that ran `PROGRAM`."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "run.py").write_text(textwrap.dedent(PROGRAM))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    here = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    here["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, str(folder / "run.py"), str(folder)]
    processes = [
        subprocess.Popen(
            command,
            env=os.environ | here | {"LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=600)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 3], "\n".join(outputs)
    return folder


def assert_alike(found: tuple, expected: tuple, atol: float = 1e-6) -> None:
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    for a, b in zip(found[1], expected[1], strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=atol)


def alone(model: torch.nn.Module, graphs: MeshDataset, loss, **options) -> tuple:
    history = fit(model, graphs, loss=loss, **OPTIONS | options)
    return list(history.train), [p.detach() for p in model.parameters()]


@pytest.mark.parametrize(("name", "loss"), [("one_step", one_step), ("relative", relative_l2_loss)])
def test_two_processes_train_as_one(folder, name, loss) -> None:
    """Losses and weights to 1e-6 after 6 steps, with batches that cannot be shared evenly."""
    found = torch.load(folder / "results.pt")[name]
    assert len(found[0]) == 3
    assert_alike(found, alone(small_net(), data(), loss))


def test_processes_that_share_out_the_parts_of_a_graph_train_as_one(folder) -> None:
    """Gradients add up over the parts of both: weights to 1e-5 those of the whole graph."""
    found = torch.load(folder / "results.pt")["parts"]
    assert_alike(found, alone(small_net(), parts(), one_step), 1e-5)


def test_a_run_of_two_goes_on_as_if_it_had_not_stopped(folder) -> None:
    results = torch.load(folder / "results.pt")
    assert results["resumed"][0] == results["constant"][0]
    assert_alike(results["resumed"], results["constant"], 0.0)


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("nan", "ValueError: fit: loss nan and gradient norm nan in epoch 3, batch 2"),
        ("full", "OSError: [Errno 28] No space left on device"),
    ],
)
def test_what_fails_in_one_process_is_said_in_both(folder, name, start) -> None:
    for rank in range(2):
        said = json.loads((folder / f"said_{rank}.json").read_text())
        assert said[name].startswith(start) and said[f"{name} untouched"]


def test_the_death_of_a_process_is_told(folder) -> None:
    said = json.loads((folder / "said_0.json").read_text())
    assert "another of the 2 processes has ended, so that process 0 cannot go on" in said["dead"]
    assert said["dead untouched"]


class Alone:
    """What Lightning Fabric is in the first of so many processes."""

    is_global_zero, global_rank = True, 0

    def __init__(self, world_size: int) -> None:
        self.world_size = world_size

    def broadcast(self, value):
        return value


def test_errors_of_the_first_process_reach_all() -> None:
    def broken() -> None:
        raise KeyError("here")

    assert together(Alone(2), lambda: 7) == 7
    for world in (1, 2):
        with pytest.raises(KeyError, match="here"):
            together(Alone(world), broken)


def test_other_errors_stay_as_they_are() -> None:
    for world, message in ((1, "Connection closed by peer"), (2, "shapes differ")):
        with pytest.raises(RuntimeError, match=f"^{message}"), watched(Alone(world)):
            raise RuntimeError(message)
    with pytest.raises(RuntimeError, match="another of the 2 processes"), watched(Alone(2)):
        raise RuntimeError("Connection closed by peer")
