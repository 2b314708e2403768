"""Names that are imported on access, so that listing them costs nothing."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any


class LazyMapping(Mapping[str, Any]):
    """{name: object} from {name: "module:attribute"}; a module is imported when its name is used.

    Raises:
        KeyError: an unknown name; the message lists the names there are.
    """

    def __init__(self, paths: dict[str, str]) -> None:
        self._paths = paths

    def __getitem__(self, name: str) -> Any:
        if name not in self._paths:
            raise KeyError(f"unknown name {name!r}; there are {', '.join(sorted(self._paths))}")
        module, attribute = self._paths[name].split(":")
        return getattr(import_module(module), attribute)

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, name: object) -> bool:
        return name in self._paths
