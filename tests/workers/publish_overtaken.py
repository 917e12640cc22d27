"""Publish a run while another host, at one moment of it, publishes more of it.

Arguments: run folder, event (of sys.audit), its path's ending, and the program that is run when the
event comes for the first time.
"""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from store.paths import StoreFolder
from store.shared.publish import publish

path, event, ending, *program = sys.argv[1:]
overtaken = False


def overtake(name: str, arguments: tuple[object, ...]) -> None:
    global overtaken
    if name != event or overtaken or not isinstance(arguments[0], str | bytes | os.PathLike):
        return
    if urlsplit(os.fsdecode(arguments[0])).path.endswith(ending):
        overtaken = True
        subprocess.run(program, check=True, timeout=60)


folder = Path(path)
run = StoreFolder(folder.parent.parent.parent).run_at(folder)
sys.addaudithook(overtake)
publish(run)
print(overtaken)
