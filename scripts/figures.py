"""Draw figures of the report once more: `python scripts/figures.py ssvr/tracking [ssvr ...] [--pdf] [results_root=DIR]`.

A name is a paper's, or a paper's and a figure's; without one all are drawn. They go where the report has them, results/figures/PAPER/FIGURE.svg;
--pdf writes FIGURE.pdf beside it, which git leaves out. Drawn from results/archive alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.errors import UserError, nearest
from bench.judge.archive import archive_path, by_experiment, read_archive
from bench.judge.papers import Figure, load_papers
from bench.judge.plan import results_root
from bench.report.publish import SCALES
from bench.run.cli import one_line
from bench.run.options import options
from bench.run.parser import Parser


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="PAPER[/FIGURE]", help="which (default: all)")
    parser.add_argument("--pdf", action="store_true", help="as pdf as well")
    return parser.parse_intermixed_args()


def chosen(names: list[str]) -> dict[str, dict[str, Figure]]:
    """The figures asked for, by paper and name.

    Raises:
        UserError: there is no such paper or figure.
    """
    papers = options("paper")
    found: dict[str, dict[str, Figure]] = {}
    for name in names or papers:
        key, _, wanted = name.partition("/")
        if key not in papers:
            raise UserError(f"{name}: no paper {key}; there are: {', '.join(papers)}{nearest(key, papers)}")
        known = dict(load_papers(key)[key].drawn())
        own = {wanted: known[wanted]} if wanted in known else {}
        own = own or {n: f for n, f in known.items() if not wanted or n.startswith(f"{wanted}_")}
        if not own:
            near = nearest(wanted, known) or f"; {key} has {', '.join(known)}"
            raise UserError(f"{name}: no such figure in conf/paper/{key}.yaml{near}")
        found.setdefault(key, {}).update(own)
    return found


def drawn(root: Path, key: str, asked: dict[str, Figure]) -> Iterator[tuple[Path, Figure, list, str, list[str]]]:
    """The path without its ending, the figure, its parts, the task and the colours."""
    from bench.report import drawing
    from bench.report.paper import blocks  # brings pandas and matplotlib

    by_name = by_experiment(read_archive(archive_path(root, key)))
    colours = drawing.palette(by_name)
    for name, figure in asked.items():
        for block in blocks(figure.experiment, by_name, SCALES):
            if parts := drawing.parts(figure, block.runs):
                yield root / f"figures/{key}/{name}{block.suffix}", figure, parts, block.runs[0].task, colours


@one_line
def main() -> int:
    """The program; returns its exit code."""
    args = arguments()
    paths = [name for name in args.names if name.startswith("results_root=")]
    root = results_root(paths)
    asked = chosen([name for name in args.names if name not in paths])

    from bench.report import drawing
    from bench.report.plotting import pdf

    number = 0
    for key, own in asked.items():
        for path, *what in drawn(root, key, own):
            path.parent.mkdir(parents=True, exist_ok=True)
            written = {".svg": drawing.draw(*what).encode()}
            if args.pdf:
                written[".pdf"] = pdf(drawing.canvas_of(*what))
            for ending, content in written.items():
                path.with_name(path.name + ending).write_bytes(content)
                print(path.with_name(path.name + ending))
            number += 1
    if not number:
        raise UserError(f"{root / 'archive'}: no run that ended has what was asked for")
    return 0


if __name__ == "__main__":
    sys.exit(main())
