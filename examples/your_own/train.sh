#!/usr/bin/env bash
# Your own reward function and reward schedule, and a model of your own that thinks between <thought> and </thought>, on top of a recipe.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
export VERL_USE_EXTERNAL_MODULES=schedule  # verl imports it in the driver and in every worker
exec python -m verl.trainer.main_ppo +paper=qwen3_8b \
  actor_rollout_ref.model.path=your/model \
  reward.custom_reward_function.path="$here/reward.py" \
  algorithm.sgrpo.reward=harmonic \
  algorithm.sgrpo.think_start='"<thought>"' \
  algorithm.sgrpo.think_end='"</thought>"' \
  algorithm.sgrpo.exit_prompt=$'"\nNo more time, I answer now.\n</thought>\n\n"' \
  "$@"
