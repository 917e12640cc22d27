"""Result: what a query gave, and its ways into other tools (imported only when asked for)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


class Result:
    """Columns and rows. `stale` names the runs of which rows were not folded in time."""

    __slots__ = ("columns", "rows", "stale")

    def __init__(
        self,
        columns: Sequence[str],
        rows: list[tuple[Any, ...]],
        stale: Sequence[str] = (),
    ) -> None:
        self.columns = tuple(columns)
        self.rows = rows
        self.stale = tuple(stale)

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return self.rows[index]

    def __repr__(self) -> str:
        return f"<Result of {len(self.rows)} rows: {', '.join(self.columns)}>"

    def dicts(self) -> list[dict[str, Any]]:
        """A dict per row; of several columns with one name the last one is kept."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def pandas(self) -> Any:
        """A pandas.DataFrame. ImportError without pandas."""
        import pandas as pd

        return pd.DataFrame.from_records(self.rows, columns=list(self.columns))

    def polars(self) -> Any:
        """A polars.DataFrame. ImportError without polars."""
        import polars as pl

        return pl.DataFrame(
            self.rows, schema=list(self.columns), orient="row", infer_schema_length=None
        )
