"""`simulate`: many samples of one problem over a family of shapes, seeded by index."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from meshgnn import __version__
from meshgnn.geometry.domains import FAMILIES
from meshgnn.mesh import Mesh
from meshgnn.problems import PROBLEMS
from meshgnn.sample import Sample
from meshgnn.simulate.manifest import name_of, same_run, saved, sweep, text_of
from meshgnn.simulate.workers import ENGINES, answers

MeshFamily = str | Callable[..., Mesh]
_ATTEMPTS = 20


def simulate(
    problem: str | type | Callable[..., Any],
    family: MeshFamily | Sequence[MeshFamily],
    n: int,
    out: str | Path,
    *,
    seed: int = 0,
    jobs: int = 2,
    engine: str = "joblib",
    size: float | None = None,
    label_error: bool = False,
    order: int = 1,
    progress: bool = True,
    **options: Any,
) -> list[Path]:
    """Solve n random problems on n random meshes; sample i depends on (seed, i) only.

    Writes out/000000.vtkhdf, ... (`Sample.load`, ParaView) and out/manifest.json, each file whole
    or not at all. A run that was interrupted goes on where it stopped when called again: files
    that are there are kept, and the rest comes out as it would have. A larger n extends a run.
    One run at a time in a folder. Of a problem or family that is a lambda or a function made within
    another, a run that goes on knows the code and what values it was made with, not what it calls;
    of an object without a repr its class only: give what changes another folder.
    A mesh that falls apart or is degenerate, or a solution whose residual is too large, is drawn
    again from (seed, i, attempt): a warning gives the count, `meta["redrawn"]` says where.

    Args:
        problem: name in `PROBLEMS`, a class with `draw(mesh, rng, **options)`, or a function
            (mesh, rng, **options) -> problem.
        family: name in `geometry.domains.FAMILIES` or a function (rng) -> Mesh, called with
            `size=` where one is given; of several, sample i takes number i mod their count.
        n: number of samples, at least 1.
        out: folder, made when missing.
        seed: non-negative.
        jobs: processes; 1 stays in this one. One that is killed is replaced.
        engine: "joblib" (this machine) or "ray": the cluster at `RAY_ADDRESS`, or one of this
            machine. It does not enter the samples.
        size: target edge length of the family, None for its own.
        label_error: whether to solve again with P2 and keep the distance of the labels to that
            (costs about five times the solution, little beside the meshing).
        order: of the finite elements of the labels; 2 gives P2 solutions at the nodes of the mesh.
        progress: whether to show a bar.
        options: of the problem's `draw`.

    Returns: the n paths.

    Raises:
        ValueError: an unknown problem, family or engine, no family, n < 1; a folder that holds
            samples of other settings, or a damaged manifest; 20 draws in a row without a valid
            sample; label_error with labels that are P2 already.
        OSError: the folder cannot be written to, or the disk is full.
        RuntimeError: a sample whose process was killed again and again.
        ImportError: Ray is asked for and not installed.
    """
    families = [family] if isinstance(family, str) or callable(family) else list(family)
    known("simulate", problem, families, n, engine)
    _labels("simulate", label_error, order)
    folder = Path(out)
    settings = {
        "problem": name_of(problem),
        "family": [name_of(entry) for entry in families],
        "seed": seed,
        "size": size,
        "label_error": label_error,
        "options": {key: text_of(value) for key, value in sorted(options.items())},
        "version": __version__,
    } | ({"order": order} if order != 1 else {})
    same_run(folder, settings)
    paths = [folder / f"{i:06d}.vtkhdf" for i in range(n)]
    tasks = {
        path: (problem, families[i % len(families)], seed, i, size, label_error, order, options)
        for i, path in enumerate(paths)
        if not path.exists()
    }
    try:
        tell_redrawn("simulate", _run(tasks, jobs, engine, progress))
    finally:
        sweep(folder)  # with a process that dies the others may be killed while they write
    return paths


def draw_sample(
    problem: str | type | Callable[..., Any],
    family: MeshFamily,
    seed: int,
    index: int,
    size: float | None = None,
    label_error: bool = False,
    order: int = 1,
    **options: Any,
) -> Sample:
    """Sample number `index` of a run, as `simulate` writes it.

    Computed by one thread, for products of matrices differ in their last digits with the number
    of threads.

    Raises:
        ValueError: 20 draws in a row without a valid sample; the last reason is given;
            label_error with labels that are P2 already.
    """
    _labels("draw_sample", label_error, order)
    with _pools().limit(limits=1):
        return _drawn(problem, family, [seed, index], size, label_error, order, options)


def _drawn(
    problem: str | type | Callable[..., Any],
    family: MeshFamily,
    place: list[int],
    size: float | None,
    label_error: bool,
    order: int,
    options: dict[str, Any],
) -> Sample:
    reason: Exception | None = None
    for attempt in range(_ATTEMPTS):
        entropy = [*place, attempt] if attempt else place
        for_mesh, for_problem = map(np.random.default_rng, np.random.SeedSequence(entropy).spawn(2))
        build = FAMILIES[family] if isinstance(family, str) else family
        mesh = build(for_mesh) if size is None else build(for_mesh, size=size)
        drawn = PROBLEMS[problem] if isinstance(problem, str) else problem
        drawn = getattr(drawn, "draw", drawn)
        try:
            mesh.check()
        except ValueError as error:
            reason = error
            continue
        try:
            solvable = drawn(mesh, for_problem, **options)
            sample = solvable.solve(mesh) if order == 1 else solvable.solve(mesh, order=order)
            finer = solvable.solve(mesh, order=2) if label_error else None
        except np.linalg.LinAlgError as error:
            reason = error
            continue
        run = {"family": name_of(family), "seed": place[0], "index": place[1]}
        run |= {"order": order} if order != 1 else {}
        meta = sample.meta | run | {"redrawn": attempt, "version": __version__}
        return replace(sample, meta=meta, label_error=_distance(sample, finer))
    raise ValueError(
        f"sample {place[1]} of seed {place[0]}: {_ATTEMPTS} draws of {name_of(family)} gave no "
        f"valid sample; the last one: {reason}"
    ) from reason


@lru_cache
def _pools() -> Any:
    """The thread pools of the linear algebra libraries that are loaded."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _distance(sample: Sample, finer: Sample | None) -> float | None:
    if finer is None:
        return sample.label_error  # a problem may have measured its own
    from meshgnn.metrics import relative_l2  # brings torch along, which nothing else here needs

    assert sample.u is not None and finer.u is not None
    return relative_l2(sample.u, finer.u, sample.mesh.lumped_mass)


