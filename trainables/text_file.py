"""The one reader of text files: lines, cells and JSON, the same for data, predictions and labels.

UTF-8 with or without a byte-order mark; lines end in LF or CRLF, also the last one or not. Every other character belongs to
the text: a no-break space, a line separator of Unicode. Faults name file and line.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trainables.errors import BadInput, DataError

MAX_FILE_BYTES = 2 * 2**30  # of one file on disk
Refuse = Callable[[str], ValueError]  # makes an error from its text: DataError, or BadInput
_BOM = "\ufeff"
_SURROGATE = re.compile("[\ud800-\udfff]")


def check_file(path: Path, refuse: Refuse = DataError) -> None:
    """Check that a file is regular and small enough to read whole.

    Raises:
        DataError, or what `refuse` makes: it is too large, or no file (a pipe, a device).
    """
    try:
        size = path.stat().st_size if path.is_file() else -1
    except OSError as error:
        raise refuse(f"{path} cannot be read: {error.strerror}") from None
    if size < 0:
        raise refuse(f"{path} cannot be read: no such file, or a pipe or device")
    if size > MAX_FILE_BYTES:
        raise refuse(f"{path} is not read: it has {size:,} bytes (the limit is {MAX_FILE_BYTES:,})")


def read_text(path: Path, refuse: Refuse = DataError) -> str:
    """Read a text without its byte-order mark; CRLF becomes LF.

    Raises:
        DataError, or what `refuse` makes: it cannot be read, is not UTF-8, or holds a NUL or a second byte-order mark at
            the start of a line, as of files that were joined.
    """
    check_file(path, refuse)
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise refuse(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        data = error.object  # without the mark
        line = data.count(b"\n", 0, error.start) + 1
        raise refuse(f"{path}:{line}: not UTF-8 (byte 0x{data[error.start]:02x})") from None
    text = text.replace("\r\n", "\n")
    for found, what in ((text.find("\0"), "a NUL character"), (f"\n{text}".find(f"\n{_BOM}"), "a byte-order mark")):
        if found >= 0:
            raise refuse(f"{path}:{text.count(chr(10), 0, found) + 1}: holds {what}")
    return text


def read_lines(path: Path, refuse: Refuse = DataError) -> list[str]:
    """Split a text at line feeds only; the last line may end in one.

    Raises:
        DataError, or what `refuse` makes: as `read_text`.
    """
    lines = read_text(path, refuse).split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def cells_of(line: str, columns: int, where: str, refuse: Refuse = DataError) -> list[str]:
    """Split a line at tabs into exactly so many cells, none of which is blank.

    Spaces around a cell are removed.

    Raises:
        DataError, or what `refuse` makes: another number of cells, or a blank one; `where` is file and line.
    """
    cells = [cell.strip(" ") for cell in line.split("\t")]
    if len(cells) != columns:
        raise refuse(f"{where}: has {len(cells)} columns, not {columns}: {short(line)}")
    if not all(cell.strip() for cell in cells):
        raise refuse(f"{where}: column {1 + [bool(c.strip()) for c in cells].index(False)} is blank: {short(line)}")
    return cells


def words_of(text: str) -> list[str]:
    """Split at spaces (U+0020) only; several count as one."""
    return [word for word in text.split(" ") if word]


def parse_json(text: str, path: Path, refuse: Refuse = DataError, *, line: int | None = None) -> Any:
    """Parse JSON of a file, or of one of its lines.

    Args:
        line: the line of the file; None where the text is the whole file.

    Raises:
        DataError, or what `refuse` makes: it is not JSON (NaN and Infinity are none), an object has a key twice, or a text
            has half a surrogate pair.
    """
    at, first = (path if line is None else f"{path}:{line}"), line or 1

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            key = next(k for k, n in Counter(k for k, _ in pairs).items() if n > 1)
            raise refuse(f"{path}:{first + _line_of(text, key, last=True)}: key {key!r} occurs twice in one object")
        return found

    def no_number(name: str) -> Any:
        raise refuse(f"{path}:{first + _line_of(text, name, quoted=False)}: not JSON: {name} is no number")

    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=no_number)
        whole = "\\u" not in text or not _SURROGATE.search(json.dumps(value, ensure_ascii=False))
    except json.JSONDecodeError as error:
        raise refuse(f"{path}:{first + error.lineno - 1}:{error.colno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise refuse(f"{at}: not JSON: nested too deeply") from None
    except (BadInput, DataError):
        raise
    except ValueError as error:  # a number of too many digits
        raise refuse(f"{at}: not JSON: {error}") from None
    if not whole:
        half = re.search(r"\\u[dD][89a-fA-F]", text)
        number = first + (text.count("\n", 0, half.start()) if half else 0)
        raise refuse(f"{path}:{number}: a text has half a surrogate pair, which is no character")
    return value


def line_of_key(text: str, key: str, *, last: bool = False) -> int:
    """Find the line on which a key or text of a JSON file is first or last written, 1 where it is not found."""
    return 1 + _line_of(text, key, last=last)


def _line_of(text: str, value: str, *, quoted: bool = True, last: bool = False) -> int:
    """Count the line feeds before a value."""
    for form in (json.dumps(value, ensure_ascii=False), json.dumps(value)) if quoted else (value,):
        if (found := text.rfind(form) if last else text.find(form)) >= 0:
            return text.count("\n", 0, found)
    return 0


def short(line: str) -> str:
    """Quote a line, of a long one only the beginning."""
    return repr(line) if len(line) <= 80 else f"{line[:80]!r}..."
