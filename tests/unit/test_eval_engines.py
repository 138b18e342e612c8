"""Which devices each engine gets, and what the progress bar makes of the jobs it sees."""

import io
import re
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from sgrpo_verl.errors import UserError
from sgrpo_verl.eval import engines
from sgrpo_verl.eval.engines import choose_devices
from sgrpo_verl.eval.progress import TokenProgress, expected_tokens
from sgrpo_verl.eval.run import evaluate
from sgrpo_verl.eval.settings import Settings
from sgrpo_verl.settings.config import EXIT_PROMPT


@pytest.fixture
def visible(monkeypatch):
    def see(*devices):
        monkeypatch.setattr(engines, "_visible_devices", lambda: ("CUDA_VISIBLE_DEVICES", list(devices)))

    return see


def test_by_default_every_gpu_works(visible):
    visible("0", "1", "2", "3", "4")
    assert [share["CUDA_VISIBLE_DEVICES"] for share in choose_devices(None, 2)] == ["0,1", "2,3"]
    visible("GPU-a", "GPU-b")
    assert [share["CUDA_VISIBLE_DEVICES"] for share in choose_devices(None, 1)] == ["GPU-a", "GPU-b"]
    assert choose_devices(None, 2) == [{}]
    assert choose_devices(None, 8) == [{}], "vLLM says that there are too few"


def test_too_many_engines_are_an_error_that_says_how_many_gpus_there_are(visible):
    visible("0", "1", "2")
    with pytest.raises(
        UserError, match="--data-parallel-size 2 with --tensor-parallel-size 2: needs 4 GPUs, and 3 are"
    ):
        choose_devices(2, 2)


@pytest.mark.parametrize(
    ("options", "engines", "said"),
    [
        ({}, 0, "--data-parallel-size 0: must be at least 1"),
        ({"tensor_parallel_size": 0}, None, "--tensor-parallel-size 0: must be at least 1"),
        ({"tensor_parallel_size": -1}, 2, "--tensor-parallel-size -1: must be at least 1"),
        ({"max_num_seqs": 0}, None, "--max-num-seqs 0: must be at least 1"),
        ({"gpu_memory_utilization": 1.5}, None, "--gpu-memory-utilization 1.5: must be above 0 and at most 1"),
    ],
)
def test_engines_that_cannot_be_are_an_error_before_anything_is_read(tmp_path, options, engines, said):
    settings = Settings("m", "no such folder", ("b",), exit_prompt=EXIT_PROMPT)
    with pytest.raises(UserError, match=said):
        evaluate(settings, tmp_path / "run", options, Console(quiet=True), engines)
    assert not (tmp_path / "run").exists()


def test_without_gpus_engines_share_the_cores(monkeypatch):
    monkeypatch.setattr(engines, "_visible_devices", lambda: (None, []))
    monkeypatch.setattr(engines.os, "sched_getaffinity", lambda _: {0, 1, 2, 5})
    monkeypatch.delenv("VLLM_CPU_OMP_THREADS_BIND", raising=False)
    assert choose_devices(None, 1) == [{}]
    assert [share["VLLM_CPU_OMP_THREADS_BIND"] for share in choose_devices(2, 1)] == ["0,2", "1,5"]
    assert [share["VLLM_CPU_OMP_THREADS_BIND"] for share in choose_devices(5, 1)] == ["nobind"] * 5
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "0-3")
    assert choose_devices(2, 1) == [{}, {}]


LENGTHS = st.lists(st.integers(0, 20_000), max_size=30)


@given(LENGTHS.filter(bool), LENGTHS, st.integers(0, 50))
def test_tokens_to_come_are_a_number_and_more_jobs_mean_more(ended, running, waiting):
    left = expected_tokens(ended, running, waiting)
    assert np.isfinite(left)
    assert left >= 0
    assert expected_tokens(ended, running, waiting + 1) >= left
    most = max([*ended, *running])
    assert expected_tokens(ended, running, waiting, most) <= (len(running) + waiting) * most - sum(running)
    assert expected_tokens(ended, [], waiting) == pytest.approx(waiting * np.mean(ended))


def test_nothing_is_known_before_a_job_has_ended():
    assert expected_tokens([], [5, 3], 10) is None


def test_the_bar_says_how_many_tokens_a_second_and_how_long_it_will_take(monkeypatch):
    """A hundred jobs of 1,000 tokens, ten at a time, each at ten tokens a second: 1,000 seconds in all."""
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr("sgrpo_verl.eval.progress.time", clock)
    monkeypatch.setattr("sgrpo_verl.progress.time", clock)
    engine = SimpleNamespace(generated_tokens=0, last_job_tokens=1000, under_way={}, tokens_so_far=lambda: [*so_far])
    so_far = []
    with io.StringIO() as said:
        with TokenProgress("aime24", 100, engine, Console(file=said, width=200)) as progress:
            for second in range(1, 1001):
                clock.now += 1
                so_far[:] = [10 * (second % 100)] * 10
                engine.under_way = dict(enumerate(so_far))
                if second % 100 == 0:
                    engine.generated_tokens += 10_000
                    so_far[:] = [0] * 10 if second < 1000 else []
                    for _ in range(10):
                        progress.job_ended()
                progress.update()
        lines = said.getvalue().splitlines()
    form = re.compile(r"(\d+) %: aime24 (\d+)/100, 100 tokens/s, about (\d+) min left")
    told = [form.fullmatch(line) for line in lines[3:-1]]  # nothing is known before the first jobs have ended
    assert len(told) > 25
    assert all(told), lines
    for percent, ended, minutes in ([int(one) for one in match.groups()] for match in told):
        assert ended == 10 * (percent // 10)
        assert minutes == pytest.approx((100 - percent) * 10 / 60, abs=1)
    assert lines[-1].startswith("aime24 100/100, 100 tokens/s, ")


@pytest.mark.parametrize("at_once", [64, 256])
def test_the_time_left_is_about_right_long_before_the_end(at_once):
    """Lengths as of reasoning models (log-normal), of which the engine runs some at a time."""
    lengths = np.minimum(np.random.default_rng(0).lognormal(8.3, 0.8, 1319).astype(int) + 1, 16_384)
    waiting, running, ended = list(lengths), [], []
    checked = []
    while waiting or running:
        while waiting and len(running) < at_once:
            running.append([waiting.pop(0), 0])
        for job in running:
            job[1] += 20
        ended += [length for length, done in running if done >= length]
        running = [job for job in running if job[1] < job[0]]
        left = lengths.sum() - sum(ended) - sum(done for _, done in running)
        if len(checked) < 3 and left < (0.75, 0.5, 0.25)[len(checked)] * lengths.sum():
            checked.append(expected_tokens(ended, [done for _, done in running], len(waiting), 16_384) / left)
    assert checked == pytest.approx([1, 1, 1], abs=0.2)
