"""docs/valuation.md: its six lines, run as they stand."""

from __future__ import annotations

import re

import numpy as np
from conftest import ROOT
from transport_points import problem

PAGE = (ROOT / "docs/valuation.md").read_text()
LINES = re.search(r"```python\n(import numpy.*?)```", PAGE, re.S)[1]


def test_the_lines_of_the_page_run(tmp_path, monkeypatch):
    assert len([line for line in LINES.splitlines() if line]) <= 6
    p = problem()
    names = ("features", "labels", "reference_features", "reference_labels")
    np.savez(tmp_path / "mine.npz", **dict(zip(names, (p.x, p.y, p.reference_x, p.reference_y))))
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    exec(LINES, found)
    assert found["values"].shape == (120,)
    assert found["suspects"].shape == (100,)
    assert float(found["values"][found["suspects"][0]]) == float(found["values"].min())
