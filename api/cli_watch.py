"""`store watch`: how runs go on, live in the terminal, or as lines where there is none."""

from __future__ import annotations

import sys

import click

from store.api.shell import RUN, example, open_store, printed, store_folder
from store.errors import RunNotFound, StoreError
from store.query import Store


@click.command(epilog=example("a line a minute for the log of a job", "store watch --interval 60"))
@click.argument("run", type=RUN, metavar="[RUN]", required=False)
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 86400),
    metavar="SECONDS",
    help="Print a line so often, also on a terminal (default where there is none: 10).",
)
@click.option("--once", is_flag=True, help="Print how things stand, and end.")
def watch(run: str | None, interval: float | None, once: bool) -> None:
    """Watch runs in the terminal, live: charts, console, config, many runs together.

    h lists the keys. Where there is no terminal, a line about RUN, or about each run that is
    running, is printed every --interval seconds until they have ended.
    """
    # textual reads keys from stdin and draws on stderr.
    has_terminal = all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
    if once or interval is not None or not has_terminal:
        _watch_lines(run, interval or 10.0, once=once)
    else:
        _watch_screen(run)


def _watch_lines(run: str | None, interval: float, *, once: bool) -> None:
    from store.api.watch.plain import watch_lines

    def tell(line: str) -> None:
        printed(line)
        sys.stdout.flush()

    with open_store() as store:
        key = _find(store, run) if run else None
        watch_lines(store, key, interval=interval, once=once, tell=tell)


def _watch_screen(run: str | None) -> None:
    try:
        import textual  # noqa: F401
    except ImportError as error:
        raise StoreError(
            f"the view needs a package that is not installed: {error.name}",
            hint="pip install 'runstore[tui]'; `store watch --interval 10` prints lines without it",
        ) from error
    from store.api.chart import supports_braille
    from store.api.watch.app import WatchApp

    folder = store_folder()
    key = None
    if run:
        with Store(folder, warn=lambda _: None) as store:
            key = _find(store, run)
    WatchApp(folder, key, ascii_only=not supports_braille(sys.stdout)).run()


def _find(store: Store, run: str) -> str:
    """The key of the run that is meant; a look at all runs only where it is not known yet."""
    try:
        return store.catalogue.find(run).key
    except RunNotFound:
        store.refresh()
        return store.catalogue.find(run).key
