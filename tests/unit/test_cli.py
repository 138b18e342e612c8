"""The command line says its version, and its help is in order."""

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
