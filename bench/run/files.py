"""The names of the files in a run's folder, and of what stands beside them for a while."""

from __future__ import annotations

import re
from pathlib import Path

RESULT, METRICS, ENVIRONMENT, ERROR, CHECKPOINT, CONFIG, LOCK = (
    "result.json",
    "metrics.jsonl",
    "env.json",
    "error.json",
    "checkpoint.pt",
    "config.yaml",
    "lock",
)
VALUES, SHEET = "values.csv", "sheet.png"  # of the valuation of points
# of generation: a grid of images, every private release of an attempt, what was learnt
SAMPLES, LEDGER, MODEL = "samples.png", "ledger.jsonl", "model.zip"
NEW = ".new"  # ends the names of an attempt's files while the result that they replace still stands
REPLACED = (ENVIRONMENT, METRICS, LEDGER, MODEL, RESULT)  # in the order in which they are put in place
FILES = {RESULT, METRICS, ENVIRONMENT, ERROR, CHECKPOINT, LOCK, VALUES, SHEET, SAMPLES, LEDGER, MODEL} | {
    name + NEW for name in REPLACED
}  # of a seed's folder
_NAMES = "|".join(map(re.escape, sorted(FILES | {CONFIG}, reverse=True)))
TEMPORARY = re.compile(rf"\.({_NAMES})\.(\d+)")  # of bench.run.atomic.write_atomic
CORRUPT = re.compile(rf"({_NAMES})\.corrupt-\d+")  # of bench.run.atomic.set_aside


def beside(folder: Path) -> str:
    """What an attempt's files end in: NEW where there is a result that must outlive the attempt."""
    return NEW if (folder / RESULT).exists() else ""
