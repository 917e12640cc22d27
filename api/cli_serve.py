"""`store serve`: a server for the runs of many people, or of one on many machines."""

from __future__ import annotations

from pathlib import Path

import click

from store.api.shell import example, say, visible
from store.errors import StoreError, UsageError


def default_data() -> Path:
    """Where a server keeps its data if nothing is said."""
    from platformdirs import user_data_path

    return user_data_path("runstore-server", appauthor=False)


def data_option() -> click.Option:
    """The option --data of all commands about a server's folder."""
    return click.Option(
        ["--data"],
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        envvar="STORE_SERVER_DATA",
        help="The server's folder (default: runstore-server in your folder for data).",
    )


def data_folder(given: Path | None) -> Path:
    """The folder that --data means."""
    return (given or default_data()).expanduser().absolute()


def require_server() -> None:
    """StoreError where the packages of the server are not installed."""
    try:
        import jinja2  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise StoreError(
            f"the server needs a package that is not installed: {error.name}",
            hint="pip install 'runstore[server]'",
        ) from error


@click.command(
    epilog=example(
        "a server that machines of a network reach",
        "store serve --host 0.0.0.0 --tls-cert cert.pem --tls-key key.pem",
    )
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8321,
    show_default=True,
    help="The port to listen at; 0 takes a free one.",
)
@click.option(
    "--tls-cert",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The certificate (PEM), with --tls-key.",
)
@click.option(
    "--tls-key",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The certificate's key (PEM).",
)
@click.option("--insecure", is_flag=True, help="Allow plain HTTP on addresses of a network.")
@click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="How many processes serve.",
)
@click.option(
    "--allow-host",
    "allowed",
    multiple=True,
    metavar="NAME",
    help="A further name that the server is reached by (repeatable).",
)
def serve(
    data: Path | None,
    host: str,
    port: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    insecure: bool,
    processes: int,
    allowed: tuple[str, ...],
) -> None:
    """Serve runs to other machines: take them in, and show them to who may see them.

    The first start makes the user admin and prints its key, once. `store admin` makes users, keys
    and teams. The server is reached from this machine only, unless --host says otherwise.
    """
    if (tls_cert is None) != (tls_key is None):
        raise UsageError("--tls-cert and --tls-key belong together")
    require_server()
    from store.server.context import ServerOptions
    from store.server.serving import serve as run

    options = ServerOptions(data_folder(data), host, allowed, processes=processes)
    tls = None if tls_cert is None or tls_key is None else (tls_cert, tls_key)
    run(options, port, tls=tls, insecure=insecure, announce=_announce, say=_say)


serve.params.insert(0, data_option())


def _announce(line: str) -> None:
    click.echo(visible(line))


def _say(lines: str) -> None:
    for line in lines.splitlines():
        say(line)
