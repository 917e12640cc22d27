"""init(), the current run of this process, and the calls that act on it.

Several runs may be open at once as objects; the newest one is current. What is still open when
the process ends is finished then (see `store.api.endings`).
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from store.api.endings import endings
from store.api.live_run import Run
from store.api.names import make_id, make_name
from store.api.ranks import detect_label, is_first_on_host
from store.api.recording import capture_console, collect_provenance, record_system_metrics
from store.api.resuming import (
    NOTHING_KNOWN,
    Known,
    claim,
    look_up,
    look_up_cleaned,
    newest_unfinished,
)
from store.disk import file_system
from store.errors import UsageError, WrongMode
from store.host import host_name
from store.keeper import Tended, keeper
from store.locks import no_fork
from store.ownership import is_written_here
from store.paths import RunFolder, StoreFolder, create_store, locate_store
from store.row import Kind
from store.settings import Settings, project_settings_file, resolve, user_settings_file
from store.writer import Writer, WriterOptions

PARENT_RUN: Final = "STORE_PARENT_RUN"
"""Set in the environment for processes that multiprocessing spawns: the run's folder."""
_open_runs: Final[list[Run]] = []
_lock = threading.RLock()


def init(
    project: str | None = None,
    entity: str | None = None,
    name: str | None = None,
    id: str | None = None,
    config: Any = None,
    group: str | None = None,
    job_type: str | None = None,
    tags: Any = None,
    notes: str | None = None,
    dir: str | os.PathLike[str] | None = None,
    mode: str | None = None,
    resume: str | bool | None = None,
    reinit: bool | None = None,
    settings: Settings | Mapping[str, Any] | None = None,
) -> Run:
    """Start a run, or go on with one, and make it the current run.

    Args:
        project, entity: where the run belongs (default "uncategorized", "local").
        name: readable name; made up when not given.
        id: an existing id is joined, or resumed if nobody writes it any more.
        config: dict, argparse namespace or dataclass with the run's settings.
        group, job_type, tags, notes: for people to find it by.
        dir: the store's folder (default: `.store` found upwards from here, else made here).
        mode: "auto", "online", "offline" or "disabled" (nothing is kept, nothing costs).
        resume: "allow" (default), "must", "never" or "auto" (the project's newest run, if it
            did not finish).
        reinit: finish the current run first.
        settings: `store.Settings(...)` or a dict of settings.

    Raises:
        UsageError: a bad argument, or a folder that cannot be written to.
        RunExists, RunNotFound: `resume` says never, or must.
    """
    given = dict(settings.given_values() if isinstance(settings, Settings) else settings or {})
    arguments = {
        **given,
        **{
            key: value
            for key, value in (
                *(("project", project), ("entity", entity), ("name", name), ("run_id", id)),
                *(("group", group), ("job_type", job_type), ("tags", tags), ("notes", notes)),
                *(("dir", dir), ("mode", mode), ("reinit", reinit)),
                ("resume", ("auto" if resume else None) if isinstance(resume, bool) else resume),
            )
            if value is not None
        },
    }
    store_path, chosen, problems = _settle(arguments)
    with _lock:
        if chosen.reinit and (current := current_run()) is not None:
            current.finish()
        if chosen.mode == "disabled":
            run = _disabled(store_path, chosen)
        else:
            run = _open(create_store(store_path, chosen.disk), chosen)
        for problem in problems:
            run._warn(problem, problem)
        run.config.update(config, allow_val_change=True)
        _open_runs.append(run)
        run._on_end = _forget
        endings.install(_finish_all, _writes_rows)
    return run


def _settle(arguments: Mapping[str, Any]) -> tuple[Path, Settings, tuple[str, ...]]:
    """Settings from all their sources; the store's own file among them once it is located."""
    user_file = user_settings_file(os.environ)
    first = resolve(arguments, user_file=user_file)
    store_path = locate_store(given=first.settings.dir)
    project_file = project_settings_file(store_path)
    if not project_file.exists():
        return store_path, first.settings, first.problems
    second = resolve(arguments, project_file=project_file, user_file=user_file)
    return store_path, second.settings, second.problems


