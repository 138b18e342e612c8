"""Is an answer right: read it out of a response, write it in one notation, compare it exactly with the truth."""
