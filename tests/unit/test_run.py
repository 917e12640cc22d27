"""The calls of a training script, in scripts of their own, and what the store then says."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

import store
from store.api.session import current_run
from store.errors import RunClosed, RunExists, RunNotFound, UsageError
from store.paths import StoreFolder
from store.query import StoredRun
from tests.helpers import only_run, problems, rows_of, run_script

QUIET = store.Settings(silent=True, git=False, console="off")


def begin(folder: Path, **options: object) -> store.Run:
    return store.init(dir=folder / "s", settings=QUIET, **options)  # type: ignore[arg-type]


def stored(folder: Path, run_id: str | None = None) -> StoredRun:
    opened = store.open(folder / "s")
    return opened.runs[run_id] if run_id else next(iter(opened.runs))


def test_a_run_from_start_to_end(tmp_path: Path) -> None:
    run = begin(tmp_path, project="p", config={"lr": 0.1}, tags=["a"], notes="n", group="g")
    assert store.run is run
    store.log({"loss": 1.0, "val": {"acc": 0.5, "deep": {"x": 2}}})
    run.log({"loss": 0.5})
    assert run.step == 2
    assert run.summary["loss"] == 0.5
    store.finish()
    assert current_run() is None
    found = stored(tmp_path)
    assert found.state == "finished"
    assert found.config == {"lr": 0.1}
    assert found.summary == {"loss": 0.5, "val/acc": 0.5, "val/deep/x": 2}
    assert (found.tags, found.notes, found.group) == (("a",), "n", "g")
    assert [tuple(p) for p in zip(*found.series("loss").numpy(), strict=True)] == [
        (0, 1.0),
        (1, 0.5),
    ]
    assert problems(tmp_path / "s") == []


def test_names_are_readable_and_count_the_runs_of_the_project(tmp_path: Path) -> None:
    for number in (1, 2):
        with begin(tmp_path, project="p") as run:
            adjective, noun, last = run.name.split("-")
            assert adjective.isalpha()
            assert noun.isalpha()
            assert last == str(number)
            assert len(run.id) == 8


def test_a_run_may_be_renamed_to_its_id(tmp_path: Path) -> None:
    with begin(tmp_path) as run:
        run.name = run.id
        run.save()
    assert stored(tmp_path).name == run.id


def test_rows_keep_their_steps_in_any_order_and_nan_and_infinities(tmp_path: Path) -> None:
    with begin(tmp_path) as run:
        run.log({"x": 1.0}, step=10)
        run.log({"x": float("nan")}, step=3)
        run.log({"x": -math.inf})
        run.log({"y": 1}, commit=False)
        run.log({"z": 2})
        run.log({"x": 5.0}, step=10)
    found = stored(tmp_path)
    series = found.series("x")
    assert list(series.steps) == [3, 10, 10, 11]
    assert math.isnan(series.values[0])
    assert series.values[3] == -math.inf
    assert (
        next(row for row in found.history(["y", "z"]) if "y" in row).items()
        >= {
            "y": 1,
            "z": 2,
        }.items()
    )


def test_what_cannot_be_kept_is_counted_and_the_rest_is_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with store.init(dir=tmp_path / "s", settings=store.Settings(git=False, console="off")) as run:
        for _ in range(3):
            run.log({"ok": 1.0, "big": 2**70, "none": None, "object": object(), "\ud800": 1.0})
    assert capfd.readouterr().err.count("integers over 64 bits") == 1
    rows = rows_of(only_run(tmp_path / "s"))
    assert [row.data for row in rows] == [{"ok": 1.0, "\\ud800": 1.0}] * 3
    refused = json.loads(stored(tmp_path).line.refused)
    assert sum(refused.values()) == 9


def test_strict_raises(tmp_path: Path) -> None:
    settings = store.Settings(silent=True, git=False, console="off", strict=True)
    with store.init(dir=tmp_path / "s", settings=settings) as run, pytest.raises(UsageError):
        run.log({"x": object()})


def test_numpy_scalars_become_numbers(tmp_path: Path) -> None:
    import numpy as np

    with begin(tmp_path) as run:
        run.log({"f": np.float32(0.5), "d": np.float64(0.25), "i": np.int64(3), "b": np.bool_(1)})
        run.log({"one": np.array([4.0]), "zero": np.array(5)})
    merged = {k: v for row in rows_of(only_run(tmp_path / "s")) for k, v in row.data.items()}
    assert merged == {"f": 0.5, "d": 0.25, "i": 3, "b": 1, "one": 4.0, "zero": 5}


def test_config_takes_what_scripts_have(tmp_path: Path) -> None:
    import argparse
    from dataclasses import dataclass

    @dataclass
    class Options:
        width: int = 3

    with begin(tmp_path, config=argparse.Namespace(lr=0.1, layers=[1, 2])) as run:
        run.config.update(Options())
        run.config.seed = 7
        run.config["path"] = Path("data")
        assert (run.config.lr, run.config["width"], run.config.seed) == (0.1, 3, 7)
        with pytest.raises(UsageError, match="allow_val_change"):
            run.config.lr = 0.2
        run.config.update({"lr": 0.2}, allow_val_change=True)
        run.config.setdefaults({"lr": 9, "extra": None})
        del run.config["seed"]
    assert stored(tmp_path).config == {
        "lr": 0.2,
        "layers": [1, 2],
        "width": 3,
        "path": "data",
        "extra": None,
    }


def test_summary_is_last_unless_told_otherwise(tmp_path: Path) -> None:
    with begin(tmp_path) as run:
        run.define_metric("acc", summary="max")
        run.define_metric("val/*", step_metric="epoch", summary="mean")
        run.define_metric("hidden", summary="none")
        for n, acc in enumerate([0.2, 0.9, 0.4]):
            run.log({"acc": acc, "loss": acc, "val/x": acc, "hidden": 1.0, "epoch": n})
        run.summary["loss"] = 42
        run.log({"loss": 0.1})
        assert run.summary["acc"] == 0.9
        assert run.summary["loss"] == 42
    summary = stored(tmp_path).summary
    assert summary["acc"] == 0.9
    assert summary["loss"] == 42
    assert summary["val/x"] == pytest.approx(0.5)
    assert "hidden" not in summary
    rows = store.open(tmp_path / "s").sql("select min, max from summary where key = 'loss'").rows
    assert rows == [(0.1, 0.9)]


def test_resume_goes_on_behind_the_last_step(tmp_path: Path) -> None:
    with begin(tmp_path, id="r", config={"lr": 1}) as run:
        run.log({"x": 1.0})
        run.log({"x": 2.0})
    with begin(tmp_path, id="r") as run:
        assert run.resumed
        assert run.step == 2
        assert run.config.lr == 1
        run.log({"x": 3.0})
    assert list(stored(tmp_path).series("x").steps) == [0, 1, 2]
    assert stored(tmp_path).name == run.name


def test_resume_prefers_the_steps_of_its_own_label(tmp_path: Path) -> None:
    for label, rows in (("a", 5), ("b", 2)):
        settings = store.Settings(silent=True, git=False, console="off", label=label)
        with store.init(dir=tmp_path / "s", id="r", settings=settings) as run:
            run.log({"x": 1.0}, step=0)
            for _ in range(rows):
                run.log({"x": 1.0})
    settings = store.Settings(silent=True, git=False, console="off", label="a")
    with store.init(dir=tmp_path / "s", id="r", settings=settings) as run:
        assert run.step == 6


def test_resume_modes(tmp_path: Path) -> None:
    with pytest.raises(RunNotFound):
        begin(tmp_path, id="r", resume="must")
    begin(tmp_path, id="r", resume="never").finish()
    with pytest.raises(RunExists):
        begin(tmp_path, id="r", resume="never")
    begin(tmp_path, id="r", resume="must").finish(exit_code=2)
    assert stored(tmp_path).state == "failed"
    run = begin(tmp_path, resume="auto")
    assert run.id == "r"
    run.finish()
    run = begin(tmp_path, resume="auto")
    assert run.id != "r"
    run.finish()


def test_several_runs_are_open_at_once(tmp_path: Path) -> None:
    one, two = begin(tmp_path), begin(tmp_path)
    assert store.run is two
    one.log({"x": 1.0})
    two.log({"x": 2.0})
    two.finish()
    assert store.run is one
    three = begin(tmp_path, reinit=True)
    assert one.state == "finished"
    three.finish()
    assert len(list(StoreFolder(tmp_path / "s").runs())) == 3


def test_a_finished_run_takes_no_more_rows(tmp_path: Path) -> None:
    run = begin(tmp_path)
    run.finish()
    run.finish()
    with pytest.raises(RunClosed):
        run.log({"x": 1.0})


def test_an_exception_in_the_block_fails_the_run(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), begin(tmp_path):
        raise ZeroDivisionError
    assert stored(tmp_path).state == "failed"


def test_disabled_writes_nothing(tmp_path: Path) -> None:
    with begin(tmp_path, mode="disabled", config={"a": 1}) as run:
        run.log({"x": 1.0})
        run.summary["y"] = 2
        assert run.config.a == 1
        assert run.summary["y"] == 2
    assert not (tmp_path / "s").exists()


def test_kept_files(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with begin(tmp_path) as run:
        assert run.save(tmp_path / "*.txt") == ["notes.txt"]
        with pytest.raises(UsageError):
            run.save(tmp_path / "nothing")
    assert [file.name for file in stored(tmp_path).files()] == ["notes.txt"]
    assert problems(tmp_path / "s") == []


def test_what_is_printed_is_kept(tmp_path: Path) -> None:
    run_script(
        "import store, sys\n"
        "store.init(dir='s', settings={'git': False})\n"
        "print('hello')\nsys.stderr.write('10%\\r20%\\rdone\\n')\nprint('no newline', end='')\n",
        tmp_path,
    )
    lines = [(line.stream, line.text) for line in stored(tmp_path).console()]
    assert ("stdout", "hello") in lines
    assert ("stderr", "done") in lines
    assert ("stdout", "no newline") in lines


def test_the_last_line_says_how_to_send_the_run(tmp_path: Path) -> None:
    done = run_script("import store\nstore.init(dir='s').log({'x': 1})\n", tmp_path)
    run = only_run(tmp_path / "s")
    assert f"store sync {run.path}" in done.stderr


@pytest.mark.parametrize(
    ("ending", "state", "code"),
    [
        ("", "finished", 0),
        ("raise ValueError('x')", "failed", 1),
        ("import sys; sys.exit(3)", "failed", 3),
        ("import sys; sys.exit(0)", "finished", 0),
        ("exit(4)", "failed", 4),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "killed", 143),
        ("raise KeyboardInterrupt", "killed", None),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "crashed", -9),
    ],
)
def test_the_end_of_a_script_is_the_state_of_its_run(
    tmp_path: Path, ending: str, state: str, code: int | None
) -> None:
    code_text = f"import store\nstore.init(dir='s').log({{'x': 1.0}})\n{ending}\n"
    done = run_script(code_text, tmp_path, check=False)
    assert code is None or done.returncode == code, done.stderr
    assert stored(tmp_path).state == state
    assert len(rows_of(only_run(tmp_path / "s"))) == 1


def test_wandb_names_are_read_from_the_environment(tmp_path: Path) -> None:
    run_script(
        "import store\nstore.init(settings={'git': False}).log({'x': 1.0})\n",
        tmp_path,
        WANDB_PROJECT="wp",
        WANDB_ENTITY="we",
        WANDB_NAME="wn",
        WANDB_RUN_ID="wid",
        WANDB_TAGS="a,b",
        WANDB_MODE="dryrun",
    )
    run = only_run(tmp_path / ".store")
    assert run.key == "we/wp/wid"
    found = store.open(tmp_path / ".store").runs["wid"]
    assert (found.name, found.tags) == ("wn", ("a", "b"))


def test_provenance_is_kept_and_redacted(tmp_path: Path) -> None:
    run_script("import store\nstore.init(dir='s')\n", tmp_path, "--api-key", "hunter2-very-secret")
    found = stored(tmp_path)
    command = found.attributes["command"]["command"]
    assert command[-3:] == [str(tmp_path / "script.py"), "--api-key", "***"]
    assert found.attributes["machine"]["python"]
    assert "msgpack" in found.attributes["packages"]


def test_a_folder_that_cannot_be_written_to_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="dir= or STORE_DIR"):
        store.init(dir=tmp_path / "file" / "s", settings=QUIET)


def test_somebody_elses_folder_never_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("")
    store.init(dir=tmp_path, settings=QUIET).finish()
    assert (tmp_path / ".store" / "store.json").exists()
    assert not (tmp_path / ".gitignore").exists()
