"""The self-test's words: claim by claim what turned it, in red what nothing did; the file that pages read."""

from __future__ import annotations

import forks
import pytest
import yaml
from conftest import clean_env, copy_project
from test_standing import claim, paper

from bench.judge.papers import load_papers
from bench.judge.registration import digest_of
from bench.judge.selftest import Finding
from bench.report.noticed import noticed, read, write

SWAPPED = "signsvrg in place of ssvr_fs"
PAPER = paper(a=claim(), b=claim(refuted_by=[]), c=claim(scales=["paper"]))


def finding(name: str, **verdicts: tuple[str, str]) -> Finding:
    before = [key for key, (right, _) in verdicts.items() if right == "reproduced"]
    return Finding(name, name, before, [k for k in before if verdicts[k][1] == "not reproduced"], verdicts)


YES, NO = ("reproduced", "not reproduced"), ("reproduced", "reproduced")


@pytest.mark.parametrize(
    ("findings", "sound", "why"),
    [
        ([finding("wrong-sign", a=YES), finding(SWAPPED, a=YES)], True, ""),
        ([finding("wrong-sign", a=YES), finding(SWAPPED, a=NO)], False, f"{SWAPPED}: reproduced"),
        ([finding("wrong-sign", a=YES)], False, f"{SWAPPED}: not planted"),
        ([finding("other", a=NO)], False, "nothing turned it"),
        (
            [finding("wrong-sign", a=("inconclusive", "not reproduced"))],
            True,
            "",
        ),
        ([finding("wrong-sign", a=("not reproduced", "reproduced"))], True, ""),
        ([], False, "nothing was planted on its experiment"),
    ],
)
def test_a_claim_has_to_be_turned_by_all_that_it_names(findings, sound, why):
    found = noticed(PAPER, findings)[0]
    assert (found.sound, found.why) == (sound, why)


def test_a_claim_that_names_nothing_has_to_be_turned_by_something():
    _, b, c = noticed(PAPER, [finding("any", a=YES, b=NO)])
    assert (b.sound, b.why) == (False, "nothing turned it")
    assert (c.sound, c.why) == (True, "not decided at mini scale")
    assert noticed(PAPER, [finding("any", a=YES, b=YES)])[1].sound


def test_the_file_holds_what_was_named_or_turned(tmp_path):
    findings = [
        finding("wrong-sign", a=YES, b=YES),
        finding(SWAPPED, a=("reproduced", "inconclusive")),
        finding("x", b=NO),
    ]
    write(tmp_path, "ssvr", PAPER, findings)
    check = digest_of(PAPER.claims["a"])
    assert (tmp_path / "selftest/ssvr.csv").read_text() == (
        f"claim,check,refuter,verdict\na,{check},wrong-sign,not reproduced\na,{check},{SWAPPED},inconclusive\n"
        f"b,{check},wrong-sign,not reproduced\n"
    )
    assert read(tmp_path, "ssvr", PAPER) == {
        ("a", "wrong-sign"): "not reproduced",
        ("a", SWAPPED): "inconclusive",
        ("b", "wrong-sign"): "not reproduced",
    }
    assert read(tmp_path, "egab", PAPER) == {}


def test_what_was_seen_of_another_check_is_not_read(tmp_path):
    write(tmp_path, "ssvr", PAPER, [finding("wrong-sign", a=YES, b=YES)])
    changed = claim()
    changed["check"]["factor"] = 0.5
    assert read(tmp_path, "ssvr", paper(a=changed, b=claim())) == {("b", "wrong-sign"): "not reproduced"}


def test_the_script_exits_with_1_while_a_claim_was_not_seen_to_fail(tmp_path):
    """Real runs in a project of two claims: a mistake turns one; nothing turns the other, until it is gone."""
    copy_project(tmp_path)
    check = digest_of(load_papers("ssvr")["ssvr"].claims["rate-ssvr-estimate"])
    path = tmp_path / "conf/paper/ssvr.yaml"
    content = yaml.safe_load(path.read_text())
    kept = {name: content["claims"][name] for name in ("rate-ssvr-estimate", "rate-momentum")}
    kept["rate-ssvr-estimate"]["refuted_by"] = ["stored-gradient"]
    kept["rate-momentum"]["refuted_by"] = []
    only = "\nMISTAKES = [m for m in MISTAKES if m.name == 'stored-gradient']\n"
    mistakes = tmp_path / "mistakes/ssvr.py"
    mistakes.write_text(mistakes.read_text() + only)
    command = [tmp_path / "scripts/selftest.py", "--paper", "ssvr", "hardware=cpu"]
    command += ["hardware.threads=1", "task.horizons=[1000,4000]", "seeds=[0,1,2,3,4,5]"]
    for claims, code in ((kept, 1), ({"rate-ssvr-estimate": kept["rate-ssvr-estimate"]}, 0)):
        path.write_text(yaml.safe_dump(content | {"claims": claims, "figures": {}, "tables": {}, "audits": {}}))
        done = forks.python(command, clean_env(), cwd=tmp_path)
        assert done.returncode == code, done.stdout + done.stderr
        assert ("nothing turned it" in done.stdout) == (code == 1)
        table = (tmp_path / "results/selftest/ssvr.csv").read_text().splitlines()
        assert table == ["claim,check,refuter,verdict", f"rate-ssvr-estimate,{check},stored-gradient,not reproduced"]
