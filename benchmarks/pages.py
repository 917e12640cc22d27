"""The pages in a real browser: how soon they are there, what they cost, and how a zoom feels.

    python benchmarks/pages.py                  everything: about 15 minutes
    python benchmarks/pages.py --quick          the smaller runs, no peers
    python benchmarks/pages.py --keep FOLDER    runs and their copies for peers stay there

Needs Chromium and playwright. `cold`: nobody has looked at the run before; `warm`: somebody has,
with another browser. `drawn` is from the click to the frame that shows the last chart; `zoom` from
letting go of the mouse to the frame that shows what is loaded, `finer` to that with all points.
A peer's page counts as drawn when it has changed for the last time before QUIET seconds without a
change or an answer. Peers show `some` (5 charts of 100,000 points) and `sweep` (100 runs).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from measure import Figure, number, print_table
from page_peers import PEERS
from page_runs import make_runs
from page_values import METRICS, SCALES
from peers import is_installed, python_of

from store.paths import create_store

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HERE: Final = Path(__file__).resolve().parent
SIZE: Final = (1920, 1080)
ROUNDS: Final = 3
QUIET: Final = 1.5
PEER_SECONDS: Final = 180.0
PEER_REST: Final = 30.0
"""Seconds after which a page counts that never comes to rest, since it asks again and again."""
SWEPT: Final = ",".join(f"run-{run:04}" for run in range(SCALES["sweep"].runs))
ADDRESSES: Final = {
    "many": "/local/many/runs/run-0000",
    "some": "/local/some/runs/run-0000",
    "sweep": f"/local/sweep/compare?runs={SWEPT}",
    "table": "/local/table",
}
LOOKED: Final = {
    "many": "5 charts x 1 M points",
    "some": "5 charts x 100 k points",
    "sweep": "100 runs x 5 charts",
    "table": "table of 5,000 runs",
}
AIMS: Final = {("many", "warm"): 700.0, ("sweep", "warm"): 1500.0, ("table", "warm"): 500.0}
ARGUMENTS: Final = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"),
    *("--disable-component-update", "--disable-sync", "--enable-precise-memory-info"),
)
WATCH: Final = """
window.seen = { drawn: 0, finer: 0, changed: 0 };
document.addEventListener("drawn", () => requestAnimationFrame(() => setTimeout(() => {
  window.seen.drawn = performance.now();
})), true);
new MutationObserver(() => { window.seen.changed = performance.now(); })
  .observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
"""
ZOOM: Final = """() => new Promise((done) => {
  addEventListener("mouseup", () => {
    const start = performance.now();
    window.seen.drawn = 0;
    requestAnimationFrame(() => setTimeout(() => {
      const zoom = performance.now() - start;
      const wait = () => window.seen.drawn
        ? done([zoom, window.seen.drawn - start]) : setTimeout(wait, 5);
      setTimeout(() => done([zoom, NaN]), 3000);
      wait();
    }));
  }, { once: true });
  window.listening = true;
})"""
Seen = dict[str, float]


# -- servers -----------------------------------------------------------------------------------


@contextlib.contextmanager
def process(arguments: Sequence[str], environment: Mapping[str, str]) -> Iterator[Any]:
    """A server in a process group of its own, ended with all its helpers."""
    started = subprocess.Popen(
        arguments,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGTERM)
        try:
            started.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
        started.communicate()


@contextlib.contextmanager
def our_pages(folder: Path, cache: Path) -> Iterator[str]:
    """`store ui` of a store; gives its address."""
    command = [sys.executable, "-P", "-m", "store", "--store", os.fspath(folder), "ui"]
    environment = {**os.environ, "STORE_CACHE": os.fspath(cache)}
    with process([*command, "--port", "0", "--no-browser"], environment) as ui:
        yield ui.stdout.readline().strip()


@contextlib.contextmanager
def peer_pages(peer: str, folder: Path) -> Iterator[str]:
    """A peer's server; gives its address once it takes connections."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    pages = PEERS[peer]
    arguments = [os.fspath(python_of(peer)), *pages.serve(folder, port)]
    environment = {**peer_environment(folder), **pages.variables(folder, port)}
    with process(arguments, environment) as server:
        end = time.monotonic() + 60
        while time.monotonic() < end and server.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                yield f"http://127.0.0.1:{port}"
                return
            time.sleep(0.2)
        raise TimeoutError("it did not start")


