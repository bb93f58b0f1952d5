"""What the README and the documents show works: a method, a data set and a claim, written to the files that they name, run through the program."""

from __future__ import annotations

import re
from pathlib import Path

import forks
import numpy as np
import pytest
from conftest import QUIET, ROOT, clean_env, copy_project, result_of, seed_folders

SHOWN = "".join((ROOT / f"docs/{name}.md").read_text() for name in ("adding", "data"))
BLOCKS = dict(
    re.findall(r"```python\n# ([\w/]+\.py)\b[^\n]*\n(.*?)```", SHOWN, re.S)
    + re.findall(r"^`(conf/[\w/]+\.yaml)`[^\n]*:\n\n```yaml\n(.*?)```", SHOWN, re.S | re.M)
)

CLAIM = dict(
    re.findall(
        r"^`((?:conf|mistakes)/[\w/]+\.\w+)`(?:[^\n]+\n)*[^\n]*:\n\n```\w+\n(.*?)```",
        (ROOT / "docs/claims.md").read_text(),
        re.S | re.M,
    )
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the project with the documents' files added."""
    copy_project(tmp_path)
    for name, text in BLOCKS.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_documents_method_and_data_set_run(checkout):
    assert set(BLOCKS) == {"methods/lion.py", "conf/method/lion.yaml", "datasets/mine.py", "conf/dataset/mine.yaml"}
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (96, 3, 16, 16), dtype=np.uint8), np.arange(96) % 2
    (checkout / "data").mkdir()
    np.savez(checkout / "data/mine.npz", x=x, y=y, test_x=x[:32], test_y=y[:32])
    command = [
        "run.py",
        "-m",
        "method=lion,ssvr",
        "dataset=digits,mine",
        "scale=smoke",
        *QUIET,
        f"data_root={checkout / 'data'}",
    ]
    done = forks.python(command, clean_env(), cwd=checkout)
    assert done.returncode == 0, done.stderr
    folders = seed_folders(checkout)
    assert sorted("-".join(f.parent.name.split("-")[:2]) for f in folders) == [
        "lion-digits",
        "lion-mine",
        "ssvr-digits",
        "ssvr-mine",
    ]
    assert all(result_of(folder)["status"] == "finished" for folder in folders)
    listing = forks.python(["run.py", "--help"], clean_env(), cwd=checkout).stdout
    sentence = next(line for line in listing.splitlines() if line.split()[:1] == ["lion"])
    assert sentence.split(maxsplit=1)[1] == "Lion, the sign of an interpolated momentum."


def test_the_claim_of_the_documents_is_planned_and_its_mistake_is_known(checkout):
    assert set(CLAIM) == {"conf/paper/mine.yaml", "conf/experiment/mine/digits.yaml", "mistakes/mine.py"}
    for name, text in CLAIM.items():
        (checkout / name).parent.mkdir(exist_ok=True)
        (checkout / name).write_text(text)
    planned = forks.python(["scripts/reproduce_all.py", "--dry-run", "--paper", "mine"], clean_env(), cwd=checkout)
    assert planned.returncode == 0, planned.stderr
    assert re.search(r"mini .*mine/digits .* 24 .* 24 ", planned.stdout)
    script = "from bench.judge.papers import load_papers as p; from bench.judge.selftest import check_named as c; c('mine', p()['mine'])"
    known = forks.python(["-c", script], clean_env(), cwd=checkout)
    assert known.returncode == 0, known.stderr
    wrong = ["run.py", "method=lion", "method.lr=-1e-4", "dataset=digits", "scale=smoke", *QUIET]
    assert forks.python(wrong, clean_env(), cwd=checkout).returncode == 0
