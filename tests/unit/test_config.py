"""How the driver completes and checks a config: filled in, never overwritten, one ValueError for each contradiction."""

import dataclasses
import re

import pytest
from omegaconf import OmegaConf
from transformers import (
    AutoConfig,
    FalconConfig,
    Gemma2Config,
    Lfm2Config,
    Llama4TextConfig,
    MistralConfig,
    Qwen2Config,
    Qwen2VLConfig,
    Qwen3NextConfig,
)

from sgrpo_verl.hooks.table import COMPLETED
from sgrpo_verl.settings.complete import complete
from sgrpo_verl.settings.config import AGENT_LOOP_MANAGER, EXIT_PROMPT, SGRPOConfig
from sgrpo_verl.settings.verl_settings import doubtful

SGRPO = "algorithm.adv_estimator=sgrpo"
TAUGHT = "+sgrpo=taught_stop"
N = "actor_rollout_ref.rollout.n"
AGENT = "actor_rollout_ref.rollout.agent"
ACTOR = "actor_rollout_ref.actor"
ATTENTION = "actor_rollout_ref.model.override_config.attn_implementation"
PACKED, AUTO = "+algorithm.sgrpo.layout=packed", "+algorithm.sgrpo.layout=auto"


def test_the_estimator_alone_is_a_complete_config(compose_config):
    config = compose_config(SGRPO, "data.max_response_length=8192")
    filled = complete(config)
    assert SGRPOConfig.of(config) == SGRPOConfig()
    assert config.actor_rollout_ref.rollout.n == filled[N] == 9
    assert config.actor_rollout_ref.rollout.agent.agent_loop_manager_class == AGENT_LOOP_MANAGER
    assert set(filled) == {
        N,
        f"{AGENT}.agent_loop_manager_class",
        *(f"algorithm.sgrpo.{field.name}" for field in dataclasses.fields(SGRPOConfig)),
    }


def test_the_defaults_are_the_papers():
    defaults = SGRPOConfig()
    assert (defaults.num_exits, defaults.reward, defaults.decay_base) == (8, "decay", 2.0)
    assert defaults.exit_prompt == "Time is limited, stop thinking and start answering.\n</think>\n\n" == EXIT_PROMPT


def test_what_the_user_set_stays(compose_config):
    config = compose_config(
        SGRPO, "+algorithm.sgrpo.num_exits=4", "+algorithm.sgrpo.answer_length=100", f"{N}=5", "data.seed=3"
    )
    before = OmegaConf.to_container(config, resolve=True)
    filled = complete(config)
    assert not {N, "algorithm.sgrpo.num_exits", "algorithm.sgrpo.answer_length"} & set(filled)
    after = OmegaConf.to_container(config, resolve=True)
    assert after["algorithm"].pop("sgrpo")["answer_length"] == 100
    assert after["algorithm"].pop(COMPLETED)
    before["algorithm"].pop("sgrpo")
    after["actor_rollout_ref"]["rollout"]["agent"].pop("agent_loop_manager_class")
    assert after == before


def test_auto_packs_where_it_can_and_says_why_where_it_cannot(compose_config):
    config = compose_config("algorithm.adv_estimator=sgrpo", AUTO, f"{ACTOR}.use_dynamic_bsz=true")
    filled = complete(config)
    assert filled["algorithm.sgrpo.layout"] == "packed (auto: nothing is in its way)"
    assert SGRPOConfig.of(config).layout == "packed"
    assert OmegaConf.select(config, ATTENTION) == "sgrpo_packed"
    for override, why in (
        (f"{ACTOR}.fsdp_config.pad_to_length=true", "pad_to_length=True: packed rows have no padding; set it to False"),
        (f"{ACTOR}.shuffle=true", "shuffle=True: it scatters the rows of a group"),
    ):
        config = compose_config("algorithm.adv_estimator=sgrpo", AUTO, f"{ACTOR}.use_dynamic_bsz=true", override)
        filled = complete(config)
        assert filled["algorithm.sgrpo.layout"].startswith("rows (auto: ")
        assert why in filled["algorithm.sgrpo.layout"]
        assert SGRPOConfig.of(config).layout == "rows"
        assert OmegaConf.select(config, ATTENTION) is None


