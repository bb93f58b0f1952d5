"""Every script that has options says in one line what is wrong with them."""

from __future__ import annotations

import runpy
import sys

import pytest
from conftest import ROOT

from bench.errors import UserError
from bench.run.parser import Parser

SCRIPTS = sorted(path.name for path in (ROOT / "scripts").glob("*.py") if " Parser(" in path.read_text())


def test_what_argparse_refuses_is_a_user_s_error():
    parser = Parser(prog="prog")
    parser.add_argument("--jobs", type=int)
    sub = parser.add_subparsers(dest="command").add_parser("list")
    sub.add_argument("--state", choices=["failed"])
    with pytest.raises(UserError, match=r"^argument --jobs: invalid int value: 'x'; prog --help says more$"):
        parser.parse_args(["--jobs", "x"])
    with pytest.raises(UserError, match=r"^argument --state: invalid choice: 'y' .*; prog list --help says more$"):
        parser.parse_args(["list", "--state", "y"])


def test_no_script_has_another_parser():
    assert len(SCRIPTS) > 10
    others = [path.name for path in (ROOT / "scripts").glob("*.py") if "ArgumentParser" in path.read_text()]
    assert others == []


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_unknown_option_is_one_line(script, monkeypatch, capsys):
    path = ROOT / "scripts" / script
    monkeypatch.syspath_prepend(path.parent)
    monkeypatch.setattr(sys, "argv", [str(path), "--nonesuch", "a", "b"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(path), run_name="__main__")
    out, err = capsys.readouterr()
    assert (stop.value.code, out) == (2, "")
    (said,) = err.splitlines()
    assert said.startswith("error: ")
    assert said.endswith(" --help says more")
