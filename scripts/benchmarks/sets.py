"""Sets of samples as folders of files, each made once."""

from collections.abc import Callable
from pathlib import Path

from joblib import Parallel, delayed


def files(folder: Path, count: int, write: Callable[[int, Path], None]) -> list[Path]:
    """The first `count` files of a set; those that are missing are written, in two processes."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:06d}.vtkhdf" for i in range(count)]
    missing = [(i, path) for i, path in enumerate(paths) if not path.exists()]
    if missing:
        print(f"drawing {len(missing)} samples of {folder.name}", flush=True)
        Parallel(2, inner_max_num_threads=1)(delayed(write)(i, path) for i, path in missing)
    return paths
