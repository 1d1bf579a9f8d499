"""What docs/ tells a host of nginx, Caddy and the app is what the app does."""

from __future__ import annotations

import re

import pytest

import app
from demo.live.live import HEALTH_PATH, METRICS_PATH, POST_PATH, SOCKET_PATH
from demo.page.video import MAXIMUM_UPLOAD
from demo.space.lent.call import CALL_S, PAINTED_S, REST_S
from demo.space.spacefile import ROOT, read_spacefile

DOCS = ROOT / "docs"
SERVING = (DOCS / "serving.md").read_text(encoding="utf-8")
HOSTING = (DOCS / "hosting.md").read_text(encoding="utf-8")
NGINX = (DOCS / "nginx.conf").read_text(encoding="utf-8")
CADDY = (DOCS / "Caddyfile").read_text(encoding="utf-8")


def test_the_page_on_serving_names_the_routes_and_the_files() -> None:
    for path in (SOCKET_PATH, POST_PATH, METRICS_PATH, HEALTH_PATH):
        assert f"`{path}`" in SERVING
    for name in re.findall(r"\]\((\w[\w.]*)\)", SERVING + HOSTING):
        assert (DOCS / name).is_file()


def test_the_page_on_hosting_names_each_hardware_and_what_a_call_takes() -> None:
    assert all(f"`{hardware}`" in HOSTING for hardware in read_spacefile().flavours)
    assert f"Paint live for {CALL_S} s" in HOSTING and f"the {PAINTED_S:g} s that are painted" in HOSTING
    assert f"rested for {REST_S:g} s" in HOSTING


@pytest.mark.parametrize("config", [NGINX, CADDY])
def test_a_proxy_reaches_the_app_takes_its_uploads_and_hides_its_metrics(config: str) -> None:
    assert f"{app.LOCAL_HOST}:{app.DEFAULT_PORT}" in config
    assert MAXIMUM_UPLOAD.removesuffix("b") in config.lower()
    assert METRICS_PATH in config
    assert config.count("{") == config.count("}") + config.count("# prefix: location ")


def test_nginx_passes_on_what_the_live_wire_asks_for() -> None:
    for name in ("Upgrade", "Connection", "Host", "X-Forwarded-Proto", "X-Forwarded-For"):
        assert re.search(rf"proxy_set_header {name}\s", NGINX)
    assert "proxy_http_version 1.1" in NGINX and "proxy_read_timeout 1h" in NGINX


def test_the_commands_on_serving_are_ones_that_the_app_takes() -> None:
    commands = re.findall(r"python app\.py((?: --[\w-]+)+)(?=\s)", SERVING)
    assert commands
    for words in commands:
        if "--help" not in words:
            app.parse(words.split())
