"""The label of one process among many."""

from __future__ import annotations

import pytest

from store.api.ranks import detect_label, is_first_on_host


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


@pytest.mark.parametrize(
    ("environ", "is_first"),
    [
        ({}, None),
        ({"LOCAL_RANK": "0"}, None),
        ({"RANK": "8", "WORLD_SIZE": "16", "LOCAL_RANK": "0"}, True),
        ({"RANK": "9", "WORLD_SIZE": "16", "LOCAL_RANK": "1"}, False),
        ({"RANK": "9", "WORLD_SIZE": "16", "LOCAL_RANK": "1", "SLURM_LOCALID": "0"}, False),
        ({"SLURM_PROCID": "4", "SLURM_NTASKS": "8", "SLURM_LOCALID": "0"}, True),
        (
            {
                "OMPI_COMM_WORLD_RANK": "4",
                "OMPI_COMM_WORLD_SIZE": "8",
                "OMPI_COMM_WORLD_LOCAL_RANK": "0",
            },
            True,
        ),
        ({"PMI_RANK": "2", "PMI_SIZE": "4", "MPI_LOCALRANKID": "0"}, True),
        ({"RANK": "0", "WORLD_SIZE": "2"}, True),
        ({"RANK": "1", "WORLD_SIZE": "2"}, False),
        ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "x"}, False),
    ],
)
def test_the_first_of_a_host(environ: dict[str, str], is_first: bool | None) -> None:
    assert is_first_on_host(environ) is is_first
