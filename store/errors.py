"""The errors of Runstore, one small tree.

    StoreError                      the root; `hint` says what to do next
      UsageError      (ValueError)  an argument, a setting or a query cannot be meant so
      StoreNotFound   (LookupError) there is no store where one was looked for
      RunNotFound     (LookupError) no run, or more than one, answers to the name
      RunExists                     `resume="never"` and the run is there
      RunClosed                     the run object was finished
      StoreLocked     (TimeoutError) somebody else held a lock for too long
      StoreCorrupt                  a file is damaged, or is not what its name says
      SchemaTooNew                  written by a newer Runstore than this one
      WrongMode                     a store in local mode on a disk that other hosts write to
      NoCacheFolder                 a store in shared mode, and no local disk for its databases
      SequenceGap                   rows of a source do not follow on those that are here
      NotAllowed      (PermissionError) no right to do it
        NotSignedIn                 no key, or one that the server does not know (any more)
      EntityUnknown   (LookupError) the server has no such user or team
      SyncError                     rows and a remote did not come together
        RemoteUnavailable           no answer just now: trying again may help
        RemoteRefused               an answer that will stay the same: no

Every class keeps its facts as attributes and survives pickling.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


class StoreError(Exception):
    """Root of all errors that Runstore raises on purpose."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.args, dict(self.__dict__)))


def _rebuild(
    kind: type[StoreError], args: tuple[object, ...], facts: dict[str, object]
) -> StoreError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(facts)
    return error


class UsageError(StoreError, ValueError):
    """An argument, a setting or a query cannot be meant so."""


class StoreNotFound(StoreError, LookupError):
    """There is no store at `path`."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"no store at {path}",
            hint="start a run with store.init(), or name the store with --store or STORE_DIR",
        )
        self.path = path


class RunNotFound(StoreError, LookupError):
    """No run answers to `name`; `candidates` are the runs that it could have meant."""

    def __init__(self, name: str, candidates: tuple[str, ...] = ()) -> None:
        if candidates:
            message = f"{name!r} could be any of {', '.join(candidates[:5])}"
            hint = "give more letters of the id, or entity/project/id"
        else:
            message, hint = f"no run is called {name!r}", "`store ls` lists the runs"
        super().__init__(message, hint=hint)
        self.name = name
        self.candidates = candidates


class RunExists(StoreError):
    """The run was to be new (`resume="never"`) but is there already."""

    def __init__(self, run: str) -> None:
        super().__init__(
            f"the run {run} exists already",
            hint='choose another id, or resume="allow" to go on with it',
        )
        self.run = run


class RunClosed(StoreError):
    """The run object was finished; it takes no more rows."""

    def __init__(self, run: str) -> None:
        super().__init__(
            f"the run {run} was finished in this process",
            hint=f'store.init(id="{run}") goes on with it',
        )
        self.run = run


class StoreLocked(StoreError, TimeoutError):
    """`path` was held by somebody else for longer than `waited` seconds."""

    def __init__(self, path: Path, waited: float) -> None:
        super().__init__(
            f"{path} was locked by another process for {waited:.1f} s",
            hint="try again; `store status` shows who writes",
        )
        self.path = path
        self.waited = waited


class StoreCorrupt(StoreError):
    """The file at `path` is damaged or is not what its name says."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}", hint="`store check --repair` looks for what is left")
        self.path = path
        self.reason = reason


class SchemaTooNew(StoreError):
    """`path` was written by a newer Runstore than this one."""

    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(
            f"{path} has format {found}, this Runstore knows up to {known}",
            hint="upgrade with `pip install -U runstore`",
        )
        self.path = path
        self.found = found
        self.known = known


class WrongMode(StoreError):
    """The store at `path` is in local mode, but on a file system that hosts may share."""

    def __init__(self, path: Path, kind: str) -> None:
        super().__init__(
            f"{path} is a store for one host, but lies on a disk of type {kind}, which other hosts "
            "may write to: its databases are left alone",
            hint="`store config --mode shared` makes it safe there; `store check --disk` says more",
        )
        self.path = path
        self.kind = kind


class NoCacheFolder(StoreError):
    """The store at `path` is shared, and this host has no folder for its databases."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} is shared between hosts, and this one has no local disk for its databases",
            hint="name a folder on a local disk with STORE_CACHE",
        )
        self.path = path


class SequenceGap(StoreError):
    """Rows of `source` were offered from `offered` on, but `expected` must come next."""

    def __init__(self, source: str, expected: int, offered: int) -> None:
        super().__init__(f"source {source}: row {expected} must come next, not {offered}")
        self.source = source
        self.expected = expected
        self.offered = offered


class NotAllowed(StoreError, PermissionError):
    """No right to do this."""


class NotSignedIn(NotAllowed):
    """No key for the server, or one that it does not know, or not any more."""


class EntityUnknown(StoreError, LookupError):
    """The server has no user or team called `entity`."""

    def __init__(self, entity: str, *, hint: str | None = None) -> None:
        super().__init__(f"the server knows no user or team {entity!r}", hint=hint)
        self.entity = entity


class SyncError(StoreError):
    """Rows and a remote did not come together."""


class RemoteUnavailable(SyncError):
    """No answer just now; `retry_after` are the seconds that the remote asked to wait."""

    def __init__(
        self, message: str, *, hint: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class RemoteRefused(SyncError):
    """The remote says no and will go on to; `status` (HTTP) and `code` are its words, `facts` what
    else it said of the case.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: str = "",
        hint: str | None = None,
        facts: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.code = code
        self.facts = dict(facts or {})
