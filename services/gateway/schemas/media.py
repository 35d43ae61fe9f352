"""API types for media files and folder previews. Sizes are bytes, times seconds. Fields are only ever added."""

import msgspec

from shared.service.rpc import Branch, FolderSeen, MediaTotals, NamedSize, TypeCount

__all__ = ["Branch", "FolderPreview", "MediaTotals", "NamedSize", "PreviewEstimate", "TypeCount"]


class PreviewEstimate(msgspec.Struct, kw_only=True):
    """The estimated cost of archiving one or more folders. In a preview, it grows until the preview is complete.

    archive_bytes: COMPRESSION_SIZE_ESTIMATE_RATIO of the size. seconds: at `bytes_per_second`, the speed of the last
    `basis_jobs` completed jobs (0: a constant, docs/media.md). needed_bytes: the space that the job of the largest folder
    reserves: copy, archive, 64 MiB. available_bytes: the space that it may reserve now.
    """

    archive_bytes: int
    seconds: float
    bytes_per_second: float
    basis_jobs: int
    needed_bytes: int
    available_bytes: int
    free_bytes: int
    fits: bool


class FolderPreview(FolderSeen, kw_only=True):
    """The contents of a folder before it is archived. `names_hidden`: names are omitted, because you may not see NAS folders.

    `refusals`: once the preview is complete, they include the reasons that would block a request.
    """

    estimate: PreviewEstimate
    names_hidden: bool = False
