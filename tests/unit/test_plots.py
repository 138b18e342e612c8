"""Plots show the intervals that the tables have."""

import csv

import numpy as np
import pytest

from recipes.language import picture
from sgrpo_verl.eval import plots, statistics
from sgrpo_verl.eval.lines import Line
from tests.conftest import ROOT

EVIDENCE = ROOT / "docs" / "evidence" / "language"


def line(run, scores, tokens, cap=None):
    problems = {"test": tuple(range(len(scores)))}
    return Line(run, run, cap, problems, {"test": np.array(scores)}, {"test": np.array(tokens)})


def test_bars_are_the_bootstrap_s_intervals(tmp_path, monkeypatch):
    lines = [line("one", [0.0, 1.0, 1.0, 1.0], [9.0, 3.0, 5.0, 7.0]), line("two", [1.0] * 4, [2.0] * 4)]
    one, two = plots.points(lines, ["test"])
    low, high = statistics.interval(statistics.mean([lines[0].scores["test"]]), [4])
    assert one.accuracy_interval == pytest.approx((100 * low, 100 * high))
    assert (one.tokens, two.tokens_interval) == (6.0, (2.0, 2.0))
    drawn = []
    monkeypatch.setattr(plots, "save", lambda figure, path: drawn.append(figure))
    plots.plot_accuracy_against_tokens([one, two], "test", tmp_path / "compare.png")
    (bars,) = drawn[0].axes[0].containers[0].lines[2][1].get_segments()  # upright
    assert bars[:, 1] == pytest.approx(one.accuracy_interval)
    plots.plt.close(drawn[0])


def test_a_single_problem_has_no_interval_and_is_drawn(tmp_path):
    points = plots.points([line("one", [1.0], [9.0], cap=4), line("one", [1.0], [12.0], cap=8)], ["test"])
    assert points[0].accuracy_interval is None
    for plot in (plots.plot_accuracy_against_tokens, plots.plot_budgets):
        plot(points, "test", tmp_path / "plot.png")
        assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"


def test_the_picture_s_records_are_the_runs_of_the_evidence(tmp_path):
    records = picture.read_records(EVIDENCE / "before_after.csv")
    picture.write_records(records, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (EVIDENCE / "before_after.csv").read_bytes()
    for decoding in ("greedy", "sampled"):
        with (EVIDENCE / f"{decoding}.csv").open(newline="") as opened:
            runs = [run for run in csv.DictReader(opened) if run["benchmark"] == "test"]
        seeds = [one for one in records if one.decoding == decoding and one.seed != "mean"]
        tokens = sorted(float(run["tokens"]) for run in runs[1:])
        assert sorted(one.tokens for one in seeds) == pytest.approx(tokens, rel=1e-5)
        means = {one.row: one for one in records if one.decoding == decoding and one.seed == "mean"}
        for mean in means.values():
            if mean.tokens_change:
                assert mean.tokens_change[0] == pytest.approx(
                    100 * (mean.tokens / means["untrained"].tokens - 1), abs=1e-3
                )
                assert mean.tokens_change[1] < mean.tokens_change[0] < mean.tokens_change[2]


def test_the_picture_leaves_out_what_was_not_evaluated(tmp_path):
    picture.draw([picture.Record("untrained", "greedy", "mean", 9.0, 50.0)], tmp_path / "nothing.png")
    assert not (tmp_path / "nothing.png").exists()
    before = picture.Record("untrained", "greedy", "mean", 9.0, 50.0)
    after = picture.Record("S-GRPO", "greedy", "mean", 6.0, 51.0, (-33.3, -40.0, -20.0), (1.0, -2.0, 4.0))
    picture.draw([before, after, picture.Record("S-GRPO", "greedy", "0", 6.0, 51.0)], tmp_path / "one.png")
    assert (tmp_path / "one.png").exists()
