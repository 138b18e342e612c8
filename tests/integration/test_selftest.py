"""``sgrpo selftest``: passes here in its small size, and each stage fails when what it checks is broken."""

import json
import random
import signal
import subprocess
import sys

import pytest
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from sgrpo_verl.cli import app
from sgrpo_verl.files import read_lines
from sgrpo_verl.selftest import attention, run, training, update
from sgrpo_verl.selftest.agreement import ALL, EACH, GRADIENTS, LIMITS, NORM, Found, apart
from sgrpo_verl.selftest.engine import build_loss
from sgrpo_verl.selftest.groups import rows_of
from sgrpo_verl.selftest.progress import Report
from sgrpo_verl.selftest.run import STAGES, Stage, selftest
from sgrpo_verl.settings.complete import complete
from sgrpo_verl.workbench.model import write_random_model
from tests import faults

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


@pytest.fixture(scope="module")
def small_update(process_group, tmp_path_factory):
    """A small model, a group behind a short thought, what its rows say, and in which data type."""
    folder = tmp_path_factory.mktemp("update")
    model, _ = update._write(folder / "model", "small", update.SMALL, 2)
    rows = rows_of(True, update.SHORT, 1024, random.Random(0), ANSWER)
    return {
        dtype: (
            model,
            rows,
            overrides,
            update.measure(model, "rows", rows, update.SHORT_PROMPT, build_loss(), *overrides),
        )
        for dtype, overrides in UPDATES.items()
    }


ANSWER = 16
UPDATES = {"float32": (), "bfloat16": ("actor.fsdp_config.mixed_precision.param_dtype=bf16",)}


@pytest.mark.parametrize("dtype", UPDATES)
@pytest.mark.parametrize("fault", [faults.RIGHT, *faults.FAULTS])
def test_every_fault_fails_the_second_stage(small_update, monkeypatch, fault, dtype):
    """By what it compares itself: the engine's comparison at first use is switched off."""
    monkeypatch.setattr("sgrpo_verl.packed.engine.compare_once", lambda engine, data: None)
    model, rows, overrides, theirs = small_update[dtype]
    with faults.planted(fault):
        ours = update.measure(model, "packed", rows, update.SHORT_PROMPT, build_loss(), *overrides)
    differences = apart(ours, theirs, ANSWER)
    wrong = [part for part, difference in differences.items() if not difference <= LIMITS[dtype][part]]
    print(f"\n{fault}, {dtype}, torch {torch.__version__}: {differences}; found by {wrong}")
    assert bool(wrong) == (fault != faults.RIGHT), differences
    if fault in faults.MASKS or fault in faults.POSITIONS:
        assert GRADIENTS in wrong, "what only the backward pass gets wrong shows there alone"


def test_what_is_no_number_is_not_agreement():
    tensors = [torch.ones(4), torch.ones(6)]
    right = Found([one.clone() for one in tensors], [tensors, tensors], [1.0, 1.0])
    wrong = Found(
        [tensors[0] * float("nan"), tensors[1]], [tensors, [one / 0 * 0 for one in tensors]], [1.0, float("nan")]
    )
    differences = apart(wrong, right, 2)
    assert [part for part in differences if not differences[part] <= 1e9] == [EACH, ALL, NORM, GRADIENTS]


def test_a_layout_that_cannot_run_is_one_failed_line(small_update, tmp_path, monkeypatch):
    """The engine's comparison at first use, here; the next length goes on."""
    model, *_ = small_update["float32"]
    monkeypatch.setattr(update, "LAYOUTS", ("packed",))
    with faults.planted("positions one too high"):
        update._compare(Report(tmp_path / "found.jsonl"), model, "small", update.SHORT, build_loss())
    lines = [line for line in read_lines(tmp_path / "found.jsonl") if "check" in line]
    assert [line["passed"] for line in lines] == [False, False]
    assert "log-probs of packed rows are not those of the rows" in lines[0]["figure"]


def test_a_variant_that_cannot_run_is_one_line_and_float32_no_check_on_accelerators(tmp_path, monkeypatch):
    def no_kernel(*inputs):
        raise RuntimeError("out of shared memory\nRequired: 148480")

    monkeypatch.setattr(attention, "random_inputs", no_kernel)
    report = Report(tmp_path / "found.jsonl")
    attention._try(report, (torch.bfloat16, 64, 7, 1), (4,), "cuda")
    attention._try(report, (torch.float32, 64, 7, 1), (4,), "cuda")
    first, second = (line for line in read_lines(tmp_path / "found.jsonl") if "check" in line)
    assert (first["passed"], first["figure"]) == (False, "RuntimeError: out of shared memory")
    assert (second["passed"], second["figure"]) == (None, "cannot run here: RuntimeError: out of shared memory")


@pytest.mark.parametrize("installed", [True, False])
def test_without_flash_attn_the_rows_of_the_third_stage_attend_with_torchs_own(monkeypatch, compose_config, installed):
    attention_here = "flash_attention_2" if installed else "sdpa"
    monkeypatch.setattr(training, "plain_attention", lambda: attention_here)
    for name, overrides in training.RUNS.items():
        added = training._without_flash_attention(overrides)
        config = compose_config(*training._quick_start(), *overrides, *added)
        chosen = config.actor_rollout_ref.model.override_config.get("attn_implementation")
        assert chosen == (None if installed or name.endswith("packed") else "sdpa")


