"""``python -m sgrpo_verl.cli``: the ``sgrpo`` command of this environment."""

from sgrpo_verl.cli import main

main()
