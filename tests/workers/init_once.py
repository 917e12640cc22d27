"""Wait at the gate, open one run, log a row. Arguments: store, run id or "-", resume or "-"."""

import sys

import store
from store.errors import RunExists
from tests.workers.common import wait_at_gate

folder, run_id, resume = sys.argv[1:]
wait_at_gate()
try:
    run = store.init(
        project="race",
        id=None if run_id == "-" else run_id,
        dir=folder,
        resume=None if resume == "-" else resume,
        settings={"silent": True, "git": False, "console": "off"},
    )
except RunExists:
    print("exists", flush=True)
else:
    run.log({"x": 1.0})
    run.finish()
    print(run.id, run.name, flush=True)
