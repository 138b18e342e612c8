#!/usr/bin/env bash
# grpo.sh with one line changed: the 9 rows of a prompt are now one thought with 8 early exits.
set -euo pipefail
exec python -m verl.trainer.main_ppo \
  algorithm.adv_estimator=sgrpo \
  data.train_files=data/gsm8k-train.parquet \
  data.val_files=data/gsm8k.parquet \
  data.train_batch_size=128 \
  data.max_prompt_length=512 \
  data.max_response_length=4096 \
  actor_rollout_ref.model.path=Qwen/Qwen3-1.7B \
  actor_rollout_ref.actor.optim.lr=1e-6 \
  actor_rollout_ref.actor.ppo_mini_batch_size=128 \
  actor_rollout_ref.actor.use_dynamic_bsz=true \
  actor_rollout_ref.rollout.name=vllm \
  actor_rollout_ref.rollout.n=9 \
  reward.custom_reward_function.path=pkg://sgrpo_verl.correctness \
  trainer.total_epochs=1 \
  trainer.save_freq=20 \
  trainer.logger=[console] \
  trainer.project_name=gsm8k \
  'trainer.experiment_name=${algorithm.adv_estimator}' \
  "$@"
