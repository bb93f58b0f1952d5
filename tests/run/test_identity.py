"""The content of the files that a data set reads is part of what its result is known by, without its author's help."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import forks
import numpy as np
import pytest
from conftest import DATA, QUIET, ROOT, clean_env, copy_project

from bench.judge import travel

MINE = """
from pathlib import Path
import numpy as np
from bench.tasks.classification.images import LabelledImages
from datasets.images.selection import RawImages, Selection, select

def {name}(root: str, seed: int, *, val_size: int = 0, file: str = "mine.npz") -> LabelledImages:
    with open(f"{{root}}/built", "a") as log:
        log.write("x")
    {read}
    raw = RawImages(x, y, x[:32], y[:32], class_names=["cat", "dog"], mirror=False)
    return select(raw, Selection(None, val_size, None, None, 0.0, 0))
"""
READ = {
    "npz": 'z = np.load(f"{root}/{file}"); x, y = z["x"], z["y"]',
    "folder": 'files = sorted((Path(root) / "mine").glob("*.npy")); x = np.stack([np.load(f) for f in files]); '
    "y = np.array([f.stem.startswith('dog') for f in files], dtype=np.int64)",
    "a_file_a_seed": 'z = np.load(f"{root}/mine{seed}.npz"); x, y = z["x"], z["y"]',
    "thread": 'from concurrent.futures import ThreadPoolExecutor as Pool; z = Pool(1).submit(np.load, f"{root}/{file}").result(); '
    'x, y = z["x"], z["y"]',
    "program": 'import io, subprocess; z = np.load(io.BytesIO(subprocess.check_output(["cat", f"{root}/{file}"]))); x, y = z["x"], z["y"]',
    "c_code": 'assert __import__("ctypes").CDLL(None).access(file.encode(), 4) == 0; '
    "x = np.zeros((64, 1, 8, 8), np.uint8); x[::2] = 200; y = np.arange(64) % 2",
}
CONFIG = """# Cats and dogs of our own.
defaults:
  - /task@_global_.task: classification
  - /model@_global_.model: small_cnn
  - _self_
