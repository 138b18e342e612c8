"""The toy tasks by name."""

from sgrpo_verl.workbench.sums import AlwaysRecheckedSums, ChainedSums
from sgrpo_verl.workbench.swaps import Swaps
from sgrpo_verl.workbench.task import Task

TASKS: dict[str, Task] = {task.name: task for task in (ChainedSums(), Swaps(), AlwaysRecheckedSums())}
