"""Malformed files of conf/: one line that names file, row and mistake, exit code 2, at once; in a copy of the project with its own processes."""

from __future__ import annotations

import importlib.util
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from conftest import ROOT, clean_env, copy_project

METHOD, EXPERIMENT = "conf/method/mine.yaml", "conf/experiment/mine.yaml"
GOOD = "# Mine.\n_target_: methods.sign.signsgd.SignSGD\ntasks: [classification]\nlr: 0.001\n"
SWEPT = "# @package _global_\n# Mine.\nhydra:\n  mode: MULTIRUN\n  sweeper:\n    params:\n      method: signsgd,sgd\n"
HEAD = "# @package _global_\n# Mine.\ndefaults:\n  - override /method: signsgd\n"
BOMB = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 10)
)

# name: (file, content, what the line says)
FILES: dict[str, tuple[str, str | bytes, str]] = {
    "a tab": (METHOD, GOOD + "\tweight_decay: 0\n", r"^conf/method/mine.yaml:5: .*tabs"),
    "a tab below a key": (METHOD, GOOD + "own:\n\tx: 0\n", r"^conf/method/mine.yaml:6: "),
    "a bracket left open": (METHOD, GOOD + "weight_decay: [0\n", r"^conf/method/mine.yaml:\d: "),
    "a quote left open": (METHOD, GOOD + "weight_decay: '0\n", r"^conf/method/mine.yaml:\d: "),
    "no space after a colon": (METHOD, GOOD + "weight_decay:0\n", r"^conf/method/mine.yaml:\d: "),
    "two colons": (METHOD, GOOD + "weight_decay: 0: 1\n", r"^conf/method/mine.yaml:5: "),
    "bad indentation": (METHOD, GOOD + "  weight_decay: 0\n", r"^conf/method/mine.yaml:5: "),
    "a control character": (METHOD, GOOD + "name: \x07\n", r"^conf/method/mine.yaml.*: "),
    "a key twice": (METHOD, GOOD + "lr: 0.1\n", r"^conf/method/mine.yaml:5: key 'lr' is repeated"),
    "a key twice further in": (METHOD, GOOD + "own:\n  x: 1\n  x: 2\n", r"^conf/method/mine.yaml:7: key 'x' is repeated"),
    "no UTF-8": (METHOD, GOOD.encode() + b"# caf\xe9\n", r"^conf/method/mine.yaml:5: not UTF-8 text"),
    "UTF-16": (METHOD, GOOD.encode("utf-16"), r"^conf/method/mine.yaml:1: not UTF-8 text"),
    "binary": (METHOD, bytes(range(256)), r"^conf/method/mine.yaml"),
    "a list": (METHOD, "- lr\n- beta\n", r"^conf/method/mine.yaml:1: holds a list; expected keys with values"),
    "a word": (METHOD, "signsgd\n", r"^conf/method/mine.yaml:1: holds the value 'signsgd'"),
    "a number": (METHOD, "3\n", r"^conf/method/mine.yaml:1: holds the value '3'"),
    "an empty file": (METHOD, "", r"^conf/method/mine.yaml: the file is empty"),
    "comments alone": (METHOD, "# Mine.\n", r"^conf/method/mine.yaml: the file is empty"),
    "two documents": (METHOD, GOOD + "---\nlr: 2\n", r"^conf/method/mine.yaml:5: expected a single document"),
    "an alias bomb": (METHOD, GOOD + BOMB, r"^conf/method/mine.yaml: more than 100000 values"),
    "an alias of itself": (METHOD, GOOD + "own: &a [*a]\n", r"^conf/method/mine.yaml:5: nested more than 50"),
    "an alias of nothing": (METHOD, GOOD + "own: *a\n", r"^conf/method/mine.yaml:5: "),
    "deep nesting": (METHOD, GOOD + f"own: {'[' * 200}{']' * 200}\n", r"^conf/method/mine.yaml:5: nested more than 50"),
    "very deep nesting": (METHOD, GOOD + f"own: {'[' * 50_000}", r"^conf/method/mine.yaml:5: "),
    "a large file": (METHOD, GOOD + "# x\n" * 1_300_000, r"^conf/method/mine.yaml: \d+ bytes"),
    "5,000 digits": (METHOD, GOOD + f"weight_decay: {'9' * 5000}\n", r"^conf/method/mine.yaml:5: '9+' is no value"),
    "a Python object": (METHOD, GOOD + "own: !!python/object/apply:os.system ['x']\n", r"^conf/method/mine.yaml:5: the tag .*python"),
    "a Python name": (METHOD, GOOD + "own: !!python/name:os.system ''\n", r"^conf/method/mine.yaml:5: the tag .*python"),
    "a tag of one's own": (METHOD, GOOD + "own: !mine 3\n", r"^conf/method/mine.yaml:5: the tag !mine"),
    "binary data": (METHOD, GOOD + "own: !!binary aGk=\n", r"^conf/method/mine.yaml:5: the tag .*binary"),
    "a set": (METHOD, GOOD + "own: !!set {a, b}\n", r"^conf/method/mine.yaml:5: the tag .*set"),
    "a key that is a list": (METHOD, GOOD + "? [a, b]\n: 1\n", r"^conf/method/mine.yaml:5: found unhashable key"),
    "a key that is empty": (METHOD, GOOD + ": 1\n", r"^conf/method/mine.yaml:5: "),
    "a number as key": (METHOD, GOOD + "3: 1\n", r"method.3|method\.3.*"),
    "NaN": (METHOD, GOOD.replace("0.001", ".nan"), r"^method.lr = nan: must be a finite number"),
    "a key misspelt": (METHOD, GOOD.replace("lr", "lrr"), r"^method.lrr = 0.001: unknown key; .*did you mean 'lr'"),
    "a target outside": (METHOD, GOOD.replace("methods.sign.signsgd.SignSGD", "os.system"), r"^method._target_ = 'os.system': not in"),
    "no target": (METHOD, "tasks: [classification]\nlr: 1.0\n", r"^method._target_: missing value"),
    "a package of its own": (METHOD, "# @package mine\n" + GOOD, r"^conf/method/mine.yaml:1: '@package mine'"),
    "defaults of nothing": (METHOD, GOOD + "defaults:\n  - nothing\n", r"^conf/method/mine.yaml:6: method = 'nothing': unknown"),
    "defaults of no list": (METHOD, GOOD + "defaults: signsgd\n", r"^conf/method/mine.yaml.*[Dd]efaults"),
    "defaults of a number": (METHOD, GOOD + "defaults: [3]\n", r"^conf/method/mine.yaml.*[Dd]efault"),
    "interpolation to nothing": (METHOD, GOOD.replace("0.001", "${nope}"), r"^conf/method/mine.yaml:4: method.lr: .*'nope' not found"),
    "interpolation left open": (METHOD, GOOD.replace("0.001", '"${nope"'), r"mine.yaml|method.lr"),
    "an unknown resolver": (METHOD, GOOD.replace("0.001", "${foo:1}"), r"^conf/method/mine.yaml:4: method.lr: .*foo"),
    "no package line": (EXPERIMENT, SWEPT.partition("\n")[2], r"^conf/experiment/mine.yaml:1: the first line .*@package _global_"),
    "a package line misspelt": (EXPERIMENT, SWEPT.replace("_global_", "_globall_"), r"^conf/experiment/mine.yaml:1: the first line"),
    "a sweep without MULTIRUN": (EXPERIMENT, SWEPT.replace("  mode: MULTIRUN\n", ""), r"sweeps over method, and one job .*mode: MULTIRUN"),
    "a list in a sweep": (EXPERIMENT, SWEPT + "      method.lr: [0.1, 0.2]\n", r"method.lr = \[0.1, 0.2\]: must be a number; to sweep"),
    "a sweep that is a list": (EXPERIMENT, SWEPT.replace("method: signsgd,sgd", "- method"), r"."),
    "an unknown method in a sweep": (EXPERIMENT, SWEPT.replace("sgd\n", "sgdd\n"), r"^method = 'sgdd': unknown; .*job 2 of 2"),
    "an unknown option": (EXPERIMENT, HEAD.replace("signsgd", "signsgdd"), r"^conf/experiment/mine.yaml:4: method = 'signsgdd': unknown"),
    "an unknown group": (EXPERIMENT, HEAD.replace("/method", "/methods"), r"^methods: unknown key"),
    "a key outside": (EXPERIMENT, HEAD + "methods:\n  lr: 1\n", r"^methods = .*unknown key"),
    "a callback of its own": (EXPERIMENT, HEAD + "hydra:\n  callbacks:\n    x:\n      _target_: os.system\n", r"hydra.callbacks.x._target_ = 'os.system'"),
}  # fmt: skip
OTHER = {
    "conf/config.yaml": ("conf/config.yaml", "defaults: [\n", r"^conf/config.yaml:\d: "),
    "a data set": ("conf/dataset/digits.yaml", "_target_: [\n", r"^conf/dataset/digits.yaml:\d: "),
    "a task": ("conf/task/classification.yaml", "- a\n", r"^conf/task/classification.yaml:1: holds a list; expected keys with values"),
    "a method's source": ("methods/sign/signsgd.py", "class SignSGD(:\n", r"^methods/sign/signsgd.py:1: "),
    "a null byte in a source": ("methods/sign/signsgd.py", "x = 1\0\n", r"^methods/sign/signsgd.py"),
    "an import of nothing": ("methods/sign/signsgd.py", None, r"^methods/sign/signsgd.py:1: No module named 'nothing_of_this_name'"),
}  # fmt: skip


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Iterator[tuple[Path, ModuleType]]:
    """A copy of the project, and its processes."""
    root = tmp_path_factory.mktemp("project")
    copy_project(root)
    (root / "tests").mkdir()
    for name in ("forks.py", "laws.py"):
        shutil.copy(ROOT / "tests" / name, root / "tests")
    spec = importlib.util.spec_from_file_location("copied_forks", root / "tests/forks.py")
    processes = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(processes)
    # Its server reads the files while all are good.
    assert processes.run(["--help"], clean_env(), cwd=root).returncode == 0
    yield root, processes
    processes._server(own=True).stdin.close()
    processes._server(own=True).stdout.close()
    processes._server(own=True).wait()


