"""Continue a study with the spec it was launched with; finished stages are reused."""

from __future__ import annotations

from collections.abc import Sequence

from study.cli_parser import Parser, add_running, run_verb, running_of
from study.execution.graceful_shutdown import STOP
from study.launch import run_and_print


def main(argv: Sequence[str]) -> int:
    """Run the verb; return the exit status."""
    STOP.listen()
    parser = Parser("resume", __doc__)
    parser.add_argument("name", help="the study")
    parser.add_argument("--encoder", metavar="FOLDER", help="where the encoder's folder is now, if it was moved")
    parser.add_argument("--source", help="the source, if a mirror's folder was moved")
    add_running(parser)
    options = parser.parse_args(argv)
    running = running_of(options)

    from study.api import Study

    study = Study.open(options.name, home=options.home, encoder=options.encoder, source=options.source)
    return run_and_print(study, running)


if __name__ == "__main__":
    run_verb(main)
