"""The state of real git repositories."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from store.api import provenance
from store.api.provenance import git_state

TOKEN = "ghp_" + "a1B2" * 9
GIT = shutil.which("git")

posix = pytest.mark.skipif(os.name != "posix", reason="not run: needs a POSIX system")
any_bytes = pytest.mark.skipif(sys.platform != "linux", reason="not run: names are text here")
pytestmark = pytest.mark.skipif(GIT is None, reason="not run: there is no git executable")


@pytest.fixture(autouse=True)
def _only_our_git_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def run_git(folder: Path, *arguments: str) -> str:
    settings = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    command = ["git", *settings, "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository on branch `main` without a commit."""
    root = tmp_path / "project"
    root.mkdir()
    run_git(root, "init", "-q", "-b", "main")
    return root


def commit(root: Path, **files: str) -> str:
    """Commit files, `name_py=...` as `name.py`; the commit's name."""
    for name, text in files.items():
        (root / name.replace("_", ".")).write_text(text)
    run_git(root, "add", "-A")
    run_git(root, "commit", "-q", "--allow-empty", "-m", "a commit")
    return run_git(root, "rev-parse", "HEAD")


def test_folder_without_repository_has_no_state(tmp_path: Path) -> None:
    assert git_state(tmp_path) == {}
    assert git_state(tmp_path / "missing") == {}


def test_bare_repository_has_no_state(tmp_path: Path) -> None:
    run_git(tmp_path, "init", "-q", "--bare", "bare.git")

    assert git_state(tmp_path / "bare.git") == {}


def test_no_commits_yet(repository: Path) -> None:
    assert git_state(repository) == {
        "root": str(repository),
        "branch": "main",
        "commit": None,
        "dirty": False,
        "remote": None,
        "diff": "",
        "untracked": [],
    }


def test_no_commits_yet_shows_what_is_staged(repository: Path) -> None:
    (repository / "a.py").write_text("one = 1\n")
    run_git(repository, "add", "a.py")
    (repository / "a.py").write_text("one = 2\n")

    state = git_state(repository)

    assert (state["commit"], state["dirty"]) == (None, True)
    assert "+one = 2" in str(state["diff"])


def test_clean_commit(repository: Path) -> None:
    name = commit(repository, a_py="one = 1\n")

    state = git_state(repository)

    assert (state["commit"], state["branch"], state["dirty"]) == (name, "main", False)
    assert (state["diff"], state["untracked"]) == ("", [])


def test_branch_with_slash_and_other_letters(repository: Path) -> None:
    commit(repository)
    run_git(repository, "checkout", "-q", "-b", "feature/größer")

    assert git_state(repository)["branch"] == "feature/größer"


def test_detached_head_has_no_branch(repository: Path) -> None:
    first = commit(repository, a_py="one = 1\n")
    commit(repository, a_py="one = 2\n")
    run_git(repository, "checkout", "-q", first)

    state = git_state(repository)

    assert (state["commit"], state["branch"]) == (first, None)


def test_diff_has_staged_and_unstaged_changes_and_applies_again(repository: Path) -> None:
    commit(repository, a_py="one = 1\n", b_py="two = 2\n", c_py="three = 3\n", d_py="four = 4\n")
    (repository / "a.py").write_text("one = 10\n")
    (repository / "b.py").write_text("two = 20\n")
    run_git(repository, "add", "b.py")
    (repository / "c.py").unlink()
    run_git(repository, "mv", "d.py", "e.py")
    (repository / "new.py").write_text("")

    state = git_state(repository)

    assert state["dirty"] is True
    assert state["untracked"] == ["new.py"]
    (repository / "the.patch").write_text(str(state["diff"]))
    run_git(repository, "reset", "-q", "--hard")
    run_git(repository, "apply", "the.patch")
    assert (repository / "a.py").read_text() == "one = 10\n"
    assert (repository / "b.py").read_text() == "two = 20\n"
    assert not (repository / "c.py").exists()
    assert (repository / "e.py").read_text() == "four = 4\n"


def test_index_that_differs_is_dirty_though_the_files_are_as_committed(repository: Path) -> None:
    commit(repository, a_py="one = 1\n")
    (repository / "a.py").write_text("one = 2\n")
    run_git(repository, "add", "a.py")
    (repository / "a.py").write_text("one = 1\n")

    state = git_state(repository)

    assert (state["dirty"], state["diff"]) == (True, "")


@posix
def test_users_diff_settings_and_programs_are_not_used(repository: Path, tmp_path: Path) -> None:
    trace = tmp_path / "was-run"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch '{trace}'\n")
    program.chmod(0o755)
    commit(repository, a_py="one = 1\n")
    (repository / ".gitattributes").write_text("*.py diff=own\n")
    (repository / "a.py").write_text("one = 2\n")
    run_git(repository, "add", ".gitattributes")
    for name, value in (
        ("diff.external", str(program)),
        ("diff.own.textconv", str(program)),
        ("core.fsmonitor", str(program)),
        ("diff.noprefix", "true"),
        ("color.ui", "always"),
    ):
        run_git(repository, "config", name, value)
    trace.unlink(missing_ok=True)

    diff = str(git_state(repository)["diff"])

    assert "--- a/a.py\n+++ b/a.py\n@@ -1 +1 @@\n-one = 1\n+one = 2\n" in diff
    assert not trace.exists()


