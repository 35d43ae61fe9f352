"""`python -m services.gateway`: REST, WebSocket and pages for people."""

from services.gateway.app import QUERIES, body
from shared.lifecycle import Role
from shared.runtime import run_service
from shared.settings import GatewaySettings

if __name__ == "__main__":
    run_service(Role.GATEWAY, GatewaySettings, QUERIES, body)
