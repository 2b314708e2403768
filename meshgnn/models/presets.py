"""Constructor arguments of models that have presets."""

from collections.abc import Mapping
from typing import Any


def filled(
    model: str,
    given: Mapping[str, Any],
    presets: Mapping[str, Mapping[str, Any]],
    least: Mapping[str, int],
) -> dict[str, Any]:
    """The arguments with the defaults of their preset filled in; other presets' stay None.

    Args:
        model: its name, for messages.
        given: arguments by name, "preset" among them; None is not given.
        presets: {preset: {option: default}}.
        least: the least value of sizes.

    Raises:
        ValueError: an unknown preset, an option of another preset, a size below its least value.
    """
    preset = given["preset"]
    if preset not in presets:
        raise ValueError(f"{model}: unknown preset {preset!r}; choose one of {', '.join(presets)}")
    own, every = presets[preset], {name for options in presets.values() for name in options}
    foreign = [n for n in every - own.keys() if given[n] is not None]
    if foreign:
        raise ValueError(
            f"{model}: the preset {preset!r} has no option {', '.join(sorted(foreign))}; it has "
            f"{', '.join(own)}"
        )
    result = {**given, **{n: v for n, v in own.items() if given[n] is None}}
    for name, smallest in least.items():
        if result[name] is not None and result[name] < smallest:
            raise ValueError(f"{model}: expected {name} of at least {smallest}, got {result[name]}")
    return result
