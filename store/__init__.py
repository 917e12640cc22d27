"""Runstore: an offline-first experiment tracker.

    import store

    run = store.init(project="digits", config={"lr": 0.1})
    run.log({"loss": 0.5})
    run.finish()

The names below are resolved on first use (PEP 562), so that a training script loads nothing that
only the command line needs. Settings, which every use needs, come with the package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from store.settings import Settings

if TYPE_CHECKING:
    from store.api.configuration import Config, Summary
    from store.api.live_run import Run
    from store.api.session import define_metric, finish, init, log, save
    from store.errors import StoreError
    from store.query import Store, sql
    from store.query import open_store as open

    run: Run | None
    config: Config
    summary: Summary

__version__ = "0.1.0"

_PUBLIC: Final = {
    "init": "store.api.session:init",
    "log": "store.api.session:log",
    "finish": "store.api.session:finish",
    "define_metric": "store.api.session:define_metric",
    "save": "store.api.session:save",
    "Run": "store.api.live_run:Run",
    "Store": "store.query:Store",
    "open": "store.query:open_store",
    "sql": "store.query:sql",
    "StoreError": "store.errors:StoreError",
}
_CURRENT: Final = {
    "run": "store.api.session:current_run",
    "config": "store.api.session:current_config",
    "summary": "store.api.session:current_summary",
}

__all__ = [
    "Run",
    "Settings",
    "Store",
    "StoreError",
    "config",
    "define_metric",
    "finish",
    "init",
    "log",
    "open",
    "run",
    "save",
    "sql",
    "summary",
]


def __getattr__(name: str) -> Any:
    where = _PUBLIC.get(name) or _CURRENT.get(name)
    if where is None:
        raise AttributeError(f"module 'store' has no attribute {name!r}")
    module, _, attribute = where.partition(":")
    found = getattr(import_module(module), attribute)
    if name in _CURRENT:
        return found()
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
