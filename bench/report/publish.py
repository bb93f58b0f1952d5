"""Bring archives, verdicts, tables, figures and pages up to date. What a paper's report was made from stands in its manifest:
where that has not changed nothing is made again, and only files that an earlier report wrote are ever replaced or removed."""

from __future__ import annotations

import csv
import hashlib
import json
import platform
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.errors import UserError
from bench.judge import registration
from bench.judge.archive import archive_path, complain, decompressed, paper_of, read_archive
from bench.judge.gather import refresh
from bench.judge.papers import Paper
from bench.judge.plan import Planned
from bench.report import front
from bench.report.index import index_page
from bench.report.places import INDEX, PREVIEW, manifest_path, page_path, selftest_path, verdict_path
from bench.run import memo
from bench.run.atomic import write_atomic
from bench.run.codehash import files_of
from bench.run.paths import CONF, ROOT

SCALES = ("mini", "paper")
LIBRARIES = ("matplotlib", "numpy", "pandas", "scipy", "jinja2", "tabulate")  # what the bytes of the report depend on
Row = dict[str, str]  # of verdicts/<paper>.csv
Say = Callable[[str], None]


def publish(
    root: Path,
    papers: Mapping[str, Paper],
    planned: Iterable[Planned],
    scales: Sequence[str] = SCALES,
    say: Say = lambda line: None,
    report: Say = complain,
) -> list[Row]:
    """The report from the runs on disk, where `planned` says anything of a paper, and else from its archive.

    Args:
        scales: shown beside those that always are.
        say: gets a line for each paper whose report is made.
        report: gets a line for each run that is damaged and left out.

    Returns:
        The verdicts of all papers.
    """
    planned, shown = list(planned), list(dict.fromkeys([*SCALES, *scales]))
    ran = {paper_of(run.experiment) for run in planned}
    for name, paper in papers.items():
        if name in ran:
            refresh(root, name, paper, planned, report)
    return write_report(root, papers, shown, say)


def write_report(
    root: Path, papers: Mapping[str, Paper], scales: Sequence[str] = SCALES, say: Say = lambda line: None
) -> list[Row]:
    """Make every paper's report that is not up to date, and the index. The project's own results also bring README and its picture up to date.

    Raises:
        UserError: the registry lacks a line that a verdict was made with.
    """
    check_registry(root)
    for name, paper in papers.items():
        if _current(root, name, scales):
            continue
        say(f"{name}: judging, drawing")
        files, manifest = _made(root, name, paper, scales)
        _replace(root, name, files, manifest)
    rows, gone = verdicts(root, papers), _withdrawn(papers)
    _write(root / INDEX, index_page(papers, rows, gone, _figures(root, papers)))
    if not (root / PREVIEW).exists():
        from bench.report.preview import preview  # brings matplotlib

        write_atomic(root / PREVIEW, lambda file: file.write(preview()))
    if root == ROOT / "results":
        for path, text in front.files(papers, rows, gone).items():
            _write(path, text)
    return rows


def check_registry(root: Path) -> None:
    """Are all lines of the registry there with which the verdicts below `root`, and the project's own, were made?

    Raises:
        UserError: one is not.
    """
    heads = {}
    for folder in dict.fromkeys((root, ROOT / "results")):
        for path in sorted((folder / manifest_path("x")).parent.glob("*.json")):
            found = _manifest(folder, path.stem).get("registry")
            if isinstance(found, str):
                heads[str(path.relative_to(folder.parent))] = found
    registration.check_whole(heads, registration.registrations())


def _withdrawn(papers: Mapping[str, Paper]) -> dict[str, int]:
    entries = registration.registrations()
    return {name: len(registration.withdrawn(name, paper, entries)) for name, paper in papers.items()}


def _figures(root: Path, papers: Mapping[str, Paper]) -> dict[str, str]:
    """The first figure of each paper that was drawn."""
    found = {}
    for name, paper in papers.items():
        drawn = _manifest(root, name).get("drawn", {})
        order = [f"figures/{name}/{figure}" for figure, _ in paper.drawn()]
        paths = (
            path for stem in order for path in sorted(drawn) if re.fullmatch(rf"{re.escape(stem)}(-\w+)?\.svg", path)
        )
        if first := next(paths, None):
            found[name] = first
    return found


def outdated(root: Path, papers: Mapping[str, Paper], scales: Sequence[str] = SCALES) -> list[str]:
    """Files of the report that are not what archives and papers give (README.md and its picture among them for the project's own results)."""
    different = []
    for name, paper in papers.items():
        if not _current(root, name, scales):
            files, _ = _made(root, name, paper, scales)
            old = _manifest(root, name).get("files", {})
            wrong = [n for n, text in files.items() if not _holds(root / n, text)]
            different += sorted(wrong) + sorted(n for n in set(old) - set(files) if (root / n).exists())
    if different:
        return different
    rows, gone = verdicts(root, papers), _withdrawn(papers)
    index = index_page(papers, rows, gone, _figures(root, papers))
    different += [] if _holds(root / INDEX, index) else [INDEX]
    different += [] if (root / PREVIEW).exists() else [PREVIEW]
    if root == ROOT / "results":
        made = front.files(papers, rows, gone)
        different += [path.relative_to(ROOT).as_posix() for path, text in made.items() if not _holds(path, text)]
    return different


