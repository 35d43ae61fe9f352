"""HH:MM:SS, the usual notation for times in videos. Pure."""

import re

from shared.errors import PermanentError

DEFAULT_S = 5.0
_TIME = re.compile(r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})(\.\d{1,3})?", re.ASCII)


def parse(text: str) -> float:
    """Parse "HH:MM:SS" (also "MM:SS", and with ".5") to seconds. Raises PermanentError for everything else."""
    found = _TIME.fullmatch(text.strip())
    if found is None or int(found[2]) > 59 or int(found[3]) > 59:
        raise PermanentError(f"{text[:40]!r} is no time: write it as HH:MM:SS, such as 00:00:05.")
    return int(found[1] or 0) * 3600 + int(found[2]) * 60 + int(found[3]) + float(found[4] or 0)


def show(seconds: float) -> str:
    """Format as HH:MM:SS, in whole seconds."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest:02}"
