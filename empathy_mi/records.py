"""Records in JSON Lines: reading a file, a line and its fields, with errors that say what to do."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from empathy_mi.errors import InputError


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        InputError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}): give the path of a JSON Lines file."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 ({error.reason}): save it as UTF-8.") from error


def parse_object(line: str) -> dict[str, Any]:
    """One line of JSON Lines.

    Raises:
        InputError: it is no JSON object, or a field occurs twice.
    """
    try:
        row = json.loads(line, object_pairs_hook=_unique_keys)
    except json.JSONDecodeError as error:
        raise InputError(
            f"not valid JSON ({error.msg} at column {error.colno}): write one object per line."
        ) from error
    if not isinstance(row, dict):
        raise InputError(f"a {type(row).__name__} where an object is expected.")
    return row


def _unique_keys(items: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(items)
    if len(row) < len(items):
        names = [name for name, _ in items]
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"field {twice!r} occurs twice: give it once.")
    return row


def check_text(name: str, value: Any) -> None:
    """Refuse a field that is no text with something in it.

    Raises:
        InputError: it is none.
    """
    if not isinstance(value, str):
        raise InputError(f"{name} is {value!r}: give a text.")
    if not value.strip():
        raise InputError(f"{name} is empty: give a text.")
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise InputError(f"{name} holds half of a surrogate pair: give whole Unicode characters.")


def as_tags(tags: Any) -> tuple[str, ...]:
    """Tags as a tuple of words.

    Raises:
        InputError: they are no list of words.
    """
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise InputError(f"tags is {tags!r}: give a list of words.")
    tags = tuple(tags)
    for tag in tags:
        check_text("a tag", tag)
    return tags
