import subprocess
import sys

from mlplatform.home import Home

FIRST_USE = "from mlplatform.resources import Tracking; print(len(Tracking().client().search_experiments()))"


def test_two_first_uses_at_once_both_find_a_whole_database(home: Home) -> None:
    """MLflow itself fails here: table sql_trace_metric_daily_rollups already exists."""
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", FIRST_USE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in started:
        out, err = process.communicate(timeout=180)
        assert process.returncode == 0, err
        assert out.strip() == "1"
    assert not (home.mlflow / "unfinished.sqlite").exists()


def test_a_first_use_that_was_killed_leaves_nothing_that_the_next_one_trips_over(home: Home) -> None:
    home.mlflow.mkdir(parents=True)
    (home.mlflow / "unfinished.sqlite").write_bytes(b"half of a database")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FIRST_USE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert home.mlflow_database.exists()
