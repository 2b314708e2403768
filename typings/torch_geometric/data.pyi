# Attributes of a graph are named by our schema (meshgnn.graph), which PyG cannot know.
from typing import Any

def __getattr__(name: str) -> Any: ...
