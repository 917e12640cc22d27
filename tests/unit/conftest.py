"""Fixtures of the unit tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from store.paths import StoreFolder, create_store


@pytest.fixture
def store(tmp_path: Path) -> StoreFolder:
    """An empty store in a folder of its own."""
    return create_store(tmp_path / ".store")
