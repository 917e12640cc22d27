"""Where a run comes from: its command line, machine, git state and packages, as attributes.

Runs on a background thread beside the training. Git is only read, through GitPython: no optional
locks, no configured programs (external diffs, text converters, file system monitors), no prompts,
no fetching. Each git command is a process that has ended when its function returns, in a process
group of its own that is killed after `GIT_SECONDS`; the GitPython calls that leave helper
processes (`cat-file`) behind are not used. Of a command's output only the first bytes are read.

Everything is redacted (`store.api.redact`) and made of JSON values; bytes that are no UTF-8 are
shown as `\\xff`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, NamedTuple, cast

from store.api.machine import machine, packages
from store.api.redact import redact_command, redact_text, redact_url

if TYPE_CHECKING:
    from subprocess import Popen
    from threading import Event

    from git import Repo

GIT_SECONDS: Final = 30.0
DIFF_BYTES: Final = 1_000_000
UNTRACKED_NAMES: Final = 1000
_SMALL_OUTPUT: Final = 1_000_000
_UNTRACKED_BYTES: Final = 4_000_000
_ERROR_CHARS: Final = 300
_ARGUMENTS: Final = 1000
_ARGUMENT_CHARS: Final = 4096

_ENVIRONMENT: Final = """
    SLURM_CLUSTER_NAME SLURM_JOB_ID SLURM_JOB_NAME SLURM_JOB_PARTITION SLURM_JOB_NODELIST
    SLURM_JOB_NUM_NODES SLURM_ARRAY_JOB_ID SLURM_ARRAY_TASK_ID SLURM_STEP_ID SLURM_RESTART_COUNT
    SLURM_NTASKS SLURM_PROCID SLURM_LOCALID SLURM_NODEID SLURM_CPUS_PER_TASK SLURM_SUBMIT_DIR
    PBS_JOBID PBS_JOBNAME PBS_QUEUE PBS_ARRAY_INDEX LSB_JOBID LSB_JOBNAME LSB_QUEUE LSB_JOBINDEX
    SGE_TASK_ID OAR_JOB_ID FLUX_JOB_ID
    RANK LOCAL_RANK WORLD_SIZE LOCAL_WORLD_SIZE GROUP_RANK MASTER_ADDR MASTER_PORT
    TORCHELASTIC_RUN_ID TORCHELASTIC_RESTART_COUNT OMPI_COMM_WORLD_RANK OMPI_COMM_WORLD_SIZE
    PMI_RANK PMI_SIZE
    CUDA_VISIBLE_DEVICES NVIDIA_VISIBLE_DEVICES HIP_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES
    CUDA_LAUNCH_BLOCKING CUBLAS_WORKSPACE_CONFIG OMP_NUM_THREADS MKL_NUM_THREADS PYTHONHASHSEED
    CONDA_DEFAULT_ENV VIRTUAL_ENV JPY_SESSION_NAME COLAB_RELEASE_TAG KAGGLE_KERNEL_RUN_TYPE
    GITHUB_RUN_ID CI_JOB_ID
"""
_GIT_ENVIRONMENT: Final = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
}
# `core.fsmonitor` starts a program or a daemon, which would outlive the command.
_GIT_OPTIONS: Final = ("--no-pager", "-c", "core.fsmonitor=false")
# `git diff` would write the index in spite of GIT_OPTIONAL_LOCKS; not doing so, it shows a bare
# header for each file of which only the times changed.
_DIFF: Final = (
    *("-c", "core.quotePath=true", "-c", "diff.autoRefreshIndex=false"),
    *("diff", "--no-color", "--no-ext-diff", "--no-textconv"),
    *("--submodule=short", "--src-prefix=a/", "--dst-prefix=b/"),
)
_BARE_HEADER: Final = re.compile(rb"^diff --git [^\n]*\n(?=diff --git |\Z)", re.MULTILINE)


class _GitFailed(Exception):
    """A git command failed or took too long; the message is one line."""


class _Output(NamedTuple):
    data: bytes
    truncated: bool


def collect(folder: Path, *, git: bool) -> Iterator[tuple[str, object]]:
    """The attributes of a run that was started in `folder`, as (name, value) pairs.

    In order: command, machine, git (if wanted and found), packages. Values are JSON values: str
    keys, ints within 64 bits, valid Unicode. Each pair is yielded as soon as it is known, which
    may take seconds.
    """
    yield "command", _json_value(command_line())
    yield "machine", _json_value(machine())
    if git and (state := git_state(folder)):
        yield "git", _json_value(state)
    yield "packages", _json_value(packages())


def command_line() -> dict[str, object]:
    """How this process was started.

    command: list of str, redacted, interpreter first; program: the script's path, or the module's
    name under `python -m`; started_as: "script", "python -m", "python -c", "notebook" or
    "interactive"; cwd: str, if there is one; notebook: True in one; environment: what is set of
    a fixed list of scheduler, launcher and device variables.
    """
    arguments = [str(argument) for argument in getattr(sys, "argv", [])]
    started_as, program = _program(arguments)
    facts: dict[str, object] = {
        "command": [cut(argument) for argument in redact_command(_full_command(arguments))],
        "program": redact_text(program),
        "started_as": started_as,
        "environment": _chosen_environment(os.environ),
    }
    with suppress(OSError):
        facts["cwd"] = os.getcwd()
    if started_as == "notebook":
        facts["notebook"] = True
    return facts


def cut(text: str, limit: int = _ARGUMENT_CHARS) -> str:
    """`text`, of which the part after `limit` characters is replaced by an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _full_command(arguments: list[str]) -> list[str]:
    command = [str(argument) for argument in getattr(sys, "orig_argv", [])]
    # A worker of multiprocessing has its parent's sys.argv, and a start-up call as its command.
    if len(command) < 2 or "--multiprocessing-fork" in command:
        command = [sys.executable or "python", *arguments]
    return command[:_ARGUMENTS]


