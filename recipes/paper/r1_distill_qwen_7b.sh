#!/usr/bin/env bash
# S-GRPO on DeepSeek-R1-Distill-Qwen-7B, one node of 8 × 80 GB. What follows overrides: sgrpo=without_decay, trainer.save_freq=50, …
set -euo pipefail
exec python -m verl.trainer.main_ppo +paper=r1_distill_qwen_7b "$@"
