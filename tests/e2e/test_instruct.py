"""The instruct recipe's own training on a small random Qwen2: its data, command, template and packed rows."""

import pandas as pd
from rich.console import Console
from transformers import AutoModelForCausalLM

from recipes.instruct.run import training_command
from recipes.instruct.variants import EXITS, VARIANTS
from recipes.kept import trained
from sgrpo_verl.eval.show import read_groups
from sgrpo_verl.files import read_lines
from tests.conftest import ROOT
from tests.families import INSTRUCT

EXIT_PROMPT = "\n\nThus, the final answer is \\(\\boxed{"


def test_two_steps_on_a_small_qwen2_whose_thoughts_end_in_a_phrase(tmp_path):
    """With random weights no answer is boxed and none is right, so a warning says so and a reward function tosses."""
    # As in a checkpoint, every logit is a word's: verl masks the others, and of random weights they are as likely.
    shape = {"vocab_size": len(INSTRUCT.tokenizer()), "tie_word_embeddings": True}
    model = INSTRUCT.save(tmp_path / "model", **shape)
    data = tmp_path / "data"
    data.mkdir()
    for name in ("train", "gsm8k"):
        problems(32).to_parquet(data / f"{name}.parquet")
    folder = tmp_path / "run"
    command = [
        *training_command(VARIANTS["sgrpo"], 0, 2, str(model), data, folder, "float32"),
        "data.train_batch_size=8",
        "data.max_response_length=128",
        "reward.custom_reward_function.path=pkg://recipes.bench.model",
        "algorithm.sgrpo.cut_answers=scored",  # random answers hardly ever end: with "wrong", few are rewarded
    ]
    changed = trained(command, folder, 2, Console(quiet=True), PYTHONPATH=str(ROOT))
    steps = [one["data"] for one in read_lines(folder / "metrics.jsonl") if "training/global_step" in one["data"]]
    assert len(steps) == 2
    log = (folder / "train.log").read_text()
    assert "packed (auto" in log
    assert log.count(r"none of the first step's 8 full responses closes its thought: algorithm.sgrpo.think_end=") == 1
    assert r"think_end='\boxed{' is in none of them" in log
    for step in steps:
        assert step["sgrpo/thought_closed"] == 0
        assert step["timing_s/old_log_prob"] < 1, "the rollout's own log-probs stand for the old ones"
        assert abs(step["actor/ppo_kl"]) < 0.01, "and the actor's are the same"
        assert step["actor/grad_norm"] > 0
        assert step["sgrpo/groups"] == 8
    groups = list(read_groups(folder / "rollouts" / "1.jsonl").values())
    assert len(groups) == 8
    assert all(full["exit_index"] is None and full["score"] == 0 for *_, full in groups), "no answer, no reward"
    exits = [row for *rows, _ in groups for row in rows]
    assert len(exits) > 8 * (EXITS - 1)
    assert all(row["exit_index"] and EXIT_PROMPT in row["output"] for row in exits)
    before = AutoModelForCausalLM.from_pretrained(model)
    after = AutoModelForCausalLM.from_pretrained(changed)
    assert any((after.state_dict()[name] != weights).any() for name, weights in before.state_dict().items())
    assert after.lm_head.weight is after.model.embed_tokens.weight


def problems(count: int) -> pd.DataFrame:
    """Rows as `sgrpo data` writes them."""
    return pd.DataFrame(
        {
            "data_source": "gsm8k",
            "prompt": [{"role": "user", "content": f"Tim has {number} eggs and gets 5. How many are there?"}],
            "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": str(number + 5)},
            "extra_info": {"index": number},
        }
        for number in range(count)
    )
