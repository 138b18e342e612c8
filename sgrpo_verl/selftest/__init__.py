"""``sgrpo selftest``: checks on this machine that the parts of S-GRPO are correct. It needs no network and no data."""
