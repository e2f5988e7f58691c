"""The notations of Kubernetes for bytes, durations and shares, read into plain numbers.

Exponents (`1e3`), which Kubernetes takes too, are left out: nobody means them in a pool's YAML.
"""

import math
import re
from fractions import Fraction

_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|)", re.ASCII)
_FACTORS = {
    "n": Fraction(1, 10**9), "u": Fraction(1, 10**6), "m": Fraction(1, 1000), "": Fraction(1),
    **{letter: Fraction(1000**power) for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Fraction(1024**power) for power, letter in enumerate("KMGTPE", start=1)},
}  # fmt: skip
_DURATION = re.compile(r"(?=.)(?:([0-9]+)h)?(?:([0-9]+)m)?(?:([0-9]+)s)?")
_PERCENT = re.compile(r"([0-9]{1,2})%")
_BINARY = ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki")


def parse_amount(text: str | int) -> Fraction:
    """The exact number that a quantity such as `500m`, `1.5` or `4Gi` stands for; raises `ValueError`."""
    match = _QUANTITY.fullmatch(str(text))
    if match is None:
        raise ValueError(f"{text!r} is not a quantity such as 500m or 4Gi")
    return Fraction(match[1].rstrip(".")) * _FACTORS[match[2]]


def parse_bytes(text: str | int) -> int:
    """Bytes of a quantity such as `512Mi`, `1.5G` or `4096`, rounded up; raises `ValueError`."""
    return math.ceil(parse_amount(text))


def render_bytes(count: int) -> str:
    """The shortest exact quantity with a binary suffix: 536870912 is `512Mi`, 1000 is `1000`."""
    for suffix in _BINARY:
        if count and count % (factor := int(_FACTORS[suffix])) == 0:
            return f"{count // factor}{suffix}"
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
