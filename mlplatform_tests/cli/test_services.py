"""What `mlplatform up` starts: real services of real deployments."""

from contextlib import ExitStack

import httpx
import orjson
import pytest

from mlplatform.cli.left_behind import service_pid
from mlplatform.cli.serve import start_live
from mlplatform.cli.services import Services
from mlplatform.errors import PlatformError
from mlplatform.home import Home
from mlplatform.serving.build import build_bento
from mlplatform.serving.launch import stop_service
from mlplatform.serving.pointer import Pointer, write_pointer
from mlplatform_tests.processes import free_port
from mlplatform_tests.serving.conftest import write_bundle

# bentoml 1.4.40 is older than these deprecations of pydantic (at its import) and of importlib (at a build).
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.io_models"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.images"),
]


def test_a_bento_that_does_not_start_is_told_once_and_another_one_is_tried(
    prepared: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    file = prepared.deployment("fraud")
    built = build_bento(write_bundle(prepared.root / "v1", "1"), "fraud", 1, home=prepared)
    write_pointer(file, Pointer("fraud", "fraud:v0", "0", str(prepared.root / "nowhere"), "2026-01-01T00:00:00"))
    with ExitStack() as running:
        services = Services(prepared, {"fraud": free_port(), "demand": free_port()}, running)
        assert [services.start_deployed() for _ in range(2)] == [{}, {}]
        said = capsys.readouterr().err
        write_pointer(file, Pointer("fraud", built.tag, "1", str(built.bundle), "2026-01-01T00:00:00"))
        started = services.start_deployed()
        ready = httpx.get(f"{started['fraud'].url}/readyz", timeout=10, trust_env=False).json()
        again = services.start_deployed()

    assert (
        said.count("fraud      does not start; it is tried again each minute, and when something else is deployed") == 1
    )
    [alert] = [orjson.loads(line) for line in prepared.alert_log.read_bytes().splitlines()]
    assert alert["title"].startswith("the service of fraud does not start")
    assert (ready["model"]["version"], again) == ("1", {})


def test_a_service_that_was_left_behind_is_told_with_its_process(prepared: Home) -> None:
    built = build_bento(write_bundle(prepared.root / "v1", "1"), "fraud", 1, home=prepared)
    write_pointer(
        prepared.deployment("fraud"), Pointer("fraud", built.tag, "1", str(built.bundle), "2026-01-01T00:00:00")
    )
    port = free_port()
    left_behind = start_live("fraud", port, prepared)
    try:
        with pytest.raises(PlatformError, match=rf"fraud is served .*:{port} already \(pid {left_behind.pid}\)"):
            start_live("fraud", port, prepared)
    finally:
        stop_service(left_behind.pid)
    assert service_pid("fraud", port) is None
