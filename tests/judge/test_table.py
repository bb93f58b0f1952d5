"""A table of somebody else's runs: what is judged, what counts against whom, and each mistake in it as one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import forks
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT

from bench.errors import UserError
from bench.judge.table import TableVerdict, judge_files, judge_table
from bench.report.judged_table import save

TABLES = Path(__file__).parent / "tables"
BETTER = {"kind": "better", "metric": "accuracy", "of": {"method": "adam"}, "than": {"method": "sgd"}}
HIGHER = {"accuracy": "higher"}
N = 12


def frame(**changes: float) -> pd.DataFrame:
    """A row a run; adam is better by about 0.02. Changes are accuracies by method and seed, as adam3=0.5."""
    rows = [
        {"method": m, "seed": s, "accuracy": changes.get(f"{m}{s}", level + 0.001 * ((k * s) % N))}
        for m, level, k in (("adam", 0.93, 7), ("sgd", 0.91, 5))
        for s in range(N)
    ]
    return pd.DataFrame(rows)


def only(table: pd.DataFrame, check: dict, **more) -> TableVerdict:
    return judge_table(table, [check], **{"metrics": HIGHER, **more})[0]


def refused(table: pd.DataFrame, check: dict, **more) -> str:
    with pytest.raises(UserError) as caught:
        judge_table(table, {"c": check}, **{"metrics": HIGHER, **more})
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("check", "verdict"),
    [
        (BETTER, "reproduced"),
        (BETTER | {"of": {"method": "sgd"}, "than": {"method": "adam"}}, "not reproduced"),
        (BETTER | {"by": 0.02}, "inconclusive"),
        ({"kind": "value", "metric": "accuracy", "of": {"method": "adam"}, "target": 0.936, "margin": 0.01}, "reproduced"),
        ({"kind": "bound", "metric": "accuracy", "of": {"method": "sgd"}, "at_least": 0.93}, "not reproduced"),
        ({"kind": "ordering", "metric": "accuracy", "tiers": [[{"method": "adam"}], [{"method": "sgd"}]]}, "reproduced"),
        ({"kind": "share", "metric": "accuracy", "of": {"method": "sgd"}, "above": 0.9, "at_least": 0.6}, "reproduced"),
        ({"kind": "identity", "metric": "accuracy", "of": {"method": "adam"}, "equals": 0.93, "tolerance": 0.005}, "not reproduced"),
    ],
)  # fmt: skip
def test_kinds_of_checks(check, verdict):
    found = only(frame(), check)
    assert (found.verdict, found.word) == (verdict, "exploratory: not registered")


def test_the_interval_is_that_of_the_median_of_paired_differences():
    table = frame(adam3=0.99, sgd5=0.85)
    part = only(table, BETTER).parts[0]
    wide = table.pivot(index="seed", columns="method", values="accuracy")
    d = np.sort(wide.adam - wide.sgd)
    assert (part.interval.low, part.interval.high) == pytest.approx((d[2], d[-3]))  # of 12 two may lie beyond an end
    assert part.interval.estimate == pytest.approx(np.median(d))


@pytest.mark.parametrize("how", ["nan", "inf", "diverged", "Crashed", "failed"])
def test_a_run_that_diverged_counts_against_the_side_that_claims_to_win(how):
    table = frame()
    table["accuracy"] += np.where(table.method == "adam", 0.05, 0.0)
    lost = (table.method == "adam") & (table.seed < 10)
    if how in ("nan", "inf"):
        table.loc[lost, "accuracy"] = float(how)
    else:
        table["status"] = np.where(lost, how, "finished")
    assert only(table, BETTER).verdict == "not reproduced"
    few = table[~lost | (table.seed < 1)]
    assert "different seeds" in refused(few, BETTER), "nor can they be left out"


def test_runs_under_way_leave_a_claim_open():
    table = frame().assign(status=lambda t: np.where((t.method == "sgd") & (t.seed == 4), "running", "finished"))
    found = only(table, BETTER)
    assert (found.verdict, found.reason) == ("not run", "1 of 24 runs have not ended")


def curves() -> pd.DataFrame:
    """Accuracy over epochs: sgd is ahead at epoch 1, adam at the end; the loss falls as epoch^-0.5; rows are shuffled."""
    rows = [
        {"method": m, "seed": s, "epoch": e, "accuracy": a + 0.001 * s, "loss": e**-0.5 if e else 9.0, "lr": lr}
        for s in range(N)
        for m, lr, ends in (("adam", 0.001, (0.1, 0.5, 0.7, 0.95)), ("sgd", 0.1, (0.1, 0.6, 0.7, 0.90)))
        for e, a in zip((0, 1, 4, 16), ends)
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


def test_rows_of_curves_are_chosen_by_at_and_the_last_one_is_the_final_one():
    assert only(curves(), BETTER).verdict == "reproduced"
    assert only(curves(), BETTER | {"at": {"epoch": 1}}).verdict == "not reproduced"
    slope = {"kind": "slope", "metric": "loss", "over": "epoch", "of": {"method": "adam"}, "within": [-0.51, -0.49]}
    assert only(curves(), slope).verdict == "reproduced"
    several = {
        "kind": "value",
        "metric": "loss",
        "of": {"method": "sgd"},
        "over": "epoch",
        "targets": {1: 1.0, 16: 0.25},
    }
    assert only(curves(), several | {"margin": 0.01}).verdict == "reproduced"
    worst = {"kind": "bound", "metric": "loss", "of": {"method": "sgd"}, "curve": "max", "at_most": 8.0}
    assert only(curves(), worst).verdict == "not reproduced"
    assert "adam, lr 0.001, seed 0 has no row with epoch = 2; epoch goes from 0 to 16" in refused(
        curves(), BETTER | {"at": {"epoch": 2}, "of": {"method": "adam", "lr": 0.001}}
    )


def test_what_else_differs_between_groups_is_said():
    assert "the groups also differ in lr (0.001, 0.1)" in only(curves(), BETTER).reason
    ended = curves()[lambda t: ~((t.method == "sgd") & (t.epoch == 16))]
    assert "final rows are at epoch 4 to 16" in only(ended, BETTER).reason
    assert only(ended, BETTER, budget="epoch").verdict == "not comparable"
    other = frame().assign(dataset=lambda t: np.where(t.method == "sgd", "mnist", "digits"))
    assert "different data: dataset digits and mnist" in only(other, BETTER).reason


def test_groups_by_any_column_and_a_value_tuned_on_half_of_the_seeds():
    rows = [
        {"optimizer name": m, "seed": s, "weight decay": w, "accuracy": a + 0.001 * s - 10 * w}
        for s in range(N)
        for m, a in (("adam", 0.93), ("sgd", 0.91))
        for w in (1e-3, 1e-4)
    ]
    check = BETTER | {"of": {"optimizer name": "adam"}, "than": {"optimizer name": "sgd"}}
    found = only(pd.DataFrame(rows), check | {"tune": "weight decay"})
    assert found.verdict == "reproduced"
    assert "weight decay 0.0001 (smallest tried)" in found.reason
    chosen = {name: {"optimizer name": m, "weight decay": "1e-3"} for name, m in (("of", "adam"), ("than", "sgd"))}
    assert only(pd.DataFrame(rows), check | chosen).verdict == "reproduced"
    assert "selects runs that differ in weight decay (0.001, 0.0001); say which" in refused(
        pd.DataFrame(rows), check | {"of": chosen["of"], "than": {"optimizer name": "sgd"}}
    )


@pytest.mark.parametrize(
    ("table", "check", "said"),
    [
        (frame(), BETTER | {"metric": "acuracy"}, "no column 'acuracy' in the table; columns: accuracy, method, seed; did you mean 'accuracy'?"),
        (frame(), BETTER | {"of": {"metod": "adam"}}, "no column 'metod' in the table"),
        (frame(), BETTER | {"of": {"method": "adma"}}, "no run has method = adma; method is adam, sgd; did you mean 'adam'?"),
        (frame(), BETTER | {"budget": "epochs"}, "budget: no column 'epochs'"),
        (frame(), BETTER | {"kind": "beter"}, "did you mean 'better'?"),
        (frame(), BETTER | {"metric": "seed"}, "is seed better higher or lower? say metrics: {seed: higher}"),
        (pd.concat([frame(), frame()[:1]], ignore_index=True), BETTER, "the table, row 24: adam, seed 0 is there already (the table, row 0)"),
        (frame()[:-2], BETTER, "adam and sgd have different seeds: sgd lacks seeds 10, 11"),
        (frame()[lambda t: t.seed < 4], BETTER, "4 seeds cannot decide 1 part at the 5 % level; at least 6"),
        (frame().assign(accuracy="93 %"), BETTER, "accuracy is '93 %', no number; write 0.95 for 95%"),
        (frame().drop(columns="seed"), BETTER, "no column of seeds; say which it is, as columns: {seed: trial}"),
        (frame().assign(seed="a"), BETTER, "the table, row 0: seed is 'a'; expected a whole number from 0 on"),
        (frame()[:0], BETTER, "the table: has column names and no row"),
        (frame().assign(accuracy=None), BETTER, "accuracy of adam, seed 0 is empty; write nan where the run diverged"),
        (frame().assign(status="odd"), BETTER, "status is 'odd'; expected one of"),
        (frame(), BETTER | {"estimand": "mean", "range": [0.5, 0.51]}, "a value lies outside of [-0.01, 0.01]"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(table, check, said):
    assert said in refused(table, check)


def test_a_second_learning_rate_in_the_table_is_found_out():
    table = pd.concat([frame().assign(lr=0.1), frame().assign(lr=0.2)], ignore_index=True)
    line = refused(table, BETTER)
    assert line.endswith("adam, seed 0 is there already (the table, row 0); they differ in lr: let groups say which")
    chosen = {"of": {"method": "adam", "lr": 0.1}, "than": {"method": "sgd", "lr": 0.2}}
    assert only(table, BETTER | chosen).verdict == "reproduced"


def test_a_column_of_steps_selects_runs_where_groups_say_so():
    """Iterations may be a run's length as well as a place in its curve."""
    table = pd.concat([frame().assign(iterations=t, accuracy=lambda f, t=t: f.accuracy + t / 1e4) for t in (10, 500)])
    long, short = ({"method": "sgd", "iterations": t} for t in (500, 10))
    assert only(table, BETTER | {"of": long, "than": short}).verdict == "reproduced"
    assert only(table, BETTER | {"at": {"iterations": 10}}).verdict == "reproduced"