def test_binary_file_is_only_named(repository: Path) -> None:
    (repository / "weights.bin").write_bytes(b"\0old" * 100)
    commit(repository)
    (repository / "weights.bin").write_bytes(b"\0new" * 100)

    diff = str(git_state(repository)["diff"])

    assert "Binary files a/weights.bin and b/weights.bin differ" in diff
    assert "new" not in diff


def test_text_that_is_no_utf8_is_shown_escaped(repository: Path) -> None:
    (repository / "a.txt").write_bytes(b"caf\xe9\n")
    commit(repository)
    (repository / "a.txt").write_bytes(b"th\xe9\n")

    diff = str(git_state(repository)["diff"])

    assert "-caf\\xe9\n+th\\xe9\n" in diff


def test_secrets_in_the_diff_are_redacted(repository: Path) -> None:
    commit(repository, a_py="one = 1\n")
    (repository / "a.py").write_text(f"one = 1\nlogin('{TOKEN}')\npassword = 'hunter'\n")

    diff = str(git_state(repository)["diff"])

    assert "+login('***')\n+password = '***'\n" in diff
    assert TOKEN not in diff


def test_long_diff_is_cut_at_a_line_and_says_so(repository: Path) -> None:
    commit(repository, a_txt="")
    line = f"0123456789 {TOKEN}\n"
    (repository / "a.txt").write_text(line * 40_000)

    state = git_state(repository)

    assert state["diff_truncated"] is True
    assert 100_000 < len(str(state["diff"]).encode()) <= provenance.DIFF_BYTES
    assert str(state["diff"]).endswith("+0123456789 ***\n")


def test_diff_of_one_endless_line_is_cut(repository: Path) -> None:
    commit(repository, a_txt="")
    (repository / "a.txt").write_text("x" * 3_000_000)

    state = git_state(repository)

    assert state["diff_truncated"] is True
    assert "a/a.txt" in str(state["diff"])


def test_many_warnings_of_git_do_not_block_it(repository: Path) -> None:
    for number in range(1500):
        (repository / f"a-file-with-a-rather-long-name-{number:05}.txt").write_text("x\n")
    commit(repository)
    for path in repository.glob("*.txt"):
        path.write_text("y\n")
    # A warning for each file, more than a pipe holds.
    run_git(repository, "config", "core.autocrlf", "true")

    state = git_state(repository)

    assert str(state["diff"]).count("\n+y") == 1500


def test_untracked_names_are_from_the_root_and_without_ignored_ones(repository: Path) -> None:
    commit(repository, _gitignore="*.log\nout/\n")
    (repository / "sub").mkdir()
    (repository / "out").mkdir()
    for name in ("new.py", "sub/other.py", "a.log", "out/model.bin"):
        (repository / name).write_text("x")

    state = git_state(repository / "sub")

    assert state["untracked"] == ["new.py", "sub/other.py"]
    assert (state["root"], state["dirty"]) == (str(repository), False)
    assert "untracked_truncated" not in state


def test_untracked_names_end_after_a_thousand(repository: Path) -> None:
    for number in range(1001):
        (repository / f"{number}.txt").touch()

    state = git_state(repository)

    untracked = state["untracked"]
    assert isinstance(untracked, list)
    assert len(untracked) == 1000
    assert state["untracked_truncated"] is True


@posix
def test_names_with_spaces_quotes_line_ends_and_other_letters(repository: Path) -> None:
    names = [
        'a "b" c.py',
        "it's.py",
        "zwei\nzeilen.py",
        "größe.py",
        "tab\t.py",
        "-n",
        "HEAD",
        "$HOME",
    ]
    commit(repository)
    for name in names:
        (repository / name).write_text("x = 1\n")

    assert git_state(repository)["untracked"] == sorted(names, key=os.fsencode)

    commit(repository)
    for name in names:
        (repository / name).write_text("x = 2\n")
    diff = str(git_state(repository)["diff"])
    assert diff.count("\n+x = 2") == len(names)
    assert '"a/gr\\303\\266\\303\\237e.py"' in diff


@any_bytes
def test_names_that_are_no_utf8(repository: Path) -> None:
    folder = os.fsencode(repository)
    for name in (b"tracked-\xff.py", b"new-\xfe.py"):
        with open(os.path.join(folder, name), "w") as file:
            file.write("x = 1\n")
        if name.startswith(b"tracked"):
            commit(repository)
    with open(os.path.join(folder, b"tracked-\xff.py"), "w") as file:
        file.write("x = 2\n")

    state = git_state(repository)

    assert state["untracked"] == ["new-\\xfe.py"]
    assert "tracked-\\377.py" in str(state["diff"])
    assert json.loads(json.dumps(state)) == state


