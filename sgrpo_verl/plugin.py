"""The door: verl loads this entry point (``verl.plugins``) in each of its processes, inside ``import verl``.

It imports next to nothing. The hooks of ``sgrpo_verl.hooks.table`` wait until verl imports the modules concerned, and
whatever fails then is one warning: verl continues without S-GRPO.
"""

from sgrpo_verl.hooks.install import install

install()
