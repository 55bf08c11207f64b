"""docs/newcomer.md, command by command, in an empty folder: three tables of different kind become services."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from mlplatform.cli.demo import free_port
from mlplatform.home import Home

PAGE = Path(__file__).parents[2] / "docs" / "newcomer.md"
SECTIONS = re.findall(r"^## (.+?)$\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.M | re.S)
WALKS = {title: body for title, body in SECTIONS if "$ mlplatform run" in body}
pytestmark = pytest.mark.slow


def commands(section: str) -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```", section, re.M | re.S)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def shell(command: str, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout


@contextmanager
def in_the_background(command: str, folder: Path, environment: dict[str, str]) -> Iterator[None]:
    with subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def wait_ready(url: str, seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if httpx.get(f"{url}/readyz", timeout=5, trust_env=False).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"nobody answers at {url}")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A newcomer's: nothing of the platform's is set, its programs are on the path."""
    ours = Home(tmp_path).environment()
    kept = {name: value for name, value in os.environ.items() if name not in ours and not name.startswith("MLPLATFORM")}
    return {**kept, "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}"}


@pytest.mark.parametrize("title", WALKS)
def test_the_page_leads_from_an_empty_folder_to_an_answer(
    title: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    *steps, serve, predict = commands(WALKS[title])
    port = re.search(r"--port (\d+) &$", serve)
    assert port, f"the last but one command of {title!r} serves"
    mine = str(free_port())
    folder = tmp_path / "empty"
    folder.mkdir()
    told = [shell(step, folder, environment) for step in steps]
    name = steps[1].split()[2]
    for line in re.findall(r"^```console\n(.*?)^```", WALKS[title], re.M | re.S)[0].splitlines():
        # What the page shows of `mlplatform new` is what it says.
        assert line.startswith("$ ") or line in told[1].splitlines()
    with in_the_background(serve.removesuffix(" &").replace(port[1], mine), folder, environment):
        wait_ready(f"http://127.0.0.1:{mine}")
        answer = json.loads(shell(predict.replace(f":{port[1]}", f":{mine}"), folder, environment))
    assert answer["model"]["use_case"] == name
    assert answer["reasons"]
    if title.startswith("One of several"):
        assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == [".mlplatform", "use_cases"]


def test_the_page_walks_through_three_kinds_of_targets() -> None:
    assert len(WALKS) == 3
