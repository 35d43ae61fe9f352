"""The two families of trouble: an API call that is refused, and a task that meets an obstacle."""

from __future__ import annotations


class ApiError(Exception):
    """A call refused with the error body of the Transfer API."""

    def __init__(self, status: int, code: str, message: str, **fields: object) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.fields = status, code, message, fields


class ObstacleError(Exception):
    """A fault of a task: counted, recorded as an event, and tried again until the deadline."""

    def __init__(self, code: str, details: str, *, at_source: bool = False) -> None:
        super().__init__(details)
        self.code, self.details, self.at_source = code, details, at_source


class FatalError(Exception):
    """The task has failed with this code; nothing is tried again."""

    def __init__(self, code: str, description: str, details: str = "") -> None:
        super().__init__(description)
        self.code, self.description, self.details = code, description, details or description


class StoppedError(Exception):
    """The worker must leave the task as it is: cancelled, reset, or the program ends."""


def bad_request(message: str, code: str = "ClientError.BadRequest") -> ApiError:
    return ApiError(400, code, message)
