"""The command `store`.

The group knows its commands by a table of names, sections and one-line helps; a command's module
is imported when it is called, so that `store --help` loads neither SQLite nor tables nor git.

stdout carries data, stderr everything else. Exit codes: 0 done, 1 failed, 2 usage, 3 rows remain
unsent, 4 check found problems, 5 not allowed, 130 interrupted. A StoreError is two lines on
stderr, never a traceback; a reader of stdout that goes away ends the command quietly.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from store import __version__
from store.api.shell import HELP_OPTIONS, expected_errors, failure, store_option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from click.shell_completion import CompletionItem


class Entry(NamedTuple):
    """A command of the table: where it is, under which heading, in a few words."""

    where: str
    section: str
    help: str


COMMANDS: Final = {
    "ls": Entry("store.api.cli_runs:ls", "Look", "List the runs."),
    "show": Entry("store.api.cli_show:show", "Look", "Show everything about a run."),
    "sql": Entry("store.api.cli_sql:sql", "Look", "Ask all runs with SQL."),
    "ui": Entry("store.api.cli_ui:ui", "Look", "Show the runs in a browser."),
    "watch": Entry("store.api.cli_watch:watch", "Look", "Watch runs in the terminal, live."),
    "report": Entry("store.api.cli_report:report", "Look", "Write runs as one HTML file."),
    "status": Entry("store.api.cli_status:status", "Keep", "Say where the rows of each run are."),
    "check": Entry("store.api.cli_check:check", "Keep", "Verify runs, and repair them."),
    "copy": Entry("store.api.cli_move:copy", "Keep", "Copy a store or a run, also a live one."),
    "rm": Entry("store.api.cli_move:rm", "Keep", "Remove runs."),
    "sync": Entry("store.api.cli_sync:sync", "Sync", "Send what a remote does not have yet."),
    "verify": Entry("store.api.cli_verify:verify", "Sync", "Compare runs with what a remote has."),
    "pull": Entry("store.api.cli_verify:pull", "Sync", "Bring runs of a remote into this store."),
    "clean": Entry("store.api.cli_verify:clean", "Sync", "Remove runs here that a remote has."),
    "login": Entry("store.api.cli_remote:login", "Sync", "Sign in at a server."),
    "logout": Entry("store.api.cli_remote:logout", "Sync", "Forget the key for a server."),
    "whoami": Entry("store.api.cli_remote:whoami", "Sync", "Say which key a server gets."),
    "remote": Entry(
        "store.api.cli_remote:remote",
        "Sync",
        "Name the servers and folders that runs go to.",
    ),
    "serve": Entry("store.api.cli_serve:serve", "Server", "Serve runs to other machines."),
    "admin": Entry("store.api.cli_admin:admin", "Server", "Manage who may use a server."),
    "config": Entry("store.api.cli_settings:config", "Set up", "Show or change settings."),
    "completion": Entry(
        "store.api.cli_settings:completion", "Set up", "Print a completion script for a shell."
    ),
}


class Commands(click.Group):
    """A group whose commands are imported by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.where.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        command.context_settings = HELP_OPTIONS
        # `store ls --store X` is meant like `store --store X ls`.
        if not any(parameter.name == "store" for parameter in command.params):
            command.params.append(store_option(hidden=True))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in COMMANDS and not ctx.resilient_parsing:
            from difflib import get_close_matches

            close = get_close_matches(name, COMMANDS, n=1)
            meant = f" Did you mean {close[0]}?" if close else ""
            ctx.fail(f"No such command {name!r}.{meant}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
            with formatter.section(section):
                formatter.write_dl(_helps(section))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        from click.shell_completion import CompletionItem

        names: list[CompletionItem] = [
            CompletionItem(name, help=entry.help)
            for name, entry in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what may go wrong becomes a message and an exit code."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            from store.api.output import discard_closed_pipe

            discard_closed_pipe()
            ctx.exit(0)
        except KeyboardInterrupt:
            click.echo(err=True)
            ctx.exit(130)
        except click.Abort as error:
            click.echo("nothing was done", err=True)
            ctx.exit(130 if isinstance(error.__context__, KeyboardInterrupt) else 1)
        except expected_errors() as error:
            raise failure(error) from error


def _helps(section: str) -> Iterable[tuple[str, str]]:
    return [(name, entry.help) for name, entry in COMMANDS.items() if entry.section == section]


@click.group(
    cls=Commands,
    params=[store_option()],
    context_settings=HELP_OPTIONS,
    epilog="RUN is a run's id, name or path, or the beginning of its id or name."
    " `store COMMAND --help` says more, with an example.",
)
@click.version_option(__version__, prog_name="store")
def cli() -> None:
    """The runs of a store: see them, ask them, keep them.

    The store is --store, STORE_DIR, or the .store found from here upwards.
    """


def main() -> None:
    """The entry point of the command line."""
    from store.api.shell import safe_streams

    safe_streams()
    try:
        cli(prog_name="store")
    except KeyboardInterrupt:
        sys.exit(130)
