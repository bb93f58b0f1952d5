"""The words that a reader may not know, conf/glossary.yaml and the methods' own sentences, and their marks in a page's texts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from markupsafe import Markup, escape

from bench.errors import UserError
from bench.report.pages import maths
from bench.run import yaml_files
from bench.run.options import options
from bench.run.paths import CONF

FILE = CONF / "glossary.yaml"


def load_glossary(path: Path = FILE) -> dict[str, str]:
    """What each term means, by the term; `a | b` are two words for one.

    Raises:
        UserError: an entry is no text.
    """
    content = yaml_files.load(path) or {}
    for term, text in content.items():
        if not (isinstance(term, str) and isinstance(text, str) and term.strip() and text.strip()):
            raise UserError(f"conf/{path.name}: {term!r}: expected a term and a text of what it means")
    return content


@dataclass
class Glossary:
    """The terms of one page; `used` are those that a text of it speaks of, in the order of the page."""

    terms: Mapping[str, str]
    used: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._names = {name: term for term in self.terms for name in term.split(" | ")}
        pattern = "|".join(re.escape(str(escape(n))) for n in sorted(self._names, key=len, reverse=True))
        self._pattern = re.compile(rf"(?<![\w-])({pattern})(s?)(?![\w-])|<[^>]*>") if pattern else None
        self._names |= {str(escape(name)): term for name, term in self._names.items()}

    def mark(self, text: str, seen: set[str] | None = None) -> Markup:
        """The text with each term that it speaks of for the first time as a link to its entry.

        Args:
            seen: terms that were marked before, which grows; None: of this text alone.
        """
        seen, shown = set() if seen is None else seen, maths(text)
        if self._pattern is None:
            return shown

        def one(found: re.Match[str]) -> str:
            name = found[1]
            if name is None or self._names[name] in seen:
                return found[0]
            term = self._names[name]
            seen.add(term)
            self.used[term] = self.terms[term]
            anchor = anchor_of(term)
            return f'<a class="term" href="#{anchor}" aria-describedby="{anchor}">{name}{found[2]}</a>'

        return Markup(self._pattern.sub(one, str(shown)))

    def entries(self) -> list[tuple[str, str, str]]:
        """(anchor, words, meaning) of the terms that were marked, in alphabetical order."""
        found = [(anchor_of(term), term.replace(" | ", ", "), text) for term, text in self.used.items()]
        return sorted(found, key=lambda entry: entry[1].lower())


def anchor_of(term: str) -> str:
    """The id of a term's entry."""
    return "term." + re.sub(r"[^A-Za-z0-9]+", "-", term.partition(" | ")[0].replace("*", " star")).strip("-")


def glossary(methods: Iterable[str] = ()) -> Glossary:
    """Of all terms, and of the methods named, each by the sentence that its file opens with."""
    known = options("method")
    return Glossary({name: known[name] for name in methods if known.get(name)} | _terms())


@cache
def _terms() -> dict[str, str]:
    return load_glossary()
