"""The templates of pages, and how their text is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

TEMPLATES = Path(__file__).parent / "templates"


def environment(**filters: Callable[..., Any]) -> jinja2.Environment:
    """The templates, with `filters` beside those that every page has."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    found.filters |= {"slug": slug, "maths": maths, **filters}
    for name, file in (("style", "style.css"), ("script", "page.js")):
        found.globals[name] = (TEMPLATES / file).read_text(encoding="utf-8")
    return found


def maths(text: str) -> Markup:
    """T^-1/3 and d^(k-1) with raised exponents."""
    return Markup(re.sub(r"\^(?:\(([^()<>&]+)\)|(-?[\w/.]*\w))", r"<sup>\1\2</sup>", str(escape(text))))


def slug(verdict: str) -> str:
    return verdict.replace(" ", "-")
