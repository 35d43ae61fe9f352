"""What goes over the wire about media files and previews of folders. Sizes are bytes, times seconds. Fields are only ever added."""

import msgspec

from shared.service.rpc import Branch, FolderSeen, MediaTotals, NamedSize, TypeCount

__all__ = ["Branch", "FolderPreview", "MediaTotals", "NamedSize", "PreviewEstimate", "TypeCount"]


class PreviewEstimate(msgspec.Struct, kw_only=True):
    """What archiving the folder (or folders) will likely cost. Of a preview, it grows until the preview is complete.

    archive_bytes: COMPRESSION_SIZE_ESTIMATE_RATIO of the size. seconds: at `bytes_per_second`, which is that of the last
    `basis_jobs` completed jobs (0: a constant, docs/media.md). needed_bytes: what the job (of the largest folder) reserves:
    copy, archive, 64 MiB. available_bytes: what it may reserve now.
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
    """What is in a folder before it is archived. `names_hidden`: names are left out, because you may not look at NAS folders.

    `refusals`: once the preview is complete, also what a request for the folder would be refused for.
    """

    estimate: PreviewEstimate
    names_hidden: bool = False