def _open(store: StoreFolder, settings: Settings) -> Run:
    run_folder, resume = _choose_folder(store, settings)
    settings = _with_label(settings)
    is_new = claim(run_folder, resume)
    known = look_up_cleaned(run_folder) if is_new else look_up(run_folder, settings.label)
    was_cleaned = is_new and known is not NOTHING_KNOWN
    is_first_here = _is_first_here(run_folder, settings)
    run = _make_run(run_folder, settings, known, resumed=not is_new or was_cleaned)
    if was_cleaned:
        settings = replace(settings, name=settings.name or known.attributes["name"])
        known = known._replace(attributes={})
    writer = run._writer
    assert writer is not None
    if is_new and not was_cleaned:
        number = store.count_runs(run_folder.entity, run_folder.project)
        attributes: dict[str, Any] = {"name": settings.name or make_name(number)}
    else:
        attributes = {"name": settings.name} if settings.name else {}
    for key in ("group", "job_type", "notes"):
        if getattr(settings, key) is not None:
            attributes[key] = getattr(settings, key)
    if settings.tags:
        attributes["tags"] = list(settings.tags)
    changed = {k: v for k, v in attributes.items() if known.attributes.get(k) != v}
    run._attributes |= changed
    writer.append(Kind.ATTRIBUTE, changed)
    if writer.waiting and not writer.started:
        run._say(f"the disk of {store.path} takes nothing yet: rows wait in memory")
    _announce(run, store)
    if _is_sent(store, settings):
        with no_fork:
            from store.api.uploading import Uploading

        run._uploading = Uploading(store, run_folder, settings, run._say, run._warn)
        run._uploading.start()
    if not known.is_live:
        collect_provenance(run)
    if settings.console == "wrap":
        capture_console(run)
    if settings.system_metrics:
        record_system_metrics(run, whole_machine=is_first_here)
    os.environ[PARENT_RUN] = os.fspath(run_folder.path)
    return run


def _choose_folder(store: StoreFolder, settings: Settings) -> tuple[RunFolder, str | None]:
    if settings.run_id is not None:
        run = store.run(settings.entity, settings.project, settings.run_id)
        return run, settings.resume
    if settings.resume == "auto":
        found = newest_unfinished(store, settings.entity, settings.project)
        if found is not None:
            return found, "allow"
    elif settings.resume == "must":
        raise UsageError('resume="must" needs the id of the run', hint="give id= or STORE_RUN_ID")
    return store.run(settings.entity, settings.project, make_id()), None


def _with_label(settings: Settings) -> Settings:
    if settings.label is not None:
        return settings
    label = detect_label(os.environ)
    if label is None:
        return settings
    return replace(settings, label=label)


def _is_first_here(folder: RunFolder, settings: Settings) -> bool:
    """Whether this process is the first of this host that writes the run."""
    if settings.run_id is None:  # each rank a run of its own
        return True
    first = is_first_on_host(os.environ)
    return not is_written_here(folder) if first is None else first


def _make_run(folder: RunFolder, settings: Settings, known: Known, *, resumed: bool) -> Run:
    options = WriterOptions(
        medium=settings.journal,
        segment_bytes=settings.segment_bytes,
        queue_bytes=settings.queue_bytes,
        fold_bytes=settings.fold_bytes,
        spool=settings.spool,
    )
    writer = Writer(
        folder,
        options,
        lambda: _opening(folder, settings),
        ring=lambda: tended.ring(),  # noqa: PLW0108 - not made yet
        warn=lambda kind, message: run._warn(kind, message),  # noqa: PLW0108
    )
    tended = Tended(writer, settings.fold_interval)
    run = Run(folder, settings, writer, tended, known=known, resumed=resumed)
    writer.on_start = _on_first_row
    keeper.watch(tended)
    return run


