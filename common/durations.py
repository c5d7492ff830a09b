"""Times in words."""

_DAY_S = 86400


def duration(seconds: float) -> str:
    """A time in words.

    >>> duration(5.2), duration(75), duration(7300), duration(200_000)
    ('5 s', '1 min 15 s', '2 h 1 min', '2 days 7 h')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if whole < 2 * _DAY_S:
        hours = f"{minutes // 60} h {minutes % 60} min"
        return f"{minutes} min {rest} s" if minutes < 60 else hours
    return f"{minutes // 1440:,} days {minutes % 1440 // 60} h"
