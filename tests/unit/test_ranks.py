"""The label of one process among many."""

from __future__ import annotations

import pytest

from store.api.ranks import detect_label


@pytest.mark.parametrize(
    ("environ", "label"),
    [
        ({"RANK": "3", "WORLD_SIZE": "8"}, "rank-3"),
        ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, "rank-0"),
        ({"SLURM_PROCID": "5", "SLURM_NTASKS": "6"}, "rank-5"),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, "rank-1"),
        ({"PMI_RANK": "1", "PMI_SIZE": "2"}, "rank-1"),
        ({"MV2_COMM_WORLD_RANK": "1", "MV2_COMM_WORLD_SIZE": "2"}, "rank-1"),
        ({"MV2_COMM_WORLD_RANK": "1"}, "rank-1"),
        ({"PMIX_RANK": "2"}, "rank-2"),
        ({"PMIX_RANK": "0", "SLURM_NTASKS": "2"}, "rank-0"),
    ],
)
def test_rank_of_each_launcher(environ: dict[str, str], label: str) -> None:
    assert detect_label(environ) == label


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"RANK": "0", "WORLD_SIZE": "1"},
        {"RANK": "3"},
        {"WORLD_SIZE": "8"},
        {"SLURM_PROCID": "0", "SLURM_NTASKS": "1"},
        {"SLURM_PROCID": "0"},
        {"SLURM_NTASKS": "4"},
        {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "1"},
        {"PMIX_RANK": "0"},
        {"PMIX_RANK": "0", "SLURM_NTASKS": "1"},
    ],
)
def test_single_process_has_no_label(environ: dict[str, str]) -> None:
    assert detect_label(environ) is None


@pytest.mark.parametrize(
    "value", ["", "x", "-1", "1.0", " 1", "1\n", "\u0663", "8", "1e3", "9" * 400]
)
def test_malformed_rank_is_none(value: str) -> None:
    assert detect_label({"RANK": value, "WORLD_SIZE": "8"}) is None


@pytest.mark.parametrize("value", ["", "many", "-8", "2(x3)", "0"])
def test_malformed_size_is_none(value: str) -> None:
    assert detect_label({"SLURM_PROCID": "0", "SLURM_NTASKS": value}) is None


def test_torchrun_comes_before_mpi_and_mpi_before_slurm() -> None:
    slurm = {"SLURM_PROCID": "1", "SLURM_NTASKS": "4"}
    mpi = {"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4"}
    torchrun = {"RANK": "3", "WORLD_SIZE": "4"}

    assert detect_label(slurm | mpi | torchrun) == "rank-3"
    assert detect_label(slurm | mpi) == "rank-2"


def test_malformed_launcher_is_passed_over() -> None:
    environ = {"RANK": "?", "WORLD_SIZE": "4", "SLURM_PROCID": "1", "SLURM_NTASKS": "4"}

    assert detect_label(environ) == "rank-1"