def ending(copy: tuple[Path, ModuleType], file: str, content: str | bytes, results: Path) -> str:
    """The one line of a run with a file that has this content."""
    root, processes = copy
    path = root / file
    before = path.read_bytes() if path.exists() else None
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    group = "experiment" if file == EXPERIMENT else "method"
    chosen = f"{group}={'mine' if path.stem == 'mine' else 'signsgd'}"
    line = [chosen, "scale=smoke", f"results_root={results}", "tracker=none", "hardware.threads=1"]
    try:
        done = processes.run(line, clean_env(), cwd=root, timeout=60)
    finally:
        path.unlink() if before is None else path.write_bytes(before)
    assert done.returncode == 2, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert not list(results.rglob("result.json"))
    return lines[0].removeprefix("error: ")


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_one_s_own(name, copy, tmp_path):
    file, content, expected = FILES[name]
    said = ending(copy, file, content, tmp_path)
    assert re.search(expected, said), said


@pytest.mark.parametrize("name", OTHER)
def test_a_file_of_ours(name, copy, tmp_path):
    file, content, expected = OTHER[name]
    if content is None:
        content = "import nothing_of_this_name\n" + (ROOT / file).read_text().replace(
            "from __future__", "# from __future__"
        )
    said = ending(copy, file, content, tmp_path)
    assert re.search(expected, said), said