def test_columns_may_be_called_otherwise():
    table = frame().rename(columns={"seed": "trial", "method": "algo"})
    found = only(table, BETTER, columns={"seed": "trial", "method": "algo"})
    assert found.verdict == "reproduced"
    assert "columns.seed: no column 'trail'" in refused(table, BETTER, columns={"seed": "trail"})


# ---- the program


def test_diverged_runs_the_number_of_runs_and_the_border_are_said():
    found = only(frame(adam3=float("nan")), BETTER)
    assert found.reason.endswith("; 1 of 24 runs diverged")
    assert ", n = 12, accepted: above 0" in str(found)
    assert "diverged" not in only(frame(), BETTER).reason
    bound = {"kind": "bound", "metric": "accuracy", "of": {"method": "sgd"}, "at_least": 0.5}
    assert ", n = 12, accepted: at least 0.5" in str(only(frame(), bound))


def program(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return forks.python([ROOT / "scripts/judge.py", *arguments], dict(os.environ))


CLAIMS = """metrics: {accuracy: higher}
claims:
  adam-wins:
    says: Adam is better.
    check:
      kind: better
      metric: accuracy
      of: {method: adam}
      than: {method: sgd}
"""


def test_the_program_writes_verdicts_and_a_figure(tmp_path):
    (tmp_path / "claims.yaml").write_text(CLAIMS)
    frame().to_csv(tmp_path / "runs.csv", index=False)
    done = program(tmp_path / "runs.csv", tmp_path / "claims.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("adam-wins: reproduced (exploratory: not registered)\n  Adam is better.\n")
    svg = (tmp_path / "runs.verdicts.svg").read_text()
    assert "adam-wins: reproduced (exploratory)" in svg
    assert "adam minus sgd" in svg
    assert (tmp_path / "runs.verdicts.png").read_bytes().startswith(b"\x89PNG")
    again = program(tmp_path / "runs.csv", tmp_path / "claims.yaml")
    assert (again.stdout, (tmp_path / "runs.verdicts.svg").read_text()) == (done.stdout, svg)


@pytest.mark.parametrize(
    ("runs", "claims", "said"),
    [
        ("method;seed;accuracy\nadam;0;0,9\nsgd;0;0,8\n", CLAIMS, "runs.csv:2: accuracy is '0,9', no number"),
        ("method,seed,accuracy\nadam,0,0.9,1\n", CLAIMS, "runs.csv:2: 4 cells; expected 3, one a column"),
        ("method,seed,seed\n", CLAIMS, "two columns are called 'seed'"),
        ("\n", CLAIMS, "is empty"),
        ("method,seed,accuracy\nadam,0,0.9\nsgd,0,\n", CLAIMS, "runs.csv:3: accuracy of sgd, seed 0 is empty"),
        ("method,seed,accuracy\nadam,0,0.9\nadam,0,0.8\nsgd,0,0.8\n", CLAIMS, "runs.csv:3: adam, seed 0 is there already (runs.csv:2)"),
        ("method,seed,accuracy\nadam,0,0.9\n", CLAIMS.replace("kind: better", "kind: bettr"), "claims.yaml:5: claims.adam-wins.check"),
        ("method,seed,accuracy\nadam,0,0.9\n", CLAIMS.replace("than:", "then:"), "claims.yaml:5: claims.adam-wins.check: unknown key 'then'"),
        ("method,seed,accuracy\nadam,0,0.9\n", CLAIMS.replace("sgd", "sdg"), "claims.yaml:3: claims.adam-wins: no run has method = sdg"),
        ("method,seed,accuracy\nadam,0,0.9\n", CLAIMS + "   x: [", "claims.yaml:10: "),
        ("method,seed,accuracy\nadam,0,0.9\n", "claims: {}\n", "claims.yaml: claims: names nothing"),
        ("method,seed,accuracy\nadam,0,0.9\n", "metric: {}\nclaims: {}\n", "did you mean 'metrics'?"),
    ],
)  # fmt: skip
def test_wrong_files_are_said_in_one_line_of_file_and_line(tmp_path, runs, claims, said):
    (tmp_path / "claims.yaml").write_text(claims)
    (tmp_path / "runs.csv").write_text(runs)
    with pytest.raises(UserError) as caught:
        judge_files(tmp_path / "runs.csv", tmp_path / "claims.yaml")
    assert said in str(caught.value)


def test_the_program_ends_with_one_line_and_exit_code_2(tmp_path):
    (tmp_path / "claims.yaml").write_text(CLAIMS)
    frame().rename(columns={"method": "metod"}).to_csv(tmp_path / "runs.csv", index=False)
    done = program(tmp_path / "runs.csv", tmp_path / "claims.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    line = "error: claims.yaml:3: claims.adam-wins: no column 'method' in runs.csv; columns: accuracy, metod, seed"
    assert done.stderr == f"{line}; did you mean 'metod'?\n"
    assert not (tmp_path / "runs.verdicts.svg").exists()
    gone = program(tmp_path / "no.csv", tmp_path / "claims.yaml")
    assert (gone.returncode, gone.stderr) == (
        2,
        f"error: {tmp_path}/no.csv: cannot be read: No such file or directory\n",
    )


def test_neither_hydra_nor_torch_is_imported(tmp_path):
    (tmp_path / "claims.yaml").write_text(CLAIMS)
    arguments = [str(TABLES / "runs.csv"), str(tmp_path / "claims.yaml"), "--figure", str(tmp_path / "v")]
    code = f"""
import runpy, sys
for more in (["--no-figure"], []):
    sys.argv = ["judge.py", *{arguments!r}, *more]
    try:
        runpy.run_path({str(ROOT / "scripts/judge.py")!r}, run_name="__main__")
    except SystemExit as stop:
        assert stop.code == 0, stop.code
    print("IMPORTED", *sorted({{"hydra", "omegaconf", "torch", "wandb", "matplotlib"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    said = [line for line in done.stdout.splitlines() if line.startswith("IMPORTED")]
    assert said == ["IMPORTED", "IMPORTED matplotlib"]


def test_a_share_that_no_number_of_runs_decides_is_said():
    frame = pd.DataFrame({"method": ["a"] * 8, "seed": range(8), "accuracy": [1.0] * 8})
    check = {"kind": "share", "metric": "accuracy", "of": {"method": "a"}, "above": 0.5, "at_least": 0.999999}
    with pytest.raises(UserError, match="8 seeds cannot decide 1 part at the 5 % level; at least 10000"):
        judge_table(frame, {"always": check})


def test_a_number_too_large_for_one_is_said():
    frame = pd.DataFrame({"method": ["a"] * 8, "seed": range(8), "accuracy": [10**400] * 8})
    check = {"kind": "bound", "metric": "accuracy", "of": {"method": "a"}, "at_least": 0.5}
    with pytest.raises(UserError, match=r"row 0: accuracy is 1000.*no number"):
        judge_table(frame, {"large": check})


def test_a_table_and_claims_in_the_wrong_order_are_said(tmp_path):
    (tmp_path / "claims.yaml").write_text("claims: {}\n")
    frame().to_csv(tmp_path / "runs.csv", index=False)
    done = program(tmp_path / "claims.yaml", tmp_path / "runs.csv")
    assert done.returncode == 2
    assert "the table comes first" in done.stderr


def test_a_figure_may_go_into_a_folder_that_is_not_there_yet(tmp_path):
    save(judge_table(frame(), [BETTER], metrics=HIGHER), tmp_path / "new" / "figure")
    assert (tmp_path / "new" / "figure.png").exists()
