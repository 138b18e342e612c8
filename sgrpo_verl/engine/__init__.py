"""vLLM, from outside: whether it can run on this machine, and what its log says of a failure."""
