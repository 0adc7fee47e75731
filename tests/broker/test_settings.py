"""Settings: every fault at once and in plain words, strength of the sources, secrets masked."""

from pathlib import Path

import pytest

from broker.settings import MASK, ConfigurationError, Settings, load_settings

PASSPHRASE = "correct horse battery staple"
MINIMUM = {"MYDATA__SERVER__ISSUER": "https://mydata.example", "MYDATA__KEYRING__PASSPHRASE": PASSPHRASE}
EXAMPLE = Path(__file__).parents[2] / "config.example.toml"


def load(environ: dict[str, str] | None = None, path: Path | None = None) -> Settings:
    return load_settings(path, MINIMUM | (environ or {}))


def faults(environ: dict[str, str], path: Path | None = None) -> dict[str, str]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(path, environ)
    return {fault.key: f"{fault.problem}. {fault.remedy}" for fault in caught.value.faults}


def write(folder: Path, text: str) -> Path:
    file = folder / "config.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_nothing_is_set_and_both_required_settings_are_named() -> None:
    found = faults({})
    assert set(found) == {"server.issuer", "keyring.passphrase"}
    assert "MYDATA__KEYRING__PASSPHRASE" in found["keyring.passphrase"]


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        'stray = 1\n[server]\nissuer = "http://mydata.example"\nport = 70000\nprot = 1\n'
        '[log]\nlevel = "loud"\n[extra]\na = 1\n',
    )
    found = faults({"MYDATA__SERVR__PORT": "1", "MYDATA__OAUTH__CODE_SECONDS": "soon"}, file)
    assert set(found) == {
        "stray",
        "server.issuer",
        "server.port",
        "server.prot",
        "log.level",
        "extra.a",
        "MYDATA__SERVR__PORT",
        "oauth.code_seconds",
        "keyring.passphrase",
    }
    assert "Did you mean server.port?" in found["server.prot"]
    assert "Did you mean server.port?" in found["MYDATA__SERVR__PORT"]


def test_a_value_is_never_repeated(tmp_path: Path) -> None:
    secret = "sUpErSeCrEt"
    file = write(
        tmp_path, f'[keyring]\nurl = "{secret}"\nprovider = "{secret}"\n[server]\nissuer = "{secret}"\n'
    )
    with pytest.raises(ConfigurationError) as caught:
        load_settings(file, {"MYDATA__SERVER__PORT": secret, f"MYDATA__{secret}".upper(): "x"})
    assert secret not in str(caught.value)


@pytest.mark.parametrize(
    "issuer",
    [
        "http://mydata.example",
        "https://mydata.example/",
        "https://mydata.example/tenant",
        "https://mydata.example?x=1",
        "https://mydata.example#x",
        "https://user@mydata.example",
        "https://mydata.example:port",
        "https://",
        "ftp://127.0.0.1",
        "http://127.0.0.1.example",
        "mydata.example",
    ],
)
def test_an_issuer_that_is_none_is_refused(issuer: str) -> None:
    assert set(faults(MINIMUM | {"MYDATA__SERVER__ISSUER": issuer})) == {"server.issuer"}


@pytest.mark.parametrize(
    "issuer",
    [
        "https://mydata.example",
        "https://mydata.example:8443",
        "http://127.0.0.1:8000",
        "http://[::1]:80",
        "http://localhost",
    ],
)
def test_an_issuer_is_https_or_on_this_machine(issuer: str) -> None:
    assert load({"MYDATA__SERVER__ISSUER": issuer}).server.issuer == issuer


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "sqlite:///:memory:", "not a url", ""])
def test_only_files_and_postgresql_are_databases(url: str) -> None:
    assert set(faults(MINIMUM | {"MYDATA__DATABASE__URL": url})) == {"database.url"}


def test_the_keyring_is_never_the_data_database(tmp_path: Path) -> None:
    same = f"sqlite:///{tmp_path / 'one.db'}"
    assert set(faults(MINIMUM | {"MYDATA__DATABASE__URL": same, "MYDATA__KEYRING__URL": same})) == {
        "keyring.url"
    }


def test_two_logins_to_one_postgresql_database_are_one_database() -> None:
    environ = {
        "MYDATA__DATABASE__URL": "postgresql://a:1@db.example/mydata",
        "MYDATA__KEYRING__URL": "postgresql+psycopg://b:2@db.example/mydata",
    }
    assert set(faults(MINIMUM | environ)) == {"keyring.url"}


def test_the_demo_is_for_this_machine_only() -> None:
    assert set(faults(MINIMUM | {"MYDATA__SERVER__PROFILE": "demo"})) == {"server.profile"}


def test_a_session_is_not_idle_for_longer_than_it_lasts() -> None:
    environ = {"MYDATA__SESSION__IDLE_MINUTES": "61", "MYDATA__SESSION__ABSOLUTE_HOURS": "1"}
    assert set(faults(MINIMUM | environ)) == {"session.idle_minutes"}


@pytest.mark.parametrize("seconds", ["-1", "1", "59"])
def test_a_person_can_meet_what_step_up_asks_for(seconds: str) -> None:
    found = faults(MINIMUM | {"MYDATA__OAUTH__STEP_UP_SECONDS": seconds})
    assert set(found) == {"oauth.step_up_seconds"}
    assert seconds == "-1" or "at least 60" in found["oauth.step_up_seconds"]
    for met in (0, 60):
        assert load({"MYDATA__OAUTH__STEP_UP_SECONDS": str(met)}).oauth.step_up_seconds == met


