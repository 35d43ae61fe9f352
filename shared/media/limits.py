"""What a media file may cost us and what it may be: one table, for the child that reads it and whoever starts that child. Pure."""

from typing import Literal

ImageFormat = Literal["jpg", "png", "webp"]
"""What thumbnails and contact sheets can be; `shared.media.probe` has the encoders."""

FORMATS = (
    *("matroska", "webm", "mov", "mp4", "m4a", "3gp", "3g2", "mj2", "mp3", "flac", "ogg", "wav", "avi", "mpegts", "mpeg"),
    *("mpegvideo", "flv", "asf", "aac", "ac3", "eac3", "dts", "aiff", "mxf", "w64", "ape", "tta", "wv", "caf", "dv", "ivf", "amr"),
    *("h264", "hevc", "m4v", "obu", "rm", "vob", "dsf"),
)
"""Containers that are opened: each holds its own data. Playlists (hls, dash, concat) name other files and are not among them."""

EXTENSIONS = frozenset(
    {
        *("mkv", "mka", "webm", "mov", "mp4", "m4a", "m4v", "3gp", "3g2", "mp3", "flac", "ogg", "oga", "ogv", "opus", "wav", "avi"),
        *("ts", "m2ts", "mts", "mpg", "mpeg", "vob", "flv", "wmv", "wma", "asf", "aac", "ac3", "eac3", "dts", "aif", "aiff", "mxf"),
        *("w64", "ape", "wv", "caf", "dv", "ivf", "amr"),
    }
)
"""Names that a folder's preview takes for media; a file asked about by itself is judged by its content."""

TIMEOUT_S = 20.0
"""For one file, from start to answer. facts: 0.1 to 0.3 s is usual; a slow NAS may need longer."""
CPU_S = 30
"""Processor seconds (all threads), should the clock not stop it."""
MEMORY_BYTES = 1_536 << 20
"""Address space: libraries 0.4 GiB, and 4K 10-bit frames."""
PIXELS = 134_217_728
"""The largest picture that is decoded: 16,384 x 8,192."""
OPEN_FILES = 64
MEASURE_BYTES = 64 << 20
MEASURE_S = 2.0
"""How far a file is read to count its streams' bit rates, where neither header nor tags say them."""
READ_S = 5.0
"""For one packet: behind a good beginning there may be gigabytes of nothing, in which a demuxer looks for the next one."""
CHAPTERS = 1_000
"""The first ones are told. FFmpeg itself opens no file of more than 1,000 streams."""
DECODE_FRAMES = 3_000
"""Frames decoded on the way to the one that was asked for: the longest gaps between key frames are some hundred."""
INFO_BYTES = 2 << 20
"""The longest description answered, for the same reason as below: tags are strangers' words, too."""
IMAGE_BYTES = 2 << 20
"""The largest image answered: questions between services carry 4 MB, a third of it lost to base64."""
WIDTH = (16, 1920)
"""The narrowest and the widest image, pixels."""
SHEET_FRAMES = (1, 36)
SHEET_COLUMNS = (1, 8)
SHEET_WIDTH = (16, 480)
"""Of a contact sheet: how many frames, how many in a row, and how wide each."""
