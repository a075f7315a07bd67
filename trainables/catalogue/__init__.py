"""Every dataset as a value, by the name that users give.

The command line, recipes and reports use these names. To add a dataset, add one `Dataset`. Configs, splits and label
orders are the hub's. Languages are XTREME's codes (ISO 639-1 where it exists).
"""

from __future__ import annotations

from collections.abc import Mapping

from trainables.catalogue import dialogue, glue, intermediate, others, xtreme, xtreme_r
from trainables.catalogue.entry import Dataset, Place
from trainables.errors import BadInput, unknown
from trainables.formats import format_of, register_format

__all__ = [
    "DATASETS",
    "TITLES",
    "Dataset",
    "Place",
    "dataset",
    "register",
    "registered",
]


def _index(*groups: tuple[Dataset, ...]) -> dict[str, Dataset]:
    found: dict[str, Dataset] = {}
    for d in (d for group in groups for d in group):
        if d.name in found:
            raise ValueError(f"dataset {d.name!r} is in the catalogue twice")
        found[d.name] = d
    return found


_DATASETS = _index(*(family.DATASETS for family in (intermediate, glue, xtreme, xtreme_r, dialogue, others)))
DATASETS: Mapping[str, Dataset] = _DATASETS
_TITLES = {name: d.title for name, d in DATASETS.items()}
TITLES: Mapping[str, str] = _TITLES  # catalogue name -> short display name
_OWN: dict[str, Dataset] = {}  # registered as values in this process


def register(own: Dataset) -> str:
    """Add a dataset, and its own format if it has one, to those of this process; return its name.

    Raises:
        BadInput: the catalogue has another dataset of this name, or its kind is that of no format.
    """
    if _DATASETS.get(own.name) is own:
        return own.name
    if own.name in _DATASETS and own.name not in _OWN:
        raise BadInput(f"the catalogue has a dataset {own.name!r} already: give yours another name")
    if own.own_format:
        register_format(own.own_format)
    format_of(own.kind)
    _DATASETS[own.name] = _OWN[own.name] = own
    _TITLES[own.name] = own.title
    return own.name


def registered() -> tuple[Dataset, ...]:
    """Return the datasets added by `register`, which workers of a study need."""
    return tuple(_OWN.values())


def dataset(name: str) -> Dataset:
    """Return the dataset of a name.

    Raises:
        BadInput: there is none; the message has the nearest name.
    """
    if name not in DATASETS:
        raise unknown("dataset", name, DATASETS)
    return DATASETS[name]
