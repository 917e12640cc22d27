"""The rounds: what a cluster does to a run that all of its nodes write.

Each ends with every row that was acknowledged in its place, once, as both nodes see the run, with
`store check` clean on both, and gives the figures for the table. A writer that has ended has all
its rows there; of one that was cut off those count that it had flushed (`flush(durable=True)`)
before the cut. How old the oldest of its rows that was lost was at the cut is measured: the
background thread puts rows on the server every second, on a machine that is fast enough.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from tests.nfs.nodes import LOCAL, SECONDS, SHARE, Counted, Line, Node

PAUSE: Final = 0.05
SILENT_SECONDS: Final = 90
FREEZE_SECONDS: Final = 120
RUN: Final = "r1"
FILL: Final = (
    "for size in 256M 16M 1M 4K; do "
    "while fallocate -l $size fill.$((n+=1)) 2> /dev/null; do :; done; done"
)


class Options(NamedTuple):
    """How long and how often."""

    minutes: float
    rounds: int
    choose: random.Random


class Scene:
    """One round: its store, and the writers that were started on either node."""

    def __init__(self, rig: Any, name: str, options: Options) -> None:
        self.rig = rig
        self.name = name
        self.options = options
        self.a, self.b = (Node(rig, node) for node in ("node-a", "node-b"))
        self.folder = f"{SHARE}/{name}"
        self.facts: dict[str, object] = {}
        self.writers: dict[str, Node] = {}

    def write(self, node: Node, number: int, mark: str = "") -> list[str]:
        """Start `number` writers; gives their names."""
        names = [f"{self.name}-{mark}{node.name[-1]}{n}" for n in range(number)]
        for name in names:
            until, notes = f"{LOCAL}/{self.name}.stop", f"{LOCAL}/{name}.ack"
            node.work(name, "write", self.folder, RUN, name, notes, until, PAUSE)
            self.writers[name] = node
        self.wait_for(names)
        return names

    def wait_for(self, names: Iterable[str], lines: int = 2) -> None:
        """Until each of the writers has written so many more lines."""
        for name in names:
            node = self.writers[name]
            end, begun = time.monotonic() + 300, len(node.acknowledged(name))
            while len(node.acknowledged(name)) < begun + lines:
                assert time.monotonic() < end, f"{name} writes nothing\n{node.told(name)}"
                time.sleep(0.5)

    def stop(self, *nodes: Node) -> None:
        for node in nodes or (self.a, self.b):
            node.touch(f"{self.name}.stop")

    def end_writers(self, *, but: Iterable[str] = ()) -> None:
        """Let the writers end; all they have logged must be there, and no row twice."""
        self.stop()
        left = {name: node for name, node in self.writers.items() if name not in set(but)}
        results = {name: node.result(name) for name, node in left.items()}
        for node in (self.a, self.b):
            counted = node.count(self.folder)
            for name, result in results.items():
                expect_whole(counted, name, node, result["rows"])
        refused = sum(result["refused"] for result in results.values())
        self.facts |= {"flushes refused": refused} if refused else {}
        self.facts |= {
            "rows": sum(result["rows"] for result in results.values()),
            "longest log()": seconds(max(result["longest"] for result in results.values())),
        }

    def abandon(self) -> None:
        """After a failure: nothing of this round may disturb the next."""
        for node in (self.a, self.b):
            if self.rig.pid_of(node.name):
                self.rig.freeze(node.name, on=False)
            else:
                self.rig.boot(node.name)
        for name, node in self.writers.items():
            node.kill(name)

    def check(self) -> None:
        for node in (self.a, self.b):
            node.check(self.folder)


def expect_whole(counted: dict[str, Counted], name: str, node: Node, least: int) -> int:
    """All of a writer's first `least` rows are there, and none twice; gives how many are."""
    found = counted.get(name, Counted(0, 0, -1))
    assert found.is_whole, f"{name}, seen from {node.name}: {found}"
    assert found.rows >= least, f"{name}, seen from {node.name}: {found} of {least}"
    return found.rows


