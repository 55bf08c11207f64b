"""`training_set`: labelled features that keep the contract, frozen: snapshot, split and a hash of the content."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlplatform.errors import TrainingError
from mlplatform.lake.lake import Lake
from mlplatform.resources.lake import LakeResource
from mlplatform.spec import Declaration, Split, SplitByGroup
from mlplatform.stages.clock import AS_OF_TAG, as_of_run, newest_day_end
from mlplatform.stages.code_version import code_version
from mlplatform.stages.contract import CONTRACT_CHECK, Tally, contract_file, contract_result, quarantine, tolerance
from mlplatform.stages.naming import asset_attributes, asset_key, check_result, check_spec
from mlplatform.stages.pictures import picture

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from mlplatform.contracts.check import Checked
    from mlplatform.ml.splits import Parts

__all__ = ["AS_OF", "CONTENT_SHA256", "SPLIT", "split_version", "training_set_asset"]

AS_OF = "as_of"
"""Metadata key: the moment the training set was frozen at."""
CONTENT_SHA256 = "content_sha256"
"""Metadata key: hash of its rows."""
SPLIT = "split"
"""Metadata key: the version of the declared split that it was cut by."""
LATE = "late"
"""The part of rows whose label became known too late for their own."""
_MOST_LATE = 0.05
"""Of the labels of a part."""
_FOLDS = {"cross_validation": True}
_NOT_READ = {
    **dict.fromkeys(("candidates", "features", "categorical", "cleaning", "task", "gates"), True),
    "split": _FOLDS,
}


def training_set_asset(uc: Declaration) -> dg.AssetsDefinition:
    """Labelled rows of the split's span; rows that break the `Features` contract go to quarantine."""
    version = code_version(
        "contracts",
        "ml/splits.py",
        "ml/groups.py",
        "stages/training_set.py",
        contract_file(uc),
        declared=uc.spec.training,
        without=_NOT_READ,
    )

    @dg.asset(
        **asset_attributes(uc, "training_set", _DESCRIPTION, {"duckdb", "pandera"}, "model", version),
        deps=[asset_key(uc, "features"), asset_key(uc, "spine")],
        io_manager_key="lake_io",
        check_specs=[check_spec(uc, "training_set", CONTRACT_CHECK, "Features keep their Pandera contract.")],
    )
    def training_set(context: dg.AssetExecutionContext, lake: LakeResource) -> Iterator[Any]:
        opened = lake.open()
        moment = as_of_run(context, uc, opened)
        _require_whole_history(uc, opened, moment)
        snapshot = opened.snapshot()
        labelled = _labelled_rows(uc, opened, snapshot, moment)
        batch = f"training set as of {moment:%Y-%m-%d}"
        checked = _checked(uc, opened, labelled, batch)
        tally, allowed = Tally().plus(checked), tolerance(context, uc)
        if checked.bad_share > allowed:
            # Before it is split or written: a set that breaks its contract must not become the latest one.
            yield check_result(CONTRACT_CHECK, passed=False, metadata=tally.evidence(uc))
            checked.require(allowed, batch)
        frozen = _with_parts(uc, _with_labels(uc, checked, labelled), moment)
        if late := int((frozen["part"] == LATE).sum()):
            context.log.warning(f"{late:,} labels became known after the next part had begun; their rows are left out")
        digest = _content_hash(frozen)
        yield dg.MaterializeResult(
            value=frozen,
            metadata={
                "rows_over_time": picture(_plot(uc, frozen), "rows over time and part"),
                "rows_without_label": _without_label(uc, opened, snapshot, moment),
                AS_OF: moment.isoformat(),
                "features_snapshot": snapshot,
                CONTENT_SHA256: digest,
                SPLIT: split_version(uc.spec.training.split),
                "parts": dg.MetadataValue.table(_parts(uc, frozen)),
            },
            data_version=dg.DataVersion(digest[:16]),
            check_results=[contract_result(uc, tally, allowed)],
        )

    return training_set


def split_version(split: Split) -> str:
    """Of what decides which row lies in which part; folds are a matter of the search."""
    return code_version(declared=split, without=_FOLDS)


_DESCRIPTION = "Labelled features that passed the contract, frozen at `as_of`: split into train, tune and test."


def _require_whole_history(uc: Declaration, lake: Lake, as_of: "pd.Timestamp") -> None:
    """A split by group takes rows of all times. At an earlier moment only some of their labels were known, and those
    of one kind first: who dies within five years is known before five years are over.
    """
    if isinstance(uc.spec.training.split, SplitByGroup) and as_of < (newest := newest_day_end(uc, lake)):
        raise TrainingError(
            f"a split by group trains on the whole history, until {newest:%Y-%m-%d}, not as of {as_of:%Y-%m-%d}; leave "
            f"the tag {AS_OF_TAG} out"
        )


