"""What a YAML file of conf/ must be before anything reads it: a small mapping of plain values; one line names file, row and mistake."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from bench.errors import UserError
from bench.run.crash import shown

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where libyaml is there
BYTES, VALUES, DEPTH = 1_000_000, 100_000, 50  # the most that a file of settings holds, with its aliases written out
PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq")}


@dataclass
class _Open:
    """A mapping or list whose end has not been read: the keys so far, whether a key comes next, values inside, its anchor."""

    mapping: bool
    anchor: str | None
    keys: set[str] = field(default_factory=set)
    key_next: bool = True
    values: int = 1


def check_yaml(path: Path) -> str:
    """The text of a YAML file that holds a mapping.

    Raises:
        UserError: what is wrong, with file and row.
    """
    name = shown(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{name}: {error.strerror}") from None
    if len(content) > BYTES:
        raise UserError(f"{name}: {len(content)} bytes; a file of settings has at most {BYTES}")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{name}:{row}: byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None
    try:
        _check(name, yaml.parse(text, LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UserError(f"{name}:{mark.line + 1 if mark else 1}: no YAML: {_problem(error)}") from None
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise UserError(f"{name}: no YAML: {' '.join(str(error).split())}") from None
    return text


def _problem(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or error.context or "syntax"
    tab = "found character that cannot start any token" in problem
    return f"{problem}; indent with spaces, not tabs, and quote values that begin with % @ `" if tab else problem


def _check(name: str, events: Iterator[yaml.Event]) -> None:
    """The rules that concern more than one event; nothing is built, so that no file costs more than its length."""
    stack: list[_Open] = []
    anchors: dict[str, int] = {}
    documents = 0
    for event in events:
        at = f"{name}:{event.start_mark.line + 1}"
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise UserError(f"{at}: a second document; a file of settings holds one mapping")
        elif isinstance(event, yaml.NodeEvent):
            if not stack:
                _check_top(at, name, event)
            _enter(at, event, stack, anchors)
        elif isinstance(event, yaml.CollectionEndEvent):
            ended = stack.pop()
            _add(at, ended.values, ended.anchor, stack, anchors)
    if not documents:
        raise UserError(f"{name}: the file is empty; a mapping of keys to values was expected")


def _check_top(at: str, name: str, event: yaml.NodeEvent) -> None:
    if isinstance(event, yaml.ScalarEvent) and not event.value:
        raise UserError(f"{name}: the file is empty; a mapping of keys to values was expected")
    if not isinstance(event, yaml.MappingStartEvent):
        kind = "a list" if isinstance(event, yaml.SequenceStartEvent) else "a single value"
        raise UserError(f"{at}: {kind} at top level; a mapping of keys to values (key: value) was expected")


def _enter(at: str, event: yaml.NodeEvent, stack: list[_Open], anchors: dict[str, int]) -> None:
    """One value, key or begin of a collection."""
    above = stack[-1] if stack else None
    is_key = above is not None and above.mapping and above.key_next
    if is_key:
        if not isinstance(event, yaml.ScalarEvent) or not event.value:
            raise UserError(f"{at}: a key that is no name")
        if event.value in above.keys:
            raise UserError(f"{at}: the key '{event.value}' is repeated")
        above.keys.add(event.value)
    if above is not None:
        above.key_next = not above.key_next
    if isinstance(event, yaml.AliasEvent):
        if event.anchor not in anchors:
            raise UserError(f"{at}: *{event.anchor} stands inside what it names, or before it")
        _add(at, anchors[event.anchor], None, stack, anchors)
        return
    tag = getattr(event, "tag", None)
    if tag not in (None, "!", *PLAIN):
        raise UserError(f"{at}: the tag {tag}; only plain values are read")
    if isinstance(event, yaml.CollectionStartEvent):
        stack.append(_Open(isinstance(event, yaml.MappingStartEvent), event.anchor))
        if len(stack) > DEPTH:
            raise UserError(f"{at}: nested more than {DEPTH} deep")
    else:
        if getattr(event, "value", "").isdigit() and len(event.value) > 1000:
            raise UserError(f"{at}: a number of {len(event.value)} digits")
        _add(at, 1, event.anchor, stack, anchors)


def _add(at: str, values: int, anchor: str | None, stack: list[_Open], anchors: dict[str, int]) -> None:
    if anchor:
        anchors[anchor] = values
    if stack:
        stack[-1].values += values
        if stack[-1].values > VALUES:
            raise UserError(f"{at}: more than {VALUES} values when its aliases are written out")
