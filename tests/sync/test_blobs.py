"""Contents of files: resumed at any byte, never wrong, and under no name that leads elsewhere."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.errors import RemoteRefused
from store.paths import RunFolder, StoreFolder, create_store
from store.row import Kind
from store.sync.blobs import (
    Blobs,
    find_content,
    is_safe_name,
    is_sha256,
    link_files,
    missing_contents,
    read_blocks,
    wanted_files,
)
from store.transfer import hash_file
from tests.helpers import problems
from tests.stored_runs import rows_of
from tests.sync.batches import new_run, put

CONTENT = bytes(range(0, 256, 5)) + b"the end"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SIZE = len(CONTENT)


@pytest.fixture
def store(tmp_path: Path) -> StoreFolder:
    return create_store(tmp_path / "s")


@pytest.fixture
def blobs(store: StoreFolder) -> Blobs:
    return Blobs(store, "local")


def content_at(blobs: Blobs, sha256: str = SHA256) -> bytes:
    return blobs.path(sha256).read_bytes()


# -- coming ------------------------------------------------------------------------------------


def test_a_content_goes_on_where_it_was_cut(blobs: Blobs) -> None:
    for offset in range(SIZE + 1):
        assert blobs.missing([SHA256]) == {SHA256: 0}
        if offset:
            assert blobs.add(SHA256, 0, SIZE, [CONTENT[:offset]]) == offset
        if offset < SIZE:
            assert not blobs.path(SHA256).exists()
            assert blobs.missing([SHA256]) == {SHA256: offset}
            assert blobs.add(SHA256, offset, SIZE, [CONTENT[offset:]]) == SIZE
        assert blobs.missing([SHA256]) == {}
        assert content_at(blobs) == CONTENT
        blobs.path(SHA256).unlink()
    assert list((blobs.path(SHA256).parents[1] / "partial").iterdir()) == []


def test_a_sender_that_breaks_off_leaves_what_came(blobs: Blobs) -> None:
    def broken() -> Iterator[bytes]:
        yield CONTENT[:30]
        yield CONTENT[30:45]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        blobs.add(SHA256, 0, SIZE, broken())
    assert blobs.missing([SHA256]) == {SHA256: 45}
    assert blobs.add(SHA256, 45, SIZE, [CONTENT[45:]]) == SIZE
    assert content_at(blobs) == CONTENT


def test_what_came_whole_but_was_not_looked_at_is_looked_at_later(blobs: Blobs) -> None:
    """The receiver was killed between the last byte and the new name."""
    blobs.add(SHA256, 0, SIZE + 1, [CONTENT])
    assert blobs.missing([SHA256]) == {SHA256: SIZE}
    assert blobs.add(SHA256, SIZE, SIZE, []) == SIZE
    assert content_at(blobs) == CONTENT


@pytest.mark.parametrize("offset", [1, 29, 31, 10**12])
def test_bytes_that_do_not_follow_are_refused(blobs: Blobs, offset: int) -> None:
    blobs.add(SHA256, 0, SIZE, [CONTENT[:30]])
    with pytest.raises(RemoteRefused) as caught:
        blobs.add(SHA256, offset, SIZE, [CONTENT])
    assert (caught.value.status, caught.value.code) == (409, "gap")
    assert blobs.missing([SHA256]) == {SHA256: 30}


@pytest.mark.parametrize(
    "parts",
    [
        [b"x" * SIZE],
        [CONTENT[:-1], b"x"],
        [CONTENT, b"and more"],
        [CONTENT * 2],
        [CONTENT[:-1] + b"x", CONTENT],
    ],
)
def test_what_its_hash_does_not_tell_of_is_thrown_away(blobs: Blobs, parts: list[bytes]) -> None:
    with pytest.raises(RemoteRefused) as caught:
        blobs.add(SHA256, 0, SIZE, parts)
    assert (caught.value.status, caught.value.code) == (422, "bad_blob")
    assert blobs.missing([SHA256]) == {SHA256: 0}
    assert blobs.add(SHA256, 0, SIZE, [CONTENT]) == SIZE
    assert content_at(blobs) == CONTENT


def test_what_is_there_is_not_taken_again(blobs: Blobs) -> None:
    blobs.add(SHA256, 0, SIZE, [CONTENT])
    for offset, size in ((0, SIZE), (7, SIZE), (0, 3), (0, 10**12)):
        assert blobs.add(SHA256, offset, size, [b"other"]) == size
    assert content_at(blobs) == CONTENT
    assert blobs.missing([SHA256]) == {}


def test_an_empty_file_is_a_content_too(blobs: Blobs) -> None:
    empty = hashlib.sha256(b"").hexdigest()
    assert blobs.add(empty, 0, 0, []) == 0
    assert content_at(blobs, empty) == b""
    assert blobs.missing([empty]) == {}


def test_many_senders_of_one_content(blobs: Blobs) -> None:
    content = os.urandom(3 * 2**20)
    sha256 = hashlib.sha256(content).hexdigest()
    ready = threading.Barrier(4)
    told: list[object] = []

    def send() -> None:
        ready.wait(60)
        chunks = (content[at : at + 2**16] for at in range(0, len(content), 2**16))
        try:
            told.append(blobs.add(sha256, 0, len(content), chunks))
        except RemoteRefused as error:
            told.append(error.code)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert told == [len(content)] * 4
    assert content_at(blobs, sha256) == content
    assert blobs.path(sha256).stat().st_nlink == 1


@pytest.mark.parametrize(
    "text",
    ["", "a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 63 + "\n", "a" * 64 + "\n", "../" + "a" * 61,
     "\u0661" * 64],
)  # fmt: skip
def test_a_hash_is_64_small_hex_digits(text: str) -> None:
    assert not is_sha256(text)
    assert is_sha256(SHA256)


# -- names -------------------------------------------------------------------------------------

HOSTILE = [
    *("", ".", "..", "/", "//", "a//b", "a/", "/a", "/etc/passwd", "../x", "../../x", "a/../b"),
    *("a/..", "./a", "a/.", "a/./b", "....//x/..", ".hidden", ".content/x", ".blobs", ".123.abcd"),
    *("..%2fx", "C:\\x", "c:x", "a\\b", "..\\x", "\\\\host\\share", "a:b", "x:$DATA", "a*", "a?"),
    *('a"', "a|b"),
    *("<a", "a>", "a\0b", "\0", "a\nb", "a\rb", "a\tb", "a\x1b[2Jb", "a\x7fb", "a\x85b"),
    *("a\u202eb", "a\u200bb", "a\u2066b", "\ufeffa", "a\u2028b", "a\u2029b", "\U000e0041a"),
    *("a\u00adb", "a\ud800b", "\udcff", "e\u0301", "\u212b", "con", "CON", "Con.txt", "nul"),
    *("aux.tar.gz", "a/prn", "com1", "LPT9.log", "com\u00b9", "lpt\u00b3.x", "con .txt", "CONIN$"),
    *("conout$", "a.", "a ", "a. ", "a./b", "a /b"),
    *("x" * 256, "a/" + "x" * 256, "\U0001f600" * 64, "x" * 10_000, "a/" * 5000 + "a"),
    *("\u00fc" * 128, "x/" * 600 + "x"),
]  # fmt: skip
PLAIN = [
    *("a", "a.txt", "d/b/c.pt", "model-1.0+x_(2).ckpt", "\u00fc/\u03ba/\u6a21\u578b", "a b", "a'b"),
    *("%2e%2e/x", "%00", "f/.b", "a..b", "x" * 255, "com", "com10", "console"),
    *("nul1", "\U0001f600.png", "~x/x", "~", "-rf", "$HOME", "`x`", "a;b", "a&b", "{a}"),
    *("a,b", "#a"),
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: ascii(name[:20]))
def test_names_that_are_not_the_same_everywhere_are_not_used(name: str) -> None:
    assert not is_safe_name(name)


@pytest.mark.parametrize("name", PLAIN, ids=lambda name: ascii(name[:20]))
def test_plain_names_are_used(name: str) -> None:
    assert is_safe_name(name)


def told_of(store: StoreFolder, *names: str, sha256: str = SHA256) -> RunFolder:
    """A run with rows that tell of one content under these names."""
    run = store.run("local", "p", "r")
    facts = {"sha256": sha256, "size": SIZE}
    put(run, "a" * 32, rows_of(*((Kind.FILE, 0, {name: facts}) for name in names)))
    return run


def everything(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_files_get_their_plain_names_and_nothing_else_happens(
    tmp_path: Path, store: StoreFolder, blobs: Blobs
) -> None:
    storable = [name for name in HOSTILE if "\ud800" not in name and "\udcff" not in name]
    run = told_of(store, *storable, *PLAIN)
    before = everything(tmp_path)
    blobs.add(SHA256, 0, SIZE, [CONTENT])
    link_files(run, blobs)
    link_files(run, blobs)
    new = everything(tmp_path) - before
    files = run.files.relative_to(tmp_path).as_posix()
    expected = {f"{files}/{name}" for name in (*PLAIN, f".content/{SHA256}")}
    folders = {parent.as_posix() for name in expected for parent in Path(name).parents}
    blob = {path.relative_to(tmp_path).as_posix()
            for path in (blobs.path(SHA256), *blobs.path(SHA256).parents[:2],
                         blobs.path(SHA256).parents[1] / "partial")}  # fmt: skip
    assert new - folders - blob == expected
    for name in PLAIN:
        assert (run.files / name).read_bytes() == CONTENT
        assert (run.files / name).samefile(blobs.path(SHA256))


def test_a_file_where_another_has_a_folder_does_not_stop_the_rest(
    store: StoreFolder, blobs: Blobs
) -> None:
    run = told_of(store, "a", "a/b", "c/d", "c", "e")
    blobs.add(SHA256, 0, SIZE, [CONTENT])
    for _ in range(2):
        link_files(run, blobs)
        assert (run.files / "e").read_bytes() == CONTENT
        assert (run.files / "a").is_file() or (run.files / "a/b").is_file()
        assert (run.files / "c").is_file() or (run.files / "c/d").is_file()
    assert [name for name in os.listdir(run.files) if name.startswith(".")] == [".content"]


def test_a_changed_file_gets_its_content_back(store: StoreFolder, blobs: Blobs) -> None:
    run = told_of(store, "a.txt")
    blobs.add(SHA256, 0, SIZE, [CONTENT])
    run.files.mkdir()
    for other in (b"x" * SIZE, b"other", b""):
        (run.files / "a.txt").unlink(missing_ok=True)
        (run.files / "a.txt").write_bytes(other)
        link_files(run, blobs)
        assert (run.files / "a.txt").read_bytes() == CONTENT
    assert content_at(blobs) == CONTENT
    assert problems(store) == []


def test_rows_may_say_anything_of_a_file(store: StoreFolder) -> None:
    run = store.run("local", "p", "r")
    odd: list[object] = [None, 1, "x", [], {}, {"sha256": SHA256}, {"sha256": "../x", "size": 1},
           {"sha256": SHA256, "size": "1"}, {"sha256": [SHA256], "size": 1}]  # fmt: skip
    said = {f"file{n}": facts for n, facts in enumerate(odd)}
    put(run, "a" * 32, rows_of((Kind.FILE, 0, {**said, "ok": {"sha256": SHA256, "size": 5}})))
    assert wanted_files(run) == {"ok": (SHA256, 5)}
    assert wanted_files(store.run("local", "p", "other")) == {}


# -- going -------------------------------------------------------------------------------------


def test_a_content_is_found_under_any_of_its_names(tmp_path: Path) -> None:
    run = new_run(tmp_path / "s")
    (run.files / ".content").mkdir(parents=True)
    outside = tmp_path / "secret"
    outside.write_bytes(CONTENT)
    far = ["../" * 4 + "secret", str(outside), "x" * 300, "a\0b", "x/" * 3000, "gone", "changed"]
    (run.files / "changed").write_bytes(b"changed")
    assert find_content(run, SHA256, far) is None
    (run.files / "kept").write_bytes(CONTENT)
    assert find_content(run, SHA256, [*far, "kept"]) == run.files / "kept"
    os.rename(run.files / "kept", run.files / ".content" / SHA256)
    assert find_content(run, SHA256, [*far, "kept"]) == run.files / ".content" / SHA256


def test_files_are_read_from_any_offset(tmp_path: Path) -> None:
    content = os.urandom(2**20 + 3)
    (tmp_path / "a").write_bytes(content)
    for offset in (0, 1, 2**20 - 1, 2**20, len(content), len(content) + 5):
        assert b"".join(read_blocks(tmp_path / "a", offset)) == content[offset:]
    assert hash_file(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_what_a_name_had_before_is_kept_for_members(store: StoreFolder, blobs: Blobs) -> None:
    blobs.add(SHA256, 0, len(CONTENT), [CONTENT])
    newer = "f" * 64
    run = told_of(store, "checkpoint", sha256=newer)
    assert missing_contents(run, blobs, [SHA256, newer], held=()) == {newer: 0}
    theirs = Blobs(store, "local", "sam")
    assert missing_contents(run, theirs, [SHA256], held=()) == {SHA256: 0}
