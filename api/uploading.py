"""Uploading: what a run that is being written has to do with its remote.

The training process itself sends nothing, unless it was told to (agent="thread"): it queues its
run, sees to it that an agent is at work, and waits in `finish()` for a while. All of it happens
where a remote is configured and mode is not "offline"; else this module is not even imported.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from store.errors import StoreError
from store.locks import no_fork
from store.paths import RunFolder, StoreFolder
from store.settings import Settings, resolve_for

if TYPE_CHECKING:
    from store.sync.cursors import Standing
    from store.sync.remotes import RemoteEntry

POLL_SECONDS: Final = 0.1
TELL_SECONDS: Final = 5.0
START_SECONDS: Final = 10.0
Say = Callable[[str], None]
Warn = Callable[[str, str], None]


class Uploading:
    """A run and its remote."""

    def __init__(
        self, store: StoreFolder, run: RunFolder, settings: Settings, say: Say, warn: Warn
    ) -> None:
        self._store = store
        self._run = run
        self._settings = settings
        self._say = say
        self._warn = warn
        self._stop = threading.Event()
        self._remote: str | None = None
        """What the cursors of the remote are filed under, once the run is on its way there."""
        self._pid = os.getpid()
        self._starter = threading.Thread(target=self._start, name="runstore-agent", daemon=True)

    def start(self) -> None:
        """See to it that the run is sent, off the training thread."""
        self._starter.start()

    def _start(self) -> None:
        with no_fork:
            # All that is going to be imported on the way, at once.
            from store.sync.agent import start_process  # noqa: F401
            from store.sync.queue import enqueue
            from store.sync.remotes import default_remote
            from store.sync.standings import filed_under
        try:
            entry = default_remote(self._store, self._settings)
            if entry is None:
                return
            enqueue(self._run)
            if self._wants_thread():
                self._start_thread(entry)
            else:
                self._start_process()
            self._remote = filed_under(entry)
            place = url_of(self._store, self._run, self._settings) or entry.address
            if self._settings.label in (None, "rank-0"):
                self._say(f"its rows go to {place}")
        except (StoreError, OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            self._warn(
                "agent",
                f"nothing is sent while the run goes on: {reason}; its rows are safe here, and "
                f"`store sync {self._run.path}` sends them "
                '(settings agent="process", "thread" or "off")',
            )

    def _wants_thread(self) -> bool:
        if self._settings.agent == "auto":
            return self._settings.start_method == "thread"
        return self._settings.agent == "thread"

    def _start_process(self) -> None:
        with no_fork:
            from subprocess import SubprocessError

            from store.sync.agent import is_at_work, start_process

        if is_at_work(self._store.path):
            return
        environment = dict(os.environ)
        if self._settings.url is not None:
            environment["STORE_URL"] = self._settings.url
        if self._settings.api_key is not None:
            environment["STORE_API_KEY"] = self._settings.api_key
        try:
            start_process(self._store.path, environment)
        except SubprocessError as error:
            raise OSError(0, f"the agent does not start: {error}") from error

    def _start_thread(self, entry: RemoteEntry) -> None:
        with no_fork:
            from store.sync.agent import watch_store
            from store.sync.runner import Destination, open_remote

        settings = self._settings
        resolved = resolve_for(self._store.path, url=settings.url, api_key=settings.api_key)
        place = Destination(open_remote(entry, resolved))

        def watch() -> None:
            try:
                watch_store(
                    self._store,
                    place,
                    self._stop,
                    only={self._run.key},
                    on_outcome=lambda _: None,
                    on_failure=lambda *_: None,
                )
            except StoreError as error:
                self._warn("agent", f"nothing is sent any more: {error}")

        threading.Thread(target=watch, name="runstore-agent", daemon=True).start()

    # -- the end -------------------------------------------------------------------------------

    def finish(self) -> bool:
        """Wait until all is acknowledged, at most settings.finish_timeout; says what remains.

        Gives whether everything is there.
        """
        if os.getpid() != self._pid:
            return False  # a forked child: the run is its parent's to send
        # Until the run is queued and the agent up, also where nobody wants to wait for more.
        self._starter.join(max(self._settings.finish_timeout, START_SECONDS))
        if self._remote is None:
            return False
        began = told = time.time()
        trouble: str | None = None
        last: Standing | None = None
        while time.time() - began < self._settings.finish_timeout:
            last = self._look()
            trouble = self._trouble()
            if (last is not None and last.is_sent) or trouble:
                break
            if last is not None and last.error and (last.tried or 0.0) > began:
                trouble = last.error
                break
            if last is not None and time.time() - told > TELL_SECONDS:
                told = time.time()
                self._say(f"{last.unsent:,} rows are on their way")
            time.sleep(POLL_SECONDS)
        self._stop.set()
        if last is not None and last.is_sent:
            return True
        remains = f"{last.unsent:,} rows" if last is not None else "rows"
        reason = f": {trouble}" if trouble else ""
        self._say(f"{remains} are not sent yet{reason}; `store status` shows how it goes on")
        return False

    def _trouble(self) -> str | None:
        """Why the remote is not to be reached, if it was not at the agent's last try."""
        with no_fork:
            from store.sync.troubles import read_trouble

        found = read_trouble(self._store.path, self._remote) if self._remote else None
        return found.error if found else None

    def _look(self) -> Standing | None:
        """How the run stands where the agent sends it, once it has begun to."""
        with no_fork:
            import sqlite3

            from store.reading import reading
            from store.sync.cursors import standing, targets

        with contextlib.suppress(StoreError, OSError, sqlite3.Error), reading(self._run) as db:
            for target in targets(db):
                if target.remote == self._remote:
                    return standing(db, target)
        return None


def url_of(store: StoreFolder, run: RunFolder, settings: Settings) -> str | None:
    """Where the run can be seen, or None: it goes to no server, or nobody knows yet whose it is."""
    if settings.mode in ("offline", "disabled"):
        return None
    with no_fork:
        import sqlite3

        from store.reading import reading
        from store.sync.address import path_of
        from store.sync.credentials import user_at
        from store.sync.cursors import targets
        from store.sync.remote import LOCAL
        from store.sync.remotes import default_remote

    with contextlib.suppress(StoreError, OSError, sqlite3.Error):
        entry = default_remote(store, settings)
        if entry is None or entry.url is None:
            return None
        entity: str | None = run.entity
        if entity == LOCAL:
            entity = user_at(entry.url)
        if entity is None:
            with reading(run) as connection:
                found = [t.entity for t in targets(connection) if t.remote == entry.url]
            entity = found[0] if found else None
        if entity is not None:
            return f"{entry.url}{path_of(entity, run.project, 'runs', run.id)}"
    return None
