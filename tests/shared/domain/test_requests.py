"""Requests of workspace jobs, in their plain form."""

import pytest

from shared.archiving.formats import Format
from shared.domain.requests import FORMATS, NOT_MADE, format_for
from shared.errors import PermanentError


def test_every_format_that_is_opened_is_made_or_known_as_not_made() -> None:
    assert {*FORMATS, *NOT_MADE} > {form.value for form in Format}


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a.tar.gz", "tar.gz"),
        ("a.TAR", "tar"),
        ("a.tgz", "tar.gz"),
        ("a.TBZ2", "tar.bz2"),
        ("a.txz", "tar.xz"),
        ("a.tzst", "tar.zst"),
        ("a.tar.zip", "zip"),
        ("a", "7z"),
        ("zip", "7z"),
        ("a.docx", "7z"),
        (None, "7z"),
    ],
)
def test_a_name_says_its_format(name: str | None, form: str) -> None:
    """A name and a format option may agree. A name without a format gets the default."""
    assert format_for(None, name, "7z") == form
    assert format_for(form, name, "zip") == form


@pytest.mark.parametrize(
    ("asked", "name", "advice"),
    [
        (None, "x.rar", "let it end with .zip, .7z, .tar, "),
        (None, "x.gz", "let it end with .zip, .7z, .tar, "),
        ("zip", "x.RAR", "let it end with .zip."),
        ("7z", "a.zip", "let it end with .7z, or choose zip."),
        ("tar", "a.tgz", "let it end with .tar, or choose tar.gz."),
        ("tar.gz", "a.gz", "let it end with .tar.gz."),
    ],
)
def test_a_name_that_says_something_else_is_refused(asked: str | None, name: str, advice: str) -> None:
    """A name that contradicts the format would mislead users of the archive."""
    with pytest.raises(PermanentError) as refused:
        format_for(asked, name, "zip")

    assert advice in str(refused.value)
