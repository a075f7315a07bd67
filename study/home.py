"""The home: the folder of all studies and stages."""

from __future__ import annotations

import os
from pathlib import Path

from trainables.errors import BadInput, check_path


def home_folder(name: str | Path | None = None) -> Path:
    """Return the absolute home folder; create it if missing.

    Args:
        name: the folder; None = $STEPSTONE_HOME, or else ./.stepstone.

    Raises:
        BadInput: it is not a writable folder.
    """
    given = str(name or os.environ.get("STEPSTONE_HOME") or ".stepstone")
    check_path("--home", given)
    home = Path(os.path.expanduser(given)).resolve()
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"home {str(home)!r} cannot be created: {error.strerror}") from error
    if not os.access(home, os.W_OK):
        raise BadInput(f"home {str(home)!r} is not writable")
    return home
