"""The two kinds of trouble: a refused API call, and an obstacle for a task."""

from __future__ import annotations


class ApiError(Exception):
    """A call was refused with the error body of the Transfer API."""

    def __init__(self, status: int, code: str, message: str, **fields: object) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.fields = status, code, message, fields


class ObstacleError(Exception):
    """A fault of a task. It is counted, recorded as an event, and retried until the deadline."""

    def __init__(self, code: str, details: str, *, at_source: bool = False) -> None:
        super().__init__(details)
        self.code, self.details, self.at_source = code, details, at_source


class FatalError(Exception):
    """The task failed with this code and is not retried."""

    def __init__(self, code: str, description: str, details: str = "") -> None:
        super().__init__(description)
        self.code, self.description, self.details = code, description, details or description


class StoppedError(Exception):
    """The worker must leave the task as it is: the task was cancelled or reset, or the program ends."""


def bad_request(message: str, code: str = "ClientError.BadRequest") -> ApiError:
    return ApiError(400, code, message)