def draw_task(*task: Any) -> Sample:
    """`draw_sample` of a task of `simulate`, the last of which are the options of the problem."""
    return draw_sample(*task[:-1], **task[-1])


def _write(path: Path, *task: Any) -> int:
    """Draw, solve and save one sample; how often it was drawn again."""
    return saved(path, draw_task(*task))


def _run(tasks: dict[Path, tuple], jobs: int, engine: str, progress: bool) -> list[int]:
    from rich.progress import track

    def counts() -> Iterator[int]:
        if engine == "ray":  # hosts need share no folder: this process writes
            for path, sample in answers(draw_task, tasks.items(), jobs, engine):
                yield saved(path, sample)
        elif jobs == 1 or len(tasks) == 1:
            yield from (_write(path, *task) for path, task in tasks.items())
        else:
            calls = ((path, (path, *task)) for path, task in tasks.items())
            yield from (n for _, n in answers(_write, calls, min(jobs, len(tasks)), engine))

    if not tasks:
        return []
    return list(track(counts(), "simulate", total=len(tasks), disable=not progress))


def tell_redrawn(caller: str, counts: list[int]) -> None:
    """Warns with the number of draws without a valid sample; counts: of every sample."""
    if redrawn := [count for count in counts if count]:
        warnings.warn(
            f"{caller}: {sum(redrawn)} draws gave no valid sample and were drawn again, for "
            f"{len(redrawn)} of {len(counts)} samples",
            stacklevel=3,
        )


def _labels(caller: str, label_error: bool, order: int) -> None:
    """Raises: ValueError: label_error of labels that are P2 already."""
    if label_error and order != 1:
        raise ValueError(
            f"{caller}: label_error is the distance of P1 labels to P2, and order is {order}; "
            "leave one of them out"
        )


def known(caller: str, problem: Any, families: list[MeshFamily], n: int, engine: str) -> None:
    """Raises: ValueError: n < 1; a name of no problem, family or engine (all are listed)."""
    if n < 1:
        raise ValueError(f"{caller}: expected n of at least 1, got {n}")
    if engine not in ENGINES:
        raise ValueError(f"unknown engine {engine!r}; choose one of {', '.join(ENGINES)}")
    if not families:
        raise ValueError(f"expected at least one family; the families are {', '.join(FAMILIES)}")
    for entry in families:
        if isinstance(entry, str) and entry not in FAMILIES:
            raise ValueError(f"unknown family {entry!r}; the families are {', '.join(FAMILIES)}")
    if isinstance(problem, str) and problem not in PROBLEMS:
        raise ValueError(f"unknown problem {problem!r}; the problems are {', '.join(PROBLEMS)}")
