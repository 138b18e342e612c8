"""The language recipe's own training on a small random Llama: its data, command, template and packed rows."""

from rich.console import Console
from transformers import AutoModelForCausalLM

from recipes.language.data import write_data
from recipes.language.run import training_command
from recipes.language.variants import EXITS, variants
from sgrpo_verl.eval.show import read_groups
from sgrpo_verl.settings.config import EXIT_PROMPT
from sgrpo_verl.workbench.train import train
from tests.conftest import ROOT
from tests.families import SMOLLM2


def test_two_steps_on_a_small_llama_whose_think_tags_are_plain_text(tmp_path):
    """With random weights no thought is closed and no answer is right, so a reward function tosses a coin."""
    # As in SmolLM2, every logit is a word's: verl masks the others, and of random weights they are as likely.
    model = SMOLLM2.save(tmp_path / "model", vocab_size=len(SMOLLM2.tokenizer()))
    write_data(tmp_path / "data", "")
    folder = tmp_path / "run"
    folder.mkdir()
    command = [
        *training_command(variants()["sgrpo"], 0, 2, model, tmp_path / "data", folder),
        "data.max_prompt_length=448",  # this small tokenizer's pieces are mostly single letters
        "data.train_batch_size=8",
        "data.max_response_length=128",
        "reward.custom_reward_function.path=pkg://recipes.bench.model",
    ]
    steps, trained = train(command, folder, 2, Console(quiet=True), PYTHONPATH=str(ROOT))
    assert [step["step"] for step in steps] == [1, 2]
    assert "packed (auto" in (folder / "train.log").read_text()
    for step in steps:
        assert step["timing_s/old_log_prob"] < 1, "the rollout's own log-probs stand for the old ones"
        assert abs(step["actor/ppo_kl"]) < 0.01, "and the actor's are the same"
        assert step["actor/grad_norm"] > 0
        assert step["sgrpo/groups"] == 8
    groups = list(read_groups(folder / "rollouts" / "1.jsonl").values())
    assert len(groups) == 8
    assert all(full["exit_index"] is None for *_, full in groups)
    exits = [row for *rows, _ in groups for row in rows]
    assert len(exits) > 8 * (EXITS - 1)
    assert all(row["exit_index"] and EXIT_PROMPT in row["output"] for row in exits)
    before = AutoModelForCausalLM.from_pretrained(model).state_dict()
    after = AutoModelForCausalLM.from_pretrained(trained).state_dict()
    assert any((after[name] != weights).any() for name, weights in before.items())
