"""The one exception that users see as a line instead of a traceback."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

MOST = 12  # names in an error line
LISTS = "python run.py --help"  # the command that lists the rest


class UserError(Exception):
    """Bad input: printed as one line on stderr, exit code 2. The message says what was wrong and what to type instead."""


def nearest(word: object, allowed: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest allowed spelling, or nothing."""
    close = get_close_matches(str(word), list(allowed), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


def allowed_list(names: Iterable[str], word: object = None, lists: str = LISTS) -> str:
    """The allowed spellings, sorted, for an error line; of more than twelve those nearest to `word`, nearest first, and what lists them all."""
    known = sorted(names)
    if len(known) <= MOST:
        return ", ".join(known)
    if word is not None:
        known.sort(key=lambda name: -SequenceMatcher(None, str(word), name).ratio())
    return f"{', '.join(known[:MOST])}, ... ({len(known)} in all; `{lists}` lists them)"


def in_one_line(text: object) -> str:
    """A message without line breaks."""
    return " ".join(str(text).split())
