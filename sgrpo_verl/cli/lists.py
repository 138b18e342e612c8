"""Options that are lists."""


def listed(text: str) -> list[str]:
    """What is between the commas, without the spaces around it; nothing for nothing."""
    return [one.strip() for one in text.split(",") if one.strip()]
