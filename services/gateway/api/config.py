"""Settings that can change at run time. For admins only."""

from typing import Any

from litestar import Request, Router, get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody

from services.gateway.auth.rights import admins_only
from services.gateway.http.problems import refusals
from services.gateway.records.config import Configuration
from services.gateway.records.identity import Identity
from services.gateway.schemas.admin import Config, ConfigUpdate, Setting


@get("/", operation_id="getConfig", responses=refusals())
async def get_config(configuration: NamedDependency[Configuration]) -> Config:
    """Return the current settings."""
    return await configuration.read()


@get("/settings", operation_id="listSettings", responses=refusals())
async def list_settings(configuration: NamedDependency[Configuration]) -> list[Setting]:
    """Return the current settings with their unit, limits, default, and who changed them and when."""
    return await configuration.describe()


@put("/", operation_id="changeConfig", status_code=200, responses=refusals(413))
async def change_config(
    data: JSONBody[ConfigUpdate], request: Request[Identity, Any, Any], configuration: NamedDependency[Configuration]
) -> Config:
    """Change settings, or reset them to the environment's values.

    The change takes effect in every service within a second. No restart is needed, and running work continues. 400 names every
    invalid value, and then nothing changes.
    """
    return await configuration.change(request.user, data)


router = Router("/config", route_handlers=[get_config, list_settings, change_config], guards=[admins_only], tags=["Settings"])