def seconds(value: float) -> str:
    return f"{value:.1f} s"


def many(scene: Scene) -> None:
    """Four writers on each node, a reader, and a sync to a server, at the same time."""
    a = scene.a
    a.start("serve", "store", "serve", "--data", f"{LOCAL}/data", "--port", "8321")
    scene.write(a, 4)
    scene.write(scene.b, 4)
    a.work("reader", "read", scene.folder, f"{LOCAL}/{scene.name}.stop")
    key = next(line for line in a.told("serve").split() if line.startswith("st-"))
    remote = {"STORE_URL": "http://127.0.0.1:8321", "STORE_API_KEY": key}
    a.start("watch", "store", "--store", scene.folder, "sync", "--watch", **remote)
    time.sleep(60 * scene.options.minutes)
    scene.end_writers()
    reader = a.result("reader")
    assert reader["looks"] > 1, reader
    assert reader["fell"] == 0, reader
    sent_by_watch = a.told("watch")
    a.kill("watch", "TERM")
    last = a.store(scene.folder, "sync", check=False, **remote)
    assert last.returncode == 0, sent_by_watch + last.stdout + last.stderr
    verified = a.store(scene.folder, "verify", "--deep", check=False, **remote)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    a.kill("serve", "TERM")
    scene.facts |= {"looks": reader["looks"]}


def power_cut(scene: Scene) -> None:
    """node-b loses its power while it writes, again and again; node-a writes on."""
    a, b, times = scene.a, scene.b, scene.options.rounds
    scene.write(a, 2)
    cut: list[str] = []
    lost, oldest = 0, 0.0
    for number in range(times):
        names = scene.write(b, 2, f"{number}")
        time.sleep(scene.options.choose.uniform(2, 12))
        scene.rig.kill(b.name)
        counted = a.count(scene.folder)
        cut += names
        scene.rig.boot(b.name)
        for name in names:
            lines = b.acknowledged(name)
            found = expect_whole(counted, name, a, lines[-1].flushed)
            lost += max(0, lines[-1].logged - found)
            oldest = max(oldest, age_of_loss(lines, found))
    scene.wait_for(name for name, node in scene.writers.items() if node is a)
    scene.end_writers(but=cut)
    time.sleep(SILENT_SECONDS + 5)
    adopted = a.store(scene.folder, "check", "--adopt", b.name)
    assert f"{len(cut)} journals of {b.name} taken over" in adopted.stderr, adopted.stderr
    for node in (a, b):
        counted = node.count(scene.folder)
        for name in cut:
            expect_whole(counted, name, node, b.acknowledged(name)[-1].flushed)
    left = a.run("ls", f"{scene.folder}/local/nfs/{RUN}/journals").stdout
    assert not left, left
    scene.facts |= {
        "cuts": times,
        "flushed rows lost": 0,
        "unflushed rows lost": lost,
        "oldest of them": seconds(oldest),
    }


def age_of_loss(lines: list[Line], found: int) -> float:
    """How long before the last sign of the writer it had logged the first row that is missing."""
    return max((lines[-1].time - line.time for line in lines if line.logged > found), default=0.0)


def freeze(scene: Scene) -> None:
    """node-b hangs for two minutes while it writes; node-a reads, publishes and sends."""
    _freeze(scene, adopt=False)


def adopted_alive(scene: Scene) -> None:
    """The same, and somebody at node-a takes node-b for dead meanwhile."""
    _freeze(scene, adopt=True)


