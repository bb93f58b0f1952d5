"""From runs.csv and conf/paper to verdicts.csv, tables, figures and index.html. The same input gives the same bytes."""

from __future__ import annotations

import functools
import pickle
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from bench.judge.archive import RUNS, VERDICT_TABLE, Record, by_experiment, collect, read_records, write_records
from bench.judge.claims import VERDICTS, Judged, judge_all
from bench.judge.papers import HOW, Figure, Paper, load_papers
from bench.judge.parts import p_text
from bench.judge.plan import Planned
from bench.report import figures, heatmaps, scatter, tables
from bench.report.plotting import for_page
from bench.run.paths import ROOT
from bench.run.store import write_atomic

TEMPLATES = Path(__file__).parent / "templates"
SCALES = ("mini", "paper")
PAGE = "index.html"
MARKERS = ("<!-- coverage: written by `make report` -->", "<!-- end of coverage -->")


def refresh(root: Path, planned: Iterable[Planned]) -> list[Record]:
    """Bring runs.csv up to date with the plan's runs: those of other experiments and scales stay as they are."""
    planned, old = list(planned), read_records(root / RUNS)
    covered = {f"{run.experiment}@{run.scale}" for run in planned}
    fresh = {(r.key, r.seed): r for r in collect(planned, old)}
    records = []
    for record in old:
        kept = tuple(name for name in record.experiments if name not in covered)
        new = fresh.pop((record.key, record.seed), None)
        if new is not None:
            records.append(replace(new, experiments=tuple(sorted({*kept, *new.experiments}))))
        elif kept:
            records.append(replace(record, experiments=kept))
    records = sorted([*records, *fresh.values()], key=lambda r: r.experiments)  # stable: the plan's order within
    write_records(root / RUNS, records)
    return records


def _write(path: Path, text: str) -> None:
    """Leave a file alone that is as it should be."""
    content = text.encode()
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, lambda file: file.write(content))


def write_report(
    root: Path, papers: Mapping[str, Paper], records: Sequence[Record], scales: Sequence[str]
) -> list[Judged]:
    """Judge every claim and write every file of the report that changed; files that are no longer part of it are removed."""
    judged = judge_all(papers, records, scales)
    files = build(papers, records, judged, scales)
    for folder in ("tables", "figures"):
        for path in sorted((root / folder).rglob("*.*")):
            if str(path.relative_to(root)) not in files:
                path.unlink()
    for name, text in files.items():
        _write(root / name, text)
    return judged


def publish(root: Path, planned: Iterable[Planned], scales: Sequence[str]) -> list[Judged]:
    """The report over everything known, at the scales that are always shown and those at hand. The project's own results also bring
    README's table up to date."""
    papers, records = load_papers(), refresh(root, planned)
    judged = write_report(root, papers, records, list(dict.fromkeys([*SCALES, *scales])))
    if root == ROOT / "results":
        readme = ROOT / "README.md"
        _write(readme, with_coverage(readme.read_text(encoding="utf-8"), papers, judged))
    return judged


def outdated(root: Path, papers: Mapping[str, Paper], scales: Sequence[str] = SCALES) -> list[str]:
    """Files of the report that are not what runs.csv and the papers give (among them README.md for the project's own results)."""
    records = read_records(root / RUNS)
    judged = judge_all(papers, records, scales)
    files = build(papers, records, judged, scales)
    there = {str(p.relative_to(root)) for folder in ("tables", "figures") for p in (root / folder).rglob("*.*")}
    different = [n for n, text in files.items() if not (root / n).exists() or (root / n).read_bytes() != text.encode()]
    different += sorted(there - set(files))
    if root == ROOT / "results":
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        different += ["README.md"] if with_coverage(text, papers, judged) != text else []
    return different


def build(
    papers: Mapping[str, Paper], records: Sequence[Record], judged: Sequence[Judged], scales: Sequence[str]
) -> dict[str, str]:
    """Every file of the report but runs.csv, by its path below results."""
    by_name = by_experiment(records)
    files = {VERDICT_TABLE: tables.csv(tables.verdict_table(judged))}
    sections = []
    for key, paper in papers.items():
        mine = [j for j in judged if j.paper == key]
        table = tables.readable_verdicts(mine)
        files |= _formats(f"tables/{key}/claims", table, f"Claims of {paper.title}", f"{key}:claims")
        sections.append(_section(key, paper, mine, by_name, scales, files))
    files[PAGE] = _page(sections, judged, scales)
    return files


