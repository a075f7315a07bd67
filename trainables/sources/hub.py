"""The Hugging Face hub: Parquet files of a pinned or resolved commit.

Files are downloaded into the hub's own cache. No loading script is ever run. A dataset is searched for at its default
branch first and then at refs/convert/parquet, where the hub keeps a Parquet copy of repositories in other formats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from trainables.catalogue import Dataset, Place
from trainables.errors import BadInput
from trainables.readers import RowLabels
from trainables.sources.files import count_rows, hash_file, join_hashes, only, paths_of, read_parquet

CONVERTED = "refs/convert/parquet"
TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Repo:
    """One commit of a dataset repository: a listing without the content."""

    id: str
    revision: str | None  # as asked for; None = the default branch
    commit: str
    files: Mapping[str, str | None]  # path -> SHA-256 of its bytes, where the hub states it
    rows: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (config, split) -> rows, from the card
    live: bool = True  # the hub itself answered; False: from the cache of this machine only


class Unreachable(Exception):
    """The hub did not answer, and nothing is cached; has the reason."""


class Missing(Exception):
    """The hub answered that a repository or revision is missing or private.

    Has the reason.
    """


Look = Callable[[str, str | None], Repo]  # (repository id, revision) -> its commit; raises Unreachable, Missing
Fetch = Callable[[Repo, str], Path]  # (commit, path in it) -> local file; raises Unreachable, Missing


class _Found(NamedTuple):
    """Where the rows of one split are.

    `files` counts those that are not read too (`Dataset.max_files`).
    """

    place: Place
    repo: Repo
    paths: list[str]
    files: int


class HubTables:
    """Tables of the Hugging Face hub.

    `look` and `fetch` are the only two functions that use the network.
    """

    spec = "hub"

    def __init__(self, look: Look | None = None, fetch: Fetch | None = None) -> None:
        self._look = look or _look_up
        self._fetch = fetch or download
        self._repos: dict[tuple[str, str | None], Repo] = {}
        self._found: dict[tuple[str, str, str], _Found] = {}

    def languages(self, d: Dataset, table: str) -> tuple[str, ...]:
        """List the languages that the catalogue declares, without a request."""
        declared = dict.fromkeys(
            language for place in d.places for language in place.configs if place.parts(language, table)
        )
        return tuple(language for language in declared if language not in d.absent.get(table, ()))

    def num_rows(self, d: Dataset, language: str, table: str) -> int:
        """Count rows by the dataset's card (no download), else by its files."""
        stated = self.stated_rows(d, language, table)
        if stated is not None:
            return stated
        if d.only:
            return int(self.table(d, language, table)[0].num_rows)
        found = self._find(d, language, table)
        return count_rows(self._files(d, found.repo, found.paths))

    def stated_rows(self, d: Dataset, language: str, table: str) -> int | None:
        """Return the number of rows in the dataset's card.

        None where it is missing, or where only some of the rows that it counts are read.
        """
        return None if d.only or d.max_files is not None else self._declared(d, language, table)

    def corpus_rows(self, d: Dataset, language: str, table: str) -> int:
        """Count by the card, else as if files that are not read were like the others."""
        stated = self._declared(d, language, table)
        if stated is not None and not d.only:
            return stated
        found = self._find(d, language, table)
        return round(self.num_rows(d, language, table) * found.files / len(found.paths))

    def _declared(self, d: Dataset, language: str, table: str) -> int | None:
        found = self._find(d, language, table)
        config = found.place.configs[language]
        declared = [found.repo.rows.get((config, part)) for part in found.place.parts(language, table)]
        return None if None in declared else sum(n for n in declared if n is not None)

    def fingerprint(self, d: Dataset, language: str, table: str) -> str:
        """Hash by the hashes that the hub states (no download), else by the files."""
        found = self._find(d, language, table)
        return join_hashes([found.repo.files[p] or hash_file(self._files(d, found.repo, [p])[0]) for p in found.paths])

    def table(self, d: Dataset, language: str, table: str) -> tuple[pa.Table, RowLabels]:
        found = self._find(d, language, table)
        rows, names = read_parquet(self._files(d, found.repo, found.paths))
        return only(d, language, rows), names

    def standin(self, d: Dataset) -> bool:
        return False

    def unread(self) -> tuple[str, ...]:
        return ()

    def comes_from(self, d: Dataset) -> str:
        return self.spec

    def origin(self, d: Dataset, language: str, table: str) -> str:
        found = self._find(d, language, table)
        more = f" and {len(found.paths) - 1} more" if len(found.paths) > 1 else ""
        return f"{found.repo.id}@{found.repo.commit[:12]}: {found.paths[0]}{more}"

    def _files(self, d: Dataset, repo: Repo, paths: list[str]) -> list[Path]:
        try:
            return [self._fetch(repo, path) for path in paths]
        except (Unreachable, Missing) as error:
            raise BadInput(
                f"hub: {d.name}: cannot get {', '.join(paths)} of {repo.id}@{repo.commit[:12]}: {error}"
            ) from None

    def _find(self, d: Dataset, language: str, table: str) -> _Found:
        """Find the first place and revision that hold every part of a split.

        The paths of its files are in order.
        """
        key = (d.name, language, table)
        if key in self._found:
            return self._found[key]
        if language not in self.languages(d, table):
            raise BadInput(f"hub has no {d.name}/{language}/{table}")
        reasons: list[str] = []
        unanswered = False
        for place, revision in _candidates(d, language, table):
            where = f"{place.hub} at {revision or 'its default branch'}"
            try:
                repo = self._repo(place.hub, revision)
            except (Unreachable, Missing) as error:
                unanswered = unanswered or isinstance(error, Unreachable)
                reasons.append(f"{where}: {error}")
                continue
            if unanswered and repo.live:
                # An earlier candidate may hold the rows: the choice must not depend on which request failed.
                break
            config, alone = place.configs[language], len(set(place.configs.values())) == 1
            parts = [paths_of(repo.files, config, part, alone=alone) for part in place.parts(language, table)]
            if all(parts):
                read = [path for part in parts for path in part[: d.max_files]]
                self._found[key] = _Found(place, repo, read, sum(map(len, parts)))
                return self._found[key]
            reasons.append(
                f"{where} ({repo.commit[:12]}): no complete Parquet files of config {config!r}, "
                f"split {'+'.join(place.parts(language, table))!r}"
            )
        raise BadInput(f"hub: cannot read {d.name}/{language}/{table} from {'; '.join(reasons)}")

    def _repo(self, id: str, revision: str | None) -> Repo:
        if (id, revision) not in self._repos:
            self._repos[id, revision] = self._look(id, revision)
        return self._repos[id, revision]


