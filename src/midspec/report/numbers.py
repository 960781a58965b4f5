"""How numbers are written: two decimals, a true minus sign, intervals in brackets."""

from __future__ import annotations

import math

from midspec.report.stats import Estimate

MISSING = "–"


def plain(x: float | None, digits: int = 2) -> str:
    """A number without a sign for positives.

    Example:
        >>> plain(0.4812), plain(-0.5, 1), plain(None)
        ('0.48', '−0.5', '–')
    """
    if x is None or math.isnan(x):
        return MISSING
    text = f"{x:.{digits}f}"
    text = text.lstrip("-") if float(text) == 0 else text
    return text.replace("-", "−")


def signed(x: float | None, digits: int = 2) -> str:
    """A difference, always with its sign.

    Example:
        >>> signed(0.123), signed(-0.5), signed(0.001)
        ('+0.12', '−0.50', '0.00')
    """
    text = plain(x, digits)
    return f"+{text}" if text[0].isdigit() and float(text) != 0 else text


def bounds(found: Estimate | None, *, sign: bool = True, digits: int = 2) -> str:
    """The 95% interval, e.g. ``[+0.08, +0.16]``."""
    if found is None:
        return MISSING
    write = signed if sign else plain
    return f"[{write(found.low, digits)}, {write(found.high, digits)}]"


def with_interval(found: Estimate | None, *, sign: bool = True, digits: int = 2) -> str:
    """The value and its 95% interval, e.g. ``+0.12 [+0.08, +0.16]``."""
    if found is None:
        return MISSING
    write = signed if sign else plain
    return f"{write(found.value, digits)} {bounds(found, sign=sign, digits=digits)}"


def percent(x: float | None) -> str:
    """A share as a percentage.

    Example:
        >>> percent(0.987)
        '98.7%'
    """
    return MISSING if x is None or math.isnan(x) else f"{100 * x:.1f}%"


def p_value(x: float | None) -> str:
    """A p-value to three decimals.

    Example:
        >>> p_value(0.0004), p_value(0.0312)
        ('< 0.001', '0.031')
    """
    return "< 0.001" if x is not None and x < 0.001 else plain(x, 3)


def count(n: int) -> str:
    """A count with thin spaces between thousands.

    Example:
        >>> count(1234567) == "1\\u202f234\\u202f567"
        True
    """
    return f"{n:,}".replace(",", "\u202f")


def listed(words: list[str]) -> str:
    """'a', 'a and b', 'a, b and c'."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"
