"""Calls on the hosts of a Ray cluster."""

import logging
import os
from collections.abc import Callable
from typing import Any

_MEMORY = 256 * 2**20  # bytes of shared memory of a cluster of this machine; samples pass through


class RayEngine:
    """Tasks of Ray: of the cluster in use, of that at `RAY_ADDRESS`, or of one of this machine.

    Every host needs this package in the same version; files are written by the caller alone, so
    hosts need share no folder.

    Raises:
        ImportError: Ray is not installed.
    """

    def __init__(self, function: Callable[..., Any], jobs: int) -> None:
        self._ray = ray = _library()
        self._ours = not ray.is_initialized()
        if self._ours:
            _open(ray, jobs)
        self.jobs = max(1, int(ray.cluster_resources().get("CPU", jobs)))
        errors = ray.exceptions
        self.DEAD = (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError)
        # dead ones are called again by `Workers`, which counts them
        self._call = ray.remote(num_cpus=1, max_retries=0)(function)

    def submit(self, arguments: tuple) -> Any:
        """Begin a call."""
        return self._call.remote(*arguments)

    def done(self, futures: list[Any], wait: bool) -> list[Any]:
        """Those that have ended."""
        first, _ = self._ray.wait(futures, num_returns=1, timeout=None if wait else 0)
        if not first:
            return []
        return self._ray.wait(futures, num_returns=len(futures), timeout=0)[0]

    def result(self, future: Any) -> Any:
        """What it gave."""
        try:
            return self._ray.get(future)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from None

    def restart(self) -> bool:
        """Ray has done so already, and other calls go on."""
        return False

    def close(self) -> None:
        """Leave the cluster; that of this machine ends."""
        if self._ours:
            self._ray.shutdown()


def _library() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise ImportError(
            "Ray is not installed: pip install 'meshgnn[ray]', or take engine='joblib'"
        ) from error
    return ray


def _open(ray: Any, jobs: int) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if "RAY_ADDRESS" not in os.environ:
        options |= {"num_cpus": jobs, "object_store_memory": _MEMORY, "include_dashboard": False}
    ray.init(os.environ.get("RAY_ADDRESS", "local"), **options)
