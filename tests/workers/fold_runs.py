"""Fold one run again and again until killed. Arguments: run folder, rounds (0 = without end)."""

import sys
from pathlib import Path

from store.errors import StoreLocked
from store.fold import fold
from store.paths import StoreFolder

path = Path(sys.argv[1])
rounds = int(sys.argv[2])
done = 0
while rounds == 0 or done < rounds:
    if path.exists():
        run = StoreFolder(path.parent.parent.parent).run_at(path)
        try:
            fold(run, timeout=1.0)
        except StoreLocked:
            continue
        done += 1
