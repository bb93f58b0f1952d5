"""Tables as other tools write them are judged as they are.

tables/wandb_*.csv hold 24 offline runs of wandb 0.31 (adam and sgd, seeds 0 to 11; sgd's seed 5 ends in NaN), as `wandb leet inspect --json`
tells of them: the app's table of runs and a chart's export in the layout of files that people have committed, the API's export by the code of
W&B's documentation. tables/benchopt.csv has the columns that benchopt's _generate_runs.py makes, with gradient descent on least squares.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from bench.errors import UserError
from bench.judge.table import judge_files, judge_table
from bench.judge.table_rows import read_table

TABLES = Path(__file__).parent / "tables"
ADAM = {"kind": "better", "metric": "test/accuracy", "of": {"method": "adam"}, "than": {"method": "sgd"}}


def judged(name: str, checks: list[dict], **more):
    frame = pd.read_csv(TABLES / name)
    return judge_table(frame, checks, **{"metrics": {"test/accuracy": "higher", "objective_value": "lower"}, **more})


@pytest.mark.parametrize("name", ["wandb_runs.csv", "wandb_api.csv", "wandb_chart.csv"])
def test_the_same_runs_in_three_exports_of_wandb_have_one_verdict(name, tmp_path):
    (tmp_path / "claims.yaml").write_text(
        "metrics: {test/accuracy: higher}\nclaims:\n"
        "  adam-wins: {kind: better, metric: test/accuracy, of: {method: adam}, than: {method: sgd}}\n"
        "  sgd-fails: {kind: share, metric: test/accuracy, of: {method: sgd}, above: 0.8, at_least: 0.5}\n"
    )
    verdicts = judge_files(TABLES / name, tmp_path / "claims.yaml")
    assert [v.verdict for v in verdicts] == ["reproduced", "reproduced"]
    assert verdicts[1].parts[0].interval.estimate == pytest.approx(11 / 12), "the run that ended in NaN is counted"
    assert verdicts.said[0].startswith(f"{name} read as W&B ")
    same = judge_files(TABLES / "wandb_runs.csv", tmp_path / "claims.yaml")
    assert [v.parts[0].interval for v in verdicts] == [v.parts[0].interval for v in same]


def test_nested_config_keys_and_truth_values_select_runs():
    for where in ({"optim.lr": 0.001}, {"nesterov": False}, {"dataset": "digits", "optim.lr": "1e-3"}):
        check = {"kind": "bound", "metric": "test/accuracy", "of": where, "at_least": 0.88}
        assert judged("wandb_runs.csv", [check])[0].verdict == "reproduced"


def test_a_crashed_run_of_the_app_counts_against_the_side_that_claims_to_win(tmp_path):
    text = (TABLES / "wandb_runs.csv").read_text().splitlines(keepends=True)
    lost = [line.replace("finished", "crashed") if line.startswith('"adam') else line for line in text]
    (tmp_path / "runs.csv").write_text("".join(lost))
    frame = pd.read_csv(tmp_path / "runs.csv")
    assert judge_table(frame, [ADAM], metrics={"test/accuracy": "higher"})[0].verdict == "not reproduced"


def test_names_of_runs_in_a_chart_are_read_as_the_claims_say():
    frame = pd.read_csv(TABLES / "wandb_chart.csv")
    renamed = frame.rename(columns=lambda c: c.replace("adam-s", "adam lr0.1 #").replace("sgd-s", "sgd lr0.2 #"))
    check = ADAM | {"of": {"lr": 0.1}, "than": {"lr": 0.2}}
    found = judge_table(renamed, [check], metrics={"test/accuracy": "higher"}, names="{method} lr{lr} #{seed}")
    assert found[0].verdict == "reproduced"
    early = judge_table(frame, [ADAM | {"at": {"step": 0}}], metrics={"test/accuracy": "higher"})[0]
    assert early.parts[0].interval.estimate < 0.03, "the curve's first row, not its last"
    nameless = frame.rename(columns=lambda c: c.replace("adam-s3", "lunar-sky"))
    with pytest.raises(UserError, match="'lunar-sky' does not end in a seed; say how names are made"):
        judge_table(nameless, [ADAM], metrics={"test/accuracy": "higher"})


def test_benchopt_s_results():
    gd, momentum = {"method": "gd[step=1.0]"}, {"momentum": 0.9}
    better = {"kind": "better", "metric": "objective_value", "of": gd, "than": momentum, "budget": "stop_val"}
    rate = {"kind": "slope", "metric": "objective_grad_norm", "of": gd, "over": "stop_val", "within": [-3, -2]}
    verdicts = judged("benchopt.csv", [better, better | {"at": {"stop_val": 1}}, rate])
    assert [v.verdict for v in verdicts] == ["reproduced", "not reproduced", "reproduced"], (
        "the first steps are the same"
    )
    assert "solver_name is method, dataset_name is dataset" in verdicts.said[0]
    assert "p_solver_momentum is momentum" in verdicts.said[0]
    assert "p_solver_step is" not in verdicts.said[0], "step is what orders the rows"


def test_a_tolerance_of_benchopt_runs_from_loose_to_tight():
    frame = pd.read_csv(TABLES / "benchopt.csv")
    last = {"kind": "bound", "metric": "objective_value", "of": {"method": "gd[step=1.0]"}, "at_most": 0.02}
    assert judge_table(frame, [last])[0].verdict == "reproduced"
    tolerance = frame.assign(stop_val=1.0 / (1 + frame.stop_val), sampling_strategy="Tolerance")
    assert judge_table(tolerance, [last])[0].verdict == "reproduced"
    loose = frame.assign(stop_val=1.0 / (1 + frame.stop_val))
    assert judge_table(loose, [last])[0].verdict == "not reproduced"
    old = frame.rename(columns={"dataset_name": "data_name"})
    where = {"dataset": "Simulated[n_features=10,n_samples=50]", "method": "gd[step=1.0]"}
    assert judge_table(old, [last | {"of": where}])[0].verdict == "reproduced"


def test_parquet_says_what_it_needs(tmp_path):
    pytest.importorskip("pandas")
    path = tmp_path / "runs.parquet"
    frame = pd.read_csv(TABLES / "benchopt.csv")
    try:
        frame.to_parquet(path)
    except ImportError:
        path.write_bytes(b"PAR1")
        with pytest.raises(UserError, match="reading parquet needs pyarrow"):
            read_table(path)
    else:
        assert read_table(path).rows[0]["solver_name"] == "gd[step=1.0]"
