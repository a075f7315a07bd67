"""Where MLflow keeps runs: a server or database that is asked first, or the home's SQLite file.

MLflow makes and migrates a SQLite file in place, without a lock, and a process that dies meanwhile leaves one that never
opens again. So files are made and migrated under a lock beside their place, and take it by a rename; one that is broken is set
aside, since the record has all that it had.
"""

from __future__ import annotations

import atexit
import base64
import importlib
import json
import os
import re
import secrets
import shutil
import sqlite3
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from study.home import owned
from study.sanitize import redact
from trainables.atomic_file import PART, locked, set_aside
from trainables.errors import BadInput

LOOK_S = 5.0  # timeout of requests and locks
EXPERIMENTS = "/api/2.0/mlflow/experiments/search"
DATABASES = ("postgresql", "mysql", "mssql")
UNCHECKED = ("databricks", "databricks-uc")  # these ask for credentials in ways of their own
FORMS = "give http://HOST:PORT of a server, or sqlite:////FOLDER/FILE.db"


class BrokenStore(BadInput):
    """A SQLite file that is no MLflow store any more, or not yet."""


class NoAnswer(BadInput):
    """A server that does not answer now."""


def default_uri(home: Path) -> str:
    """Return the URI of the SQLite store inside the home.

    It is absolute, since workers and servers have other working directories, and has only characters that stand for
    themselves: MLflow reads `?`, `#` and `%` in a path in several ways.
    """
    return f"sqlite:///{_plain(home) / 'mlflow.db'}"


@lru_cache
def _plain(home: Path) -> Path:
    """Return a path of the folder in plain characters: a link for this process's life, where its own has others."""
    if re.fullmatch(r"[\w./+=,@ -]+", str(home), re.ASCII):
        return home
    folder = tempfile.mkdtemp(prefix="stepstone-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    link = Path(folder, "home")
    link.symlink_to(home)
    return link


# ---- a store that was asked for ----


def check_uri(uri: str) -> str:
    """Check that MLflow can write to a URI, and return it with an absolute path.

    Raises:
        BadInput: it has another form, or nothing that MLflow can use is there.
    """
    shown = redact(uri)
    try:
        scheme = urlsplit(uri).scheme
    except ValueError as error:
        raise BadInput(f"--mlflow-uri {shown!r} is not a URI ({error}): {FORMS}") from error
    if scheme in ("http", "https"):
        _check_server(uri)
    elif scheme == "sqlite":
        return _check_sqlite(uri)
    elif scheme.partition("+")[0] in DATABASES:
        _check_database(uri)
    elif scheme not in UNCHECKED:
        if re.fullmatch(r"[\w.-]+:\d+(/.*)?", uri):
            raise BadInput(f"--mlflow-uri {shown!r} has no scheme, did you mean 'http://{shown}'?")
        raise BadInput(f"--mlflow-uri {shown!r} is not a server or database (folders are not supported): {FORMS}")
    return uri


def _check_server(uri: str) -> None:
    """Ask a server for its experiments, with the credentials that MLflow would use."""
    parts, shown = urlsplit(uri), redact(uri)
    host = parts.netloc.rpartition("@")[2]
    url = urlunsplit((parts.scheme, host, parts.path.rstrip("/") + EXPERIMENTS, "max_results=1", ""))
    start = (
        f"start it (mlflow server --port {parts.port or 5000}), or omit --mlflow-uri and call study.sync with it later"
    )
    try:
        request = urllib.request.Request(url, headers=_authorization(parts.username, parts.password))
        with urllib.request.urlopen(request, timeout=LOOK_S) as answer:
            found = json.loads(answer.read())
    except urllib.error.HTTPError as error:
        login = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        cure = login if error.code in (401, 403) else "check its address and path"
        raise BadInput(f"--mlflow-uri {shown!r} answers {error.code} {error.reason}: {cure}") from error
    except (OSError, HTTPException) as error:
        raise NoAnswer(
            f"--mlflow-uri {shown!r} does not answer ({getattr(error, 'reason', error)}): {start}"
        ) from error
    except ValueError:
        found = None
    if not isinstance(found, dict) or not found.keys() <= {"experiments", "next_page_token"}:
        raise BadInput(
            f"--mlflow-uri {shown!r} answers, but not as an MLflow server: it may be a login page or another service"
        )


def _authorization(user: str | None, password: str | None) -> dict[str, str]:
    found = os.environ.get
    user, password = user or found("MLFLOW_TRACKING_USERNAME"), password or found("MLFLOW_TRACKING_PASSWORD")
    if user:
        pair = f"{unquote(user)}:{unquote(password or '')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    token = found("MLFLOW_TRACKING_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _check_database(uri: str) -> None:
    import sqlalchemy

    try:
        with sqlalchemy.create_engine(uri).connect():
            pass
    except Exception as error:  # of any driver, or none is installed
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"--mlflow-uri {redact(uri)!r} cannot be opened: {redact(reason)}") from error


def _check_sqlite(uri: str) -> str:
    name = uri.removeprefix("sqlite:///")
    if name in (uri, "") or re.search("[?#%]", name):
        raise BadInput(f"--mlflow-uri {uri!r} must be sqlite:/// and a path without '?', '#' and '%'")
    path = Path(os.path.abspath(name))
    if not path.parent.is_dir():
        raise BadInput(f"--mlflow-uri {uri!r}: there is no folder {str(path.parent)!r}")
    for existing in (path.parent, path):
        if existing.exists() and not os.access(existing, os.W_OK):
            raise BadInput(f"--mlflow-uri {uri!r}: {owned(existing)} is not writable")
    try:
        if path.exists():
            fault(path)
    except BrokenStore as error:
        raise BadInput(f"--mlflow-uri {uri!r}: {error}; move it away, or give another file") from error
    return f"sqlite:///{path}"


