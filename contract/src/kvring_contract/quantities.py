"""The notations of Kubernetes for bytes, durations and shares, read into plain numbers."""

import math
import re
from fractions import Fraction

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?)(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P|)")
_FACTORS = {
    "": 1,
    "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50,
}  # fmt: skip
_DURATION = re.compile(r"(?=.)(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?")
_PERCENT = re.compile(r"([0-9]{1,2})%")
_BINARY = ("Pi", "Ti", "Gi", "Mi", "Ki")


def parse_bytes(text: str | int) -> int:
    """Bytes of a quantity such as `512Mi`, `1.5G` or `4096`, rounded up; raises `ValueError`."""
    match = _QUANTITY.fullmatch(str(text))
    if match is None:
        raise ValueError(f"{text!r} is not a number of bytes such as 512Mi or 2Gi")
    return math.ceil(Fraction(match[1]) * _FACTORS[match[2]])


def render_bytes(count: int) -> str:
    """The shortest exact quantity with a binary suffix: 536870912 is `512Mi`, 1000 is `1000`."""
    for suffix in _BINARY:
        if count and count % _FACTORS[suffix] == 0:
            return f"{count // _FACTORS[suffix]}{suffix}"
    return str(count)


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `90s`, `2m` or `1h30m`; raises `ValueError`."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration such as 90s, 2m or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(hours * 3600 + minutes * 60 + seconds)


def parse_percent(text: str) -> float:
    """The share, 0.0 to 0.99, of a percentage such as `10%`; raises `ValueError`."""
    match = _PERCENT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a percentage such as 10%")
    return int(match[1]) / 100
