"""Public Python API of Stepstone.

Names are imported on first use, so that `import stepstone` is fast.

>>> import stepstone
>>> spec = stepstone.StudySpec(space="intermediate_tasks", targets=("xnli",), intermediate=("mnli",), scale=0.02)
>>> stepstone.Study.create(spec, home="/tmp/doctest-home").spec.targets
('xnli',)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search_spaces.space import Space as Space
    from study.api import Study as Study
    from study.api import StudyStatus as StudyStatus
    from study.api import load as load
    from study.execution.plan_summary import PlanSummary as PlanSummary
    from study.results.report import Report as Report
    from study.spec.study_spec import StudySpec as StudySpec
    from trainables.catalogue import Dataset as Dataset
    from trainables.errors import BadInput as BadInput
    from trainables.recipe import Recipe as Recipe
    from trainables.sources import open_source as open_source

_HOMES = {
    "BadInput": "trainables.errors",
    "Dataset": "trainables.catalogue",
    "PlanSummary": "study.execution.plan_summary",
    "Recipe": "trainables.recipe",
    "Report": "study.results.report",
    "Space": "search_spaces.space",
    "Study": "study.api",
    "StudySpec": "study.spec.study_spec",
    "StudyStatus": "study.api",
    "load": "study.api",
    "open_source": "trainables.sources",
}
__all__ = sorted([*_HOMES, "testing"])


def __getattr__(name: str) -> Any:
    if name == "testing":
        return importlib.import_module("stepstone.testing")
    if name not in _HOMES:
        raise AttributeError(f"module 'stepstone' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
