"""What may leave the program: text that cannot command a terminal, a spreadsheet or a page, and no secrets."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.text import Text

HIDDEN = "***"
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")  # colours and cursor moves of a terminal
# Control characters but line feed and tab; what reorders or hides the text beside it; halves of surrogates.
_COMMANDS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_SECRET_NAME = re.compile(r"(TOKEN|KEY|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL)S?(_|$)", re.IGNORECASE)
_PASSWORD = re.compile(r"(?<=://)[^\s/@:'\"]*:[^\s/'\"]*@|(?<=://)[^\s/@'\"]{16,}@")  # user:password@, or a bare token@
SHORTEST_SECRET = 6  # shorter values ("true", "1") stand in every text


def escape_control_characters(text: str) -> str:
    """The text without colours, and with other characters that command a terminal written as \\x1b or \\u202e."""
    return _COMMANDS.sub(lambda found: _escaped(ord(found[0])), _ANSI.sub("", text))


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def json_text(value: Any) -> str:
    """JSON that a terminal takes too."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    return _COMMANDS.sub(lambda found: json.dumps(found[0])[1:-1], text)


def redact(text: str, environment: Mapping[str, str] | None = None) -> str:
    """The text without the values of environment variables that are secrets by their name, and without passwords in URLs."""
    found = os.environ if environment is None else environment
    values = {value.strip() for name, value in found.items() if _SECRET_NAME.search(name)}
    values |= {line.strip() for value in values for line in value.splitlines()}
    long = [value for value in values if len(value) >= SHORTEST_SECRET]
    forms = {form for v in long for form in (v, quote(v, safe=""), repr(v)[1:-1], json.dumps(v)[1:-1])}
    for value in sorted(forms, key=len, reverse=True):  # the longest first: one may hold another
        text = text.replace(value, HIDDEN)
    return _PASSWORD.sub(f"{HIDDEN}@", text)


def sanitize(text: str) -> str:
    """What a failure says, as it may be recorded and shown: redacted and visible."""
    return escape_control_characters(redact(text))


def spreadsheet_cell(value: Any) -> Any:
    """A value for a CSV file: text that a spreadsheet would take for a formula gets an apostrophe before it."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


class SafeConsole(Console):
    """A console whose every text is `escape_control_characters`, those in the cells of tables too."""

    def render_str(self, text: str, **options: Any) -> Text:  # type: ignore[override]
        return super().render_str(escape_control_characters(text), **options)
