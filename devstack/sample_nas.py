"""A small NAS for trying things out: level-3 folders as a media team has them, some with umlauts, spaces, links and empty files.

A round is one year with six folders; one is already archived, and one holds only a note. When all folders of a round are
archived, the next year is added, because an archived path stays taken at the destination permanently.
"""

import random
from pathlib import Path

FIRST_YEAR = 2024
_MIB = 2**20
_KINDS = {".mp4": b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", ".jpg": b"\xff\xd8\xff\xe0\0\x10JFIF\0", ".wav": b"RIFF\0\0\0\0WAVEfmt "}
# Per folder: file path -> size in bytes. Films and pictures hardly shrink, texts do: about 80/20, as on a real NAS.
_FOLDERS: dict[str, dict[str, int]] = {
    "Marketing/{year}/Kampagne Frühjahr": {
        "Bilder/Titel {year}.jpg": 3 * _MIB,
        "Bilder/Rückseite.jpg": 2 * _MIB,
        "Spots/Spot 30 s.mp4": 4 * _MIB,
        "Texte/Entwürfe.txt": 2 * _MIB,
        "Texte/leer.txt": 0,
    },
    "Marketing/{year}/Logos & Fotos": {"Logo (final).jpg": _MIB, "Logo (final, wirklich).jpg": _MIB, "Größen.txt": 300_000},
    "Produktion/{year}/Interview Zürich": {"Ton/Spur 1.wav": 6 * _MIB, "Kamera A.mp4": 5 * _MIB, "Abschrift.txt": 900_000},
    "Produktion/{year}/Straßenfest": {"Schnitt/Fassung 3.mp4": 9 * _MIB, "Fotos/Bühne.jpg": 4 * _MIB, "Notizen.txt": 3 * _MIB},
}


def add_round(base: Path) -> int:
    """Add the next year's folders to `base` and return the year. Creates `base` if needed. About 40 MB, always the same bytes."""
    year = FIRST_YEAR
    while (base / "Marketing" / str(year)).exists():
        year += 1
    for folder, files in _FOLDERS.items():
        for name, size in files.items():
            _write(base / folder.format(year=year) / name.format(year=year), size)
    (base / f"Produktion/{year}/Straßenfest/Schnitt/Standbild.jpg").symlink_to("../Fotos/Bühne.jpg")
    (base / f"Produktion/{year}/Straßenfest/Abgabe").mkdir()
    _write_text(base / f"Produktion/{year}/Imagefilm/Imagefilm-ARCHIVED-TO-GLOBUS.txt", "Archived by hand, long ago.\n")
    _write_text(base / f"Marketing/{year}/Umgezogen/siehe Laufwerk M.txt", "Liegt jetzt auf M:\n")
    return year


def _write(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = random.Random(str(path.name))  # noqa: S311 - sample pictures, not secrets
    if path.suffix in _KINDS:
        head = _KINDS[path.suffix]
        path.write_bytes(head + noise.randbytes(size - len(head)))
    else:
        lines = (f"{number:07} {noise.randrange(10**6):06} Szene, Einstellung, Länge, Bemerkung\n" for number in range(size // 50))
        path.write_text("".join(lines), encoding="utf-8")


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
