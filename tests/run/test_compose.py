"""Jobs made and run from Python: in any process, from any folder, with the command line's error lines."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import forks
import pytest
from conftest import QUIET, ROOT, clean_env, copy_project
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from bench.errors import UserError
from bench.run.compose import compose
from bench.run.runner import execute, run_job

THREE_LINES = """
from bench.run.compose import compose
from bench.run.runner import execute
outcome = execute(compose("method=ssvr", "dataset=digits", "seeds=[0,1]", *{more}))
assert sorted(outcome.results) == [0, 1]
assert 0 < outcome.results[1]["metrics"]["test_accuracy"] <= 1
again = execute(compose("method=ssvr", "dataset=digits", "seeds=[0,1]", *{more}))
assert again.results == outcome.results and again.taken == {{0, 1}} and outcome.taken == set()
"""


def test_three_lines_in_a_fresh_interpreter_from_another_folder(tmp_path):
    more = [*QUIET, "scale=smoke", "results_root=here"]
    command = [sys.executable, "-c", THREE_LINES.format(more=more)]
    env = clean_env() | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "here").rglob("result.json"))) == 2


def test_hydra_is_left_as_it_was(tmp_path):
    assert not GlobalHydra.instance().is_initialized()
    first, second = compose("method=ssvr"), compose("method=ssvr")
    assert first == second
    assert not GlobalHydra.instance().is_initialized()
    (tmp_path / "mine.yaml").write_text("x: 1\n")
    with initialize_config_dir(str(tmp_path), version_base="1.3"):
        assert compose("method=ssvr") == first
        with pytest.raises(UserError):
            compose("method.lrr=3")
        assert hydra_compose("mine").x == 1


def test_an_edit_between_two_jobs_is_read(tmp_path):
    copy_project(tmp_path)
    code = (
        "from pathlib import Path; from bench.run.compose import compose\n"
        "file, before = Path('conf/method/signsgd.yaml'), compose('method=signsgd')\n"
        "file.write_text(file.read_text().replace('lr: ', 'lr: 1'))\n"
        "after = compose('method=signsgd')\n"
        "assert before.parts['method']['lr'] != after.parts['method']['lr']\n"
    )
    done = forks.python(["-c", code], dict(os.environ), cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_sweep_is_not_one_job():
    with pytest.raises(UserError, match=r"experiment = 'ssvr/identity_signsgd': sweeps over method, more than one job"):
        compose("experiment=ssvr/identity_signsgd")


def test_a_job_runs_in_a_thread(tmp_path):
    made = compose(
        "method=signsgd", "dataset=digits", "scale=smoke", *QUIET, "verbose=false", f"results_root={tmp_path}"
    )
    with ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(execute, made).result()
    assert outcome.failures == {}
    assert outcome.results[0]["status"] == "finished"


@pytest.mark.parametrize("bad", ["method=ssrv", "method.lrr=3", "seeds=3", "method=ssvr,signsgd", "scale=tiny", "x"])
def test_a_bad_override_is_the_command_line_s_own_line(bad, program):
    with pytest.raises(UserError) as caught:
        compose(bad)
    assert program(bad).stderr == f"error: {caught.value}\n"


@pytest.mark.parametrize("choices", [{}, {"method": "ssvr", "dataset": "digits"}])
def test_a_config_without_its_choices_says_what_is_missing(choices):
    cfg = OmegaConf.create({"method": {}, "dataset": {}, "task": {}, **compose().settings.model_dump()})
    with pytest.raises(UserError, match=r"choices: no option of .*task; .* bench.run.compose.compose make the job"):
        run_job(cfg, choices)
