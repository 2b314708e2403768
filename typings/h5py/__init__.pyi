# What a key of a file leads to is known only when it is read, so its type is left open.
from typing import Any

def __getattr__(name: str) -> Any: ...
