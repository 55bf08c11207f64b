"""The files of an image under the limits that its manifests ask for."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from mlplatform.home import Home
from mlplatform_tests.serving.conftest import GOOD
from mlplatform_tests.serving.image_tree import (
    ImageTree,
    free_port,
    journalled,
    journalling_bento,
    wait_until_ready,
    write_image_tree,
)

# bentoml 1.4.40 is older than these deprecations of pydantic (at its import) and of importlib (at a build).
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.io_models"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:_bentoml_sdk.images"),
]

# Everything is read-only but one folder in memory, and whoever serves owns nothing: as the manifests say.
CONTAINED = """
mount --bind "$1" /mnt
mount -t tmpfs -o mode=1777,size=16m tmpfs /media
mount -o remount,bind,ro /mnt
mount -o remount,bind,ro /
exec setpriv --reuid 65532 --regid 65532 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all \
    -- env -C /mnt/image/context/app/src PYTHONPATH=/mnt/image/packages LD_LIBRARY_PATH=/mnt/python/lib \
    /mnt/python/bin/python3 -S -m mlplatform.serving.slim
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> ImageTree:
    built = journalling_bento(Home(tmp_path_factory.mktemp("home")))
    return write_image_tree(built.path, tmp_path_factory.mktemp("image"))


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="mounts need root, and util-linux")
def test_it_runs_as_nobody_on_a_read_only_file_system(tree: ImageTree, tmp_path: Path) -> None:
    mounted = tmp_path / "mnt"
    for folder in ("image", "python"):
        (mounted / folder).mkdir(parents=True)
    for folder in (mounted, tree.folder):
        # Pytest's folders are for their owner alone.
        folder.chmod(0o755)
    port = free_port()
    binds = f'mount --bind "{tree.folder}" "{mounted}/image"\nmount --bind "{sys.base_prefix}" "{mounted}/python"\n'
    script = binds + CONTAINED.replace("mount --bind", "mount --rbind")
    process = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh", str(mounted)],
        env={**tree.environment, "PORT": str(port), "MLPLATFORM_JOURNAL": "/media/journal", "PATH": os.environ["PATH"]},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until_ready(process, port)
        reply = httpx.post(f"http://127.0.0.1:{port}/predict", json=GOOD, trust_env=False)
        status = Path(f"/proc/{process.pid}/status").read_text()
        kept = journalled_in_time(Path(f"/proc/{process.pid}/root/media/journal"))
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=20)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
        process.stderr.close()  # type: ignore[union-attr]

    assert reply.status_code == 200
    assert re.search(r"^Uid:\t65532\t65532\t65532\t65532$", status, re.MULTILINE)
    assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
    assert (kept, code) == (1, 0)


def journalled_in_time(folder: Path) -> int:
    """The folder is in memory and ends with the process, so it is read before."""
    end = time.monotonic() + 20
    while not (found := len(journalled(folder))) and time.monotonic() < end:
        time.sleep(0.05)
    return found
