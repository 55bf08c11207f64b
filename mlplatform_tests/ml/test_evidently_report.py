from pathlib import Path

import numpy as np
import pandas as pd

from mlplatform.ml.evidently_report import write_evidently_report
from mlplatform.spec.drift import Drift


def sample(seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "amount": np.where(random.random(600) < 0.2, np.nan, random.lognormal(3, 1, 600)),
            "night": random.random(600) < 0.3,
            "count": pd.array(random.integers(0, 5, 600), dtype="Int64"),
            "channel": random.choice(["app", "web"], 600),
            "empty": np.nan,
        }
    )


def test_the_page_is_one_html_file_about_every_column_with_values(tmp_path: Path) -> None:
    page = tmp_path / "reports" / "drift.html"
    columns = ["amount", "night", "count", "channel", "empty"]
    write_evidently_report(page, sample(0), sample(1), Drift(), columns=columns, categorical=["channel"])
    text = page.read_text(encoding="utf-8")
    assert text.lstrip().lower().startswith("<!doctype html>")
    assert all(name in text for name in columns[:-1])
    assert "K-S p_value" in text
    assert "chi-square p_value" in text
