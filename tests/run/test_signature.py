"""Config keys are read from the source: the star rule, keys that a family shares, what is not ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT

from bench.errors import UserError
from bench.run import signature as module
from bench.run.options import options, read_yaml
from bench.run.paths import CONF
from bench.run.signature import REQUIRED, signature
from bench.run.targets import check_hydra, check_target
from methods.noisy.doubly_sgd import DoublyAdam, DoublySGD
from methods.portfolio.egab import EGABP

BASE = """
class Root:
    def __init__(self, n, *, lr: PositiveFloat, momentum: float = 0.9):
        pass

class Middle(Root):
    def __init__(self, n, *, beta: float = 0.5, **shared):
        super().__init__(n, **shared)

class Bare(Root):
    pass

class Plain:
    pass

class PlainToo(Plain):
    pass
"""
FAMILY = """
import family_base
import family_base as base
import torch
from torch.optim import SGD as TorchSGD
from family_base import Bare, Middle, Root as Top

class Leaf(Middle):
    def __init__(self, n, extra=None, *, momentum: float = 0.0, kind: Literal["a", "b"], **rest):
        super().__init__(n, momentum=momentum, **rest)

class Closed(Middle):
    def __init__(self, n, *, only: int):
        super().__init__(n, lr=1.0)

class OverBare(Bare):
    def __init__(self, *, own: bool = True, **shared):
        super().__init__(1, **shared)

class Renamed(Top):
    pass

class Theirs(torch.optim.SGD):
    def __init__(self, params, *, lr: float, **shared):
        super().__init__(params, lr=lr, **shared)

class TheirsByName(TorchSGD):
    def __init__(self, params, *, lr: float, **shared):
        super().__init__(params, lr=lr, **shared)

class ByModule(family_base.Root):
    def __init__(self, n, *, own: int = 1, **shared):
        super().__init__(n, **shared)

class ByAlias(base.Root):
    def __init__(self, n, *, own: int = 1, **shared):
        super().__init__(n, **shared)

class Takes(Top):
    def __init__(self, n, lr, **shared):
        super().__init__(n, lr=lr, **shared)

class Left(Top):
    def __init__(self, n, *, left: int = 1, **shared):
        super().__init__(n, **shared)

class Right(Top):
    def __init__(self, n, *, right: int = 2, momentum: float = 0.1):
        super().__init__(n, lr=1.0, momentum=momentum)

class Both(Left, Right):
    def __init__(self, n, **shared):
        super().__init__(n, **shared)

class OfNobody(Missing):
    def __init__(self, *, own: int = 1, **shared):
        super().__init__(**shared)

class Alone:
    def __init__(self, *, own: int = 1, **shared):
        super().__init__(**shared)

class Computed:
    def __init__(self, *, days: int = 7 * WEEKS):
        pass

def made(root: str, *, size: PositiveInt = 3):
    pass
"""


@pytest.fixture
def keys(tmp_path: Path, monkeypatch) -> Callable[[str], dict]:
    """keys("Leaf"): what is read of a class of FAMILY."""
    (tmp_path / "family_base.py").write_text(BASE)
    (tmp_path / "family.py").write_text(FAMILY)
    monkeypatch.syspath_prepend(str(tmp_path))
    module.signature.cache_clear()
    return lambda name: signature(f"family.{name}").keys


def defaults(found: dict) -> dict:
    return {name: default for name, (_, default) in found.items()}


def test_keys_of_two_levels_and_two_files(keys):
    found = keys("Leaf")
    assert list(found) == ["lr", "momentum", "beta", "kind"], "the base's first"
    assert defaults(found) == {"lr": REQUIRED, "momentum": 0.0, "beta": 0.5, "kind": REQUIRED}, "redefined lower"
    assert found["lr"][0] is module.types.PositiveFloat
    assert signature("family.Leaf").supplied == ("n", "extra")


def test_what_is_not_handed_on_is_no_key(keys):
    assert list(keys("Closed")) == ["only"]
    assert defaults(keys("OverBare")) == {"lr": REQUIRED, "momentum": 0.9, "own": True}, "a base without a constructor"
    assert list(keys("Renamed")) == ["lr", "momentum"]
    assert list(keys("Theirs")) == list(keys("TheirsByName")) == ["lr"], "a library's keys are not ours to hand on"
    assert list(keys("Takes")) == ["momentum"], "what has become an argument"
    assert defaults(keys("made")) == {"size": 3}


def test_bases_may_be_named_by_their_module(keys):
    assert list(keys("ByModule")) == list(keys("ByAlias")) == ["lr", "momentum", "own"]


def test_several_bases_are_gone_through_in_python_s_order(keys):
    """Left hands on to Right, not to the base of both; Right hands nothing on."""
    assert defaults(keys("Both")) == {"right": 2, "momentum": 0.1, "left": 1}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("OfNobody", r"\*\*shared stands for the keys of 'family.Missing', which has no source to read"),
        ("Alone", r"\*\*shared .* no base has a constructor"),
        ("Computed", r"the default of 'days' is 7 \* WEEKS"),
    ],
)
def test_what_cannot_be_read_is_one_line(keys, name, words):
    with pytest.raises(UserError, match=words) as error:
        keys(name)
    assert str(error.value).startswith(f"_target_ = 'family.{name}': ")
    assert "\n" not in str(error.value)


def test_a_library_s_class_has_all_its_arguments_as_keys():
    assert {"lr", "weight_decay", "momentum_decay"} <= set(signature("torch.optim.NAdam").keys)


def test_reading_every_method_s_keys_imports_neither_torch_nor_a_method():
    code = (
        "import sys, yaml, pathlib; from bench.run.signature import signature\n"
        "for path in pathlib.Path('conf/method').glob('*.yaml'):\n"
        "    signature(yaml.safe_load(path.read_text())['_target_'])\n"
        "loaded = [name for name in sys.modules if name.split('.')[0] in ('torch', 'methods')]\n"
        "assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


PACKAGE = """
from .base import Root