def _formats(stem: str, table: Any, caption: str, label: str, data: Any = None) -> dict[str, str]:
    """One table as csv (of `data`, with every digit), markdown and LaTeX."""
    return {
        f"{stem}.csv": tables.csv(table if data is None else data),
        f"{stem}.md": tables.markdown(table),
        f"{stem}.tex": tables.latex(table, caption, label),
    }


def _section(
    key: str,
    paper: Paper,
    judged: Sequence[Judged],
    by_name: Mapping[str, Sequence[Record]],
    scales: Sequence[str],
    files: dict[str, str],
) -> dict[str, Any]:
    """What the page shows of one paper, its experiments in the order of its claims and figures; adds tables and figures to `files`."""
    names = dict.fromkeys([c.experiment for _, c, _ in paper.judged()] + [f.experiment for f in paper.figures.values()])
    own = [name for name in by_name if name.startswith(f"{key}/")]
    palette = list(dict.fromkeys(r.method for name in sorted(own) for r in by_name[name]))
    experiments = []
    for name in names:
        blocks = []
        for scale in scales:
            runs = by_name.get(f"{name}@{scale}", [])
            if not any(r.ended for r in runs):
                continue
            stem, table = name.replace("/", "-"), tables.readable(name, runs)
            caption = f"{name} at {scale} scale: mean over seeds with 95 % interval"
            full = tables.experiment_table(name, runs)
            files |= _formats(f"tables/{key}/{stem}-{scale}", table, caption, f"{stem}-{scale}", full)
            drawn = []
            for figure_name, figure in paper.drawn():
                svg, seeds = _figure(figure, runs, palette) if figure.experiment == name else ("", 0)
                if svg:
                    files[f"figures/{key}/{figure_name}-{scale}.svg"] = svg
                    inline = for_page(svg, f"{key}-{figure_name}-{scale}", figure.caption)
                    drawn.append(
                        {
                            "svg": inline,
                            "caption": figure.legend,
                            "seeds": seeds,
                            "map": bool(figure.value or figure.size),
                        }
                    )
            pivots = []
            for table_name, spec in paper.tables.items():
                wide = tables.pivot(spec, runs) if spec.experiment == name else None
                if wide is not None and len(wide):
                    text, label = tables.as_text(wide), f"{key}-{table_name}-{scale}"
                    files |= _formats(f"tables/{key}/{table_name}-{scale}", text, spec.caption, label, wide)
                    pivots.append((spec.caption, text))
            block = {"pivots": pivots, "scales": scale, "keys": {r.key for r in runs}, "table": table, "figures": drawn}
            if blocks and blocks[-1]["keys"] == block["keys"]:  # the same runs serve both scales
                blocks[-1]["scales"] += f" {scale}"
            else:
                blocks.append(block | {"states": tables.states(runs)})
        claims = [_claim(j, judged, scales) for j in judged if j.claim.experiment == name and j.scale == scales[0]]
        experiments.append({"name": name, "blocks": blocks, "claims": claims})
    return {"key": key, "paper": paper, "experiments": experiments, "counts": _counts(judged)}


_drawn: dict[bytes, str] = {}  # svg by what it shows: a report after each experiment draws only what has changed


def _figure(figure: Figure, runs: Sequence[Record], palette: Sequence[str]) -> tuple[str, int]:
    """The figure as svg, "" where no run has what it shows, and how many seeds it averages."""
    panels = scatter if figure.size else heatmaps if figure.value else None
    found = panels.panels(figure, runs) if panels else figures.lines(figure, runs)
    if not found:
        return "", 0
    content = pickle.dumps((figure.model_dump(), found, runs[0].task, list(palette)))
    if content not in _drawn:
        draw = panels.draw if panels else functools.partial(figures.draw, palette=palette)
        _drawn[content] = draw(figure, found, runs[0].task)
    return _drawn[content], max(part.seeds for part in found)


def _claim(first: Judged, judged: Sequence[Judged], scales: Sequence[str]) -> dict[str, Any]:
    same = {j.scale: j.verdict for j in judged if j.name == first.name}
    return {"name": first.name, "claim": first.claim, "audit": first.audit, "verdicts": [(s, same[s]) for s in scales]}


