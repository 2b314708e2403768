"""What a folder of samples was made with, so that no other run goes on in it."""

import json
import os
from functools import partial
from inspect import ismethod, unwrap
from pathlib import Path
from types import FunctionType
from typing import Any
from zlib import crc32

from meshgnn.atomic import replacing
from meshgnn.sample import Sample

_MANIFEST = "manifest.json"
_REMEDY = "choose another folder, or remove this one"
_ADDRESS = " at 0x"  # in the text of an object that has no text of its own


def same_run(folder: Path, settings: dict[str, Any]) -> None:
    """Write the settings into the folder, made when missing, or compare them with what is there.

    Raises:
        ValueError: the folder holds samples of other settings, or a manifest that is damaged.
        FileExistsError: it is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"expected a folder for the samples, got the file {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / _MANIFEST
    there = _settings_in(manifest) if manifest.exists() else None
    if there is None:
        with replacing(manifest) as aside:
            aside.write_text(json.dumps(settings, indent=2) + "\n")
    elif there != settings:
        keys = sorted(k for k in there | settings if there.get(k) != settings.get(k))
        changes = ", ".join(f"{k}: {there.get(k)!r} is now {settings.get(k)!r}" for k in keys)
        raise ValueError(f"{folder} holds samples of another run ({changes}); {_REMEDY}")
    sweep(folder)


def sweep(folder: Path) -> None:
    """Remove what processes were writing when they were killed."""
    for aside in folder.glob(".*.vtkhdf"):
        aside.unlink()


def saved(path: Path, sample: Sample) -> int:
    """Write a sample, whole or not at all; how often it was drawn again.

    Raises:
        OSError: it cannot be written; why.
    """
    try:
        sample.save(path)
    except OSError as error:
        if type(error) is not OSError:
            raise  # says what is wrong with the folder
        reason = os.strerror(error.errno) if error.errno else str(error).splitlines()[0]
        raise OSError(
            f"simulate: cannot write {path}: {reason}. The samples in the folder are whole: make "
            "room on the disk, and the same call goes on; or choose another folder"
        ) from error
    return sample.meta["redrawn"]


def _settings_in(manifest: Path) -> dict[str, Any]:
    try:
        found = json.loads(manifest.read_text())
    except ValueError as error:
        raise ValueError(f"{manifest} is damaged ({error}); {_REMEDY}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{manifest} is damaged (it holds no settings); {_REMEDY}")
    return found


def name_of(what: Any) -> str:
    """The name of a problem or family in a file: the same in every process.

    A function or class that can be imported is called by module and name. A lambda or a function
    made within another says so and has a checksum of its code, defaults and enclosed values; values
    without a text of their own and globals do not enter it. A `partial` is called by its function
    and arguments, any other object by its repr, or by its class where that holds an address.
    """
    if isinstance(what, str):
        return what
    what = unwrap(what)
    if isinstance(what, partial):
        given = [*map(text_of, what.args)]
        given += [f"{key}={text_of(value)}" for key, value in what.keywords.items()]
        return f"partial({', '.join([name_of(what.func), *given])})"
    if ismethod(what):
        return f"{text_of(what.__self__)}.{what.__name__}"
    name = getattr(what, "__qualname__", None)
    if name is None:
        name = type(what).__qualname__ if _ADDRESS in repr(what) else repr(what)
    if "<" in name and isinstance(what, FunctionType):
        name = f"{name} (anonymous, {_checksum(what):08x})"
    return f"{getattr(what, '__module__', type(what).__module__)}.{name}"


def text_of(value: Any) -> str:
    """An option in a file: `name_of` where it is called by an address otherwise, else its repr."""
    match value:
        case dict():
            return f"{{{', '.join(f'{key!r}: {text_of(part)}' for key, part in value.items())}}}"
        case list():
            return f"[{', '.join(map(text_of, value))}]"
        case tuple():
            return f"({', '.join(map(text_of, value))})"
        case set() | frozenset():  # their own order is another in each process
            return f"{{{', '.join(sorted(map(text_of, value)))}}}"
    text = repr(value)
    return name_of(value) if _ADDRESS in text or isinstance(value, type) else text


def _checksum(function: FunctionType) -> int:
    """Of the code, and of the values that came with it as far as they have a text."""
    code = function.__code__
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    defaults = function.__defaults__, function.__kwdefaults__
    texts = [repr(value) for value in (*code.co_consts, code.co_names, *defaults, *cells)]
    return crc32(code.co_code + "".join(t for t in texts if _ADDRESS not in t).encode())
