"""docs/sampling.md as it stands: its function and its command, in a copy of the project; what a person gets wrong is one line."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import forks
import pytest
import torch
from conftest import QUIET, ROOT, clean_env, copy_project, final, result_of, seed_folders

from bench.errors import UserError
from bench.run.curve import read_metrics
from bench.run.runner import execute
from bench.tasks.sampling.density import Reference
from datasets.energies.own import OwnEnergy, domain_of

PAGE = (ROOT / "docs/sampling.md").read_text()
FUNCTION = re.search(r"```python\n# my_problem.py\n(.*?)```", PAGE, re.S)[1]
COMMAND = re.search(r"```sh\n(python run.py method=r2sgld dataset=own_energy.*?)```", PAGE, re.S)[1]
CLOUD = re.search(r"```python\n(import matplotlib.*?)```", PAGE, re.S)[1]
LOOP = re.search(r"## From Python\n\n```python\n(.*?)```", PAGE, re.S)[1]
TRIANGLE = [[-2.0, -1.5], [2.0, -1.5], [0.0, 2.5]]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    copy_project(tmp_path)
    (tmp_path / "my_problem.py").write_text(FUNCTION)
    return tmp_path


def run(checkout: Path, *changes: str, command: str = COMMAND) -> subprocess.CompletedProcess[str]:
    words = [
        word
        for word in shlex.split(command.replace("\\\n", " "))
        if word.split("=")[0] not in {c.split("=")[0] for c in changes}
    ]
    return forks.python([*words[1:], *changes, "scale=smoke", *QUIET], clean_env(), cwd=checkout)


def test_the_lines_of_the_page_run(checkout):
    assert len(FUNCTION.strip().splitlines()) + len(COMMAND.strip().splitlines()) <= 10
    done = run(checkout)
    assert done.returncode == 0, done.stderr
    (folder,) = seed_folders(checkout)
    found = result_of(folder)
    assert found["status"] == "finished"
    assert found["metrics"]["share_outside"] == 0
    assert found["metrics"]["modes_core"] == 2
    rows = read_metrics(folder)
    assert len([row for row in rows if "x" in row]) == 100, "what smoke scale has after its burn-in"
    assert [(row["rim_x"], row["rim_y"]) for row in rows if "rim_x" in row] == [
        tuple(v) for v in [*TRIANGLE, TRIANGLE[0]]
    ]
    done = forks.python(["-c", CLOUD], clean_env(), cwd=checkout)
    assert done.returncode == 0, done.stderr
    assert (checkout / "cloud.png").stat().st_size > 5000
    (checkout / "my_problem.py").write_text(FUNCTION.replace("4 *", "5 *"))
    assert run(checkout, "force=stale").returncode == 0
    assert result_of(folder)["code"] != found["code"], "another function is other code"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("extensions=[]", "to allow it add its module to `extensions`"),
        ("dataset.domain=no.csv", "'no.csv': no such file"),
    ],
)
def test_what_is_wrong_is_one_line(change, said, checkout):
    done = run(checkout, change)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert said in line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"energy": f"{__name__}.V"}, "no function 'V'"),
        ({"energy": None}, "energy = None"),
        ({"domain": [[0, 0], [1, 1], [1, 0], [0, 1]]}, "edges 0 and 2 cross"),
        ({"domain": {"box": [[0, 0, 0], [1, 1, 1]]}, "modes": [[-1, 0]]}, "3 coordinates"),
        ({"domain": {"box": [[0, 1], [1, 1]]}}, "each low below its high"),
        ({"domain": {"ball": [[0, 0], -1]}}, "a radius above 0"),
        ({"domain": {"moon": 1.0}}, "a named shape|or a shape and its radius"),
        ({"domain": None}, "a list of vertices"),
        ({"begin": [5, 5]}, "not inside the domain"),
        ({"begin": [0]}, "2 coordinates"),
    ],
)
def test_values_that_do_not_fit(change, said):
    with pytest.raises(ValueError, match=said):
        OwnEnergy("", **({"domain": TRIANGLE, "energy": f"{__name__}.bowl"} | change))


def wrong(x):
    return x


def broken(x):
    raise RuntimeError("no such thing")


def infinite(x):
    return x[:, 0] / 0.0


def of_one_point(x):
    return x[0].square() + x[1].square() + x[2].square() + x[3].square()


def coupled(x):
    return (x - x.mean(0)).square().sum(-1)


def drawn(x):
    return x.square().sum(-1) + torch.randn(len(x))


def constant(x):
    return torch.zeros(len(x))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("wrong", r"gives shape \[4, 2\]"),
        ("broken", "RuntimeError: no such thing"),
        ("infinite", "no finite value"),
        ("of_one_point", "gives shape|by itself|IndexError"),
        ("coupled", "by itself"),
        ("drawn", "by itself"),
        ("constant", r"write 0 \* x"),
    ],
)
def test_a_function_that_is_no_energy(name, said):
    with pytest.raises((ValueError, UserError), match=said) as caught:
        OwnEnergy("", domain=TRIANGLE, energy=f"{__name__}.{name}")
    assert len(str(caught.value).splitlines()) == 1


def in_single_precision(x):
    return x.float().square().sum(-1)


def of_parts(x):
    return x.abs().max() * 0 + x.square().sum(-1)  # fails on no points


def lame(x):
    return torch.where(x[:, 0] > 0.5, torch.nan, x.square().sum(-1))


def far(x):
    if bool((x.abs() > 0.9).any()):
        raise RuntimeError("too far")
    return x.square().sum(-1)


SMALL = ["method=r2sgld", "dataset=own_energy", "scale=smoke", "hardware=cpu", "task.evaluations=400"]
SMALL += ["task.burn_in=100", "task.reports=[]", "task.replicates=2", "seeds=[0]", f"extensions=[{__name__}]"]
BOX = "dataset.domain={box:[[-1,-1],[1,1]]}"


def test_a_domain_that_is_a_number(job):
    with pytest.raises(UserError, match=r"dataset\.domain = 5: must be a list or a string or"):
        job(*SMALL, f"dataset.energy={__name__}.bowl", "dataset.domain=5")


@pytest.mark.parametrize("name", ["in_single_precision", "of_parts"])
def test_an_energy_may_be_in_single_precision_and_want_points(name, go):
    (folder,) = go(*SMALL, BOX, f"dataset.energy={__name__}.{name}")
    (found,) = final([folder])
    assert found["share_outside"] == 0


@pytest.mark.parametrize(
    ("name", "domain", "said"),
    [
        ("lame", BOX, r"energy is NaN or -inf at \[0.5"),
        ("far", BOX, "RuntimeError: too far"),
        ("bowl", "dataset.domain=[[0,0],[1,0],[1,1e-9]]", "too thin"),
    ],
)
def test_an_energy_that_fails_away_from_the_start_is_one_line(name, domain, said, job, tmp_path):
    with pytest.raises(UserError, match=said) as caught:
        execute(job(*SMALL, domain, f"dataset.energy={__name__}.{name}", f"results_root={tmp_path}", *QUIET))
    assert len(str(caught.value).splitlines()) == 1


def bowl(x):
    return x.square().sum(-1)


def test_an_energy_s_gradient_and_law_are_right():
    target = OwnEnergy("", domain={"ball": [[0.0, 0.0], 1.0]}, energy=f"{__name__}.bowl")
    x = torch.randn(2, 5, 2, dtype=torch.float64)
    torch.testing.assert_close(target.noisy_gradient(x, torch.zeros_like(x)), 2 * x)
    found = Reference.of(target.energy, target.domain, None, None, 1.0)
    whole = 1 - torch.e**-1  # of r^2, exponential on (0, 1)
    assert float(found.square) == pytest.approx((1 - 2 * torch.e**-1) / whole, rel=1e-4)


def test_vertices_from_a_csv(tmp_path):
    for text in ("x,y\n0,0\n2,0\n\n0,2\n", "0,0\n2,0\n0,2"):
        path = tmp_path / "v.csv"
        path.write_text(text)
        assert domain_of(str(path)).vertices.tolist() == [[0, 0], [2, 0], [0, 2]]
    path.write_text("x,y\n0,0\n2,zero\n")
    with pytest.raises(Exception, match="line 3"):
        domain_of(str(path))


def test_the_loop_of_the_page_samples():
    """exp(-|x|^2) on the plane has |x|^2 of mean 1; the flower, whose nearest boundary is at 8 / 7, cuts some of it off."""
    names: dict = {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(LOOP, names)
    x = names["x"][0]
    assert names["domain"].inside(x).all()
    assert 0.4 < float(x.square().sum(-1).mean()) < 1.2
