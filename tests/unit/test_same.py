"""A recipe's folder is of one model, of the same problems and settings: what is asked for now is compared with that."""

import json
import shlex
import shutil
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from recipes import kept
from recipes.instruct import run
from recipes.instruct.variants import VARIANTS
from recipes.language import run as language
from sgrpo_verl.data.prepare import sha256
from sgrpo_verl.errors import UserError

FURTHER = ["data.train_batch_size=64", "trainer.save_freq=2"]


def write_model(folder):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def command_of(out, num_steps=24, further=()):
    folder = out / "sgrpo" / "seed0"
    stock = run.training_command(VARIANTS["sgrpo"], 0, num_steps, "/model", out / "data", folder, "bfloat16")
    return folder, [*stock, *further]


@pytest.fixture
def half_trained(tmp_path):
    """A training of 24 steps with further settings, stopped after its first checkpoint."""
    folder, command = command_of(tmp_path / "out", further=FURTHER)
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "latest_checkpointed_iteration.txt").write_text("4")
    (folder / "command.txt").write_text(shlex.join(command) + "\n")
    return tmp_path / "out"


@pytest.mark.parametrize(
    "further",
    [
        FURTHER,
        FURTHER[:1],
        [*FURTHER, "trainer.save_freq=1", "trainer.max_actor_ckpt_to_keep=1", "trainer.logger=[console]"],
        [*FURTHER, "actor_rollout_ref.actor.ppo_max_token_len_per_gpu=2048", "hydra.run.dir=/elsewhere"],
    ],
)
def test_a_training_goes_on_with_settings_that_do_not_change_it(half_trained, further):
    kept.check_settings(*command_of(half_trained, further=further))


def test_a_training_goes_on_in_a_folder_that_was_moved(half_trained):
    kept.check_settings(*command_of(half_trained.rename(half_trained.with_name("moved")), further=FURTHER))


@pytest.mark.parametrize("trained", [False, True])
def test_a_training_of_other_settings_is_neither_resumed_nor_taken_as_done(half_trained, trained):
    folder, _ = command_of(half_trained)
    if trained:
        shutil.rmtree(folder / "checkpoints")
        (folder / "model").mkdir()
    with pytest.raises(UserError, match=r"seed0 is trained with other settings \(--steps: 24 there, 48 now\)\. Give"):
        kept.check_settings(*command_of(half_trained, 48, FURTHER))
    with pytest.raises(UserError, match=r"\(data\.train_batch_size: 64 there, not set now\)"):
        kept.check_settings(*command_of(half_trained))
    with pytest.raises(UserError, match=r"\(data\.train_batch_size: 64 there, 32 now; algorithm\.x: not set there, 1"):
        kept.check_settings(*command_of(half_trained, further=["data.train_batch_size=32", "+algorithm.x=1"]))


def test_of_an_evaluation_only_what_was_named_is_compared(half_trained):
    for named in ([], ["trainer.total_training_steps=24"], FURTHER):
        kept.check_settings(*command_of(half_trained, 24, named), named)
    with pytest.raises(UserError, match="--steps: 24 there, 999 now"):
        kept.check_settings(*command_of(half_trained, 999), ["trainer.total_training_steps=999"])


def test_a_training_without_a_checkpoint_begins_anew_with_any_settings(half_trained):
    """The first start may have failed because of one."""
    shutil.rmtree(half_trained / "sgrpo" / "seed0" / "checkpoints")
    kept.check_settings(*command_of(half_trained, 48))


