"""Checks of JSON bodies before they are decoded."""

from typing import Any

import msgspec
from litestar import Request
from litestar.enums import RequestEncodingType
from litestar.exceptions import SerializationException, ValidationException
from litestar.params import BodyKwarg

from services.gateway.http.http_errors import ProblemError, bad_request


def shape_of(handler: Any) -> Any | None:
    """Return the type that a handler decodes its JSON body into, or None when it takes no body."""
    field = getattr(handler, "parsed_data_field", None)
    kind = field.kwarg_definition if field is not None else None
    is_json = isinstance(kind, BodyKwarg) and kind.media_type == RequestEncodingType.JSON
    return field.annotation if field is not None and is_json else None


async def check(request: "Request[Any, Any, Any]") -> None:
    """Reject a body that is not JSON. Raises ProblemError 400 and 415.

    The framework would accept a form as JSON and crash on invalid bytes.
    """
    shape = shape_of(request.route_handler)
    if shape is None:
        return
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ProblemError(
            415, "unsupported-media-type", "Send the body as JSON, with the header `Content-Type: application/json`."
        )
    if not await request.body():
        raise bad_request("The body is missing: this address takes a JSON object.")
    try:
        body = await request.json()  # cached by the framework, so it is read only once
    except SerializationException as exc:
        raise bad_request(f"{exc}.") from exc
    except UnicodeDecodeError as exc:
        raise bad_request("The body is not JSON in UTF-8.") from exc
    except RecursionError as exc:
        raise bad_request("The body is nested too deeply.") from exc
    _refuse_near_misses(body, shape)


def _refuse_near_misses(body: Any, shape: Any) -> None:
    """Raise ValidationException for values such as 0 for false and "5" for 5. The framework accepts them, the schema does not."""
    try:
        msgspec.convert(body, shape)
    except msgspec.ValidationError as exc:
        try:
            msgspec.convert(body, shape, strict=False)
        except msgspec.ValidationError:
            return  # the framework rejects it too
        message, _, place = str(exc).partition(" - at `$.")
        field = {"message": message, "key": place.rstrip("`") or "data", "source": "body"}
        raise ValidationException("The body does not have the documented types.", extra=[field]) from exc
