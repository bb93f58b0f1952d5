"""A swap that compares a group with itself always refutes, and tells nothing: it is refused when the paper's file is read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.errors import UserError
from bench.judge.papers import load_paper, load_papers
from bench.run.paths import CONF

SAMPLING = "sampling without_replacement in place of sampling reshuffling"
SSVR, FS, SIGN = ({"method": name} for name in ("ssvr", "ssvr_fs", "signsgd"))


def written(
    folder: Path, name: str, claim: str, put: dict[str, Any], in_place_of: dict[str, Any], **check: Any
) -> Path:
    """A real paper's file in which one claim has one more refuter."""
    content = yaml.safe_load((CONF / "paper" / f"{name}.yaml").read_text(encoding="utf-8"))
    group = "claims" if claim in content["claims"] else "audits"
    content[group][claim]["refuted_by"] = [{"put": put, "in_place_of": in_place_of}]
    content[group][claim]["check"] |= check
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def test_no_paper_has_one():
    assert set(load_papers()) == {path.stem for path in (CONF / "paper").glob("*.yaml")}


@pytest.mark.parametrize(
    ("name", "claim", "put", "in_place_of"),
    [
        pytest.param(
            "doublysgd",
            "vi-reshuffling",
            {"method.sampling": "without_replacement"},
            {"method.sampling": "reshuffling"},
            id="better",
        ),
        pytest.param(
            "doublysgd",
            "vi-reshuffling",
            {"method.sampling": "reshuffling"},
            {"method.sampling": "without_replacement"},
            id="the other way round",
        ),
        pytest.param(
            "doublysgd",
            "vi-reshuffling",
            {"method.sampling": "without_replacement", "method.rho": 0.0},
            {"method.sampling": "reshuffling", "method.rho": 0.0},
            id="one of each",
        ),
        pytest.param(
            "doublysgd",
            "two-stage",
            {"method.schedule": "constant"},
            {"method.schedule": "two_stage"},
            id="named by a part",
        ),
        pytest.param(
            "singleindex",
            "ratio-grows",
            {"method": "online_sgd", "method.lr": 0.2},
            {"method": "reuse_map", "method.lr": 0.1},
            id="named by more",
        ),
        pytest.param(
            "egab",
            "annualisation",
            {"task.toolbox_annualisation": True},
            {"task.toolbox_annualisation": False},
            id="an audit",
        ),
        pytest.param("ssvr", "cifar10-loss", SIGN, SSVR, id="one pair of an ordering"),
        pytest.param("ssvr", "cifar10-loss", FS, SIGN, id="one pair of an ordering, upwards"),
        pytest.param("ssvr", "cifar10-beta", {"method.beta": 0.99}, {"method.beta": 0.3}, id="value of a group"),
        pytest.param("egab", "identity-line", {"method": "egab_p"}, {"method": "egab_n"}, id="identity"),
    ],
)
def test_a_group_in_the_place_of_the_one_it_is_compared_with(name, claim, put, in_place_of, tmp_path):
    with pytest.raises(UserError) as error:
        load_paper(written(tmp_path, name, claim, put, in_place_of))
    said = str(error.value)
    assert re.match(
        rf"conf/paper/{name}\.yaml: (claims|audits)\.{claim}\.refuted_by: .* would be compared with itself", said
    )
    assert "\n" not in said


@pytest.mark.parametrize(
    ("name", "claim", "put", "in_place_of"),
    [
        pytest.param("ssvr", "cifar10-loss", FS, SSVR, id="groups of one tier"),
        pytest.param("ssvr", "cifar10-gradient", FS, SSVR, id="a third method"),
        pytest.param(
            "singleindex", "phase-transition", {"method.inner_lr": 0.1}, {"method.inner_lr": 1.0}, id="third step"
        ),
        pytest.param(
            "doublysgd",
            "low-heterogeneity",
            {"dataset.heterogeneity": 100.0},
            {"dataset.heterogeneity": 0.01},
            id="other data for every group",
        ),
        pytest.param(
            "featlearn",
            "time-short",
            {"method.lr": 0.1, "task.steps": 2000},
            {"method.lr": 0.5, "task.steps": 10000},
            id="the other group at another length",
        ),
        pytest.param("ssvr", "rate-ssvr", {"method": "signsgd_sim"}, SSVR, id="a slope"),
    ],
)
def test_swaps_that_leave_a_difference_are_read(name, claim, put, in_place_of, tmp_path):
    assert load_paper(written(tmp_path, name, claim, put, in_place_of))


def test_the_runs_of_one_step_size_of_a_tuned_group_may_be_put(tmp_path):
    """The other step sizes are still each group's own."""
    put, place = ({"method": name, "method.lr": 1.0} for name in ("ssvr", "signsgd_sim"))
    assert load_paper(written(tmp_path, "ssvr", "limit-momentum", put, place))
    del put["method.lr"], place["method.lr"]
    with pytest.raises(UserError, match=r"ssvr would be compared with itself"):
        load_paper(written(tmp_path, "ssvr", "limit-momentum", put, place))
