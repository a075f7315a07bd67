"""What tests build studies from: resolved specs by the options of a launch."""

from __future__ import annotations

from study.cli_parser import spec_of
from study.launch import parser
from study.spec.study_spec import ResolvedSpec
from trainables.sources import Source


def resolved(*argv: str) -> tuple[ResolvedSpec, Source]:
    """The spec that a launch with these options resolves, and its source; raises BadInput."""
    return spec_of(parser().parse_args(argv)).resolve()
