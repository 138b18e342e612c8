"""What the package warns of is seen once, whatever verl has done to the root logger."""

import io
import logging

import pytest

from sgrpo_verl.hooks.install import logger


@pytest.mark.parametrize(("levels", "times"), [([logging.ERROR], 1), ([], 1), ([logging.NOTSET], 0)])
def test_where_the_roots_handlers_are_silent_our_own_speaks(monkeypatch, levels, times):
    """Importing verl's vLLM server gives the root's handlers the level ERROR (vllm_async_server.py)."""
    others = [logging.NullHandler(level) for level in levels]
    monkeypatch.setattr(logging.getLogger(), "handlers", others)
    written = io.StringIO()
    [own] = logger.handlers
    monkeypatch.setattr(own, "stream", written)
    logger.warning("two prompts failed")
    assert written.getvalue().count("two prompts failed") == times
