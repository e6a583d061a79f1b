"""Settings: where values come from, which one wins, and what is said about those that can't be used."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from controller.config import ConfigError, Settings, load, schema, specs
from controller.config.complaints import leaves, variable
from controller.config.policy import policy_of
from controller.config.reading import read_config

Write = Callable[[str], Path]
SECTIONS = frozenset(where[0] for where in leaves(Settings) if len(where) > 1)
SHIPPED = Path(__file__).parents[1] / "config.yaml"

pytestmark = pytest.mark.usefixtures("no_variables")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a configuration file and gives its path, relative so that messages are short."""

    def _write(text: str) -> Path:
        (tmp_path / "c.yaml").write_text(text, encoding="utf-8")
        return Path("c.yaml")

    return _write


def complaints(path: Path | None = None) -> list[str]:
    """What loading complains about."""
    with pytest.raises(ConfigError) as refused:
        load(path)
    assert str(refused.value).splitlines() == list(refused.value.lines)
    return list(refused.value.lines)


def test_the_shipped_file_says_the_defaults() -> None:
    """What config.yaml says about a default is the default; its paths start at its own folder."""
    here = SHIPPED.absolute().parent
    default = Settings()
    stores = default.specs.model_copy(update={"folder": here / "specs"})
    anchored = default.model_copy(update={"state_dir": here / default.state_dir, "specs": stores})
    assert load(SHIPPED) == anchored


def test_the_shipped_file_is_complete() -> None:
    """Every key there is stands in config.yaml, so that nobody has to search the code for it."""
    assert [where for where in leaves(Settings) if where not in read_config(SHIPPED).lines] == []


def test_every_key_is_described() -> None:
    """Every key has its docstring, which tells its unit and what its empty value means."""
    fields = [
        (section, name, field)
        for section in (
            Settings,
            *(type(value) for _, value in Settings()),
            *(schema.Mongod, schema.Owner, specs.S3, specs.ConfigMaps),
        )
        if isinstance(section, type) and issubclass(section, BaseModel)
        for name, field in section.model_fields.items()
    ]
    assert len(fields) > 50
    undescribed = [(section.__name__, name) for section, name, field in fields if not field.description]
    assert [where for where in undescribed if where[0] != "Settings" or where[1] not in SECTIONS] == []


def test_without_a_file_the_defaults_hold() -> None:
    """No file and no variable is a complete configuration."""
    assert load() == Settings()


def test_a_file_in_the_working_directory_is_found(tmp_path: Path) -> None:
    """`config.yaml` is read where there is one and no other is named."""
    (tmp_path / "config.yaml").write_text("instance: here")
    assert load().instance == "here"


def test_a_variable_names_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """BATCHKEEPER_CONFIG stands in for the option."""
    monkeypatch.setenv("BATCHKEEPER_CONFIG", str(write("instance: named")))
    assert load().instance == "named"


def test_a_file_keeps_the_defaults_it_does_not_mention(write: Write) -> None:
    """One key of a section says nothing about the others."""
    settings = load(write("store: {timeout: 3s}\nreap:\n"))
    assert settings.store.timeout == timedelta(seconds=3)
    assert settings.store.database == "batchkeeper"
    assert settings.reap == Settings().reap