@any_bytes
def test_repository_in_a_folder_whose_name_is_no_utf8(tmp_path: Path) -> None:
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 $HOME"))
    root.mkdir()
    run_git(root, "init", "-q", "-b", "main")

    state = git_state(root)

    assert str(state["root"]).endswith("/caf\\xe9 $HOME")
    assert state["branch"] == "main"


def test_remote_is_origin_without_its_credentials(repository: Path) -> None:
    run_git(repository, "remote", "add", "a-fork", "https://example.org/fork.git")
    run_git(repository, "remote", "add", "origin", f"https://ada:{TOKEN}@example.org/x.git")

    assert git_state(repository)["remote"] == "https://example.org/x.git"


def test_remote_is_the_first_one_without_origin(repository: Path) -> None:
    run_git(repository, "remote", "add", "up.stream", "git@example.org:ada/x.git")
    run_git(repository, "remote", "add", "backup", "/srv/x.git")

    assert git_state(repository)["remote"] == "git@example.org:ada/x.git"


def test_linked_worktree_has_its_own_state(repository: Path, tmp_path: Path) -> None:
    name = commit(repository, a_py="one = 1\n")
    run_git(repository, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    (tmp_path / "side" / "a.py").write_text("one = 2\n")

    state = git_state(tmp_path / "side")

    assert (state["root"], state["branch"]) == (str(tmp_path / "side"), "side")
    assert (state["commit"], state["dirty"]) == (name, True)
    assert git_state(repository)["dirty"] is False


def test_repository_of_a_git_hook_does_not_count(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    run_git(other, "init", "-q", "-b", "hooked")
    name = commit(repository)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))

    state = git_state(repository)

    assert (state["commit"], state["branch"]) == (name, "main")
    assert state["root"] == str(repository)


def test_foreign_ownership_is_one_line_of_error(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(repository)
    # Git's own switch for its tests of this.
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")

    state = git_state(repository)

    assert list(state) == ["error"]
    assert "dubious ownership" in str(state["error"])
    assert "\n" not in str(state["error"])


@pytest.mark.parametrize("text", ["[core", "[core]\n\tbare = perhaps\n", "\xff\xfe[\0"])
def test_damaged_settings_are_an_error_and_raise_nothing(repository: Path, text: str) -> None:
    commit(repository)
    (repository / ".git" / "config").write_text(text, encoding="latin-1")

    state = git_state(repository)

    assert list(state) == ["error"]
    assert str(state["error"]).isprintable()


def test_damaged_index_is_an_error(repository: Path) -> None:
    commit(repository, a_py="one = 1\n")
    (repository / ".git" / "index").write_bytes(b"no index")

    assert "error" in git_state(repository)


@posix
def test_command_that_takes_too_long_is_ended(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit(repository, a_py="one = 1\n")
    # A filter that never answers; it holds the pipes open when only git itself is ended.
    fifo = tmp_path / "never-written"
    os.mkfifo(fifo)
    run_git(repository, "config", "filter.slow.clean", f"cat '{fifo}'")
    (repository / ".gitattributes").write_text("*.py filter=slow\n")
    (repository / "a.py").write_text("one = 2\n")
    monkeypatch.setattr(provenance, "GIT_SECONDS", 0.5)

    state = git_state(repository)

    assert "took more than" in str(state["error"])
    assert not _children()


def _children() -> list[str]:
    import psutil

    return [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]


def _snapshot(root: Path) -> dict[str, tuple[int, int, bytes]]:
    found = {}
    for path in sorted(root.rglob("*")):
        facts = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (facts.st_mtime_ns, facts.st_ino, content)
    return found


def test_repository_is_not_written_and_no_process_stays(repository: Path) -> None:
    commit(repository, a_py="one = 1\n", b_py="two = 2\n")
    # The index now has an outdated time for b.py, which git would like to write down.
    os.utime(repository / "b.py", (1, 1))
    (repository / "a.py").write_text("one = 2\n")
    (repository / "new.py").touch()
    before = _snapshot(repository)

    state = git_state(repository)

    assert (state["dirty"], state["untracked"]) == (True, ["new.py"])
    assert "b.py" not in str(state["diff"])
    assert _snapshot(repository) == before
    assert not _children()


@pytest.mark.parametrize("refresh", ["raise", "quiet"])
def test_without_git_executable_there_is_no_state(repository: Path, refresh: str) -> None:
    code = """
import json, pathlib
from store.api.provenance import git_state
print(json.dumps([git_state(pathlib.Path.cwd()), git_state(pathlib.Path.cwd())]))
"""
    answer = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        cwd=repository,
        env={**os.environ, "PATH": str(repository), "GIT_PYTHON_REFRESH": refresh},
    )

    assert json.loads(answer.stdout) == [{}, {}]


def test_git_state_is_asked_by_several_threads(repository: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    commit(repository)
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(git_state, [repository] * 3))

    assert [answer["branch"] for answer in answers] == ["main"] * 3
