"""``sgrpo selftest``: passes here in its small size, and each stage fails when what it checks is broken."""

import json

import pytest
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from sgrpo_verl.cli import app
from sgrpo_verl.files import read_lines
from sgrpo_verl.selftest import attention, run, training
from sgrpo_verl.selftest.progress import Report
from sgrpo_verl.selftest.run import STAGES, Stage, selftest
from sgrpo_verl.settings.config import complete
from sgrpo_verl.toy.model import write_random_model

QUIET = Console(quiet=True)


def failed_checks(findings):
    return [line["check"] for line in read_lines(findings) if line.get("passed") is False]


def test_attention_and_an_update_pass_and_are_written_down(tmp_path):
    assert selftest(tmp_path / "found", [1, 2], QUIET)
    record = json.loads((tmp_path / "found/selftest.json").read_text())
    assert [stage["result"] for stage in record["stages"]] == ["passed", "passed"]
    assert record["machine"]["versions"]["torch"] == torch.__version__
    checks = [check["check"] for stage in record["stages"] for check in stage["checks"]]
    assert "block masks, element by element" in checks
    assert any("packed says what rows say" in check for check in checks)
    page = (tmp_path / "found/selftest.md").read_text()
    assert "## 1. packed attention: passed" in page
    assert all(f"| {check} |" in page for check in checks)


def test_training_with_vllm_passes_on_two_devices_that_share_a_sequence(tmp_path, monkeypatch):
    """Three steps of stock main_ppo with packed rows and Ulysses, as the fourth stage runs it on accelerators."""
    monkeypatch.setitem(training.STEPS, "cpu", 3)
    training.main(tmp_path / "found.jsonl", "cpu", several=True, only="Ulysses 2")
    checks = [line for line in read_lines(tmp_path / "found.jsonl") if "check" in line]
    assert [(check["check"], check["passed"]) for check in checks] == [
        (f"Ulysses 2: {check}", True)
        for check in ("runs", "engine and actor agree", "weights after a sync", "every group is whole", "prefix cache")
    ], checks


@pytest.mark.parametrize("name", training.ON_TWO)
def test_verl_knows_what_the_fourth_stage_sets(compose_config, name):
    """It takes two accelerators to run; its overrides compose everywhere, and the driver takes them."""
    config = compose_config(*training._quick_start(), *training.ON_TWO[name])
    complete(config)
    if name == "separate_async":  # what verl asserts of it
        updates = config.trainer.v1.separate_async.parameter_sync_step
        assert updates == 1, "the mini-batch is of all prompts"
    assert config.algorithm.sgrpo.layout == "packed"


def looks_past_the_cut(visible):
    wrong = visible.clone()
    branches = wrong[..., 1] > wrong[..., 0]
    wrong[..., 1][branches] += 1
    return wrong


def test_a_wrong_mask_fails_the_first_stage(tmp_path, monkeypatch):
    right = attention.visible_of
    monkeypatch.setattr(attention, "visible_of", lambda *arguments: looks_past_the_cut(right(*arguments)))
    monkeypatch.setattr(attention, "VARIANTS", [(torch.float32, 64, 4, 2)])
    attention.main(tmp_path / "found.jsonl", "cpu")
    assert failed_checks(tmp_path / "found.jsonl") == ["block masks, element by element", "float32, heads of 64, 4:2"]


def test_a_wrong_mask_fails_the_second_stage(tmp_path, monkeypatch):
    """In a process of its own, as in a run: the engine's comparison at first use ends it."""
    (tmp_path / "sitecustomize.py").write_text(
        "import wrapt\n"
        "def broken(module):\n"
        "    right = module.segment_by_segment\n"
        "    def attend(query, key, value, visible, scaling):\n"
        "        wrong = visible.clone()\n"
        "        wrong[..., 1] = wrong[..., 0]\n"
        "        return right(query, key, value, wrong, scaling)\n"
        "    module.segment_by_segment = attend\n"
        "wrapt.when_imported('sgrpo_verl.packed.attention')(broken)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert not selftest(tmp_path / "found", [2], QUIET)
    [stage] = json.loads((tmp_path / "found/selftest.json").read_text())["stages"]
    assert stage["result"] == "failed"
    assert "log-probs of packed rows are not those of the rows" in stage["why"]


def test_a_stale_weight_is_found(tmp_path):
    """One tensor of the engine from before the sync; q, k and v are one matrix there."""
    actor = write_random_model(tmp_path / "actor", num_hidden_layers=1)
    state = AutoModelForCausalLM.from_pretrained(actor, dtype=torch.float32).state_dict()
    prefix = "model.layers.0.self_attn."
    engine = {f"{prefix}qkv_proj.weight": torch.cat([state[f"{prefix}{one}_proj.weight"] for one in "qkv"])}
    engine["model.norm.weight"] = state["model.norm.weight"]
    torch.save(engine, tmp_path / "engine.pt")
    assert training.compare_weights(tmp_path / "engine.pt", actor) == (2, [])
    engine["model.norm.weight"] = engine["model.norm.weight"] + 1e-6
    torch.save(engine, tmp_path / "engine.pt")
    assert training.compare_weights(tmp_path / "engine.pt", actor) == (1, ["model.norm.weight"])


@pytest.mark.parametrize(("lost", "cached"), [(0, 0.6), (1, 0.6), (0, 0.1)])
def test_a_lost_exit_and_a_cold_cache_are_found(tmp_path, lost, cached):
    (tmp_path / "rollouts").mkdir()
    rows = [
        {"uid": f"{prompt}_0_{row}", "thought_length": 90} for prompt in range(training.PROMPTS) for row in range(9)
    ]
    (tmp_path / "rollouts/1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[: len(rows) - lost]))
    training._check_groups(Report(tmp_path / "found.jsonl"), "run", tmp_path, [{"sgrpo/prefix_cache_hit": cached}])
    expected = ["run: every group is whole"] * lost + ["run: prefix cache"] * (cached < 0.3)
    assert failed_checks(tmp_path / "found.jsonl") == expected


def test_a_stage_that_cannot_run_says_why_and_the_others_go_on(tmp_path, monkeypatch):
    missing = Stage(8, "elsewhere", "attention", ("torch", "no_such_package"), 1)
    late = Stage(9, "late", "attention", ("torch",), 0)
    monkeypatch.setattr(run, "STAGES", (missing, late))
    assert not selftest(tmp_path / "found", [8, 9], QUIET)
    first, second = json.loads((tmp_path / "found/selftest.json").read_text())["stages"]
    assert (first["result"], first["why"]) == ("not possible here", "no_such_package is not installed")
    assert (second["result"], second["why"]) == ("failed", "it had not ended after 0 minutes")


def test_the_fourth_stage_needs_two_accelerators_where_there_is_one():
    assert run._why_impossible(STAGES[3], 1) == "it needs 2 accelerators, and there is 1"
    assert [run._why_impossible(STAGES[3], devices) for devices in (0, 2)] == [None, None]


def test_stages_are_chosen_by_number():
    done = CliRunner().invoke(app, ["selftest", "--stages", "7"])
    assert "--stages 7: must be some of 1, 2, 3, 4" in str(done.exception)
