"""How recipes read their options: what is wrong with one is said in a sentence, before anything is done."""

import pytest
from typer import Typer
from typer.testing import CliRunner

from recipes import kept
from recipes.ablation import run as ablation
from recipes.ablation import taught_stop
from recipes.bench import run as bench
from recipes.instruct import run as instruct
from recipes.instruct.variants import VARIANTS
from recipes.language import run as language
from sgrpo_verl.errors import UserError


def called(main, *options):
    """What a recipe's command comes to."""
    app = Typer()
    app.command()(main)
    return CliRunner().invoke(app, [str(option) for option in options])


RECIPES = {
    "ablation": (ablation.main, []),
    "taught_stop": (taught_stop.main, []),
    "instruct": (instruct.main, ["--model", "Qwen/Qwen2.5-0.5B-Instruct"]),
    "language": (language.main, []),
}


@pytest.mark.parametrize("seeds", ["a", "", "0,x", "0,,1", "-1", "0.5"])
@pytest.mark.parametrize("name", RECIPES)
def test_seeds_that_are_no_numbers_are_refused_before_anything_is_written(name, seeds, tmp_path):
    main, options = RECIPES[name]
    ended = called(main, *options, "--out", tmp_path / "out", "--seeds", seeds)
    assert isinstance(ended.exception, UserError)
    assert str(ended.exception).startswith(f"--seeds {seeds!r}: must be whole numbers with commas between them")
    assert not (tmp_path / "out").exists()


def test_names_and_numbers_may_have_spaces_around_them_and_count_once():
    assert kept.seeds(" 0, 1,00") == [0, 1]
    assert [one.name for one in kept.chosen("sgrpo, grpo,sgrpo", VARIANTS)] == ["sgrpo", "grpo"]


@pytest.mark.parametrize("steps", [0, -3])
@pytest.mark.parametrize("name", ["instruct", "language"])
def test_a_training_has_a_step(name, steps, tmp_path):
    main, options = RECIPES[name]
    ended = called(main, *options, "--out", tmp_path / "out", "--steps", steps)
    assert ended.exit_code == 2
    assert "'--steps'" in ended.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [*RECIPES, "bench"])
def test_a_folder_that_cannot_be_made_is_named(name, tmp_path):
    main, options = {**RECIPES, "bench": (bench.main, [])}[name]
    (tmp_path / "file").touch()
    for out, why in ((tmp_path / "file", "File exists"), ("/proc/nope", "No such file or directory")):
        ended = called(main, *options, "--out", out)
        assert isinstance(ended.exception, UserError)
        assert str(ended.exception) == f"--out {out}: cannot be made a folder ({why}); give another"