def _freeze(scene: Scene, *, adopt: bool) -> None:
    a, b = scene.a, scene.b
    ours, theirs = scene.write(a, 2), scene.write(b, 2)
    acknowledged = {name: b.acknowledged(name)[-1] for name in theirs}
    scene.rig.freeze(b.name)
    began = time.monotonic()
    try:
        counted = a.count(scene.folder)
        for name, line in acknowledged.items():
            expect_whole(counted, name, a, line.flushed)
        a.work("publish", "publish", scene.folder, RUN, 2)
        assert not (result := a.result("publish"))["failed"], result
        sent = a.store(scene.folder, "sync", "--to", f"{LOCAL}/{scene.name}-copy", check=False)
        assert sent.returncode in (0, 3), sent.stdout + sent.stderr
        time.sleep(max(0.0, FREEZE_SECONDS - (time.monotonic() - began)))
        if adopt:
            taken = a.store(scene.folder, "check", "--adopt", b.name)
            assert f"2 journals of {b.name} taken over" in taken.stderr, taken.stderr
    finally:
        scene.facts["frozen"] = seconds(time.monotonic() - began)
        scene.rig.freeze(b.name, on=False)
        scene.rig.forget_ssh(b.name)
    scene.wait_for([*ours, *theirs], lines=20)
    scene.end_writers()


def server(scene: Scene) -> None:
    """The file server loses its power while all write, and comes back."""
    names = scene.write(scene.a, 2) + scene.write(scene.b, 2)
    for _ in range(2):
        time.sleep(scene.options.choose.uniform(2, 6))
        began = time.monotonic()
        scene.rig.kill("server")
        scene.rig.boot("server")
        scene.facts["server away"] = seconds(time.monotonic() - began)
        scene.wait_for(names, lines=10)
    scene.end_writers()


def full(scene: Scene) -> None:
    """The file server's disk is full for half a minute: what log() took waits, and is not lost."""
    names = scene.write(scene.a, 2) + scene.write(scene.b, 2)
    scene.rig.run("server", f"cd /srv/share; {FILL}", timeout=SECONDS)
    time.sleep(30)
    scene.rig.run("server", "rm -f /srv/share/fill.*", timeout=SECONDS, check=True)
    scene.wait_for(names, lines=5)
    time.sleep(5)
    scene.end_writers()


def publish(scene: Scene) -> None:
    """Both nodes publish snapshots of the run at once while both write it."""
    names = scene.write(scene.a, 2) + scene.write(scene.b, 2)
    times = 5 * scene.options.rounds
    for node in (scene.a, scene.b):
        node.work("publish", "publish", scene.folder, RUN, times)
    results = [node.result("publish", 3600) for node in (scene.a, scene.b)]
    scene.wait_for(names)
    scene.end_writers()
    assert not [problem for result in results for problem in result["failed"]], results
    scene.facts |= {"asked": 2 * times, "made": sum(result["made"] for result in results)}


def dead_process(scene: Scene) -> None:
    """Processes are killed on a node that lives; a user reads who may write nothing."""
    a, b = scene.a, scene.b
    scene.write(a, 2)
    dead = scene.write(b, 2, "dead-")
    scene.write(b, 1)
    for name in dead:
        b.kill(name)
    counted = a.count(scene.folder)
    for name in dead:
        expect_whole(counted, name, a, b.acknowledged(name)[-1].logged)
    a.run("sh", "-c", f"mkdir -p {LOCAL}/reader && chown 65534 {LOCAL}/reader")
    read_only = a.run(
        *("setpriv", "--reuid", 65534, "--regid", 65534, "--clear-groups"),
        *("python", f"{LOCAL}/worker.py", "count", scene.folder),
        STORE_CACHE=f"{LOCAL}/reader",
        HOME=f"{LOCAL}/reader",
    )
    assert set(json.loads(read_only.stdout)) == {f"w{name}" for name in scene.writers}
    scene.end_writers(but=dead)
    b.work("publish", "publish", scene.folder, RUN, 1)
    b.result("publish")
    left = a.run("ls", f"{scene.folder}/local/nfs/{RUN}/journals").stdout
    assert not left, left


ROUNDS: Final[dict[str, Callable[[Scene], None]]] = {
    "dead-process": dead_process,
    "publish": publish,
    "server": server,
    "full": full,
    "freeze": freeze,
    "adopted-alive": adopted_alive,
    "many": many,
    "power-cut": power_cut,
}
