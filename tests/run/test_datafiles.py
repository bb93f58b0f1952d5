"""result.json names the files that a data set was built from, by content."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import ROOT, clean_env, final, result_of

from bench.run import memo
from bench.run.compose import compose
from bench.run.datafiles import digests, named, noted, recorded


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def settings(tmp_path):
    return compose(f"data_root={tmp_path / 'data'}", f"results_root={tmp_path / 'results'}").settings


def test_a_package_s_own_data_are_named_by_package(go):
    import sklearn

    (folder,) = go("method=signsgd", "dataset=digits", "scale=smoke")
    path = Path(sklearn.__file__).parent / "datasets/data/digits.csv.gz"
    assert result_of(folder)["data"] == {"wheel:sklearn/datasets/data/digits.csv.gz": sha256(path)}


def test_a_drawn_data_set_has_no_files(go):
    (folder,) = go("method=sgd", "dataset=least_squares", "scale=smoke")
    assert result_of(folder)["data"] == {}


@pytest.mark.parametrize("inside", [True, False])
def test_a_file_of_the_user(inside, go, tmp_path):
    path = tmp_path / ("data/mine.csv" if inside else "mine.csv")
    path.parent.mkdir(exist_ok=True)
    rows = "\n".join(f"{1 + 0.1 * k},{2 - 0.05 * k}" for k in range(8))
    path.write_text(f"a,b\n{rows}\n")
    run = ["method=ucrp", "dataset=prices", f"dataset.path={path}", f"data_root={tmp_path / 'data'}", "scale=smoke"]
    (folder,) = go(*run)
    assert final([folder])[0]["periods"] == 7
    assert result_of(folder)["data"] == {"mine.csv" if inside else str(path): sha256(path)}


def test_only_files_read_while_a_data_set_is_built_count(settings, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("read", "before", "thread", "written", "outside", "raw"):
        (folder / name).write_text(name)
    (tmp_path / "module_of_data.py").write_text(f"open({str(folder / 'outside')!r}).close()\n")
    sys.path.insert(0, str(tmp_path))
    (folder / "before").read_bytes()
    try:
        with noted() as paths:
            (folder / "before").read_bytes()
            with recorded():
                (folder / "read").read_bytes()
                (folder / "written").write_text("x")
                (tmp_path / "read.py").touch()
                (tmp_path / "read.py").read_bytes()
                (ROOT / "conf/config.yaml").read_bytes()
                Path("/proc/cpuinfo").read_bytes()
                (folder / "missing").exists()
                os.close(os.open(folder / "raw", os.O_RDONLY))
                os.close(os.open(folder, os.O_RDONLY))
                with pytest.raises(FileNotFoundError):
                    open(folder / "missing").close()
                import module_of_data  # noqa: F401 what an import opens is code

                other = threading.Thread(target=(folder / "thread").read_bytes)
                other.start()
                other.join()
    finally:
        sys.path.remove(str(tmp_path))
    assert digests(named(paths, settings)) == {name: sha256(folder / name) for name in ("raw", "read", "thread")}


def test_nothing_is_hashed_twice_and_an_edited_file_is_hashed_again(settings, tmp_path):
    """A second process finds the digest that the first one kept, by size and time of modification."""
    path = tmp_path / "big.bin"
    path.write_bytes(b"a" * 1000)
    code = (
        "import sys, pathlib; from bench.run import datafiles, memo; from bench.run.compose import compose\n"
        "memo.FOLDER = pathlib.Path(sys.argv[2]); hashed = []\n"
        "datafiles._digest = memo.OfFiles('data', '1', lambda path: hashed.append(path) or datafiles._sha256(path))\n"
        "found = datafiles.digests(datafiles.named({sys.argv[1]}, compose().settings)); print(len(hashed), *found.values())"
    )

    def run(cache: Path) -> list[str]:
        command = [sys.executable, "-c", code, str(path), str(cache)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=clean_env(), check=True)
        return done.stdout.split()

    cache = tmp_path / "cache"
    assert [run(cache), run(cache)] == [["1", sha256(path)], ["0", sha256(path)]]
    path.write_bytes(b"b" * 1000)
    assert run(cache) == ["1", sha256(path)]
    (cache / "data.json").write_text("{")
    assert run(cache) == ["1", sha256(path)]
    (tmp_path / "file").touch()
    assert run(tmp_path / "file") == ["1", sha256(path)], "a folder that cannot be written costs time alone"


def test_a_file_of_the_home_folder_does_not_name_its_owner(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "somebody"))
    path = tmp_path / "somebody/x.csv"
    path.parent.mkdir()
    path.write_text("1")
    assert list(digests(named({str(path)}, settings))) == ["~/x.csv"]
    assert json.loads(json.dumps(memo.read("nothing", "1"))) is None
