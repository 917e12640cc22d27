"""The remotes of a store, and which one is meant."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from store.errors import UsageError
from store.paths import StoreFolder, create_store
from store.settings import Settings
from store.sync.remotes import (
    RemoteEntry,
    add,
    default_remote,
    remotes,
    remove,
    resolve_remote,
    set_default,
)

URL = "https://runs.example.org"
NO_SETTINGS = Settings()


@pytest.fixture
def store(tmp_path: Path) -> StoreFolder:
    return create_store(tmp_path / "work" / ".store")


def names(store: StoreFolder) -> list[tuple[str, str, bool]]:
    return [(entry.name, entry.address, entry.is_default) for entry in remotes(store)]


def test_remotes_are_added_listed_and_removed(store: StoreFolder, tmp_path: Path) -> None:
    assert remotes(store) == []
    assert add(store, "main", "HTTPS://Runs.example.org:443/") == RemoteEntry(
        "main", url=URL, is_default=True
    )
    added = add(store, "disk", str(tmp_path / "disk"))
    assert added == RemoteEntry("disk", folder=tmp_path / "disk")
    assert names(store) == [("disk", str(tmp_path / "disk"), False), ("main", URL, False)]
    set_default(store, "main")
    assert names(store)[1] == ("main", URL, True)
    assert remove(store, "main").url == URL
    assert names(store) == [("disk", str(tmp_path / "disk"), True)]
    remove(store, "disk")
    assert remotes(store) == []
    assert add(store, "b", f"{URL}/b", default=True).is_default
    assert not add(store, "c", f"{URL}/c").is_default


def test_a_folder_is_absolute_in_the_file(
    store: StoreFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    assert add(store, "a", "disk").folder == tmp_path / "disk"
    assert add(store, "b", "~/disk").folder == tmp_path / "home" / "disk"
    assert add(store, "c", f"file://{tmp_path}/d%20e").folder == tmp_path / "d e"


@pytest.mark.parametrize("name", ["", "default", "a b", "a/b", ".x", "-x", "é", "x" * 65, "a\n"])
def test_names_that_are_none(store: StoreFolder, name: str) -> None:
    with pytest.raises(UsageError, match="no name for a remote"):
        add(store, name, URL)
    assert not store.remotes.exists()


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("", "address or a folder"),
        ("ftp://x", "no http:// or https:// address"),
        ("https://ann:secret@x.org", "user name or password"),
        ("file://host/x", "is no folder"),
        ("{store}", "is this store itself"),
        ("{store}/..", "is this store itself"),
        ("{store}/local", "is this store itself"),
        ("{store}/store.json", "is no folder"),
        ("{store}/../../gone/disk", "is not there"),
    ],
)
def test_what_can_be_no_remote(store: StoreFolder, to: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        add(store, "main", to.format(store=store.path))
    assert "secret" not in str(caught.value)
    assert remotes(store) == []


def test_names_are_taken_once(store: StoreFolder) -> None:
    add(store, "main", URL)
    with pytest.raises(UsageError, match=f"already: {URL}"):
        add(store, "main", f"{URL}/other")


def test_a_remote_that_there_is_not(store: StoreFolder) -> None:
    add(store, "main", URL)
    for change in (remove, set_default):
        with pytest.raises(UsageError) as caught:
            change(store, "mian")
        assert caught.value.hint == "did you mean main?"
    assert len(remotes(store)) == 1


# -- which one ---------------------------------------------------------------------------------


def test_the_default_is_the_setting_then_the_files_then_the_only_one(store: StoreFolder) -> None:
    assert default_remote(store, NO_SETTINGS) is None
    add(store, "main", URL)
    assert default_remote(store, NO_SETTINGS) == RemoteEntry("main", url=URL, is_default=True)
    add(store, "second", f"{URL}/second")
    assert default_remote(store, NO_SETTINGS) is None
    set_default(store, "second")
    found = default_remote(store, NO_SETTINGS)
    assert found is not None
    assert found.name == "second"
    found = default_remote(store, Settings(url="https://other.example.org/"))
    assert found == RemoteEntry("", "https://other.example.org", None, "settings", is_default=True)
    found = default_remote(store, Settings(url=f"{URL}/"))
    assert found == RemoteEntry("main", URL, None, "settings", is_default=True)


def test_a_setting_may_be_a_folder(store: StoreFolder, tmp_path: Path) -> None:
    for url in (str(tmp_path / "disk"), f"file://{tmp_path}/disk"):
        found = default_remote(store, Settings(url=url))
        assert found is not None
        assert (found.folder, found.url) == (tmp_path / "disk", None)
    away = default_remote(store, Settings(url="/not/mounted/disk"))
    assert away is not None
    assert away.folder == Path("/not/mounted/disk")


def test_a_name_an_address_and_a_folder_are_understood(
    store: StoreFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    add(store, "main", URL)
    add(store, "disk", str(tmp_path / "elsewhere"))
    assert resolve_remote(store, NO_SETTINGS, "main").origin == "remotes"
    assert resolve_remote(store, NO_SETTINGS, f"{URL}:443") == RemoteEntry(
        "main", url=URL, origin="given"
    )
    assert resolve_remote(store, NO_SETTINGS, "http://h:80").address == "http://h"
    assert resolve_remote(store, NO_SETTINGS, "./disk").folder == tmp_path / "disk"
    assert resolve_remote(store, NO_SETTINGS, "disk").folder == tmp_path / "elsewhere"
    assert resolve_remote(store, NO_SETTINGS, str(tmp_path / "new")).folder == tmp_path / "new"
    set_default(store, "disk")
    assert resolve_remote(store, NO_SETTINGS, None).name == "disk"


def test_what_means_nothing_is_told(store: StoreFolder, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no remote"):
        resolve_remote(store, NO_SETTINGS, None)
    with pytest.raises(UsageError, match="there is no remote 'disk'") as caught:
        resolve_remote(store, NO_SETTINGS, "disk")
    assert caught.value.hint == "none has a name yet; a folder here is written ./disk"
    add(store, "main", URL)
    add(store, "second", f"{URL}/second")
    with pytest.raises(UsageError, match="which remote is meant: main, second"):
        resolve_remote(store, NO_SETTINGS, None)
    with pytest.raises(UsageError) as caught:
        resolve_remote(store, NO_SETTINGS, "secnod")
    assert "did you mean second?" in str(caught.value)
    with pytest.raises(UsageError, match="is not there"):
        resolve_remote(store, NO_SETTINGS, str(tmp_path / "gone" / "disk"))


# -- the file ----------------------------------------------------------------------------------


def test_a_file_written_by_hand(store: StoreFolder, tmp_path: Path) -> None:
    store.remotes.write_text(
        'default = "b"\n[a]\nurl = "http://H:80/"\n[b]\nfolder = "../../disk"\nextra = 5\n'
    )
    assert names(store) == [("a", "http://h", False), ("b", str(tmp_path / "disk"), True)]
    add(store, "c", URL)
    assert "extra = 5" in store.remotes.read_text()
    assert os.listdir(store.path).count("remotes.toml") == 1


@pytest.mark.parametrize(
    "text",
    [
        "[a]\n",
        "[a]\nurl = 5\n",
        '[a]\nurl = "https://h"\nfolder = "/x"\n',
        '[a]\nurl = "nonsense"\n',
        'a = "https://h"\n',
        '["a b"]\nurl = "https://h"\n',
        "[",
    ],
)
def test_a_file_with_nonsense_is_told(store: StoreFolder, text: str) -> None:
    store.remotes.write_text(text)
    with pytest.raises(UsageError):
        remotes(store)
    with pytest.raises(UsageError):
        add(store, "main", URL)
    assert store.remotes.read_text() == text


def test_a_default_that_is_gone_means_none(store: StoreFolder) -> None:
    store.remotes.write_text(f'default = "x"\n[a]\nurl = "{URL}"\n')
    assert default_remote(store, NO_SETTINGS) is None
