"""What the site has beyond mkdocs.yml: the changelog as a page, a menu without gaps, matrices."""

import re
from pathlib import Path
from typing import Any

from griffe import Extension, Object
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent


def on_config(config: Any) -> Any:
    """Menu entries of pages that are not there are left out."""
    config.nav = _present(config.nav, Path(config.docs_dir))
    return config


def on_files(files: Files, config: Any) -> Files:
    """The changelog stands beside the README, where people look for it, and is a page as well."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    files.append(File.generated(config, "changelog.md", content=text))
    return files


class Brackets(Extension):
    """Docstrings have products of matrices, [A, B] [x; y], which are no links."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"\]( ?)\[", r"]\1\\[", obj.docstring.value)


def _present(entries: list[Any], folder: Path) -> list[Any]:
    kept = []
    for entry in entries:
        ((title, target),) = entry.items()
        if isinstance(target, list):
            inner = _present(target, folder)
            kept += [{title: inner}] if inner else []
        elif target == "changelog.md" or (folder / target).is_file():
            kept.append(entry)
    return kept
