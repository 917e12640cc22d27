"""Log rows when told: python log_when_told.py STORE ID [NAME]. Says "ready" once the run is open.

For each line on stdin, a number, it logs so many rows and prints a line, which the run keeps, then
says "done" on stderr. It finishes when stdin ends.
"""

import sys

import store

folder, run_id, *name = sys.argv[1:]
run = store.init(
    project="live",
    id=run_id,
    name=name[0] if name else run_id,
    dir=folder,
    config={"lr": 0.1},
    settings={
        "silent": True,
        "git": False,
        "console": "wrap",
        "agent": "off",
        "system_metrics": False,
    },
)
print("ready", file=sys.stderr, flush=True)
step = 0
for line in sys.stdin:
    for _ in range(int(line)):
        run.log({"loss": 1 / (step + 1), "acc": step / 100, "system/cpu": 50.0 + step % 10})
        step += 1
    print(f"now at step {step}", flush=True)
    print("done", file=sys.stderr, flush=True)
run.finish()
