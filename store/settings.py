"""Every setting: its name, type, default, environment variables and meaning, in one frozen class.

`resolve` decides each field by itself, from the first of these that gives it a usable value:
arguments, STORE_* environment, WANDB_* environment (only where the STORE_* one is not set),
the store's settings.toml, the user's settings.toml, the default.

A bad argument raises UsageError. A bad value elsewhere is a problem in words: it is passed over,
all the rest stays in force, and no training run fails for it.

WANDB_API_KEY belongs to the host in WANDB_BASE_URL; with any other url it is passed over, so that
it reaches no host that it was not made for. No message, repr or listing shows a key.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from store.errors import UsageError
from store.settings_sources import (
    COUNT,
    FLAG,
    KEY,
    LINE,
    PATH,
    SECONDS,
    TAGS,
    TEXT,
    URL,
    Kind,
    Variable,
    as_text,
    closest,
    edit_toml,
    expected,
    project_settings_file,
    read_toml,
    user_settings_file,
)
from store.settings_words import (
    AGENT,
    CONSOLE,
    DISK,
    JOURNAL,
    MODE,
    RESUME,
    START_METHOD,
    WANDB_CONSOLE,
    WANDB_DIR,
    WANDB_GIT,
    WANDB_MODE,
    WANDB_STATS,
    WANDB_STATS_INTERVAL,
    Agent,
    Console,
    Disk,
    Journal,
    Mode,
    Resume,
    StartMethod,
)

__all__ = [
    "FIELDS",
    "Facts",
    "Resolved",
    "Settings",
    "describe",
    "project_settings_file",
    "resolve",
    "resolve_for",
    "user_settings_file",
    "write_setting",
]


class Facts(NamedTuple):
    """What is known of a field besides its value."""

    name: str
    help: str
    kind: Kind
    default: object
    wandb: tuple[Variable, ...]

    @property
    def variable(self) -> str:
        """The environment variable of Runstore for this field."""
        return f"STORE_{self.name.upper()}"

    @property
    def environment(self) -> tuple[str, ...]:
        """All environment variables that are read for this field, the first one first."""
        return (self.variable, *(variable.name for variable in self.wandb))


def _about(text: str, kind: Kind, *wandb: str | Variable) -> dict[str, Any]:
    variables = tuple(
        Variable(name, kind.allowed, kind.parse) if isinstance(name, str) else name
        for name in wandb
    )
    return {"help": text, "kind": kind, "wandb": variables}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a run or of a command. Bad values raise UsageError.

    Paths may be given as strings, tags as a list. `given` remembers which fields were named, also
    where the value is the default; dataclasses.replace() names all of them.
    """

    project: str = field(
        default="uncategorized", metadata=_about("project of the run", LINE, "WANDB_PROJECT")
    )
    entity: str = field(
        default="local", metadata=_about("user or team that owns the project", LINE, "WANDB_ENTITY")
    )
    name: str | None = field(
        default=None, metadata=_about("name of the run, for people", LINE, "WANDB_NAME")
    )
    run_id: str | None = field(
        default=None, metadata=_about("id of the run; unset: a new one", LINE, "WANDB_RUN_ID")
    )
    group: str | None = field(
        default=None, metadata=_about("group of runs that belong together", LINE, "WANDB_RUN_GROUP")
    )
    job_type: str | None = field(
        default=None, metadata=_about("kind of work, such as train or eval", LINE, "WANDB_JOB_TYPE")
    )
    tags: tuple[str, ...] = field(
        default=(), metadata=_about("tags of the run", TAGS, "WANDB_TAGS")
    )
    notes: str | None = field(
        default=None, metadata=_about("longer description of the run", TEXT, "WANDB_NOTES")
    )
    dir: Path | None = field(
        default=None,
        metadata=_about("the store folder; unset: looked for upwards", PATH, WANDB_DIR),
    )
    mode: Mode = field(
        default="auto",
        metadata=_about("whether rows are synced, or even kept", MODE, *WANDB_MODE),
    )
    resume: Resume | None = field(
        default=None,
        metadata=_about("what to do where the run exists already", RESUME, "WANDB_RESUME"),
    )
    reinit: bool = field(
        default=False, metadata=_about("init() beside a live run starts a new one", FLAG)
    )
    label: str | None = field(
        default=None, metadata=_about("name of this writer within the run, such as rank0", LINE)
    )
    silent: bool = field(
        default=False, metadata=_about("print nothing but warnings", FLAG, "WANDB_SILENT")
    )
    url: str | None = field(
        default=None, metadata=_about("server or folder to sync to", URL, "WANDB_BASE_URL")
    )
    api_key: str | None = field(
        default=None, repr=False, metadata=_about("key for the server", KEY, "WANDB_API_KEY")
    )
    save_code: bool = field(
        default=False, metadata=_about("keep a copy of the main script", FLAG, "WANDB_SAVE_CODE")
    )
    git: bool = field(
        default=True, metadata=_about("record commit and local changes", FLAG, WANDB_GIT)
    )
    console: Console = field(
        default="wrap", metadata=_about("record what the process prints", CONSOLE, WANDB_CONSOLE)
    )
    system_metrics: bool = field(
        default=True, metadata=_about("record how busy the machine is", FLAG, *WANDB_STATS)
    )
    system_interval: float = field(
        default=15.0,
        metadata=_about("time between two looks at it, in seconds", SECONDS, WANDB_STATS_INTERVAL),
    )
    strict: bool = field(
        default=False, metadata=_about("raise tracking problems in place of warnings", FLAG)
    )
    spool: Path | None = field(
        default=None, metadata=_about("folder for rows while the store's disk is full", PATH)
    )
    journal: Journal = field(
        default="auto", metadata=_about("how journals are written; auto: by the disk", JOURNAL)
    )
    disk: Disk = field(
        default="auto",
        metadata=_about("who writes to a new store's disk: this host, or several", DISK),
    )
    agent: Agent = field(
        default="auto", metadata=_about("where syncing runs beside the training", AGENT)
    )
    start_method: StartMethod | None = field(
        default=None,
        metadata=_about("thread: as agent = thread", START_METHOD, "WANDB_START_METHOD"),
    )
    finish_timeout: float = field(
        default=30.0, metadata=_about("longest wait in finish(), in seconds", SECONDS)
    )
    fold_interval: float = field(
        default=5.0, metadata=_about("time between two folds, in seconds", SECONDS)
    )
    fold_bytes: int = field(
        default=1 << 20, metadata=_about("bytes in the journal that start a fold", COUNT)
    )
    queue_bytes: int = field(
        default=1 << 26, metadata=_about("bytes of rows kept in memory on a full disk", COUNT)
    )
    segment_bytes: int = field(
        default=1 << 26, metadata=_about("bytes after which a journal goes on in a new file", COUNT)
    )

    def __new__(cls, **given: object) -> Self:
        self = super().__new__(cls)
        self.__dict__["_given"] = frozenset(given)
        return self

    def __post_init__(self) -> None:
        for name, facts in FIELDS.items():
            value = getattr(self, name)
            if value is not None or facts.default is not None:
                object.__setattr__(self, name, _accept(facts, value, name))

    @property
    def given(self) -> frozenset[str]:
        """The names of the fields that were passed to the constructor."""
        given: frozenset[str] = self.__dict__["_given"]
        return given

    def given_values(self) -> dict[str, object]:
        """The fields that were passed to the constructor, as `arguments` of `resolve`."""
        return {name: getattr(self, name) for name in FIELDS if name in self.given}


