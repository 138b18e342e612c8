"""What demo, selftest, recipes and tests stand on: child processes, small models, made problems, a run of verl."""
