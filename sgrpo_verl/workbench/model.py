"""Small models with random weights: what the toy reasoner starts from, and what a check of an engine needs."""

import math
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedTokenizerFast, Qwen3Config

from sgrpo_verl.workbench.tasks import TASKS
from sgrpo_verl.workbench.tokenizer import build_tokenizer


def model_config(
    tokenizer: PreTrainedTokenizerFast, family: type[PretrainedConfig] = Qwen3Config, **shape: Any
) -> PretrainedConfig:
    """4 layers of width 128, under a million parameters, unless ``shape`` says otherwise."""
    toy = {
        "vocab_size": math.ceil(len(tokenizer) / 64) * 64,
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "max_position_embeddings": tokenizer.model_max_length,
        "tie_word_embeddings": True,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return family(**(toy | shape))


def write_random_model(
    folder: Path,
    tokenizer: PreTrainedTokenizerFast | None = None,
    dtype: torch.dtype = torch.float32,
    family: type[PretrainedConfig] = Qwen3Config,
    **shape: Any,
) -> Path:
    """A Hugging Face folder with random weights, the same every time, and a tokenizer; returns ``folder``."""
    tokenizer = tokenizer or build_tokenizer(TASKS["sums"])
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(model_config(tokenizer, family, **shape), dtype=torch.float32)
    torch.nn.Module.to(model, dtype)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
