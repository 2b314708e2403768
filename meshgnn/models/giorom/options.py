"""What a `GIOROM` may be made with."""

from typing import Any

from meshgnn.models.giorom.sparse import SAMPLINGS
from meshgnn.models.presets import filled

DEFAULTS: dict[str, dict[str, Any]] = {
    "mesh": {"history": 3, "width": 32, "layers": 2, "slices": 8, "solid": True},
    "paper": {"history": 6, "query_point": True, "raw": False, "dropout": 0.0, "domain": "walls"},
}
_LEAST = {"dim": 2, "params": 0, "history": 2, "width": 1, "layers": 1, "slices": 0}


def checked(given: dict[str, Any]) -> dict[str, Any]:
    """The arguments with the defaults of the preset filled in."""
    dim = given["dim"]
    if given["channels"] not in (None, dim) or given["bundle"] != 1:
        raise ValueError(
            f"GIOROM: expected channels = {dim} (the displacement) and bundle = 1, got "
            f"channels={given['channels']}, bundle={given['bundle']}"
        )
    if dim > 3:
        raise ValueError(f"GIOROM: expected dim of 2 or 3, got {dim}")
    if not (0 < given["points"] < 1 or (given["points"] >= 1 and given["points"] % 1 == 0)):
        raise ValueError(
            "GIOROM: expected points as a share between 0 and 1 or a whole number, got "
            f"{given['points']}"
        )
    if not (given["reach"] > 0 and given["noise"] >= 0):
        raise ValueError(
            f"GIOROM: expected reach > 0 and noise >= 0, got {given['reach']}, {given['noise']}"
        )
    if given["sampling"] not in SAMPLINGS:
        raise ValueError(
            f"GIOROM: unknown sampling {given['sampling']!r}; choose one of {', '.join(SAMPLINGS)}"
        )
    hparams = filled("GIOROM", given, DEFAULTS, _LEAST)
    del hparams["inputs"]  # none is used, and graphs may have any
    return hparams | {"channels": dim}
