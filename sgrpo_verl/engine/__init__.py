"""vLLM seen from outside: whether it can run on this machine, and what its log says about a failure."""
