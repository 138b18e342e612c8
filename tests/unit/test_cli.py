"""The command line says its version, and its help is in order."""

import signal
from importlib.metadata import version

import click
import pytest
import typer
from typer.testing import CliRunner

from sgrpo_verl import cli

COMMANDS = typer.main.get_command(cli.app).commands


def test_the_version_is_the_installed_one():
    output = CliRunner().invoke(cli.app, ["--version"]).output
    assert output == f"sgrpo-verl {version('sgrpo-verl')}\n"


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_says_what_it_is_and_long_help_is_in_panels(name):
    options = [one for one in COMMANDS[name].params if isinstance(one, click.Option) and one.name != "help"]
    assert [one.name for one in options if not one.help] == []
    if len(options) > 4:
        assert [one.name for one in options if not one.rich_help_panel] == []


def test_spaces_around_commas_are_no_part_of_a_name(monkeypatch):
    seen = []

    def stop(settings, *_):
        seen.append(settings)
        raise typer.Exit

    monkeypatch.setattr("sgrpo_verl.eval.run.evaluate", stop)
    monkeypatch.setattr("sgrpo_verl.eval.compare.compare", lambda runs, labels, *_: seen.append(labels))
    options = ["--model", "m", "--data", "d", "--out", "o", "--method", "budget", "--caps", "8, 4,"]
    before = signal.getsignal(signal.SIGTERM)
    for command in (
        ["eval", *options, "--benchmarks", "amc23, x "],
        ["compare", "a", "b", "--labels", "one, the other"],
    ):
        result = CliRunner().invoke(cli.app, command)
        assert result.exit_code == 0, result.output
    signal.signal(signal.SIGTERM, before)
    assert (seen[0].benchmarks, seen[0].caps, seen[1]) == (("amc23", "x"), (4, 8), ["one", "the other"])
