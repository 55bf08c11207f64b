"""Scores rows with the model beside this file. It needs Python 3.11, numpy and onnxruntime 1.21 or newer, nothing else.

    python runner.py < rows.jsonl > answers.jsonl

One JSON object of features a line; one answer a line, in the same order. A row that breaks the contract is answered
with what is wrong with it, and the exit code is then 1. From Python:

    from runner import Model
    Model().predict([{"amount": 12.5, ...}])

Every file is checked against manifest.json before it is used. Whoever knows the SHA-256 of manifest.json itself, as
the export printed it, can ask for that one: `--expect`, or `Model(expect=...)`.
"""

import argparse
import hashlib
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, InvalidGraph, InvalidProtobuf
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as Unsupported

__all__ = ["BundleError", "Model", "RefusedError"]

FORMAT = 1
OLDEST = (1, 21)  # 1.20 adds trees up in float32 only
MANIFEST, CONTRACT, GRAPH = "manifest.json", "contract.json", "model.onnx"
MAX_PROBLEMS, NAME_SHOWN, LONGEST_KEY = 100, 64, 256
LARGEST = sys.float_info.max
EARLIEST, LATEST = datetime(1900, 1, 1), datetime(2200, 1, 1)
TIME_ALLOWED = "an ISO 8601 time of 1900 to 2199, such as 2018-08-01T12:00:00"
KINDS = {type(None): "null", bool: "true or false", str: "text", list: "a list", dict: "an object"}
ACCEPTED: Mapping[str, tuple[type, ...]] = {
    "float": (float, int),
    "integer": (int,),
    "boolean": (bool,),
    "string": (str,),
}
_ABSENT = object()

Problem = dict[str, Any]


class BundleError(Exception):
    """The folder is not whole, was changed, or cannot be opened here."""


class RefusedError(ValueError):
    """Rows that break the contract. `problems`: row, field, problem, allowed of each, as the service tells them."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"row {p['row']}, {p['field']} {p['problem']} ({p['allowed']})" for p in problems))
        self.problems = list(problems)


class Column:
    """What the contract says of one feature."""

    def __init__(self, rule: Mapping[str, Any]) -> None:
        self.name: str = rule["name"]
        self.allowed: str = rule["allowed"]
        self.nullable: bool = rule["nullable"]
        self.missing: str | None = rule["missing"]
        self.whole = rule["type"] == "integer"
        self.accepted = ACCEPTED[rule["type"]]
        self.low = -LARGEST if rule["low"] is None else rule["low"]
        self.high = LARGEST if rule["high"] is None else rule["high"]
        self.listed = None if rule["listed"] is None else frozenset(rule["listed"])
        self.ranged = self.listed is None and not rule["categorical"]

    def read(self, value: Any) -> tuple[Any, str | None]:
        """What the graph takes, and what is wrong with the value, if anything."""
        if value is None:
            return (self.empty(), None) if self.nullable else (None, "is null")
        if self.whole and type(value) is float:
            if not value.is_integer():
                return None, "is not a whole number"
            value = int(value)
        if type(value) not in self.accepted:
            return None, f"is {KINDS.get(type(value), 'a number')}"
        if self.listed is not None and value not in self.listed:
            return None, "is not one of the categories"
        return (value, self.out_of_range(value)) if self.ranged else (self.category(value), None)

    def out_of_range(self, value: float) -> str | None:
        """What is wrong with a number."""
        if value < self.low:
            return "is below the minimum"
        if value > self.high:
            return "is above the maximum"
        return None if self.low <= value else "is not a number"

    def category(self, value: Any) -> Any:
        """A number too large for float64 is a category that nobody has seen."""
        if self.missing is not None:
            return value
        return float(value) if -LARGEST <= value <= LARGEST else math.nan

    def empty(self) -> Any:
        """What stands for a missing value."""
        return math.nan if self.missing is None else self.missing

    def array(self, values: Sequence[Any]) -> Any:
        """The values as the graph's input, [n, 1]."""
        kind = np.float64 if self.missing is None else object
        return np.array(values, dtype=kind).reshape(-1, 1)


