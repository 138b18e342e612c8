#!/usr/bin/env bash
# Your own reward function, reward schedule, and exit prompt for a model whose thought ends with </thought>, on top of a recipe.
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"
export VERL_USE_EXTERNAL_MODULES=schedule  # verl imports it in the driver and in every worker
exec python -m verl.trainer.main_ppo +paper=qwen3_8b \
  reward.custom_reward_function.path="$here/reward.py" \
  algorithm.sgrpo.reward=harmonic \
  algorithm.sgrpo.think_end='"</thought>"' \
  algorithm.sgrpo.exit_prompt=$'"\nNo more time, I answer now.\n</thought>\n\n"' \
  "$@"
