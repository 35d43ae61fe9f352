"""Generate docs/settings.md from shared/infra/settings.py.

`python -m tests.shared.settings_table` writes it, and test_settings.py compares it.
"""

from dataclasses import MISSING, fields
from pathlib import Path

from shared.infra.settings import Common, CompressorSettings, GatewaySettings, ScannerSettings, Source, Storage, UploaderSettings
from shared.infra.unused_settings import INSTEAD

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
SERVICES = (ScannerSettings, CompressorSettings, UploaderSettings, GatewaySettings)
HEAD = """# Settings

Read once from the environment when a process starts; everything that is wrong is named at once and the process ends with exit
code 78. An empty value counts as not set. Secrets are never shown or logged. This page is made from `shared/infra/settings.py` by
`python -m tests.shared.settings_table`; a test compares the two.

Globus is real when `GLOBUS_CLIENT_ID`, `GLOBUS_CLIENT_SECRET`, `GLOBUS_SOURCE_ENDPOINT` and `GLOBUS_DESTINATION_ENDPOINT` are set;
only a part of them is an error.

Settings that an admin changes while everything runs, among them `workspace_entries`, `user_jobs_limit`, `user_streams_limit` and
`login_limit`, are in [gateway.md](gateway.md#settings-while-everything-runs). They win over this page.
"""

INSTEAD_HEAD = """
## Names that are not settings

Names of the documents that CS Archiver was made from, and of similar programs. A name with a dot is a key of the documents'
`config.yaml`, which is not read. Every process looks for these names, and for misspelled ones, when it starts. It warns and goes on:

- `cs-archiver up` says it at the terminal, also for settings that it replaces by its own (`DATABASE_URL`, `STORAGE_BASE_PATH`), for a
  `.env` that it was not told to read (`--env-file .env` does), and for each key of a `config.yaml`.
- A service of its own writes it into its log (`setting_unknown`).
- `sh deploy/prepare.sh` names what has no effect in `.env` and `deploy/settings.env`.
"""


def _default(value: object) -> str:
    if value is MISSING:
        return "**required**"
    if value is None or value == "":
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def _table(names: dict[str, tuple[object, str, bool]]) -> str:
    rows = ["| name | default | meaning |", "|---|---|---|"]
    for name, (default, doc, secret) in names.items():
        rows.append(f"| `{name}` | {_default(default)} | {doc}{' *Secret.*' if secret else ''} |")
    return "\n".join(rows) + "\n"


def page() -> str:
    """Return the whole page."""
    parts = [HEAD]
    everybody: tuple[type, ...] = (Common, Storage, Source)
    groups: list[tuple[str, type, tuple[type, ...]]] = [
        ("Every service", Common, ()),
        ("Storage (compressor, uploader, gateway)", Storage, ()),
        ("NAS (scanner and compressor; the others only keep their own places apart from it)", Source, ()),
        *((shape.__name__.removesuffix("Settings"), shape, everybody) for shape in SERVICES),
    ]
    for title, shape, without in groups:
        known = {field.name for base in without for field in fields(base)}
        own = [field for field in fields(shape) if field.name not in known]
        names = {f.name.upper(): (f.default, f.metadata["doc"], f.metadata["secret"]) for f in own}
        parts.append(f"\n## {title}\n\n{_table(names)}")
    rows = [f"| {', '.join(f'`{name}`' for name in names)} | {sentence} |" for names, sentence in INSTEAD.items()]
    parts += [INSTEAD_HEAD, "\n| name | what to use instead |\n|---|---|\n", "\n".join(rows), "\n"]
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
