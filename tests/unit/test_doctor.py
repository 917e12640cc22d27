"""The doctor of disks: what it finds on real ones, and what it makes of everything it may find."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from store.disk import Mount, find_mount
from store.doctor import examination
from store.doctor.examination import examine, record_kept
from store.doctor.probes import PROBES
from store.doctor.verdict import Answer, Facts, Neighbour, judge, remarks
from store.paths import StoreFolder, create_store
from tests.disks import tmpfs
from tests.fuse import bindfs, silent

ANSWERED = [name for name in PROBES if name != "tidy"]


def facts(**changed: Any) -> Facts:
    """A healthy disk with a store, but for what is `changed`; words of answers by `answers`."""
    answers = {name: Answer("yes") for name in ANSWERED}
    answers |= {name: Answer(word, "why") for name, word in changed.pop("answers", {}).items()}
    known: dict[str, Any] = {"recorded": "local", "detected": "local", "free_bytes": 2**40}
    known |= changed
    return Facts("/data", "here", answers, **known)


def mounted(options: str) -> Mount:
    return Mount("/mnt", "0:50", "nfs4", options)


def test_each_option_of_a_mount_is_said_once(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", 8) as folder:
        mount = find_mount(folder)
        assert mount is not None
        assert mount.kind == "tmpfs"
        options = mount.options.split(",")
        assert "rw" in options
        assert len(options) == len(set(options))


def other(**changed: Any) -> Neighbour:
    return Neighbour("there", 3.0, True, "refused", 0.0, False)._replace(**changed)


SHARED = {"recorded": "shared", "detected": "shared"}
NEW = {"recorded": None, "detected": "shared"}
LOCAL_LOCKS = "locks do not reach other hosts, which is no harm"
UNFIT = "do not keep a store here: "


@pytest.mark.parametrize(
    ("changed", "name", "sentence", "action", "is_fine"),
    [
        ({}, "local", "local mode is right here", "", True),
        ({"recorded": None}, "local", "local mode is right here", "", True),
        ({"answers": {"link": "no"}}, "local", "local mode is right here", "", True),
        ({"detected": "shared"}, "shared needed", "shared mode is needed", "--mode shared", False),
        (
            *({"detected": "shared", "answers": {"link": "no"}}, "shared needed"),
            *("shared mode is needed, and there are no hard links for it", "store copy", False),
        ),
        (
            *({"detected": "shared", "forced": True}, "local, forced"),
            *("local mode was forced: this store is for one host only", "", True),
        ),
        (
            *({"answers": {"flock": "no"}}, "shared needed"),
            *("shared mode is needed: locks do not work here", "--mode shared", False),
        ),
        (
            *({"recorded": None, "answers": {"flock": "no"}}, "shared needed"),
            *("shared mode is needed: locks do not work here", "STORE_DISK=shared", True),
        ),
        (NEW, "shared", "shared mode is needed", "a store that is made here gets it", True),
        (SHARED, "shared", "shared mode works", "", True),
        (
            *({"recorded": "shared"}, "shared, disk is local"),
            *("shared mode works; the disk is of this host", "--mode local", True),
        ),
        (
            *(SHARED | {"answers": {"flock": "no"}}, "shared, locks are local"),
            *(f"shared mode works; {LOCAL_LOCKS}", "", True),
        ),
        (
            *(SHARED | {"mount": mounted("rw,hard,nolock")}, "shared, locks are local"),
            *(f"shared mode works; {LOCAL_LOCKS}", "", True),
        ),
        (
            *(NEW | {"neighbours": (other(lock="granted"),)}, "shared, locks are local"),
            *(f"shared mode is needed; {LOCAL_LOCKS}", "gets it", True),
        ),
        (SHARED | {"neighbours": (other(),)}, "shared", "shared mode works", "", True),
        (
            *(SHARED | {"neighbours": (other(held=False, lock="granted"),)}, "shared"),
            *("shared mode works", "", True),
        ),
        (
            *(SHARED | {"answers": {"link": "no"}}, "no hard links"),
            *("no hard links: journals stay, rows without a journal cannot be kept", "pull", True),
        ),
        (
            {"answers": {"rename": "no"}},
            "unfit",
            f"{UNFIT}rename is not atomic",
            "STORE_DIR",
            False,
        ),
        ({"answers": {"replace": "no"}}, "unfit", f"{UNFIT}rename", "STORE_DIR", False),
        (SHARED | {"answers": {"list": "hangs"}}, "unfit", f"{UNFIT}new files", "STORE_DIR", False),
        (SHARED | {"answers": {"names": "crashed"}}, "unfit", f"{UNFIT}file names", "", False),
        (SHARED | {"answers": {"flock": "hangs"}}, "locks hang", f"{UNFIT}locks hang", "", False),
        (SHARED | {"answers": {"lockf": "hangs"}}, "locks hang", f"{UNFIT}locks hang", "", False),
        ({"free_bytes": 10**6}, "full", "the disk is almost full", "spool", False),
        ({"free_inodes": 10}, "full", "the disk is almost full", "spool", False),
        ({"answers": {"create": "no"}}, "unwritable", "nothing can be written", "right", False),
        ({"answers": {"look": "no"}}, "missing", "this folder cannot be used: why", "mkdir", False),
        ({"answers": {"look": "hangs"}}, "silent", "the disk does not answer", "ls /data", False),
        ({"answers": {"create": "hangs"}}, "silent", "the disk does not answer", "ls", False),
    ],
)
def test_every_verdict(
    changed: dict[str, Any], name: str, sentence: str, action: str, is_fine: bool
) -> None:
    verdict = judge(facts(**changed))
    assert (verdict.name, verdict.is_fine) == (name, is_fine)
    assert verdict.sentence.startswith(sentence)
    assert action in verdict.action
    assert bool(action) or not verdict.action or not is_fine


@pytest.mark.parametrize(
    ("changed", "remark"),
    [
        ({"mount": mounted("rw,soft")}, "mounted soft"),
        ({"mount": mounted("rw,nocto")}, "mounted nocto"),
        (SHARED | {"answers": {"replace": "no"}}, "away for a moment"),
        ({"clock": 61.0}, "this host's clock is 61 s ahead of"),
        ({"clock": -61.0}, "this host's clock is 61 s behind"),
        ({"sync": 1.25}, "1.2 s"),
        ({"neighbours": (other(clock=-9.0),)}, "the clock of there is 9 s behind"),
        ({"left": (4711,)}, "process 4711"),
    ],
)
def test_every_remark(changed: dict[str, Any], remark: str) -> None:
    (found,) = remarks(facts(**changed))
    assert remark in found
    assert list(remarks(facts(clock=0.1, sync=0.1, mount=mounted("rw,hard")))) == []


def files_of(folder: Path) -> list[str]:
    return sorted(os.fspath(path.relative_to(folder)) for path in folder.rglob("*"))


def test_everything_works_on_a_local_disk_and_nothing_is_left(store: StoreFolder) -> None:
    before = files_of(store.path)
    found = examine(store.path)
    assert found.answers == {name: Answer("yes") for name in ANSWERED}
    assert (found.path, found.recorded, found.detected) == (str(store.path), "local", "local")
    assert found.mount is not None
    assert found.mount.kind in {"ext4", "xfs", "btrfs", "overlay", "tmpfs"}
    assert found.sync is not None
    assert found.clock is not None
    assert abs(found.clock) < 5
    assert judge(found).name == "local"
    assert files_of(store.path) == before


def test_a_folder_that_is_no_store_and_one_that_holds_one(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    assert examine(tmp_path / "plain").recorded is None
    assert examine(tmp_path / "plain" / ".store").path == str(tmp_path / "plain")
    assert files_of(tmp_path / "plain") == []
    store = create_store(tmp_path / "plain" / ".store")
    assert examine(tmp_path / "plain").path == str(store.path)


def test_a_memory_disk(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", 300) as folder:
        found = examine(folder)
        assert found.mount is not None
        assert (found.mount.point, found.mount.kind) == (str(folder), "tmpfs")
        assert found.answers == {name: Answer("yes") for name in ANSWERED}
        assert judge(found).name == "local"
    with tmpfs(tmp_path / "small", 4) as folder:
        assert judge(examine(folder)).name == "full"


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", 4) as folder:
        create_store(folder / ".store")
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True, timeout=60)
        found = examine(folder)
    assert found.recorded == "local"
    assert found.answers["create"] == Answer("no", "Read-only file system")
    assert judge(found).sentence == "nothing can be written here: Read-only file system"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("nowhere", "file", "file/below"):
        found = examine(tmp_path / name)
        assert set(found.answers) == {"look"}
        assert judge(found).name == "missing"


@pytest.mark.parametrize(
    ("option", "name", "probe"),
    [
        ("--resolve-symlinks", "shared", ""),
        ("--rename-deny", "unfit", "rename"),
        ("--hide-hard-links", "no hard links", "link"),
    ],
)
def test_a_disk_in_user_space(tmp_path: Path, option: str, name: str, probe: str) -> None:
    with bindfs(tmp_path / "source", tmp_path / "mount", option) as folder:
        found = examine(folder)
    assert found.detected == "shared"
    assert judge(found).name == name
    failed = {name for name, answer in found.answers.items() if answer.word != "yes"}
    assert failed <= {probe, "replace"}
    assert not probe or probe in failed
    assert files_of(tmp_path / "source") == []


@contextmanager
def children_ended() -> Iterator[None]:
    """Reap what examine() had to leave behind, once its disk is gone."""
    yield
    while examination.left_behind:
        child = examination.left_behind.pop()
        child.process.wait(60)
        assert child.end()


def test_a_disk_that_does_not_answer_hangs_nobody(tmp_path: Path) -> None:
    with children_ended(), silent(tmp_path / "mount") as folder:
        found = examine(folder, 0.5)
        assert found.answers == {"look": Answer("hangs", "no answer in 0.5 s")}
        assert judge(found).name == "silent"
        assert found.left
        assert any(str(found.left[0]) in remark for remark in remarks(found))


def test_one_probe_that_hangs_does_not_hide_the_others(tmp_path: Path) -> None:
    store = create_store(tmp_path / ".store")
    (store.path / ".doctor").mkdir()
    record = store.path / ".doctor" / "elsewhere.json"
    with children_ended(), silent(tmp_path / "mount") as folder:
        record.symlink_to(folder / "record")
        found = examine(store.path, 5.0)
        words = {name: found.word(name) for name in ANSWERED}
        assert words == dict.fromkeys(ANSWERED, "yes") | {"others": "hangs"}
    assert files_of(store.path / ".doctor") == [record.name]


def test_locks_reach_another_host_or_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two mounts of one folder are as two hosts whose locks are local to each."""
    source = tmp_path / "source"
    create_store(source)
    monkeypatch.setenv("STORE_HOST", "Node A")
    mine = examine(source)
    with record_kept(mine, judge(mine), 60, 10) as problem:
        assert problem == ""
        monkeypatch.setenv("STORE_HOST", "node-b")
        (seen,) = examine(source).neighbours
        assert (seen.host, seen.held, seen.lock) == ("Node A", True, "refused")
        assert seen.same_machine
        assert seen.age < 60
        assert seen.clock is not None
        assert abs(seen.clock) < 5
        with bindfs(source, tmp_path / "mount") as folder:
            found = examine(folder)
            assert [(near.held, near.lock) for near in found.neighbours] == [(True, "granted")]
    (seen,) = examine(source).neighbours
    assert (seen.held, seen.lock) == (False, "granted")
    assert files_of(source) == [".doctor", ".doctor/%4Eode%20%41.json", ".gitignore", "store.json"]


