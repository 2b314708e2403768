"""Many samples as a list of graphs."""

import copy
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from torch_geometric.data import Data

from meshgnn.graph.convert import same_step, to_graph, window
from meshgnn.graph.periodic import Classes
from meshgnn.graph.schema import check_graph
from meshgnn.sample import Sample


class MeshDataset:
    """A list of graphs, one per sample (steady) or one per window of a sample (time-dependent).

    Samples are read once and kept; what does not change in time is converted and checked once per
    sample. Every access gives a new `Data` with its own tensors: nothing is shared, so a graph may
    be changed at will and a batch never holds one time step twice.

    Args:
        samples: samples, paths of samples, or the folder that `simulate` wrote (all *.vtkhdf).
        history: K, known states in a graph; 0 for steady problems.
        bundle: S, states to predict.
        stride: number of states between the starts of two windows.

    Raises:
        FileNotFoundError: a folder without samples.
        ValueError: a sample without u; samples that differ in names, in dimension or in numbers of
            inputs, parameters or components (the position of the first); time steps that are not
            all the same, within a sample or between two; a sample shorter than a window; anything
            `to_graph` and `check_graph` refuse.
    """

    def __init__(
        self,
        samples: str | Path | Sequence[Sample | str | Path],
        history: int = 0,
        bundle: int = 1,
        stride: int = 1,
    ) -> None:
        if isinstance(samples, str | Path):
            folder = Path(samples)
            # names with a dot in front are what a killed run left half written
            samples = sorted(folder.glob("[!.]*.vtkhdf"))
            if not samples:
                raise FileNotFoundError(
                    f"MeshDataset: no .vtkhdf samples in {folder}; write some with simulate or "
                    "Sample.save"
                )
        if not len(samples):
            raise ValueError("MeshDataset: expected at least one sample, got an empty list")
        self.history, self.bundle = history, bundle
        self.samples = [s if isinstance(s, Sample) else Sample.load(s) for s in samples]
        self._graphs: list[Data] = []
        self._windows: list[tuple[int, int]] = []
        for i, sample in enumerate(self.samples):
            _check_alike(i, sample, self.samples[0])
            if sample.u is None or len(sample.u) < history + bundle:
                raise ValueError(
                    f"MeshDataset: sample {i} has {0 if sample.u is None else len(sample.u)} "
                    f"states, expected at least history + bundle = {history + bundle}; solve it "
                    "first, or leave it out"
                )
            self._graphs.append(to_graph(sample, history, bundle))
            check_graph(self._graphs[-1])
            last = len(sample.u) - history - bundle
            self._windows += [(i, start) for start in range(0, last + 1, stride)]

    @property
    def names(self) -> dict[str, list[str]]:
        """Names of u, inputs, cell_inputs and params, the same in all samples."""
        return self.samples[0].names

    @property
    def units(self) -> dict[str, str]:
        """{name: unit}."""
        return self.samples[0].units

    def transformed(self, transform: Callable[[Data], Data]) -> "MeshDataset":
        """The same data set with `transform` applied once to the graph of every sample in use.

        Of a time-dependent sample it sees the first window, and what it adds serves them all: it
        may depend on the mesh, the coefficients and where conditions hold, not on states.
        """
        other = copy.copy(self)
        used = {i for i, _ in self._windows}  # a slice may leave most samples out
        other._graphs = [
            transform(graph.clone()) if i in used else graph for i, graph in enumerate(self._graphs)
        ]
        return other

    def __len__(self) -> int:
        return len(self._windows)

    @overload
    def __getitem__(self, index: int) -> Data: ...

    @overload
    def __getitem__(self, index: slice) -> "MeshDataset": ...

    def __getitem__(self, index: int | slice) -> "Data | MeshDataset":
        """A new graph; for a slice, a data set over these windows that shares the samples."""
        if isinstance(index, slice):
            other = copy.copy(self)
            other._windows = self._windows[index]
            return other
        i, start = self._windows[index]
        graph = self._graphs[i].clone()
        if start:
            sample = self.samples[i]
            graph.update(window(sample, self.history, self.bundle, start))
        return graph

    def __iter__(self) -> Iterator[Data]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return (
            f"MeshDataset({len(self)} graphs of {len(self.samples)} samples, "
            f"history={self.history}, bundle={self.bundle})"
        )


def _check_alike(position: int, sample: Sample, first: Sample) -> None:
    for what, got, expected in (
        ("names", sample.names, first.names),
        ("space dimension", sample.mesh.points.shape[1], first.mesh.points.shape[1]),
        ("dimension of its cells", sample.mesh.dim, first.mesh.dim),
        ("number of components", sample.channels, first.channels),
        ("number of inputs", sample.inputs.shape[1], first.inputs.shape[1]),
        ("number of cell inputs", sample.cell_inputs.shape[1], first.cell_inputs.shape[1]),
        ("number of parameters", len(sample.params), len(first.params)),
        ("periodicity", Classes.of(sample).periodic, Classes.of(first).periodic),
    ):
        if got != expected:
            raise ValueError(
                f"MeshDataset: sample {position} differs from sample 0 in {what}: expected "
                f"{expected}, got {got}; put samples of one problem into a data set"
            )
    steps, dt = np.diff(sample.times), np.diff(first.times)[:1]
    if len(dt) and not same_step(steps, float(dt[0])):
        raise ValueError(
            f"MeshDataset: expected every time step to be {dt[0]:g} s, the first one of sample 0, "
            f"got steps from {steps.min():g} to {steps.max():g} s in sample {position}; resample, "
            "or make one data set (and model) for each time step"
        )
