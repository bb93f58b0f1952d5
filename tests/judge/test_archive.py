"""Archives: what is written is read back, the same records give the same lines, old ones stand in for folders that are not there."""

from __future__ import annotations

import lzma
import re
from dataclasses import replace

import pytest
from conftest import QUIET, edit_result
from made import run, runs

from bench.errors import UserError
from bench.judge import gather
from bench.judge.archive import archive_path, read_all, read_archive, text_of, write_archive
from bench.judge.gather import refresh
from bench.judge.papers import load_papers
from bench.judge.plan import Planned, plan
from bench.judge.readers import Reader
from bench.run import memo
from bench.run.compose import compose
from bench.run.result import read_result

OVERRIDES = ["tracker=none", "seeds=[0,1]"]
MACHINE = {"cpu": "a processor", "threads": 2, "versions": {"torch": "2.9"}}


def written(path, records) -> bytes:
    write_archive(path, text_of(records))
    return path.read_bytes()


def test_round_trip_and_the_same_bytes(tmp_path):
    path = archive_path(tmp_path, "ssvr")
    made = [
        *runs("a", [1.0, 0.1 + 0.2], environment=MACHINE),
        run("b", 0, None),
        run("c", 0, {"x": None}, status="diverged", state="diverged", environment=MACHINE | {"threads": 1}, speed=3.25),
    ]
    made[0] = replace(made[0], curve=[{"step": 1, "text": 'quotes " and, commas\nlines'}])
    first = written(path, made)
    assert read_archive(path) == made
    assert written(path, read_archive(path)) == first
    assert read_all(tmp_path) == made
    assert read_archive(tmp_path / "nothing.jsonl.xz") == []
    path.write_bytes(lzma.compress(text_of(made).encode(), preset=0))
    other = path.read_bytes()
    assert other != first
    assert written(path, made) == other, "the same lines, compressed by somebody else: the file stays"


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:-20],
        lambda b: b[:40] + bytes([b[40] ^ 1]) + b[41:],
        lambda b: b"experiments,task\n",
        lambda b: b"",
        lambda b: lzma.compress(b""),
        lambda b: lzma.compress(b'{"format": 99}\n'),
        lambda b: lzma.compress(lzma.decompress(b)[:-30]),
        lambda b: lzma.compress(b"[]\n"),
        lambda b: lzma.compress(b'{"format":1}\n' + b"[" * 100_000),
        lambda b: lzma.compress(lzma.decompress(b).replace(b'"job":{', b'"job":[{')),
        lambda b: lzma.compress(lzma.decompress(b).replace(b'"method":', b'"method\xff":')),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path, damage):
    path = archive_path(tmp_path, "ssvr")
    written(path, runs("a", [1.0, 2.0]))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"ssvr\.jsonl\.xz") as error:
        read_archive(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (rb'"seed":1', b'"sead":1'),
        (rb'"seed":1', b'"seed":0'),
        (rb'"seed":1', b'"seed":"1"'),
        (rb'"seed":1', b'"seed":-1'),
        (rb'"seed":1', b'"seed":1\xff'),
        (rb'("metrics":){[^}]*}(.*"seed":1)', rb"\1[2.0]\2"),
        (rb'("mean_grad_l1":)2.0', rb'\1"2"'),
        (rb'("mean_grad_l1":)2.0', rb"\1NaN"),
        (rb'("mean_grad_l1":)2.0', rb"\1" + b"[" * 100_000),
        (rb'("mean_grad_l1":)2.0(.*)"status":"finished"', rb'\g<1>2.0\2"status":"done"'),
        (rb'{"run":({"code":"c",[^\n]*"seed":1)', b'{"\xffun":\\1'),
        (rb'{"run":({"code":"c",[^\n]*"seed":1)', rb'{"run":"\1'),
    ],
)
def test_a_damaged_record_is_named_and_left_out(tmp_path, capsys, old, new):
    path = archive_path(tmp_path, "ssvr")
    made = [*runs("a", [1.0, 2.0]), *runs("b", [3.0])]
    written(path, made)
    content, damaged = re.subn(old, new, lzma.decompress(path.read_bytes()))
    assert damaged
    path.write_bytes(lzma.compress(content))
    assert read_archive(path) == [made[0], made[2]]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{path}: line 4: left out, a on least_squares")


def test_records_follow_the_folders_and_outlive_them(program, tmp_path):
    """Done on disk; still there when the folder is gone; stale when the code has changed; other scales are left alone."""
    root, name = tmp_path / "results", "ssvr/identity_signsgd"
    overrides = [*OVERRIDES, f"results_root={root}"]
    paper = load_papers("ssvr")["ssvr"]

    def records(scale="smoke"):
        return refresh(root, "ssvr", paper, plan([name], scale, overrides))

    root.mkdir()
    assert {r.state for r in records()} == {"missing"}
    program(f"experiment={name}", "scale=smoke", "verbose=false", "seeds=[0,1]")
    done = records()
    assert [(r.method, r.seed, r.state) for r in done] == [(m, s, "done") for m in ("signsgd", "ssvr") for s in (0, 1)]
    assert all(r.metrics["iterations"] == 1000 and r.environment["versions"]["torch"] for r in done)
    assert records() == done, "from what was gathered before"
    folder = next((root / "runs").glob("*/*/seed0"))
    text = (folder / "result.json").read_text()
    edit_result(folder, status="diverged")
    assert sorted(r.state for r in records()) == ["diverged", "done", "done", "done"], (
        "a result that changed is read again"
    )
    (folder / "result.json").write_text(text)
    assert records() == done
    (root / "runs").rename(tmp_path / "elsewhere")
    assert records() == done
    written(archive_path(root, "ssvr"), [replace(r, code="0" * 12) for r in done])
    assert {r.state for r in records()} == {"stale"}
    mini = records("mini")
    assert {name for r in mini for name in r.experiments} == {f"{name}@smoke", f"{name}@mini"}
    assert len(mini) == 4, "the same runs serve both scales"
    written(archive_path(root, "ssvr"), [*done, *runs("a", [1.0], experiments=("ssvr/gone@mini",))])
    assert records() == done, "of an experiment that is no more nothing stays"


def test_what_another_experiment_reads_is_taken_from_a_run_that_is_there(go, tmp_path, monkeypatch):
    """A run in the archive that comes to serve one more experiment is read again, though its result is the same."""
    monkeypatch.setattr(memo, "FOLDER", tmp_path / "cache")
    paper = load_papers("ssvr")["ssvr"]
    go("method=signsgd", "dataset=digits", "scale=smoke")
    made = compose("method=signsgd", "dataset=digits", "scale=smoke", *QUIET, f"results_root={tmp_path / 'results'}")
    result = read_result(made.seed_folder(0))
    monkeypatch.setattr(gather, "options", lambda group: ["ssvr/one", "ssvr/two"])
    columns = {"ssvr/one": "train_loss", "ssvr/two": "test_accuracy"}
    monkeypatch.setattr(gather, "readers", lambda paper, name: [Reader(frozenset({columns[name]}))])

    def kept(*names):
        planned = [Planned(name, "smoke", made, 0, "done", result) for name in names]
        (record,) = refresh(tmp_path / "results", "ssvr", paper, planned)
        return set().union(*record.curve)

    one = kept("ssvr/one")
    assert kept("ssvr/one") == kept("ssvr/one") == one
    assert kept("ssvr/one", "ssvr/two") > one
