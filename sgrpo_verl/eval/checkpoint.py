"""Finds the model to evaluate: a Hugging Face folder or hub id, or a verl checkpoint, merged by verl's own merger."""

import shutil
import subprocess
import sys
from pathlib import Path

from sgrpo_verl.errors import UserError

WEIGHTS = ("*.safetensors", "*.bin")


def resolve_model(model: str, merged: Path) -> str:
    """What vLLM can load: ``model`` itself, or its shards merged into ``merged`` (kept for next time).

    ``model`` may be ``…/global_step_N``, its ``actor`` folder, or a folder with ``model_world_size_*_rank_*.pt`` shards
    of FSDP (``verl/model_merger``).
    """
    folder = Path(model)
    if not folder.exists():
        if folder.is_absolute() or model.startswith(".") or model.count("/") > 1:
            raise UserError(f"--model {model}: no such folder")
        return model  # an id on the hub
    if _has_weights(folder):
        return str(folder)
    for actor in (folder, folder / "actor"):
        if _has_weights(actor / "huggingface"):
            return str(actor / "huggingface")
        if list(actor.glob("model_world_size_*_rank_*.pt")):
            return _merge(actor, merged)
    raise UserError(
        f"--model {model}: holds neither Hugging Face weights ({', '.join(WEIGHTS)}) nor a verl checkpoint "
        "(global_step_N with actor/huggingface or actor/model_world_size_*_rank_*.pt)"
    )


def _has_weights(folder: Path) -> bool:
    return (folder / "config.json").is_file() and any(next(folder.glob(kind), None) for kind in WEIGHTS)


def _merge(actor: Path, merged: Path) -> str:
    if _has_weights(merged):
        return str(merged)
    unfinished = merged.with_name(f"{merged.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    merger = [sys.executable, "-m", "verl.model_merger", "merge", "--backend", "fsdp"]
    done = subprocess.run(
        [*merger, "--local_dir", str(actor), "--target_dir", str(unfinished)], capture_output=True, text=True
    )
    if done.returncode or not _has_weights(unfinished):
        raise UserError(f"--model {actor}: verl's merger failed:\n{done.stderr[-2000:]}")
    unfinished.rename(merged)
    return str(merged)
