"""What is known of a parquet file in a data folder: from the record beside it, or else from the file itself."""

import json
import re
from pathlib import Path

import pandas as pd

from sgrpo_verl.data.sources import SOURCES
from sgrpo_verl.errors import UserError

_FOR_TRAINING = re.compile(r"(?:^|[^a-z])train(?:ing)?(?:$|[^a-z])", re.IGNORECASE)  # my_train, gsm8k-train


def read_parquet(file: Path) -> pd.DataFrame:
    """A parquet file whole; a UserError if it cannot be read."""
    try:
        return pd.read_parquet(file)
    except (OSError, ValueError) as error:  # pyarrow's own are of these
        raise UserError(f"{file}: cannot be read as parquet ({str(error).splitlines()[0]})") from error


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
    frame = read_parquet(parquet)
    first = frame["extra_info"].iloc[0] if "extra_info" in frame.columns and len(frame) else None
    return first.get("split") if isinstance(first, dict) else None
