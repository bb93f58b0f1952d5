"""Runs beside opendataval 1.3.0 (`make bench-valuation`): `peer_opendataval.py FOLDER ROUNDS` values FOLDER/points.npz with two of its evaluators.

Its evaluators LavaEvaluator and KNNShapley are run as released, with geomloss 0.2.6 as it asks (0.3 has another geomloss.utils). What it pins
but does not need for them is left: torch 2.1, pandas 1 and numpy 1.25 (the installed ones serve), pykeops, pandera, typer, torcheval. Where
torchvision, transformers or requests cannot be imported a stand-in takes their place: downloads of data sets and BERT want them, nothing here.
Leaves FOLDER/NAME.npy, the values, and prints a line `NAME seconds` for each, the median of the rounds.
"""

from __future__ import annotations

import importlib
import statistics
import sys
import time
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import torch

UNUSED = {
    "torchvision": ("transforms", "transforms.functional", "datasets"),
    "transformers": (),
    "requests": (),
}


def import_or_stand_in() -> None:
    """Packages that opendataval imports at its start and that no evaluator here calls."""
    for name, parts in UNUSED.items():
        try:
            importlib.import_module(name)
        except (ImportError, RuntimeError):  # RuntimeError: torchvision of another build than torch
            for whole in (name, *(f"{name}.{part}" for part in parts)):
                sys.modules[whole] = MagicMock()


def main(folder: Path, rounds: int) -> None:
    """Both evaluators on the same points."""
    import_or_stand_in()
    from opendataval.dataval.knnshap import KNNShapley
    from opendataval.dataval.lava import LavaEvaluator

    points = np.load(folder / "points.npz")
    x, other = torch.from_numpy(points["x"]), torch.from_numpy(points["reference_x"])
    y, other_y = (torch.nn.functional.one_hot(torch.from_numpy(points[key])) for key in ("y", "reference_y"))
    for name, make in {"lava": LavaEvaluator, "knn_shapley": lambda: KNNShapley(k_neighbors=10)}.items():
        seconds = []
        for _ in range(rounds):
            start = time.perf_counter()
            values = make().input_data(x, y, other, other_y).train_data_values().data_values
            seconds.append(time.perf_counter() - start)
        np.save(folder / f"{name}.npy", values)
        print(name, statistics.median(seconds), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