def _labelled_rows(uc: Declaration, lake: Lake, snapshot: int, as_of: "pd.Timestamp") -> "pd.DataFrame":
    from mlplatform.ml.splits import rows_in_use

    spec, window = uc.spec, rows_in_use(uc.spec.training.split, as_of)
    keys, training = ", ".join(spec.entity_keys), spec.training
    told = ", ".join(f"s.{name}" for name in (training.label, spec.label_known_at, training.weight) if name)
    with lake.read(snapshot) as con:
        return con.execute(
            f"SELECT f.*, {told} "
            f"FROM {spec.name}.features AS f JOIN {spec.name}.spine AS s USING ({keys}) "
            f"WHERE f.{spec.event_time} >= $start AND f.{spec.event_time} < $end "
            f"AND s.{training.label} IS NOT NULL AND s.{spec.label_known_at} <= $as_of "
            f"ORDER BY f.{spec.event_time}, {', '.join(f'f.{k}' for k in spec.entity_keys)}",
            {
                "start": window.start.to_pydatetime(),
                "end": window.end.to_pydatetime(),
                "as_of": as_of.to_pydatetime(),
            },
        ).df()


def _without_label(uc: Declaration, lake: Lake, snapshot: int, as_of: "pd.Timestamp") -> int:
    """Examples of the same stretch of time whose label nobody knows at `as_of`: not yet, or never (censored)."""
    from mlplatform.ml.splits import rows_in_use

    spec, window = uc.spec, rows_in_use(uc.spec.training.split, as_of)
    with lake.read(snapshot) as con:
        row = con.execute(
            f"SELECT count(*) FROM {spec.name}.spine WHERE {spec.event_time} >= ? AND {spec.event_time} < ? "
            f"AND NOT coalesce({spec.training.label} IS NOT NULL AND {spec.label_known_at} <= ?, false)",
            [window.start.to_pydatetime(), window.end.to_pydatetime(), as_of.to_pydatetime()],
        ).fetchone()
    return int(row[0]) if row else 0


def _checked(uc: Declaration, lake: Lake, rows: "pd.DataFrame", batch: str) -> "Checked":
    from mlplatform.contracts.check import check_rows
    from mlplatform.contracts.load import load_contract

    schema = load_contract(uc.folder, uc.spec.contract.module, "features")
    checked = check_rows(schema, rows, key=uc.spec.entity_keys)
    now = datetime.now(UTC).replace(tzinfo=None)
    if len(checked.bad):
        lake.commit(lambda con: quarantine(con, uc, checked, batch, "features", now), f"quarantine {batch}")
    return checked


def _with_labels(uc: Declaration, checked: "Checked", rows: "pd.DataFrame") -> "pd.DataFrame":
    """The contract speaks of features; what it does not name (labels) is taken along by key."""
    good = checked.good.to_pandas()
    rest = [name for name in rows.columns if name not in good.columns or name in uc.spec.entity_keys]
    labelled: pd.DataFrame = good.merge(rows[rest], on=uc.spec.entity_keys, validate="one_to_one")
    return labelled


def _with_parts(uc: Declaration, rows: "pd.DataFrame", as_of: "pd.Timestamp") -> "pd.DataFrame":
    import numpy as np

    from mlplatform.ml.splits import cut_parts

    split = cut_parts(rows, uc.spec.training.split, uc.spec.event_time, as_of)
    part = np.select([split.train, split.tune, split.test], ["train", "tune", "test"], "gap")
    return rows.assign(part=np.where(_known_too_late(uc, rows, split), LATE, part))


def _known_too_late(uc: Declaration, rows: "pd.DataFrame", split: "Parts") -> "npt.NDArray[np.bool_]":
    """Rows whose label became known after the next part had begun: it tells what that part should not know, so they
    belong to none. A few are labels that came late or were corrected.

    Raises TrainingError where they are many: then labels take longer than is declared, and what is left is a choice.
    """
    import numpy as np

    from mlplatform.ml.splits import Window

    late = np.zeros(len(rows), dtype=bool)
    known_at = rows[uc.spec.label_known_at]
    for part, mask, following in (("train", split.train, "tune"), ("tune", split.tune, "test")):
        begins = split.extents[following]
        if not isinstance(begins, Window):
            break
        of_part = mask & (known_at > begins.start).to_numpy()
        if of_part.sum() > _MOST_LATE * mask.sum():
            raise TrainingError(
                f"{int(of_part.sum())} of {int(mask.sum())} labels of the {part} part became known after the "
                f"{following} part began ({begins.start}; the last one {known_at[mask].max()}); raise "
                "split.label_delay_days to the longest delay"
            )
        late |= of_part
    return late


def _content_hash(rows: "pd.DataFrame") -> str:
    import pandas as pd

    # hash_pandas_object is a fixed function of the values (its key is constant), so equal rows hash alike anywhere.
    return hashlib.sha256(pd.util.hash_pandas_object(rows, index=False).to_numpy().tobytes()).hexdigest()


def _plot(uc: Declaration, rows: "pd.DataFrame") -> bytes:
    from mlplatform.ml.data_plots import plot_parts

    return plot_parts(rows[uc.spec.event_time], rows["part"], rows[uc.spec.training.label])


def _parts(uc: Declaration, rows: "pd.DataFrame") -> list[dg.TableRecord]:
    time, label = uc.spec.event_time, uc.spec.training.label
    return [
        dg.TableRecord(
            {
                "part": str(part),
                "rows": len(group),
                "mean_label": round(float(group[label].mean()), 4),
                "from": f"{group[time].min():%Y-%m-%d %H:%M}",
                "to": f"{group[time].max():%Y-%m-%d %H:%M}",
            }
        )
        for part, group in rows.groupby("part", sort=False)
    ]
