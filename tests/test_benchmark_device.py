"""The roofline of a block: what is counted, and the rows."""

import json

import pytest
import torch

from meshgnn.benchmark.device import core_on_device, roofline_ms, traffic
from meshgnn.cli import main


def test_bytes_are_those_of_every_tensor():
    """Forward, one edge, H = 8 in float32: e and e + m of 32 bytes, two indices of 8."""
    assert traffic(nodes=0, edges=1, width=8, half=False) == 2 * 32 + 16
    assert traffic(nodes=1, edges=0, width=8, half=False) == 8 * 32
    assert traffic(nodes=1, edges=0, width=8, half=True) == 4 * 32 + 4 * 16
    both = traffic(nodes=0, edges=1, width=8, half=True, train=True)
    assert both == 5 * 32 + 2 * 16  # and e, the gradient of e + m, that of e


def test_the_roofline_is_the_slower_of_both():
    assert roofline_ms(work=4e9, moved=1e9, rate=1e12, bandwidth=1e12) == pytest.approx(4)
    assert roofline_ms(work=4e9, moved=1e10, rate=1e12, bandwidth=1e12) == pytest.approx(10)


def test_rows_of_this_machine(tmp_path, capsys):
    out = tmp_path / "rows.json"
    with pytest.raises(SystemExit) as end:
        main(["bench", "core", "--device", "cpu", "--nodes", "100", "--width", "16",
              "--repeats", "1", "-o", str(out)])  # fmt: skip
    assert end.value.code == 0 and "forward_share" in capsys.readouterr().out
    rows = json.loads(out.read_text())
    assert [row["form"] for row in rows] == ["plain fp32", "plain bf16"]
    assert rows[0]["difference"] == 0 < rows[1]["difference"] < 0.1
    for row in rows:
        share = row["roofline_train_ms"] / row["train_ms"]
        assert row["train_share"] == pytest.approx(share) and share > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
def test_no_gpu_is_said():
    with pytest.raises(ValueError, match="torch sees no CUDA device here; take --device cpu"):
        core_on_device((100,))
