"""What a media file may cost and contain: one table, for the child that reads it and for the child's parent. Pure."""

from typing import Literal

ImageFormat = Literal["jpg", "png", "webp"]
"""Image formats of thumbnails and contact sheets; `shared.media.probe` has the encoders."""

FORMATS = (
    *("matroska", "webm", "mov", "mp4", "m4a", "3gp", "3g2", "mj2", "mp3", "flac", "ogg", "wav", "avi", "mpegts", "mpeg"),
    *("mpegvideo", "flv", "asf", "aac", "ac3", "eac3", "dts", "aiff", "mxf", "w64", "ape", "tta", "wv", "caf", "dv", "ivf", "amr"),
    *("h264", "hevc", "m4v", "obu", "rm", "vob", "dsf"),
)
"""Containers that may be opened: each holds its own data. Playlists (hls, dash, concat) name other files, so they are excluded."""

EXTENSIONS = frozenset(
    {
        *("mkv", "mka", "webm", "mov", "mp4", "m4a", "m4v", "3gp", "3g2", "mp3", "flac", "ogg", "oga", "ogv", "opus", "wav", "avi"),
        *("ts", "m2ts", "mts", "mpg", "mpeg", "vob", "flv", "wmv", "wma", "asf", "aac", "ac3", "eac3", "dts", "aif", "aiff", "mxf"),
        *("w64", "ape", "wv", "caf", "dv", "ivf", "amr"),
    }
)
"""Names that a folder's preview treats as media. A single requested file is judged by its content."""

TIMEOUT_S = 20.0
"""Seconds for one file, from start to answer. Information usually takes 0.1 to 0.3 s; a slow NAS may need longer."""
CPU_S = 30
"""Processor seconds (all threads), in case the time limit does not stop it."""
MEMORY_BYTES = 1_536 << 20
"""Address space: libraries 0.4 GiB, and 4K 10-bit frames."""
PIXELS = 134_217_728
"""The largest picture that is decoded: 16,384 x 8,192."""
OPEN_FILES = 64
MEASURE_BYTES = 64 << 20
MEASURE_S = 2.0
"""Seconds spent on counting the streams' bit rates, if neither header nor tags contain them."""
READ_S = 5.0
"""Seconds for one packet: after a valid beginning a demuxer may search gigabytes of junk for the next packet."""
CHAPTERS = 1_000
"""Maximum number of chapters reported, from the first one. FFmpeg itself opens no file with more than 1,000 streams."""
DECODE_FRAMES = 3_000
"""Maximum frames decoded on the way to the requested one: the longest gaps between key frames are a few hundred."""
INFO_BYTES = 2 << 20
"""The longest description answered, for the same reason as below: tags are untrusted data, too."""
IMAGE_BYTES = 2 << 20
"""The largest image answered: messages between services hold 4 MB, and base64 takes a third of that."""
WIDTH = (16, 1920)
"""The narrowest and the widest image, in pixels."""
SHEET_FRAMES = (1, 36)
SHEET_COLUMNS = (1, 8)
SHEET_WIDTH = (16, 480)
"""Limits of a contact sheet: the number of frames, the frames per row, and the width of each."""
