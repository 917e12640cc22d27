"""What a run is doing, from its writers' rows and locks."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from store.database import Source
from store.ownership import Life
from store.state import EDITOR, run_state, writer_state

NOW = 1_000_000.0


def source(
    uuid: str,
    state: str | None = None,
    *,
    opened: float = 0.0,
    latest: float = 10.0,
    label: str | None = None,
    parent: str | None = None,
    ended: int = 0,
    seen: float | None = None,
) -> Source:
    return Source(
        *(1, uuid, "journal", "host", 1, label, parent, None, opened, latest, 3),
        *(state, None, 5, b"", 1, 0, ended, seen),
    )


def state_of(*sources: Source, **life: Life) -> str:
    return run_state(sources, life, NOW)


def test_a_living_editor_is_no_life() -> None:
    editor = source("e", parent=EDITOR)
    assert state_of(source("a", "finished"), editor, a="dead", e="alive") == "finished"


def test_a_living_writer_makes_the_run_running_whatever_the_others_say() -> None:
    dead = source("a", opened=0.0)
    assert state_of(dead, source("b"), a="dead", b="alive") == "running"
    assert state_of(source("c", "failed", parent="a"), c="dead", other="alive") == "running"


@pytest.mark.parametrize("end", ["finished", "failed", "killed", "crashed"])
def test_the_end_of_a_single_writer_is_the_state_of_the_run(end: str) -> None:
    assert state_of(source("a", end), a="unknown") == end
    assert state_of(source("a", end, ended=1)) == end


def test_an_end_of_another_name_counts_as_finished() -> None:
    assert state_of(source("a", "done")) == "finished"


def test_a_writer_that_died_without_an_end_crashed() -> None:
    assert state_of(source("a", latest=NOW - 1), a="dead") == "crashed"
    assert state_of(source("a", latest=NOW - 1, ended=1)) == "crashed"


def test_a_writer_of_unknown_life_runs_while_its_last_row_is_young() -> None:
    assert state_of(source("a", latest=NOW - 59)) == "running"
    assert state_of(source("a", latest=NOW - 61)) == "crashed"
    assert state_of(source("a", latest=NOW - 900, seen=NOW - 59)) == "running"
    assert state_of(source("a", latest=NOW - 900, seen=NOW - 61)) == "crashed"


def test_killed_goes_before_failed_and_crashed_before_both() -> None:
    failed, killed = source("a", "failed", label="r0"), source("b", "killed", label="r1")
    assert state_of(source("c", "finished"), failed) == "failed"
    assert state_of(failed, killed) == "killed"
    assert state_of(failed, killed, source("c"), c="dead") == "crashed"


def test_a_later_writer_with_the_same_label_replaces_the_earlier_one() -> None:
    first, second = (
        source("a", label="rank-0", latest=50.0),
        source("b", "finished", label="rank-0", opened=20.0),
    )
    other = source("c", "finished", label="rank-1", latest=60.0)
    assert state_of(first, second, other, a="dead") == "finished"
    assert state_of(first, other, a="dead") == "crashed"


def test_writers_without_a_label_do_not_replace_each_other() -> None:
    assert state_of(source("a"), source("b", "finished", opened=5.0), a="dead") == "crashed"


def test_a_resumed_run_forgets_how_the_earlier_session_ended() -> None:
    crashed, resumed = source("a", latest=10.0), source("b", "finished", opened=11.0, latest=30.0)
    assert state_of(crashed, resumed, a="dead") == "finished"
    assert state_of(resumed, crashed, a="dead") == "finished"
    still = source("b", "failed", opened=11.0, latest=30.0)
    assert state_of(crashed, still, a="dead") == "failed"


def test_a_forked_child_decides_only_by_an_end_that_says_failed() -> None:
    parent = source("a", "finished", latest=50.0)
    assert state_of(parent, source("b", parent="a", opened=5.0), b="dead") == "finished"
    assert state_of(parent, source("b", "killed", parent="a", opened=5.0)) == "finished"
    assert state_of(parent, source("b", "failed", parent="a", opened=5.0)) == "failed"


def test_a_failed_child_of_an_earlier_session_does_not_count() -> None:
    sources = (
        source("a", latest=10.0),
        source("b", "failed", parent="a", opened=5.0, latest=9.0),
        source("c", "finished", opened=20.0, latest=30.0),
    )
    assert state_of(*sources, a="dead") == "finished"


def test_children_decide_where_their_parent_never_wrote() -> None:
    assert state_of(source("b", "finished", parent="a")) == "finished"
    assert state_of(source("b", parent="a"), b="dead") == "crashed"


@pytest.mark.parametrize(("life", "state"), [({}, "crashed"), ({"a": "alive"}, "running")])
def test_a_run_without_rows(life: Mapping[str, Life], state: str) -> None:
    assert run_state([], life) == state


def test_a_source_of_which_only_stubs_are_here_is_no_reason_to_fail() -> None:
    stub = source("a")._replace(opened=None, latest=None)
    assert state_of(stub) == "crashed"
    assert state_of(stub, source("b", "finished", opened=1.0)) == "finished"


def test_the_state_of_one_writer() -> None:
    assert writer_state(source("a", "finished"), "alive", NOW) == "running"
    assert writer_state(source("a", "failed"), "dead", NOW) == "failed"
    assert writer_state(source("a", latest=NOW), "dead", NOW) == "crashed"
