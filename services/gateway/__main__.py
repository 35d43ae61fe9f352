"""Run the gateway with `python -m services.gateway`: REST API, WebSockets and web pages."""

from services.gateway.app import QUERIES, body
from shared.domain.lifecycle import Role
from shared.infra.settings import GatewaySettings
from shared.service.runtime import run_service

if __name__ == "__main__":
    run_service(Role.GATEWAY, GatewaySettings, QUERIES, body)
