"""Packed rows under verl's Ulysses sequence parallelism, on 2 and 4 logical devices, against a single one."""

import os
import subprocess
import sys

import pytest
import torch

from tests.conftest import ROOT
from tests.integration.test_packed import FAMILIES, RELATIVE, write_tiny_model


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """``results(ranks)``: what that many ranks find, by model and seed; each process takes all models in turn."""
    folder = tmp_path_factory.mktemp("ulysses")
    models = [str(write_tiny_model(family, folder / family.model_type)) for family in FAMILIES]

    def run_ranks(ranks):
        command = [sys.executable, "-m", "tests.integration.ulysses_rank"]
        arguments = [str(ranks), str(folder / f"store{ranks}"), str(folder / f"{ranks}.pt"), *models]
        processes = [
            subprocess.Popen(
                [*command, str(rank), *arguments],
                cwd=ROOT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},  # more threads than cores wait for each other
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(ranks)
        ]
        said = [process.communicate(timeout=600)[0] for process in processes]
        assert all(process.returncode == 0 for process in processes), said[0][-3000:]
        return torch.load(folder / f"{ranks}.pt")

    return run_ranks


@pytest.fixture(scope="module")
def whole(results):
    return results(1)


@pytest.mark.parametrize("ranks", [2, 4])
def test_a_split_sequence_says_what_a_whole_one_says(results, whole, ranks):
    """Loss, log-probs, entropies and gradients; with 4 ranks and 2 key heads, these are repeated."""
    split = results(ranks)
    assert split.keys() == whole.keys()
    for case, ours in split.items():
        theirs = whole[case]
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=RELATIVE, abs=RELATIVE), case
        for name in ("log_probs", "entropy"):
            torch.testing.assert_close(ours[name], theirs[name], rtol=RELATIVE, atol=RELATIVE)
        scale = max(float(gradient.abs().max()) for gradient in theirs["gradients"])
        for gradient, true_gradient in zip(ours["gradients"], theirs["gradients"], strict=True):
            assert float((gradient - true_gradient).abs().max()) <= RELATIVE * scale, case