def test_the_goal_is_only_for_flash_attention(tmp_path, monkeypatch):
    found = Found([torch.ones(4)] * 2, [[torch.ones(4)]], [1.0], {"update": 1.0})
    monkeypatch.setattr(update, "on_cpu", lambda: False)
    for here in ("flash_attention_2", "sdpa"):
        monkeypatch.setattr(update, "plain_attention", lambda here=here: here)
        update.compare(Report(tmp_path / "found.jsonl"), "8B", "unpadded", found, found, 8000, 2)
    flash, sdpa = (
        line for line in read_lines(tmp_path / "found.jsonl") if line.get("check", "").startswith("8B: cost")
    )
    assert "flash_attention_2" in flash["check"]
    assert "goal 0.25" in flash["figure"]
    assert "sdpa" in sdpa["check"]
    assert "goal" not in sdpa["figure"]


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


def test_old_samples_are_no_disagreement_of_engine_and_actor():
    """What an asynchronous trainer's second step trains was sampled with the weights of before the first."""
    steps = [{"training/rollout_actor_probs_pearson_corr": correlation} for correlation in (1.0, 0.77)]
    assert training.agreement("separate_async", steps) == training.agreement("colocate_async", steps) == 1.0
    assert training.agreement("S-GRPO, packed", steps) == 0.77
    assert training.agreement("separate_async", steps[::-1]) == 0.77


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
    (tmp_path / "found").mkdir()
    for name in ("stage1.jsonl", "notes.md"):  # of an earlier run, and the user's own
        (tmp_path / "found" / name).write_text("{}")
    assert not selftest(tmp_path / "found", [8, 9], QUIET)
    assert (tmp_path / "found/notes.md").exists()
    assert not (tmp_path / "found/stage1.jsonl").exists()
    first, second = json.loads((tmp_path / "found/selftest.json").read_text())["stages"]
    assert (first["result"], first["why"]) == ("not possible here", "no_such_package is not installed")
    assert (second["result"], second["why"]) == ("failed", "it had not ended after 0 minutes")


def test_the_fourth_stage_needs_two_accelerators_where_there_is_one():
    assert run._why_impossible(STAGES[3], 1) == "it needs 2 accelerators, and there is 1"
    assert [run._why_impossible(STAGES[3], devices) for devices in (0, 2)] == [None, None]


def test_each_stage_names_what_it_imports(tmp_path):
    """In a Python that has nothing beyond it: everything that a stage does not name is hidden from it."""
    for stage in STAGES[:2]:
        hidden = {"tensordict", "ray", "verl", "vllm", "transfer_queue"} - set(stage.packages)
        code = f"import sys; sys.modules.update(dict.fromkeys({hidden})); import sgrpo_verl.selftest.{stage.module}"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_a_stopped_run_leaves_a_page_of_what_it_found(tmp_path):
    """Every check is printed and written when it is known; the page says what is not finished."""
    command = [
        sys.executable,
        "-m",
        "sgrpo_verl.cli",
        "selftest",
        "--quick",
        "--stages",
        "1",
        "--out",
        str(tmp_path / "found"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path)
    said = next(line for line in process.stdout if "block masks, element by element" in line)
    assert "passed" in said
    page = (tmp_path / "found/selftest.md").read_text()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    for text in (page, (tmp_path / "found/selftest.md").read_text()):
        assert text.startswith("# sgrpo selftest --quick\n")
        assert "## 1. packed attention: not finished" in text
        assert "| block masks, element by element | passed | " in text
    assert json.loads((tmp_path / "found/selftest.json").read_text())["stages"][0]["checks"]


def test_a_quick_run_ends_in_time_without_failing(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "QUICK_MINUTES", 0)
    monkeypatch.setattr(run, "describe_machine", lambda: {**MACHINE, "devices": ["a card"]})
    assert selftest(tmp_path / "found", [1], QUIET, quick=True)
    [stage] = json.loads((tmp_path / "found/selftest.json").read_text())["stages"]
    assert (stage["result"], stage["why"]) == ("not finished", "the 0 minutes of --quick were over")


MACHINE = run.describe_machine()


def test_a_page_stays_a_table_whatever_a_figure_says():
    check = {"check": "a | b", "passed": False, "figure": "one\ntwo | three"}
    stage = {"title": "1. x", "result": "failed", "why": None, "seconds": 1.0, "checks": [check]}
    assert r"| a \| b | **failed** | one two \| three |" in run.markdown(
        {"machine": MACHINE, "quick": False, "stages": [stage]}
    )


def test_stages_are_chosen_by_number():
    done = CliRunner().invoke(app, ["selftest", "--stages", "7"])
    assert "--stages 7: must be some of 1, 2, 3, 4" in str(done.exception)
    done = CliRunner().invoke(app, ["selftest", "--quick", "--stages", "4"])
    assert "--stages 4: must be some of 1, 2, 3, with" in str(done.exception)
