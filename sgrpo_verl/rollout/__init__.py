"""Generates a serial group, scores it and puts it into TransferQueue, for verl's V1 trainer."""
