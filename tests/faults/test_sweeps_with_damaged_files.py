"""Each file of each run of a finished sweep is damaged in another way: the plan and a frame leave out what is no result, and the sweep mends it."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sweeps import all_lasting
from whole_sweeps import RUNS, folders, plan, sound, sweep, undisturbed


def truncated(path: Path, others: list[Path]) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def empty(path: Path, others: list[Path]) -> None:
    path.write_bytes(b"")


def other_json(path: Path, others: list[Path]) -> None:
    path.write_text('{"status": "finished", "metrics": {"test_accuracy": 1.0}}')


def a_list(path: Path, others: list[Path]) -> None:
    path.write_text("[" * 5000 + "]" * 5000)


def binary(path: Path, others: list[Path]) -> None:
    path.write_bytes(random.Random(0).randbytes(path.stat().st_size))


def zeros(path: Path, others: list[Path]) -> None:
    """What a journal may leave of a file after a power cut."""
    path.write_bytes(bytes(path.stat().st_size))


def of_another(path: Path, others: list[Path]) -> None:
    """That of another job or seed, whole, with a checksum that is right."""
    shutil.copyfile(next(other for other in others if other.parent != path.parent), path)


def better(path: Path, others: list[Path]) -> None:
    """A number is changed, and the checksum is not."""
    path.write_text(re.sub(r'"(test_accuracy|attempt)": [\d.]+', r'"\1": 0.99', path.read_text()))


def one_bit(path: Path, others: list[Path]) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


DAMAGES = (truncated, empty, other_json, a_list, binary, zeros, of_another, better, one_bit)


def damage(root: Path, name: str, kinds: tuple[Callable, ...] = DAMAGES) -> list[str]:
    """Damage a file of every run but the last, each in its own way; those runs."""
    files = [folder / name for folder in folders(root)]
    originals = root.parent / "originals"
    shutil.rmtree(originals, ignore_errors=True)
    shutil.copytree(root / "runs", originals)
    others = [originals / file.relative_to(root / "runs") for file in files]
    hurt = []
    for number, file in enumerate(files[:-1]):
        kinds[number % len(kinds)](file, [other for k, other in enumerate(others) if k != number])
        hurt.append(str(file.parent.relative_to(root)))
    return hurt


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("whole") / "results"
    assert sweep(root).returncode == 0
    return root


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_no_damaged_result_counts_and_all_are_computed_again(whole, tmp_path):
    root = shutil.copytree(whole, tmp_path / "results")
    hurt = damage(root, "result.json")
    assert sound(root) == set(undisturbed()) - set(hurt)
    done = sweep(root)
    assert done.returncode == 0, done.stderr
    assert all_lasting(root) == undisturbed()
    assert sound(root) == set(undisturbed())
    assert len(list(root.rglob("result.json.corrupt-*"))) == len(hurt), "what was damaged is kept aside"


@pytest.mark.faults
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_damaged_in_whatever_order(whole, tmp_path, seed):
    """Several files of a run at once, and a sweep that is damaged again after it was mended."""
    root, rng = shutil.copytree(whole, tmp_path / "results"), random.Random(seed)
    for _ in range(2):
        for name in rng.sample(["result.json", "metrics.jsonl", "env.json"], k=2):
            damage(root, name, tuple(rng.sample(DAMAGES, k=len(DAMAGES))))
        for folder in rng.sample(folders(root), k=3):
            (folder / rng.choice(["result.json", "metrics.jsonl", "env.json"])).unlink(missing_ok=True)
        job = rng.choice(folders(root)).parent
        rng.choice(DAMAGES[:6])(job / "config.yaml", [])
        sound(root)
        done = sweep(root)
        assert done.returncode == 0, done.stderr
        assert {name: run["result"] for name, run in all_lasting(root).items()} == {
            name: run["result"] for name, run in undisturbed().items()
        }
        assert sound(root) == set(undisturbed())


@pytest.mark.faults
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("name", ["checkpoint.pt", "result.json.new", "metrics.jsonl.new"])
def test_what_lies_beside_the_results_changes_none(whole, tmp_path, name):
    """Files of attempts that never ended, damaged: at a result that is there, and at one that is not."""
    root = shutil.copytree(whole, tmp_path / "results")
    for number, folder in enumerate(folders(root)):
        (folder / name).write_bytes(random.Random(number).randbytes(2000 * (number % 3)))
        if number % 2:
            (folder / "result.json").unlink()
    assert sound(root) <= set(undisturbed())
    done = sweep(root)
    assert done.returncode == 0, done.stderr
    assert all_lasting(root) == undisturbed()
    assert len(sound(root)) == RUNS
    assert set(plan(root).values()) == {"done"}