def _counts(judged: Iterable[Judged]) -> dict[tuple[str, str], int]:
    return Counter((j.scale, j.verdict.verdict) for j in judged)


def _page(sections: Sequence[dict[str, Any]], judged: Sequence[Judged], scales: Sequence[str]) -> str:
    ran = Counter(j.scale for j in judged if j.verdict.verdict not in ("not run", "not comparable"))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "interval": tables.interval_text,
        "short": tables.short,
        "pvalue": p_text,
        "slug": slug,
        "strip": strip,
        "maths": maths,
    }
    return environment.get_template("index.html.j2").render(
        sections=sections,
        verdicts=VERDICTS,
        scales=scales,
        chosen=max(scales, key=lambda s: ran[s]),
        how=HOW,
        style=(TEMPLATES / "style.css").read_text(encoding="utf-8"),
        script=(TEMPLATES / "page.js").read_text(encoding="utf-8"),
    )


def maths(text: str) -> Markup:
    """T^-1/3 with a raised exponent."""
    return Markup(re.sub(r"\^(-?[\w/.]*\w)", r"<sup>\1</sup>", str(escape(text))))


def slug(verdict: str) -> str:
    return verdict.replace(" ", "-")


def strip(part: Any) -> dict[str, float] | None:
    """Places (0 to 100) of a test's interval, estimate and accepted region on a small axis; None without a spread."""
    ends = [part.interval.low, part.interval.high]
    if any(v != v for v in ends):
        return None
    finite = [v for v in (*ends, *part.accept) if abs(v) != float("inf")]
    low, high = min(finite), max(finite)
    margin = 0.15 * (high - low or 1.0)
    low, high = low - margin, high + margin
    place = lambda v: round(100 * (min(max(v, low), high) - low) / (high - low), 2)  # noqa: E731
    return {
        "from": place(part.accept[0]),
        "to": place(part.accept[1]),
        "low": place(ends[0]),
        "high": place(ends[1]),
        "at": place(part.interval.estimate),
    }


# ---- the README's table


def with_coverage(readme: str, papers: Mapping[str, Paper], judged: Sequence[Judged]) -> str:
    """README's text with the coverage table between its markers: a row a paper and scale, how many claims got which verdict."""
    lines = ["| paper | scale | claims | " + " | ".join(VERDICTS) + " |", "|---|---|" + "---:|" * (len(VERDICTS) + 1)]
    for key, paper in papers.items():
        counts = _counts(j for j in judged if j.paper == key)
        for scale in SCALES:
            numbers = [counts[scale, verdict] for verdict in VERDICTS]
            cells = [f"{key} ([{paper.arxiv}](https://arxiv.org/abs/{paper.arxiv}))", scale, sum(numbers), *numbers]
            lines.append("| " + " | ".join(str(c) for c in cells) + " |")
    table = "\n".join([MARKERS[0], *lines, MARKERS[1]])
    return re.sub(re.escape(MARKERS[0]) + ".*?" + re.escape(MARKERS[1]), lambda _: table, readme, flags=re.S)


# ---- the terminal


def print_verdicts(judged: Iterable[Judged], show: Callable[[Any], None]) -> None:
    """One line a claim and scale that has runs: verdict, numbers, reason."""
    from rich.markup import escape as plain
    from rich.table import Table

    colours = {"reproduced": "green", "not reproduced": "red", "inconclusive": "yellow"}
    table = Table(show_lines=False, pad_edge=False)
    for name in ("paper", "claim", "scale", "verdict", "ours", "n", "why", "power at 5, 10, 20"):
        table.add_column(name, overflow="fold")
    for j in judged:
        v = j.verdict
        if v.verdict == "not run":
            continue
        colour = colours.get(v.verdict, "dim")
        ours = f"{v.parts[0].label}: {tables.interval_text(v.parts[0].interval)}" if v.parts else ""
        power = " ".join(f"{p:.0%}" for p in v.planner.power.values()) if v.planner else ""
        why = v.reason + (f" ({v.stale} runs of other code)" if v.stale else "")
        table.add_row(
            j.paper, j.name, j.scale, f"[{colour}]{v.verdict}[/]", plain(ours), str(v.seeds or ""), plain(why), power
        )
    show(table)
