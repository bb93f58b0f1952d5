"""The line for a value that a model refuses: key, value, what is allowed, nearest spelling, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from bench.errors import UserError, allowed_list, nearest

WORDS = {
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a string",
    "string_too_short": "a string that is not empty",
    "string_pattern_mismatch": "a name",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping {key: value}",
    "none_required": "null",
    "greater_than": "greater than {gt}",
    "greater_than_equal": "greater than or equal to {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "less than or equal to {le}",
    "literal_error": "{expected}",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
}
LONGEST = 120  # characters of a value in an error line


def line(prefix: str, error: ValidationError, values: Mapping[str, Any], allowed: Mapping[str, Any]) -> str:
    """One line for one fault: an unknown key before others, then the innermost place with all that would fit there.

    Args:
        values: what was validated; it tells keys and indices from names of a union's branches.
    """
    faults = [(_place(entry, values), entry) for entry in error.errors(include_url=False)]
    where, first = min(faults, key=lambda fault: (fault[1]["type"] != "extra_forbidden", -len(fault[0])))
    at = ".".join(str(part) for part in (prefix, *where) if part != "")
    leaf = str(where[-1]) if where else prefix
    if first["type"] == "extra_forbidden":
        names = [name for name in allowed if name != leaf]
        hint = f"allowed: {allowed_list(names, leaf)}{nearest(leaf, names)}" if names else "it has no keys"
        return f"{at} = {short(first['input'])}: unknown key; {hint}"
    if first["type"] == "missing":
        return f"{at}: missing value; set it on the command line ({at}=...) or in its file"
    here = [entry for place, entry in faults if place == where]
    if first["type"] == "value_error":
        return f"{at} = {short(first['input'])}: {first['msg'].removeprefix('Value error, ')}"
    wanted = list(dict.fromkeys(_word(entry) for entry in here))
    return f"{at} = {short(first['input'])}: must be {' or '.join(wanted)}{_hint(at, first['input'], wanted)}"


def short(value: Any) -> str:
    """A value as an error line shows it."""
    text = "null" if value is None else repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _place(entry: Any, values: Mapping[str, Any]) -> tuple[Any, ...]:
    """The keys and indices of a fault's location."""
    place: list[Any] = []
    node: Any = values
    for part in entry["loc"]:
        inside = part in node if isinstance(node, Mapping) else isinstance(node, list) and part in range(len(node))
        if inside:
            place.append(part)
            node = node[part]
    if entry["type"] == "missing":
        place.append(entry["loc"][-1])
    return tuple(place)


def _word(entry: Any) -> str:
    facts = {name: f"{fact:g}" if isinstance(fact, float) else fact for name, fact in entry.get("ctx", {}).items()}
    try:
        return WORDS[entry["type"]].format(**facts)
    except (
        KeyError
    ):  # a type without words of ours, or a fault of a union's member, which may lack what its own kind has
        return entry["msg"].removeprefix("Input should be ")


def _hint(at: str, value: Any, wanted: list[str]) -> str:
    if isinstance(value, str):
        return nearest(value, [word.strip("' ") for one in wanted for word in one.replace(" or ", ",").split(",")])
    if isinstance(value, list) and not any("list" in word for word in wanted):
        return "; to sweep over several values add -m and write them without brackets"
    if isinstance(value, int | float) and wanted == ["a list"]:
        return f"; write {at}=[{value}]"
    return ""


def check_plain(group: str, value: Any) -> None:
    """Refuse what JSON cannot hold: NaN, infinities, bytes, keys that are no strings.

    Raises:
        UserError: naming the key.
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise UserError(f"{group}.{key}: a key that is no name")
            check_plain(f"{group}.{key}", inner)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            check_plain(f"{group}.{number}", inner)
    elif isinstance(value, float) and value - value != 0:
        raise UserError(f"{group} = {value}: must be a finite number")
    elif not isinstance(value, str | int | float | bool | None):
        raise UserError(f"{group} = {short(value)}: a value that no config holds ({type(value).__name__})")
