"""The choice of an epoch: whole runs against a naive one, rules that see what they may, and parts that do not overlap."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from unittest.mock import patch

import pytest
import torch
from conftest import final
from reference.agree import all_compared, same_rows
from reference.private_audits import epochs

from bench.errors import UserError
from bench.run.curve import read_metrics
from bench.tasks.epoch_choice import loop
from bench.tasks.epoch_choice.note import NOTE
from datasets.images.digits import digits
from datasets.pairs.four_parts import digits_in_four
from methods.private.choice import LastEpoch, TestedEpoch, ValidatedEpoch

SIZES = {"train_size": 90, "validation_size": 40, "test_size": 60, "fresh_size": 300}
KEYS = {"epochs": 4, "batch_size": 32, "lr": 3e-3, "width": 4}
LINE = [
    "dataset=digits_in_four", "scale=smoke", *(f"dataset.{name}={value}" for name, value in SIZES.items()),
    *(f"task.{name}={value}" for name, value in KEYS.items()),
]  # fmt: skip
RULES = {"last_epoch": LastEpoch, "validated_epoch": ValidatedEpoch, "tested_epoch": TestedEpoch}


@pytest.mark.parametrize("method", RULES)
def test_whole_runs(go, method):
    raw = digits("", 0)
    x, y = torch.cat([raw.train_x, raw.test_x]), torch.cat([raw.train_y, raw.test_y])
    folders = go(f"method={method}", *LINE, "seeds=[5]")
    rows = epochs(x, y, list(SIZES.values()), KEYS, 5)
    by = {"last_epoch": lambda k: k, "validated_epoch": lambda k: (rows[k]["validation_accuracy"], -k),
          "tested_epoch": lambda k: (rows[k]["test_accuracy"], -k)}[method]  # fmt: skip
    best = max(range(4), key=by)
    curve = [row | {"epoch": k, "step": k} for k, row in enumerate(rows, 1)]
    compared = same_rows(read_metrics(folders[0]), curve, 1e-9)
    last = rows[best] | {"epoch": 4, "chosen_epoch": best + 1, "gradient_evaluations": 4 * 90}
    last["overstatement"] = last["test_accuracy"] - last["fresh_accuracy"]
    compared |= same_rows(final(folders), [last], 1e-9)
    all_compared(compared - {"step"}, NOTE)


def test_rules_by_hand():
    validation, test = [0.5, 0.9, 0.9, 0.7], [0.6, 0.5, 0.8, 0.8]
    assert {name: rule().choose(validation, test) for name, rule in RULES.items()} == {
        "last_epoch": 3, "validated_epoch": 1, "tested_epoch": 2,
    }  # fmt: skip


def test_four_parts_have_no_image_twice_and_other_ones_for_another_seed():
    raw = digits("", 0)
    rows = torch.cat([raw.train_x, raw.test_x]).flatten(1).tolist()
    data = digits_in_four("", 0, **SIZES)
    parts = [data.train, data.validation, data.test, data.fresh]
    assert [len(y) for _, y in parts] == [90, 40, 60, 300]
    assert not Counter(map(tuple, torch.cat([x for x, _ in parts]).flatten(1).tolist())) - Counter(map(tuple, rows))
    assert not torch.equal(data.test[0], digits_in_four("", 1, **SIZES).test[0])


@contextmanager
def changed(part: str):
    """Other labels in a part."""
    build = loop.build

    def other(group, *arguments, **more):
        made = build(group, *arguments, **more)
        return (
            replace(made, **{part: (getattr(made, part)[0], 9 - getattr(made, part)[1])})
            if group == "dataset"
            else made
        )

    with patch.object(loop, "build", other):
        yield


@pytest.mark.parametrize(
    ("part", "method", "same"),
    [
        ("fresh", "tested_epoch", {"validation_accuracy", "test_accuracy", "chosen_epoch"}),
        ("test", "validated_epoch", {"validation_accuracy", "fresh_accuracy", "chosen_epoch"}),
        ("validation", "tested_epoch", {"test_accuracy", "fresh_accuracy", "chosen_epoch"}),
        ("test", "last_epoch", {"validation_accuracy", "fresh_accuracy", "chosen_epoch"}),
        ("train", "last_epoch", {"chosen_epoch"}),
    ],
)
def test_what_is_measured_with_a_part_does_not_touch_the_rest(part, method, same, go):
    (plain,) = final(go(f"method={method}", *LINE, "seeds=[1]"))
    with changed(part):
        (other,) = final(go(f"method={method}", *LINE, "seeds=[1]", root="other"))
    names = {"validation_accuracy", "test_accuracy", "fresh_accuracy", "chosen_epoch"}
    assert {name for name in names if plain[name] == other[name]} == same


def test_more_images_than_there_are_are_refused(go):
    with pytest.raises(UserError, match=r"fresh_size = 1800: the parts have 1,990 of 1,797 images; smaller"):
        go("method=last_epoch", *LINE, "dataset.fresh_size=1800")
