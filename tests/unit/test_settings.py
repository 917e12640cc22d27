"""Settings: validation, what was given, precedence, problems in words, keys, the manual."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from store.errors import UsageError
from store.settings import (
    FIELDS,
    Settings,
    resolve,
    write_setting,
)
from store.settings_sources import as_text

KEY = "st-0123456789abcdef0123456789abcdef01234567"
DOCS = Path(__file__).parents[2] / "docs" / "settings.md"


def settings_file(folder: Path, text: str) -> Path:
    file = folder / "settings.toml"
    file.write_text(text, encoding="utf-8", newline="")
    return file


# ---------------------------------------------------------------------------- the class


def test_defaults_are_valid_and_nothing_was_given() -> None:
    settings = Settings()
    assert settings.given == frozenset()
    assert settings.given_values() == {}
    assert all(getattr(settings, name) == facts.default for name, facts in FIELDS.items())


def test_given_fields_are_remembered_even_at_their_default() -> None:
    settings = Settings(mode="auto", label="rank0", notes=None)
    assert settings.given == {"mode", "label", "notes"}
    assert settings.given_values() == {"mode": "auto", "label": "rank0", "notes": None}


def test_settings_survive_pickling_and_copying_with_what_was_given() -> None:
    settings = Settings(tags=("a",), api_key=KEY, spool=Path("/scratch"))
    for again in (pickle.loads(pickle.dumps(settings)), copy.deepcopy(settings)):
        assert again == settings
        assert hash(again) == hash(settings)
        assert again.given == {"tags", "api_key", "spool"}


def test_the_key_is_in_no_repr() -> None:
    assert KEY not in repr(Settings(api_key=KEY))
    assert KEY not in repr(resolve({"api_key": KEY}, environ={}))


def test_strings_become_paths_and_lists_become_tags() -> None:
    given: dict[str, Any] = {"dir": "runs", "spool": "~", "tags": ["b", " a ", "b"]}
    settings = Settings(**given)
    assert settings.dir == Path("runs")
    assert settings.spool == Path("~").expanduser()
    assert settings.tags == ("b", "a")
    one_tag: Any = "one, tag"
    assert Settings(tags=one_tag).tags == ("one, tag",)
    assert resolve({"tags": {"b", "a"}}, environ={}).settings.tags == ("a", "b")


@pytest.mark.parametrize(("word", "mode"), [("dryrun", "offline"), ("run", "online")])
def test_old_words_for_modes_hold_in_every_source(word: str, mode: str, tmp_path: Path) -> None:
    file = settings_file(tmp_path, f'mode = "{word}"\n')
    for resolved in (
        resolve({"mode": word}, environ={}),
        resolve({}, environ={"STORE_MODE": word}),
        resolve({}, environ={"WANDB_MODE": word}),
        resolve({}, environ={}, project_file=file),
    ):
        assert resolved.settings.mode == mode
        assert resolved.problems == ()


BAD_VALUES = [
    ("project", ""),
    ("project", None),
    ("project", 5),
    ("name", "two\nlines"),
    ("entity", "\udcff"),
    ("notes", "nul\0"),
    ("tags", [1]),
    ("tags", [""]),
    ("tags", 5),
    ("dir", ""),
    ("dir", b"bytes"),
    ("dir", 3),
    ("mode", "ofline"),
    ("mode", ["auto"]),
    ("resume", True),
    ("reinit", 1),
    ("silent", "true"),
    ("url", "example.org"),
    ("url", "https://"),
    ("url", "https://:443"),
    ("url", "ftp://example.org"),
    ("url", "https://exa mple.org"),
    ("finish_timeout", 0),
    ("finish_timeout", True),
    ("finish_timeout", float("nan")),
    ("finish_timeout", float("inf")),
    ("fold_bytes", 0),
    ("fold_bytes", -1),
    ("fold_bytes", 1.5),
    ("fold_bytes", True),
    ("queue_bytes", 2**63),
]


@pytest.mark.parametrize(("name", "value"), BAD_VALUES)
def test_a_bad_value_names_field_value_and_what_is_allowed(name: str, value: object) -> None:
    with pytest.raises(UsageError) as caught:
        Settings(**{name: value})  # type: ignore[arg-type]
    assert caught.value.message == f"{name}: expected {FIELDS[name].kind.allowed}, not {value!r}"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "url", ["http://localhost:8080", "https://runs.example.org/base", "file:///mnt/stick"]
)
def test_usable_addresses(url: str) -> None:
    assert Settings(url=url).url == url


def test_a_folder_is_an_address_when_absolute(tmp_path: Path) -> None:
    assert Settings(url=str(tmp_path)).url == str(tmp_path)


@pytest.mark.parametrize("name", ["api_key", "url"])
def test_secrets_are_in_no_message(name: str, tmp_path: Path) -> None:
    secret = "hush-1234 " if name == "api_key" else "https://me:hush-1234@example.org"
    secret += " x" if name == "api_key" else ""
    with pytest.raises(UsageError) as caught:
        resolve({name: secret}, environ={})
    file = settings_file(tmp_path, f'{name} = "{secret}"\n')
    problems = resolve({}, environ={f"STORE_{name.upper()}": secret}, user_file=file).problems
    assert len(problems) == 2
    assert "hush" not in str(caught.value) + "".join(problems)
    with pytest.raises(UsageError) as caught:
        write_setting(file, name, secret)
    assert "hush" not in str(caught.value)


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(UsageError) as caught:
        resolve({"mode": "x" * 10_000}, environ={})
    assert len(str(caught.value)) < 300


# ---------------------------------------------------------------------------- precedence


def test_each_source_gives_way_to_the_one_above(tmp_path: Path) -> None:
    (tmp_path / "user").mkdir()
    user = settings_file(tmp_path / "user", 'project = "user"\n')
    project = settings_file(tmp_path, 'project = "project"\n')
    environ = {"STORE_PROJECT": "store", "WANDB_PROJECT": "wandb"}

    def outcome(
        arguments: dict[str, object], variables: list[str], *files: Path
    ) -> tuple[str, str]:
        resolved = resolve(
            arguments,
            environ={name: environ[name] for name in variables},
            project_file=project if project in files else None,
            user_file=user if user in files else tmp_path / "absent.toml",
        )
        assert resolved.problems == ()
        return resolved.settings.project, resolved.origins["project"]

    both = ["STORE_PROJECT", "WANDB_PROJECT"]
    assert outcome({"project": "me"}, both, project, user) == ("me", "argument")
    assert outcome({"project": None}, both, project, user) == ("store", "environment STORE_PROJECT")
    assert outcome({}, both[1:], project, user) == ("wandb", "environment WANDB_PROJECT")
    assert outcome({}, [], project, user) == ("project", f"project file {project}")
    assert outcome({}, [], user) == ("user", f"user file {user}")
    assert outcome({}, []) == ("uncategorized", "default")


def test_each_field_is_decided_by_itself() -> None:
    resolved = resolve({"name": "n"}, environ={"STORE_GROUP": "g", "WANDB_JOB_TYPE": "j"})
    settings = resolved.settings
    assert (settings.name, settings.group, settings.job_type) == ("n", "g", "j")
    assert settings.given == {"name", "group", "job_type"}
    assert set(resolved.origins) == set(FIELDS)


def test_os_environ_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORE_LABEL", "from-here")
    assert resolve({}).settings.label == "from-here"


def test_given_fields_of_a_settings_object_beat_the_environment() -> None:
    environ = {"STORE_MODE": "offline", "STORE_LABEL": "env"}
    settings = resolve(Settings(mode="auto").given_values(), environ=environ).settings
    assert (settings.mode, settings.label) == ("auto", "env")


def test_an_unknown_argument_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match="no setting 'projct'") as caught:
        resolve({"projct": "x"}, environ={})
    assert caught.value.hint == "did you mean project?"


# ---------------------------------------------------------------------------- environment

SAMPLES: dict[str, tuple[str, object]] = {
    "project": ("p", "p"),
    "entity": ("e", "e"),
    "name": (" n ", "n"),
    "run_id": ("id", "id"),
    "group": ("g", "g"),
    "job_type": ("j", "j"),
    "tags": (" a, b,,a ", ("a", "b")),
    "notes": ("long\nnote", "long\nnote"),
    "dir": ("/x/store", Path("/x/store")),
    "mode": ("Offline", "offline"),
    "resume": ("must", "must"),
    "reinit": ("yes", True),
    "label": ("l", "l"),
    "silent": ("ON", True),
    "url": ("http://host", "http://host"),
    "api_key": (KEY, KEY),
    "save_code": ("1", True),
    "git": ("off", False),
    "console": ("off", "off"),
    "system_metrics": ("off", False),
    "system_interval": ("0.5", 0.5),
    "strict": ("true", True),
    "spool": ("/spool", Path("/spool")),
    "journal": ("write", "write"),
    "disk": ("shared", "shared"),
    "agent": ("thread", "thread"),
    "start_method": ("spawn", "spawn"),
    "finish_timeout": ("2.5", 2.5),
    "fold_interval": ("1", 1.0),
    "fold_bytes": ("1000", 1000),
    "queue_bytes": ("1_000", 1000),
    "segment_bytes": ("4096", 4096),
}


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_has_its_environment_variable(name: str) -> None:
    text, value = SAMPLES[name]
    resolved = resolve({}, environ={f"STORE_{name.upper()}": text})
    assert getattr(resolved.settings, name) == value
    assert resolved.origins[name] == f"environment STORE_{name.upper()}"
    assert resolved.problems == ()


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("WANDB_ENTITY", "e", "entity", "e"),
        ("WANDB_NAME", "n", "name", "n"),
        ("WANDB_RUN_ID", "i", "run_id", "i"),
        ("WANDB_RUN_GROUP", "g", "group", "g"),
        ("WANDB_JOB_TYPE", "j", "job_type", "j"),
        ("WANDB_TAGS", "a,b", "tags", ("a", "b")),
        ("WANDB_NOTES", "n", "notes", "n"),
        ("WANDB_DIR", "/x", "dir", Path("/x/.store")),
        ("WANDB_MODE", "online", "mode", "online"),
        ("WANDB_DISABLED", "true", "mode", "disabled"),
        ("WANDB_RESUME", "allow", "resume", "allow"),
        ("WANDB_SILENT", "1", "silent", True),
        ("WANDB_BASE_URL", "https://w", "url", "https://w"),
        ("WANDB_SAVE_CODE", "yes", "save_code", True),
        ("WANDB_DISABLE_GIT", "true", "git", False),
        ("WANDB_CONSOLE", "off", "console", "off"),
        ("WANDB_CONSOLE", "redirect", "console", "wrap"),
        ("WANDB_X_DISABLE_STATS", "true", "system_metrics", False),
        ("WANDB__DISABLE_STATS", "1", "system_metrics", False),
        ("WANDB_X_STATS_SAMPLING_INTERVAL", "5", "system_interval", 5.0),
        ("WANDB_START_METHOD", "thread", "start_method", "thread"),
    ],
)
def test_wandb_variables_are_understood(variable: str, text: str, name: str, value: object) -> None:
    resolved = resolve({}, environ={variable: text})
    assert getattr(resolved.settings, name) == value
    assert resolved.origins[name] == f"environment {variable}"
    assert resolved.problems == ()


def test_wandb_disabled_goes_before_wandb_mode_only_when_true() -> None:
    assert resolve({}, environ={"WANDB_DISABLED": "1", "WANDB_MODE": "run"}).settings.mode == (
        "disabled"
    )
    resolved = resolve({}, environ={"WANDB_DISABLED": "false", "WANDB_MODE": "run"})
    assert resolved.origins["mode"] == "environment WANDB_MODE"


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_variable_counts_as_unset(text: str) -> None:
    resolved = resolve({}, environ={"STORE_PROJECT": text, "WANDB_PROJECT": "w"})
    assert resolved.origins["project"] == "environment WANDB_PROJECT"
    assert resolved.problems == ()


def test_a_bad_variable_is_a_problem_and_the_rest_stays_in_force(tmp_path: Path) -> None:
    file = settings_file(tmp_path, 'mode = "offline"\n')
    environ = {
        "STORE_MODE": "ofline",
        "WANDB_MODE": "disabled",
        "WANDB_SILENT": "perhaps",
        "STORE_FOLD_BYTES": "1e6",
        "STORE_LABEL": "rank0",
    }
    resolved = resolve({"fold_bytes": 7}, environ=environ, project_file=file)
    assert resolved.settings == Settings(mode="offline", fold_bytes=7, label="rank0")
    assert resolved.problems == (
        "STORE_MODE: expected auto, online, offline or disabled, not 'ofline' (ignored)",
        "WANDB_SILENT: expected true or false, not 'perhaps' (ignored)",
        "STORE_FOLD_BYTES: expected a whole number above 0, not '1e6' (ignored)",
    )


def test_wandb_variables_that_are_not_needed_are_not_judged() -> None:
    environ = {"WANDB_MODE": "shared", "STORE_MODE": "offline", "WANDB_CONSOLE": "nonsense"}
    assert resolve({"console": "off"}, environ=environ).problems == ()


# ---------------------------------------------------------------------------- keys and hosts


def test_a_wandb_key_goes_to_the_wandb_host() -> None:
    resolved = resolve({}, environ={"WANDB_API_KEY": "k" * 40, "WANDB_BASE_URL": "https://w"})
    assert (resolved.settings.url, resolved.settings.api_key) == ("https://w", "k" * 40)


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        ({}, {}),
        ({}, {"STORE_URL": "https://s"}),
        ({}, {"STORE_URL": "https://s", "WANDB_BASE_URL": "https://w"}),
        ({"url": "https://s"}, {"WANDB_BASE_URL": "https://w"}),
        ({}, {"STORE_URL": "nonsense", "WANDB_BASE_URL": "https://w"}),
        ({}, {"WANDB_BASE_URL": "nonsense"}),
    ],
)
def test_a_wandb_key_goes_to_no_other_host(
    arguments: dict[str, object], variables: dict[str, str], tmp_path: Path
) -> None:
    environ = {"WANDB_API_KEY": "k" * 40, **variables}
    resolved = resolve(arguments, environ=environ)
    assert resolved.settings.api_key is None
    assert resolved.origins["api_key"] == "default"
    file = settings_file(tmp_path, f'url = "https://file"\napi_key = "{KEY}"\n')
    resolved = resolve(arguments, environ=environ, user_file=file)
    assert resolved.settings.api_key == KEY


def test_a_key_of_ours_goes_with_the_url_in_force(tmp_path: Path) -> None:
    file = settings_file(tmp_path, 'url = "https://file"\n')
    environ = {"STORE_API_KEY": KEY, "WANDB_API_KEY": "k" * 40}
    resolved = resolve({}, environ=environ, user_file=file)
    assert (resolved.settings.url, resolved.settings.api_key) == ("https://file", KEY)


# ---------------------------------------------------------------------------- manual, cost


@pytest.mark.parametrize("name", FIELDS)
def test_the_manual_has_a_row_for_each_field(name: str) -> None:
    facts = FIELDS[name]
    assert facts.environment[0] == f"STORE_{name.upper()}"
    assert len(facts.help.splitlines()) == 1
    default = as_text(facts.default, facts.kind)
    cells = [
        f"`{name}`",
        ", ".join(f"`{variable}`" for variable in facts.environment),
        f"`{default}`" if default else "",
        facts.help,
        facts.kind.allowed,
    ]
    assert f"| {' | '.join(cells)} |" in DOCS.read_text(encoding="utf-8").splitlines()


def test_importing_and_resolving_loads_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys, dataclasses, os, pathlib, typing, collections.abc, importlib\n"
        "before = set(sys.modules)\n"
        "import store.settings as settings\n"
        "settings.resolve({'project': 'p'}, project_file=settings.project_settings_file(\n"
        "    settings.Path(sys.argv[1])), user_file=settings.user_settings_file({}))\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    environ = {name: value for name, value in os.environ.items() if "STORE" not in name}
    environ["XDG_CONFIG_HOME"] = environ["HOME"] = str(tmp_path)
    command = [sys.executable, "-c", script, str(tmp_path)]
    output = subprocess.run(command, env=environ, check=True, capture_output=True, text=True).stdout
    loaded = set(output.split())
    settings = ("store.settings", "store.settings_sources", "store.settings_words")
    expected = {"store", "store.errors", *settings}
    assert loaded - {"__future__"} == expected
