"""The public name of reward schedules: ``from sgrpo_verl.decay import register_reward_schedule``."""

from sgrpo_verl.algorithm.decay import register_reward_schedule as register_reward_schedule
