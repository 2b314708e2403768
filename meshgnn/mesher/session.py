"""One gmsh for the process: loading it, its lock, a fresh model."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

LOCK = threading.RLock()


def gmsh_module() -> ModuleType:
    try:
        import gmsh
    except ModuleNotFoundError as error:
        raise ImportError(
            "meshing needs gmsh, which is not installed: pip install meshgnn[mesh]"
        ) from error
    except OSError as error:
        raise ImportError(
            f"gmsh is installed but a system library it needs is not ({error}): apt-get install "
            "libglu1-mesa libgl1 libxrender1 libxcursor1 libxft2 libxinerama1 libgomp1"
        ) from error
    return gmsh


@contextmanager
def session() -> Iterator[ModuleType]:
    """A fresh, empty gmsh model, alone in the process until the block ends.

    Yields the gmsh module. Options start from gmsh's defaults (no configuration file is read, one
    thread, quiet, errors raise), whatever ran before, so that a mesh depends on the block alone.
    Models that the process already had stay, and the current one is current again afterwards.
    Options do not come back: those that the process had set are at gmsh's defaults afterwards
    (quiet, one thread, errors raise), so set them again. Sessions may be nested; the inner one
    resets the options of the outer.

    Raises:
        ImportError: gmsh or a system library of it is missing (names the packages).
    """
    gmsh = gmsh_module()
    with LOCK:
        if not gmsh.isInitialized():
            gmsh.initialize(readConfigFiles=False, interruptible=False)
        gmsh.option.restoreDefaults()
        set_quiet(gmsh)
        models, views = gmsh.model.list(), set(gmsh.view.getTags())
        current = gmsh.model.getCurrent()
        gmsh.model.add("meshgnn")
        try:
            yield gmsh
        finally:
            # A script may have opened models and views of its own.
            for view in set(gmsh.view.getTags()) - views:
                gmsh.view.remove(view)
            while len(names := gmsh.model.list()) > len(models):
                gmsh.model.setCurrent(names[-1])
                gmsh.model.remove()
            gmsh.model.setCurrent(current)


def set_quiet(gmsh: ModuleType) -> None:
    """Errors raise, nothing is printed, one thread: more are not reproducible."""
    for option, value in (("AbortOnError", 2), ("Terminal", 0), ("NumThreads", 1)):
        gmsh.option.setNumber(f"General.{option}", value)


@contextmanager
def errors_at_end(gmsh: ModuleType, doing: str) -> Iterator[None]:
    """Let gmsh finish what it does and raise its errors afterwards, all in one.

    An error that raises halfway leaves gmsh's parser in the middle of the file and its mesher
    locked ("I'm busy!"), for the rest of the process.
    """
    gmsh.option.setNumber("General.AbortOnError", 0)
    gmsh.logger.start()
    try:
        yield
        log = gmsh.logger.get()
    finally:
        gmsh.logger.stop()
        set_quiet(gmsh)
    if errors := _said(log, "Error: "):
        raise ValueError(f"gmsh could not {doing}: {errors}")
    if warned := _said(log, "Warning: "):
        warnings.warn(f"gmsh, told to {doing}: {warned}", stacklevel=4)


def _said(log: list[str], kind: str) -> str:
    return "; ".join(dict.fromkeys(line[len(kind) :] for line in log if line.startswith(kind)))


def generate(dim: int) -> None:
    """Mesh the current model up to a dimension; use it in place of `gmsh.model.mesh.generate`.

    Raises:
        ValueError: gmsh's own messages, when it failed.
    """
    gmsh = gmsh_module()
    with LOCK, errors_at_end(gmsh, "mesh the model"):
        gmsh.model.mesh.generate(dim)
