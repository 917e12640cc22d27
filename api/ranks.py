"""Which of many processes this one is, from what its launcher left in the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class _Launcher(NamedTuple):
    """Variables of a launcher: the rank; where several are named, the first that is set counts."""

    rank: str
    sizes: tuple[str, ...]
    ranks_on_host: tuple[str, ...]


# The launcher nearest to the process first.
_LAUNCHERS: Final = (
    _Launcher("RANK", ("WORLD_SIZE",), ("LOCAL_RANK",)),
    _Launcher("OMPI_COMM_WORLD_RANK", ("OMPI_COMM_WORLD_SIZE",), ("OMPI_COMM_WORLD_LOCAL_RANK",)),
    _Launcher("PMI_RANK", ("PMI_SIZE",), ("MPI_LOCALRANKID", "PMI_LOCAL_RANK")),
    _Launcher("MV2_COMM_WORLD_RANK", ("MV2_COMM_WORLD_SIZE",), ("MV2_COMM_WORLD_LOCAL_RANK",)),
    # PMIx names no size of its own; Slurm and Open MPI, which start it, do.
    _Launcher(
        "PMIX_RANK",
        ("OMPI_COMM_WORLD_SIZE", "SLURM_NTASKS"),
        ("OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID"),
    ),
    _Launcher("SLURM_PROCID", ("SLURM_NTASKS",), ("SLURM_LOCALID",)),
)
_SIZELESS: Final = frozenset({"MV2_COMM_WORLD_RANK", "PMIX_RANK"})


def detect_label(environ: Mapping[str, str]) -> str | None:
    """`rank-<n>` of a process that torchrun, MPI or Slurm (in this order) started with others.

    None for a single process. A launcher whose values are malformed is passed over. MPI launchers
    that may leave out the size count as many processes from rank 1 on.
    """
    found = _find(environ)
    return None if found is None else f"rank-{found[1]}"


def is_first_on_host(environ: Mapping[str, str]) -> bool | None:
    """Whether this is the first process on its host of those that `detect_label` tells apart.

    None for a single process. Where the launcher does not say, rank 0 alone is the first.
    """
    found = _find(environ)
    if found is None:
        return None
    launcher, rank = found
    text = next((environ[name] for name in launcher.ranks_on_host if name in environ), None)
    return (rank if text is None else _number(text)) == 0


def _find(environ: Mapping[str, str]) -> tuple[_Launcher, int] | None:
    """The launcher that counts, and the rank that it gave."""
    for launcher in _LAUNCHERS:
        rank = _number(environ.get(launcher.rank))
        if rank is None:
            continue
        text = next((environ[size] for size in launcher.sizes if size in environ), None)
        if text is None and launcher.rank in _SIZELESS:
            size: int | None = rank + 1
        else:
            size = _number(text)
        if size is not None and size > 1 and rank < size:
            return launcher, rank
    return None


def _number(text: str | None) -> int | None:
    if text is None or len(text) > 9 or not (text.isascii() and text.isdigit()):
        return None
    return int(text)
