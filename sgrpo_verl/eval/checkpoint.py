"""Finds the model to evaluate: a Hugging Face folder or hub id, or a verl checkpoint, merged by verl's own merger.

verl's merger leaves a LoRA adapter beside the weights of the base, where nothing loads it. It is merged here.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from sgrpo_verl.engine.log import last_error_in
from sgrpo_verl.errors import UserError
from sgrpo_verl.files import write_whole

WEIGHTS = ("*.safetensors", "*.bin")
SHARDS = "model_world_size_*_rank_*.pt"
ADAPTER = "lora_adapter"  # verl's name, in a folder that its merger made
RECORD = "merged_from.json"  # in a folder that was merged here


def resolve_model(model: str, merged: Path) -> str:
    """What vLLM can load: ``model`` itself, or its shards or its LoRA adapter merged into ``merged`` (kept for later).

    ``model`` may be ``…/global_step_N``, its ``actor`` folder, a folder with ``model_world_size_*_rank_*.pt`` shards of
    FSDP, or what ``verl.model_merger`` made of one, with a ``lora_adapter`` in it or not.

    Raises:
        UserError: no such model, or one that cannot be merged.
    """
    folder = Path(model)
    if not folder.exists():
        if folder.is_absolute() or model.startswith(".") or model.count("/") > 1:
            raise UserError(f"--model {model}: no such folder")
        return model  # an id on the hub
    if (merged / ADAPTER).exists():
        raise UserError(
            f"{merged} was merged by a version of sgrpo-verl that left the LoRA adapter out: its completions are the "
            "base model's. Give another --out, or remove it"
        )
    if _has_weights(merged):
        return str(merged)
    if _has_weights(folder):
        return _merge(folder, folder, merged) if (folder / ADAPTER).is_dir() else _plain(folder)
    for actor in (folder, folder / "actor"):
        shards = next(actor.glob(SHARDS), None)
        if shards and (actor / "lora_train_meta.json").is_file():
            return _merge(actor, None, merged)
        if _has_weights(actor / "huggingface"):
            return _plain(actor / "huggingface")
        if shards:
            return _merge(actor, None, merged)
    raise UserError(
        f"--model {model}: holds neither Hugging Face weights ({', '.join(WEIGHTS)}) nor a verl checkpoint "
        "(global_step_N with actor/huggingface or actor/model_world_size_*_rank_*.pt)"
    )


def needs_float32(model: str) -> bool:
    """Whether a model was merged into float32 because less would round its adapter away, as vLLM would by itself."""
    folder = Path(model)
    if not (folder / RECORD).is_file() or not json.loads((folder / RECORD).read_text())["lora"]:
        return False
    config = json.loads((folder / "config.json").read_text())
    return config.get("dtype", config.get("torch_dtype")) == "float32"


def files_of(folder: Path) -> list[Path]:
    """The weights in a model's folder or checkpoint; not those of other folders in it, such as a run's merged model."""
    places = ("", ADAPTER, "huggingface", "actor", "actor/huggingface")
    return sorted(file for place in places for kind in (*WEIGHTS, "*.pt") for file in (folder / place).glob(kind))


def _has_weights(folder: Path) -> bool:
    return (folder / "config.json").is_file() and any(next(folder.glob(kind), None) for kind in WEIGHTS)


def _plain(folder: Path) -> str:
    """The folder, unless it holds the weights of a LoRA model under names that only that model has."""
    from safetensors import safe_open

    for file in folder.glob("*.safetensors"):
        try:
            with safe_open(file, framework="np") as weights:
                lora = any(".lora_A." in name or ".lora_B." in name for name in weights.keys())  # noqa: SIM118
        except Exception:  # a broken file, of which vLLM tells
            continue
        if lora:
            raise UserError(
                f"--model {folder}: holds a LoRA model whose adapter was not merged into its weights, which vLLM "
                f"cannot load. Give the checkpoint's actor folder, with its shards ({SHARDS}), "
                "which are merged, adapter included"
            )
    return str(folder)


def _merge(source: Path, base: Path | None, merged: Path) -> str:
    """Merge shards, and after them the adapter that they held, or only the adapter in ``base``."""
    unfinished = merged.with_name(f"{merged.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    if base is None:
        base = merged.with_name(f"{merged.name}.base")
        shutil.rmtree(base, ignore_errors=True)
        _run(source, "verl.model_merger", "merge", "--backend", "fsdp", "--local_dir", source, "--target_dir", base)
        if not _has_weights(base):
            raise UserError(f"--model {source}: verl's merger wrote no weights")
    adapter = base / ADAPTER
    if adapter.is_dir() and not (adapter / "adapter_config.json").is_file():
        raise UserError(f"--model {source}: {adapter} has no adapter_config.json, without which it cannot be merged")
    lora = json.loads((adapter / "adapter_config.json").read_text()) if adapter.is_dir() else None
    if lora:
        _run(source, "sgrpo_verl.eval.adapter", base, adapter, unfinished)
    elif base != source:
        base.rename(unfinished)
    record = {"model": str(source.resolve()), "lora": lora and {name: lora[name] for name in ("r", "lora_alpha")}}
    write_whole(unfinished / RECORD, json.dumps(record, indent=2) + "\n")
    if base != source:
        shutil.rmtree(base, ignore_errors=True)
    unfinished.rename(merged)
    return str(merged)


def _run(source: Path, module: str, *arguments: object) -> None:
    """Run a module in a process of its own, which gives its memory back."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        cause = last_error_in(done.stderr) or f"\n{done.stderr[-2000:]}"
        raise UserError(f"--model {source}: cannot be merged with {module}: {cause}")
