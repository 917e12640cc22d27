"""A power cut: rows before a flush(durable=True) or finish() that returned are on the disk.

ext4 in a file is shut down by ioctl: nothing that was not on the disk gets there. Then it is
mounted again, as after a reboot. Needs root and loop devices, and says "not run" without.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from store.fold import fold
from tests.disks import cut_power, ext4, make_image
from tests.helpers import (
    acknowledged,
    counts_by_writer,
    kill,
    make_seed,
    only_run,
    open_gates,
    problems,
    rows_of,
    start_gated,
)

MEDIA = ("mmap", "write")
WRITERS = 3


def one_cut(folder: Path, seed: int) -> None:
    choose = random.Random(seed)
    folder.mkdir()
    image, disk = folder / "image", folder / "disk"
    make_image(image, 64)
    with ext4(image, disk):
        store = disk / "store"
        writers = [
            start_gated(
                "log_durably",
                store,
                n,
                folder / f"ack{n}",
                choose.choice(MEDIA),
                600 if n == 0 else 0,
            )
            for n in range(WRITERS)
        ]
        open_gates(writers)
        assert writers[0].stdout is not None
        if choose.random() < 0.7:
            assert writers[0].stdout.readline() == b"finished\n"
        time.sleep(choose.random() * 0.5)
        if choose.random() < 0.5:
            fold(only_run(store), timeout=30)
        # What is known to be durable is looked at before the cut: later words do not count.
        durable = [acknowledged(folder / f"ack{n}", 1) for n in range(WRITERS)]
        cut_power(disk)
        known = [acknowledged(folder / f"ack{n}") for n in range(WRITERS)]
        for writer in writers:
            kill(writer)
    with ext4(image, disk):
        logged = counts_by_writer(rows_of(only_run(disk / "store")))
        for n in range(WRITERS):
            found = logged.get(float(n), [])
            assert found == list(range(len(found))), f"writer {n}: a hole or a double"
            assert durable[n] <= len(found) <= known[n] + 1, f"writer {n}: durable rows are lost"
        assert problems(disk / "store") == []


@pytest.mark.parametrize(
    "cuts", [4, pytest.param(60, marks=[pytest.mark.long, pytest.mark.timeout(3600)])]
)
def test_durable_rows_survive_a_power_cut(tmp_path: Path, cuts: int) -> None:
    seed = make_seed()
    for number in range(cuts):
        one_cut(tmp_path / str(number), seed + number)
