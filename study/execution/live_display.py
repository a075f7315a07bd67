"""Display of running trials.

It is a live table in a terminal, and a line per minute elsewhere.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from study.record.heartbeat import State
from study.sanitize import escape_control_characters

LINE_EVERY_S = 60.0
REFRESH_PER_S = 2


class View(NamedTuple):
    """Content of the display.

    It is a summary line, and the name of each running trial with its state or a word for it.
    """

    summary: str
    trials: Sequence[tuple[str, State | str]]


class LastingStream:
    """Text stream whose reader may go, as a closed terminal or `| head` do.

    What cannot be written is dropped: a study does not end for the lack of a reader.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text, or drop it."""
        return self._unless_lost(lambda: self._stream.write(text)) or len(text)

    def flush(self) -> None:
        """Write what is buffered, or drop it."""
        self._unless_lost(self._stream.flush)

    def _unless_lost(self, write: Callable[[], int | None]) -> int | None:
        try:
            return write()
        except OSError as error:  # a full disk may have room again, but a reader does not come back
            if error.errno in (errno.EPIPE, errno.EIO):
                with suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
                    os.dup2(
                        nowhere.fileno(), self._stream.fileno()
                    )  # for the interpreter too, which flushes in the end
            return None


def table(trials: Sequence[tuple[str, State | str]]) -> Table:
    """Format running trials as a table, one line per trial.

    "-" marks values that are not known yet.
    """
    made = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for header in ("running", "stage"):
        made.add_column(header, overflow="ellipsis")
    for header in ("step", "tokens/s", "ETA"):
        made.add_column(header, justify="right", no_wrap=True)
    for name, state in trials:
        made.add_row(_short(name), *(_short(cell) for cell in _cells(state)))
    return made


def line(view: View) -> str:
    """Format a view as one line."""
    parts = []
    for name, state in view.trials:
        stage, step, *_ = _cells(state)
        parts.append(f"{name}: {stage}" + ("" if step == "-" else f", step {step}"))
    return "; ".join([view.summary, *parts])


def clock(seconds: float | None) -> str:
    """Format seconds as 0:41 or 1:02:03; "-" for None."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@contextmanager
def live_display(
    console: Console, view: Callable[[], View], *, plain: bool = False, every_s: float = LINE_EVERY_S
) -> Iterator[None]:
    """Display the current view while the block runs.

    A terminal shows a table below the lines that are printed meanwhile, and removes it when the block ends. A file or a pipe,
    and a terminal with `plain`, receives a line every `every_s` seconds.
    """
    # `isatty`, since rich treats a file as a terminal if FORCE_COLOR is set.
    if console.is_interactive and console.file.isatty() and not plain:
        own = sys.stderr.isatty()  # then other output appears above the table; redirected output stays in its file
        with Live(
            console=console,
            get_renderable=lambda: _render(view()),
            refresh_per_second=REFRESH_PER_S,
            transient=True,
            redirect_stdout=own,
            redirect_stderr=own,
        ):
            yield
        return
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(every_s):
            console.print(line(view()), soft_wrap=True, markup=False)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _render(view: View) -> Group:
    summary = _short(view.summary)
    return Group("", table(view.trials), "", summary) if view.trials else Group("", summary)


def _cells(state: State | str) -> tuple[str, str, str, str]:
    if isinstance(state, str):
        return state, "-", "-", "-"
    seed = f", seed {state.seed}" if state.seed else ""
    return (
        f"{state.stage}/{state.stages} {state.label}{seed}",
        f"{state.step}/{state.steps}" if state.steps else "-",
        f"{state.tokens_per_s:,.0f}" if state.tokens_per_s else "-",
        clock(state.left_s),
    )


def _short(text: str) -> Text:
    """Make one line of literal text, cut to the available width."""
    return Text(escape_control_characters(text.replace("\n", " ")), no_wrap=True, overflow="ellipsis")
