"""Wait at the gate, then add remotes and keys, and take every second one away again.

Arguments: store, number of this process, how many of each.
"""

import sys
from pathlib import Path

from store.paths import StoreFolder
from store.sync.credentials import forget_key, save_key
from store.sync.remotes import add, remove
from tests.workers.common import wait_at_gate

folder, number, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
store = StoreFolder(folder)
wait_at_gate()
for n in range(count):
    name = f"r{number}-{n}"
    add(store, name, f"https://{name}.example")
    save_key(f"https://{name}.example", f"st-{number:020x}{n:020x}")
    if n % 2:
        remove(store, name)
        assert forget_key(f"https://{name}.example")
