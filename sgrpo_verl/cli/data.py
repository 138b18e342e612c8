"""``sgrpo data``: benchmarks and training sets as verl's parquet."""

from pathlib import Path
from typing import Annotated

import typer

from sgrpo_verl.cli.console import console
from sgrpo_verl.errors import UserError

WHAT = "What"
WHICH = "Which problems"


def data(
    name: Annotated[
        str,
        typer.Argument(
            help="gsm8k, math-500, amc23, aime24, gpqa-diamond (benchmarks); "
            "deepmath-103k, gsm8k-train, math-train (training)."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for NAME.parquet and NAME.json.", rich_help_panel=WHAT)],
    local: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Local file to read instead of the hub: JSONL, .jsonl.gz, JSON, parquet or CSV.",
            rich_help_panel=WHAT,
        ),
    ] = None,
    columns: Annotated[
        str,
        typer.Option(
            help="With --from: names of the file's columns, such as problem=Question,answer=Answer.",
            rich_help_panel=WHAT,
        ),
    ] = "",
    seed: Annotated[int, typer.Option(help="Seed for shuffling GPQA's choices.", rich_help_panel=WHAT)] = 0,
    min_difficulty: Annotated[
        float | None, typer.Option(help="DeepMath: leave out problems easier than this.", rich_help_panel=WHICH)
    ] = None,
    max_difficulty: Annotated[
        float | None, typer.Option(help="DeepMath: leave out problems harder than this.", rich_help_panel=WHICH)
    ] = None,
    exclude: Annotated[
        Path | None,
        typer.Option(
            help="File of problems to leave out: .txt with one per line, or rows with a prompt, problem or question.",
            rich_help_panel=WHICH,
        ),
    ] = None,
    decontaminate: Annotated[
        list[Path] | None,
        typer.Option(
            help="Further benchmarks, a file or a folder of parquet files: none of their problems, or of those in OUT, "
            "stays in a training set.",
            rich_help_panel=WHICH,
        ),
    ] = None,
    skip_bad_rows: Annotated[
        bool,
        typer.Option(
            "--skip-bad-rows",
            help="Leave out rows without a usable answer, duplicate problems and other bad rows instead of stopping.",
            rich_help_panel=WHICH,
        ),
    ] = False,
) -> None:
    """A benchmark or training set as verl's parquet."""
    from sgrpo_verl.data.prepare import Filters, prepare

    filters = Filters(min_difficulty, max_difficulty, exclude, tuple(decontaminate or ()), skip_bad_rows)
    file = prepare(name, out, local, seed, filters, _columns(columns))
    console.print_json(file.with_suffix(".json").read_text())
    console.print(f"wrote {file}", soft_wrap=True, markup=False)


def _columns(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    if not all(ours.strip() and theirs.strip() for ours, _, theirs in pairs):
        raise UserError(f"--columns {text}: must be our name = the file's, such as problem=Question,answer=Answer")
    return {ours.strip(): theirs.strip() for ours, _, theirs in pairs}
