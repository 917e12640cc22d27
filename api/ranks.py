"""Which of many processes this one is, from what its launcher left in the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# (rank, sizes: the first that is set counts), the launcher nearest to the process first.
_LAUNCHERS: Final = (
    ("RANK", ("WORLD_SIZE",)),
    ("OMPI_COMM_WORLD_RANK", ("OMPI_COMM_WORLD_SIZE",)),
    ("PMI_RANK", ("PMI_SIZE",)),
    ("MV2_COMM_WORLD_RANK", ("MV2_COMM_WORLD_SIZE",)),
    # PMIx names no size of its own; Slurm and Open MPI, which start it, do.
    ("PMIX_RANK", ("OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS")),
    ("SLURM_PROCID", ("SLURM_NTASKS",)),
)
_SIZELESS: Final = frozenset({"MV2_COMM_WORLD_RANK", "PMIX_RANK"})


def detect_label(environ: Mapping[str, str]) -> str | None:
    """`rank-<n>` of a process that torchrun, MPI or Slurm (in this order) started with others.

    None for a single process. A launcher whose values are malformed is passed over. MPI launchers
    that may leave out the size count as many processes from rank 1 on.
    """
    for name, sizes in _LAUNCHERS:
        rank = _number(environ.get(name))
        if rank is None:
            continue
        text = next((environ[size] for size in sizes if size in environ), None)
        if text is None and name in _SIZELESS:
            size: int | None = rank + 1
        else:
            size = _number(text)
        if size is not None and size > 1 and rank < size:
            return f"rank-{rank}"
    return None


def _number(text: str | None) -> int | None:
    if text is None or len(text) > 9 or not (text.isascii() and text.isdigit()):
        return None
    return int(text)
