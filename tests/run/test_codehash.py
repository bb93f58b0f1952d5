"""The code hash follows imports, and changes with the code's meaning alone; folders named like other packages do no harm."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from conftest import QUIET, ROOT, clean_env, edit_result

from bench.run import codehash, signature
from bench.run.codehash import files_of, meaning


def names(module: str) -> set[str]:
    return {str(path.relative_to(ROOT)) for path in files_of([module])}


def test_files_are_those_that_imports_reach():
    assert names("methods.sign.ssvr") == {
        "methods/sign/ssvr.py", "methods/sign/base.py", "methods/sign/guarded.py", "bench/types.py"
    }  # fmt: skip
    task = names("bench.tasks.classification.loop")
    assert {
        "bench/tasks/classification/loop.py",
        "bench/tasks/classification/augment.py",
        "bench/tasks/classification/metrics.py",
        "bench/seeding.py",
    } <= task
    assert "bench/run/cli.py" not in task


def test_comments_docstrings_and_blank_lines_do_not_count(tmp_path: Path):
    texts = {
        "a": "x = 1\ndef f(y):\n    return y + x\n",
        "b": '"""Doc."""\n\nx = 1  # one\n\n\ndef f(y):\n    """More\n    doc."""\n    # comment\n    return y + x\n',
        "c": "x = 2\ndef f(y):\n    return y + x\n",
        "d": 'x = "# not a comment"\n',
    }
    found = {}
    for name, text in texts.items():
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        found[name] = meaning(path.read_text(), ast.parse(path.read_text()))
    assert found["a"] == found["b"]
    assert found["a"] != found["c"]
    assert found["d"].strip() == 'x = "# not a comment"'
    signature.parse.cache_clear()


def test_a_result_of_other_code_is_reported_as_stale(program, tmp_path):
    run = ["method=signsgd", "dataset=digits", "scale=smoke"]
    program(*run)
    path = next((tmp_path / "results").rglob("result.json"))
    edit_result(path.parent, code="0" * 12)
    again = program(*run)
    assert again.returncode == 0
    assert "is stale" in again.stderr
    assert "force=true" in again.stderr


def test_an_installed_package_called_datasets_does_not_shadow_ours(tmp_path):
    """With Hugging Face's name installed, `python run.py` still finds our folder, and the other stays importable elsewhere."""
    package = tmp_path / "site/datasets"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("STAND_IN = True\n")
    env = clean_env() | {"PYTHONPATH": str(package.parent)}
    command = [
        sys.executable,
        str(ROOT / "run.py"),
        "method=signsgd",
        "scale=smoke",
        f"results_root={tmp_path / 'r'}",
        *QUIET,
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    other = subprocess.run(
        [sys.executable, "-c", "import datasets; assert datasets.STAND_IN"], env=env, cwd=tmp_path, check=False
    )
    assert other.returncode == 0


def test_a_relative_import_is_followed(tmp_path, monkeypatch):
    for name, text in {"a.py": "from .b import x\nfrom . import c\nfrom ..up import y\n", "b.py": "x = 1\n"}.items():
        path = tmp_path / "pack" / "inner" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(codehash, "ROOT", tmp_path)
    names = codehash._facts(tmp_path / "pack" / "inner" / "a.py")[0]
    assert {"pack.inner.b", "pack.inner.c", "pack.up"} <= set(names)


def test_a_file_edited_while_a_process_runs_is_read_as_it_is_now(tmp_path, monkeypatch):
    """The syntax tree of before would cut the docstrings of now at other lines, and the wrong digest would be kept."""
    monkeypatch.setattr(codehash, "ROOT", tmp_path)
    path = tmp_path / "mine.py"
    path.write_text('"""Mine."""\n\n\nX = 1\n')
    signature.parse(path)
    path.write_text('# longer\n\n\n"""Mine."""\nX = 1\n')
    edited = codehash._facts(path)
    signature.parse.cache_clear()
    assert codehash._facts(path) == edited
    path.write_text('"""Mine."""\n\n\nX = 1\n')
    assert codehash._facts(path) == edited
