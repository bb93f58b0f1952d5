"""The table of values in a run's folder: one line a point, in the order of the points."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.run.atomic import write_atomic
from bench.run.files import VALUES
from bench.tasks.valuation.points import Points

LINES = 65536  # written at a time


def write_table(folder: Path, points: Points, values: NDArray[np.float64], order: NDArray[np.int64]) -> Path:
    """values.csv with columns id, label, value, rank (1: the lowest value) and, where it is known, corrupted (0 or 1); its path.

    Labels are classes' names where these have any.

    Args:
        values: [N].
        order: [N], positions from the lowest value to the highest.
    """
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    labels = points.train_y.cpu().numpy()
    columns: list[Any] = [np.array(points.class_names)[labels] if points.class_names else labels, values, rank]
    names = ["id", "label", "value", "rank"]
    if points.corrupted is not None:
        columns.append(points.corrupted.cpu().numpy().astype(np.int64))
        names.append("corrupted")

    def write(file: Any) -> None:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(names)
        for first in range(0, len(order), LINES):
            part = slice(first, first + LINES)
            ids = points.ids[part] if points.ids is not None else range(first, min(first + LINES, len(order)))
            lines.writerows(zip(ids, *(column[part].tolist() for column in columns)))
        text.detach()

    path = folder / VALUES
    write_atomic(path, write)
    return path
