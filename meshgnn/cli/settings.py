"""The settings of an experiment, checked before anything is computed."""

import inspect
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, get_args, get_origin

_NEEDED = {
    "data": ("families", "folder", "problem", "samples"),
    "model": ("name",),
    "fit": ("epochs",),
}
_LOSSES = ("unrolled", "pushforward", "RandomPushforward")  # those that take several calls
_DATA: dict[str, Any] = {
    "problem": str,
    "families": str | list[str],
    "samples": int,
    "test": float,
    "folder": str,
    "seed": int,
    "jobs": int,
    "size": float,
    "options": dict,
}
# Arguments of `fit` that no file can hold or that the experiment gives.
_OWN = ("model", "dataset", "loss", "validation", "checkpoint", "callback")
_WINDOWS = {"stride": int}  # of the data set, beside what `fit` takes


def checked(settings: dict[str, Any], origin: str) -> dict[str, Any]:
    """The settings, when nothing is missing, unknown or of another type; `origin` names them.

    Raises:
        ValueError: a section or an entry that is missing, unknown, or of another type; an unknown
            problem, family or model; a share of held-out samples that leaves none, or none to train
            on; a steady model for a problem in time, or the other way round.
    """
    from meshgnn.geometry.domains import FAMILIES
    from meshgnn.problems import PROBLEMS
    from meshgnn.train import fit

    _refuse_unknown(settings, {**_NEEDED, "loss": (), "then": ()}, f"{origin}: an experiment")
    for section, needed in _NEEDED.items():
        entries = settings.get(section, {})
        if not isinstance(entries, dict):
            raise ValueError(f"{origin}: expected a section [{section}], got {entries!r}")
        if missing := [key for key in needed if key not in entries]:
            raise ValueError(f"{origin}: [{section}] needs {', '.join(missing)}")
    data, model = settings["data"], dict(settings["model"])
    _check(data, _DATA, f"{origin}: [data]")
    if not data["families"]:
        raise ValueError(f"{origin}: [data] families: expected at least one, got none")
    try:
        held_out(data)
    except ValueError as error:
        raise ValueError(f"{origin}: {error}") from error
    _named(data["problem"], PROBLEMS, f"{origin}: [data] problem")
    for family in families(data):
        _named(family, FAMILIES, f"{origin}: [data] families")
    options = _options(data["problem"])
    _check(data.get("options", {}), options, f"{origin}: [data.options]")
    name, models = model.pop("name"), _models()
    _named(name, models, f"{origin}: [model] name")
    _check(model, _arguments(models[name], ()), f"{origin}: [model] of {name}")
    _check_time(data["problem"], name, model, f"{origin}: [model]")
    _check(settings["fit"], _arguments(fit, _OWN) | _WINDOWS, f"{origin}: [fit]")
    if "loss" in settings:
        _check_loss(settings["loss"], data["problem"], f"{origin}: [loss]")
    _check_stages(settings.get("then", []), data["problem"], origin)
    return settings


def _check_stages(stages: Any, problem: str, origin: str) -> None:
    """Whether every [[then]] is one: what [fit] takes, and a loss."""
    from meshgnn.train import fit

    where = f"{origin}: [[then]]"
    if not isinstance(stages, list) or not all(isinstance(stage, dict) for stage in stages):
        raise ValueError(f"{where}: expected sections [[then]], in two brackets, got {stages!r}")
    known = _arguments(fit, (*_OWN, "keep_statistics")) | _WINDOWS | {"loss": dict}
    for stage in stages:
        if "epochs" not in stage:
            raise ValueError(f"{where} needs epochs")
        _check(stage, known, where)
        if "loss" in stage:
            _check_loss(stage["loss"], problem, f"{where} loss")


def families(data: Mapping[str, Any]) -> list[str]:
    """The families of shapes, of which a file may name one or several."""
    named = data["families"]
    return [named] if isinstance(named, str) else named


def held_out(data: Mapping[str, Any]) -> int:
    """How many of the samples are for the test: the share `test` of them, at least one.

    Raises:
        ValueError: `test` is no share between 0 and 1; no sample is left to train on.
    """
    share, samples = data.get("test", 0.1), data["samples"]
    if not 0 < share < 1:
        raise ValueError("[data] test is a share between 0 and 1 that is held out")
    count = max(1, round(share * samples))
    if count >= samples:
        raise ValueError(
            f"[data] test = {share} of samples = {samples} leaves no sample to train on; raise "
            "samples or lower test"
        )
    return count


