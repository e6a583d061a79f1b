"""Turns what pydantic found wrong into lines for people: where it stands, what is wrong, what to write."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic_core import ErrorDetails

from controller.config.reading import ConfigFile, Where

PREFIX = "BATCHKEEPER_"
FAMILIAR: Mapping[str, Where] = {
    "MONGODB_URI": ("store", "uri"),
    "MAX_CONCURRENT": ("max_concurrent",),
}
"""Variables that people know from elsewhere; the prefixed name wins over them."""

_PHRASES = {
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must match {pattern}",
    "time_delta_type": "must be a duration, as 30s, 15m or 14d",
    "path_type": "must be a path",
    "tuple_type": "must be a list, as [a, b]",
    "model_type": "is a section: write its keys below it, indented",
    "missing": "is missing",
    "literal_error": "must be {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "value_error": "{error}",
}
_SHOW_NO_INPUT = {"value_error", "missing", "model_type", "tuple_type", "string_too_short"}
"""Their message already shows it, or there is nothing to show."""


def complain(problem: ErrorDetails, root: type[BaseModel], file: ConfigFile) -> str | None:
    """One line about one problem that pydantic found; none for what ``complain_of_variable`` tells."""
    where: Where = tuple(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return complain_of_key(where, root, file) if where in file.lines else None
    place = _place(where, root, file)
    return place and f"{place}: {_problem(problem, secret=_is_secret(where, root))}"


def complain_of_key(where: Where, root: type[BaseModel], file: ConfigFile) -> str:
    """One line about a key of the file that is not known, with the known one that was probably meant."""
    *sections, key = where
    known = sorted(_section(sections, root)[0].model_fields)
    if close := get_close_matches(key.lower(), known, n=1):
        advice = f"did you mean {'.'.join((*sections, close[0]))}?"
    elif elsewhere := _named(key, root):
        advice = f"did you mean {'.'.join(elsewhere[0])}?"
    else:
        advice = f"known here: {', '.join(known)}"
    return f"{file.name}:{file.lines[where]}: {'.'.join(where)}: no such key: {advice}"


def complain_of_variable(name: str, root: type[BaseModel]) -> str:
    """One line about an environment variable that has our prefix and overrides nothing."""
    where: Where = tuple(name.upper().removeprefix(PREFIX).lower().split("__"))
    section, depth = _section(where, root)
    if depth == len(where):
        examples = " or ".join(variable(leaf) for leaf in list(leaves(section, where))[:2])
        return f"{name} (environment): names a section: set its keys one by one, as {examples}"
    known = {"__".join(leaf): leaf for leaf in leaves(root)}
    meant = [known[match] for match in get_close_matches("__".join(where), known, n=1)] or _named(
        where[-1], root
    )
    advice = (
        f"did you mean {variable(meant[0])}?" if meant else "unset it, or see config.yaml for what there is"
    )
    return f"{name} (environment): no such key: {advice}"


def leaves(model: type[BaseModel], above: Where = ()) -> Iterator[Where]:
    """Every key that holds a value, with the sections around it."""
    for name, field in model.model_fields.items():
        if section := _as_section(field.annotation):
            yield from leaves(section, (*above, name))
        else:
            yield (*above, name)


def variable(where: Where) -> str:
    """The environment variable that overrides a key."""
    return PREFIX + "__".join(where).upper()


def _named(key: str, root: type[BaseModel]) -> list[Where]:
    """The keys of this name, in whatever section."""
    return [leaf for leaf in leaves(root) if leaf[-1] == key.lower()]


def _place(where: Where, root: type[BaseModel], file: ConfigFile) -> str:
    """Where a value, or a section's, came from: its variable, or its line in the file; empty: neither."""
    environment = {name.upper() for name, text in os.environ.items() if text or name not in FAMILIAR}
    leaf = next((leaf for leaf in leaves(root) if where[: len(leaf)] == leaf), where)
    for name in (variable(leaf), *(familiar for familiar, target in FAMILIAR.items() if target == leaf)):
        if name in environment:
            return f"{name} (environment)"
    inside = [variable(leaf) for leaf in leaves(root) if leaf[: len(where)] == where]
    if several := [name for name in inside if name in environment]:
        return f"{', '.join(several)} (environment)"
    line = next(
        (file.lines[where[:end]] for end in range(len(where), 0, -1) if where[:end] in file.lines), None
    )
    return f"{file.name}:{line}: {'.'.join(where)}" if line else ""


def _problem(problem: ErrorDetails, *, secret: bool) -> str:
    """What is wrong with the value, and the value itself where that helps and is no secret."""
    kind, context = problem["type"], problem.get("ctx", {})
    phrase = _PHRASES.get(kind, problem["msg"].replace("Input should", "must").replace("{", "{{"))
    text = phrase.format_map({name: _plain(value) for name, value in context.items()})
    if secret or kind in _SHOW_NO_INPUT:
        return text
    return f"{text}, not {_shortened(problem['input'])}"


def _plain(value: Any) -> str:
    """A bound without a needless fraction."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shortened(value: Any) -> str:
    shown = "null" if value is None else repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _section(path: Sequence[str], root: type[BaseModel]) -> tuple[type[BaseModel], int]:
    """The innermost section on the way to a key, and how many steps that is."""
    for depth, name in enumerate(path):
        field = root.model_fields.get(name)
        inner = field and _as_section(field.annotation)
        if not inner:
            return root, depth
        root = inner
    return root, len(path)


def _as_section(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _is_secret(where: Where, root: type[BaseModel]) -> bool:
    field = _section(where, root)[0].model_fields.get(where[-1])
    return field is not None and field.annotation is SecretStr