@pytest.mark.parametrize("days", [1, 7])
def test_a_key_signs_for_longer_than_the_next_one_is_published_before(days: int) -> None:
    found = faults(MINIMUM | {"MYDATA__KEYS__ROTATE_DAYS": str(days)})
    assert "publish_before_days" in found["keys"]
    assert load({"MYDATA__KEYS__ROTATE_DAYS": "0"}).keys.rotate_days == 0


@pytest.mark.parametrize("name", ["PUBLISH_BEFORE_DAYS", "KEEP_PREVIOUS_DAYS"])
def test_a_key_is_published_for_a_day_at_least_before_and_after_it_signs(name: str) -> None:
    assert set(faults(MINIMUM | {f"MYDATA__KEYS__{name}": "0"})) == {f"keys.{name.lower()}"}


def test_an_empty_passphrase_is_none() -> None:
    assert set(faults(MINIMUM | {"MYDATA__KEYRING__PASSPHRASE": ""})) == {"keyring.passphrase"}


@pytest.mark.parametrize("origin", ["two words", "a+b", "line\nbreak"])
def test_an_origin_can_be_a_key_name(origin: str) -> None:
    assert set(faults(MINIMUM | {"MYDATA__LEDGER__ORIGIN": origin})) == {"ledger.origin"}


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    assert "no such file" in faults(MINIMUM, tmp_path / "config.toml")[str(tmp_path / "config.toml")]


def test_a_file_that_is_not_toml_is_a_fault_with_its_line(tmp_path: Path) -> None:
    file = write(tmp_path, "[server\n")
    assert "line 1" in faults(MINIMUM, file)[str(file)]


def test_a_file_that_is_not_text_is_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(b"\xff\xfe")
    assert str(file) in faults(MINIMUM, file)


def test_a_secret_directory_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    assert "secrets.directory" in faults(MINIMUM | {"MYDATA__SECRETS__DIRECTORY": str(tmp_path / "no")})


def test_a_secret_file_that_no_setting_has_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "keyring.pasphrase").write_text("x")
    (tmp_path / "keyring.passphrase").write_bytes(b"\xff")
    found = faults(MINIMUM | {"MYDATA__SECRETS__DIRECTORY": str(tmp_path)})
    assert set(found) == {"secret file keyring.pasphrase", "keyring.passphrase"}


def test_environment_beats_file_and_secret_file_beats_environment(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "keyring.passphrase").write_text("from a secret file\n")
    (secrets / "..data").mkdir()
    file = write(tmp_path, '[server]\nport = 1\nworkers = 2\n[secrets]\ndirectory = "secrets"\n')
    settings = load({"MYDATA__SERVER__PORT": "3"}, file)
    assert (settings.server.port, settings.server.workers) == (3, 2)
    assert settings.keyring.passphrase.get_secret_value() == "from a secret file"
    sources = settings.sources()
    assert sources["server.workers"] == "config.toml"
    assert sources["server.port"] == "environment"
    assert sources["keyring.passphrase"] == "secret file"
    assert sources["server.host"] == "default"


def test_relative_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    settings = load(path=write(tmp_path, '[keyring]\nroot_file = "keys/root.key"\n'))
    assert settings.keyring.root_file == tmp_path / "keys" / "root.key"
    assert settings.database.url == f"sqlite:///{tmp_path}/mydata.db"


def test_the_origin_follows_the_issuer_and_the_pool_follows_the_threads() -> None:
    settings = load({"MYDATA__SERVER__ISSUER": "http://127.0.0.1:8000", "MYDATA__SERVER__THREADS": "7"})
    assert settings.ledger.origin == "127.0.0.1:8000/log"
    assert settings.database.pool_size == 7
    assert load({"MYDATA__DATABASE__POOL_SIZE": "5"}).database.pool_size == 5


def test_secrets_and_passwords_are_masked() -> None:
    settings = load({"MYDATA__DATABASE__URL": "postgresql://mydata:hunter2@db.example/mydata"})
    assert settings.database.url.count("hunter2") == 1
    for shown in (repr(settings), str(settings), repr(settings.database), str(settings.shown())):
        assert "hunter2" not in shown
        assert PASSPHRASE not in shown
    assert settings.shown()["keyring.passphrase"] == MASK


def test_settings_are_frozen() -> None:
    settings = load()
    with pytest.raises(ValueError, match="frozen"):
        settings.server.port = 1  # type: ignore[misc] # that is the point


def test_the_example_shows_the_defaults() -> None:
    example, bare = load(path=EXAMPLE), load()
    # The one thing that nobody is by default: the example says so beside it.
    designated = {"deployment": bare.deployment.model_copy(update={"special_manager": True})}
    bare = bare.model_copy(update=designated)
    assert {
        key: value
        for key, value in example.shown().items()
        if "example" not in str(value) and "/" not in str(value)
    } == {
        key: value
        for key, value in bare.shown().items()
        if "example" not in str(value) and "/" not in str(value)
    }
