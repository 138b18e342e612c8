"""Decides whether an answer is right: reads it from a response, normalizes its notation, compares it with the truth."""
