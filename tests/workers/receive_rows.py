"""Receive the rows of one store's run in another, a few in each batch; say each position.

Arguments: store that they come from, store that they go to, rows in a batch.
"""

import sys
from pathlib import Path

from store.sync.receive import receive
from tests.sync.batches import batch_of, new_run, stretches_of

source, target, count = sys.argv[1:]
origin, there = new_run(Path(source)), new_run(Path(target))
for section in stretches_of(origin, "a" * 32, most=int(count)):
    (position, _) = receive(there, batch_of(section)).positions["a" * 32]
    print(position, flush=True)
sys.stdin.readline()
