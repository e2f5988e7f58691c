"""The one exception that tools for people end with."""


class Failure(Exception):
    """Something did not work; `remedy` tells the reader what to do about it."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}\n  what to do: {self.remedy}" if self.remedy else self.what
