"""Progress where there is no terminal: lines with time left, not a bar at the end."""

import io

import pytest
from rich.console import Console

from sgrpo_verl import progress
from sgrpo_verl.progress import Bars


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until ``clock[0]`` is set; rich's own as well."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def lines_of(clock, updates, total=100.0):
    """What is said when, at each time in seconds, so much is completed."""
    out = io.StringIO()
    clock[0] = 0.0
    with Bars(Console(file=out, width=40)) as bars:
        bar = bars.add_task("a description that is longer than forty characters", total=total)
        for clock[0], completed in updates:
            bars.update(bar, completed=completed, description=f"step {completed}")
    return out.getvalue().splitlines()


def test_a_line_every_half_minute_and_one_at_the_end(clock):
    assert lines_of(clock, [(second, second) for second in range(1, 101)]) == [
        "30 %: step 30, about 2 min left",
        "60 %: step 60, about 1 min left",
        "90 %: step 90, about 1 min left",
        "step 100, 100 s",
    ]


def test_no_line_where_nothing_was_done(clock):
    """As while Ray starts, and while a checkpoint is saved behind the last step."""
    waiting = [(second, 0) for second in range(1, 200)]
    assert lines_of(clock, [*waiting, (200, 50), *((second, 50) for second in range(201, 300))]) == ["50 %: step 50"]
    assert lines_of(clock, [(10, 50), (20, 100), (30, 100), (100, 100)]) == ["step 100, 20 s"]


def test_a_terminal_has_a_bar_and_no_lines(clock):
    out = io.StringIO()
    with Bars(Console(file=out, width=80, force_terminal=True)) as bars:
        bar = bars.add_task("teaching", total=2)
        clock[0] = 100
        bars.update(bar, completed=2)
    assert "min left" not in out.getvalue()
    assert "━" in out.getvalue()


def test_brackets_in_a_description_are_shown():
    out = io.StringIO()
    with Bars(Console(file=out, width=80, force_terminal=True)) as bars:
        bars.add_task("b[/] 1/2", total=2)
    assert "b[/] 1/2" in out.getvalue()
