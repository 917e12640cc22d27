"""Publish one run again and again until killed. Arguments: run folder."""

import sys
from pathlib import Path

from store.errors import StoreLocked
from store.paths import StoreFolder
from store.shared.publish import publish

path = Path(sys.argv[1])
while True:
    if (path / "journals").is_dir():
        run = StoreFolder(path.parent.parent.parent).run_at(path)
        try:
            publish(run, timeout=1.0)
        except StoreLocked:
            continue