def peer_environment(folder: Path) -> dict[str, str]:
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("STORE_")}
    return kept | {"HOME": os.fspath(home), "TRACKIO_DIR": os.fspath(folder)}


# -- looking -----------------------------------------------------------------------------------


@contextlib.contextmanager
def fresh_page(browser: Browser) -> Iterator[tuple[Page, Seen]]:
    """A page of a new profile, and the bytes that it was sent."""
    context = browser.new_context(viewport={"width": SIZE[0], "height": SIZE[1]})
    page = context.new_page()
    page.add_init_script(WATCH)
    session = context.new_cdp_session(page)
    session.send("Network.enable")
    sent = {"bytes": 0.0, "answered": time.monotonic()}

    def count(event: dict[str, Any]) -> None:
        sent["bytes"] += event["encodedDataLength"]
        sent["answered"] = time.monotonic()

    session.on("Network.loadingFinished", count)
    try:
        yield page, sent
    finally:
        context.close()


def look(browser: Browser, url: str, scale: str) -> Seen:
    """Open one of our pages and zoom into its first chart."""
    with fresh_page(browser) as (page, sent):
        page.goto(url, wait_until="commit")
        if scale == "table":
            page.wait_for_selector("tr[data-run] >> nth=20", state="attached")
            page.wait_for_load_state("networkidle")
            drawn = page.evaluate(
                "() => performance.getEntriesByName('first-contentful-paint')[0].startTime"
            )
        else:
            card = f".chart-card.drawn >> nth={len(METRICS) - 1}"
            page.wait_for_selector(card, state="attached", timeout=120_000)
            page.wait_for_timeout(100)
            drawn = page.evaluate("() => window.seen.drawn")
        seen = facts(page, sent) | {"drawn": drawn}
        return seen if scale == "table" else seen | zoom(page)


def facts(page: Page, sent: Seen) -> Seen:
    paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN"
    bytes_sent = sent["bytes"]
    page.context.new_cdp_session(page).send("HeapProfiler.collectGarbage")
    return {
        "paint": page.evaluate(f"() => {paint}"),
        "MB": bytes_sent / 1e6,
        "heap": page.evaluate("() => performance.memory.usedJSHeapSize / 1e6"),
    }


def zoom(page: Page) -> Seen:
    """Select a part of the first chart."""
    box = page.locator(".chart-card .u-over").first.bounding_box()
    assert box is not None
    x, y, width = box["x"], box["y"] + box["height"] / 2, box["width"]
    page.evaluate(f"() => {{ window.zoomed = ({ZOOM})(); }}")
    page.mouse.move(x + width * 0.4, y)
    page.mouse.down()
    page.mouse.move(x + width * 0.5, y, steps=4)
    page.mouse.up()
    first, finer = page.evaluate("() => window.zoomed")
    return {"zoom": first, "finer": finer if finer is not None else float("nan")}


def look_at_peer(browser: Browser, url: str) -> Seen:
    """Open a peer's page and wait until it has come to rest."""
    with fresh_page(browser) as (page, sent):
        page.goto(url, wait_until="commit")
        end = time.monotonic() + PEER_REST
        drawn = 0.0
        while time.monotonic() < end:
            page.wait_for_timeout(250)
            changed, now = page.evaluate("() => [window.seen.changed, performance.now()]")
            drawn = max(drawn, changed)
            if now - changed > QUIET * 1000 and time.monotonic() - sent["answered"] > QUIET:
                break
        return facts(page, sent) | {"drawn": drawn, "zoom": float("nan"), "finer": float("nan")}


# -- rounds ------------------------------------------------------------------------------------


def measure_ours(
    browser: Browser, folder: Path, scales: Sequence[str]
) -> dict[tuple[str, str], Seen]:
    """Each scale cold, then the medians of warm rounds."""
    found = {}
    for scale in scales:
        with tempfile.TemporaryDirectory() as cache:
            with our_pages(folder, Path(cache)) as url:
                found[scale, "cold"] = look(browser, url + ADDRESSES[scale], scale)
            with our_pages(folder, Path(cache)) as url:
                look(browser, url + ADDRESSES[scale], scale)
                rounds = [look(browser, url + ADDRESSES[scale], scale) for _ in range(ROUNDS)]
        found[scale, "warm"] = {name: median(one[name] for one in rounds) for name in rounds[0]}
    return found


