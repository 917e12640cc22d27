"""Files of a run to a folder: whole, under their names, and never as what they are not."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

import store
from store.paths import RunFolder, StoreFolder
from store.row import Kind
from store.sync.blobs import Blobs
from tests.helpers import (
    problems,
)
from tests.stored_runs import rows_of as made
from tests.sync.batches import WiredFolder, positions, put
from tests.sync.sending import C, assert_same, send


@pytest.fixture
def with_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A run that has kept a/one.txt, two.bin (1.5 MB) and same.txt, which is as a/one.txt."""
    work = tmp_path / "work"
    (work / "a").mkdir(parents=True)
    monkeypatch.chdir(work)
    Path("a/one.txt").write_text("one")
    Path("two.bin").write_bytes(os.urandom(3 * 2**19))
    Path("same.txt").write_text("one")
    settings = store.Settings(silent=True, git=False, console="off")
    with store.init(dir=tmp_path / "here", project="p", settings=settings) as live:
        for name in ("a/one.txt", "two.bin", "same.txt"):
            live.save(name)
        live.log({"loss": 0.5})
    (run,) = StoreFolder(tmp_path / "here").runs()
    return run


def files_of(run: RunFolder) -> dict[str, bytes]:
    return {
        path.relative_to(run.files).as_posix(): path.read_bytes()
        for path in run.files.rglob("*")
        if path.is_file() and not path.relative_to(run.files).parts[0].startswith(".")
    }


def test_files_arrive_under_their_names(with_files: RunFolder, remote: WiredFolder) -> None:
    sent = send(with_files, remote)
    assert (sent.files, sent.standing.files) == (2, 0)
    assert files_of(remote.copy_of(with_files)) == files_of(with_files)
    assert len(files_of(with_files)) == 3
    assert_same(with_files, remote)
    assert send(with_files, remote).files == 0


@pytest.mark.parametrize("when", ["before", "between", "after"])
def test_contents_without_names_get_them(
    with_files: RunFolder, remote: WiredFolder, when: str
) -> None:
    """They came with another run, or their receiver was killed before it had named them."""
    blobs = Blobs(remote.store, with_files.entity)

    def add_contents() -> None:
        for content in files_of(with_files).values():
            blobs.add(hashlib.sha256(content).hexdigest(), 0, len(content), [content])

    if when == "before":
        add_contents()
    send(with_files, remote, stop=lambda: when == "after")
    if when == "between":
        shutil.rmtree(remote.copy_of(with_files).files)
    if when == "after":
        add_contents()
    assert send(with_files, remote).files == 0
    assert files_of(remote.copy_of(with_files)) == files_of(with_files)
    assert_same(with_files, remote)


def test_files_may_be_stopped_and_go_on(with_files: RunFolder, remote: WiredFolder) -> None:
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked > 3

    sent = send(with_files, remote, stop=stop)
    assert (sent.rows > 0, sent.files, sent.standing.files) == (True, 1, 1)
    assert not sent.standing.is_synced
    assert send(with_files, remote).files == 1
    assert_same(with_files, remote)


def test_a_file_that_is_gone_is_told_of_and_stops_nothing(
    with_files: RunFolder, remote: WiredFolder
) -> None:
    for path in with_files.files.rglob("*"):
        if path.is_file() and path.stat().st_size > 10:
            path.unlink()
    for _ in range(2):
        sent = send(with_files, remote)
        assert (sent.standing.files, sent.standing.is_synced) == (1, False)
        assert sent.standing.error is not None
        assert "two.bin" in sent.standing.error
        assert "one.txt" not in sent.standing.error
    assert positions(remote.copy_of(with_files)) == positions(with_files)
    (wrong,) = problems(remote.store)
    assert "two.bin" in wrong.text


@pytest.mark.parametrize("how", ["replaced", "written"])
def test_a_file_that_was_changed_is_not_sent_as_what_it_was(
    with_files: RunFolder, remote: WiredFolder, how: str
) -> None:
    original = files_of(with_files)
    if how == "replaced":
        (with_files.files / "two.bin").unlink()
    (with_files.files / "two.bin").write_bytes(b"changed")
    sent = send(with_files, remote)
    if how == "replaced":  # what was kept first is still there, under its hash
        assert (sent.files, sent.standing.is_synced) == (2, True)
        assert files_of(remote.copy_of(with_files)) == original
    else:
        assert (sent.files, sent.standing.files, sent.standing.is_synced) == (1, 1, False)
        assert sent.standing.error is not None
        assert "two.bin" in sent.standing.error
    assert not list(remote.store.path.glob("*/.blobs/partial/*"))


def test_a_name_that_leads_elsewhere_is_not_read(run: RunFolder, remote: WiredFolder) -> None:
    secret = run.path.parents[2].parent / "secret"
    secret.write_text("secret")
    facts = {"sha256": hashlib.sha256(b"secret").hexdigest(), "size": 6}
    names = ["../" * 5 + "secret", str(secret), "x" * 5000, "a\0b"]
    put(run, C, made((Kind.FILE, 0, dict.fromkeys(names, facts))))
    sent = send(run, remote)
    assert (sent.files, sent.standing.files, sent.standing.unsent) == (0, 1, 0)
    assert sent.standing.error is not None
    assert not list(remote.store.path.glob("*/.blobs/??/*"))


def test_a_file_of_the_right_size_is_no_proof_of_a_content(
    run: RunFolder, remote: WiredFolder
) -> None:
    """A row of a stranger's may name the hash of what another run has sent, and a file of ours."""
    sha256 = hashlib.sha256(b"secret").hexdigest()
    Blobs(remote.store, run.entity).add(sha256, 0, 6, [b"secret"])
    run.files.mkdir(parents=True)
    (run.files / "hello.txt").write_bytes(b"public")
    put(run, C, made((Kind.FILE, 0, {"hello.txt": {"sha256": sha256, "size": 6}})))
    sent = send(run, remote)
    assert (sent.files, sent.standing.files) == (0, 1)
    assert files_of(remote.copy_of(run)) == {}
    (run.files / "hello.txt").write_bytes(b"secret")
    assert send(run, remote).standing.files == 0
    assert files_of(remote.copy_of(run)) == {"hello.txt": b"secret"}
