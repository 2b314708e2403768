"""`Picture`: what `viz` returns; notebooks show it, `save` writes .png, .jpg or .gif."""

import base64
import ctypes
import io
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from meshgnn.atomic import replacing

_REMEDY = "pip install 'meshgnn[viz]'"
_SUFFIXES = (".png", ".jpg", ".gif")


@dataclass(frozen=True, eq=False)
class Picture:
    """One image, or the frames of an animation. A notebook shows it inline, without any server.

    Args:
        frames: [F, H, W, 3] red, green, blue.
        rate: frames per second, where there are several.
    """

    frames: UInt8[np.ndarray, "F H W 3"]
    rate: float = 10.0

    @property
    def image(self) -> UInt8[np.ndarray, "H W 3"]:
        """The last frame."""
        return self.frames[-1]

    def save(self, path: str | Path) -> None:
        """Write a .png, .jpg (the last frame) or a .gif (all of them), whole or not at all.

        Raises:
            ValueError: another suffix.
            OSError: the folder is missing or cannot be written.
        """
        path = check_path(path, pixels=True)
        with replacing(path) as aside:
            aside.write_bytes(self.encoded(path.suffix.lower()))

    def shrunk(self, width: int) -> "Picture":
        """The last frame, at most this many pixels wide."""
        from PIL import Image

        image = Image.fromarray(self.image)
        image.thumbnail((width, 10 * width), Image.Resampling.LANCZOS)
        return Picture(np.asarray(image)[None])

    def show(self) -> None:
        """Open the last frame in the system's picture viewer."""
        from PIL import Image

        Image.fromarray(self.image).show()

    def encoded(self, suffix: str) -> bytes:
        """The bytes of a file with this suffix."""
        from PIL import Image

        frames = [Image.fromarray(frame) for frame in self.frames]
        buffer = io.BytesIO()
        if suffix == ".gif":
            # One palette for all frames: colours mean the same thing in each of them.
            palette = Image.fromarray(_shades(self.frames[[0, -1]])).quantize(256, kmeans=2)
            frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
            more = frames[1:]
            pause = round(1000 / self.rate)
            frames[0].save(buffer, "GIF", save_all=True, append_images=more, duration=pause, loop=0)
        else:
            frames[-1].save(buffer, "JPEG" if suffix == ".jpg" else "PNG")
        return buffer.getvalue()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        if len(self.frames) == 1:
            return {"image/png": base64.b64encode(self.encoded(".png")).decode()}
        data = base64.b64encode(self.encoded(".gif")).decode()
        return {"text/html": f'<img src="data:image/gif;base64,{data}">'}


def _shades(frames: UInt8[np.ndarray, "F H W 3"]) -> UInt8[np.ndarray, "1 S 3"]:
    """The colours of some frames, frequent ones less often, so that rare ones keep their shade."""
    scale = np.array([1 << 16, 1 << 8, 1])
    colours, counts = np.unique(frames.reshape(-1, 3) @ scale, return_counts=True)
    colours = np.repeat(colours, np.minimum(counts, 2000))
    return (colours[:, None] // scale % 256).astype(np.uint8)[None]


def check_path(path: str | Path, pixels: bool = False) -> Path:
    """The path, when a picture (of `pixels`, or a page) can go there; asked before it is drawn."""
    path = Path(path)
    suffixes = _SUFFIXES if pixels else (*_SUFFIXES, ".html")
    if path.suffix.lower() not in suffixes:
        raise ValueError(
            f"cannot write a picture to {path}: the suffix must be one of {', '.join(suffixes)}"
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"cannot write the picture {path}: there is no folder {path.parent}; make it first"
        )
    return path


def window_wanted(path: str | Path | None) -> bool:
    """A window opens when no file is asked for, in plain Python, where there is a display."""
    if path is not None or os.environ.get("PYVISTA_OFF_SCREEN", "").lower() in ("1", "true"):
        return False
    shell = sys.modules.get("IPython")
    if shell is not None and getattr(shell.get_ipython(), "kernel", None) is not None:
        return False
    return _has_display()


def _has_display() -> bool:
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def pyvista() -> Any:
    """The module pyvista, ready to draw with or without a display.

    Raises:
        ImportError: PyVista, or the system library that draws without a display, is missing.
    """
    if not _has_display():
        # Without this VTK tries X first and complains; without EGL it ends the process.
        os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
        _check_egl()
    try:
        import pyvista as module
    except ImportError as error:
        raise ImportError(f"pictures need PyVista: {_REMEDY} ({error})") from error
    _load_triton()
    return module


@cache
def _load_triton() -> None:
    """Before Mesa's LLVM gets into the process: after it, torch's import of Triton is a crash.

    Both export LLVM, in different versions, and the later one binds to the earlier one's symbols.
    """
    found = find_spec("triton") if sys.platform.startswith("linux") else None
    for folder in (found and found.submodule_search_locations) or []:
        with suppress(OSError):  # one that cannot be loaded now cannot be loaded later either
            ctypes.CDLL(str(Path(folder) / "_C" / "libtriton.so"))


def _check_egl() -> None:
    if os.environ["VTK_DEFAULT_OPENGL_WINDOW"] != "vtkEGLRenderWindow":
        return
    try:
        ctypes.CDLL("libEGL.so.1")
    except OSError as error:
        raise ImportError(
            "drawing without a display needs the system library libEGL.so.1: "
            "apt-get install libegl1 libgl1 libxrender1"
        ) from error


def matplotlib_figure(size: tuple[float, float]) -> Any:
    """An empty matplotlib figure that needs no display.

    Raises:
        ImportError: matplotlib is missing.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"line plots need matplotlib: {_REMEDY} ({error})") from error
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def figure_image(figure: Any) -> UInt8[np.ndarray, "H W 3"]:
    """The pixels of a matplotlib figure."""
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
