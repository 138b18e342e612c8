"""The model that the command names, and the one that a folder's runs were made with."""

import json
from pathlib import Path

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from recipes.ablation.variants import UNTRAINED
from sgrpo_verl.errors import UserError

FIRST_RUNS = ("choice", f"{UNTRAINED}/greedy")  # one of them is made before any training


def found(model: str) -> str:
    """The model's folder, resolved, or its hub id, which only the hub can check.

    Raises:
        UserError: it can be neither.
    """
    folder = Path(model)
    if (folder / "config.json").is_file():
        return str(folder.resolve())
    if folder.exists():
        raise UserError(f"--model {model}: no Hugging Face folder (there is no config.json in it)")
    try:
        validate_repo_id(model)
    except HFValidationError as error:
        raise UserError(f"--model {model}: no such folder, nor an id on the hub, such as Qwen/Qwen3-0.6B") from error
    return model


def check_same(model: str, out: Path) -> None:
    """All runs in a folder are of one model: ``run.json`` of the first evaluation says which.

    Raises:
        UserError: it is another one.
    """
    for record in [out / run / "run.json" for run in FIRST_RUNS]:
        if record.exists() and (theirs := json.loads(record.read_text())["settings"]["model"]) != model:
            raise UserError(f"--model {model}: the runs in {out} are of {theirs}; give that, or another --out")
