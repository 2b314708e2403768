"""The documentation: the site builds without a warning, names what there is, loads nothing."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import meshgnn as mg
from meshgnn.problems import PROBLEMS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; `--strict` turns every warning into an error."""
    pytest.importorskip("mkdocstrings", reason="the extra docs is not installed")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", out]
    silent = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=silent)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_the_site_has_all_pages_and_the_docstrings(site):
    """A page for each file; equations, arguments and sources of docstrings; the changelog."""
    for page in PAGES:
        assert (site / page.relative_to(DOCS)).with_suffix(".html").is_file(), page
    plot = (site / "api" / "pictures.html").read_text()
    assert 'id="meshgnn.viz.plot"' in plot and "isosurfaces in a volume" in plot
    beno = (site / "api" / "models.html").read_text()
    assert "ICLR 2024" in beno and "max_functions" in beno and "u ← u + γ ⊙ z" in beno
    assert "0.1.0" in (site / "changelog.html").read_text()
    index = json.loads((site / "search" / "search_index.json").read_text())
    assert len(index["docs"]) > 100


def test_the_site_loads_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|link|img)[^>]*?(?:src|href)="(https?:[^"]*)"', page.read_text()
        )
        assert loaded == [], page


def test_every_model_and_problem_is_in_the_reference():
    models, problems = (
        (DOCS / "api" / f"{name}.md").read_text() for name in ("models", "problems")
    )
    for name in mg.models.MODELS:
        assert f".{name}\n" in models, name
    for name in PROBLEMS:
        assert f".{name}\n" in problems, name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_links_work_without_the_site_too(page):
    """In the repository, pages link to files that are there."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)#\s]+)", text)
    missing = [x for x in links if "://" not in x and not (page.parent / x).exists()]
    assert missing == []


def test_code_on_pages_is_python_and_models_take_what_is_shown():
    """Every block compiles; models are made as the pages make them."""
    made = []
    for page in PAGES:
        for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
            for node in ast.walk(ast.parse(block)):
                if isinstance(node, ast.Call) and "mg.models." in ast.unparse(node.func):
                    made.append(eval(ast.unparse(node), {"mg": mg}))
    assert {type(model).__name__ for model in made} >= {"BENO", "GIOROM", "MPPDE", "MeshGraphNet"}


def test_figures_are_made_by_the_script_and_small():
    """A file for every figure of scripts/figures.py, none without, all below 150 kB."""
    script = ast.parse((ROOT / "scripts" / "figures.py").read_text())
    named = {node.name for node in script.body if isinstance(node, ast.FunctionDef)}
    pictures = list((DOCS / "images").glob("*.png"))
    assert len(pictures) >= 8 and {path.stem for path in pictures} <= named
    assert all(path.stat().st_size <= 150_000 for path in (DOCS / "images").iterdir())
    shown = "".join(page.read_text() for page in (*PAGES, ROOT / "README.md"))
    assert all(f"images/{path.name}" in shown for path in (DOCS / "images").iterdir())
