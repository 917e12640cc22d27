"""`store admin`: users, keys, teams, members and projects of a server, beside it on its machine.

The commands change the accounts in the server's folder, whether it is running or not; whoever may
write there needs no key.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from store.api.cli_serve import data_folder, data_option
from store.api.output import OutputFormat, output_options, write_rows
from store.api.shell import example, moment, printed, say
from store.errors import UsageError

if TYPE_CHECKING:
    from store.server.accounts import Accounts

ROLES: Final = ("admin", "member", "viewer")
VISIBILITIES: Final = ("private", "team", "public", "open")
SCOPES: Final = ("read", "write", "admin")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


@contextlib.contextmanager
def accounts_at(data: Path | None) -> Iterator[Accounts]:
    """The accounts that --data means."""
    from store.server.folder import open_accounts

    accounts = open_accounts(data_folder(data))
    try:
        yield accounts
    finally:
        accounts.close()


def with_data(command: click.Command) -> click.Command:
    """The command with the option --data."""
    command.params.append(data_option())
    return command


@click.group(
    epilog=example(
        "a key for the jobs of a cluster",
        "store admin key create --user ann --write-only --expires 30d",
    )
)
def admin() -> None:
    """Manage who may use a server: users, their keys, teams, members and projects.

    Each command works on the folder of the server (--data), which may be running or not.
    """


# -- users -------------------------------------------------------------------------------------


@admin.group()
def user() -> None:
    """Make, list, disable and enable users."""


@with_data
@user.command("create")
@click.argument("name")
@click.option("--admin", "is_admin", is_flag=True, help="It may administer the server.")
def create_user(data: Path | None, name: str, is_admin: bool) -> None:
    """Make the user NAME, and the entity of that name for its projects."""
    with accounts_at(data) as accounts:
        accounts.create_user(name, admin=is_admin)
    say(f"made the user {name}; `store admin key create --user {name}` makes a key for it")


@with_data
@user.command("list")
@output_options
def list_users(data: Path | None, output: OutputFormat) -> None:
    """List the users."""
    with accounts_at(data) as accounts:
        rows = [(u.name, u.admin, u.disabled, moment(u.created)) for u in accounts.users()]
    write_rows(("name", "admin", "disabled", "created"), rows, output)


@with_data
@user.command("disable")
@click.argument("name")
def disable_user(data: Path | None, name: str) -> None:
    """Turn the user NAME away: its keys count no more, at once."""
    with accounts_at(data) as accounts:
        accounts.change_user(name, disabled=True)
    say(f"the user {name} is disabled; `store admin user enable {name}` undoes it")


@with_data
@user.command("enable")
@click.argument("name")
def enable_user(data: Path | None, name: str) -> None:
    """Let the user NAME in again, with the keys that it had."""
    with accounts_at(data) as accounts:
        accounts.change_user(name, disabled=False)
    say(f"the user {name} is enabled")


# -- keys --------------------------------------------------------------------------------------


@admin.group()
def key() -> None:
    """Make, list and revoke API keys."""


@with_data
@key.command("create")
@click.option("--user", "name", required=True, metavar="NAME", help="Whose; made if it lacks.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="What it may be used for (repeatable; default: read and write).",
)
@click.option("--write-only", is_flag=True, help="It may send rows, and read nothing.")
@click.option("--expires", metavar="WHEN", help="Such as 12h, 30d, 8w, or a date (UTC).")
@click.option("--label", metavar="TEXT", help="What it is for.")
@click.option("--json", "as_json", is_flag=True, help="Write a JSON object.")
def create_key(
    data: Path | None,
    name: str,
    scopes: tuple[str, ...],
    write_only: bool,
    expires: str | None,
    label: str | None,
    as_json: bool,
) -> None:
    """Make a key for a user and print it, this once.

    The scope admin lets a user manage what it owns, and an administrator the server.
    """
    if write_only and set(scopes) - {"write"}:
        raise UsageError("--write-only excludes other scopes")
    wanted = ("write",) if write_only else scopes or ("read", "write")
    end = None if expires is None else _end(expires)
    with accounts_at(data) as accounts:
        if all(known.name != name for known in accounts.users()):
            accounts.create_user(name)
            say(f"made the user {name}")
        text, made = accounts.create_key(name, wanted, label=label, expires=end)
    if as_json:
        facts = {"key": text, **_record(made._asdict())}
        click.echo(
            json.dumps({k: v for k, v in facts.items() if k not in ("last_used", "revoked")})
        )
        return
    say(f"a key for {name}, to {' and '.join(made.scopes)}; it is shown this once")
    printed(text)


def _end(text: str) -> float:
    """Seconds since 1970 of a duration from now, or of a date."""
    found = re.fullmatch(r"([0-9]{1,6})([smhdw])", text)
    if found:
        return time.time() + int(found[1]) * _UNITS[found[2]]
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"{text!r} is no time for a key to expire", hint="such as 12h, 30d, 8w or 2030-01-31"
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


KEY_TIMES: Final = ("created", "expires", "last_used", "revoked")


def _record(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: moment(v) if k in KEY_TIMES else v for k, v in fields.items()}


@with_data
@key.command("list")
@click.option("--user", "name", metavar="NAME", help="Only this user's.")
@output_options
def list_keys(data: Path | None, name: str | None, output: OutputFormat) -> None:
    """List the keys: what is kept of them, never the keys themselves."""
    with accounts_at(data) as accounts:
        if name is not None:
            accounts.user(name)
        found = accounts.keys(name)
    columns = ("id", "prefix", "user", "scopes", "label", *KEY_TIMES)
    records = [_record(one._asdict()) for one in found]
    if output.kind in ("auto", "table", "csv", "tsv"):
        records = [{**one, "scopes": " ".join(one["scopes"])} for one in records]
    write_rows(columns, ([one[name] for name in columns] for one in records), output)


@with_data
@key.command("revoke")
@click.argument("key_id", metavar="ID")
def revoke_key(data: Path | None, key_id: str) -> None:
    """Revoke a key, by its id or its first characters; it counts no more, at once."""
    with accounts_at(data) as accounts:
        found = [one for one in accounts.keys() if key_id in (one.id, one.prefix)]  # noqa: SIM118
        if len(found) > 1:
            raise UsageError(f"{key_id} is the beginning of several keys", hint="give the id")
        revoked = accounts.revoke_key(found[0].id if found else key_id)
    say(f"revoked the key {revoked.prefix}... of {revoked.user}")


# -- teams and members -------------------------------------------------------------------------


@admin.group()
def team() -> None:
    """Make and list teams."""


@with_data
@team.command("create")
@click.argument("name")
@click.option("--admin", "first", metavar="USER", help="Who administers it.")
def create_team(data: Path | None, name: str, first: str | None) -> None:
    """Make the team NAME."""
    with accounts_at(data) as accounts:
        accounts.create_team(name, admin=first)
    say(f"made the team {name}; `store admin member add {name} USER` adds members")


@with_data
@team.command("list")
@output_options
def list_teams(data: Path | None, output: OutputFormat) -> None:
    """List the teams."""
    with accounts_at(data) as accounts:
        rows = [
            (one.name, len({m.user for m in accounts.members(one.name)}), moment(one.created))
            for one in accounts.entities()
            if one.kind == "team"
        ]
    write_rows(("name", "members", "created"), rows, output)


@admin.group()
def member() -> None:
    """Add, list and remove members of teams, users and projects."""


@with_data
@member.command("add")
@click.argument("entity", metavar="ENTITY[/PROJECT]")
@click.argument("name", metavar="USER")
@click.option(
    "--role",
    type=click.Choice(ROLES),
    default="member",
    show_default=True,
    help="What it may do: admin manages, member writes, viewer reads.",
)
def add_member(data: Path | None, entity: str, name: str, role: str) -> None:
    """Make USER a member of an entity, or of one of its projects; or change its role."""
    where, _, project = entity.partition("/")
    with accounts_at(data) as accounts:
        accounts.set_member(where, name, role, project or None)
    say(f"{name} is {role} of {entity}")


@with_data
@member.command("list")
@click.argument("entity")
@output_options
def list_members(data: Path | None, entity: str, output: OutputFormat) -> None:
    """List the members of ENTITY and of its projects."""
    with accounts_at(data) as accounts:
        if accounts.entity(entity) is None:
            raise UsageError(f"there is no user or team {entity!r}")
        rows = [(m.user, m.role, m.project) for m in accounts.members(entity)]
    write_rows(("user", "role", "project"), rows, output)


@with_data
@member.command("remove")
@click.argument("entity", metavar="ENTITY[/PROJECT]")
@click.argument("name", metavar="USER")
def remove_member(data: Path | None, entity: str, name: str) -> None:
    """End a membership."""
    where, _, project = entity.partition("/")
    with accounts_at(data) as accounts:
        accounts.remove_member(where, name, project or None)
    say(f"{name} is no member of {entity} any more")


# -- projects ----------------------------------------------------------------------------------


@admin.group()
def project() -> None:
    """List projects, and say who sees them."""


@with_data
@project.command("list")
@output_options
def list_projects(data: Path | None, output: OutputFormat) -> None:
    """List the projects."""
    with accounts_at(data) as accounts:
        rows = [(p.entity, p.name, p.visibility, moment(p.created)) for p in accounts.projects()]
    write_rows(("entity", "name", "visibility", "created"), rows, output)


@with_data
@project.command("visibility")
@click.argument("path", metavar="ENTITY/PROJECT")
@click.argument("visibility", type=click.Choice(VISIBILITIES))
def set_visibility(data: Path | None, path: str, visibility: str) -> None:
    """Say who sees a project, also before its first run.

    private: who may write in its entity, and its own members; team: all members of its entity;
    public: everybody, without a key; open: everybody, and who has a key may write.
    """
    entity, _, name = path.partition("/")
    if not name:
        raise UsageError(f"{path!r} is not ENTITY/PROJECT")
    with accounts_at(data) as accounts:
        accounts.set_visibility(entity, name, visibility)
    say(f"{path} is {visibility}")
