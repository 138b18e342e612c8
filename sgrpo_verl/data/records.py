"""What is known of a parquet file in a data folder: from the record beside it, or else from the file itself."""

import json
import re
from pathlib import Path

import pandas as pd

from sgrpo_verl.data.sources import SOURCES
from sgrpo_verl.errors import UserError

_FOR_TRAINING = re.compile(r"(?:^|[^a-z])train(?:ing)?(?:$|[^a-z])", re.IGNORECASE)  # my_train, gsm8k-train


def record_of(parquet: Path) -> Path:
    """Where the record is that ``sgrpo data`` writes beside a parquet file."""
    return parquet.with_suffix(".json")


def recorded(parquet: Path) -> bool | None:
    """Whether its record says that a file is for training; None if it has none."""
    try:
        record = json.loads(record_of(parquet).read_text())
    except (OSError, ValueError):
        return None
    return record.get("training") if isinstance(record, dict) else None  # else it is somebody's data


def is_training_set(parquet: Path) -> bool:
    """Whether a file is for training: its record says so, or else its name, or verl's ``extra_info.split``."""
    if (said := recorded(parquet)) is not None:
        return said
    if parquet.stem in SOURCES:
        return SOURCES[parquet.stem].training
    return bool(_FOR_TRAINING.search(parquet.stem)) or _split(parquet) == "train"


def _split(parquet: Path) -> str | None:
    """What verl's scripts for data sets write into every row."""
    try:
        frame = pd.read_parquet(parquet)
    except (ValueError, OSError) as error:
        raise UserError(f"{parquet}: cannot be read as parquet ({error})") from error
    first = frame["extra_info"].iloc[0] if "extra_info" in frame.columns and len(frame) else None
    return first.get("split") if isinstance(first, dict) else None