@pytest.mark.parametrize(
    ("model", "what"),
    [
        (MistralConfig(sliding_window=4096), "attention has sliding_window=4096"),
        (Gemma2Config(), "attention has sliding_window=4096"),
        (Qwen2Config(attention_dropout=0.1), "attention has attention_dropout=0.1"),
        (Qwen2VLConfig(), "tokens have positions in pictures"),
        (Qwen3NextConfig(), "layers are not all full attention: layer_types has linear_attention"),
        (Lfm2Config(full_attn_idxs=[0]), "layers are not all full attention: layer_types has conv"),
        (Llama4TextConfig(), "layers are not all full attention: layer_types has chunked_attention"),
        (FalconConfig(), "model class brings an attention of its own"),
        (
            Qwen2Config(auto_map={"AutoModelForCausalLM": "modeling.Other"}),
            "model class brings an attention of its own",
        ),
        (Qwen2Config(), None),
    ],
    ids=lambda one: getattr(one, "model_type", None),
)
def test_a_model_whose_attention_cannot_be_packed_keeps_rows(compose_config, tmp_path, model, what):
    model.save_pretrained(tmp_path)
    overrides = (f"{ACTOR}.use_dynamic_bsz=true", f"actor_rollout_ref.model.path={tmp_path}")
    filled = complete(compose_config("algorithm.adv_estimator=sgrpo", AUTO, *overrides))
    assert filled["algorithm.sgrpo.layout"].startswith("rows (auto: " if what else "packed (auto: ")
    if what:
        assert f"model.path={tmp_path}, whose {what}" in filled["algorithm.sgrpo.layout"]
        with pytest.raises(ValueError, match=rf"layout=packed with .*whose {what}.*or layout=rows"):
            complete(compose_config("algorithm.adv_estimator=sgrpo", PACKED, *overrides))


def test_a_device_without_flex_attention_keeps_rows(compose_config):
    filled = complete(
        compose_config("algorithm.adv_estimator=sgrpo", AUTO, f"{ACTOR}.use_dynamic_bsz=true", "trainer.device=npu")
    )
    assert "rows (auto: trainer.device=npu: torch has no flex_attention there" in filled["algorithm.sgrpo.layout"]


def test_the_config_of_a_model_on_the_hub_is_looked_up_before_rows_are_packed(compose_config, monkeypatch):
    def from_pretrained(path, trust_remote_code, local_files_only):
        if local_files_only:
            raise OSError("not in the cache")
        return MistralConfig(sliding_window=4096)

    monkeypatch.setattr(AutoConfig, "from_pretrained", from_pretrained)
    filled = complete(compose_config(SGRPO, AUTO, f"{ACTOR}.use_dynamic_bsz=true"))
    assert "attention has sliding_window=4096" in filled["algorithm.sgrpo.layout"]


def test_the_packed_layout_chooses_its_attention(compose_config):
    config = compose_config(SGRPO, PACKED, "+cpu=default")
    assert complete(config)[ATTENTION] == OmegaConf.select(config, ATTENTION) == "sgrpo_packed"
    assert ATTENTION not in complete(config)
    config = compose_config(SGRPO, "+cpu=default")
    assert ATTENTION not in complete(config)
    assert OmegaConf.select(config, ATTENTION) == "sdpa"


def test_an_attention_that_somebody_chose_stays(compose_config):
    chosen = f"+{ATTENTION}=flash_attention_3"
    config = compose_config(SGRPO, AUTO, f"{ACTOR}.use_dynamic_bsz=true", chosen)
    assert f"rows (auto: {ATTENTION}=flash_attention_3: packed rows bring" in complete(config)["algorithm.sgrpo.layout"]
    assert OmegaConf.select(config, ATTENTION) == "flash_attention_3"
    with pytest.raises(ValueError, match=r"layout=packed with .*=flash_attention_3: .*; leave it out, or layout=rows$"):
        complete(compose_config(SGRPO, PACKED, f"{ACTOR}.use_dynamic_bsz=true", chosen))


