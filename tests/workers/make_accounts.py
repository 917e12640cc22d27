"""Make a server's folder ready, and users with keys, at the same time as others do."""

from __future__ import annotations

import sys
from pathlib import Path

from store.server.accounts import Accounts
from store.server.folder import prepare
from store.server.problems import Problem

data, number, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
print("first" if prepare(data) else "later", flush=True)
accounts = Accounts(data)
for index in range(count):
    name = f"u{number}-{index}"
    accounts.create_user(name)
    accounts.create_key(name, ("read",))
    accounts.ensure_project(name, "p")
try:
    accounts.create_team("everybody", admin=f"u{number}-0")
    print("made", flush=True)
except Problem as problem:
    print(problem.code, flush=True)
accounts.close()
