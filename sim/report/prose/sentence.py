"""Other people's words as sentences."""


def sentence(text: str) -> str:
    """`text` with a full stop, unless it ends in one."""
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."