def test_micro_batches_that_the_oldest_verl_makes_too_long(compose_config, monkeypatch):
    dynamic = f"{ACTOR}.use_dynamic_bsz=true"
    assert complete(compose_config(SGRPO, AUTO, dynamic))["algorithm.sgrpo.layout"].startswith("packed")
    monkeypatch.setattr("verl.__version__", "0.9.0")
    assert (
        "rows (auto: verl 0.9.0 makes micro-batches"
        in complete(compose_config(SGRPO, AUTO, dynamic))["algorithm.sgrpo.layout"]
    )
    config = compose_config(SGRPO, PACKED, dynamic)
    complete(config)
    (doubt,) = doubtful(config)
    assert "layout=packed: verl 0.9.0 makes micro-batches of packed groups up to half as long again" in doubt


def test_completing_twice_changes_nothing(compose_config):
    config = compose_config(SGRPO)
    complete(config)
    once = OmegaConf.to_container(config, resolve=True)
    assert complete(config) == {}
    assert OmegaConf.to_container(config, resolve=True) == once


def test_rollout_n_decides_num_exits(compose_config):
    config = compose_config(SGRPO, f"{N}=5")
    complete(config)
    assert (config.algorithm.sgrpo.num_exits, config.actor_rollout_ref.rollout.n) == (4, 5)


def test_num_exits_decides_rollout_n(compose_config):
    config = compose_config(SGRPO, "+algorithm.sgrpo.num_exits=3")
    complete(config)
    assert config.actor_rollout_ref.rollout.n == 4


