"""The feature query as a file that is copied into each bundle: it is whole at any moment."""

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from mlplatform.lake.feature_query import FeatureQuery

QUERY = FeatureQuery("fraud", "SELECT 1", "fraud.features", "fraud.spine", "transaction_id", "event_time", ())

# The kernel kills the process in the middle of its write: after 100 bytes, of several thousand.
KILLED_WHILE_SAVING = """
import resource, signal, sys
from dataclasses import replace
from pathlib import Path
from mlplatform.lake.feature_query import FeatureQuery
path = Path(sys.argv[1])
longer = replace(FeatureQuery.load(path), sql="SELECT 2 " * 1000)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
longer.save(path)
"""


def test_a_kill_while_saving_leaves_the_query_of_before(tmp_path: Path) -> None:
    path = tmp_path / "features.json"
    QUERY.save(path)
    done = subprocess.run([sys.executable, "-B", "-c", KILLED_WHILE_SAVING, str(path)], check=False)

    assert done.returncode == -signal.SIGXFSZ
    assert FeatureQuery.load(path) == QUERY


def test_saving_replaces_the_query_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "features.json"
    changed = replace(QUERY, sql="SELECT 2")
    QUERY.save(path)
    changed.save(path)

    assert FeatureQuery.load(path) == changed
    assert list(tmp_path.iterdir()) == [path]
