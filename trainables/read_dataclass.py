"""Reading of frozen dataclasses from TOML or JSON tables that people write."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from trainables.errors import BadInput, check_number, unknown

Value = TypeVar("Value")


def read_dataclass(kind: type[Value], values: Any, name: str, *, inside: str = "") -> Value:
    """Make a dataclass from a table, by the types of its fields.

    Fields may be text, numbers, truth values, lists of text, tables that are taken as they are, one of a few words, or
    dataclasses; each has one type, and beside it perhaps None or a few words.

    Args:
        name: of the table, in messages.
        inside: of the table that it is a key of, if any.

    Raises:
        BadInput: a key is unknown, missing or mistyped.
    """
    if not isinstance(values, Mapping):
        raise BadInput(f"{f'{inside} key {name!r}' if inside else name} must be a table, not {values!r}")
    known: Any = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]  # a dataclass
    for key in values:
        if key not in known:
            raise unknown(f"key of {name}" if inside else f"{name} key", key, known)
    for key, field in known.items():
        if key not in values and field.default is MISSING and field.default_factory is MISSING:
            raise BadInput(f"{name} has no {key!r}")
    hints = get_type_hints(kind)
    return kind(**{key: _read(hints[key], value, key, name, inside) for key, value in values.items()})


def _read(hint: Any, value: Any, key: str, name: str, inside: str) -> Any:
    number_key, text_key = (f"{name}.{key}", f"{name}.{key}") if inside else (key, f"{name} key {key!r}")
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if isinstance(value, str) and (str in parts or any(get_origin(part) is Literal for part in parts)):
        return value  # which words are allowed is for the dataclass to say
    if value is None and types.NoneType in parts or isinstance(value, bool) and bool in parts:
        return value
    for part in parts:
        if part is bool:
            raise BadInput(f"{text_key} must be true or false, not {value!r}")
        if get_origin(part) is dict:
            if not isinstance(value, Mapping):
                raise BadInput(f"{text_key} must be a table, not {value!r}")
            return value
        if part in (int, float):
            number = check_number(number_key, value)
            if part is int and number != int(number):
                raise BadInput(f"{number_key} must be a whole number, not {value!r}")
            return part(number)
        if get_origin(part) is tuple:
            if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
                raise BadInput(f"{text_key} must be a list of names, not {value!r}")
            return tuple(value)
        if is_dataclass(part) and isinstance(part, type):
            return read_dataclass(part, value, key, inside=name)
    raise BadInput(f"{text_key} must be a string, not {value!r}")
