"""Format sizes, durations and counts for people. No other module formats a number with its unit.

The web interface does the same in `ui/src/util/units.ts`, `ui/src/util/time.ts` and `ui/src/text/plural.ts`. Tests check both
sides against the values of `ui/src/util/units.json`.
"""

_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")
MB, GB = 1 << 20, 1 << 30


def size(count: float) -> str:
    """Format bytes in units of 1024 with two decimals: "1.00 GB"; whole bytes below 1 KB."""
    rest, unit = max(0, int(count)), 1
    for name in _UNITS:
        hundredths = (100 * rest + unit // 2) // unit
        if hundredths < 100 * 1024 or name == _UNITS[-1]:
            return f"{rest} B" if unit == 1 else f"{hundredths // 100}.{hundredths % 100:02} {name}"
        unit *= 1024
    raise AssertionError("the last unit takes every size")


def exact_size(count: int) -> str:
    """Format an exact number of bytes, for a proof: "1,073,741,824 bytes"."""
    return counted(count, "byte")


def gigabytes(count: int) -> str:
    """Format bytes in GB even for small numbers, for sentences with a fixed form: "0.01 GB"."""
    return f"{count / GB:.2f} GB"


def rate(bytes_per_second: float) -> str:
    """Format a speed: "1.50 MB/s"."""
    return f"{size(bytes_per_second)}/s"


def duration(seconds: float) -> str:
    """Format seconds in the two largest units: "1h 2m"; "<1s" for less than half a second."""
    whole = max(0, int(seconds + 0.5))
    parts = [(whole // 86_400, "d"), (whole % 86_400 // 3600, "h"), (whole % 3600 // 60, "m"), (whole % 60, "s")]
    first = next((index for index, (value, _) in enumerate(parts) if value), None)
    if first is None:
        return "<1s" if seconds > 0 else "0s"
    return " ".join(f"{value}{unit}" for value, unit in parts[first : first + 2] if value)


def about(seconds: float) -> str:
    """Format an estimate, which is never exact to the second: "less than a minute", "about 1h 2m"."""
    return "less than a minute" if seconds < 60 else f"about {duration(seconds)}"


def counted(number: int, one: str, other: str | None = None) -> str:
    """Format a number with its noun: "1 entry", "1,234 files". `other`: the plural if it is not `one` plus an s."""
    return f"{number:,} {one if number == 1 else other or one + 's'}"


def plural(number: int, one: str, other: str) -> str:
    """Return the word that agrees with the number: `plural(2, "is", "are")` is "are"."""
    return one if number == 1 else other
