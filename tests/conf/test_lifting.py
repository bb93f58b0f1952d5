"""Files that the documentation says lift out: copied alone into an empty folder they work."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import forks
import pytest
from conftest import ROOT, clean_env

from bench.run.options import read_yaml
from bench.run.paths import CONF

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


FAMILIES = (
    "ssvr",
    "ssvr_mv",
    "multimix_puzzle",
    "doubly_sgd",
    "egab_n",
    "ngvi",
    "reuse_sgd",
    "r2sghmc",
    "sava",
    "dplora",
)


@pytest.mark.parametrize("method", FAMILIES)
def test_a_method_of_each_family_lifts_out(method: str, tmp_path: Path) -> None:
    """By the script; what is imported lies in the new folder, none of the checkout's files is."""
    done = forks.python(["scripts/lift.py", method, tmp_path], clean_env(), cwd=ROOT)
    assert done.returncode == 0, done.stderr
    line = done.stdout.splitlines()[-1].partition("  #")[0]
    code = (
        f"import sys; sys.path[:] = [{str(tmp_path)!r}, *(p for p in sys.path if p and p != {str(ROOT)!r})]; {line}; "
    )
    code += "print(*{m.__file__ for n, m in sys.modules.items() if n.split('.')[0] in ('bench', 'methods') and m.__file__}, sep='\\n')"
    found = forks.python(["-c", code], clean_env(), cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert found.stdout
    assert all(Path(name).is_relative_to(tmp_path) for name in found.stdout.split())


def test_the_families_are_all_of_them() -> None:
    targets = {name: read_yaml(CONF / f"method/{name}.yaml")["_target_"].split(".")[1] for name in FAMILIES}
    folders = {path.name for path in (ROOT / "methods").iterdir() if (path / "__init__.py").exists()}
    assert set(targets.values()) == folders


NEEDS_TORCH_ALONE = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("pydantic", "scipy", "hydra", "omegaconf"):
            raise ImportError(name)

sys.meta_path.insert(0, Nothing())
import torch
from methods.sign.ssvr import SSVR
x = torch.nn.Parameter(torch.ones(3))
optimizer = SSVR([x], lr=0.1, beta=0.5)
def closure():
    optimizer.zero_grad()
    loss = x.square().sum()
    loss.backward()
    return loss
optimizer.step(closure)
assert (x < 1).all()
"""


def test_ssvr_needs_three_files_and_torch(tmp_path: Path) -> None:
    done = forks.python(["scripts/lift.py", "ssvr", tmp_path], clean_env(), cwd=ROOT)
    assert len(done.stdout.splitlines()) == 4
    assert done.stdout.splitlines()[-1].endswith("# needs torch")
    again = forks.python(["scripts/lift.py", "ssvr", tmp_path], clean_env(), cwd=ROOT)
    assert again.returncode == 0
    done = subprocess.run(
        [sys.executable, "-c", NEEDS_TORCH_ALONE],
        cwd=tmp_path,
        env={"PATH": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (tmp_path / "methods/sign/base.py").write_text("# mine\n")
    refused = forks.python(["scripts/lift.py", "ssvr", tmp_path], clean_env(), cwd=ROOT)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert "is there and differs" in refused.stderr


@pytest.mark.parametrize(("name", "said"), [("svr", "did you mean 'ssvr'"), ("nothing", "unknown")])
def test_what_is_no_method_is_one_line(name: str, said: str, tmp_path: Path) -> None:
    done = forks.python(["scripts/lift.py", name, tmp_path], clean_env(), cwd=ROOT)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert said in done.stderr