# ---- a SQLite file ----


def fault(path: Path) -> str:
    """Read the schema of a SQLite store, and return "" or why MLflow must migrate it.

    Raises:
        BrokenStore: it is damaged, half made or half migrated.
        BadInput: it is locked, not readable or of a newer MLflow.
    """
    mode = "rw" if os.access(path, os.W_OK) else "ro"  # the first also rolls back what a killed process was writing
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, timeout=LOOK_S)) as store:
            (said,) = store.execute("pragma quick_check(1)").fetchone()
            if said != "ok":
                raise BrokenStore(f"{path} is damaged: {' '.join(said.split())}")
            found = {name for (name,) in store.execute("select name from sqlite_master where type = 'table'")}
            versions = store.execute("select version_num from alembic_version").fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            raise BrokenStore(f"{path} was only half made ({error})") from error
        cure = "close the program that holds it" if "locked" in str(error) else f"look at {owned(path)}"
        raise BadInput(f"{path} cannot be opened ({error}): {cure}") from error
    except sqlite3.DatabaseError as error:
        raise BrokenStore(f"{path} is damaged ({error})") from error
    head, known, tables = _schema()
    version = versions[0][0] if len(versions) == 1 else ""
    if version == head and tables <= found:
        return ""
    if not version or version == head or any(name.startswith("_alembic_tmp_") for name in found):
        raise BrokenStore(f"{path} was only half migrated")
    if version not in known:
        raise BadInput(f"{path} was made by a newer MLflow (schema {version}): install that, or move the file away")
    return f"{path} has schema {version} of an older MLflow"


@lru_cache
def _schema() -> tuple[str, set[str], set[str]]:
    """Return the newest revision of the installed MLflow, all revisions, and the tables."""
    from alembic.script import ScriptDirectory

    utils = _untyped("mlflow.store.db.utils")
    script = ScriptDirectory.from_config(utils._get_alembic_config(db_url=""))
    return (
        utils._get_latest_schema_revision(),
        {r.revision for r in script.walk_revisions()},
        set(utils.Base.metadata.tables),
    )


def _untyped(name: str) -> Any:
    """Import a module of MLflow that has no types; its first import takes a second."""
    return importlib.import_module(name)


def prepare(uri: str, home: Path, study: str, say: Callable[[str], None]) -> None:
    """Make a SQLite store ready for MLflow; do nothing for other URIs.

    It is made if absent and migrated if old. Only the home's own is set aside if broken.

    Raises:
        BadInput: it cannot be used, as `fault` says.
    """
    if not uri.startswith("sqlite:///"):
        return
    path = Path(uri.removeprefix("sqlite:///"))
    own = path.resolve() == (home / "mlflow.db").resolve()
    with locked(path.with_name("mlflow.lock")):
        try:
            ready = path.exists() and not fault(path)
            if not ready:
                _make(path, path if path.exists() else None)
        except (BrokenStore, _NotMigrated) as error:
            if not own:
                raise
            aside = set_aside(path)
            _make(path, None)
            say(f"{error}: it is now {aside.name}, and a new one is filled from the record; sync other studies too")
        _place_artifacts(path, home, None if own else study)


class _NotMigrated(BadInput):
    """A store of an older MLflow that the installed one cannot migrate."""


def _make(path: Path, old: Path | None) -> None:
    """Make a store, or migrate a copy of an old one, and put it in its place by a rename."""
    utils, sql_store = (
        _untyped("mlflow.store.db.utils"),
        _untyped("mlflow.store.tracking.sqlalchemy_store").SqlAlchemyStore,
    )
    part = _plain(path.parent) / f"{path.name}.{secrets.token_hex(4)}{PART}"
    uri = f"sqlite:///{part}"
    try:
        if old:
            with closing(sqlite3.connect(old)) as source, closing(sqlite3.connect(part)) as to:
                source.backup(to)
            engine = utils.create_sqlalchemy_engine(uri)
            try:
                utils._upgrade_db(engine)
            except Exception as error:  # alembic's, SQLAlchemy's or MLflow's
                raise _NotMigrated(f"{old} of an older MLflow cannot be migrated ({type(error).__name__})") from error
            finally:
                engine.dispose()
        # Without a root MLflow would write the working directory into the file, whatever its characters.
        sql_store(uri, "mlflow-artifacts:/").engine.dispose()
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    engines = sql_store._engine_map
    for known in (f"sqlite:///{path}", f"sqlite:///{_plain(path.parent) / path.name}"):
        if known in engines:  # its connections lead to a file that has no name any more
            engines[known].dispose()


def _place_artifacts(path: Path, home: Path, only: str | None) -> None:
    """Let experiments point to the folder where the home is now, after it was moved or copied.

    So does `Default`, which MLflow makes by itself with a folder of its own.

    Args:
        only: the one experiment to look at, in a store that is not the home's.
    """
    with closing(sqlite3.connect(path, timeout=LOOK_S)) as store, store:
        experiments = store.execute("select experiment_id, name, artifact_location from experiments").fetchall()
        for number, name, location in experiments:
            right = (home / "mlartifacts" / name).as_uri()
            ours = number == 0 or unquote(location or "").endswith(f"/mlartifacts/{name}")
            if location == right or not ours or only not in (None, name):
                continue
            store.execute("update experiments set artifact_location = ? where experiment_id = ?", (right, number))
            store.execute(
                "update runs set artifact_uri = ? || substr(artifact_uri, ?) where substr(artifact_uri, 1, ?) = ?",
                (right, len(location) + 1, len(location), location),
            )
