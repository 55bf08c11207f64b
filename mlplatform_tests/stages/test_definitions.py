import subprocess
import sys

from mlplatform.home import Home

HEAVY = (
    "mlflow",
    "lightgbm",
    "bentoml",
    "evidently",
    "sklearn",
    "shap",
    "torch",
    "keras",
    "onnxruntime",
    "optuna",
    "matplotlib",
)
# Half of what `import dagster` itself takes: only building or running the graph may load these.
NOT_YET_NEEDED = ("pandas", "pyarrow", "dbt", "dagster_dbt", "dagster_mlflow", "scipy", "pandera")


def test_importing_the_definitions_loads_no_heavy_library() -> None:
    code = f"import sys, mlplatform.definitions; print([m for m in {HEAVY + NOT_YET_NEEDED} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_building_the_definitions_loads_no_heavy_library_either(prepared: Home) -> None:
    code = (
        "import sys; from mlplatform.definitions import defs; defs().resolve_asset_graph(); "
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"
