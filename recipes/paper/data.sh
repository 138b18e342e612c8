#!/usr/bin/env bash
# The paper's data into data/, from the Hugging Face hub. Benchmarks first: the training set loses what is in them.
set -euo pipefail
for benchmark in gsm8k math-500 amc23 aime24 gpqa-diamond; do
  sgrpo data "$benchmark" --out data
done
sgrpo data deepmath-103k --out data "$@"