@pytest.mark.parametrize(("response_length", "answer_length"), [(512, 128), (4096, 1024), (32768, 1024)])
def test_answer_length_is_a_quarter_of_a_short_response(compose_config, response_length, answer_length):
    config = compose_config(SGRPO, f"data.max_response_length={response_length}")
    complete(config)
    assert config.algorithm.sgrpo.answer_length == answer_length


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["+algorithm.sgrpo.num_exits=8", f"{N}=5"], r"num_exits=8 and .*rollout\.n=5 contradict.*rollout\.n=9"),
        (["+algorithm.sgrpo.num_exits=0"], r"num_exits=0 must be a whole number of at least 1"),
        ([f"{N}=0"], r"actor_rollout_ref\.rollout\.n=0: must be a whole number of at least 1, num_exits \+ 1 rows"),
        (["+rollout.nnodes=1"], r"rollout\.\* is a section of another trainer's config: .*verl\.trainer\.main_ppo; "),
        (["+async_training.staleness_threshold=0"], r"async_training\.\* is a section of another trainer's"),
        (["+algorithm.sgrpo=paper"], r"algorithm\.sgrpo='paper' must be settings of S-GRPO.*\+sgrpo=paper"),
        (["+algorithm.sgrpo=[8]"], r"algorithm\.sgrpo=\[8\] must be settings of S-GRPO"),
        (["+algorithm.sgrpo.num_exits=2.5"], r"num_exits=2\.5 must be a whole number"),
        (["+algorithm.sgrpo.exit_prompt='Stop.'"], r"exit_prompt='Stop\.' must contain think_end \('</think>'\)"),
        (
            [r"+algorithm.sgrpo.exit_prompt='Stop.\n</think>'"],
            r"holds a backslash and an n where a line break is meant",
        ),
        (
            [r"+algorithm.sgrpo.think_end='\\boxed{'", r"+algorithm.sgrpo.exit_prompt='\\boxed{'"],
            r"think_end=.* holds \\\\boxed with two backslashes, where \\boxed with one is meant",
        ),
        ([r"+algorithm.sgrpo.think_start='\nThink'"], r"think_start=.* holds a backslash and an n where a line break"),
        (["+algorithm.sgrpo.think_end='</t>'"], r"exit_prompt=.* must contain think_end \('</t>'\)"),
        (["+algorithm.sgrpo.think_start=3"], r"think_start=3 must be the text that opens a thought"),
        (["+algorithm.sgrpo.think_end=''"], r"think_end='' must be the text that closes a thought"),
        (["+algorithm.sgrpo.think_end=' '"], r"think_end=' ' must be the text that closes a thought"),
        (["+algorithm.sgrpo.think_start='</think>'"], r"think_start='</think>' must differ from think_end"),
        (["+algorithm.sgrpo.think_end='\boxed{'"], r"think_end='\\x08oxed\{' holds a control character, \\b, where"),
        (["+algorithm.sgrpo.answer_length=512"], r"answer_length=512 leaves no room .*max_response_length=512"),
        (["+algorithm.sgrpo.answer_length=0"], r"answer_length=0 must be"),
        (
            ["+algorithm.sgrpo.answer_length=100", "actor_rollout_ref.rollout.max_model_len=101"],
            r"answer_length=100 leaves no room .*max_model_len=101",
        ),
        (["+algorithm.sgrpo.reward=halving"], r"reward='halving' .*known.*all_one.*decay.*shortest_one"),
        (["+algorithm.sgrpo.decay_base=1.0"], r"decay_base=1\.0 must be a finite number above 1"),
        (["+algorithm.sgrpo.exit_sampling=random"], r"exit_sampling='random' must be one of uniform, even"),
        (["+algorithm.sgrpo.score=thought"], r"score='thought' must be one of answer, response"),
        (["+algorithm.sgrpo.cut_answers=false"], r"cut_answers=False must be one of scored, wrong"),
        (["+algorithm.sgrpo.train_exit_prompt=1"], r"train_exit_prompt=1 must be one of True, False"),
        (["+algorithm.sgrpo.correct_threshold=high"], r"correct_threshold='high' must be a finite number"),
        (["+algorithm.sgrpo.correct_threshold=inf"], r"correct_threshold=inf must be a finite number"),
        (["+algorithm.sgrpo.decay_base=inf"], r"decay_base=inf must be a finite number above 1"),
        (["+algorithm.sgrpo.num_exit=8"], r"num_exit=8 is not a setting of S-GRPO; they are: num_exits, "),
        (["trainer.use_v1=false"], r"trainer\.use_v1=false.*V1"),
        (["reward.reward_model.enable=true"], r"reward_model\.enable=true.*enable_resource_pool=true"),
        ([f"+{AGENT}.agent_loop_manager_class=mine.Manager"], r"agent_loop_manager_class=mine\.Manager.*leave it out"),
        ([f"{AGENT}.default_agent_loop=tool_agent"], r"default_agent_loop=tool_agent.*single_turn_agent"),
        (["actor_rollout_ref.rollout.multi_turn.enable=true"], r"multi_turn\.enable=true: S-GRPO cuts .*single turn"),
        (["distillation.enabled=true"], r"distillation\.enabled=true"),
        (["actor_rollout_ref.rollout.temperature=0"], r"rollout\.temperature=0: must be a number above 0; .* nothing"),
        (["actor_rollout_ref.rollout.temperature=null"], r"rollout\.temperature=null: must be a number above 0"),
        (["critic.enable=true"], r"critic\.enable=true: S-GRPO's advantages need no critic"),
        (["skip.rollout_tq.enable=true"], r"skip\.rollout_tq\.enable=true: .* repeats rows of a serial group"),
        (
            ["custom_reward_function.path=mine.py"],
            r"^custom_reward_function\.path=mine\.py: .*; set reward\.custom_reward_function\.path=mine\.py$",
        ),
        (["reward_model.reward_manager=dapo"], r"^reward_model\.reward_manager=dapo: .*; set reward\.reward_manager\."),
        (["sandbox_fusion.url=http://box"], r"^sandbox_fusion\.url=http://box: .*; set reward\.sandbox_fusion\.url="),
        (["+reward_model.reward_kwargs={a: 1}"], r"^reward_model\.reward_kwargs=.*; set reward\.reward_kwargs="),
        (["reward_model.enable=true"], r"^reward_model\.enable=True: .*; set reward\.reward_model\.enable=True$"),
        (
            [f"{ACTOR}.ppo_mini_batch_size=4", "trainer.n_gpus_per_node=8"],
            r"ppo_mini_batch_size=4: .* 36 rows, and 8 data-parallel ranks .*; set it to a multiple of 8, and data",
        ),
        (["actor_rollout_ref.rollout.enable_rollout_routing_replay=true"], r"enable_rollout_routing_replay=true"),
        (
            ["+algorithm.sgrpo.train_exit_prompt=true", "algorithm.rollout_correction.bypass_mode=true"],
            r"train_exit_prompt=true with algorithm\.rollout_correction\.bypass_mode=True: inserted tokens were not",
        ),
        (
            [TAUGHT, "algorithm.rollout_correction.bypass_mode=true"],
            r"train_closing_tag=true with .*bypass_mode=True: ",
        ),
        (
            [TAUGHT, "algorithm.rollout_correction.rollout_is=token"],
            r"train_closing_tag=true with .*rollout_is=token: ",
        ),
        (
            [TAUGHT, "algorithm.rollout_correction.rollout_rs=token_k1"],
            r"train_closing_tag=true with .*rollout_rs=token_k1",
        ),
        ([TAUGHT, "algorithm.sgrpo.train_exit_prompt=true"], r"train_closing_tag=True with train_exit_prompt=true: "),
        (
            [TAUGHT, "algorithm.sgrpo.exit_prompt='Time is up.</think>'"],
            r"train_closing_tag=True with an exit_prompt that has words before the tag \('Time is up\.'\).*begin with",
        ),
        ([TAUGHT, "algorithm.sgrpo.closing_tag_weight=0"], r"closing_tag_weight=0 must be a number above 0"),
        ([TAUGHT, "algorithm.sgrpo.closing_tag_floor=1"], r"closing_tag_floor=1 must be a probability"),
        (["+algorithm.sgrpo.step_markers=Wait"], r"step_markers='Wait' must be a list of words"),
        (["+algorithm.sgrpo.step_markers=[]"], r"step_markers=\[\] must be a list of words"),
        (["+algorithm.sgrpo.layout=tree"], r"layout='tree' must be one of rows, packed, auto"),
        ([PACKED, f"{ACTOR}.strategy=megatron"], r"layout=packed with .*actor\.strategy=megatron: .*set it to fsdp"),
        ([PACKED, f"{ACTOR}.fsdp_config.pad_to_length=true"], r"layout=packed with .*pad_to_length=True"),
        (
            [PACKED, "actor_rollout_ref.ref.fsdp_config.pad_to_length=true"],
            r"layout=packed with .*ref\.fsdp_config\.pad_to_length=True",
        ),
        ([PACKED, f"{ACTOR}.shuffle=true"], r"layout=packed with .*shuffle=True: it scatters the rows of a group"),
        ([PACKED], r"ppo_micro_batch_size_per_gpu=1: .*use_dynamic_bsz=true or make it a multiple of 9"),
        (
            [PACKED, "+algorithm.sgrpo.num_exits=3", f"{ACTOR}.ppo_micro_batch_size_per_gpu=6"],
            r"ppo_micro_batch_size_per_gpu=6: .*multiple of 4",
        ),
    ],
)
def test_one_sentence_for_each_contradiction(compose_config, overrides, message):
    config = compose_config(SGRPO, *overrides)
    untouched = OmegaConf.to_container(config)
    with pytest.raises(ValueError, match=message) as error:
        complete(config)
    assert "\n" not in str(error.value)
    assert OmegaConf.to_container(config) == untouched


