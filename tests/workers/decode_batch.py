"""Read batches, each in a process of its own with 1 GB of memory; say what each came to.

Arguments: files with the bytes of a batch. A line for each: the number of rows or the error, and
the MB that reading the rows took.
"""

import os
import resource
import sys
from pathlib import Path

from store.sync.receive import fields_of
from store.sync.wire import BadBatchError, decode_batch

MB = 2**20 if sys.platform == "darwin" else 2**10


def measure(data: bytes) -> str:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        batch = decode_batch(data)
        outcome = str(sum(len(fields_of(section)) for section in batch.sections))
    except BadBatchError:
        outcome = "BadBatchError"
    return f"{outcome} {(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // MB}"


resource.setrlimit(resource.RLIMIT_AS, (2**30, resource.getrlimit(resource.RLIMIT_AS)[1]))
for path in sys.argv[1:]:
    child = os.fork()
    if not child:
        print(measure(Path(path).read_bytes()), flush=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status:
        print(f"ended with status {status} 0", flush=True)
