"""Config keys and columns as the words of the task's note, in the labels that verdicts carry: `fresh True` is `fresh samples`."""

from __future__ import annotations

import re
from functools import cache

from bench.run.notes import note

VALUE = r"[^\s,;()]+"
PATHS = re.compile(r"'bench(?:\.\w+)*\.(\w+)'")


def spoken(text: str, task: str) -> str:
    """A label, or a sentence with labels in it, in the task's words."""
    pattern, names = _words(task)
    return PATHS.sub(r"\1", pattern.sub(lambda found: _said(found, names, task), text))


@cache
def _words(task: str) -> tuple[re.Pattern[str], dict[str, str]]:
    said = note(task)
    columns = {name: f"{metric.label} {{}}" for name, metric in said.metrics.items() if "_" in name}
    keys = dict.fromkeys(key.partition("=")[0] for key in said.words)
    known = sorted({*keys, *columns}, key=len, reverse=True)
    one = "|".join(map(re.escape, known)) or r"(?!)"
    return re.compile(rf"(?<![\w.])(?:method\.|dataset\.|task\.|model\.)?({one}) ({VALUE})"), columns


def _said(found: re.Match[str], columns: dict[str, str], task: str) -> str:
    (key, value), words = found.groups(), note(task).words
    text = words.get(f"{key}={value}") or words.get(key) or columns.get(key)
    return text.format(value.removesuffix(".0")) if text else found[0]