@pytest.fixture
def instruct(tmp_path, monkeypatch):
    """The command on a folder whose seed 0 is trained; returns what it prints, without evaluations and tables."""
    out, model = tmp_path / "out", write_model(tmp_path / "model")
    files = {name: tmp_path / f"{name}.jsonl" for name in ("test", "train")}
    (out / "data").mkdir(parents=True)
    for name, data in (("test", "gsm8k"), ("train", "gsm8k-train")):
        files[name].write_text(json.dumps({"question": "2?", "answer": f"#### {len(name)}"}) + "\n")
        (out / "data" / f"{data}.parquet").touch()
        record = {"source_file": files[name].name, "source_sha256": sha256(files[name]), "hub_id": "openai/gsm8k"}
        (out / "data" / f"{data}.json").write_text(json.dumps(record))
    (out / "choice").mkdir()
    (out / "choice" / "run.json").write_text(json.dumps({"settings": {"model": str(model)}}))
    folder, command = command_of(out)
    (folder / "model").mkdir(parents=True)
    (folder / "command.txt").write_text(shlex.join(command) + "\n")
    for name in ("evaluate_untrained", "evaluate_trained"):
        monkeypatch.setattr(run, name, lambda *arguments: None)
    monkeypatch.setattr(run.report, "write", lambda *arguments: None)
    (out / "data_type").write_text("bfloat16")

    def call(**given):
        asked = {"model": str(model), "names": "sgrpo", "seeds": "0", "num_steps": None, "only": run.Part.evaluate}
        printed = StringIO()
        monkeypatch.setattr(run, "console", Console(file=printed, width=300))
        run.main(**{**asked, **files, "out": out, "settings": [], **given})
        return printed.getvalue()

    return call


def test_seeds_and_variants_that_are_not_trained_are_named(instruct):
    assert "not trained yet" not in instruct()
    said = instruct(names="sgrpo,grpo", seeds="0,7")
    assert "not trained yet, and so not evaluated: grpo/seed0, sgrpo/seed7, grpo/seed7" in said


def test_a_folder_is_of_one_model(instruct, tmp_path):
    other = write_model(tmp_path / "other")
    for model in (str(other), "Qwen/Qwen2.5-0.5B-Instruct"):
        with pytest.raises(
            UserError, match=f"--model {model}: the runs in {tmp_path}/out are of {tmp_path}/model; give"
        ):
            instruct(model=model)


@pytest.mark.parametrize("model", ["/nonexistent/model", "./model", "a/b/c"])
def test_a_model_that_cannot_be_is_refused_before_anything_is_written(model, tmp_path):
    with pytest.raises(UserError, match=f"^--model {model}: no such folder, nor an id on the hub"):
        run.main(model, tmp_path / "out", "sgrpo", "0", None, None, None, None, None)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["train", "test"])
def test_a_folder_is_of_the_same_problems(instruct, tmp_path, option):
    instruct(**{option: None})
    with pytest.raises(UserError, match=f"^--{option} nope: no such file"):
        instruct(**{option: Path("nope")})
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps({"question": "3?", "answer": "#### 3"}) + "\n")
    with pytest.raises(
        UserError, match=rf"^--{option} .*other\.jsonl: the problems in .* are from another file \({option}"
    ):
        instruct(**{option: other})


def test_what_sgrpo_data_says_of_a_file_is_told_of_the_option(tmp_path, capfd):
    file = tmp_path / "mine.jsonl"
    file.write_text(json.dumps({"frage": "2?", "antwort": "2"}) + "\n")
    with pytest.raises(
        UserError, match=rf"^--test {file}: what is wrong with it is said above; `sgrpo data gsm8k --from"
    ):
        run.write_data(tmp_path / "data", None, file)
    assert "gsm8k: no column" in capfd.readouterr().err


def test_the_language_recipe_takes_no_training_of_fewer_steps_as_done(tmp_path, monkeypatch):
    monkeypatch.setattr(language, "write_data", lambda *arguments: pytest.fail("it goes on"))
    (tmp_path / "data_type").write_text("float32")
    folder = tmp_path / "sgrpo" / "seed0"
    command = language.training_command(
        language.variants()["sgrpo"], 0, 2, tmp_path / "taught", tmp_path / "data", folder
    )
    (folder / "model").mkdir(parents=True)
    (folder / "command.txt").write_text(shlex.join(command) + "\n")
    with pytest.raises(UserError, match=r"seed0 is trained with other settings \(--steps: 2 there, 14 now\)"):
        language.main(tmp_path, "sgrpo", "0", 14, "", False)