def _opening(folder: RunFolder, settings: Settings) -> dict[str, Any]:
    """The data of an OPEN row."""
    return {
        "host": host_name(),
        "pid": os.getpid(),
        "label": settings.label,
        "store": folder.store_id,
        "entity": folder.entity,
        "project": folder.project,
        "run": folder.id,
        **({"resume": settings.resume} if settings.resume else {}),
        "python": ".".join(map(str, sys.version_info[:3])),
        "format": 1,
    }


def _on_first_row() -> None:
    keeper.ensure_thread()
    endings.watch_child()


def _disabled(store_path: Path, settings: Settings) -> Run:
    folder = RunFolder(
        store_path / settings.entity / settings.project / (settings.run_id or make_id())
    )
    run = Run(folder, settings, None, None)
    run._attributes["name"] = settings.name or "disabled"
    return run


def _is_sent(store: StoreFolder, settings: Settings) -> bool:
    """Whether the run is to be sent by itself. Costs a stat at most."""
    if settings.mode in ("offline", "disabled") or settings.agent == "off":
        return False
    return settings.url is not None or store.has_remotes


def _announce(run: Run, store: StoreFolder) -> None:
    if store.is_misplaced:
        problem = WrongMode(store.path, file_system(store.path))
        run._warn("mode", f"{problem.message}; rows go to journals ({problem.hint})")
    if run.settings.label not in (None, "rank-0"):
        return
    what = "goes on with" if run.resumed else "logs to"
    run._say(f"run {run.name} ({run.id}) of project {run.project} {what} {store.path}")
    if run.settings.mode == "online" and not _is_sent(store, run.settings):
        run._say('warning: mode="online", but no server is configured: going on offline')


# -- the current run ---------------------------------------------------------------------------


def current_run() -> Run | None:
    """The newest open run of this process; in a process that multiprocessing made, the parent's."""
    if not _open_runs:
        _join_parent()
    return _open_runs[-1] if _open_runs else None


def _join_parent() -> None:
    process = sys.modules.get("multiprocessing.process")
    folder = os.environ.get(PARENT_RUN)
    if folder and process is not None and process.parent_process() is not None:
        join(folder, _settle({})[1])


def join(path: str, settings: Settings, disabled: bool = False) -> Run:
    """Go on with the run at `path` as a writer of its own (spawned and unpickled runs)."""
    folder = Path(path)
    for run in _open_runs:
        if run.dir == folder:
            return run
    if disabled:
        return Run(RunFolder(folder), settings, None, None)
    run_folder = StoreFolder(folder.parent.parent.parent).run_at(folder)
    with _lock:
        run = _make_run(run_folder, settings, look_up(run_folder, settings.label), resumed=True)
        _open_runs.append(run)
        run._on_end = _forget
        endings.install(_finish_all, _writes_rows)
        endings.watch_child()
    return run


def _current() -> Run:
    run = current_run()
    if run is None:
        raise UsageError("no run is open in this process", hint="call store.init() first")
    return run


def log(data: Mapping[str, Any], step: int | None = None, commit: bool = True) -> None:
    """`Run.log` of the current run."""
    _current().log(data, step, commit)


def finish(exit_code: int = 0) -> None:
    """`Run.finish` of the current run, if there is one."""
    run = current_run()
    if run is not None:
        run.finish(exit_code)


def define_metric(name: str, step_metric: str | None = None, summary: str | None = None) -> None:
    """`Run.define_metric` of the current run."""
    _current().define_metric(name, step_metric, summary)


def save(path: str | os.PathLike[str] | None = None) -> list[str]:
    """`Run.save` of the current run."""
    return _current().save(path)


def current_config() -> Any:
    """The current run's config."""
    return _current().config


def current_summary() -> Any:
    """The current run's summary."""
    return _current().summary


def _forget(run: Run) -> None:
    if run in _open_runs:
        _open_runs.remove(run)


def _renew_lock() -> None:
    """In a forked child: another thread of the parent may have been in the middle of init()."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


def _writes_rows() -> bool:
    return any(run._writer is not None and run._writer.started for run in _open_runs)


def _finish_all(exit_code: int, state: str | None) -> None:
    for run in reversed(tuple(_open_runs)):
        run.finish(exit_code, state=state)
