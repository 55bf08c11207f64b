"""`bento`: the champion packaged with its contract, feature SQL, reference sample and a manifest of hashes."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.errors import SpecError
from mlplatform.resources.lake import LakeResource
from mlplatform.resources.tracking import Registered, Tracking
from mlplatform.serving.web import web_files
from mlplatform.spec import Declaration, ForecastTask, RankingTask, UseCase
from mlplatform.stages.alias import champion_lock, settled_champion
from mlplatform.stages.bento_skew import skew_result, skew_spec
from mlplatform.stages.card_text import card_if_compared
from mlplatform.stages.code_version import code_version
from mlplatform.stages.naming import asset_attributes, asset_key
from mlplatform.stages.trained import TRAINED_ON

if TYPE_CHECKING:
    import pandas as pd

    from mlplatform.serving.build import BuiltBento
    from mlplatform.serving.journal import JournalSettings
    from mlplatform.serving.lookup import LookupSettings
    from mlplatform.serving.raw.settings import RawSettings

__all__ = ["REFERENCE_FILE", "bento_asset", "package_version", "raw_settings"]

REFERENCE_FILE = "reference.parquet"

_DESCRIPTION = (
    "The champion as a Bento: model, contract, reference sample, importance, and a manifest of SHA-256 hashes."
)


def bento_asset(uc: Declaration) -> dg.AssetsDefinition:
    """Package whatever version carries the champion alias; packaging it again gives the same bento."""

    code = ("serving", "ml", "stages/bento.py", "stages/card_text.py")
    version = code_version(*code, *web_files(), declared=(uc.spec.serving, uc.spec.journal))

    @dg.asset(
        **asset_attributes(uc, "bento", _DESCRIPTION, {"bentoml"}, "serving", version),
        deps=[asset_key(uc, stage) for stage in _upstream(uc)],
        check_specs=[skew_spec(uc)],
    )
    def bento(context: dg.AssetExecutionContext, lake: LakeResource, tracking: Tracking) -> Iterator[Any]:
        with champion_lock(uc):
            champion = settled_champion(uc, lake.open(), tracking)
        if champion is None:
            raise dg.Failure(f"{uc.spec.name} has no champion yet: no candidate has passed the gates")
        built, rows_by_key = package_version(uc, champion, lake, tracking)
        context.log.info(f"{built.tag} at {built.path}")
        yield dg.MaterializeResult(
            metadata={
                "bento": built.tag,
                "model_version": champion.version,
                "rows_by_key": rows_by_key,
                "path": dg.MetadataValue.path(str(built.path)),
                "bytes": sum(p.stat().st_size for p in built.path.rglob("*") if p.is_file()),
                "serve": f"mlplatform serve {uc.spec.name}",
                "files": dg.MetadataValue.json(_manifest_files(built)),
            },
            check_results=[skew_result(uc, built.bundle, lake.open())],
        )

    return bento


def package_version(
    uc: Declaration, version: Registered, lake: LakeResource, tracking: Tracking
) -> "tuple[BuiltBento, int]":
    """The bento of a registered version, and how many rows by key it holds. The same again gives the same bento.

    Raises:
        ArtifactError: the model cannot be loaded or does not fit its contract.
    """
    model = tracking.model_folder(version.run_id)
    lookup = _lookup(uc, lake, model)
    built = _build(uc, version, tracking, _reference(uc, lake, version), lookup, raw_settings(uc, lake, model))
    return built, len(lookup) if lookup is not None else 0


def _upstream(uc: Declaration) -> list[str]:
    """Either of the first two moves the alias."""
    return ["champion", "rollback", *(["features"] if uc.spec.serving.lookup else [])]


def _build(
    uc: Declaration,
    champion: Registered,
    tracking: Tracking,
    reference: "pd.DataFrame",
    lookup: "pd.DataFrame | None",
    raw: "RawSettings | None",
) -> "BuiltBento":
    from mlplatform.serving.build import build_bento
    from mlplatform.serving.bundle import CARD, load_bundle, write_manifest
    from mlplatform.serving.limits import Limits
    from mlplatform.serving.lookup import ROWS_FILE
    from mlplatform.serving.outcome_names import OutcomeNames

    with tempfile.TemporaryDirectory(prefix="mlplatform-bundle-") as made:
        bundle = Path(made) / "bundle"
        shutil.copytree(tracking.model_folder(champion.run_id), bundle)
        reference.to_parquet(bundle / REFERENCE_FILE, index=False)
        if lookup is not None:
            lookup.to_parquet(bundle / ROWS_FILE, index=False)
            lookup_settings(uc.spec).save(bundle)
        if raw is not None:
            raw.save(bundle)
        journal_settings(uc.spec, _features(bundle)).save(bundle)
        if card := card_if_compared(uc, champion, tracking):
            (bundle / CARD).write_text(card, encoding="utf-8")
        Limits(**uc.spec.serving.limits.model_dump()).save(bundle)
        OutcomeNames(**uc.spec.outcomes.model_dump()).save(bundle)
        facts = {"mlflow_run_id": champion.run_id, TRAINED_ON: champion.tags[TRAINED_ON]}
        write_manifest(bundle, uc.spec.name, champion.version, facts)
        load_bundle(bundle)  # a bundle that no service could open must not be built
        return build_bento(bundle, uc.spec.name, champion.version, {"use_case": uc.spec.name})


def _lookup(uc: Declaration, lake: LakeResource, model: Path) -> "pd.DataFrame | None":
    """The rows of each key's newest event time that keep the contract; None where no key is declared.

    Of a forecast only those of the newest origin: a series that has ended has nothing ahead.
    """
    from mlplatform.contracts.check import check_rows
    from mlplatform.contracts.load import load_contract

    spec, keys = uc.spec, uc.spec.serving.lookup
    if not keys:
        return None
    together = "" if isinstance(spec.training.task, ForecastTask) else f"PARTITION BY {', '.join(keys)}"
    features = _features(model)
    with lake.open().read() as con:
        newest = con.execute(
            f"FROM {spec.name}.features WHERE {' AND '.join(f'{key} IS NOT NULL' for key in keys)} "
            f"QUALIFY {spec.event_time} = max({spec.event_time}) OVER ({together}) "
            f"ORDER BY {', '.join([*keys, *spec.entity_keys])}"
        ).df()
    checked = check_rows(load_contract(uc.folder, spec.contract.module, "features"), newest, key=spec.entity_keys)
    checked.require(spec.contract.max_bad_share, "newest rows by key")
    good = checked.good.to_pandas()
    # The contract need not speak of what is only shown.
    rest = [name for name in newest.columns if name not in good.columns or name in spec.entity_keys]
    kept = list(dict.fromkeys([*keys, *spec.entity_keys, spec.event_time, *lookup_settings(spec).shown, *features]))
    rows: pd.DataFrame = good.merge(newest[rest], on=spec.entity_keys, validate="one_to_one")[kept]
    return rows


def lookup_settings(spec: UseCase) -> "LookupSettings":
    """How a request by key is answered, by the task."""
    from mlplatform.serving.lookup import LookupSettings

    task, serving = spec.training.task, spec.serving
    asked = partial(LookupSettings, tuple(serving.lookup), event_time=spec.event_time, default=serving.default)
    match task:
        case RankingTask():
            return asked(answers="items", shown=(task.item, *serving.show), limit="k", usual=task.k)
        case ForecastTask():
            shown = (task.horizon, *serving.show)
            return asked(answers="forecasts", shown=shown, limit="horizon", steps=task.horizon)
        case _:
            return asked(answers="predictions", shown=tuple(serving.show))


def journal_settings(spec: UseCase, features: list[str]) -> "JournalSettings":
    """What the service keeps of each prediction, of a model with these features."""
    from mlplatform.serving.journal import JournalSettings

    journal = spec.journal
    kept = features if journal.columns is None else [name for name in features if name in journal.columns]
    return JournalSettings(
        enabled=journal.enabled,
        keys=tuple(spec.entity_keys),
        event_time=spec.event_time,
        columns=tuple(kept),
        hashed=tuple(journal.hashed),
        flush_seconds=journal.flush_seconds,
        queue_rows=journal.queue_rows,
    )


def raw_settings(uc: Declaration, lake: LakeResource, model: Path) -> "RawSettings | None":
    """How the service computes features: by the text that the model learned from; None where nobody asks by events."""
    from mlplatform.contracts.load import class_name, load_contract
    from mlplatform.contracts.rules import describe
    from mlplatform.lake.feature_query import FeatureQuery
    from mlplatform.serving.raw.settings import QUERY_FILE, RawSettings

    query = FeatureQuery.load(model / QUERY_FILE)
    if query.asked_by is None:
        return None
    contract = load_contract(uc.folder, uc.spec.contract.module, query.asked_by.contract)
    rules = {rule.name: rule for rule in describe(contract)}
    if missing := [name for name in query.asked_by.fields if name not in rules]:
        raise SpecError(
            f"{uc.spec.name}_features: asked_by.fields names {', '.join(missing)}, for which "
            f"{class_name(query.asked_by.contract)} in {uc.spec.contract.module}.py has no rule; add it there"
        )
    with lake.open().read() as con:
        spine = [(name, kind) for name, kind, *_ in con.execute(f"DESCRIBE {query.spine}").fetchall()]
    return RawSettings(query, tuple(rules[name] for name in query.asked_by.fields), tuple(spine))


def _features(model: Path) -> list[str]:
    names: list[str] = json.loads((model / "model.json").read_text(encoding="utf-8"))["features"]
    return names


def _reference(uc: Declaration, lake: LakeResource, champion: Registered) -> "pd.DataFrame":
    """Training rows of the champion's own snapshot that drift is measured against: the same ones each time.

    Beside the features: when each happened, as rows of one day are alike, and the slices, for the causes of drift.
    """
    training, keys = uc.spec.training, ", ".join(uc.spec.entity_keys)
    columns = ", ".join(dict.fromkeys([*training.features, uc.spec.event_time, *training.gates.slices]))
    with lake.open().read(int(champion.tags[TRAINED_ON])) as con:
        return con.execute(
            f"SELECT {columns} FROM {uc.spec.name}.training_set WHERE part IN ('train', 'tune') "
            f"ORDER BY hash({keys}), {keys} LIMIT {uc.spec.drift.sample_rows}"
        ).df()


def _manifest_files(built: "BuiltBento") -> dict[str, Any]:
    from mlplatform.serving.bundle import MANIFEST

    files: dict[str, Any] = json.loads((built.bundle / MANIFEST).read_text())["files"]
    return files