def test_an_option_in_a_folder_is_one_line(copy, tmp_path):
    root, processes = copy
    (root / "conf/method/inner").mkdir()
    (root / "conf/method/inner/mine.yaml").write_text(GOOD)
    done = processes.run(["method=inner/mine", f"results_root={tmp_path}"], clean_env(), cwd=root, timeout=60)
    shutil.rmtree(root / "conf/method/inner")
    assert done.returncode == 2
    assert (
        done.stderr
        == "error: method = 'inner/mine': an option's file lies in conf/method itself, not in a folder below\n"
    )


def test_good_files_are_read(copy, tmp_path):
    """The same files without a mistake: a module that the person allows, and an alias that is used."""
    root, processes = copy
    (root / "mine_too.py").write_text("from methods.sign.signsgd import SignSGD\n\n\nclass Own(SignSGD):\n    pass\n")
    target = GOOD.replace("methods.sign.signsgd.SignSGD", "mine_too.Own").replace("0.001", "&rate 0.001")
    (root / METHOD).write_text(target + "weight_decay: *rate\n")
    line = ["method=mine", "scale=smoke", f"results_root={tmp_path}", "tracker=none", "hardware.threads=1"]
    refused = processes.run(line, clean_env(), cwd=root, timeout=60)
    assert "extensions: [mine_too]" in refused.stderr
    config = root / "conf/config.yaml"
    config.write_text(config.read_text().replace("extensions: []", "extensions: [mine_too]"))
    done = processes.run(line, clean_env(), cwd=root, timeout=60)
    (root / METHOD).unlink()
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list(tmp_path.rglob("result.json"))) == 1
