#!/usr/bin/env bash
# S-GRPO as the last step of training, as the paper advises: from_grpo_checkpoint.sh CHECKPOINT MERGED [OVERRIDE…], such as
# from_grpo_checkpoint.sh checkpoints/gsm8k/grpo/global_step_58 merged. MERGED is made from CHECKPOINT unless it is there.
set -euo pipefail
checkpoint="$1" merged="$2"
if [ ! -e "$merged" ]; then
  python -m verl.model_merger merge --backend fsdp --local_dir "$checkpoint/actor" --target_dir "$merged.unfinished"
  mv "$merged.unfinished" "$merged"
fi
exec bash "$(dirname "$0")/sgrpo.sh" actor_rollout_ref.model.path="$merged" "${@:3}"
