"""Files that the documentation says lift out: copied alone into an empty folder they work."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

SAMPLES = """
import torch
from methods.sampling.langevin import ReplicaSGLD

class Half:
    def reflect(self, x, y):
        return torch.where(y < 0, -y, y)

sampler = ReplicaSGLD(lr=0.01, lr_ratio=2.0, temperatures=[1.0, 4.0], reflect=True)
x = torch.ones(2, 4, 1, dtype=torch.float64)
sampler.begin(x, Half(), 5, 0.0)
for t in range(5):
    x = sampler.step(t, x, torch.zeros_like, lambda p: p[..., 0], torch.randn_like(x), torch.rand(1, 4))
assert (x >= 0).all()
"""
VALUES = """
import numpy as np
from methods.valuation.lava import lava_values
from methods.valuation.sava import sava_values

rng = np.random.default_rng(0)
points, labels = rng.normal(size=(20, 3)), np.arange(20) % 2
for values in (sava_values, lava_values):
    assert values(points, labels, points[:10], labels[:10]).shape == (20,)
"""


def listed(page: str, start: str) -> list[str]:
    """The files of a sentence: `a/b.py` or `a/{b,c}.py`."""
    text = (ROOT / "docs" / page).read_text()
    sentence = text[text.index(start) :].split("\n\n")[0].split(". ")[0]
    found = []
    for path in re.findall(r"`([\w/{},]+\.py)`", sentence):
        names = re.search(r"{(.*)}", path)
        found += [path.replace(names[0], name) for name in names[1].split(",")] if names else [path]
    return found


@pytest.mark.parametrize(
    ("page", "start", "script"),
    [("sampling.md", "Without the suite: copy", SAMPLES), ("valuation.md", "To take them elsewhere copy", VALUES)],
)
def test_files_lift_out(page: str, start: str, script: str, tmp_path: Path) -> None:
    files = listed(page, start)
    assert files
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={"PATH": ""}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
