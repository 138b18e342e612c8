"""The error for a user's mistake, told in one sentence."""


class UserError(Exception):
    """Bad input to a command: it names the setting, the value and what would be right. Shown without a traceback."""
