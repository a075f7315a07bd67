"""Redact secrets and escape control characters in output."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.text import Text

HIDDEN = "***"
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")  # colours and cursor moves of a terminal
# Control characters except line feed and tab; characters that reorder or hide text; halves of surrogates.
_COMMANDS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_SECRET_NAME = re.compile(r"(TOKEN|KEY|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL)S?(_|$)", re.IGNORECASE)
_PASSWORD = re.compile(r"(?<=://)[^\s/@:'\"]*:[^\s/'\"]*@|(?<=://)[^\s/@'\"]{16,}@")  # user:password@, or a bare token@
SHORTEST_SECRET = 6  # shorter values ("true", "1") occur in any text


def escape_control_characters(text: str) -> str:
    """Remove terminal colours, and escape other control characters.

    These are written as \\x1b or \\u202e.
    """
    return _COMMANDS.sub(lambda found: _escaped(ord(found[0])), _ANSI.sub("", text))


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def safe_json(value: Any) -> str:
    """Serialise a value as JSON that is safe to print to a terminal."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    return _COMMANDS.sub(lambda found: json.dumps(found[0])[1:-1], text)


def redact(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Replace secrets in a text by `HIDDEN`.

    These are passwords in URLs, and values of environment variables whose names mark them as secrets.
    """
    found = os.environ if environment is None else environment
    values = {value.strip() for name, value in found.items() if _SECRET_NAME.search(name)}
    values |= {line.strip() for value in values for line in value.splitlines()}
    long = [value for value in values if len(value) >= SHORTEST_SECRET]
    forms = {form for v in long for form in (v, quote(v, safe=""), repr(v)[1:-1], json.dumps(v)[1:-1])}
    for value in sorted(forms, key=len, reverse=True):  # the longest first: one may contain another
        text = text.replace(value, HIDDEN)
    return _PASSWORD.sub(f"{HIDDEN}@", text)


def sanitize(text: str) -> str:
    """Redact secrets and escape control characters, for errors."""
    return escape_control_characters(redact(text))


def print_error(text: str) -> None:
    """Print one safe line to standard error."""
    print(sanitize(text), file=sys.stderr)


def spreadsheet_cell(value: Any) -> Any:
    """Prefix text that a spreadsheet would read as a formula by an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


class SafeConsole(Console):
    """Rich console that escapes control characters, also in table cells."""

    def render_str(self, text: str, **options: Any) -> Text:  # type: ignore[override]
        return super().render_str(escape_control_characters(text), **options)