@pytest.mark.parametrize(
    "overrides",
    [
        [f"{ACTOR}.ppo_mini_batch_size=8", "trainer.nnodes=2", f"{N}=6"],  # 48 rows for 16 ranks
        [f"{ACTOR}.ppo_mini_batch_size=4", f"{ACTOR}.fsdp_config.ulysses_sequence_parallel_size=2"],  # 36 for 4
        [f"{ACTOR}.ppo_mini_batch_size=4", f"{ACTOR}.ulysses_sequence_parallel_size=2"],  # verl's older name for it
        [f"{ACTOR}.ppo_mini_batch_size=4", f"{ACTOR}.strategy=megatron"],  # has ranks of other kinds, and its own check
    ],
)
def test_a_mini_batch_that_the_ranks_can_share_evenly(compose_config, overrides):
    complete(compose_config(SGRPO, "trainer.n_gpus_per_node=8", *overrides))


def test_a_validation_alone_needs_nothing_that_training_does(compose_config):
    only = ("trainer.val_only=true", "trainer.n_gpus_per_node=7", "actor_rollout_ref.rollout.temperature=0")
    complete(compose_config(SGRPO, *only))


def test_an_old_name_beside_the_new_one_does_no_harm(compose_config):
    same = ("custom_reward_function.path=mine.py", "reward.custom_reward_function.path=mine.py")
    complete(compose_config(SGRPO, *same))


