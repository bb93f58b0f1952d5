"""Every command of README and docs is one: overrides compose, experiments, scripts, their options, targets and variables exist."""

from __future__ import annotations

import re
import shlex

import pytest
from conftest import ROOT

from bench.run.options import options

PAGES = ["README.md", "CONTRIBUTING.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md"))]
SHELL = {"source", "export", "cd", "set", "kill", "grep", "cmp"}
OTHERS = SHELL | {"squeue", "scontrol", "scancel", "git", "wandb", "pip"}
YOURS = re.compile(r"\b(lion|mine|my|DIR|NAME|ID)\b|my_problem|/path/to")  # what a person makes first
ELSEWHERE = ("hardware=", "hydra", "results_root=", "force=", "-m", "extensions=")


def commands(page: str) -> list[list[str]]:
    """The words of each command of a page, without comments: those of `sh` blocks, and of inline code that begins as one."""
    text = (ROOT / page).read_text().replace("\\\n", " ")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, re.S) for line in block.splitlines()]
    lines += re.findall(r"`((?:python|make|torchrun|\.venv/bin/python) [^`\n]+)`", text)
    whole = [shlex.split(line, comments=True) for line in lines if line.strip()]
    return [part for words in whole for part in split(words) if part]


def split(words: list[str]) -> list[list[str]]:
    """At `&&`."""
    parts: list[list[str]] = [[]]
    for word in words:
        parts.append([]) if word == "&&" else parts[-1].append(word)
    return parts


def check_run(words: list[str], job) -> None:
    """run.py composes, as far as it is not the person's own."""
    told = [w for w in words if w.startswith("experiment=") and not YOURS.search(w)]
    assert {w.partition("=")[2] for w in told} <= set(options("experiment"))
    plain = [w for w in words if not w.startswith(ELSEWHERE) and "..." not in w and w != "--help"]
    if not told and not any(YOURS.search(w) for w in plain) and "-m" not in words:
        job(*plain)
    if "-m" in words:
        for word in plain:
            key, _, values = word.partition("=")
            if key in ("method", "dataset") and not YOURS.search(values):
                assert set(values.split(",")) <= set(options(key)), word


def check_script(words: list[str]) -> None:
    """A script of ours with options that it has."""
    source = (ROOT / words[0]).read_text()
    for flag in (w.partition("=")[0] for w in words if w.startswith("--")):
        assert f'"{flag}"' in source, f"{words[0]} {flag}"


def check_make(words: list[str]) -> None:
    """Targets and variables of the Makefile."""
    text = (ROOT / "Makefile").read_text()
    targets, variables = set(re.findall(r"^([a-z-]+):", text, re.M)), set(re.findall(r"^([A-Z]+) \?=", text, re.M))
    for word in words:
        name, given, _ = word.partition("=")
        assert name in (variables if given else targets), word


@pytest.mark.parametrize("page", PAGES)
def test_commands(page, job):
    for words in commands(page):
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        if not words or words[0] in OTHERS or words[0].endswith("/pip"):
            continue
        if words[0] == "torchrun":
            words = ["python", *(w for w in words[1:] if not w.startswith("--"))]
        if words[0] == "make":
            check_make(words[1:])
        elif len(words) == 1:
            continue  # a program's name in a sentence
        elif words[1] == "run.py":
            check_run(words[2:], job)
        elif words[1].endswith(".py"):
            check_script(words[1:]) if words[1].startswith("scripts/") else (ROOT / words[1]).read_text()
        else:
            assert words[1] in ("-m", "-c"), words
