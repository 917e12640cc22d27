"""`store ui`: the pages of the store at hand, in a browser on this machine."""

from __future__ import annotations

import threading

import click

from store.api.cli_serve import require_server
from store.api.shell import example, say, store_folder


@click.command(epilog=example("the pages at a certain port", "store ui --port 9000 --no-browser"))
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="The port (default: 8322, or a free one where that is in use).",
)
@click.option("--no-browser", is_flag=True, help="Print the address, and open nothing.")
def ui(port: int | None, no_browser: bool) -> None:
    """Show the runs in a browser: tables, charts, console, files, SQL; live, without network.

    Only this machine reaches the pages. The address goes to stdout; Ctrl-C ends it.
    """
    require_server()
    from store.server.serving import serve_local

    store = store_folder()

    def announce(url: str) -> None:
        click.echo(url)
        say("Ctrl-C ends it")
        if not no_browser:
            import webbrowser

            # Some browsers are waited for until they are closed.
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()

    serve_local(store, port, announce=announce)
