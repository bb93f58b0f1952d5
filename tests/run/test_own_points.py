"""A person's file of features from the command line: a table, values by id, and one line for each bad file."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch
from valuation_points import gaussian

POINTS = gaussian("", 0, n=120, m=40)
GOOD = {
    "features": POINTS.train_x.numpy(),
    "labels": np.array(["ant", "bee", "cow"])[POINTS.train_y],
    "reference_features": POINTS.reference_x.numpy(),
    "reference_labels": np.array(["ant", "bee", "cow"])[POINTS.reference_y],
    "ids": np.array([f"image {i}.png" for i in range(120)]),
}


def save(folder, **arrays) -> str:
    path = folder / "mine.npz"
    np.savez(path, **{name: array for name, array in (GOOD | arrays).items() if array is not None})
    return f"dataset.path={path}"


def test_values_stand_by_id_and_the_table_says_what_was_found(program, tmp_path):
    from methods.valuation.sava import sava_values

    path = save(tmp_path, corrupted=POINTS.corrupted.numpy())
    done = program("dataset=features", path, "method=sava", "method.batch_size=60", "seeds=[0]")
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert "120 points and 40 reference points of 3 features, 3 classes (ant, bee, cow become 0 to 2)" in said
    (file,) = (tmp_path / "results").rglob("values.csv")
    assert f"values of 120 points: {file}" in said
    assert not list((tmp_path / "results").rglob("sheet.png"))
    with open(file, newline="") as opened:
        lines = list(csv.DictReader(opened))
    assert [line["id"] for line in lines] == GOOD["ids"].tolist()
    assert [line["label"] for line in lines] == GOOD["labels"].tolist()
    values = np.array([float(line["value"]) for line in lines])
    arrays = (GOOD[name] for name in ("features", "labels", "reference_features", "reference_labels"))
    np.testing.assert_allclose(values, torch.as_tensor(sava_values(*arrays, batch_size=60)).numpy(), rtol=1e-6)
    worst = sorted(lines, key=lambda line: int(line["rank"]))[: int(POINTS.corrupted.sum())]
    found = sum(line["corrupted"] == "1" for line in worst) / len(worst)
    assert f"{found:.4g}" in done.stdout[done.stdout.index("detection_rate") :].splitlines()[0]
    assert found > 0.5, "chance is 0.3"


NAN = GOOD["features"].copy()
NAN[7, 2] = np.nan


@pytest.mark.parametrize(
    ("arrays", "wanted"),
    [
        ({"reference_labels": None}, "mine.npz: no array 'reference_labels'"),
        ({"features": NAN}, "mine.npz: features[7, 2] = nan"),
        ({"labels": GOOD["labels"][:100]}, "mine.npz: labels has shape [100]; one label a row, [120]"),
        ({"ids": GOOD["ids"][:3]}, "of shape [3]; a text or whole number a point, [120]"),
    ],
)
def test_a_bad_file_is_one_line(arrays, wanted, program, tmp_path):
    done = program("dataset=features", save(tmp_path, **arrays), "method=sava")
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    assert wanted in lines[0]
    assert "Traceback" not in done.stdout + done.stderr
    assert not list((tmp_path / "results").rglob("values.csv"))
