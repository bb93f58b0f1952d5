"""Malformed files of conf/paper: each is refused in one line that names the file, the entry and the key; the sound one passes."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.errors import UserError
from bench.judge.papers import Paper, check_decidable, load_paper
from bench.judge.plan import jobs

SOURCE = {"tier": "paper", "where": "Table 1", "how": "read", "reference": "arXiv 2406.00489"}
RATE, DIGITS = "ssvr/rate_stochastic", "ssvr/digits"
SLOPE = {
    "kind": "slope",
    "metric": "mean_grad_l1",
    "over": "iterations",
    "of": {"method": "ssvr"},
    "within": [-0.4, -0.2],
}
BETTER = {"kind": "better", "metric": "mean_grad_l1", "of": {"method": "ssvr"}, "than": {"method": "signsgd"}}
VALUE = {"kind": "value", "metric": "mean_grad_l1", "of": {"method": "ssvr"}, "target": 1.0, "margin": 0.5}
BOUND = {"kind": "bound", "metric": "test_accuracy", "of": {"method": "ssvr"}, "at_least": 0.5}
IDENTITY = {"kind": "identity", "metric": "last_grad_l1", "of": {"method": "ssvr"}, "equals": 0.0, "tolerance": 1e-9}
SHARE = {"kind": "share", "metric": "mean_grad_l1", "of": {"method": "ssvr"}, "above": 0.5, "at_least": 0.6}
ORDERING = {"kind": "ordering", "metric": "mean_grad_l1", "tiers": [[{"method": "ssvr"}], [{"method": "signsgd"}]]}
SOUND = {
    "title": 'A title: <b>"quoted"</b> & =SUM(A1) $x$ [red]',
    "authors": "A. Author",
    "year": 2024,
    "venue": "Venue",
    "arxiv": "2406.00489",
    "code": {"url": "https://example.com/code", "commit": "abc"},
    "summary": "A summary of T^-1/3.",
    "claims": {
        "slope": {"says": "it falls", "source": SOURCE, "experiment": RATE, "check": SLOPE},
        "bound": {"says": "it learns", "source": SOURCE, "experiment": DIGITS, "check": BOUND, "scales": ["mini"]},
    },
    "audits": {
        "value": {"says": "it is 1", "source": SOURCE, "experiment": RATE, "check": VALUE, "deterministic": True}
    },
    "figures": {
        "rate": {"experiment": RATE, "caption": "A rate.", "x": "iterations", "y": "mean_grad_l1", "log": "xy"},
        "each": {
            "experiment": DIGITS,
            "caption": "{method}",
            "x": "epoch",
            "y": "test_accuracy",
            "each": {"method": ["ssvr"]},
        },
    },
    "tables": {"wide": {"experiment": DIGITS, "caption": "Wide.", "value": "test_accuracy", "split": "epoch"}},
    "notes": ["A note."],
}
GONE = object()


def put(*path: str, to: Any) -> Callable[[dict], None]:
    """An edit that sets a value at a path of keys; GONE removes it."""

    def edit(content: dict) -> None:
        for key in path[:-1]:
            content = content[key]
        if to is GONE:
            del content[path[-1]]
        else:
            content[path[-1]] = to

    return edit


def check(base: dict, /, **changes: Any) -> Callable[[dict], None]:
    """An edit that gives the claim `slope` this check, changed; a change to GONE removes the key."""
    return put("claims", "slope", "check", to={k: v for k, v in (base | changes).items() if v is not GONE})


def claim(**changes: Any) -> Callable[[dict], None]:
    return lambda content: content["claims"]["slope"].update(changes)


def figure(**changes: Any) -> Callable[[dict], None]:
    return lambda content: content["figures"]["rate"].update(changes)


FINAL = {
    "experiment": DIGITS,
    "caption": "c",
    "x": "interpolations K",
    "y": "gradient_variance_k*",
    "numbered": {"label": "variance"},
}


def final(y: str, **numbered: Any) -> Callable[[dict], None]:
    """An edit that makes the figure `each` one of final metrics."""
    return put("figures", "each", to=FINAL | {"y": y, "numbered": {"label": "variance", **numbered}})


def renamed(group: str, old: str, new: Any) -> Callable[[dict], None]:
    return lambda content: content[group].update({new: content[group].pop(old)})


def doubled(group: str, old: str, new: str) -> Callable[[dict], None]:
    return lambda content: content[group].update({new: copy.deepcopy(content[group][old])})


EDITS: list[tuple[str, Callable[[dict], None], str]] = [
    # what a paper is
    ("unknown key", put("titel", to="x"), r"unknown key 'titel'; allowed: .*did you mean 'title'\?"),
    ("key that is a number", put(3, to="x"), r"unknown key 3; allowed: "),
    ("no title", put("title", to=GONE), r"title: field required$"),
    ("blank title", put("title", to="  "), r"title: is blank"),
    ("title a list", put("title", to=["x"]), r"title: input should be a valid string; not \['x'\]"),
    ("year a text", put("year", to="2024"), r"year: input should be a valid integer; not '2024'"),
    ("year a truth", put("year", to=True), r"year: input should be a valid integer; not True"),
    ("year of no calendar", put("year", to=20240), r"year: input should be less than or equal to 2100; not 20240"),
    ("arxiv a number", put("arxiv", to=2406.00489), r"arxiv: input should be a valid string; not 2406.00489"),
    ("arxiv leaves its link", put("arxiv", to='1"><script>'), r"arxiv: string should match pattern"),
    (
        "code a text",
        put("code", to="none"),
        r"code: 'none' is no mapping; expected keys with values: commit, note, url",
    ),
    ("code without url", put("code", to={}), r"code.url: field required"),
    (
        "code with a script",
        put("code", "url", to="javascript:alert(1)"),
        r"code: url 'javascript:alert\(1\)' is no address",
    ),
    ("notes a text", put("notes", to="x"), r"notes: input should be a valid list; not 'x'"),
    ("escape on a terminal", put("summary", to="\x1b[31mred"), r"summary: character U\+001B is not printed"),
    ("line turned round", put("notes", to=["a", "\u202eb"]), r"notes.1: character U\+202E is not printed"),
    ("carriage return", put("authors", to="a\rb"), r"authors: character U\+000D is not printed"),
    # claims
    ("no claims", put("claims", to={}), r"claims: names nothing"),
    ("claims missing", put("claims", to=GONE), r"claims: field required"),
    ("claims a list", put("claims", to=[]), r"claims: input should be a valid dictionary; not \[\]"),
    ("claim empty", put("claims", "slope", to=None), r"claims.slope: None is no mapping"),
    ("claim with an unknown key", claim(sourc={}), r"claims.slope: unknown key 'sourc'; .*did you mean 'source'"),
    ("claim says nothing", claim(says=""), r"claims.slope.says: is blank"),
    ("no source", put("claims", "slope", "source", to=GONE), r"claims.slope.source: field required"),
    (
        "source without reference",
        claim(source={"tier": "paper", "where": "T", "how": "read"}),
        r"claims.slope.source.reference: field required",
    ),
    (
        "source with a blank reference",
        claim(source=SOURCE | {"reference": " "}),
        r"claims.slope.source.reference: is blank",
    ),
    (
        "source from hearsay",
        claim(source=SOURCE | {"how": "reed"}),
        r"source.how: input should be 'read'.*did you mean 'read'",
    ),
    (
        "source of no tier",
        claim(source={k: v for k, v in SOURCE.items() if k != "tier"}),
        r"source.tier: field required",
    ),
    (
        "source of another tier",
        claim(source=SOURCE | {"tier": "papr"}),
        r"source.tier: input should be 'paper'.*did you mean 'paper'",
    ),
    (
        "paper's word derived here",
        claim(source=SOURCE | {"how": "derived"}),
        r"tier paper: what is known of it is read or secondary",
    ),
    ("ours is read", claim(source=SOURCE | {"tier": "ours"}), r"tier ours: what is known of it is derived"),
    (
        "ours is published",
        claim(source=SOURCE | {"tier": "ours", "how": "derived"}, published="it falls"),
        r"published: holds what is published; what we derive goes to theory",
    ),
    ("refuted by nothing named", claim(refuted_by=[" "]), r"refuted_by.0"),
    ("refuted by half a swap", claim(refuted_by=[{"put": {"method": "signsgd"}}]), r"refuted_by.0"),
    ("source recalled", claim(source=SOURCE | {"how": "recalled"}), r"claims.slope: source.how = 'recalled'"),
    (
        "no such experiment",
        claim(experiment="ssvr/digit"),
        r"experiment 'ssvr/digit' does not exist; did you mean 'ssvr/digits'",
    ),
    ("experiment climbs", claim(experiment="../ssvr/digits"), r"experiment '../ssvr/digits' does not exist"),
    ("experiment null", claim(experiment=None), r"claims.slope.experiment: input should be a valid string; not None"),
    (
        "scale huge",
        claim(scales=["hug"]),
        r"claims.slope.scales.0: input should be 'smoke', 'mini' or 'paper'; not 'hug'",
    ),
    ("scale twice", claim(scales=["mini", "mini"]), r"claims.slope: scales: mini, mini: one is repeated"),
    ("no scales", claim(scales=[]), r"claims.slope.scales: tuple should have at least 1 item"),
    (
        "deterministic perhaps",
        claim(deterministic="perhaps"),
        r"deterministic: input should be a valid boolean; not 'perhaps'",
    ),
    ("each of nothing", claim(each={}), r"claims.slope.each: names nothing"),
    ("each of an empty list", claim(each={"dataset": []}), r"claims.slope.each: dataset: an empty list"),
    ("each no list", claim(each={"dataset": "digits"}), r"claims.slope.each: dataset = 'digits': expected a list"),
    ("each twice the same", claim(each={"method.lr": [1.0, 1.0]}), r"claims.slope.each: method.lr: 1.0 is repeated"),
    ("each chosen already", claim(each={"method": ["ssvr"]}), r"each: 'method' is chosen by every group"),
    (
        "each of no option",
        claim(each={"dataset": ["digit"]}),
        r"check: dataset = 'digit' does not exist; did you mean 'digits'",
    ),
    ("each of no key", claim(each={"foo": [1]}), r"claims.slope.each: 'foo' selects no runs"),
    ("the same claim twice", doubled("claims", "slope", "again"), r"claims: 'slope' and 'again' are the same check"),
    ("claim and audit of one name", doubled("audits", "value", "slope"), r"'slope' and 'slope' are the same name"),
    ("claims differ in case", doubled("claims", "slope", "Slope"), r"'slope' and 'Slope' are the same name"),
    # names of files
    *(
        (
            f"{group} named {name!r:.20}",
            renamed(group, old, name),
            rf"{group}\..*: .*(is no name|has 200 characters|names a device)",
        )
        for group, old in (("claims", "slope"), ("figures", "rate"), ("tables", "wide"))
        for name in (
            "../../../evil",
            "/etc/passwd",
            "a/b",
            "a\\b",
            ".hidden",
            "",
            "a b",
            "n" * 200,
            "con",
            '"><script>',
            "-rf",
            "é",
        )
    ),
    ("figure named a number", renamed("figures", "rate", 3), r"figures.3: input should be a valid string"),
    ("figure with a NUL", renamed("figures", "rate", "a\0b"), r"figures: character U\+0000 is not printed"),
    ("figures differ in case", doubled("figures", "rate", "Rate"), r"figures: 'rate' and 'Rate' are the same name"),
    (
        "figure named as another's option",
        doubled("figures", "rate", "each_ssvr"),
        r"figures: 'each_ssvr' and 'each_ssvr' are the same",
    ),
    (
        "figure named as a scale's",
        renamed("figures", "rate", "rate-mini"),
        r"'rate-mini' ends as the files of a scale do",
    ),
    ("table named claims", renamed("tables", "wide", "claims"), r"tables: 'claims' and 'claims' are the same name"),
    (
        "table named as the experiment's",
        renamed("tables", "wide", "ssvr-digits"),
        r"tables: 'ssvr-digits' and 'ssvr-digits'",
    ),
    # checks
    ("no kind", check(SLOPE, kind=GONE), r"claims.slope.check: kind: field required; one of value, .*slope"),
    (
        "kind misspelt",
        check(SLOPE, kind="slop"),
        r"claims.slope.check: kind 'slop' is none of value, .*did you mean 'slope'",
    ),
    ("check a text", put("claims", "slope", "check", to="better"), r"claims.slope.check: input should be a valid dict"),
    ("unknown key of a check", check(BETTER, thn={}), r"claims.slope.check: unknown key 'thn'; .*did you mean 'than'"),
    (
        "no such metric",
        check(SLOPE, metric="mean_grad_11"),
        r"check.metric 'mean_grad_11' is not computed.*did you mean 'mean_grad_l1'",
    ),
    (
        "no such budget",
        check(BETTER, budget="iteration"),
        r"check.budget 'iteration' is not computed.*did you mean 'iterations'",
    ),
    ("metric neither good nor bad", check(BETTER, metric="iterations"), r"neither better high nor low"),
    ("better than itself", check(BETTER, than={"method": "ssvr"}), r"than: .* would be compared with itself"),
    ("better than all, all", check(BETTER, of={}, than={}), r"than: \{\} would be compared with itself"),
    ("mean of anything", check(BETTER, estimand="mean"), r"estimand mean: needs the range"),
    ("mean of a turned range", check(BETTER, estimand="mean", range=[1.0, 0.0]), r"range: two increasing numbers"),
    ("log of a difference", check(BETTER, estimand="log_mean", range=[-1.0, 1.0]), r"is of what is positive"),
    (
        "log of a negative range",
        check(BETTER, estimand="log_mean", range=[-1.0, 1.0], factor=0.9),
        r"positive ones for log_mean",
    ),
    ("median with a range", check(BETTER, range=[0.0, 1.0]), r"a median needs neither"),
    (
        "mean twice bounded",
        check(BETTER, estimand="mean", range=[0.0, 1.0], symmetric="yes"),
        r"estimand mean: needs the range",
    ),
    ("mode", check(BETTER, estimand="mode"), r"check.estimand: input should be 'median', 'mean' or 'log_mean'"),
    (
        "mean of an identity",
        check(IDENTITY, estimand="mean", range=[0.0, 1.0]),
        r"kind identity is about a share of the runs",
    ),
    ("share of all", check(SHARE, at_least=1.0), r"check.at_least: input should be less than 1"),
    ("share of none", check(SHARE, at_least=0.0), r"check.at_least: input should be greater than 0"),
    ("share of what", check(SHARE, above=GONE), r"exactly one of above and below"),
    ("share above and below", check(SHARE, below=1.0), r"exactly one of above and below"),
    ("share of both sides", check(SHARE, at_most=0.5), r"exactly one of at_least and at_most"),
    ("identity of every run", check(IDENTITY, share=1.0), r"check.share: input should be less than 1"),
    ("by and factor", check(BETTER, by=0.1, factor=0.5), r"by or factor, not both"),
    ("factor a text", check(BETTER, factor="0.5"), r"check.factor: '0.5' is no finite number; without quotes"),
    ("factor NaN", check(BETTER, factor=float("nan")), r"check.factor: nan is no finite number"),
    ("factor 0", check(BETTER, factor=0), r"check.factor: input should be greater than 0; not 0"),
    ("by infinite", check(BETTER, by=float("inf")), r"check.by: inf is no finite number"),
    ("by negative", check(BETTER, by=-0.1), r"check.by: input should be greater than or equal to 0; not -0.1"),
    ("tune an option", check(BETTER, tune="method"), r"check.tune 'method' is no key of the config"),
    ("within reversed", check(SLOPE, within=[0.4, 0.2]), r"within: two increasing numbers"),
    ("within of no width", check(SLOPE, within=[0.4, 0.4]), r"within: two increasing numbers"),
    ("within NaN", check(SLOPE, within=[0.4, float("nan")]), r"check.within.1: nan is no finite number"),
    ("within texts", check(SLOPE, within=["-1", 0]), r"check.within.0: '-1' is no finite number; without quotes"),
    ("within one number", check(SLOPE, within=[1.0]), r"check.within.1: field required"),
    (
        "slope over no column",
        check(SLOPE, over="iteration"),
        r"check: over: 'iteration' is no column.*did you mean 'iterations'",
    ),
    ("slope over the metric", check(SLOPE, over="mean_grad_l1"), r"over: 'mean_grad_l1' is the metric itself"),
    ("slope at a point", check(SLOPE, at={"iterations": 1000}), r"at: 'iterations' is what the slope is over"),
    ("slope below itself", check(SLOPE, below={"method": "ssvr"}), r"below: .* would be compared with itself"),
    (
        "at no column",
        check(BETTER, at={"foo": 3}),
        r"claims.slope.check: at foo: 'foo' is no column of ssvr/rate_stochastic's",
    ),
    ("at nothing", check(BETTER, at={}), r"claims.slope.check.at: names nothing"),
    (
        "at a text",
        check(BETTER, at={"iterations": "1000"}),
        r"check.at: 'iterations': '1000': expected a column and a finite number",
    ),
    ("at a number", check(BETTER, at=3), r"check.at: 3 is no row; expected a column and its value"),
    ("of a text", check(SLOPE, of="ssvr"), r"check.of: 'ssvr' is no group of runs"),
    ("of no key", check(SLOPE, of={"methd": "ssvr"}), r"check.of: 'methd' selects no runs; .*did you mean 'method'"),
    (
        "of a list",
        check(SLOPE, of={"method": ["ssvr"]}),
        r"check.of: method = \['ssvr'\]: expected the name of an option",
    ),
    (
        "of no method",
        check(SLOPE, of={"method": "sssvr"}),
        r"check: method = 'sssvr' does not exist; did you mean 'ssvr'",
    ),
    ("of NaN", check(SLOPE, of={"method.lr": float("nan")}), r"check.of: method.lr = nan: expected a finite number"),
    ("value of two targets", check(VALUE, targets={"digits": 1.0}), r"exactly one of target and targets"),
    ("value without a margin", check(VALUE, margin=GONE), r"exactly one of margin and relative"),
    ("margin infinite", check(VALUE, margin=float("inf")), r"check.margin: inf is no finite number"),
    ("margin 0", check(VALUE, margin=0.0), r"check.margin: input should be greater than 0; not 0.0"),
    ("a part of nothing", check(VALUE, margin=GONE, relative=0.1, target=0.0), r"relative: a part of 0 is 0"),
    ("target a text", check(VALUE, target="1.0"), r"check.target: '1.0' is no finite number; without quotes"),
    ("target true", check(VALUE, target=True), r"check.target: True is no finite number"),
    ("target of nothing", check(VALUE, target={}), r"check.target: names nothing"),
    (
        "no targets",
        check(VALUE, target=GONE, targets={}),
        r"check.targets: \{\}: expected numbers by the values of over",
    ),
    ("targets of texts", check(VALUE, target=GONE, targets={"digits": "1"}), r"check.targets: '1' is no finite number"),
    ("targets of no option", check(VALUE, target=GONE, targets={"digit": 1.0}), r"dataset = 'digit' does not exist"),
    ("over without targets", check(VALUE, over="dataset"), r"over: only with targets"),
    ("bound of two sides", check(BOUND, at_most=1.0, metric="mean_grad_l1"), r"exactly one of at_most and at_least"),
    ("bound NaN", check(BOUND, at_least=float("nan")), r"check.at_least: nan is no finite number"),
    ("bound of curve and row", check(BOUND, curve="min", at={"iterations": 1000}), r"at or curve, not both"),
    ("tolerance 0", check(IDENTITY, tolerance=0), r"check.tolerance: input should be greater than 0"),
    ("tolerance NaN", check(IDENTITY, tolerance=float("nan")), r"check.tolerance: nan is no finite number"),
    ("identical with itself", check(IDENTITY, equals={"method": "ssvr"}), r"equals: .* would be compared with itself"),
    ("one tier", check(ORDERING, tiers=[[{"method": "ssvr"}]]), r"check.tiers: list should have at least 2 items"),
    (
        "an empty tier",
        check(ORDERING, tiers=[[{"method": "ssvr"}], []]),
        r"check.tiers.1: list should have at least 1 item",
    ),
    ("a tier of anything", check(ORDERING, tiers=[[{"method": "ssvr"}], [{}]]), r"check.tiers.1.0: names nothing"),
    (
        "a group in two tiers",
        check(ORDERING, tiers=[[{"method": "ssvr"}]] * 2),
        r"tiers: .* would be compared with itself",
    ),
    # what no job can match
    ("no such run", check(SLOPE, of={"method": "adamw"}), r"no run has method = adamw; method is .*ssvr"),
    (
        "no such value",
        check(SLOPE, of={"method": "ssvr", "dataset.dim": 7}),
        r"no run has method = ssvr, dataset.dim = 7; ",
    ),
    ("no such key", check(SLOPE, of={"dataset.dimm": 7}), r"none has the key dataset.dimm; did you mean 'dataset.dim'"),
    ("runs of all methods at once", check(SLOPE, of={}), r"all runs selects runs that differ in method"),
    ("a horizon never run", check(BETTER, at={"iterations": 77777}), r"no row has iterations = 77777; task.horizons"),
    (
        "an epoch never reached",
        put("claims", "bound", "check", to=BOUND | {"at": {"epoch": 77777}}),
        r"claims.bound.check: no row has epoch = 77777",
    ),
    (
        "an epoch before the first",
        put("claims", "bound", "check", to=BOUND | {"at": {"epoch": -1}}),
        r"no row has epoch = -1",
    ),
    (
        "too few seeds of a share",
        check(SHARE, at_least=0.9),
        r"12 seeds cannot decide 1 part at the 5 % level; at least 36",
    ),
    (
        "too few seeds of an identity",
        check(IDENTITY, share=0.9),
        r"12 seeds cannot decide 1 part at the 5 % level; at least 36",
    ),
    (
        "too few seeds to tune",
        check(ORDERING, tiers=[[{"method": m}] for m in ("ssvr", "signsgd", "signsgd_sim")], tune="method.lr"),
        r"6 seeds .6 more choose method.lr. cannot decide 3 parts",
    ),
    # figures and tables
    (
        "numbers of no star",
        final("val_accuracy"),
        r"figures.each: 'val_accuracy': expected a metric's name with one star",
    ),
    (
        "numbers of nothing",
        final("gradient_variance_q*"),
        r"figures.each: y: the task of ssvr/digits computes no two metrics .*did you mean 'gradient_variance_k\*'",
    ),
    (
        "numbers beside nothing",
        final("gradient_variance_k*", beside={"predicted": "test_*"}),
        r"figures.each: numbered.beside.predicted: the task of ssvr/digits computes no two metrics 'test_\*'",
    ),
    (
        "numbers beside no star",
        final("gradient_variance_k*", beside={"predicted": "test_nll"}),
        r"figures.each.numbered.beside.predicted: 'test_nll': expected a metric's name with one star",
    ),
    (
        "fewer bins than numbers",
        final("reliability_accuracy_*", bins=10),
        r"figures.each: numbered.bins: 10, but y counts from 1 to 15",
    ),
    ("a diagonal of no bins", final("reliability_accuracy_*", diagonal="d"), r"numbered: diagonal: only with bins"),
    (
        "numbers with rows",
        put("figures", "each", to=FINAL | {"at": {"epoch": 1}}),
        r"figures.each: numbered: shows final metrics as lines; leave out at",
    ),
    (
        "numbers by a column",
        put("figures", "each", to=FINAL | {"by": "epoch"}),
        r"figures.each: by 'epoch': of final metrics lines are by an option or a key",
    ),
    (
        "numbers by no key",
        put("figures", "each", to=FINAL | {"by": "method.alph"}),
        r"figures.each: by: none of the runs has the key method.alph",
    ),
    ("numbers without words", put("figures", "each", to=FINAL | {"numbered": {}}), r"numbered.label: field required"),
    ("figure with an unknown key", figure(colour="red"), r"figures.rate: unknown key 'colour'"),
    ("figure without x", put("figures", "rate", "x", to=GONE), r"figures.rate.x: field required"),
    ("no such x", figure(x="iteration"), r"figures.rate: x: 'iteration' is no column.*did you mean 'iterations'"),
    ("no such y", figure(y="loss"), r"figures.rate: metric 'loss' is not computed"),
    ("no such by", figure(by="methods"), r"figures.rate: by: 'methods' is no column.*did you mean 'method'"),
    ("no such key by", figure(by="dataset.nois"), r"figures.rate: by: none of the runs has the key dataset.nois"),
    ("figure at no column", figure(at={"foo": 1}), r"figures.rate: at foo: 'foo' is no column"),
    ("figure at nothing reached", figure(at={"iterations": [7, 9]}), r"figures.rate: at: no row has iterations = 7"),
    ("figure of no run", figure(only={"method": "adamw"}), r"figures.rate: only: no run has method = adamw"),
    ("figure of no method", figure(only={"method": ["ssv"]}), r"figures.rate: method = 'ssv' does not exist"),
    ("figure of an empty list", figure(only={"method": []}), r"figures.rate.only: method: an empty list"),
    (
        "each that climbs",
        figure(each={"method": ["../evil"]}),
        r"figures.rate: each: it names a file: '../evil' is no name",
    ),
    ("each of nothing, drawn", figure(each={"method": []}), r"figures.rate.each: method: an empty list"),
    ("log sideways", figure(log="yx"), r"figures.rate.log: input should be '', 'x', 'y' or 'xy'; not 'yx'"),
    ("log a truth", figure(log=True), r"figures.rate.log: input should be '', 'x', 'y' or 'xy'; not True"),
    (
        "caption with a hole",
        figure(caption="{method}"),
        r"figures.rate: caption '\{method\}': braces hold names of 'each' alone",
    ),
    (
        "caption that reaches",
        figure(caption="{0.__class__}"),
        r"figures.rate: caption .*braces hold names of 'each' alone",
    ),
    (
        "caption that fills a line",
        figure(caption="{method:999}", each={"method": ["ssvr"]}),
        r"braces hold names of 'each' alone",
    ),
    ("blank caption", figure(caption=""), r"figures.rate.caption: is blank"),
    ("map and scatter", figure(value="mean_grad_l1", size="mean_grad_l1"), r"value makes a heat map, size"),
    ("marks without a scatter", figure(marks="mean_grad_l1"), r"value makes a heat map, size"),
    ("theory without a slope", figure(theory={"T^-1": {"of": "ssvr"}}), r"theory.T\^-1.slope: field required"),
    (
        "theory of no line",
        figure(theory={"T^-1": {"of": "svr", "slope": -1}}),
        r"no line is called 'svr'; .*did you mean 'ssvr'",
    ),
    (
        "theory of a long name",
        figure(theory={"T" * 41: {"of": "ssvr", "slope": -1}}),
        r"string should have at most 40 char",
    ),
    (
        "theory NaN",
        figure(theory={"T": {"of": "ssvr", "slope": float("nan")}}),
        r"theory.T.slope: nan is no finite number",
    ),
    ("points without a source", figure(published={"points": {"ssvr": [[1, 2]]}}), r"published.source: field required"),
    (
        "points of texts",
        figure(published={"source": SOURCE, "points": {"ssvr": [[1, "2"]]}}),
        r"\[1, '2'\] is no pair of finite numbers",
    ),
    ("no points", figure(published={"source": SOURCE, "points": {}}), r"published.points: names nothing"),
    ("relative to no method", figure(relative_to={"method": "sg"}), r"figures.rate: method = 'sg' does not exist"),
    ("relative to nothing", figure(relative_to={}), r"figures.rate.relative_to: names nothing"),
    (
        "table of no metric",
        put("tables", "wide", "value", to="accuracy"),
        r"tables.wide: metric 'accuracy' is not computed",
    ),
    (
        "table split by nothing",
        put("tables", "wide", "split", to="epochs"),
        r"tables.wide: split: 'epochs' is no column",
    ),
    (
        "table of no key",
        put("tables", "wide", "rows", to="method.lrr"),
        r"tables.wide: rows: none of the runs has the key method.lrr",
    ),
    (
        "table of one side",
        put("tables", "wide", "columns", to="method"),
        r"tables.wide: rows and columns are both 'method'",
    ),
]


def load(path: Path, content: dict) -> Paper:
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
    paper = load_paper(path)
    check_decidable({path.stem: paper}, jobs)
    return paper


def test_the_sound_file_passes(tmp_path):
    paper = load(tmp_path / "mine.yaml", SOUND)
    assert [name for name, _, _ in paper.judged()] == ["slope", "bound", "value"]
    assert [name for name, _ in paper.drawn()] == ["rate", "each_ssvr"]


@pytest.mark.parametrize(("edit", "line"), [pytest.param(*rest, id=name) for name, *rest in EDITS])
def test_a_malformed_file_is_one_line(edit, line, tmp_path):
    content = copy.deepcopy(SOUND)
    edit(content)
    with pytest.raises(UserError) as error:
        load(tmp_path / "mine.yaml", content)
    said = str(error.value)
    assert said.startswith("conf/paper/mine.yaml: ")
    assert re.search(line, said), said
    assert said.isprintable()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("title: x\ntitle: y\n", r"2: key 'title' is repeated"),
        ("claims:\n  a: {}\n  a: {}\n", r"3: key 'a' is repeated"),
        ("claims:\n\ta: 1\n", r"2: .*indent with spaces"),
        ("title: [\n", r"2: "),
        ("- a\n", r"1: holds a list"),
        ("", r"the file: None is no mapping"),
        ("year: !!python/name:os.system\n", r"1: the tag .*only plain values"),
        ("a: &a [*a]\n", r"nested more than 50 levels deep"),
    ],
)
def test_a_file_that_is_no_yaml_is_one_line(text, line, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as error:
        load_paper(path)
    assert re.search(f"^conf/paper/mine.yaml:.*{line}", str(error.value)), str(error.value)
    assert str(error.value).isprintable()


def test_the_table_is_long_and_no_case_stands_twice():
    assert len({name for name, *_ in EDITS}) == len(EDITS) > 80
