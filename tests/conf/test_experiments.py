"""Every experiment runs through the real program at smoke scale, a few of them in a new interpreter."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import DATA, result_of, seed_folders
from PIL import Image

from bench.judge.plan import jobs, plan
from bench.run.options import options, swept

FRESH = {"egab/markets", "featlearn/features", "multimix/sheet"}
BETWEEN = re.compile(r",(?![^{]*})")  # the values of a sweep, not those inside ${scaled:1,2,3}
FOLDERS = {
    "cifar100": "cifar-100-*",
    "cifar10": "cifar-10-batches-*",
    "tiny_imagenet": "tiny-imagenet-200",
    "private_cifar10": "cifar-10-batches-*",
    "private_mnist": "MNIST",
    "celeba": "celeba",
}


def faces(folder: Path) -> Path:
    """Forty grey squares in each of two private classes and a public one, as a person lays images of their own."""
    for k, part in enumerate(("public/all", "private/female", "private/male")):
        (folder / part).mkdir(parents=True)
        for n in range(40):
            Image.new("RGB", (20, 20), (80 * k + n, n, 255 - n)).save(folder / part / f"{n}.png")
    return folder


def ends(name: str) -> list[str]:
    """Overrides that keep three methods of an experiment, first, middle and last, and of the other keys that it sweeps the last value; where
    it has one method, the first key's first value as well. Lists stay whole."""
    lists = {key: BETWEEN.split(str(values)) for key, values in swept(name).items()}
    methods = lists.pop("method", [])
    several = methods[1:]
    plain = [(key, values) for key, values in lists.items() if "[" not in "".join(values)]
    kept = {key: values[-1] for key, values in plain}
    if plain and not several:
        key, values = plain[0]
        kept[key] = f"{values[0]},{values[-1]}"
    if len(methods) > 3:
        kept["method"] = ",".join((methods[0], methods[len(methods) // 2], methods[-1]))
    return [f"{key}={value}" for key, value in kept.items()]


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """Public networks and classifiers, which experiments of one data set share."""
    return tmp_path_factory.mktemp("kept")


@pytest.mark.parametrize("name", options("experiment"))
def test_every_experiment_runs_at_smoke_scale(name, program, tmp_path, kept):
    for dataset in {job.names["dataset"] for job in jobs(name, "smoke")}:
        folder = next((folder for word, folder in FOLDERS.items() if dataset.startswith(word)), None)
        if folder is not None and not list(DATA.glob(folder)):
            pytest.skip(f"no {folder} in {DATA.name}/")
    if name == "ngvi/uci" and not ((DATA / "uci").is_dir() and (DATA / "libsvm/mushrooms").is_file()):
        pytest.skip(f"no UCI tables in {DATA.name}/")
    (tmp_path / "results").mkdir()
    (tmp_path / "results/.cache").symlink_to(kept)
    chosen = [*ends(name), "seeds=[0,1]" if "rate" in name else "seeds=[0]"]
    if name == "dplora/celebahq":
        chosen.append(f"dataset.path={faces(tmp_path / 'faces')}")
    done = program(f"experiment={name}", "scale=smoke", "verbose=false", *chosen, fresh=name in FRESH)
    assert done.returncode == 0, done.stderr
    results = [result_of(folder) for folder in seed_folders(tmp_path)]
    assert len(results) >= 2
    assert {result["status"] for result in results} <= {"finished", "diverged"}
    planned = plan([name], "smoke", [f"results_root={tmp_path / 'results'}", *chosen])
    assert sorted({run.folder for run in planned}) == seed_folders(tmp_path), "the plan is what Hydra's multirun ran"
    assert sum(result["status"] == "finished" for result in results) >= 2


@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_bad_value_in_a_later_job_ends_the_sweep_before_the_first(launcher, program, tmp_path):
    sweep = [
        "hydra.mode=MULTIRUN",
        f"hydra/launcher={launcher}",
        "method=signsgd",
        "task.epochs=1,-1",
        "scale=smoke",
    ]
    done = program(*sweep)
    assert done.returncode == 2
    assert "error: task.epochs = -1" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert seed_folders(tmp_path) == []
