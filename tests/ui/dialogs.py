"""Every dialog of the UI: its page, and how it is opened. Addresses and entries come from the fixture `pages`."""

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

Opener = Callable[[Page], None]


def _leave_configuration(page: Page) -> None:
    page.locator('[data-setting="upload_limit"]').get_by_role("textbox").fill("7")
    page.get_by_role("link", name="Queue").first.click()


def _menu(entry: str, item: str) -> Opener:
    def opened(page: Page) -> None:
        page.get_by_role("button", name=f"Actions for {entry}").click()
        page.get_by_role("menuitem", name=item).click()

    return opened


def _pressed(name: str) -> Opener:
    return lambda page: page.get_by_role("button", name=re.compile(name)).first.click()


def _for_colleague(name: str) -> Opener:
    return lambda page: page.locator('[data-user="colleague"]').get_by_role("button", name=re.compile(name)).click()


def _preview(entry: str) -> Opener:
    return lambda page: page.get_by_role("link", name=entry, exact=True).click()


DIALOGS: dict[str, tuple[str, Opener]] = {
    "leave": ("/admin/config", _leave_configuration),
    "clear": ("/history", _pressed("^Clear completed")),
    "review": ("/folders", _pressed("^Archive ")),
    "create user": ("/admin/users", _pressed("^Create user")),
    "quota": ("/admin/users", _for_colleague("^Set quota")),
    "password": ("/admin/users", _for_colleague("^Set password")),
    "make admin": ("/admin/users", _for_colleague("^Make admin")),
    "delete user": ("/admin/users", _for_colleague("^Delete")),
    "token": ("/settings", _pressed("^Create token")),
    "keys": ("/queue", lambda page: page.keyboard.press("?")),
    "palette": ("/queue", _pressed("^Search")),
    "account": ("/queue", _pressed("^Account")),
    "tasks": ("/files", _pressed("^Tasks")),
    "preview of a text": ("/files?path=Shown", _preview("notes.txt")),
    "preview of a film": ("/files?path=Shown", _preview("film.mp4")),
    "preview of a picture": ("/files?path=Shown", _preview("photo.svg")),
    "no preview": ("/files?path=Shown", _preview("old.zip")),
    **{
        item: ("/files?path=Shown", _menu(entry, item))
        for item, entry in {
            "Rename": "old.zip",
            "Move": "old.zip",
            "Delete": "old.zip",
            "Create archive": "old.zip",
            "Extract": "old.zip",
            "Show contents": "old.zip",
            "Media information": "film.mp4",
        }.items()
    },
}


def opened(page: Page, opener: Opener) -> Locator:
    """Open a dialog or menu. Return it once its content is there."""
    opener(page)
    dialog = page.locator("[role=dialog], [role=menu]")
    dialog.wait_for()
    expect(dialog.locator('[aria-busy="true"]')).to_have_count(0)
    return dialog
