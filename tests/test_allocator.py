"""Memory and threads of the process are set once, and what the user has set stays."""

import ctypes
import platform
from types import SimpleNamespace

import pytest
import torch

from meshgnn import allocator


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    allocator.tune_process.cache_clear()
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    allocator.tune_process.cache_clear()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_glibc_takes_the_thresholds() -> None:
    assert allocator.keep_freed_memory()


def test_other_allocators_are_left_alone(monkeypatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    assert not allocator.keep_freed_memory()


def test_it_happens_once_and_threads_are_never_raised(monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(allocator, "keep_freed_memory", lambda: calls.append(1))
    for key in ("OMP_NUM_THREADS", "GLIBC_TUNABLES"):
        monkeypatch.delenv(key, raising=False)
    torch.set_num_threads(1)
    allocator.tune_process()
    allocator.tune_process()
    assert calls == [1] and torch.get_num_threads() == 1


def test_what_the_user_has_set_stays(monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(allocator, "keep_freed_memory", lambda: calls.append(1))
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000")
    torch.set_num_threads(7)
    allocator.tune_process()
    assert calls == [] and torch.get_num_threads() == 7
