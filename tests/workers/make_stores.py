"""Make one store from many processes at once, again and again. Arguments: folder, rounds."""

import os
import sys
from pathlib import Path

from store.paths import create_store, locate_store

PROCESSES = 8
folder, rounds = sys.argv[1:]
for number in range(int(rounds)):
    given = Path(folder, str(number))
    gate, opens = os.pipe()
    children = []
    for child in range(PROCESSES):
        children.append(os.fork())
        if children[-1] == 0:
            os.close(opens)
            os.read(gate, 1)
            store = create_store(locate_store(given=given))
            store.run("local", "race", str(child)).path.mkdir(parents=True)
            os._exit(0)
    os.close(opens)
    os.close(gate)
    assert all(os.waitpid(child, 0)[1] == 0 for child in children)
