"""A task is a folder and a config: nothing else is touched. Notes are read without torch."""

from __future__ import annotations

import re
import subprocess
import sys

import forks
from conftest import QUIET, ROOT, clean_env, copy_project, result_of, seed_folders

from bench.run.notes import TaskNote, note
from bench.run.options import options

FILES = {
    "bench/tasks/guessing/__init__.py": "",
    "bench/tasks/guessing/note.py": (
        "from bench.run.notes import COST, Metric, TaskNote\n"
        'NOTE = TaskNote("guesses a number", "hides a number", {"error": Metric("error", "lower"), **COST})\n'
    ),
    "bench/tasks/guessing/loop.py": (
        "from __future__ import annotations\n"
        "from bench.run.build import build\n"
        "from bench.types import PositiveInt\n"
        "BATCHES_SEEDS = False\n"
        "def run(session, state, *, guesses: PositiveInt):\n"
        "    (seed_run,) = session.runs\n"
        '    parts = session.job.parts\n    number = build("dataset", parts["dataset"], "", seed_run.seed)\n'
        '    method = build("method", parts["method"])\n    session.begin(guesses)\n'
        "    for k in range(1, guesses + 1):\n"
        "        error = abs(method.guess(k) - number)\n        seed_run.log(k, error=error)\n"
        "    seed_run.finish(error=error)\n"
    ),
    "conf/task/guessing.yaml": "# Guess a number.\n_target_: bench.tasks.guessing.loop.run\nguesses: 3\n",
    "conf/dataset/seven.yaml": (
        "# The number 7.\ndefaults:\n  - /task@_global_.task: guessing\n  - _self_\n_target_: datasets.hidden.seven\n"
    ),
    "datasets/hidden.py": "def seven(root: str, seed: int) -> float:\n    return 7.0\n",
    "conf/method/counting.yaml": "# Counts up.\n_target_: methods.counting.Counting\ntasks: [guessing]\nfirst: 1\n",
    "methods/counting.py": (
        "class Counting:\n    def __init__(self, *, first: int = 1):\n        self.first = first\n"
        "    def guess(self, k):\n        return float(self.first + k)\n"
    ),
}


def test_a_task_in_a_folder_of_its_own_runs_and_is_explained(tmp_path):
    copy_project(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return forks.python(["run.py", *arguments, *QUIET], clean_env(), cwd=tmp_path)

    done = run("method=counting", "dataset=seven", "task.guesses=4")
    assert done.returncode == 0, done.stderr
    assert result_of(seed_folders(tmp_path)[0])["metrics"]["error"] == 2.0
    wrong = run("method=ssvr", "dataset=seven")
    assert wrong.returncode == 2
    assert "method 'ssvr' trains a classifier; data set 'seven' hides a number" in wrong.stderr
    other = run("method=counting", "dataset=digits")
    assert "method 'counting' guesses a number" in other.stderr
    assert "Data sets that fit: seven" in other.stderr
    loop = tmp_path / "bench/tasks/guessing/loop.py"
    loop.write_text(loop.read_text().replace("BATCHES_SEEDS = False\n", ""))
    silent = run("method=counting", "dataset=seven", "seeds=[1]")
    assert (silent.returncode, len(silent.stderr.splitlines())) == (2, 1)
    assert "bench.tasks.guessing.loop: needs a line BATCHES_SEEDS" in silent.stderr


OF_THE_TEXT = {
    "bench/tasks/averaging/__init__.py": "",
    "conf/dataset/counted.yaml": (
        "# 1, 2, 3.\ndefaults:\n  - /task@_global_.task: averaging\n  - _self_\n_target_: datasets.counted.Counted\n"
    ),
    "datasets/counted.py": (
        "class Counted:\n    mean = 0.0\n    def __init__(self, seed):\n        pass\n"
        "    def sample(self, step):\n        return float(step)\n"
    ),
    "conf/method/plain.yaml": "# The plain average.\n_target_: methods.plain.Plain\ntasks: [averaging]\n",
    "methods/plain.py": "class Plain:\n    def weight(self, step):\n        return 1 / step\n",
}


def test_the_task_that_the_text_shows_runs(tmp_path):
    copy_project(tmp_path)
    text = (ROOT / "docs/architecture.md").read_text()
    shown = dict(re.findall(r"```(?:python|yaml)\n# ([\w/]+\.(?:py|yaml))\b[^\n]*\n(.*?)```", text, re.S))
    assert set(shown) == {f"bench/tasks/averaging/{n}.py" for n in ("note", "loop")} | {"conf/task/averaging.yaml"}
    for name, content in (shown | OF_THE_TEXT).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    line = ["method=plain", "dataset=counted", "task.samples=4", *QUIET]
    done = forks.python(["run.py", *line], clean_env(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert result_of(seed_folders(tmp_path)[0])["metrics"]["error"] == 2.5**2


SHOWN = {"mixed_images"}  # judges nothing


def test_every_task_has_a_note_that_needs_no_torch():
    names = list(options("task"))
    code = (
        "import sys; from bench.run.notes import note\n"
        f"for name in {names}: assert note(name).metrics, name\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
    for name in names:
        assert isinstance(note(name), TaskNote)
        assert name in SHOWN or any(metric.better for metric in note(name).metrics.values())