def _program(arguments: list[str]) -> tuple[str, str]:
    first = arguments[0] if arguments else ""
    if "ipykernel" in sys.modules:
        return "notebook", os.environ.get("JPY_SESSION_NAME", first)
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    name = getattr(spec, "name", None)
    # `python folder` and `python archive.zip` also have a spec, of the bare name `__main__`.
    if isinstance(name, str) and name not in {"__main__", "__mp_main__"}:
        return "python -m", name.removesuffix(".__main__")
    if first == "-c":
        return "python -c", first
    return ("script", first) if first else ("interactive", "")


def _chosen_environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {
        name: cut(redact_text(environ[name])) for name in _ENVIRONMENT.split() if name in environ
    }


def git_state(folder: Path) -> dict[str, object]:
    """The git repository around `folder`; {} = there is none, it is bare, or git is not installed.

    root: str; branch: str, None when detached; commit: hex, None before the first; remote: URL of
    origin, else of the first remote, else None; dirty: whether tracked files or the index differ
    from the commit; diff: that difference (staged and not) as text, binary files named only, cut
    at 1 MB (then diff_truncated: True); untracked: names from the root on, at most 1000 (then
    untracked_truncated: True), without ignored ones. error: one line when git failed; what had not
    been found out by then is missing. Raises nothing of git's.
    """
    import configparser

    try:
        import git
    except ImportError:
        # GitPython refuses to be imported where there is no git executable.
        return {}
    failures = (git.GitError, _GitFailed, configparser.Error, OSError, ValueError, RuntimeError)
    state: dict[str, object] = {}
    try:
        repo = git.Repo(os.path.abspath(folder), search_parent_directories=True, expand_vars=False)
        try:
            if not repo.bare:
                _describe(repo, state)
        finally:
            repo.close()
    except (git.InvalidGitRepositoryError, git.NoSuchPathError, git.GitCommandNotFound):
        return {}
    except failures as error:
        state["error"] = _one_line(str(error))
    return state


def _describe(repo: Repo, state: dict[str, object]) -> None:
    status = _run(repo, "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=no")
    records = [record for record in status.data.split(b"\0") if record]
    facts = dict(record[2:].split(b" ", 1) for record in records if record[:2] == b"# ")
    commit, branch = facts[b"branch.oid"], facts[b"branch.head"]
    state["root"] = decode(os.fsencode(repo.working_tree_dir or ""))
    state["branch"] = None if branch == b"(detached)" else decode(branch)
    state["commit"] = None if commit == b"(initial)" else decode(commit)
    state["dirty"] = any(record[:1] != b"#" for record in records)
    state["remote"] = _remote(repo)
    if state["dirty"]:
        _add_diff(repo, state)
    else:
        state["diff"] = ""
    _add_untracked(repo, state)


def _remote(repo: Repo) -> str | None:
    output = _run(
        repo, "config", "--null", "--get-regexp", r"^remote\..*\.url$", allowed=frozenset({0, 1})
    )
    urls: dict[bytes, bytes] = {}
    for record in output.data.split(b"\0"):
        name, line_end, url = record.partition(b"\n")
        if line_end:
            urls.setdefault(name, url)
    if not urls:
        return None
    return redact_url(decode(urls.get(b"remote.origin.url") or next(iter(urls.values()))))


