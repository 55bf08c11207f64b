"""The Containerfile, built by a real builder without a daemon, and run by a real runtime under the limits that its
manifests ask for.

As root, with Debian's buildah, runc and debootstrap. No registry is asked: the base is Debian's own Python.
MLPLATFORM_TESTS_ROOTFS names one that is there already, or that is to be made and kept.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlplatform.home import Home
from mlplatform.serving.recipe.write import write_recipe
from mlplatform_tests.processes import free_port
from mlplatform_tests.serving.conftest import GOOD
from mlplatform_tests.serving.image_tree import journalling_bento

PROGRAMS = ("buildah", "runc", "debootstrap")
_MISSING = [name for name in PROGRAMS if shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None]
# bentoml 1.4.40 is older than these deprecations of pydantic (at its import) and of importlib (at a build).
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.io_models"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.images"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a builder without a daemon needs root"),
    pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {', '.join(_MISSING)} (Debian: apt-get install)"),
]
CERTIFICATES = Path("/etc/ssl/certs")
PACKAGES = "python3,python3-pip,ca-certificates,libgomp1"


@dataclass(frozen=True)
class Builder:
    """buildah with a storage of its own."""

    storage: Path

    def __call__(self, *arguments: str | Path, seconds: float = 300) -> str:
        places = ["--root", self.storage / "root", "--runroot", self.storage / "run", "--storage-driver", "vfs"]
        command = ["buildah", *map(str, (*places, *arguments))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = os.environ.get("MLPLATFORM_TESTS_ROOTFS")
    folder = Path(named) if named else tmp_path_factory.mktemp("base") / "rootfs"
    if not (folder / "usr" / "bin" / "python3").exists():
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
        if done.returncode != 0:
            pytest.skip(f"debootstrap made no base: {done.stdout[-300:]}")
    return folder


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory, rootfs: Path) -> Iterator[Builder]:
    storage = tmp_path_factory.mktemp("storage")
    build = Builder(storage)
    container = build("from", "scratch")
    build("add", "-q", container, rootfs, "/")
    build("commit", "-q", "--rm", container, "localhost/python-base")
    yield build
    build("rm", "--all")
    build("rmi", "--all", "--force")
    # Each layer is a copy of all files.
    shutil.rmtree(storage)


@pytest.fixture(scope="module")
def image(builder: Builder, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("recipe")
    built = journalling_bento(Home(folder / "home"))
    context = write_recipe(built.path, folder / "image", "localhost/fraud:1").folder
    # How this machine reaches the package index is no part of the image.
    index = os.environ.get("PIP_INDEX_URL")
    settings = [f"cert = {CERTIFICATES}/ca-certificates.crt", *([f"index-url = {index}"] if index else [])]
    (folder / "pip.conf").write_text("\n".join(["[global]", *settings, ""]))
    mounts = [f"--volume={CERTIFICATES}:{CERTIFICATES}:ro", f"--volume={folder / 'pip.conf'}:/etc/pip.conf:ro"]
    how = ["--isolation", "chroot", "--format", "docker", "--build-arg", "BASE=localhost/python-base"]
    builder("bud", *how, *mounts, "-f", context / "Containerfile", "-t", "localhost/fraud:1", context, seconds=500)
    return "localhost/fraud:1"


@pytest.fixture(scope="module")
def mounted(builder: Builder, image: str) -> Path:
    return Path(builder("mount", builder("from", image)))


def config_of(builder: Builder, image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(builder("inspect", "--type", "image", image))["Docker"]["config"]
    return found


def bundle_for_runc(folder: Path, root: Path, config: dict[str, Any], port: int) -> Path:
    """What the manifests ask for: read-only, nobody, no capability, no new privilege; the network is this machine's."""
    folder.mkdir()
    subprocess.run(["runc", "spec"], cwd=folder, check=True)
    told = json.loads((folder / "config.json").read_text())
    user, group = map(int, config["User"].split(":"))
    told["root"] = {"path": str(root), "readonly": True}
    told["process"] |= {
        "terminal": False,
        "user": {"uid": user, "gid": group},
        # 127.0.0.1 instead of the image's CMD: this network is shared, and no key is made for it.
        "args": [*config["Entrypoint"], "--host", "127.0.0.1", "--port", str(port)],
        "cwd": config["WorkingDir"],
        "env": config["Env"],
        "capabilities": {kind: [] for kind in told["process"]["capabilities"]},
        "noNewPrivileges": True,
    }
    told["linux"]["namespaces"] = [each for each in told["linux"]["namespaces"] if each["type"] != "network"]
    (folder / "config.json").write_text(json.dumps(told))
    return folder


def test_the_image_says_who_runs_it_and_how_it_is_asked_whether_it_is_well(builder: Builder, image: str) -> None:
    config = config_of(builder, image)

    assert config["User"] == "65532:65532"
    assert config["Cmd"] == ["--host", "0.0.0.0"]
    assert config["Healthcheck"]["Test"] == ["CMD", "python3", "-m", "mlplatform.serving.ready"]
    assert config["StopSignal"] == "SIGTERM"


def test_it_is_slim_and_nothing_in_it_belongs_to_whom_it_runs_as(mounted: Path, rootfs: Path) -> None:
    packages = {path.name.partition("-")[0].lower() for path in (mounted / "opt/packages").glob("*.dist-info")}
    size = sum(
        path.stat().st_size for folder in ("opt", "app") for path in (mounted / folder).rglob("*") if path.is_file()
    )
    owned = [path for path in (mounted / "app").rglob("*") if path.stat().st_uid == 65532]

    assert not packages & {"pandas", "scikit_learn", "mlflow", "dagster", "bentoml", "optuna", "shap", "torch"}
    assert "lightgbm" in packages
    assert size < 150e6
    assert owned == []


def test_it_answers_as_nobody_on_a_read_only_root_and_ends_when_it_is_asked_to(
    builder: Builder, image: str, mounted: Path, tmp_path: Path
) -> None:
    port, name = free_port(), f"mlplatform-test-{os.getpid()}"
    bundle = bundle_for_runc(tmp_path / "bundle", mounted, config_of(builder, image), port)
    log = tmp_path / "log"
    with log.open("wb") as written:
        process = subprocess.Popen(["runc", "run", name], cwd=bundle, stdout=written, stderr=written)
    try:
        end, answer = time.monotonic() + 60, None
        while answer is None:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end
            try:
                answer = httpx.post(f"http://127.0.0.1:{port}/predict", json=GOOD, trust_env=False)
            except httpx.TransportError:
                time.sleep(0.1)
        assert answer.status_code == 200
        assert answer.json()["model"]["use_case"] == "fraud"
        subprocess.run(["runc", "kill", name, "TERM"], check=True)
        assert process.wait(20) == 0
    finally:
        if process.poll() is None:
            subprocess.run(["runc", "delete", "--force", name], check=False)
            process.wait(20)
