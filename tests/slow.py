"""Which tests `make test-fast` leaves out: `python tests/slow.py junit.xml` writes tests/slow.txt from what `pytest --junitxml=junit.xml` has measured."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from collections import defaultdict
from pathlib import Path

LIST = Path(__file__).with_name("slow.txt")
SECONDS = 0.1  # of a test, or of the set-up and the test together


def measured(path: str) -> list[str]:
    """Functions, as tests/conf/test_readme.py::test_paths, of which a test takes longer."""
    longest: dict[str, float] = defaultdict(float)
    for case in ElementTree.parse(path).iter("testcase"):
        name = f"{case.attrib['classname'].replace('.', '/')}.py::{case.attrib['name'].partition('[')[0]}"
        longest[name] = max(longest[name], float(case.attrib["time"]))
    return sorted(name for name, seconds in longest.items() if seconds > SECONDS)


def listed() -> set[str]:
    """Those that were measured last."""
    return set(LIST.read_text(encoding="utf-8").split())


if __name__ == "__main__":
    LIST.write_text("\n".join(measured(sys.argv[1])) + "\n", encoding="utf-8")
