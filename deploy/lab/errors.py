"""What can go wrong in the lab, in the words that an operator needs."""

from __future__ import annotations


class LabError(Exception):
    """What is wrong, where, what was expected, what was found, and what to do. Empty fields are left out."""

    def __init__(self, what: str, *, where: str = "", expected: str = "", found: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.expected = expected
        self.found = found
        self.remedy = remedy
        super().__init__(what)

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.what}" if self.where else self.what]
        for label, text in (("expected", self.expected), ("found", self.found), ("what to do", self.remedy)):
            if text:
                lines.append(f"  {label}: {text}")
        return "\n".join(lines)
