"""verl's replay buffer, polled more often: its interval of two seconds would be half of a toy step."""

from typing import Any

from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

SECONDS = 0.2


class QuickReplayBuffer(ReplayBuffer):
    """``trainer.v1.sampler.custom_sampler`` of the toy config (``verl/trainer/ppo/v1/replay_buffer.py``)."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **{**kwargs, "poll_interval": SECONDS})
