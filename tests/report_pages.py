"""Pages of the committed archives, made once a process in a folder of their own; figures that did not change are not drawn again."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from conftest import ROOT

from bench.judge.papers import load_papers
from bench.report.publish import write_report

PARTS = ("archive/{}.jsonl.xz", "selftest/{}.csv", "manifests/{}.json", "figures/{}")


@cache
def made(*papers: str) -> Path:
    """The folder of a report on some papers."""
    folder = Path(tempfile.mkdtemp(prefix="claimbench-pages-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in papers:
        for part in PARTS:
            source, target = ROOT / "results" / part.format(name), folder / part.format(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target)
            elif source.exists():
                shutil.copy(source, target)
    write_report(folder, {name: paper for name, paper in load_papers().items() if name in papers})
    return folder