def _add_diff(repo: Repo, state: dict[str, object]) -> None:
    # Before the first commit, the difference is that to the empty tree.
    base = str(state["commit"] or "") or decode(
        _run(repo, "hash-object", "-t", "tree", "--stdin").data.strip()
    )
    data, truncated = _run(repo, *_DIFF, str(base), "--", limit=DIFF_BYTES)
    if truncated:
        # A token cut in two would not be recognized.
        data = data[: data.rfind(b"\n") + 1]
    text = redact_text(decode(_BARE_HEADER.sub(b"", data)))
    encoded = text.encode("utf-8", "backslashreplace")
    if len(encoded) > DIFF_BYTES:
        truncated = True
        text = encoded[:DIFF_BYTES].decode("utf-8", "ignore")
    state["diff"] = text
    if truncated:
        state["diff_truncated"] = True


def _add_untracked(repo: Repo, state: dict[str, object]) -> None:
    arguments = ("ls-files", "--others", "--exclude-standard", "-z")
    data, truncated = _run(repo, *arguments, limit=_UNTRACKED_BYTES)
    names = data.split(b"\0")[:-1]
    state["untracked"] = [decode(name) for name in names[:UNTRACKED_NAMES]]
    if truncated or len(names) > UNTRACKED_NAMES:
        state["untracked_truncated"] = True


def _run(
    repo: Repo,
    *arguments: str,
    limit: int = _SMALL_OUTPUT,
    allowed: frozenset[int] = frozenset({0}),
) -> _Output:
    """The first `limit` bytes that a git command prints; it has ended when this returns.

    Raises _GitFailed for another exit status than `allowed` and after GIT_SECONDS.
    """
    import threading

    executable = repo.git.GIT_PYTHON_GIT_EXECUTABLE or "git"
    command = [executable, *_GIT_OPTIONS, *arguments]
    process = repo.git.execute(
        command, as_process=True, env=_git_environment(repo), start_new_session=True
    )
    popen = cast("Popen[bytes]", process.proc)
    late = threading.Event()
    complaint: list[bytes] = []
    watchdog = threading.Timer(GIT_SECONDS, _kill, (popen, late))
    watchdog.daemon = True
    # Both pipes are emptied at once: git would wait for ever on a full one.
    drain = threading.Thread(target=_drain, args=(process.stderr, complaint), daemon=True)
    try:
        watchdog.start()
        drain.start()
        data = process.stdout.read(limit + 1)
        if len(data) > limit:
            _kill(popen)
        drain.join()
    except BaseException:
        _kill(popen)
        raise
    finally:
        # Reaped only after the watchdog, so that it never signals a number that is used again.
        watchdog.cancel()
        if watchdog.ident is not None:
            watchdog.join()
        status = popen.wait()
    if late.is_set():
        raise _GitFailed(f"git took more than {GIT_SECONDS:.0f} s for {' '.join(arguments)}")
    if len(data) > limit:
        return _Output(data[:limit], True)
    if status not in allowed:
        reason = decode(b"".join(complaint)) or f"exit status {status}"
        raise _GitFailed(reason)
    return _Output(data, False)


def _git_environment(repo: Repo) -> dict[str, str]:
    environment = dict(_GIT_ENVIRONMENT)
    # Set where a git hook starts the run; the folder counts, not the hook's repository.
    if "GIT_DIR" in os.environ or "GIT_WORK_TREE" in os.environ:
        environment["GIT_DIR"] = os.fspath(repo.git_dir)
        environment["GIT_WORK_TREE"] = os.fspath(repo.working_tree_dir or "")
    return environment


def _drain(pipe: IO[bytes], kept: list[bytes]) -> None:
    kept.append(pipe.read(_SMALL_OUTPUT))
    while pipe.read(65536):
        pass


def _kill(process: Popen[bytes], late: Event | None = None) -> None:
    if late is not None:
        late.set()
    if sys.platform == "win32":
        process.kill()
        return
    import signal

    try:
        # With its filters and sub-processes, which may hold the pipes open.
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()


def decode(data: bytes) -> str:
    """UTF-8 `data` as text; other bytes as `\\xff`."""
    return data.decode("utf-8", "backslashreplace")


def _one_line(text: str) -> str:
    """The line of an error message that says what is wrong, redacted."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["git failed"]
    line = next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[0])
    return cut(redact_text(line.removeprefix("fatal: ").removeprefix("error: ")), _ERROR_CHARS)


def _valid_text(text: str) -> str:
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        data = text.encode("utf-8", "backslashreplace")
    return decode(data)


def _json_value(value: object) -> object:
    if isinstance(value, str):
        return _valid_text(value)
    if isinstance(value, Mapping):
        return {_valid_text(str(name)): _json_value(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    return value
