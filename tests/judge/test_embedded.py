"""Experiments that need no data folder."""

from __future__ import annotations

from pathlib import Path

from bench.judge.embedded import embedded, lacking


def test_what_is_drawn_or_lies_in_a_package_is_embedded():
    drawn, packaged = ["ssvr/rate_stochastic", "r2sgld/leakage"], ["ssvr/digits", "egab/markets", "dplora/digits"]
    files = ["ssvr/cifar10", "ngvi/uci", "dplora/celeba64", "sava/cifar10_prune"]
    assert embedded([*drawn, *files, *packaged], "smoke") == [*drawn, *packaged]


def test_data_that_are_not_there_are_told_from_damaged_ones(tmp_path: Path):
    def said() -> str | None:
        return lacking("dplora/celebahq", "smoke", [f"data_root={tmp_path}"])

    assert f"no folder {tmp_path}/celebahq/public" in (said() or "")
    for part in ("public", "private", "held"):
        (tmp_path / "celebahq" / part / "0").mkdir(parents=True)
        (tmp_path / "celebahq" / part / "0" / "1.png").write_text("no picture")
    assert said() is None, "they are refused, and they are there"
    assert lacking("dplora/digits", "smoke", []) is None
