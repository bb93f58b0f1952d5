"""Where the files of the report lie below results_root, a paper's apart from another's: branches that ran different papers merge."""

from __future__ import annotations

INDEX = "index.html"
PREVIEW = "preview.png"  # what a link to a page is shown with


def verdict_path(paper: str) -> str:
    """The table of a paper's verdicts."""
    return f"verdicts/{paper}.csv"


def page_path(paper: str) -> str:
    """The page of a paper."""
    return f"papers/{paper}.html"


def selftest_path(paper: str) -> str:
    """What each planted mistake and each baseline in a method's place did to the claims; scripts/selftest.py writes it."""
    return f"selftest/{paper}.csv"


def manifest_path(paper: str) -> str:
    """What the report on a paper was made from and which files it wrote."""
    return f"manifests/{paper}.json"
