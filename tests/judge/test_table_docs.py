"""The lines of docs/judge.md run as they stand, and print what they say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from conftest import ROOT

DOCUMENT = (ROOT / "docs/judge.md").read_text()
SECTION = DOCUMENT.partition("## A file and a command\n")[2].partition("\n## ")[0]
RUNS = Path(__file__).parent / "tables/runs.csv"


def started(command: str, folder: Path) -> str:
    """What a shell prints in a folder with runs.csv, `python` being this one."""
    shutil.copy(RUNS, folder)
    (folder / "bin").mkdir()
    (folder / "bin/python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (folder / "bin/python").chmod(0o755)
    env = os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, shell=True, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_ten_lines(tmp_path):
    lines, printed = re.search(r"```python\n(import.*?)```\n\n```\n(.*?)```", DOCUMENT, re.S).groups()
    assert len([line for line in lines.splitlines() if line]) <= 10
    (tmp_path / "ten.py").write_text(lines)
    assert started("python ten.py", tmp_path) == printed


def test_the_file_of_claims(tmp_path):
    name, text = re.search(r"```yaml\n# (claims\.yaml)\n(.*?)```", SECTION, re.S).groups()
    (tmp_path / name).write_text(text)
    command = re.search(r"`(python scripts/judge\.py runs\.csv claims\.yaml)`", SECTION)[1]
    out = started(command.replace("scripts", str(ROOT / "scripts")), tmp_path)
    assert out.startswith("adam-wins: reproduced (exploratory: not registered)\n")
    assert out.endswith("runs.verdicts.svg; runs.verdicts.png\n")


def test_the_commands_that_register(tmp_path):
    (tmp_path / "claims.yaml").write_text(re.search(r"```yaml\n# claims\.yaml\n(.*?)```", SECTION, re.S)[1])
    block = re.search(r"```sh\n(.*?--register.*?)```", DOCUMENT, re.S)[1]
    out = started(f"set -e\n{block.replace('scripts', str(ROOT / 'scripts'))}", tmp_path)
    assert out.startswith("registered in claims.registry.jsonl: 1 check, attempt 1")
    assert "exploratory: none of its seeds is a registered one" in out