def test_values_of_variables_that_do_not_fit_together(monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
    """The variable is named, and not the section's line in the file, which is right."""
    monkeypatch.setenv("BATCHKEEPER_KUBERNETES__LEASE__DURATION", "5s")
    says = "needs duration > renew > retry, else two lead or nobody does"
    told = [f"BATCHKEEPER_KUBERNETES__LEASE__DURATION (environment): {says}"]
    assert complaints() == told
    assert complaints(write("kubernetes: {lease: {name: mine}}")) == told


def test_precedence(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our variable beats the familiar one, which beats the file, which beats the default."""
    path = write("max_concurrent: 2")
    assert load(path).max_concurrent == 2
    monkeypatch.setenv("MAX_CONCURRENT", "3")
    assert load(path).max_concurrent == 3
    monkeypatch.setenv("BATCHKEEPER_MAX_CONCURRENT", "4")
    assert load(path).max_concurrent == 4


def test_familiar_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """MONGODB_URI and MAX_CONCURRENT are read; empty they say nothing."""
    monkeypatch.setenv("MONGODB_URI", "mongodb://elsewhere")
    monkeypatch.setenv("MAX_CONCURRENT", "")
    settings = load()
    assert settings.store.uri.get_secret_value() == "mongodb://elsewhere"
    assert settings.max_concurrent == 50


def test_variables_reach_every_kind_of_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers, durations, memory, lists in both notations, null and inner sections come from variables."""
    for name, text in {
        "STORE__MONGOD__CACHE_MB": "512",
        "REAP__QUEUED_AFTER": "null",
        "MAX_RETRIES": "3",
        "LOCAL__LOG_BYTES": "2Mi",
        "POLICY__IMAGES": "ghcr.io/a/, ghcr.io/b/",
        "POLICY__SECRETS": '["gwas"]',
        "SPECS__OWNERS": '[{"uid": 1000, "user": "ada"}]',
        "HTTP__ENABLED": "false",
        "SUBMISSION__RATE": "0.5",
    }.items():
        monkeypatch.setenv(f"BATCHKEEPER_{name}", text)
    settings = load()
    assert settings.store.mongod.cache_mb == 512
    assert settings.reap.queued_after is None
    assert settings.max_retries == 3
    assert settings.local.log_bytes == 2 * 2**20
    assert settings.policy.images == ("ghcr.io/a/", "ghcr.io/b/")
    assert settings.policy.secrets == ("gwas",)
    assert settings.specs.owners[0].user == "ada"
    assert settings.http.enabled is False
    assert settings.submission.rate == 0.5


def test_settings_are_frozen() -> None:
    """Nobody changes the settings of a running daemon."""
    settings = load()
    with pytest.raises(ValidationError, match="frozen"):
        settings.__setattr__("max_concurrent", 3)
    with pytest.raises(ValidationError, match="frozen"):
        settings.store.__setattr__("database", "other")


def test_the_connection_string_is_never_shown(write: Write) -> None:
    """Neither the settings printed nor a complaint about it shows the secret."""
    settings = load(write("store: {uri: 'mongodb://ada:hunter2@db'}"))
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump()}"
    assert "hunter2" not in "".join(complaints(write("store: {uri: [hunter2]}")))
    assert "hunter2" not in "".join(complaints(write("store: 'mongodb://ada:hunter2@db'")))


def test_all_complaints_come_at_once(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Structure, unknown keys, bad values and variables are all told in one go, each with its place."""
    monkeypatch.setenv("BATCHKEEPER_STORE__TIMEOUT", "soon")
    monkeypatch.setenv("BATCHKEEPER_STORE__URL", "x")
    path = write(
        "instance: A B\nmax_concurrent: 0\nlog: {level: loud}\nstore:\n  timeout: 3s\nrepaire: {}\nlog: {}\n"
    )
    duration = "write a number and its unit, as 30s, 15m, 1h30m or 14d"
    assert sorted(complaints(path)) == [
        f"BATCHKEEPER_STORE__TIMEOUT (environment): 'soon' is not a duration: {duration}",
        "BATCHKEEPER_STORE__URL (environment): no such key: did you mean BATCHKEEPER_STORE__URI?",
        "c.yaml:1: instance: 'A B' must be lower-case letters, digits and dashes, at most 63 of them",
        "c.yaml:2: max_concurrent: must be at least 1, not '0'",
        "c.yaml:3: log.level: must be 'debug', 'info', 'warning' or 'error', not 'loud'",
        "c.yaml:6: repaire: no such key: did you mean repair?",
        "c.yaml:7: log stands twice, first in line 3: keep one",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("maxConcurrent: 3", "c.yaml:1: maxConcurrent: no such key: did you mean max_concurrent?"),
        ("uri: x", "c.yaml:1: uri: no such key: did you mean store.uri?"),
        ("http:\n  prot: 1", "c.yaml:2: http.prot: no such key: did you mean http.port?"),
        ("compat:\n  zzz: 1", "c.yaml:2: compat.zzz: no such key: known here: runai"),
        ("_env_file: x", "c.yaml:1: _env_file: no such key: known here: api, auth, cluster, compat, "),
        ("http: 8080", "c.yaml:1: http: is a section: write its keys below it, indented"),
        ("http:\n  port: 70000", "c.yaml:2: http.port: must be at most 65535, not '70000'"),
        ("http: {port: null}", "c.yaml:1: http.port: must be a whole number, not null"),
        ("http: {enabled: perhaps}", "c.yaml:1: http.enabled: must be true or false, not 'perhaps'"),
        ("http: {host: ''}", "c.yaml:1: http.host: must not be empty"),
        ("instance: [a]", "c.yaml:1: instance: must be a text, not ['a']"),
        ("submission: {rate: .inf}", "c.yaml:1: submission.rate: must be a number, not '.inf'"),
        ("submission: {rate: 0}", "c.yaml:1: submission.rate: must be more than 0, not '0'"),
        ("reconcile: {interval: 0s}", "c.yaml:1: reconcile.interval: must be longer than 0s"),
        (
            "reconcile: {interval: []}",
            "c.yaml:1: reconcile.interval: must be a duration, as 30s, 15m or 14d, not []",
        ),
        ("policy: {images: {a: b}}", "c.yaml:1: policy.images: must be a list, as [a, b]"),
        ("policy: {images: '[a'}", "c.yaml:1: policy.images: is not a JSON list"),
        ("policy:\n  images:\n    - a\n    - [b]", "c.yaml:4: policy.images.1: must be a text, not ['b']"),
        ("specs: {owners: [{folder: a}]}", "c.yaml:1: specs.owners.0.user: is missing"),
        (
            "specs: {owners: [{user: a}]}",
            "c.yaml:1: specs.owners.0: needs exactly one of folder, source, namespace and uid",
        ),
        ("specs: {owners: [{user: a, source: x}]}", "c.yaml:1: specs.owners.0.source: must match"),
        ("specs: {s3: {prefix: a}}", "c.yaml:1: specs.s3: needs bucket, else no store is watched"),
        ("auth: {oidc: {audience: a}}", "c.yaml:1: auth.oidc: needs issuer beside audience and prefix"),
        ("specs: {s3: {bucket: A_b}}", "c.yaml:1: specs.s3.bucket: must match"),
        ("specs: {s3: {bucket: lab, prefix: /a}}", "c.yaml:1: specs.s3.prefix: must match"),
        ("specs: {s3: {secret_access_key: x}}", "c.yaml:1: specs.s3.secret_access_key: no such key"),
        ("specs: {configmaps: {namespace: lab}}", "specs.configmaps: ConfigMaps lie in a cluster: set"),
        ("specs: {owners: [{usr: a, uid: 1, user: b}]}", "c.yaml:1: specs.owners.0.usr: no such key"),
        ("store: {database: a.b}", "c.yaml:1: store.database: must match"),
        (
            "kubernetes:\n  counted: [{group: volcano.sh, version: v1, resource: jobs, kind: Job}]",
            "c.yaml:2: kubernetes.counted: the kind Job is counted already: leave it out",
        ),
        ("local: {log_bytes: 1MB}", "c.yaml:1: local.log_bytes: '1MB' is not an amount of memory: write 'M'"),
    ],
)
def test_complaints(write: Write, text: str, line: str) -> None:
    """Each says in one line what is wrong, where it stands and what to write."""
    told = complaints(write(text))
    assert len(told) == 1
    assert told[0].startswith(line)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [", "c.yaml:1: not YAML: "),
        ("store:\n\turi: x", "c.yaml:2: not YAML: "),
        ("- a\n- b", "c.yaml:1: not a configuration: write keys and values"),
        ("just text", "c.yaml:1: not a configuration: write keys and values"),
        ("a: b\n---\nc: d", "c.yaml:2: not YAML: but found another document"),
        ("instance: &x a\nnamespace: *x", "c.yaml:1: anchors and aliases are not read here"),
        ("store: &x {mongod: *x}", "c.yaml:1: anchors and aliases are not read here"),
        ("store: !!python/object {}", "c.yaml:1: the tag tag:yaml.org,2002:python/object is not read here"),
        ("instance: !mine a", "c.yaml:1: the tag !mine is not read here"),
        ("? [a]\n: b", "c.yaml:1: a key must be a plain name"),
        ("a: \x07", "c.yaml: not YAML: "),
        ("a: " + "[" * 5000, "c.yaml: not a configuration: nested too deeply"),
        ("# " + "x" * 2**20, "c.yaml: larger than 1 MiB: this is not a configuration file"),
    ],
)
def test_broken_files(write: Write, text: str, line: str) -> None:
    """What is no configuration file is refused with its line, however it is broken."""
    assert complaints(write(text))[0].startswith(line)


@pytest.mark.parametrize("text", ["", "# nothing", "---\n", "null"])
def test_an_empty_file_says_nothing(write: Write, text: str) -> None:
    """A file without a key is the defaults, which start at its folder."""
    assert load(write(text)) == load(write("state_dir: state\nspecs: {folder: specs}\n"))


def test_a_byte_order_mark_is_no_key(write: Write) -> None:
    """Files from editors that put one first are read."""
    assert load(write("\ufeffinstance: marked")).instance == "marked"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, a folder, or in another encoding: one line, with what to do."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin.yaml").write_bytes("a: b\ninstance: größe".encode("latin-1"))
    assert complaints(Path("none.yaml")) == [
        "none.yaml: no such file: create it, or name another with --config",
    ]
    assert complaints(Path("folder")) == ["folder: is a folder: name the file in it with --config"]
    assert complaints(Path("latin.yaml")) == ["latin.yaml:2: not UTF-8: save the file in that encoding"]
    assert complaints(Path("latin.yaml/x")) == ["latin.yaml/x: cannot be read: Not a directory"]


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("BATCHKEEPER_STORE", "names a section: set its keys one by one, as BATCHKEEPER_STORE__URI or "),
        (
            "BATCHKEEPER_STORE__MONGOD",
            "names a section: set its keys one by one, as BATCHKEEPER_STORE__MONGOD__BINARY",
        ),
        ("BATCHKEEPER_STORE_URI", "no such key: did you mean BATCHKEEPER_STORE__URI?"),
        ("BATCHKEEPER_STORE__URI__X", "no such key: did you mean BATCHKEEPER_STORE__URI?"),
        ("BATCHKEEPER_QQQ", "no such key: unset it, or see config.yaml for what there is"),
    ],
)
def test_unknown_variables(monkeypatch: pytest.MonkeyPatch, name: str, advice: str) -> None:
    """A variable with our prefix that overrides nothing is a slip, and is told as one."""
    monkeypatch.setenv(name, "{")
    told = complaints()
    assert len(told) == 1
    assert told[0].startswith(f"{name} (environment): {advice}")


@pytest.mark.parametrize(
    "name",
    [
        "URL",
        "TOKEN",
        "TOKEN_FILE",
        "INSECURE",
        "BATCH",
        "TASK",
        "ATTEMPT",
        "JOB",
        "SERVICE_HOST",
        "SERVICE_PORT_HTTP",
        "PORT",
        "PORT_8080_TCP_ADDR",
    ],
)
def test_variables_that_are_no_settings(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """What commands read besides, what jobs have, what Kubernetes sets for a Service: they are no slips."""
    monkeypatch.setenv(f"BATCHKEEPER_{name}", "tcp://10.0.0.1:8080")
    assert load() == Settings()


def test_every_key_has_its_own_variable() -> None:
    """No two keys are overridden by the same variable."""
    names = [variable(where) for where in leaves(Settings)]
    assert len(names) == len(set(names))


def test_a_folder_is_not_needed(write: Write) -> None:
    """null means none, in the file and as a variable; the other stores are watched by themselves."""
    assert load(write("specs: {folder: null, s3: {bucket: lab}}")).specs.folder is None


def test_host_paths_are_anybodys_on_one_machine_only(write: Write) -> None:
    """On a cluster a host path is other people's disk: none is allowed until the operator says so."""
    assert policy_of(load(write("{}"))).any_host_path
    for kind in ("kubernetes", "runai"):
        told = policy_of(load(write(f"cluster: {{kind: {kind}}}")))
        assert (told.any_host_path, told.host_path_prefixes) == (False, ())
    assert not policy_of(load(write("policy: {host_path_prefixes: [/data]}"))).any_host_path


def test_a_runai_project_is_the_default_namespace(write: Write) -> None:
    """Its namespace is the project's, unless the operator names another."""
    project = "cluster: {kind: runai}\nrunai: {project: talmo-lab}\n"
    assert load(write(project)).namespace == "runai-talmo-lab"
    assert load(write(project + "namespace: elsewhere\n")).namespace == "elsewhere"
    assert load(write("runai: {project: talmo-lab}\n")).namespace == "default"


SECRET_URL = "/services/T0/B0/nobody-may-see-this"


@pytest.mark.parametrize(
    "url",
    [f"http://hooks.example{SECRET_URL}", f"ftp://hooks.example{SECRET_URL}", f"https://[::1{SECRET_URL}"],
)
def test_a_webhook_that_others_could_read_is_refused(write: Write, url: str) -> None:
    """In a line that names the key and not the address, which is a secret."""
    (line,) = complaints(write(f'notifications: {{url: "{url}"}}\n'))
    assert "notifications.url" in line
    assert "nobody-may-see-this" not in line


def test_a_webhook_s_address_is_not_shown(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it comes from; and one place is enough."""
    monkeypatch.setenv("BATCHKEEPER_NOTIFICATIONS__URL", f"https://hooks.example{SECRET_URL}")
    told = load(write("log: {level: info}\n"))
    assert told.notifications.url.get_secret_value().endswith(SECRET_URL)
    assert told.notifications.wanted
    assert "nobody-may-see-this" not in repr(told) + str(told.model_dump())
    (line,) = complaints(write("notifications: {url_file: hook}\n"))
    assert "takes url or url_file, not both" in line
    assert "nobody-may-see-this" not in line


def test_a_webhook_on_this_machine_and_one_in_a_file(write: Write, tmp_path: Path) -> None:
    """Plain http is for this machine; the file is looked for beside the configuration."""
    assert load(write("notifications: {url: 'http://127.0.0.1:9/x'}\n")).notifications.wanted
    told = load(write("notifications: {url_file: hook}\n")).notifications
    assert told.wanted
    assert told.url_file is not None
    assert told.url_file.name == "hook"
    assert not Settings().notifications.wanted
