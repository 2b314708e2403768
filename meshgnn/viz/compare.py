"""The panels of a sample: its fields, beside the truth and the difference, with their bands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from meshgnn.sample import Sample
from meshgnn.viz.panel import DIFFERENCE, ERROR, SPREAD, Panel

# Half of the 95 % band in standard deviations of a normal distribution.
BAND = 1.96
_STD = "_std"


@dataclass(frozen=True, eq=False)
class Values:
    """One field at some steps.

    Args:
        label: its name with the unit.
        unit: of the values.
        shown: [S, V] what is coloured: a component, or the magnitude of a vector.
        parts: [S, V, C] the components it is made of.
        spread: [S, V] its standard deviation, where the sample has one.
    """

    label: str
    unit: str
    shown: Float[np.ndarray, "S V"]
    parts: Float[np.ndarray, "S V C"]
    spread: Float[np.ndarray, "S V"] | None = None


def outputs(sample: Sample) -> list[str]:
    """The components of u in their order."""
    return sample.names.get("u") or ["u", *(f"u_{i}" for i in range(1, sample.channels))]


def means(sample: Sample) -> list[str]:
    """The components of u that are not the standard deviation of another one."""
    names = outputs(sample)
    return [n for n in names if not (n.endswith(_STD) and n[: -len(_STD)] in names)]


def values_of(
    sample: Sample,
    name: str | None,
    steps: Sequence[int],
    fields: Mapping[str, np.ndarray] | None = None,
) -> Values:
    """The field with this name at these steps (an input, or one of `fields`, never changes).

    Raises:
        ValueError: an unknown name; an array of `fields` of neither nodes nor cells, or with NaN.
    """
    count, names = len(steps), outputs(sample)
    if name is not None and fields and name in fields:
        array = _nodal_or_cellwise(sample, name, np.asarray(fields[name], float))
        return _still(sample, name, array, count)
    wanted = _wanted(sample, name)
    if wanted and sample.u is not None:
        u = sample.u[list(steps)]
        parts, spread = u[..., [names.index(n) for n in wanted]], None
        if all(n + _STD in names for n in wanted):
            stds = u[..., [names.index(n + _STD) for n in wanted]]
            spread = np.linalg.norm(stds, axis=2)
        label = f"magnitude of {', '.join(wanted)}" if len(wanted) > 1 else wanted[0]
        unit = _unit(sample, wanted[0])
        return Values(_labelled(label, unit), unit, _size(parts), parts, spread)
    inputs = sample.names.get("inputs") or [f"input_{i}" for i in range(sample.inputs.shape[1])]
    if name in inputs:
        return _still(sample, name, sample.inputs[:, [inputs.index(name)]], count)
    there = [*(names if sample.u is not None else []), *inputs, *(fields or {})]
    raise ValueError(f"plot: no field named '{name}'; there are {', '.join(there) or 'none'}")


def _wanted(sample: Sample, name: str | None) -> list[str]:
    """The components of u that a name stands for; without a name all of a vector, or the first."""
    if sample.u is None:
        return []
    if name is not None:
        return [name] if name in outputs(sample) else []
    own = means(sample)
    return own if len(own) == sample.mesh.points.shape[1] else own[:1]


def _still(sample: Sample, name: str, array: Float[np.ndarray, "V C"], steps: int) -> Values:
    tiled, unit = np.tile(array, (steps, 1, 1)), _unit(sample, name)
    return Values(_labelled(name, unit), unit, _size(tiled), tiled)


def _size(parts: Float[np.ndarray, "S V C"]) -> Float[np.ndarray, "S V"]:
    return parts[..., 0] if parts.shape[2] == 1 else np.linalg.norm(parts, axis=2)


def _nodal_or_cellwise(sample: Sample, name: str, array: np.ndarray) -> Float[np.ndarray, "V C"]:
    nodes, cells = sample.mesh.num_nodes, sample.mesh.num_cells
    if array.ndim not in (1, 2) or len(array) not in (nodes, cells) or not array.size:
        raise ValueError(
            f"plot: expected field '{name}' to be [{nodes}] at the nodes or [{cells}] on the "
            f"cells, with components in a second dimension, got {list(array.shape)}"
        )
    if bad := int((~np.isfinite(array)).sum()):
        raise ValueError(
            f"plot: {bad} values of field '{name}' are NaN or infinite; replace them, for they "
            "have no colour"
        )
    return array.reshape(len(array), -1)


def _unit(sample: Sample, name: str) -> str:
    unit = sample.units.get(name)
    return sample.units.get(name.removesuffix(_STD), "") if unit is None else unit


def _labelled(label: str, unit: str) -> str:
    return f"{label} [{unit}]" if unit else label


@dataclass(frozen=True, eq=False)
class Comparison:
    """What every panel of a picture has in common.

    Args:
        sample, truth: what is drawn; truth None for a field alone.
        steps: indices into the times.
        points: [T, N, d] positions of the nodes at each time, or None.
        fields: further arrays by name.
        mark: whether the worst value of a difference and of `fields` is marked.
    """

    sample: Sample
    truth: Sample | None
    steps: Sequence[int]
    points: Float[np.ndarray, "T N d"] | None = None
    fields: Mapping[str, np.ndarray] | None = None
    mark: bool = True

    def panels(self, name: str | None) -> list[list[Panel]]:
        """The panels of one field at every step, on scales that hold for all steps."""
        found = values_of(self.sample, name, self.steps, self.fields)
        if self.truth is None or name in (self.fields or {}):
            shown = self._alone(found, name)
        else:
            shown = self._compared(found, values_of(self.truth, name, self.steps))
        if found.spread is None:
            return shown
        limits = (0.0, float(found.spread.max()))
        titles = [self._band(panels, found.label) for panels in shown]
        return [
            [*panels, Panel(title, std, limits, SPREAD, self._at(k), unit=found.unit)]
            for k, (panels, title, std) in enumerate(zip(shown, titles, found.spread, strict=True))
        ]

    def _at(self, k: int) -> Float[np.ndarray, "N d"] | None:
        return None if self.points is None else self.points[self.steps[k]]

    def _time(self, k: int) -> str:
        times = self.sample.times
        return f", t = {times[self.steps[k]]:.3g} s" if len(times) > 1 else ""

    def _alone(self, found: Values, name: str | None) -> list[list[Panel]]:
        limits = extent(found.shown)
        mark = self.mark and name in (self.fields or {})
        return [
            [
                Panel(
                    title=found.label + self._time(k),
                    values=u,
                    limits=limits,
                    points=self._at(k),
                    mark=worst(u) if mark else None,
                    unit=found.unit,
                    spread=None if found.spread is None else found.spread[k],
                )
            ]
            for k, u in enumerate(found.shown)
        ]

    def _compared(self, found: Values, truth: Values) -> list[list[Panel]]:
        """Prediction | truth | difference; of a vector the length of the difference."""
        from meshgnn.metrics import relative_l2  # brings torch along, which no other picture needs

        limits = extent(found.shown, truth.shown)
        every = _size(found.parts - truth.parts)
        signed = found.parts.shape[2] == 1
        most = float(np.abs(every).max())
        frames = []
        for k, (u, v, error) in enumerate(zip(found.shown, truth.shown, every, strict=True)):
            at = self._at(k)
            mesh = self.sample.mesh if at is None else self.sample.mesh.moved(at)
            ratio = relative_l2(found.parts[[k]], truth.parts[[k]], mesh.lumped_mass)
            label, spread = found.label + self._time(k), found.spread
            frames.append(
                [
                    Panel(
                        title=f"prediction: {label}",
                        values=u,
                        limits=limits,
                        points=at,
                        unit=found.unit,
                        spread=None if spread is None else spread[k],
                    ),
                    Panel(f"truth: {label}", v, limits, points=at, unit=found.unit),
                    Panel(
                        title=f"difference, relative L2 {ratio:.2g}",
                        values=error,
                        limits=(-most if signed else 0.0, most),
                        colours=DIFFERENCE if signed else ERROR,
                        points=at,
                        mark=worst(error) if self.mark else None,
                        outside=None if spread is None else outside(error, spread[k]),
                        unit=found.unit,
                    ),
                ]
            )
        return frames

    def _band(self, panels: Sequence[Panel], label: str) -> str:
        """The title of the panel of standard deviations; beside a truth with the coverage."""
        missed = panels[-1].outside
        if missed is None:
            return f"standard deviation of {label}"
        inside = 1 - len(missed) / self.sample.mesh.num_nodes
        return f"standard deviation; {100 * inside:.0f} % of the nodes within ±{BAND} of it"


def extent(*fields: Float[np.ndarray, "S V"]) -> tuple[float, float]:
    """The smallest and the largest value of all."""
    return min(float(f.min()) for f in fields), max(float(f.max()) for f in fields)


def worst(values: Float[np.ndarray, " V"]) -> int | None:
    """Where the largest absolute value is; None where all are zero."""
    size = np.abs(values)
    return int(size.argmax()) if size.max() > 0 else None


def outside(error: Float[np.ndarray, " N"], spread: Float[np.ndarray, " N"]) -> np.ndarray:
    """The nodes whose error is larger than the band; equal to rounding is inside."""
    return np.flatnonzero(np.abs(error) > BAND * spread + 1e-6 * np.abs(error).max())