def test_a_record_whose_host_was_killed_and_one_that_is_rubbish(
    store: StoreFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE_HOST", "a")
    mine = examine(store.path)
    with record_kept(mine, judge(mine), 0, 10) as problem:
        assert problem == ""
    records = store.path / ".doctor"
    left = (records / "a.json").read_text().replace('"held": false', '"held": true')
    (records / "a.json").write_text(left)
    os.utime(records / "a.json", (1.0, 1.0))
    for number, text in enumerate(("", "[1]", '{"host": [], "clock": "x", "held": 1}')):
        (records / f"rubbish{number}.json").write_text(text)
    monkeypatch.setenv("STORE_HOST", "b")
    found = examine(store.path)
    assert [near.held for near in found.neighbours] == [False] * 4
    assert found.neighbours[0].age > 1e6
    assert judge(found).name == "local"


def test_a_child_that_dies_of_a_probe_is_told_of(
    store: StoreFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    line = examination.Child.line

    def killing_line(child: examination.Child, timeout: float) -> str | None:
        asked.append("")
        if len(asked) == 2 + ANSWERED.index("map"):
            os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()
            while line(child, timeout) is not None:
                pass
            return None
        return line(child, timeout)

    monkeypatch.setattr(examination.Child, "line", killing_line)
    found = examine(store.path)
    assert found.word("map") == "crashed"
    assert found.word("speed") == "yes"
    assert files_of(store.path) == [".gitignore", "store.json"]
