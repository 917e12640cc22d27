"""A clean environment for each test, and the long campaigns only when they are asked for."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long campaigns, and only them")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = bool(config.getoption("--long"))
    chosen = [item for item in items if bool(item.get_closest_marker("long")) == wanted]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting, cache or state of the person who runs the tests reaches them."""
    for name in tuple(os.environ):
        if name.startswith(("STORE_", "WANDB_", "SSL_CERT_")) or name.lower() in PROXIES:
            monkeypatch.delenv(name)
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / ".xdg" / name.lower()))
