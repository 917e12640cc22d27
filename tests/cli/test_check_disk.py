"""`store check --disk` and --adopt: what is printed, what is left, and the exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

from store.paths import create_store
from tests.cli.program import call, environment, make_run, program, run_program
from tests.disks import tmpfs
from tests.fuse import bindfs
from tests.helpers import run_script


def test_a_local_store_is_fine_and_leaves_a_record(tmp_path: Path) -> None:
    make_run(tmp_path / ".store", "r1")
    done = run_program("check", "--disk", cwd=tmp_path, env=environment(STORE_HOST="node-a"))
    said = done.stdout.splitlines()
    assert said[-1] == "local mode is right here"
    assert "mode            local; the disk looks local" in said
    assert "hard links      yes" in said
    assert done.stderr == ""
    (record,) = (tmp_path / ".store" / ".doctor").iterdir()
    assert record.name == "node-a.json"
    assert json.loads(record.read_text())["verdict"] == "local"
    assert call("--store", tmp_path, "check").stderr == "1 run checked, 0 problems\n"


def test_json_has_every_fact_and_the_verdict(tmp_path: Path) -> None:
    result = call("check", "--disk", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["verdict"]["name"] == "local"
    assert found["answers"]["link"] == {"word": "yes", "detail": ""}
    assert found["path"] == str(tmp_path)
    assert found["recorded"] is None
    assert {"mount", "detected", "free_bytes", "free_inodes", "sync", "clock"} <= set(found)
    assert call("check", "--disk", tmp_path, "--csv").stdout.startswith("fact,value\nfolder,")
    assert not (tmp_path / ".doctor").exists()


def test_a_folder_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    result = call("check", "--disk", tmp_path / "nowhere")
    assert result.exit_code == 4
    assert "this folder cannot be used: there is no such folder" in result.stdout
    assert "to do: mkdir -p" in result.stdout
    assert not (tmp_path / "nowhere").exists()


def test_a_store_that_is_in_the_wrong_mode_is_a_problem(tmp_path: Path) -> None:
    create_store(tmp_path / "source" / ".store")
    with bindfs(tmp_path / "source", tmp_path / "mount") as folder:
        result = call("check", "--disk", folder)
        assert result.exit_code == 4
        assert "\nshared mode is needed\nto do: store config --mode shared\n" in result.stdout


def test_a_disk_that_only_reads_is_a_problem(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", 8) as folder:
        create_store(folder / ".store")
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True, timeout=60)
        result = call("check", "--disk", folder)
        assert result.exit_code == 4
        assert "nothing can be written here: Read-only file system" in result.stdout
        assert result.stderr == ""


def test_two_hosts_see_whether_their_locks_meet(tmp_path: Path) -> None:
    create_store(tmp_path / ".store")
    holder = subprocess.Popen(
        program("check", "--disk", "--hold", 60),
        cwd=tmp_path,
        env=environment(STORE_HOST="node-a"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert holder.stderr is not None
    assert "a lock is held for 60 s" in holder.stderr.readline()
    there = environment(STORE_HOST="node-b")
    seen = run_program("check", "--disk", cwd=tmp_path, env=there).stdout
    assert "\nhost node-a     seen on this machine" in seen
    assert "its lock keeps us out: locks reach other hosts" in seen
    holder.send_signal(signal.SIGINT)
    holder.communicate(timeout=60)
    assert holder.returncode == 130
    seen = run_program("check", "--disk", cwd=tmp_path, env=there).stdout
    assert "host node-a     seen on this machine" in seen
    assert "its lock" not in seen


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    for words in (["--hold", "5"], ["--timeout", "5"], ["--disk", tmp_path, "--repair"]):
        assert call("check", *words).exit_code == 2, words
    assert call("check", "--disk", tmp_path, "a-run").exit_code == 2
    assert call("check", "--disk", tmp_path, "--timeout", 0).exit_code == 2


def test_what_a_lost_host_left_is_taken_over(tmp_path: Path) -> None:
    code = (
        "import os, store\n"
        "run = store.init(project='p', id='r')\n"
        "for step in range(100):\n"
        "    run.log({'loss': step})\n"
        "run.flush(durable=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    lost = {"STORE_HOST": "lost", "STORE_CACHE": str(tmp_path / "lost")}
    run_script(code, tmp_path, check=False, STORE_DISK="shared", **lost)
    here = environment(STORE_HOST="here", STORE_CACHE=str(tmp_path / "here"))
    (own,) = tmp_path.glob(".store/local/p/r/journals/*.own")
    journals = own.parent

    alive = run_program("check", "--adopt", "lost", cwd=tmp_path, env=here)
    assert "1 writer of lost gave a sign of life a moment ago" in alive.stderr
    assert "0 journals of lost taken over\n1 run checked, 0 problems\n" in alive.stderr
    assert list(journals.glob("*.journal"))

    for path in (own, *journals.glob("*.journal")):
        os.utime(path, (1.0, 1.0))  # it has given no sign for a long time
    dead = run_program("check", "--adopt", "lost", cwd=tmp_path, env=here)
    assert "1 journal of lost taken over\n1 run checked, 0 problems\n" in dead.stderr
    assert list(journals.glob("*.journal")) == []
    done = run_program("sql", "select count(*) as n from metrics", "--json", cwd=tmp_path, env=here)
    assert json.loads(done.stdout) == [{"n": 100}]
