"""YAML files of a person: whatever is in them is values, or one line with the file and the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.errors import UserError
from bench.run.yaml_files import load

BOMB = "a0: &a0 [1, 1]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 13))
CHAIN = "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 200))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"a:\n\tb: 1\n", ":2: found character that cannot start any token; indent with spaces, not tabs"),
        (b"a: [\n", ":2: did not find expected node content"),
        (b"a: 1\nb: {c: 1, c: 2}\n", ":2: key 'c' is repeated"),
        (b"1: a\n1.0: b\n", ":2: key '1.0' is repeated"),
        (b"a: 1\nb: \xff\n", ":2: not UTF-8 text"),
        ("a: 1\n".encode("utf-16"), ":1: not UTF-8 text"),
        (b"- 1\n", ":1: holds a list; expected keys with values"),
        (b"foo\n", ":1: holds the value 'foo'; expected keys with values"),
        (BOMB.encode(), ": more than 100000 values with its aliases"),
        (CHAIN.encode(), ":48: nested more than 50 levels deep"),
        (b"a: &a [*a]\n", ":1: nested more than 50 levels deep"),
        (b"a: " + b"[" * 300 + b"]" * 300, ":1: nested more than 50 levels deep"),
        (b"a: " + b"[" * 200_000, ":1: "),
        (b"a: " + b"9" * 5000, ":1: '99999999999999999999' is no value of its type"),
        (b"a: 2024-99-99\n", ":1: '2024-99-99' is no value of its type"),
        (b"a: !!bool x\n", ":1: 'x' is no value of its type"),
        (b"a: !!python/object/apply:os.system [ls]\n", ":1: the tag tag:yaml.org,2002:python/object/apply:os.system"),
        (b"a: 1\nb: \x07\n", ":2: character 7 is not allowed"),
        (b"a: *b\n", ":1: found undefined alias"),
        (b"a: 1\n---\nb: 2\n", ":2: expected a single document in the stream, but found another document"),
        (b"[a]: 1\n", ":1: found unhashable key"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(content, line, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        load(path)
    assert str(error.value).startswith(f"{path}{line}")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < len(str(path)) + 200


def test_a_folder_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"cannot be read: Is a directory$"):
        load(tmp_path)


def test_plain_values_aliases_and_merges_are_read(tmp_path):
    path = Path(tmp_path / "mine.yaml")
    path.write_bytes(b"\xef\xbb\xbfa: &a {b: 1, 2: x}\nc: *a\nd: {<<: *a, b: 2}\n")
    assert load(path) == {"a": {"b": 1, 2: "x"}, "c": {"b": 1, 2: "x"}, "d": {"b": 2, 2: "x"}}
    path.write_text("# nothing\n")
    assert load(path) is None
