"""The toy tasks by name."""

from sgrpo_verl.toy.sums import AlwaysRecheckedSums, ChainedSums
from sgrpo_verl.toy.swaps import Swaps
from sgrpo_verl.toy.task import Task

TASKS: dict[str, Task] = {task.name: task for task in (ChainedSums(), Swaps(), AlwaysRecheckedSums())}