def _candidates(d: Dataset, language: str, table: str) -> Iterator[tuple[Place, str | None]]:
    for place in d.places:
        if place.parts(language, table):
            for revision in (place.revision,) if place.revision else (None, CONVERTED):
                yield place, revision


def _look_up(id: str, revision: str | None) -> Repo:
    """Request a commit's files, hashes and card from the hub.

    Falls back to the hub's cache when the hub does not answer.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        info = HfApi().dataset_info(id, revision=revision, files_metadata=True, timeout=TIMEOUT_S)
    except GatedRepoError:
        raise Missing("access is restricted: request it on the dataset's page and log in (hf auth login)") from None
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise Missing(f"not found ({type(error).__name__})") from None
    except _network_errors() as error:
        if cached := _cached(id, revision):
            return cached
        raise Unreachable(f"{_reason(error)}, and it is not in the hub's cache on this machine") from None
    files = {s.rfilename: (s.lfs.sha256 if s.lfs else None) for s in info.siblings or ()}
    return Repo(id, revision, str(info.sha), files, _card_rows(info.card_data))


def download(repo: Repo, path: str) -> Path:
    """Return a file's local path, downloading it unless it is cached."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RemoteEntryNotFoundError

    try:
        # By the branch's name first: only then does the cache record, for offline use, the commit that it refers to.
        for revision in (repo.revision or "main", repo.commit):
            file = Path(hf_hub_download(repo.id, path, repo_type="dataset", revision=revision))
            if repo.commit in file.parts:
                return file
    except RemoteEntryNotFoundError:
        raise Missing(f"{path} not found") from None
    except _network_errors() as error:
        raise Unreachable(_reason(error)) from None
    raise Missing(f"commit {repo.commit} not found")


def _cached(id: str, revision: str | None) -> Repo | None:
    """Find the commit in the hub's cache of this machine.

    Its files may be only some of the commit's.
    """
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return None
    for repo in repos:
        if (repo.repo_type, repo.repo_id) != ("dataset", id):
            continue
        for commit in repo.revisions:
            if (revision or "main") in commit.refs or revision == commit.commit_hash:
                files = {f.file_path.relative_to(commit.snapshot_path).as_posix(): None for f in commit.files}
                return Repo(id, revision, commit.commit_hash, files, live=False)
    return None


def _card_rows(card: Any) -> dict[tuple[str, str], int]:
    """Read (config, split) -> number of rows from a card's dataset_info.

    {} where it has none or a malformed one.
    """
    info = card.get("dataset_info") if card is not None else None
    found: dict[tuple[str, str], int] = {}
    for config in info if isinstance(info, list) else [info]:
        if not isinstance(config, dict):
            continue
        for split in config.get("splits") or ():
            if isinstance(split, dict) and isinstance(split.get("num_examples"), int):
                found[config.get("config_name", "default"), str(split.get("name"))] = split["num_examples"]
    return found


def _network_errors() -> tuple[type[Exception], ...]:
    """List the exceptions of a failing network, hub or disk.

    The hub's client does not wrap them.
    """
    from huggingface_hub import errors

    return (errors.HTTPError, errors.HfHubHTTPError, OSError)  # type: ignore[attr-defined]


def _reason(error: Exception) -> str:
    from huggingface_hub.errors import OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return "offline mode is on (HF_HUB_OFFLINE)"
    text = str(error).splitlines()[0] if str(error) else "no text"
    return f"the hub cannot be reached ({type(error).__name__}: {text})"