def test_a_base_whose_adapter_verl_would_leave_out_is_refused(compose_config, tmp_path):
    (tmp_path / "lora_adapter").mkdir()
    path = f"actor_rollout_ref.model.path={tmp_path}"
    adapter = f"actor_rollout_ref.model.lora_adapter_path={tmp_path}/lora_adapter"
    with pytest.raises(ValueError, match=r"model\.path=.* holds a LoRA adapter .*lora_adapter_path=.*, or"):
        complete(compose_config(SGRPO, path))
    complete(compose_config(SGRPO, path, adapter))


@pytest.mark.parametrize(("metric", "warned"), [("acc", True), ("score", True), ("reward", False), ("null", False)])
def test_a_filter_of_groups_that_leaves_out_what_teaches_most_is_told(compose_config, metric, warned):
    config = compose_config(SGRPO, "algorithm.filter_groups.enable=true", f"algorithm.filter_groups.metric={metric}")
    doubts = doubtful(config)
    assert bool(doubts) == warned
    assert not warned or f"filter_groups.metric={metric}: " in doubts[0]
    config.algorithm.filter_groups.enable = False
    assert doubtful(config) == []
    assert doubtful(compose_config(SGRPO)) == []


def test_what_has_no_effect_is_told(compose_config):
    overlong = (
        "reward.reward_manager.name=dapo",
        "+reward.reward_kwargs.max_resp_len=700",
        "+reward.reward_kwargs.overlong_buffer_cfg={enable: true, len: 100, penalty_factor: 1.0, log: false}",
    )
    (doubt,) = doubtful(compose_config(SGRPO, *overlong))
    assert "penalty for long responses has no effect" in doubt
    assert doubtful(compose_config(SGRPO, *overlong[1:])) == [], "other managers do not read it"
    (doubt,) = doubtful(compose_config(SGRPO, "+algorithm.sgrpo.closing_tag_weight=4"))
    assert "algorithm.sgrpo.closing_tag_weight=4 has no effect" in doubt
    assert doubtful(compose_config("+sgrpo=taught_stop")) == []


def test_a_reward_function_that_sees_a_thought_without_tags_is_told(compose_config):
    (doubt,) = doubtful(compose_config(SGRPO, "+thought=boxed", "+algorithm.sgrpo.score=response"))
    assert "an early exit can be right by what its thought says" in doubt
    assert doubtful(compose_config(SGRPO, "+thought=boxed")) == []


def test_the_reward_functions_own_phrase_is_looked_at(compose_config):
    phrase = "+reward.custom_reward_function.reward_kwargs.think_end"
    assert doubtful(compose_config(SGRPO, "+thought=boxed", f"{phrase}='\\boxed{{'")) == []
    (doubt,) = doubtful(compose_config(SGRPO, "+thought=boxed", f"{phrase}='Answer:'"))
    assert "reward_kwargs.think_end='Answer:' and algorithm.sgrpo.think_end='\\boxed{' differ" in doubt
    with pytest.raises(
        ValueError, match=r"^reward\.custom_reward_function\.reward_kwargs\.think_end=.* two backslashes"
    ):
        complete(compose_config(SGRPO, f"{phrase}='\\\\boxed{{'"))


def test_a_loss_that_depends_on_what_shares_a_micro_batch_is_told(compose_config):
    mode = f"{ACTOR}.loss_agg_mode=seq-mean-token-sum-norm"
    (doubt,) = doubtful(compose_config(SGRPO, mode, "data.max_response_length=700"))
    assert "set actor_rollout_ref.actor.loss_scale_factor=700" in doubt
    assert doubtful(compose_config(SGRPO, mode, f"{ACTOR}.loss_scale_factor=700")) == []


@pytest.mark.parametrize(
    ("group", "reward"), [("paper", "decay"), ("without_decay", "all_one"), ("shortest_only", "shortest_one")]
)
def test_config_groups_compose_on_stock_main_ppo(compose_config, group, reward):
    config = compose_config(f"+sgrpo={group}", "data.max_response_length=8192")
    complete(config)
    assert SGRPOConfig.of(config) == SGRPOConfig(reward=reward)
    assert config.algorithm.adv_estimator == "sgrpo"
    assert config.actor_rollout_ref.rollout.n == 9