EPS = 1e-8

class Mixin:
    def __init__(self, n, *, decay: float = 0.1, **shared):
        super().__init__(n, **shared)

class Left(Root):
    def __init__(self, n, *, left: float = 1.0, **shared):
        super().__init__(n, **shared)

class Right(Root):
    def __init__(self, n, *, right: int["no type"] = 2, **shared):
        super().__init__(n, **shared)

class Cooperative(Mixin, Root):
    pass

class Diamond(Left, Right):
    def __init__(self, *args, lr: float = 0.5, **shared):
        super().__init__(*args, lr=lr, **shared)

class Computed:
    def __init__(self, n, *, eps: float = EPS):
        pass
"""


def test_a_package_of_ones_own_with_mixins_and_a_diamond(tmp_path, monkeypatch):
    """Relative imports, and keys handed on in Python's own order: what is read is what the objects take."""
    folder = tmp_path / "own_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("from .inner import Cooperative\n")
    (folder / "base.py").write_text(BASE)
    (folder / "inner.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert set(signature("own_package.inner.Left").keys) == {"lr", "momentum", "left"}
    assert set(signature("own_package.Cooperative").keys) == {"lr", "momentum", "decay"}
    found = signature("own_package.inner.Diamond")
    assert defaults(found.keys) == {"lr": 0.5, "momentum": 0.9, "right": 2, "left": 1.0}
    assert found.supplied == ()
    with pytest.raises(UserError, match="the default of 'eps' is EPS"):
        signature("own_package.inner.Computed")


def test_a_class_without_a_constructor_has_no_keys(keys):
    for name in ("Plain", "PlainToo"):
        assert signature(f"family_base.{name}").keys == {}
    assert signature("methods.variational.parameterisations.MeanScale").keys == {}


def test_an_unknown_key_is_one_line(job):
    with pytest.raises(UserError, match=r"method.batch_sise = 8: unknown key; .*did you mean 'batch_size'") as error:
        job("method=doubly_adam", "dataset=gamma_quadratics", "+method.batch_sise=8")
    assert "schedule" not in str(error.value), "Adam has no schedule"
    with pytest.raises(UserError, match="no such class or function"):
        signature("family.Nobody")


def test_constructors_are_as_strict_as_configs():
    assert DoublyAdam(64, batch_size=8, rho=0.5).lr == 0.01
    assert DoublySGD(64, lr=0.1, schedule="constant", batch_size=8).b == 8
    for wrong in (
        lambda: DoublyAdam(64, schedule="constant"),
        lambda: EGABP(alpha=0.0, beta=1.0, eta=1.0, projektion="metric"),
    ):
        with pytest.raises(TypeError, match=r"unexpected keyword argument '(schedule|projektion)'"):
            wrong()


def test_a_name_that_the_file_gives_a_type_is_that_type(job):
    """Sampling = Literal[...] beside the class: a misspelt value is refused, not run as something else."""
    with pytest.raises(UserError, match=r"method.sampling = 'reshufling': .*'reshuffling'"):
        job("method=doubly_sgd", "dataset=gamma_quadratics", "method.sampling=reshufling")
    for group in ("method", "dataset", "task", "schedule"):
        for name in options(group):
            target = read_yaml(CONF / group / f"{name}.yaml")["_target_"]
            untyped = [key for key, (kind, _) in signature(target).keys.items() if kind is Any]
            assert untyped == [], f"{target}: nothing says what these keys may be"


def test_a_target_is_checked_by_its_name_before_anything_is_imported(tmp_path, monkeypatch):
    (tmp_path / "own_evil.py").write_text("raise SystemExit('imported')\n")
    (tmp_path / "own_relay.py").write_text("from own_evil import Thing\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for target, extensions in (("own_evil.Thing", ()), ("own_relay.Thing", ["own_relay"]), ("own_evil.Thing", ["own"])):
        with pytest.raises(UserError, match=r"not in bench, .*extensions: \[own_evil\]"):
            check_target("method", target, extensions)
    check_target("method", "own_relay.Thing", ["own_relay", "own_evil"])
    assert "own_evil" not in sys.modules
    for target in ("methods.sign.base.torch.hub.load", "torch.optim.optimizer.os.system", "bench.run.store.os.kill"):
        with pytest.raises(UserError, match="no such class or function"):
            check_target("method", target)
    check_target("method", "torch.optim.NAdam")
    check_target("model", "torch.nn.Identity")


def test_what_hydra_would_build_is_hydra_s():
    for node in (
        {"callbacks": {"x": {"_target_": "os.system", "command": "true"}}},
        {"launcher": {"_target_": "subprocess.run"}},
        {"job_logging": {"handlers": {"x": {"()": "os.system"}}}},
        {"sweeper": {"inner": [{"_target_": 3}]}},
    ):
        with pytest.raises(UserError, match=r"^hydra\.(callbacks|launcher|job_logging|sweeper)\..* = "):
            check_hydra(node)
    check_hydra({"launcher": {"_target_": "hydra._internal.core_plugins.basic_launcher.BasicLauncher"}})
    check_hydra({"job_logging": {"handlers": {"console": {"class": "logging.StreamHandler"}}}})
