"""The one exception that users see as a line instead of a traceback."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Bad input: printed as one line on stderr, exit code 2. The message says what was wrong and what to type instead."""


def nearest(word: object, allowed: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest allowed spelling, or nothing."""
    close = get_close_matches(str(word), list(allowed), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


def allowed_list(names: Iterable[str]) -> str:
    """The allowed spellings, sorted, for an error line."""
    return ", ".join(sorted(names))