_target_: datasets.mine_{name}.{name}
val_size: 0
file: mine.npz
"""


TRAINING = ("method=adamw", "method.lr=0.01", "task.epochs=8", "task.batch_size=16")


class Person:
    """Somebody with a checkout, a data folder and data sets of their own."""

    def __init__(self, folder: Path) -> None:
        self.checkout, self.data = folder / "checkout", folder / "data"
        copy_project(self.checkout)
        for name, read in READ.items():
            (self.checkout / f"datasets/mine_{name}.py").write_text(MINE.format(name=name, read=read))
            (self.checkout / f"conf/dataset/mine_{name}.yaml").write_text(CONFIG.format(name=name))

    def run(
        self, *arguments: str, code: int = 0, training: Sequence[str] = TRAINING
    ) -> subprocess.CompletedProcess[str]:
        sweep, more = [a for a in arguments if a == "-m"], [a for a in arguments if a != "-m"]
        line = [*sweep, "results_root=results", *QUIET, *training, f"data_root={self.data}", *more]
        done = forks.python(["run.py", *line], clean_env(), cwd=self.checkout)
        assert done.returncode == code, done.stderr
        return done

    def results(self) -> dict[str, dict]:
        found = sorted((self.checkout / "results/runs").glob("*/*/seed*/result.json"))
        return {f"{path.parent.parent.name}/{path.parent.name}": json.loads(path.read_text()) for path in found}


def images(shuffled: bool = False) -> dict[str, np.ndarray]:
    """64 images [1, 8, 8], dark and bright by label; shuffled, labels tell nothing."""
    labels = np.arange(64) % 2
    x = np.where(labels[:, None, None, None], 220, 30).astype(np.uint8) + np.zeros((64, 1, 8, 8), np.uint8)
    x[:, 0, 0, 0] = np.arange(64)
    return {"x": x, "y": np.repeat([0, 1], 32) if shuffled else labels}


@pytest.fixture(scope="module")
def person(tmp_path_factory) -> Person:
    return Person(tmp_path_factory.mktemp("person"))


@pytest.fixture(autouse=True)
def data(person: Person) -> None:
    shutil.rmtree(person.data, ignore_errors=True)
    shutil.rmtree(person.checkout / "results", ignore_errors=True)
    person.data.mkdir()
    np.savez(person.data / "mine.npz", **images())


def accuracies(person: Person) -> list[float]:
    return [result["metrics"]["test_accuracy"] for result in person.results().values()]


def test_shuffled_labels_are_other_data_and_the_old_result_stays(person):
    person.run("dataset=mine_npz")
    assert accuracies(person) == [1.0]
    assert (person.data / "built").read_text() == "x", "built once, for identity and training"
    assert "taken from" in person.run("dataset=mine_npz").stdout
    np.savez(person.data / "mine.npz", **images(shuffled=True))
    assert "taken from" not in person.run("dataset=mine_npz").stdout
    assert sorted(accuracies(person)) == [pytest.approx(0.5, abs=0.15), 1.0]
    np.savez(person.data / "mine.npz", **images())
    assert "taken from" in person.run("dataset=mine_npz").stdout, "the first data are back"
    assert len({result["key"] for result in person.results().values()}) == 2


@pytest.mark.parametrize("reader", ["thread", "program"])
def test_files_that_a_thread_or_another_program_reads_are_noticed(person, reader):
    person.run(f"dataset=mine_{reader}")
    assert "taken from" in person.run(f"dataset=mine_{reader}").stdout
    np.savez(person.data / "mine.npz", **images(shuffled=True))
    assert "taken from" not in person.run(f"dataset=mine_{reader}").stdout


def test_a_data_set_that_returns_something_else_is_one_line(person):
    path = person.checkout / "datasets/mine_npz.py"
    text = path.read_text()
    path.write_text(text.replace("return select(", "return (x, y); select("))
    done = person.run("dataset=mine_npz", code=2)
    path.write_text(text)
    said = "dataset: datasets.mine_npz.npz returns tuple; return a LabelledImages (bench.tasks.classification.images)"
    assert done.stderr == f"error: {said}\n"


def test_another_data_root_with_the_same_content_is_the_same_data(person, tmp_path):
    person.run("dataset=mine_npz")
    shutil.copytree(person.data, tmp_path / "same")
    assert "taken from" in person.run("dataset=mine_npz", f"data_root={tmp_path / 'same'}").stdout
    (tmp_path / "other").mkdir()
    np.savez(tmp_path / "other/mine.npz", **images(shuffled=True))
    assert "taken from" not in person.run("dataset=mine_npz", f"data_root={tmp_path / 'other'}").stdout
    assert len(accuracies(person)) == 2


def test_data_that_are_gone_are_not_taken_for_what_they_were(person):
    person.run("dataset=mine_npz")
    (person.data / "mine.npz").unlink()
    done = person.run("dataset=mine_npz", code=2)
    assert "mine.npz" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert accuracies(person) == [1.0]


def test_a_file_more_in_a_folder_is_other_data(person):
    folder = person.data / "mine"
    folder.mkdir()
    for k, (x, y) in enumerate(zip(images()["x"], images()["y"])):
        np.save(folder / f"{('cat', 'dog')[y]}{k:02}.npy", x)
    person.run("dataset=mine_folder")
    (folder / ".DS_Store").write_text("what a file browser leaves there")
    assert "taken from" in person.run("dataset=mine_folder").stdout
    np.save(folder / "cat99.npy", images()["x"][0])
    assert "taken from" not in person.run("dataset=mine_folder").stdout
    (folder / "cat99.npy").unlink()
    assert "taken from" in person.run("dataset=mine_folder").stdout


def test_a_file_that_only_one_seed_reads(person):
    for seed in range(3):
        np.savez(person.data / f"mine{seed}.npz", **images())
    person.run("dataset=mine_a_file_a_seed", "seeds=[0,1]")
    before = person.results()
    np.savez(person.data / "mine1.npz", **images(shuffled=True))
    done = person.run("dataset=mine_a_file_a_seed", "seeds=[0,1]")
    assert "was computed from other data" in done.stderr + done.stdout
    after = person.results()
    assert [after[name]["measured"] == before[name]["measured"] for name in before] == [True, False]


def test_a_file_that_c_code_opens_is_noticed_where_a_config_value_names_it(person, tmp_path):
    path = tmp_path / "mine.h5"
    path.write_bytes(b"1")
    person.run("dataset=mine_c_code", f"dataset.file={path}")
    path.write_bytes(b"2")
    assert "taken from" not in person.run("dataset=mine_c_code", f"dataset.file={path}").stdout


def test_sweeps_compare_and_lists_find_runs_on_own_data(person):
    done = person.run("-m", "dataset=mine_npz", "method.lr=1e-3,1e-4")
    assert done.stdout.count("mine_npz") >= 2
    assert "not run" not in done.stdout
    assert "missing" not in done.stdout
    again = person.run("-m", "dataset=mine_npz", "method.lr=1e-3,1e-4")
    assert again.stdout.count("taken from") == 2


def test_runs_on_own_data_travel(person, tmp_path):
    person.run("dataset=mine_npz", "seeds=[0,1]")
    export, root = tmp_path / "runs.xz", tmp_path / "elsewhere"
    travel.export(person.checkout / "results", lambda result: True, export, print)
    words = ["scripts/archive.py", "import", export, f"results_root={root}", f"data_root={person.data}"]
    text = forks.python(words, clean_env(), cwd=person.checkout)
    assert text.returncode == 0, text.stderr
    assert "taken from" in person.run("dataset=mine_npz", "seeds=[0,1]", f"results_root={root}").stdout


@pytest.mark.skipif(not (DATA / "libsvm/mushrooms").is_file(), reason="needs libsvm/mushrooms in the data folder")
def test_a_known_set_s_file_must_be_the_true_one(person):
    (person.data / "libsvm").mkdir()
    true = (DATA / "libsvm/mushrooms").read_text().splitlines()
    path = person.data / "libsvm/mushrooms"
    line = ["method=ngvi", "dataset=mushrooms", "scale=smoke"]

    def run(*more: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        return person.run(*more, code=code, training=line)

    flipped = [("0" if row[0] == "1" else "1") + row[1:] for row in true]
    path.write_text("\n".join(flipped) + "\n")
    refused = run(code=2)
    assert "libsvm/mushrooms" in refused.stderr
    assert "dataset.verify=false" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert person.results() == {}
    run("dataset.verify=false")
    path.write_text("\n".join(true) + "\n")
    run()
    (foreign, sound) = sorted(person.results().values(), key=lambda result: len(result["data"]), reverse=True)
    assert foreign["key"] != sound["key"]
    assert foreign["metrics"] != sound["metrics"]
    assert "taken from" in run().stdout
    path.write_text("\n".join(flipped) + "\n")
    assert "dataset.verify=false" in run(code=2).stderr, "a result from the true file is no result of this one"


def test_results_from_committed_data_need_no_file(go, job):
    """The drawn and the embedded sets: the key is the config's."""
    for line in (["method=sgd", "dataset=least_squares"], ["method=signsgd", "dataset=digits"]):
        (folder,) = go(*line, "scale=smoke")
        made = job(*line, "scale=smoke")
        assert made.key == made.asked
        assert folder.parent.name == made.folder.name


def test_verify_is_a_switch(program):
    done = program("method=signsgd", "dataset=digits", "scale=smoke", "dataset.verify=maybe")
    assert done.returncode == 2
    assert "dataset.verify = 'maybe': true, or false" in done.stderr
    assert (ROOT / "conf/config.yaml").read_text().count("verify: true") == 1