def _models() -> dict[str, Any]:
    """{name: class} of the models of fields that numbers and strings make.

    Not of those made around another model, which have `rebuild` to be loaded by, nor of movers,
    which give positions and have no channels.
    """
    from meshgnn.models import MODELS

    return {
        name: kind
        for name, kind in MODELS.items()
        if "channels" in inspect.signature(kind).parameters and not hasattr(kind, "rebuild")
    }


def _check_time(problem: str, name: str, model: Mapping[str, Any], where: str) -> None:
    """Whether the model knows states as long as the problem has any."""
    from meshgnn.problems import PROBLEMS

    in_time = "times" in inspect.signature(PROBLEMS[problem]).parameters
    states = {key: inspect.signature(kind).parameters for key, kind in _models().items()}
    marching = [key for key, given in states.items() if "history" in given]
    steady = [key for key, given in states.items() if key not in marching]
    steady += [key for key in marching if states[key]["history"].default == 0]
    history = model.get("history", states[name]["history"].default if name in marching else 0)
    history = 1 if history is None else history  # that of the preset, of a model that only marches
    if in_time and name not in marching:
        raise ValueError(
            f"{where}: {problem} is a problem in time and {name} solves steady ones; take "
            f"{' or '.join(marching)} with history = 1"
        )
    if in_time and history < 1:
        raise ValueError(
            f"{where}: {problem} is a problem in time, and {name} with history = {history} solves "
            "steady ones; give history = 1"
        )
    if not in_time and history:
        raise ValueError(
            f"{where}: {problem} is a steady problem, and {name} with history = {history} marches "
            f"in time; take {' or '.join(steady)}, without history"
        )


def _check_loss(loss: Any, problem: str, where: str) -> None:
    """Whether the loss is one of several calls, for states that follow one another."""
    from meshgnn import losses
    from meshgnn.problems import PROBLEMS

    if not isinstance(loss, dict) or not {"name", "depth"} <= loss.keys():
        raise ValueError(f"{where}: expected a section with name and depth, got {loss!r}")
    _named(loss["name"], dict.fromkeys(_LOSSES), f"{where} name")
    known = _arguments(getattr(losses, loss["name"]), ("loss",))
    _check(loss, {"name": str} | known, where)
    if "times" not in inspect.signature(PROBLEMS[problem]).parameters:
        raise ValueError(f"{where}: {problem} is a steady problem, one call is all; leave it out")


def _options(problem: str) -> dict[str, Any]:
    """{name: type} of what `draw` of a problem takes, and of what it passes on."""
    from meshgnn.problems import PROBLEMS
    from meshgnn.problems.elastic_draws import random_motion

    draw, given = PROBLEMS[problem].draw, ("mesh", "rng")
    passes = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(draw).parameters.values())
    further = random_motion if problem == "Elastodynamics" else PROBLEMS["Poisson"].draw
    return (_arguments(further, given) if passes else {}) | _arguments(draw, given)


def _arguments(function: Callable[..., Any], without: tuple[str, ...]) -> dict[str, Any]:
    """{name: type} of what a function takes by name."""
    return {
        name: argument.annotation
        for name, argument in inspect.signature(function, eval_str=True).parameters.items()
        if argument.kind is not argument.VAR_KEYWORD and name not in without
    }


def _check(entries: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    _refuse_unknown(entries, known, where)
    for key, value in entries.items():
        hint = known[key]
        if not _fits(value, hint):
            wanted = getattr(hint, "__name__", str(hint)) if not get_args(hint) else str(hint)
            raise ValueError(f"{where}: expected {key} of type {wanted}, got {value!r}")


def _refuse_unknown(entries: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    if unknown := sorted(entries.keys() - known.keys()):
        raise ValueError(f"{where} has no entry {unknown[0]!r}; it takes {', '.join(known)}")


def _named(name: Any, known: Mapping[str, Any], where: str) -> None:
    if name not in known:
        raise ValueError(f"{where}: expected one of {', '.join(known)}, got {name!r}")


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value of a TOML file can be passed where this type is expected."""
    if isinstance(hint, UnionType):
        return any(_fits(value, part) for part in get_args(hint))
    kind, parts = get_origin(hint) or hint, get_args(hint)
    if not isinstance(kind, type):
        return True  # no type that can be asked
    if isinstance(value, bool | str):
        return kind is type(value)
    if isinstance(value, list) and parts:
        return issubclass(list, kind) and all(_fits(item, parts[0]) for item in value)
    return isinstance(value, (int, float) if kind is float else kind)
