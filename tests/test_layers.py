"""The layers, as a test and not a hope: who may import whom, and what must not be found in whom."""

import ast
import re
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "controller"
SOURCES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))

ENGINE = "engine"
"""Whatever is not named below: the passes and what they work with. It knows ports and no adapter."""
MAY_IMPORT: dict[str, set[str]] = {
    "core": set(),
    "ports": {"core"},
    ENGINE: {"core", "ports", "specfile"},
    "specfile": {"core", "ports"},
    "telemetry": {"core", "ports"},
    "config": {"core", "ports"},
    "health": {"core"},
    "timetable": {"core", "ports", "telemetry"},
    "http": {"core", "ports", "telemetry", "health"},
    "adapters": {"core", "ports", "telemetry"},
    "api": {"core", "ports", "specfile", "telemetry", "health", "http", "config", ENGINE},
    "reading": {"core", "ports", "specfile", "config", ENGINE},
    "clusters": {"core", "ports", "telemetry", "config", "adapters"},
    "parts": {"core", "ports", "telemetry", "config", "adapters", "clusters", ENGINE},
    "serving": {
        "core",
        "ports",
        "telemetry",
        "config",
        "adapters",
        "api",
        "clusters",
        "parts",
        "reading",
        ENGINE,
    },
    "spec_stores": {"core", "ports", "config", "adapters", "parts", "reading", ENGINE},
    "tellers": {"core", "ports", "adapters", "parts", "timetable", ENGINE},
    "app": {
        "serving",
        "spec_stores",
        "tellers",
        "reading",
        "clusters",
        "parts",
        "core",
        "ports",
        "specfile",
        "telemetry",
        "health",
        "http",
        "config",
        "timetable",
        "adapters",
        "api",
        ENGINE,
    },
    "ee2_app": {
        "core",
        "ports",
        "telemetry",
        "config",
        "adapters",
        "clusters",
        "health",
        "api",
        "http",
        "timetable",
        ENGINE,
    },
    "cli": {"core", "ports", "specfile", "telemetry", "config", "reading", "app", "ee2_app", ENGINE},
    "__main__": {"cli"},
}
"""Inward only: each group, and the groups it may import besides itself."""

THIRD_PARTIES: dict[str, tuple[str, ...]] = {
    "aiohttp": (
        "adapters/kube_client.py",
        "adapters/cancel_url.py",
        "adapters/oidc_keys.py",
        "adapters/webhook.py",
        "cli/api_client.py",
        "cli/way_api.py",
    ),
    "apscheduler": ("timetable.py",),
    "botocore": ("adapters/spec_bucket_client.py",),
    "bson": ("adapters/*mongo*",),
    "fastapi": ("http.py", "api/*"),
    "jwt": ("api/auth_oidc.py",),
    "kubernetes": ("adapters/kube_client.py", "adapters/kube_credentials.py"),
    "prometheus_client": ("telemetry/metrics.py",),
    "pydantic": ("config/*", "specfile/*", "api/*"),
    "pydantic_core": ("config/*", "specfile/*"),
    "pydantic_settings": ("config/*",),
    "pymongo": ("adapters/*mongo*",),
    "regex": ("patterns.py", "specfile/*"),
    "rich": ("cli/*",),
    "ruamel": ("config/*", "specfile/*", "adapters/*", "cli/*"),
    "starlette": ("api/*",),
    "structlog": ("telemetry/logs.py",),
    "typer": ("cli/*",),
    "uvicorn": ("http.py",),
}
"""Each third party, and the only files that may know it."""

NOT_IN_CORE = frozenset(
    "asyncio io logging multiprocessing os pathlib random secrets shutil signal socket subprocess sys"
    " tempfile threading time urllib uuid".split()
)
"""Parts of the standard library that do something, or know what time it is."""
CLOCKS = frozenset({"now", "utcnow", "today", "time", "monotonic", "perf_counter"})

BLIND_GUARDS = {
    "engine.py": 1,  # the guard of one item
    "timetable.py": 1,  # the tick's
    "adapters/spec_directory_lane.py": 1,  # catches nothing: hands the error to whoever awaits the thread
}
"""Where `except Exception` may stand."""

LONGEST_FILE = 400


@cache
def tree(source: str) -> ast.Module:
    """A file of the package, parsed."""
    return ast.parse((PACKAGE / source).read_text(encoding="utf-8"), source)


