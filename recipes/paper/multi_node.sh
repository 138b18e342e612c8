#!/usr/bin/env bash
# S-GRPO on several nodes of a Ray cluster that is up; start it on one of them: multi_node.sh NODES MODEL [OVERRIDE…]
# such as: multi_node.sh 4 qwen3_14b sgrpo=shortest_only. Every node needs sgrpo-verl, the data and the checkpoint folder.
set -euo pipefail
export RAY_ADDRESS="${RAY_ADDRESS:-auto}"
exec python -m verl.trainer.main_ppo "+paper=${2:?which model, such as qwen3_14b}" "trainer.nnodes=${1:?how many nodes}" "${@:3}"
