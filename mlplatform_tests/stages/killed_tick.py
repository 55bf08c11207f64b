"""A process whose healing tick is killed (SIGKILL) behind the first call of one of its functions.

`python -m mlplatform_tests.stages.killed_tick <csv> <cursor> <function>`
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from mlplatform.home import Home
from mlplatform.stages import healing
from mlplatform_tests.small_fraud import Platform, dagster_home
from mlplatform_tests.stages.test_healing import declared


def main() -> None:
    csv, cursor, function = sys.argv[1:]
    whole = getattr(healing, function)

    def last(*given: Any) -> None:
        whole(*given)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(healing, function, last)
    with dagster_home(Home.current().dagster) as instance:
        platform = Platform(declared(Path(csv)), instance)
        platform._cursors["fraud_healing"] = cursor
        platform.tick("fraud_healing")


if __name__ == "__main__":
    main()
