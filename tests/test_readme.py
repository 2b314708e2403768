"""What the README says can be done: its snippet runs, its links lead somewhere."""

import json
import re
from pathlib import Path

import matplotlib.image
import pytest
import torch

from meshgnn.checkpoint import save
from meshgnn.models import MODELS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_the_snippet_runs(tmp_path, monkeypatch, capsys):
    """In a folder with the shipped meshes and, for the demo's weights, some of the same model."""
    (snippet,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "out").mkdir()
    (tmp_path / "meshes").symlink_to(ROOT / "meshes")
    torch.manual_seed(0)
    save(MODELS["BENO"](), tmp_path / "out" / "demo.pt")
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, "README.md", "exec"), {})
    assert "distance to the discrete solution" in capsys.readouterr().out
    assert (tmp_path / "plate.vtu").stat().st_size > 10_000
    assert matplotlib.image.imread(tmp_path / "plate.png").std() > 0.05


def test_links_and_named_files_exist():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    named = re.findall(r"(?:scripts|notebooks|meshes|docs)/[\w./]+\.\w+", README)
    assert len(links) >= 3
    missing = [x for x in {*links, *named} if "://" not in x and not (ROOT / x).exists()]
    assert missing == []


@pytest.mark.parametrize("name", ["beno", "mesh_graph_net_global"])
def test_figures_quoted_are_those_of_the_results(name):
    result = json.loads(
        (ROOT / f"scripts/benchmarks/results/poisson_{name}_seed0.json").read_text()
    )
    for title in ("seen families", "plate"):
        assert f"{result[title]['learned']['relative_l2']:.2g}" in README
