#!/usr/bin/env bash
# S-GRPO on several nodes of a Ray cluster that is up; start it on one of them: multi_node.sh NODES MODEL [OVERRIDE…]
# such as: multi_node.sh 4 qwen3_14b sgrpo=shortest_only. Every node needs sgrpo-verl, the data and the checkpoint folder.
set -euo pipefail
nodes=${1:?how many nodes} model=${2:?which model, such as qwen3_14b}
export RAY_ADDRESS="${RAY_ADDRESS:-auto}"
# Ray takes its token to a cluster by itself only where it is told no address.
if [[ -n ${RAY_AUTH_TOKEN:-} || -e ${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/auth_token} ]]; then
  export RAY_AUTH_MODE="${RAY_AUTH_MODE:-token}"
fi
# Ray refuses to be told what a cluster that is up has; the last two take back what +cpu=default says of its own Ray.
exec python -m verl.trainer.main_ppo "+paper=$model" "${@:3}" "trainer.nnodes=$nodes" \
  ++ray_kwargs.ray_init.num_gpus=null ++ray_kwargs.ray_init.num_cpus=null
