"""One gmsh for the process: loading it, its lock, a fresh model."""

import threading
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
    Sessions may be nested; the inner one resets the options of the outer.

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
