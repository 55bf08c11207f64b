"""docs/recipes/nginx.conf, run by a real nginx in front of real listeners; skipped where nginx is not installed."""

import http.server
import os
import re
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from mlplatform_tests.serving.test_launch import HOST, free_port

RECIPE = Path(__file__).parents[2] / "docs" / "recipes" / "nginx.conf"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
LOGIN = httpx.BasicAuth("me", "secret")

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: apt-get install nginx-light)")


class Upstream(http.server.BaseHTTPRequestHandler):
    """Says what reached it."""

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = f"{self.server.server_port} {self.path} {self.rfile.read(length).decode()}\n{self.headers}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the names are http.server's

    def log_message(self, *args: object) -> None:
        return


@dataclass(frozen=True)
class Proxy:
    """The two addresses of the recipe and the ports behind them."""

    programs: str
    people: str
    upstream: dict[str, int]
    trusted: ssl.SSLContext

    def get(self, url: str, **kwargs: object) -> httpx.Response:
        return httpx.get(url, verify=self.trusted, trust_env=False, timeout=5, **kwargs)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("nginx")
    names = "subjectAltName=IP:127.0.0.1"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    make += ["-days", "2", "-subj", "/CN=x", "-addext", names, "-keyout", str(folder / "key"), "-out"]
    subprocess.run([*make, str(folder / "crt")], check=True, capture_output=True)
    hashed = subprocess.run(["openssl", "passwd", "-6", "secret"], check=True, capture_output=True, text=True).stdout
    (folder / "users").write_text(f"me:{hashed}")
    servers = {name: http.server.ThreadingHTTPServer((HOST, 0), Upstream) for name in ("3000", "3001", "3002", "3003")}
    for server in servers.values():
        threading.Thread(target=server.serve_forever, daemon=True).start()
    upstream = {name: server.server_port for name, server in servers.items()}
    programs, people = free_port(), free_port()
    conf = folder / "nginx.conf"
    conf.write_text(whole(adapted(folder, upstream, programs, people), folder))
    with subprocess.Popen([str(NGINX), "-e", str(folder / "error.log"), "-c", str(conf)]) as process:
        proxy = Proxy(
            f"https://{HOST}:{programs}",
            f"https://{HOST}:{people}",
            upstream,
            ssl.create_default_context(cafile=folder / "crt"),
        )
        try:
            wait_for(proxy, folder / "error.log")
            yield proxy
        finally:
            process.terminate()
            for server in servers.values():
                server.shutdown()
                server.server_close()


def adapted(folder: Path, upstream: dict[str, int], programs: int, people: int) -> str:
    """The recipe with the marked lines changed, and free ports on loopback."""
    text = RECIPE.read_text()
    for old, new in {
        "/etc/nginx/tls/mlplatform.crt": str(folder / "crt"),
        "/etc/nginx/tls/mlplatform.key": str(folder / "key"),
        "/etc/nginx/mlplatform.users": str(folder / "users"),
        "listen 8443": f"listen {HOST}:{programs}",
        "listen 9443": f"listen {HOST}:{people}",
    }.items():
        assert old in text
        text = text.replace(old, new)
    return re.sub(r"http://127\.0\.0\.1:(300\d)", lambda found: f"http://{HOST}:{upstream[found[1]]}", text)


def whole(recipe: str, folder: Path) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    # Its workers would otherwise be somebody who cannot read a test's files.
    user = "user root;\n" if os.geteuid() == 0 else ""
    temporary = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    return f"{user}daemon off;\npid {folder}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}\n{recipe}\n}}\n"


def wait_for(proxy: Proxy, log: Path) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            proxy.get(proxy.programs)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(log.read_text())


def test_a_program_reaches_the_service_with_its_key_and_its_true_address(proxy: Proxy) -> None:
    headers = {"authorization": "Bearer mlp_1", "x-forwarded-for": "203.0.113.9"}
    answer = proxy.get(f"{proxy.programs}/fraud/predict", headers=headers)

    assert answer.status_code == 200
    assert answer.text.startswith(f"{proxy.upstream['3003']} /predict")
    assert "Bearer mlp_1" in answer.text
    assert "203.0.113.9" not in answer.text
    assert answer.headers["strict-transport-security"]


@pytest.mark.parametrize("path", ["/", "/fraud", "/fraud/metrics", "/fraud/readyz", "/diagnosis/predict"])
def test_nothing_else_is_there_for_programs(proxy: Proxy, path: str) -> None:
    assert proxy.get(proxy.programs + path).status_code in (301, 404)


def test_a_body_beyond_the_limit_does_not_reach_the_service(proxy: Proxy) -> None:
    answer = httpx.post(
        f"{proxy.programs}/fraud/predict", content=b" " * 5_000_000, verify=proxy.trusted, trust_env=False
    )

    assert answer.status_code == 413


@pytest.mark.parametrize("path", ["/", "/graphql", "/mlflow/", "/reports/x.html"])
def test_dagster_mlflow_and_reports_ask_for_a_login(proxy: Proxy, path: str) -> None:
    without, wrong = proxy.get(proxy.people + path), proxy.get(proxy.people + path, auth=("me", "wrong"))
    known = proxy.get(proxy.people + path, auth=LOGIN)

    assert (without.status_code, wrong.status_code, known.status_code) == (401, 401, 200)
    assert "Basic" not in known.text  # the password stays at the proxy


def test_each_part_gets_its_own_paths(proxy: Proxy) -> None:
    behind = {"/runs": ("3000", "/runs"), "/mlflow/ajax-api/x": ("3001", "/ajax-api/x"), "/reports/a": ("3002", "/a")}
    for path, (port, seen) in behind.items():
        answer = proxy.get(proxy.people + path, auth=LOGIN)
        assert answer.text.startswith(f"{proxy.upstream[port]} {seen} ")


@pytest.mark.parametrize("path", ["/graphql", "/mlflow/ajax-api/x"])
def test_another_page_cannot_use_the_login_that_the_browser_keeps(proxy: Proxy, path: str) -> None:
    own = {"origin": proxy.people}
    for origin in ("https://evil.example", "null", "https://127.0.0.1.evil.example", "http://127.0.0.1"):
        answer = proxy.get(proxy.people + path, auth=LOGIN, headers={"origin": origin})
        assert answer.status_code == 403, origin

    assert proxy.get(proxy.people + path, auth=LOGIN, headers=own).status_code == 200


def test_a_client_that_asks_too_often_is_held_off(proxy: Proxy) -> None:
    with httpx.Client(verify=proxy.trusted, trust_env=False) as client:
        codes = {client.get(f"{proxy.programs}/fraud/predict").status_code for _ in range(400)}

    assert codes == {200, 429}
