"""Fill a store for the pages: python make_demo.py FOLDER. Says "ready"; ends when stdin does.

Project "digits": a finished run with everything, one that failed, one whose process was killed, and
one that is running: for each line on stdin it logs ten more rows. Project "hostile": names that
want to be markup. The killed run is made by this program itself, called with "crash".
"""

from __future__ import annotations

import math
import os
import random
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import store

HOSTILE = '<img src=x onerror="document.title=1"><script>window.hacked=1</script>'
RTL = "abc\u202egnp.exe\u202c \u05e9\u05dc\u05d5\u05dd"
MODELS = ("cnn", "mlp", "resnet")


def open_run(folder: str, project: str, name: str, **more: object) -> store.Run:
    settings = {"silent": True, "git": False, "console": "off"}
    return store.init(project=project, name=name, dir=folder, settings=settings, **more)  # type: ignore[arg-type]


def log_rows(run: store.Run, first: int, last: int, *, seed: int, rate: float) -> None:
    noise = random.Random(seed * 1000 + first)
    for step in range(first, last):
        fall = math.exp(-step * rate * 2)
        run.log(
            {
                "train/loss": 0.1 + 2.2 * fall + noise.gauss(0, 0.03),
                "train/accuracy": 0.97 - 0.85 * fall + noise.gauss(0, 0.008),
                "val/loss": 0.16 + 2.1 * fall + noise.gauss(0, 0.02),
                "lr": rate * (1 - step / 2000),
                "system/cpu": 55 + 20 * math.sin(step / 30) + noise.gauss(0, 3),
                "system/memory": 3.1e9 + step * 2e6,
            },
            step=step,
        )


def png(red: int) -> bytes:
    """A picture of 64 x 64 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    rows = b"".join(
        b"\0" + bytes(v for x in range(64) for v in (red, x * 4, y * 4)) for y in range(64)
    )
    head = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def config_of(number: int) -> dict[str, object]:
    return {
        "lr": round(0.001 * 2 ** (number % 6), 6),
        "batch": 32 * (1 + number % 3),
        "model": MODELS[number % 3],
        "optimizer": {"name": "adam", "betas": [0.9, 0.999]},
        "seed": number,
    }


def rich(folder: str) -> None:
    """A run with everything: console, files, pictures, tables, notes, a git state."""
    made = Path(folder).parent / "made"
    made.mkdir(exist_ok=True)
    config = config_of(1) | {"note": HOSTILE, "long": "x" * 10_000}
    run = open_run(folder, "digits", "everything", id="everything", config=config, tags=["best"])
    run.notes = "The best one so far."
    log_rows(run, 0, 300, seed=77, rate=0.02)
    for step in range(5):
        (made / f"sample{step}.png").write_bytes(png(50 * step))
        table = [[digit, round(0.9 + digit / 200, 3), "ok"] for digit in range(10)]
        run.log(
            {
                "sample": {"_type": "image-file", "path": f"sample{step}.png", "caption": "one"},
                "confusion": {
                    "_type": "table",
                    "columns": ["digit", "accuracy", "<b>said</b>"],
                    "data": table,
                },
                "weights": {
                    "_type": "histogram",
                    "bins": [i / 8 - 1 for i in range(17)],
                    "values": [
                        round(100 * math.exp(-((i - 8 - step) ** 2) / 9)) for i in range(16)
                    ],
                },
                "answer": f"step {step}: {HOSTILE}",
            },
            step=step,
        )
    (made / "model.txt").write_text("layer 1\n" + HOSTILE + "\n")
    (made / "page.html").write_text("<script>parent.hacked=1</script>")
    (made / "drawing.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg"><script>window.hacked=1</script></svg>'
    )
    os.chdir(made)
    run.save("*")
    _write_console(run)
    run.finish()


def _write_console(run: store.Run) -> None:
    from store.row import Kind

    write = run._write
    for number in range(3000):
        text = f"\x1b[32mepoch {number}\x1b[0m loss={1 / (number + 1):.5f}"
        write(Kind.CONSOLE, {"stream": "stdout", "text": text})
    write(Kind.CONSOLE, {"stream": "stderr", "text": f"Warning: {HOSTILE} {RTL}"})
    git = {
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "branch": "main",
        "dirty": True,
        "remote": "git@github.com:example/digits.git",
        "diff": "diff --git a/train.py b/train.py\n--- a/train.py\n+++ b/train.py\n"
        f"@@ -1,2 +1,2 @@\n-lr = 0.1\n+lr = 0.2  # {HOSTILE}\n",
    }
    write(Kind.ATTRIBUTE, {"git": git, "command": {"command": ["python", "train.py", HOSTILE]}})


def hostile(folder: str) -> None:
    for number, name in enumerate((HOSTILE, RTL, "n" * 10_000, "bell\x07\x1b[31m\u2028end")):
        config = {name[:200]: name, HOSTILE: 1}
        run = open_run(folder, "hostile", "later", id=f"h{number}", config=config)
        run.name = run.notes = name
        run.tags = [name[:200]]
        run.log({"loss": 0.5, f"key {name[:200]}": 1.0, "text": name})
        run.finish()


def crash(folder: str) -> None:
    run = open_run(folder, "digits", "crashed", id="crashed", config=config_of(2))
    log_rows(run, 0, 60, seed=5, rate=0.01)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    folder = sys.argv[1]
    if len(sys.argv) > 2:
        crash(folder)
    os.environ["STORE_DIR"] = folder
    failed = open_run(folder, "digits", "failed", id="failed", config=config_of(3))
    log_rows(failed, 0, 40, seed=4, rate=0.01)
    failed.finish(exit_code=1)
    subprocess.run([sys.executable, __file__, folder, "crash"], check=False)
    hostile(folder)
    rich(folder)
    live = open_run(folder, "digits", "live", id="live", config=config_of(4))
    step = 100
    log_rows(live, 0, step, seed=9, rate=0.01)
    print("ready", flush=True)
    for _ in sys.stdin:
        log_rows(live, step, step + 10, seed=9, rate=0.01)
        step += 10
    live.finish()


if __name__ == "__main__":
    main()