class Model:
    """The model of a bundle. Safe to share between threads: nothing changes after it is loaded."""

    def __init__(self, folder: str | Path | None = None, expect: str | None = None) -> None:
        """`folder`: by default that of this file; `expect`: the SHA-256 of its manifest.json.

        Raises BundleError unless the folder is whole.
        """
        files = verified(Path(folder) if folder else Path(__file__).resolve().parent, expect)
        contract = json.loads(files[CONTRACT])
        self.use_case: str = contract["use_case"]
        self.version: str = contract["version"]
        self.columns = [Column(rule) for rule in contract["columns"]]
        self._answer: Mapping[str, Any] = contract["answer"]
        self._names = {column.name for column in self.columns}
        self._keys, self._event_time = set(contract["keys"]), contract["event_time"]
        self._session = _session(files[GRAPH])
        self._outputs = [output.name for output in self._session.get_outputs()]

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """One answer for each row: objects of JSON's types, as `json.loads` gives them.

        Raises RefusedError with all that is wrong with the rows, ArithmeticError if the model gives no finite number.
        """
        values, problems = self.read(rows)
        if problems:
            raise RefusedError(problems)
        inputs = {column.name: column.array(given) for column, given in zip(self.columns, values, strict=True)}
        found = dict(zip(self._outputs, self._session.run(None, inputs), strict=True)) if rows else {}
        return self._answers(found)

    def read(self, rows: Sequence[Any]) -> tuple[list[list[Any]], list[Problem]]:
        """The values of each column, and at most MAX_PROBLEMS problems."""
        values: list[list[Any]] = [[] for _ in self.columns]
        problems: list[Problem] = []
        for number, row in enumerate(rows):
            if type(row) is dict:
                self._read_row(number, row, values, problems)
            else:
                problems.append(_problem(number, "", f"is {_kind(row)}", "an object of features"))
            if len(problems) >= MAX_PROBLEMS:
                break
        return values, problems[:MAX_PROBLEMS]

    def _read_row(self, number: int, row: dict[str, Any], values: list[list[Any]], problems: list[Problem]) -> None:
        for column, found in zip(self.columns, values, strict=True):
            given = row.get(column.name, _ABSENT)
            value, wrong = (None, "is missing") if given is _ABSENT else column.read(given)
            if wrong is None:
                found.append(value)
            else:
                problems.append(_problem(number, column.name, wrong, column.allowed))
        others = [name for name in row if name not in self._names]
        told = [problem for name in others if (problem := self._other(number, name, row[name]))]
        problems.extend(told[:MAX_PROBLEMS])

    def _other(self, number: int, name: str, value: Any) -> Problem | None:
        """What is wrong with a field that is no feature. Keys and the event time may stand beside the features."""
        if self._event_time and name == self._event_time:
            return None if is_time(value) else _problem(number, name, "is not a time", TIME_ALLOWED)
        if name in self._keys:
            wrong = _wrong_key(value)
            return _problem(number, name, *wrong) if wrong else None
        near = get_close_matches(name[:NAME_SHOWN], self._names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return _problem(number, name[:NAME_SHOWN], f"is not a feature of this model{hint}", "no such field")

    def _answers(self, found: Mapping[str, Any]) -> list[dict[str, Any]]:
        if not found:
            return []
        task = self._answer["task"]
        numbers = found[{"forecast": "quantiles", "multiclass": "probabilities"}.get(task, "score")]
        if not np.isfinite(numbers).all():
            raise ArithmeticError("the model gave a number that is not finite, so there is no decision")
        if task == "binary":
            pairs = zip(numbers.tolist(), found["decision"].tolist(), strict=True)
            return [{"score": score, "decision": decision} for score, decision in pairs]
        if task == "ranking":
            return [{"score": score} for score in numbers.tolist()]
        if task == "multiclass":
            classes: list[str] = self._answer["classes"]
            return [
                {"class": classes[at], "score": row[at], "probabilities": dict(zip(classes, row, strict=True))}
                for at, row in zip(found["class"].tolist(), numbers.tolist(), strict=True)
            ]
        levels: list[str] = self._answer["levels"]
        medians = found["forecast"].tolist()
        return [
            {"forecast": median, "quantiles": dict(zip(levels, row, strict=True))}
            for median, row in zip(medians, numbers.tolist(), strict=True)
        ]


def verified(folder: Path, expect: str | None = None) -> dict[str, bytes]:
    """The files that manifest.json lists, read once, each with the hash that it should have.

    Raises BundleError that names each file that is missing or was changed.
    """
    try:
        listing = (folder / MANIFEST).read_bytes()
        manifest = json.loads(listing)
        hashes: dict[str, str] = manifest["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{folder}: no readable {MANIFEST} ({error}); export the model again") from None
    if expect is not None and hashlib.sha256(listing).hexdigest() != expect.lower():
        raise BundleError(f"{folder}: {MANIFEST} is not the one that is expected; copy the exported folder again")
    if manifest.get("format") != FORMAT:
        raise BundleError(f"{folder}: format {manifest.get('format')}, this runner reads {FORMAT}; export again")
    files, problems = {}, []
    for name, wanted in hashes.items():
        try:
            files[name] = (folder / name).read_bytes()
        except OSError:
            problems.append(f"missing {name}")
            continue
        if hashlib.sha256(files[name]).hexdigest() != wanted:
            problems.append(f"changed {name}")
    problems += [f"missing {name}" for name in (CONTRACT, GRAPH) if name not in hashes]
    if problems:
        raise BundleError(f"{folder}: {'; '.join(problems)}; copy the exported folder again")
    return files


def is_time(value: Any) -> bool:
    """Whether a value is an ISO 8601 time whose UTC lies in the years 1900 to 2199."""
    if type(value) is not str:
        return False
    try:
        moment = datetime.fromisoformat(value)
        moment = moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        return False
    return EARLIEST <= moment < LATEST


def _wrong_key(value: Any) -> tuple[str, str] | None:
    allowed = "a text or a whole number"
    if type(value) is float and value.is_integer() and abs(value) < 2.0**53:
        value = int(value)  # 7.0 is the whole number 7
    if type(value) not in (str, int):
        return "is no key", allowed
    if type(value) is int and not -(2**63) <= value < 2**63:
        return "does not fit into 64 bits", allowed
    return ("is too long", f"at most {LONGEST_KEY} characters") if len(str(value)) > LONGEST_KEY else None


def _problem(row: int, field: str, problem: str, allowed: str) -> Problem:
    return {"row": row, "field": field, "problem": problem, "allowed": allowed}


def _kind(value: Any) -> str:
    return KINDS.get(type(value), "a number")


def _session(content: bytes) -> Any:
    """On one thread: one row is too little work to share."""
    version = onnxruntime.__version__
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise BundleError(f"onnxruntime {version} is too old; install {OLDEST[0]}.{OLDEST[1]} or newer")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except (Fail, InvalidArgument, InvalidGraph, InvalidProtobuf, Unsupported) as error:
        raise BundleError(
            f"onnxruntime {version} cannot open {GRAPH}: {error}; export again, or use another"
        ) from error


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def answer_line(model: Model, line: bytes) -> tuple[dict[str, Any], bool]:
    """The answer to one line of UTF-8, and whether it was refused."""
    try:
        [answer] = model.predict([json.loads(line.decode(), parse_constant=_refuse)])
    except RefusedError as refused:
        count = len(refused.problems)
        what = f"{count} or more problems" if count == MAX_PROBLEMS else f"{count} problem{'s' * (count > 1)}"
        return {"error": f"{what} in the row", "problems": refused.problems}, True
    except (ValueError, RecursionError):
        return {"error": "the line is not valid JSON"}, True
    except ArithmeticError as error:
        return {"error": str(error)}, True
    return answer, False


def main(arguments: Sequence[str], lines: Iterable[bytes]) -> int:
    """0: every row was scored; 1: some were refused; 2: the bundle cannot be used."""
    parser = argparse.ArgumentParser(description="JSON rows in, one a line; JSON answers out, one a line.")
    parser.add_argument("--expect", metavar="SHA256", help="of manifest.json, as the export printed it")
    asked = parser.parse_args(arguments)
    try:
        model = Model(expect=asked.expect)
    except BundleError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    refused = False
    for line in filter(bytes.strip, lines):
        answer, wrong = answer_line(model, line)
        refused |= wrong
        sys.stdout.write(json.dumps(answer, allow_nan=False) + "\n")
        sys.stdout.flush()
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin.buffer))
