"""The paper: the serial group, the decaying reward and the advantage, in pure Python and one page of torch.

docs/method.md has the equations, and which name here stands for which symbol there.
"""
