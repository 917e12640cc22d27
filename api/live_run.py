"""Run: what `store.init()` gives; the run that this process writes."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal

from store.api.configuration import Config, Summary
from store.api.console_capture import ConsoleCapture
from store.api.resuming import NOTHING_KNOWN, Known, look_up
from store.api.values import (
    RefusedValueError,
    are_plain,
    clean_metrics,
    clean_setting,
    clean_step,
    clean_text,
    number_converters,
)
from store.errors import RunClosed, UsageError
from store.keeper import Tended, keeper
from store.locks import no_fork
from store.paths import RunFolder, StoreFolder
from store.row import Kind
from store.settings import Settings
from store.writer import Writer

if TYPE_CHECKING:
    from store.api.uploading import Uploading

METRIC: Final = int(Kind.METRIC)
FLOATS: Final = frozenset({float})
HISTORY_SUMMARIES: Final = ("last", "min", "max", "mean", "first", "none")
KNOWN_KEYS: Final = 100_000


class Run:
    """A run that is being written by this process.

    Rows are safe against the death of every process when `log` returns, and against a power cut
    after `flush(durable=True)` and `finish`. All methods may be called from any thread.
    """

    def __init__(
        self,
        folder: RunFolder,
        settings: Settings,
        writer: Writer | None,
        tended: Tended | None,
        *,
        known: Known = NOTHING_KNOWN,
        resumed: bool = False,
    ) -> None:
        """For `store.init`. Without a writer nothing is kept (mode "disabled")."""
        self._folder = folder
        self.settings = settings
        self._writer = writer
        self._tended = tended
        self.resumed = resumed
        self._attributes = dict(known.attributes)
        self._keys: set[str] = set()
        self._logged: dict[str, Any] = {}
        self._warned: set[str] = set()
        self._before_end: list[Callable[[], None]] = []
        self._on_end: Callable[[Run], None] | None = None
        self._console: ConsoleCapture | None = None
        self._uploading: Uploading | None = None
        self._state = "running"
        self.config = Config(lambda values: self._write(Kind.CONFIG, values), known.config)
        self.summary = Summary(
            lambda values: self._write(Kind.SUMMARY, values), self._logged, self._stored_summary
        )
        if writer is not None:
            writer.step = known.step

    # -- identity ------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        return self._folder.id

    @property
    def entity(self) -> str:
        return self._folder.entity

    @property
    def project(self) -> str:
        return self._folder.project

    @property
    def path(self) -> str:
        """entity/project/id"""
        return f"{self.entity}/{self.project}/{self.id}"

    @property
    def dir(self) -> Path:
        """The run's folder; `dir / "run.db"` is its database."""
        return self._folder.path

    @property
    def name(self) -> str:
        if "name" not in self._attributes and self.resumed and self._writer is not None:
            self._attributes |= self._stored_attributes()
        return str(self._attributes.get("name") or self.id)

    @name.setter
    def name(self, value: str) -> None:
        self._set("name", clean_text(str(value)))

    @property
    def notes(self) -> str | None:
        return self._attributes.get("notes")

    @notes.setter
    def notes(self, value: str | None) -> None:
        self._set("notes", value)

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(self._attributes.get("tags") or ())

    @tags.setter
    def tags(self, value: Iterable[str]) -> None:
        if isinstance(value, str):
            raise UsageError("tags take a list of texts, not one text")
        self._set("tags", list(dict.fromkeys(map(str, value))))

    @property
    def group(self) -> str | None:
        return self._attributes.get("group")

    @group.setter
    def group(self, value: str | None) -> None:
        self._set("group", value)

    @property
    def job_type(self) -> str | None:
        return self._attributes.get("job_type")

    @job_type.setter
    def job_type(self, value: str | None) -> None:
        self._set("job_type", value)

    @property
    def url(self) -> str | None:
        """Where the run can be seen; None without a server."""
        with no_fork:
            from store.api.uploading import url_of

        return url_of(StoreFolder(self._folder.path.parents[2]), self._folder, self.settings)

    @property
    def step(self) -> int:
        """The step that the next `log` without a step gets."""
        return self._writer.step if self._writer is not None else 0

    @property
    def label(self) -> str | None:
        return self.settings.label

    @property
    def state(self) -> str:
        """running, finished, failed or killed, as this process has it."""
        return self._state

    @property
    def at_risk(self) -> int:
        """Rows that wait in memory, because the disk takes none."""
        return self._writer.waiting if self._writer is not None else 0

    @property
    def disabled(self) -> bool:
        return self._writer is None

    # -- writing -------------------------------------------------------------------------------

    def log(self, data: Mapping[str, Any], step: int | None = None, commit: bool = True) -> None:
        """Write one row of metrics; nested dicts are flattened with "/".

        Args:
            data: names to numbers (Python, numpy, one-element tensors), texts, lists or objects.
                What cannot be kept is counted and warned of once; the rest is kept.
            step: any integer, in any order; by default one more than the row before.
            commit: False writes the row now and leaves the step for further rows of it.

        Raises:
            RunClosed: the run was finished.
            UsageError: with settings.strict only: something in `data` cannot be kept.
        """
        writer = self._writer
        if writer is None:
            return
        if not (
            type(data) is dict
            and self._keys.issuperset(data)
            and (FLOATS.issuperset(map(type, data.values())) or are_plain(data.values()))
        ):
            data = self._clean(data)
        if step is not None and type(step) is not int:
            step = clean_step(step, self._refuse)
        try:
            writer.append(METRIC, data, step, commit)
        except RunClosed:
            raise
        except (TypeError, ValueError, OverflowError) as error:
            self._refuse(f"rows that cannot be packed ({error})", "")
            return
        if len(self._logged) > KNOWN_KEYS:  # beyond that, the summary asks the database
            data = {key: value for key, value in data.items() if key in self._logged}
        self._logged.update(data)

    def _clean(self, data: Any) -> dict[str, Any]:
        if type(data) is dict and self._keys.issuperset(data):
            with contextlib.suppress(KeyError, RefusedValueError):
                return {
                    key: value if type(value) is float else number_converters[type(value)](value)
                    for key, value in data.items()
                }
        cleaned = clean_metrics(data, self._refuse)
        if len(self._keys) < KNOWN_KEYS and isinstance(data, dict):
            # Only keys that came through as they are may take the short way next time.
            self._keys.update(key for key in data if key in cleaned and type(key) is str)
        return cleaned

    def _refuse(self, reason: str, key: str) -> None:
        if self.settings.strict:
            raise UsageError(f"cannot log {key!r}: {reason}")
        if self._writer is not None:
            refused = self._writer.refused
            refused[reason] = refused.get(reason, 0) + 1
        where = f"; first at {key!r}" if key else ""
        self._warn(f"refused {reason}", f"not kept: {reason}{where}; `store status` counts them")

    def _write(self, kind: Kind, values: dict[str, Any]) -> None:
        if self._writer is not None:
            self._writer.append(kind, values)

    def _set(self, key: str, value: Any) -> None:
        self._attributes[key] = clean_setting(value)
        self._write(Kind.ATTRIBUTE, {key: self._attributes[key]})

    def define_metric(
        self, name: str, step_metric: str | None = None, summary: str | None = None
    ) -> None:
        """Say how a metric is to be shown and summed up.

        Args:
            name: a metric, or a pattern such as "val/*".
            step_metric: the metric on the x axis of its charts.
            summary: last (default), min, max, mean, first or none.

        Raises:
            UsageError: `summary` is none of these.
        """
        chosen = summary
        if chosen is not None and chosen not in HISTORY_SUMMARIES:
            raise UsageError(f"summary={summary!r} is not one of {', '.join(HISTORY_SUMMARIES)}")
        self._set(f"define/{name}", {"step_metric": step_metric, "summary": chosen})
        if chosen not in (None, "last"):
            self.summary.choose(name)

    def save(self, path: str | os.PathLike[str] | None = None) -> list[str]:
        """Keep files with the run: a path or a pattern; without one, nothing is left to do.

        Returns:
            The names under which they were kept, in the run's `files/`.

        Raises:
            UsageError: no such file.
        """
        if path is None or self._writer is None:
            return []
        with no_fork:
            from store.api.saving import find_files, keep_file

        kept = {}
        for file in find_files(path):
            name, facts = keep_file(self._folder, file)
            kept[name] = facts
        self._write(Kind.FILE, kept)
        return list(kept)

    def flush(self, durable: bool = False) -> None:
        """Make rows visible in run.db now; with `durable`, safe against a power cut.

        Raises:
            OSError: with `durable`, when the disk does not take them.
        """
        if self._writer is None or self._tended is None:
            return
        if durable:
            self._writer.restore(afresh=True)
        self._writer.retry_waiting()
        if durable and self._writer.waiting:
            raise OSError(
                errno.ENOSPC, f"{self._writer.waiting} rows wait in memory", str(self.dir)
            )
        if durable and self._writer.started:
            self._writer.sync()
        self._tended.fold(2.0)

    # -- the end -------------------------------------------------------------------------------

    def finish(self, exit_code: int = 0, *, state: str | None = None) -> None:
        """End this process's part of the run, fold it and print where it is. May be repeated.

        Args:
            exit_code: 0 = finished, anything else = failed.
            state: for the hooks that know better (killed).
        """
        if self._state != "running":
            return
        self._state = state or ("finished" if exit_code == 0 else "failed")
        if self._console is not None:
            self._console.stop()
        for call in self._before_end:
            call()
        writer, tended = self._writer, self._tended
        if writer is not None and tended is not None:
            # Forget only afterwards: until END is written a fork must still stop at this writer.
            complete = tended.finish({"state": self._state, "exit_code": int(exit_code)})
            keeper.forget(tended)
            is_sent = self._uploading is not None and self._uploading.finish()
            self._say_goodbye(complete, is_sent)
        if self._on_end is not None:
            self._on_end(self)

    def _say_goodbye(self, complete: bool, is_sent: bool) -> None:
        writer, tended = self._writer, self._tended
        assert writer is not None
        assert tended is not None
        if not complete or writer.dropped:
            lost = writer.waiting + writer.dropped
            self._say(f"{lost} rows of {self.name} could not be written: the disk took none")
        if tended.trouble:
            self._say(
                f"{self.name}: {tended.trouble}; its rows are safe in {self._folder.journals}"
            )
        if writer.started and writer.parent is None and self.settings.label in (None, "rank-0"):
            others = (tended.rows_of_all or 0) - writer.number
            rows = f"{writer.number} rows" + (
                f", and {others} of other writers" if others > 0 else ""
            )
            self._say(f"{self._state} {self.name} ({self.id}), {rows}")
            if is_sent:
                self._say(f"all of it is at {self.url or 'the remote'}")
            else:
                self._say(f"send it with: store sync {self._folder.path}")

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> Literal[False]:
        if kind is None or (isinstance(error, SystemExit) and not error.code):
            self.finish()
        elif issubclass(kind, KeyboardInterrupt):
            self.finish(130, state="killed")
        else:
            code = error.code if isinstance(error, SystemExit) else 1
            self.finish(code if isinstance(code, int) else 1)
        return False

    def __reduce__(self) -> tuple[Any, ...]:
        """A run that is pickled into another process is joined there as a writer of its own."""
        from store.api.session import join

        return join, (os.fspath(self._folder.path), self.settings, self.disabled)

    def __repr__(self) -> str:
        return f"<Run {self.path} {self.name!r} {self._state}>"

    def _stored_summary(self) -> dict[str, Any]:
        if self._writer is None:
            return {}
        with no_fork:
            from store.api.stored import stored_summary

        self.flush()
        return stored_summary(self._folder)

    def _stored_attributes(self) -> dict[str, Any]:
        with contextlib.suppress(OSError):
            return look_up(self._folder, None).attributes
        return {}

    def _warn(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            self._say(f"warning: {message}")

    def _say(self, message: str) -> None:
        if not self.settings.silent:
            with contextlib.suppress(OSError, ValueError):
                print(f"store: {message}", file=sys.__stderr__ or sys.stderr, flush=True)
