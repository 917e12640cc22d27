"""`store login`, `logout`, `whoami` and `store remote`: servers, keys for them, remotes of a store.

A key is typed without an echo or read as one line from stdin; it is never an argument, an option
or part of an address, where other users of the machine and the shell's history would see it.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from store.api.output import OutputFormat, output_options, write_rows
from store.api.shell import (
    HELP_OPTIONS,
    example,
    moment,
    paint,
    plural,
    printed,
    say,
    store_folder,
    store_option,
    store_path,
)
from store.errors import NotAllowed, StoreNotFound, UsageError

if TYPE_CHECKING:
    from store.settings import Resolved
    from store.sync.greeting import Identity
    from store.sync.remotes import RemoteEntry

URL: Final = click.argument("url", required=False, metavar="[URL]")


@click.command(epilog=example("a server of your own", "store login http://localhost:8321"))
@URL
@click.option("--insecure", is_flag=True, help="Let the key go to this host over plain http.")
def login(url: str | None, insecure: bool) -> None:
    """Sign in at a server: ask for a key, try it, and keep it.

    The key is asked for, or read from stdin where that is no terminal. It is kept for this server
    alone, in a file that only you can read. Without URL the server of the settings is meant.
    """
    from store.sync.address import parse_address
    from store.sync.credentials import save_key
    from store.sync.greeting import greet, identify
    from store.sync.http import Connection

    resolved = _resolve()
    server, _ = _server(url, resolved)
    if not parse_address(server).is_private and not insecure:
        raise NotAllowed(
            f"{server} is not https://: the key would go there for everybody on the way to read",
            hint="use https://, or --insecure if you trust the network between",
        )
    with Connection(server) as unknown:
        greet(unknown)
    key = _read_key(server)
    with Connection(server, key, insecure=insecure) as connection:
        who = identify(connection)
    file = save_key(server, key, user=who.user, insecure=insecure)
    say(f"signed in at {server} as {who.user} ({_entities(who)}); the key is kept in {file}")
    _tell_what_wins(server, resolved)


def _read_key(server: str) -> str:
    from store.sync.credentials import is_key

    if sys.stdin.isatty():
        key = str(click.prompt(f"Key for {server}", hide_input=True, err=True))
    else:
        key = sys.stdin.readline()
    key = key.strip()
    if not is_key(key):
        raise UsageError(
            "that is no key" if key else "no key was given",
            hint="a key is st- and 40 hexadecimal digits; the server's admins make them",
        )
    return key


def _entities(who: Identity) -> str:
    names = [name if role in ("", "owner") else f"{name}: {role}" for name, role in who.entities]
    return f"entities {', '.join(names)}" if names else "no entities"


def _tell_what_wins(server: str, resolved: Resolved) -> None:
    """A key that another one goes before, or a server that is not used, looks as if lost."""
    from store.sync.credentials import FILE_ORIGIN, key_for

    found = key_for(server, resolved)
    if found is not None and not found.origin.startswith(FILE_ORIGIN):
        say(f"note: {found.origin} has another key, which goes before this one")
    if resolved.settings.url is None and _default_remote(resolved) is None:
        say(f"note: `store config url {server}` makes it the server of your runs")


@click.command(epilog=example("forget one of several", "store logout https://runs.example.org"))
@URL
def logout(url: str | None) -> None:
    """Forget the key for a server.

    The key itself stays valid: an admin of the server can revoke it.
    """
    from store.sync.credentials import forget_key, key_for

    resolved = _resolve()
    server, named = _server(url, resolved)
    if forget_key(server):
        say(f"forgot the key for {server}")
    else:
        say(f"there was no key for {server}")
    found = key_for(server, resolved, named=named)
    if found is not None:
        say(f"note: {found.origin} still has a key for it")


@click.command(epilog=example("ask the server, too", "store whoami --verify"))
@URL
@click.option("--verify", is_flag=True, help="Ask the server whether the key is good.")
@click.option("--json", "as_json", is_flag=True, help="Write a JSON object.")
def whoami(url: str | None, verify: bool, as_json: bool) -> None:
    """Say which key a server gets, and where the key comes from.

    Exits with 5 where there is no key, or (with --verify) where the server does not take it.
    """
    from store.sync.credentials import connect, key_for, no_key
    from store.sync.greeting import identify

    resolved = _resolve()
    server, named = _server(url, resolved)
    found = key_for(server, resolved, named=named)
    if found is None:
        raise no_key(server, resolved)
    if found.note:
        say(f"note: {found.note}")
    facts: dict[str, Any] = {"server": server, "key": found.shown, "from": found.origin}
    if verify:
        with connect(server, resolved, named=named) as connection:
            facts |= _facts(identify(connection))
    if as_json:
        printed(json.dumps(facts, ensure_ascii=False, indent=2))
        return
    for name, value in facts.items():
        printed(f"{name.replace('_', ' ').ljust(16 if verify else 8)}{paint(_shown(value))}")


def _facts(who: Identity) -> dict[str, Any]:
    return {
        "user": who.user,
        "default_entity": who.default_entity,
        "entities": [{"name": name, "role": role} for name, role in who.entities],
        "scopes": list(who.scopes),
        "expires": moment(who.expires),
    }


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    if isinstance(value, dict):
        return f"{value['name']} ({value['role']})"
    return "never" if value is None else str(value)


# -- store remote ------------------------------------------------------------------------------


@click.group(
    epilog=example("a server for this store's runs", "store remote add main https://r.example.org")
)
def remote() -> None:
    """Name the servers and folders that runs go to.

    The default one is the url of the settings, else the one that was made it, else the only one.
    """


def _options(command: click.Command) -> click.Command:
    """What the main group does for its own commands."""
    command.context_settings = HELP_OPTIONS
    command.params.append(store_option(hidden=True))
    return command


@remote.command(epilog=example("a disk", "store remote add backup /mnt/disk/runs"))
@click.argument("name")
@click.argument("to", metavar="URL|FOLDER")
@click.option("--default", is_flag=True, help="Make it the default one.")
def add(name: str, to: str, default: bool) -> None:
    """Add a remote: the address of a server, or a folder."""
    from store.sync.remotes import add as add_remote

    entry = add_remote(store_folder(), name, to, default=default)
    say(f"added {entry}{', the default remote' if entry.is_default else ''}")


@remote.command("list", epilog=example("as JSON", "store remote list --json"))
@output_options
def list_remotes(output: OutputFormat) -> None:
    """List the remotes of the store."""
    from store.sync.remotes import remotes

    entries = remotes(store_folder())
    if not entries and output.kind in ("auto", "table"):
        say("this store has no remotes")
    else:
        rows = [(entry.name, _kind(entry), entry.address, entry.is_default) for entry in entries]
        write_rows(("name", "kind", "address", "default"), rows, output)
    resolved = _resolve()
    if resolved.settings.url is not None:
        say(f"note: {resolved.settings.url} is the default ({resolved.origins['url']})")


def _kind(entry: RemoteEntry) -> str:
    return "server" if entry.url else "folder"


@remote.command(epilog=example("the backup", "store remote remove backup"))
@click.argument("name")
def remove(name: str) -> None:
    """Remove a remote from the list. What was sent there stays."""
    from store.sync.remotes import remove as remove_remote

    say(f"removed {remove_remote(store_folder(), name)}")


@remote.command(epilog=example("the backup", "store remote default backup"))
@click.argument("name")
def default(name: str) -> None:
    """Make a remote the default one."""
    from store.sync.remotes import set_default

    entry = set_default(store_folder(), name)
    say(f"{entry} is the default remote")
    url = _resolve()
    if url.settings.url is not None:
        say(f"note: {url.settings.url} goes before it ({url.origins['url']})")


for _command in remote.commands.values():
    _options(_command)


# -- which server is meant ---------------------------------------------------------------------


def _resolve() -> Resolved:
    import os

    from store.settings import project_settings_file, resolve, user_settings_file

    resolved = resolve(
        {},
        project_file=project_settings_file(store_path()),
        user_file=user_settings_file(os.environ),
    )
    for problem in resolved.problems:
        say(f"note: {problem}")
    return resolved


def _default_remote(resolved: Resolved) -> RemoteEntry | None:
    from store.sync.remotes import default_remote

    try:
        return default_remote(store_folder(), resolved.settings)
    except StoreNotFound:
        return None


def _server(url: str | None, resolved: Resolved) -> tuple[str, bool]:
    """The address of the server that is meant, and whether the user typed it."""
    from store.sync.address import normal_url
    from store.sync.credentials import known_servers

    if url is not None:
        return normal_url(url), True
    setting = resolved.settings.url
    if setting is not None and setting.lower().startswith(("http://", "https://")):
        return normal_url(setting), False
    entry = _default_remote(resolved)
    if entry is not None and entry.url is not None:
        return entry.url, False
    known = known_servers()
    if len(known) == 1:
        return known[0], False
    raise UsageError(
        f"there are keys for {plural(len(known), 'server')}: name the one that is meant"
        if known
        else "it is not said which server is meant",
        hint=f"{', '.join(known)}" if known else "give its address, https://...",
    )
