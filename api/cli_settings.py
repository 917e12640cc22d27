"""`store config` and `store completion`: settings in force, where they come from, and the shell."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click

from store.api.output import OutputFormat, output_options, write_rows
from store.api.shell import example, plural, printed, say, store_folder, store_path
from store.errors import UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from store.disk import Mode
    from store.paths import RunFolder
    from store.settings import Resolved

SHELLS: Final = ("bash", "zsh", "fish")
File = Literal["user", "project"]


class SettingName(click.ParamType[str]):
    """The name of a setting."""

    name = "setting"

    def shell_complete(
        self,
        ctx: click.Context,  # noqa: ARG002
        param: click.Parameter,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        from store.settings import FIELDS

        return [
            CompletionItem(name, help=facts.help)
            for name, facts in FIELDS.items()
            if name.startswith(incomplete)
        ]


@click.command(
    epilog=example("group the runs of this store", "store config project digits --project")
)
@click.argument("key", type=SettingName(), required=False)
@click.argument("value", required=False)
@click.option("--where", is_flag=True, help="Say where each value comes from.")
@click.option(
    "--user",
    "file",
    flag_value="user",
    type=click.Choice(("user", "project")),
    help="Change the user's file (the default).",
)
@click.option(
    "--project",
    "file",
    flag_value="project",
    type=click.Choice(("user", "project")),
    help="Change the store's own file.",
)
@click.option("--unset", is_flag=True, help="Remove KEY from the file.")
@click.option(
    "--mode",
    type=click.Choice(("local", "shared")),
    help="Make the store one for this host alone, or for several.",
)
@click.option(
    "--force", is_flag=True, help="With --mode: where nobody can tell whether it is safe."
)
@output_options
def config(
    key: str | None,
    value: str | None,
    where: bool,
    file: File | None,
    unset: bool,
    mode: Mode | None,
    force: bool,
    output: OutputFormat,
) -> None:
    """Show or change settings: all in force, or KEY; with VALUE, KEY is set.

    VALUE is written as in the environment (true, 2.5, a,b for tags). - reads it from stdin, which
    keeps a key out of the shell's history.

    --mode is about the disk that the store lies on: `store check --disk` says which is right. All
    runs must have ended.
    """
    from store.settings import FIELDS
    from store.settings_sources import closest

    if mode is not None or force:
        if mode is None or key is not None or unset or file is not None:
            raise click.UsageError("--mode stands alone, but for --force")
        _change_mode(mode, force)
        return
    if key is not None and key not in FIELDS:
        raise UsageError(f"there is no setting {key!r}", hint=closest(key, FIELDS))
    if unset or value is not None:
        if key is None:
            raise click.UsageError("--unset needs the name of a setting")
        if unset and value is not None:
            raise click.UsageError("--unset takes no value")
        _change(key, None if unset else _value(value or "", key), file or "user")
        return
    if file is not None:
        raise click.UsageError(
            f"--{file} says where a value is set: give KEY and VALUE, or --unset"
        )
    _show(key, where, output)


def _change_mode(mode: Mode, force: bool) -> None:
    from store.shared.modes import change_mode

    store = store_folder()
    runs = 0

    def count(_run: RunFolder) -> None:
        nonlocal runs
        runs += 1

    if store.record.mode == mode and not store.is_misplaced:
        say(f"{store.path} is in {mode} mode already")
    changed = change_mode(store, mode, force=force, tell=count)
    said = ", whatever its disk looks like" if changed.record.forced else ""
    say(f"{plural(runs, 'run')} made fit; {store.path} is in {mode} mode{said}")


def _show(key: str | None, where: bool, output: OutputFormat) -> None:
    from store.settings import describe

    resolved = _resolve()
    for problem in resolved.problems:
        say(f"note: {problem}")
    rows = [row for row in describe(resolved) if key in (None, row[0])]
    if key is not None and output.kind == "auto":
        ((_, value, origin),) = rows
        printed_value(f"{value}\t{origin}" if where else value)
        return
    columns = ("setting", "value", "from") if where else ("setting", "value")
    write_rows(columns, [row[: len(columns)] for row in rows], output)


def printed_value(text: str) -> None:
    """A value alone on a line, harmless on a terminal."""
    from store.api.shell import visible

    printed("\t".join(visible(part) for part in text.split("\t")))


def _resolve() -> Resolved:
    from store.settings import project_settings_file, resolve, user_settings_file

    return resolve(
        {},
        project_file=project_settings_file(store_path()),
        user_file=user_settings_file(os.environ),
    )


def _value(value: str, key: str) -> str:
    if value != "-":
        return value
    if sys.stdin.isatty():
        return str(click.prompt(key, hide_input=True, err=True))
    return sys.stdin.readline().rstrip("\n")


def _change(key: str, value: str | None, which: File) -> None:
    from store.settings import FIELDS, project_settings_file, user_settings_file, write_setting

    if which == "project":
        if key == "dir":
            raise UsageError(
                "dir names the store, so a store's own file cannot set it",
                hint="set it with --user, or STORE_DIR",
            )
        target = project_settings_file(store_folder().path)
    else:
        target = user_settings_file(os.environ)
    write_setting(target, key, value)
    shown = "" if value is None else f" = {'(hidden)' if FIELDS[key].kind.secret else value}"
    say(f"{'unset' if value is None else 'set'} {key}{shown} in {target}")
    _tell_what_wins(key, target)


def _tell_what_wins(key: str, target: Path) -> None:
    """A value that another place overrides looks as if it had no effect."""
    resolved = _resolve()
    origin = resolved.origins[key]
    if origin not in ("default", f"project file {target}", f"user file {target}"):
        say(f"note: the value in force comes from {origin}")


@click.command(
    epilog=example("in bash, from the next login on", "store completion bash >> ~/.bash_completion")
)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print a completion script for a shell: bash, zsh or fish.

    Commands, options, run ids and run names complete.
    """
    from click.shell_completion import get_completion_class

    from store.api.cli import cli

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(cli, {}, "store", "_STORE_COMPLETE").source())