def imports(source: str) -> Iterator[str]:
    """Everything that a file imports, wherever in it, as dotted names."""
    for node in ast.walk(tree(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def group(module: str) -> str:
    """The group of one of our modules, or of a file of the package."""
    name = re.split(r"[./]", module.removeprefix("controller.").removesuffix(".py"))[0]
    return name if name in MAY_IMPORT else ENGINE


def exists(module: str) -> bool:
    """Whether a dotted name of ours is a module and not something in one."""
    path = PACKAGE.joinpath(*module.split(".")[1:])
    return path.is_dir() or path.with_suffix(".py").is_file()


@pytest.mark.parametrize("source", [source for source in SOURCES if source != "__init__.py"])
def test_imports_point_inward(source: str) -> None:
    """No file imports a layer further out than its own."""
    allowed = {group(source)} | MAY_IMPORT[group(source)]
    for name in imports(source):
        if (
            name.startswith("controller.")
            and exists(name.rsplit(".", 1)[0])
            and name != "controller.__version__"
        ):
            assert group(name) in allowed, f"{source} imports {name}"


@pytest.mark.parametrize("source", SOURCES)
def test_each_third_party_has_its_place(source: str) -> None:
    """A third party is imported by the files that are there for it, and by no other."""
    for name in imports(source):
        top = name.split(".")[0]
        if top not in sys.stdlib_module_names and top != "controller":
            assert any(fnmatch(source, place) for place in THIRD_PARTIES.get(top, ())), (
                f"{source} imports {top}"
            )


@pytest.mark.parametrize("source", [source for source in SOURCES if group(source) == "core"])
def test_core_is_pure(source: str) -> None:
    """Core imports the standard library's quiet part only, and asks no clock: time comes as an argument."""
    for name in imports(source):
        top = name.split(".")[0]
        assert top in {*sys.stdlib_module_names, "controller"} - NOT_IN_CORE, f"{source} imports {name}"
    for node in ast.walk(tree(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            assert node.func.attr not in CLOCKS, f"{source}:{node.lineno} asks a clock"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in {"open", "print", "input"}, f"{source}:{node.lineno} does something"


def is_blind(handler: ast.ExceptHandler) -> bool:
    """Whether it swallows everything; one that tidies up and raises again does not."""
    caught = (
        {name.id for name in ast.walk(handler.type) if isinstance(name, ast.Name)} if handler.type else {""}
    )
    last = handler.body[-1]
    return bool(caught & {"", "Exception", "BaseException"}) and not (
        isinstance(last, ast.Raise) and not last.exc
    )


def test_blind_guards_stand_where_they_are_meant_to() -> None:
    """`except Exception` hides bugs; it stands only where one sick item must not cost the others."""
    found = {
        source: sum(isinstance(node, ast.ExceptHandler) and is_blind(node) for node in ast.walk(tree(source)))
        for source in SOURCES
    }
    assert {source: count for source, count in found.items() if count} == BLIND_GUARDS


@pytest.mark.parametrize("folder", ["controller", "tests", "examples"])
def test_no_file_is_too_long(folder: str) -> None:
    """A file that has outgrown a screenful of ideas wants to be two."""
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_every_module_says_what_it_is_for() -> None:
    """The first thing in a file is what it is for and who calls it."""
    assert [source for source in SOURCES if not ast.get_docstring(tree(source))] == []


GIT_IGNORES = frozenset({"state", "specs", "out", "__pycache__"})
"""Folders that running programs fill in a checkout."""


def texts() -> Iterator[Path]:
    """Every text of the repository that people read or programs run."""
    for pattern in (
        "*",
        ".ci/*",
        "controller/**/*",
        "deploy/**/*",
        "docs/**/*",
        "examples/**/*",
        "tests/**/*",
    ):
        for path in ROOT.glob(pattern):
            if (
                path.is_file()
                and not GIT_IGNORES & set(path.parts)
                and path.suffix
                in {
                    "",
                    ".py",
                    ".md",
                    ".yaml",
                    ".yml",
                    ".toml",
                    ".lock",
                    ".json",
                    ".sh",
                }
            ):
                yield path


def test_no_text_names_a_folder_of_somebodys_machine() -> None:
    """What is committed works in any checkout, so it names none."""
    somebodys = re.compile(
        "|".join(re.escape(path) for path in (f"{ROOT}/", "/" + "root/.", "/" + "opt/wheels"))
    )
    found = [
        path.name for path in texts() if somebodys.search(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert found == []