FIELDS: Final[Mapping[str, Facts]] = {
    found.name: Facts(found.name, default=found.default, **found.metadata)
    for found in fields(Settings)
}
_SECRET: Final = frozenset(name for name, facts in FIELDS.items() if facts.kind.secret)


@dataclass(frozen=True, slots=True)
class Resolved:
    """The settings in force. `origins` says for each field where it comes from: "argument",
    "environment STORE_X", "project file /path", "user file /path", "default". `problems` are
    sentences on what was passed over.
    """

    settings: Settings
    origins: Mapping[str, str]
    problems: tuple[str, ...]


def resolve(
    arguments: Mapping[str, object],
    *,
    environ: Mapping[str, str] | None = None,
    project_file: Path | None = None,
    user_file: Path | None = None,
) -> Resolved:
    """Decide every field. In `arguments` None means not given; `environ` is os.environ by default;
    a file that is None or not there says nothing. A relative path in a file counts from its folder.

    Raises UsageError on an unknown or bad argument, on nothing else.
    """
    environ = os.environ if environ is None else environ
    explicit = _check_arguments(arguments)
    problems: list[str] = []
    files: list[tuple[str, dict[str, object]]] = []
    if project_file is not None:
        found = _from_file(project_file, problems, excluded="dir")
        files.append((f"project file {project_file}", found))
    if user_file is not None:
        files.append((f"user file {user_file}", _from_file(user_file, problems)))

    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name, facts in FIELDS.items():
        candidates = [("argument", explicit[name])] if name in explicit else []
        candidates += _from_environment(facts, environ, problems, explicit, origins.get("url"))
        candidates += [(origin, table[name]) for origin, table in files if name in table]
        origins[name] = candidates[0][0] if candidates else "default"
        if candidates:
            values[name] = candidates[0][1]
    return Resolved(Settings(**values), origins, tuple(problems))


