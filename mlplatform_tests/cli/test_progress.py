"""What a person sees of a real Dagster run."""

from io import StringIO

import dagster as dg

from mlplatform.cli.progress import Progress


def lines_of(*assets: dg.AssetsDefinition) -> tuple[list[str], str]:
    """Run the assets in process; returns the lines on the screen, and the details."""
    shown: list[str] = []
    details = StringIO()
    job = dg.Definitions(
        assets=assets, jobs=[dg.define_asset_job("all")], executor=dg.in_process_executor
    ).resolve_job_def("all")
    with dg.DagsterInstance.ephemeral() as instance:
        progress = Progress(shown.append, details)
        instance.add_event_listener("11111111-1111-1111-1111-111111111111", progress)
        result = job.execute_in_process(
            instance=instance, run_id="11111111-1111-1111-1111-111111111111", raise_on_error=False
        )
    progress.summary(result.success, result.run_id, "the.log")
    from click import unstyle

    return [unstyle(line) for line in shown], details.getvalue()


def checked(name: str, checks: int, failing: int = 0) -> dg.AssetsDefinition:
    names = [f"column_{i}_is_not_null" for i in range(checks)]

    @dg.asset(name=name, check_specs=[dg.AssetCheckSpec(c, asset=name, blocking=True) for c in names])
    def made():
        yield dg.MaterializeResult(
            metadata={"dagster/row_count": 1234},
            check_results=[
                dg.AssetCheckResult(check_name=c, passed=i >= failing, metadata={"bad_share": 0.123456})
                for i, c in enumerate(names)
            ],
        )

    return made


def test_many_checks_are_one_line_with_their_number() -> None:
    shown, _ = lines_of(checked("features", 22))
    assert "1,234 rows" in shown[0]
    assert [line.strip() for line in shown if "check" in line] == ["✓ 22 checks passed"]
    assert shown[-1].startswith("done: 1 assets")


def test_few_checks_are_named() -> None:
    shown, _ = lines_of(checked("raw", 1))
    assert "✓ 1 check passed: column_0_is_not_null" in shown[1]


def test_a_failed_check_is_named_with_its_facts_and_what_did_not_run() -> None:
    @dg.asset(deps=["raw"])
    def model() -> None: ...

    shown, _ = lines_of(checked("raw", 3, failing=1), model)
    text = "\n".join(shown)
    assert "✗ check raw column_0_is_not_null: bad_share 0.1235" in text
    assert "not run: model" in text
    assert "look at  the.log" in text


def test_the_error_of_a_stage_is_told_in_its_own_words_once() -> None:
    from mlplatform.errors import SourceError

    @dg.asset
    def raw() -> None:
        try:
            int("a")
        except ValueError as error:
            raise SourceError("cards.csv:3: amount is 'a'; write a number") from error

    shown, details = lines_of(raw)
    assert "  ✗ raw: SourceError: cards.csv:3: amount is 'a'; write a number" in shown
    assert "invalid literal" not in "\n".join(shown)
    assert "Traceback" not in "\n".join(shown)
    assert "invalid literal" in details