def test_without_serial_group_is_grpo_with_as_many_rows(compose_config):
    config = compose_config("+sgrpo=without_serial_group")
    assert (config.algorithm.adv_estimator, config.actor_rollout_ref.rollout.n) == ("grpo", 9)
    assert "sgrpo" not in config.algorithm


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(SGRPOConfig)])
def test_every_setting_can_be_overridden_on_top_of_a_group(compose_config, field):
    values = {
        "num_exits": 3,
        "reward": "all_one",
        "decay_base": 3.0,
        "exit_prompt": "'Enough. </think>'",
        "think_start": "'<thought>'",
        "think_end": "think",
        "exit_sampling": "lines",
        "step_markers": "['Wait','Alternatively']",
        "answer_length": 77,
        "cut_answers": "wrong",
        "train_exit_prompt": True,
        "train_closing_tag": True,
        "closing_tag_weight": 0.5,
        "closing_tag_floor": 0.01,
        "score": "response",
        "correct_threshold": 0.9,
        "norm_adv_by_std": True,
        "layout": "packed",
    }
    with_it = ["algorithm.sgrpo.exit_prompt='</think>'"] if field == "train_closing_tag" else []
    config = compose_config(
        "+sgrpo=shortest_only", f"{ACTOR}.use_dynamic_bsz=true", f"algorithm.sgrpo.{field}={values[field]}", *with_it
    )
    complete(config)
    found = getattr(SGRPOConfig.of(config), field)
    assert (
        (found == ("Wait", "Alternatively")) if field == "step_markers" else str(found) == str(values[field]).strip("'")
    )


def test_the_cpu_group_holds_nothing_of_sgrpo_and_only_keys_that_verl_knows(compose_config):
    stock = OmegaConf.to_container(compose_config())
    cpu = OmegaConf.to_container(compose_config("+cpu=default"))
    backend = cpu["actor_rollout_ref"]["rollout"]["checkpoint_engine"].pop("custom_backend_module")
    assert backend == "sgrpo_verl.cpu.gloo"
    assert "sgrpo" not in str(cpu)
    new = [name for name in _leaves(cpu) if name not in set(_leaves(stock))]
    # Ray's own arguments, an option of RolloutConfig's and one of FSDPEngineConfig's that verl's YAML leaves out.
    assert sorted(new) == [
        "actor_rollout_ref.actor.fsdp_config.mixed_precision.buffer_dtype",
        "actor_rollout_ref.actor.fsdp_config.mixed_precision.param_dtype",
        "actor_rollout_ref.actor.fsdp_config.mixed_precision.reduce_dtype",
        "actor_rollout_ref.model.override_config.attn_implementation",
        "actor_rollout_ref.ref.fsdp_config.mixed_precision.buffer_dtype",
        "actor_rollout_ref.ref.fsdp_config.mixed_precision.param_dtype",
        "actor_rollout_ref.ref.fsdp_config.mixed_precision.reduce_dtype",
        "actor_rollout_ref.rollout.enable_sleep_mode",
        "actor_rollout_ref.rollout.engine_kwargs.vllm.distributed_executor_backend",
        "ray_kwargs.ray_init.include_dashboard",
        "ray_kwargs.ray_init.num_gpus",
    ]


def _leaves(node, prefix=""):
    if not isinstance(node, dict) or not node:
        return [prefix]
    return [leaf for key, value in node.items() for leaf in _leaves(value, f"{prefix}.{key}".strip("."))]


@pytest.mark.parametrize("value", ["null", "0", "many"])
@pytest.mark.parametrize("setting", [N, "data.max_response_length"])
def test_what_everything_is_reckoned_from_must_be_given(compose_config, setting, value):
    config = compose_config(SGRPO, f"{setting}={value}")
    with pytest.raises(
        ValueError, match=rf"^{re.escape(setting)}={value}: must be a whole number of at least 1, "
    ) as error:
        complete(config)
    assert "\n" not in str(error.value)