def resolve_for(store_path: Path, **arguments: object) -> Resolved:
    """`resolve` with the files that count for the store at `store_path`."""
    return resolve(
        arguments,
        project_file=project_settings_file(store_path),
        user_file=user_settings_file(os.environ),
    )


def _accept(facts: Facts, value: object, where: str, *, parse: bool = False) -> Any:
    try:
        return facts.kind.parse(str(value)) if parse else facts.kind.check(value)
    except ValueError:
        message = expected(where, facts.kind, value, secret=facts.kind.secret)
    raise UsageError(message)


def _known(name: str) -> Facts:
    facts = FIELDS.get(name)
    if facts is None:
        raise UsageError(f"there is no setting {name!r}", hint=closest(name, FIELDS))
    return facts


def _check_arguments(arguments: Mapping[str, object]) -> dict[str, object]:
    return {
        name: _accept(_known(name), value, name)
        for name, value in arguments.items()
        if value is not None
    }


def _from_environment(
    facts: Facts,
    environ: Mapping[str, str],
    problems: list[str],
    explicit: Mapping[str, object],
    url_origin: str | None,
) -> list[tuple[str, object]]:
    """At most one value with its origin. `url_origin` is known when api_key is decided, for url
    stands before it.
    """
    variables = [Variable(facts.variable, facts.kind.allowed, facts.kind.parse)]
    if not environ.get(facts.variable, "").strip():
        variables = [] if facts.name in explicit else list(facts.wandb)
    for variable in variables:
        text = environ.get(variable.name, "")
        foreign = variable.name == "WANDB_API_KEY" and url_origin != "environment WANDB_BASE_URL"
        if foreign or not text.strip():
            continue
        try:
            value = variable.parse(text)
        except ValueError:
            problem = expected(variable.name, variable, text, secret=facts.kind.secret)
            problems.append(f"{problem} (ignored)")
        else:
            if value is not None:
                return [(f"environment {variable.name}", value)]
    return []


def _from_file(file: Path, problems: list[str], excluded: str = "") -> dict[str, object]:
    try:
        _, table = read_toml(file)
    except UsageError as error:
        problems.append(f"{error.message} (ignored)")
        return {}
    values: dict[str, object] = {}
    for key, value in table.items():
        facts = FIELDS.get(key)
        if facts is None:
            question = closest(key, FIELDS)
            problems.append(f"{file}: unknown key {key!r}" + (f", {question}" if question else ""))
        elif key == excluded:
            problems.append(f"{file}: {key} has no effect in a store's own settings file")
        else:
            try:
                checked = _accept(facts, value, f"{file}, key {key}")
            except UsageError as error:
                problems.append(f"{error.message} (ignored)")
            else:
                values[key] = file.parent / checked if isinstance(checked, Path) else checked
    return values


def write_setting(file: Path, key: str, value: str | None) -> None:
    """Set `key` in the settings file `file` to what the text `value` means (as in the environment;
    a relative path counts from the working directory), or remove it where `value` is None.

    Other lines and comments stay. A file with an api_key gets mode 0600. Raises UsageError on an
    unknown key, a bad value, a file that cannot be parsed; OSError where it cannot be written.
    """
    facts = _known(key)
    parsed = None if value is None else _accept(facts, value, key, parse=True)
    if isinstance(parsed, Path):
        parsed = str(parsed.absolute())
    edit_toml(file, key, parsed, secret_keys=_SECRET)


def describe(resolved: Resolved) -> list[tuple[str, str, str]]:
    """For each field: its name, its value as text (empty: unset; keys masked), its origin."""
    return [
        (name, as_text(getattr(resolved.settings, name), facts.kind), resolved.origins[name])
        for name, facts in FIELDS.items()
    ]
