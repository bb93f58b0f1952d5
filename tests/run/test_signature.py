"""Config keys read from source: the star rule, `**shared` up the bases and across files, and one line where they cannot be read."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from bench.errors import UserError
from bench.run.config import typed
from bench.run.signature import REQUIRED, signature
from bench.types import PositiveFloat, PositiveInt

ROOTS = """
class Root:
    def __init__(self, params, *, lr: PositiveFloat, decay: float = 0.0, form: Literal["a", "b"] = "a") -> None:
        raise AssertionError("nothing is built to read a signature")

class Quiet(Root):
    steps = 3
"""
FAMILY = """
import {package}.roots
import {package}.roots as aliased
import torch
from torch.optim import SGD as TorchSGD
from {package} import roots
from {package}.roots import Quiet, Root as Renamed

raise AssertionError("nothing is imported to read a signature")

class Middle(Renamed):
    def __init__(self, params, buffers=(), *, decay: PositiveFloat = 0.5, window: PositiveInt = 5, **shared):
        ...

class Low(Middle):
    def __init__(self, params, *, eta: float, **shared): ...

class Same(Low):
    pass

class OverQuiet(Quiet):
    def __init__(self, params, **more): ...

class Takes(Renamed):
    def __init__(self, params, lr, **shared): ...

class Left(Renamed):
    def __init__(self, params, *, left: int = 1, **shared): ...

class Right(Renamed):
    def __init__(self, params, *, right: int = 2, decay: float = 9.0): ...

class Both(Left, Right):
    def __init__(self, params, **shared): ...

class ByModule(roots.Root):
    def __init__(self, params, *, own: int = 1, **shared): ...

class ByPath({package}.roots.Root):
    def __init__(self, params, *, own: int = 1, **shared): ...

class ByAlias(aliased.Root):
    def __init__(self, params, *, own: int = 1, **shared): ...

class OfTorch(torch.optim.SGD):
    def __init__(self, params, *, own: int = 1, **shared): ...

class OfTorchToo(TorchSGD):
    def __init__(self, params, *, own: int = 1, **shared): ...

class OfNobody(Missing):
    def __init__(self, *, own: int = 1, **shared): ...

class Alone:
    def __init__(self, *, own: int = 1, **shared): ...

class Empty:
    pass

class Computed:
    def __init__(self, *, own: int = 2 + 2 * DAYS): ...

def function(root, seed=0, *, size: PositiveInt, path: str | None = None): ...
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch) -> str:
    """A package of two modules; importing its `family` fails. Its name is new in each test, as signatures are kept."""
    name = f"made_{tmp_path.parent.name}_{tmp_path.name}".replace("-", "_")
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "roots.py").write_text(ROOTS)
    (folder / "family.py").write_text(FAMILY.format(package=name))
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def keys(package: str, name: str) -> dict[str, tuple[Any, Any]]:
    return signature(f"{package}.family.{name}").keys


def test_the_star_rule(package):
    found = signature(f"{package}.family.function")
    assert found.supplied == ("root", "seed")
    assert found.keys == {"size": (PositiveInt, REQUIRED), "path": (str | None, None)}
    assert signature(f"{package}.roots.Root").supplied == ("params",)


def test_keys_of_two_levels_in_two_files_a_base_s_first(package):
    found = signature(f"{package}.family.Low")
    assert list(found.keys) == ["lr", "decay", "form", "window", "eta"]
    assert found.keys["lr"] == (PositiveFloat, REQUIRED)
    assert found.keys["window"] == (PositiveInt, 5)
    assert found.keys["eta"] == (float, REQUIRED)
    assert found.supplied == ("params",), "the class's own, not its base's"
    assert found.file.name == "family.py"


def test_a_key_written_again_has_the_lower_default_and_annotation(package):
    assert keys(package, "Middle")["decay"] == keys(package, "Low")["decay"] == (PositiveFloat, 0.5)
    assert signature(f"{package}.roots.Root").keys["decay"] == (float, 0.0)


def test_a_class_without_a_constructor_has_its_base_s(package):
    assert keys(package, "Same") == keys(package, "Low")
    assert keys(package, "OverQuiet") == signature(f"{package}.roots.Root").keys, "a base without one is passed over"
    assert keys(package, "Empty") == {}


def test_a_key_that_becomes_an_argument_is_no_key(package):
    assert list(keys(package, "Takes")) == ["decay", "form"]


@pytest.mark.parametrize("name", ["ByModule", "ByPath", "ByAlias"])
def test_bases_named_by_their_module(package, name):
    assert list(keys(package, name)) == ["lr", "decay", "form", "own"]


def test_several_bases_are_gone_through_in_python_s_order(package):
    """Left passes on to Right, not to the base of both: Right takes no more."""
    assert keys(package, "Both") == {"right": (int, 2), "decay": (float, 9.0), "left": (int, 1)}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("OfTorch", ["**shared", "'torch.optim.SGD'", "library", "write these keys out"]),
        ("OfTorchToo", ["**shared", "'torch.optim.SGD'", "library"]),
        ("OfNobody", ["**shared", "Missing'", "no source to read"]),
        ("Alone", ["**shared", "no base has a constructor"]),
        ("Computed", ["default of 'own' is 2 + 2 * DAYS", "literal"]),
    ],
)
def test_what_cannot_be_read_is_one_line(package, name, words):
    with pytest.raises(UserError) as caught:
        keys(package, name)
    line = str(caught.value)
    assert "\n" not in line
    for word in (f"_target_ = '{package}.family.{name}'", *words):
        assert word in line


def test_no_such_definition_is_one_line(package):
    with pytest.raises(UserError, match="no such class or function"):
        signature(f"{package}.roots.Rooot")


def test_a_library_s_class_has_all_its_arguments_as_keys():
    assert {"lr", "weight_decay", "momentum_decay"} <= set(signature("torch.optim.NAdam").keys)


def test_an_unknown_key_is_one_line_that_names_the_nearest_inherited_one(package):
    node = {"_target_": f"{package}.family.Low", "lr": 1, "eta": 2.0}
    assert typed("method", node) == node | {"decay": 0.5, "form": "a", "window": 5}
    with pytest.raises(UserError, match=r"method\.windw.*did you mean 'window'") as caught:
        typed("method", node | {"windw": 3})
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"method\.lr = -1"):
        typed("method", node | {"lr": -1})


def test_reading_every_method_s_keys_imports_neither_torch_nor_a_method():
    import subprocess

    code = (
        "import sys, yaml, pathlib; from bench.run.signature import signature\n"
        "for path in pathlib.Path('conf/method').glob('*.yaml'):\n"
        "    signature(yaml.safe_load(path.read_text())['_target_'])\n"
        "loaded = [name for name in sys.modules if name.split('.')[0] in ('torch', 'methods')]\n"
        "assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