def verdicts(root: Path, papers: Iterable[str]) -> list[Row]:
    """The rows of the papers' verdict tables as they stand on disk."""
    found: list[Row] = []
    for name in papers:
        path = root / verdict_path(name)
        if path.exists():
            found += csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    return found


# ---- one paper


def _made(root: Path, name: str, paper: Paper, scales: Sequence[str]) -> tuple[dict[str, str], dict[str, Any]]:
    """The files of a paper's report and its manifest."""
    from bench.report.noticed import read
    from bench.report.paper import build  # brings pandas, scipy and matplotlib

    before, drawing = _manifest(root, name), _drawing()
    earlier = {}
    if before.get("drawing") == drawing:
        for path, digest in before.get("drawn", {}).items():
            if _digest_of(root / path) == before["files"].get(path):
                earlier[path] = digest, (root / path).read_text(encoding="utf-8")
    entries = registration.registrations()
    built = build(
        name, paper, read_archive(archive_path(root, name)), scales, earlier, entries, read(root, name, paper)
    )
    manifest = {"from": _made_from(root, name, scales), "drawing": drawing, "registry": registration.head(entries)}
    return built.files, manifest | {"files": _digests(built.files), "drawn": built.drawn}


def _made_from(root: Path, name: str, scales: Sequence[str]) -> str:
    """A digest of all that a paper's report is made from."""
    records = hashlib.sha256(decompressed(archive_path(root, name)) or b"").hexdigest()
    file, seen = CONF / "paper" / f"{name}.yaml", root / selftest_path(name)
    texts = [path.read_text(encoding="utf-8") if path.exists() else "" for path in (file, seen)]
    registered = [entry.digest for entry in registration.registrations() if paper_of(entry.experiment) == name]
    parts = [records, *texts, " ".join(registered), " ".join(scales), _code(name)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _code(name: str) -> str:
    """The code that judges and draws, what it says of metrics, the paper's experiments, and the libraries."""
    own = memo.digest_of_files(
        "bench/judge",
        "bench/report",
        "bench/run/notes.py",
        "bench/run/options.py",
        "bench/run/registry.py",
        "conf/glossary.yaml",
        "conf/method",
        "CITATION.cff",
        f"conf/experiment/{name}",
    )
    notes = memo.digest_of_files(*sorted(str(p.relative_to(ROOT)) for p in (ROOT / "bench/tasks").glob("*/note.py")))
    return f"{own} {notes} {_libraries()}"


def _drawing() -> str:
    """What figures are drawn with: the files of this folder that drawing imports, and those that labels, differences and bands come from."""
    reached = files_of(["bench.report.drawing"])
    own = [f"bench/report/{path.name}" for path in reached if path.parts[-3:-1] == ("bench", "report")]
    own += [f"bench/judge/{name}.py" for name in ("checks", "groups", "statistics")]
    return hashlib.sha256(f"{memo.digest_of_files(*own)} {_libraries()}".encode()).hexdigest()


def _libraries() -> str:
    return " ".join([platform.python_version_tuple()[1], *(f"{name} {version(name)}" for name in LIBRARIES)])


def _current(root: Path, name: str, scales: Sequence[str]) -> bool:
    """Was the paper's report made from what is there now, and is it still as it was made?"""
    manifest = _manifest(root, name)
    if manifest.get("from") != _made_from(root, name, scales):
        return False
    return all(_digest_of(root / path) == digest for path, digest in manifest["files"].items())


# ---- files


def _manifest(root: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads((root / manifest_path(name)).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    whole = isinstance(content, dict) and all(_texts(content.get(name)) for name in ("files", "drawn"))
    return content if whole else {}


def _texts(content: Any) -> bool:
    return isinstance(content, dict) and all(isinstance(text, str) for text in content.values())


def _replace(root: Path, name: str, files: Mapping[str, str], manifest: dict[str, Any]) -> None:
    """Write the files that changed, remove those that an earlier report wrote and this one does not, then write the manifest.

    Raises:
        UserError: a file would lie outside of the paper's own folders.
    """
    outside = [path for path in files if not _own(name, path)]
    if outside:
        raise UserError(f"conf/paper/{name}.yaml: its report would write {outside[0]!r}; rename the figure or table")
    for path in sorted(set(_manifest(root, name).get("files", {})) - set(files)):
        if _own(name, path):
            (root / path).unlink(missing_ok=True)
    for path, text in files.items():
        _write(root / path, text)
    _write(root / manifest_path(name), json.dumps(manifest, indent=0, sort_keys=True) + "\n")


def _own(name: str, path: str) -> bool:
    """Is this a path of the paper's own report?"""
    if path in (verdict_path(name), page_path(name)):
        return True
    folders = (f"tables/{name}/", f"figures/{name}/")
    return path.startswith(folders) and ".." not in path.split("/")


def _digests(files: Mapping[str, str]) -> dict[str, str]:
    return {path: hashlib.sha256(text.encode()).hexdigest() for path, text in sorted(files.items())}


def _digest_of(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None


def _holds(path: Path, text: str) -> bool:
    """Is this the file's content?"""
    try:
        return path.read_bytes() == text.encode()
    except OSError:
        return False


def _write(path: Path, text: str) -> None:
    """Leave a file alone that is as it should be."""
    if not _holds(path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, lambda file: file.write(text.encode()))