def measure_peer(browser: Browser, peer: str, base: Path, scale: str) -> Seen | str:
    """The median of a peer's page, or why there is none."""
    if not is_installed(peer):
        return "not installed"
    print(f"looking at {PEERS[peer].name}: {LOOKED[scale]} ...", file=sys.stderr, flush=True)
    folder = base / peer / scale
    told = folder / "address.json"
    if not told.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        command = [os.fspath(python_of(peer)), os.fspath(HERE / "page_peers.py")]
        try:
            subprocess.run(
                [*command, peer, os.fspath(folder), scale],
                env=peer_environment(folder),
                check=True,
                capture_output=True,
                timeout=PEER_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return f"writing took more than {PEER_SECONDS:.0f} s"
        except subprocess.CalledProcessError as error:
            words: str = error.stderr.decode(errors="replace")
            return words.strip().splitlines()[-1][:80]
    try:
        with peer_pages(peer, folder) as url:
            address = url + json.loads(told.read_text())
            rounds = [look_at_peer(browser, address) for _ in range(ROUNDS)]
    except TimeoutError as error:
        return str(error)
    if any(math.isnan(one["paint"]) for one in rounds[1:]):
        return "its page stayed empty"
    return {name: median(one[name] for one in rounds[1:]) for name in rounds[0]}


def cells(seen: Seen) -> list[str]:
    return [
        *(number(seen.get(name, float("nan"))) for name in ("paint", "drawn", "zoom", "finer")),
        *(number(seen[name]) for name in ("MB", "heap")),
    ]


HEADS: Final = (
    *("page", "", "first paint ms", "drawn ms", "zoom ms", "finer ms", "sent MB", "heap MB"),
    "drawn, ratio",
)


def report(ours: dict[tuple[str, str], Seen], peers: dict[tuple[str, str], Seen | str]) -> None:
    lines = []
    for (scale, state), seen in ours.items():
        lines.append([LOOKED[scale], f"runstore, {state}", *cells(seen), ""])
        if state == "cold":
            continue
        for (peer, looked), found in peers.items():
            if looked != scale:
                continue
            name = PEERS[peer].name
            if isinstance(found, str):
                lines.append([LOOKED[scale], name, *["-"] * 6, found])
            else:
                ratio = f"{found['drawn'] / seen['drawn']:.1f} x"
                lines.append([LOOKED[scale], name, *cells(found), ratio])
    print_table(f"Pages at {SIZE[0]} x {SIZE[1]}, headless, software drawing", HEADS, lines)
    figures = [
        Figure(f"{LOOKED[scale]}, {state}: drawn", ours[scale, state]["drawn"], "ms", aim)
        for (scale, state), aim in AIMS.items()
        if (scale, state) in ours
    ]
    if ("many", "warm") in ours:
        seen = ours["many", "warm"]
        figures += [
            Figure(f"{LOOKED['many']}: sent", seen["MB"], "MB", 0.3),
            Figure(f"{LOOKED['many']}: zoom of what is loaded", seen["zoom"], "ms", 34),
            Figure(f"{LOOKED['many']}: finer points", seen["finer"], "ms", 300),
        ]
    print_table("Aims", ("figure", "measured", "unit", "aim", "", ""), [f.cells() for f in figures])


def peers_of(chosen: argparse.Namespace) -> list[str]:
    if chosen.peers is not None:
        return list(chosen.peers)
    return [] if chosen.quick else list(PEERS)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the smaller runs, no peers")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the runs stay")
    parser.add_argument("--only", action="append", choices=list(ADDRESSES), metavar="PAGE")
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), metavar="PEER")
    chosen = parser.parse_args()
    program = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if program is None:
        parser.error("there is no Chromium here")
    from playwright.sync_api import sync_playwright

    scales = chosen.only or [s for s in ADDRESSES if not chosen.quick or s in ("some", "sweep")]
    with contextlib.ExitStack() as stack:
        base = chosen.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = create_store(base / "store")
        for scale in scales:
            if not (folder.path / "local" / scale).exists():
                print(f"making {LOOKED[scale]} ...", file=sys.stderr)
                make_runs(folder, "local", SCALES[scale])
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        stack.callback(browser.close)
        ours = measure_ours(browser, folder.path, scales)
        peers = {
            (peer, scale): measure_peer(browser, peer, base, scale)
            for scale in scales
            if scale in ("some", "sweep")
            for peer in peers_of(chosen)
        }
        report(ours, peers)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
