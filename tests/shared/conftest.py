"""Two hosts of one disk, and the store there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hosts import Host


@pytest.fixture
def hosts(tmp_path: Path) -> tuple[Host, Host]:
    return Host(tmp_path, "node-a"), Host(tmp_path, "node-b")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "s"
