from mlplatform.serving.closure import source_closure


def test_the_service_takes_what_it_imports_and_the_packages_around_it() -> None:
    names = set(source_closure("mlplatform.serving.service"))

    assert {
        "mlplatform/__init__.py",
        "mlplatform/errors.py",
        "mlplatform/serving/app.py",
        "mlplatform/ml/model.py",
        "mlplatform/contracts/rules.py",
    } <= names


def test_imports_inside_functions_count() -> None:
    assert "mlplatform/ml/trees.py" in source_closure("mlplatform.serving.bundle")


def test_orchestration_and_building_stay_out() -> None:
    folders = {name.split("/")[1] for name in source_closure("mlplatform.serving.service")}
    names = set(source_closure("mlplatform.serving.service"))

    assert not folders & {"stages", "components", "resources", "cli", "ingest"}
    assert "mlplatform/serving/build.py" not in names
