"""Merges a LoRA adapter into its base model: ``python -m sgrpo_verl.eval.adapter BASE ADAPTER TARGET``."""

import shutil
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file

MOST = 0.9  # of what an adapter changes: if rounding to the base's dtype keeps less, the merged model is float32


def merge_adapter(base: Path, adapter: Path, target: Path) -> None:
    """Write the merged model, in the dtype of its base, or in float32 where that would round the adapter away.

    Raises:
        ValueError: the adapter would change nothing, or not all of its weights have a place in the base.
    """
    config = transformers.AutoConfig.from_pretrained(base)
    model_class = getattr(transformers, config.architectures[0])
    alpha = LoraConfig.from_pretrained(str(adapter)).lora_alpha
    if not alpha:
        raise ValueError(
            f"{adapter} has lora_alpha={alpha}, which switches it off: verl's merger writes that where the checkpoint "
            "has no lora_train_meta.json"
        )
    model = PeftModel.from_pretrained(model_class.from_pretrained(base, dtype=torch.float32), adapter)
    weights, loaded = load_file(adapter / "adapter_model.safetensors"), get_peft_model_state_dict(model)
    lost = list(weights.keys() ^ loaded.keys())
    lost += [name for name in weights.keys() & loaded.keys() if not torch.equal(weights[name].float(), loaded[name])]
    if lost:
        raise ValueError(f"{len(lost)} weights of {adapter} have no place in {base}, the first being {min(lost)}")
    dtype = config.dtype or torch.float32
    if kept(model, dtype) < MOST:
        dtype = torch.float32
    model.merge_and_unload(safe_merge=True).to(dtype).save_pretrained(target)
    for file in base.iterdir():  # tokenizer, chat template, generation config
        weights_of_base = file.name.endswith((".safetensors", ".bin", ".index.json"))
        if file.is_file() and not weights_of_base and not (target / file.name).exists():
            shutil.copy(file, target)


def kept(model: Any, dtype: torch.dtype) -> float:
    """How much of what the adapter changes is left once the sums are rounded: 1 all of it, 0 none."""
    dot = norm = 0.0
    layers: list[Any] = [layer for layer in model.modules() if isinstance(layer, LoraLayer)]
    for layer in layers:
        old, change = layer.get_base_layer().weight.data, layer.get_delta_weight("default")
        dot += float((change * ((old + change).to(dtype).float() - old)).sum())
        norm += float((change * change).sum())
    return dot / norm if norm else 1.0


if __name__ == "__main__":
    merge_adapter(*map(Path, sys.argv[1:]))
