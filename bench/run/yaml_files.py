"""YAML files as plain values. What is wrong in one is said in one line with the file and the line of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from bench.errors import UserError, in_one_line
from bench.run.crash import shown

PLAIN = {
    f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq", "merge")
}
MOST_VALUES = 100_000  # after aliases: an alias bomb of a few lines stands for billions
MOST_LEVELS = 50
MOST_BYTES = 5_000_000


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # ten times as fast where libyaml is there
    """Plain values alone; a repeated key and a value that is none are errors with a place."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if node.tag not in PLAIN:
            text = f"the tag {node.tag}; only plain values are read"
            raise yaml.constructor.ConstructorError(None, None, text, node.start_mark)
        try:
            return super().construct_object(node, deep)
        except (ValueError, KeyError, AttributeError, OverflowError):  # 5,000 digits, the 31st of February, !!int x
            text = f"'{str(node.value)[:20]}' is no value of its type"
            raise yaml.constructor.ConstructorError(None, None, text, node.start_mark) from None

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key_node, _ in node.value:
                key = self.construct_object(key_node, deep=True) if key_node.tag != "tag:yaml.org,2002:merge" else None
                if isinstance(key, str | int | float) and key in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is repeated", key_node.start_mark)
                seen |= {key} if isinstance(key, str | int | float) else set()
        return super().construct_mapping(node, deep)


def load(path: Path, name: str | None = None) -> Any:
    """The keys and values of a YAML file, plain values alone; None of an empty one.

    Args:
        name: of the file in error lines; by default the path from the project's folder.

    Raises:
        UserError: the file, the line and what is wrong: not readable, not UTF-8, no YAML, a repeated key, no keys at the top, too large.
    """
    name, loader = name or shown(path), None
    try:
        text = _text(path, name)
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _bounded(node, name)
        content = loader.construct_document(node)
    except RecursionError:
        raise UserError(f"{name}: nested more than {MOST_LEVELS} levels deep") from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise UserError(f"{name}:{line}: character {error.character!r} is not allowed") from None
    except yaml.YAMLError as error:
        raise UserError(f"{name}{_said(error, text)}") from None
    finally:
        if loader is not None:
            loader.dispose()
    if not isinstance(content, dict):
        kind = "a list" if isinstance(content, list) else f"the value {str(content)[:40]!r}"
        raise UserError(f"{name}:1: holds {kind}; expected keys with values, as 'name: value'")
    return content


def _text(path: Path, name: str) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{name}: cannot be read: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise UserError(f"{name}: {len(content)} bytes; expected at most {MOST_BYTES}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"{name}:{line}: not UTF-8 text; save the file as UTF-8") from None


def _said(error: yaml.YAMLError, text: str) -> str:
    """`:3: found character that cannot start any token; indent with spaces, not tabs`"""
    marked = error if isinstance(error, yaml.MarkedYAMLError) else yaml.MarkedYAMLError()
    problem = in_one_line(marked.problem or error)
    mark = marked.problem_mark or marked.context_mark
    if mark is None:
        return f": {problem}"
    if problem.startswith("but "):
        problem = f"{marked.context}, {problem}"
    tab = text[mark.index : mark.index + 1] == "\t"
    return f":{mark.line + 1}: {problem}{'; indent with spaces, not tabs' if tab else ''}"


def _bounded(top: yaml.Node, name: str) -> None:
    """Refuse what would be too large or too deep once each alias stands for all that it names."""
    known: dict[yaml.Node, tuple[int, int]] = {}

    def extent(node: yaml.Node, level: int) -> tuple[int, int]:
        """(values, levels) of a node."""
        if node not in known and level <= MOST_LEVELS:
            parts = [] if isinstance(node, yaml.ScalarNode) else node.value
            nodes = [n for part in parts for n in (part if isinstance(part, tuple) else (part,))]
            inner = [extent(n, level + 1) for n in nodes]
            known[node] = 1 + sum(n for n, _ in inner), 1 + max((deep for _, deep in inner), default=0)
        values, levels = known.get(node, (1, 1))
        if level + levels > MOST_LEVELS:  # an alias within what it names has no end of levels
            raise UserError(f"{name}:{node.start_mark.line + 1}: nested more than {MOST_LEVELS} levels deep")
        return values, levels

    if extent(top, 0)[0] > MOST_VALUES:
        raise UserError(f"{name}: more than {MOST_VALUES} values with its aliases; write less")
