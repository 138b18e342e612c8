"""``sgrpo selftest``: proves on this very machine that S-GRPO's parts do what they should. No network, no data."""
