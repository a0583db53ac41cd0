"""The one error that users meet: a single line that says what was wrong and what to do."""

from __future__ import annotations


class StsError(Exception):
    """Something a user can correct: one line says what was wrong, with the value, and what to do (no traceback)."""


class ParameterError(StsError):
    """A parameter with an unknown name, a wrong type or a value out of its range."""


class ScalogramWarning(UserWarning):
    """Part of a scalogram that is computed but should be read with care."""


class Excluded(StsError):
    """A cell, or one sweep of it, that cannot be used; `reason` is one of `stslib.cohort.REASONS`."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason, self.message = reason, message

    def __str__(self) -> str:
        return self.message


class MissingInput(StsError):
    """A file or result that is not there; the message names what makes it."""


class DamagedFile(StsError):
    """A file that is there but cannot be what it should be (truncated, altered, not its format)."""


def one_line(error: BaseException) -> str:
    """The message of a foreign error in one line of at most 160 characters; its type where it has no message."""
    return " ".join(str(error).split())[:160] or type(error).__name__


def one_of(name: str, value: object, valid: object) -> None:
    """Refuse `value` (ParameterError) unless it is among `valid`, naming the valid ones."""
    choices = [str(v) for v in valid]  # type: ignore[attr-defined]
    if str(value) not in choices:
        raise ParameterError(f"{name} is {value!r}; use one of: {', '.join(choices)}")
