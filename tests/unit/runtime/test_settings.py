"""Settings: where values come from, and what is said of each wrong one."""

from __future__ import annotations

import os

import pytest

from tokenfuse.runtime.settings_sources import WrongSettingsError, read_settings, unknown_variables


@pytest.fixture(autouse=True)
def nothing_set(tmp_path, monkeypatch):
    """A directory without `tokenfuse.yaml`, and an environment without our variables."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TOKENFUSE_")]:
        monkeypatch.delenv(name)


def problem(**overrides) -> str:
    with pytest.raises(WrongSettingsError) as caught:
        read_settings(**overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "axes"),
    [
        ("cost_center,team", ("cost_center", "team")),
        (" cost_center , labels.squad ", ("cost_center", "labels.squad")),
        ('["cost_center", "team"]', ("cost_center", "team")),
        ("team", ("team",)),
        ("", ()),
    ],
)
def test_further_axes_come_with_commas_between_or_as_json(monkeypatch, text, axes):
    monkeypatch.setenv("TOKENFUSE_FURTHER_AXES", text)
    assert read_settings().further_axes == axes


@pytest.mark.parametrize("text", ["cost_center,teem", '["teem"]'])
def test_an_unknown_axis_is_named(monkeypatch, text):
    monkeypatch.setenv("TOKENFUSE_FURTHER_AXES", text)
    assert "TOKENFUSE_FURTHER_AXES: teem is no axis" in problem()


def test_an_axis_list_that_is_broken_json_says_what_is_expected(monkeypatch):
    monkeypatch.setenv("TOKENFUSE_FURTHER_AXES", '["team"')
    assert "names with commas between" in problem()


def test_further_axes_in_the_file_are_a_list(tmp_path):
    (tmp_path / "tokenfuse.yaml").write_text("further_axes: [cost_center, team]\n")
    assert read_settings().further_axes == ("cost_center", "team")


def test_arguments_win_over_variables_those_over_secret_files_those_over_the_file(tmp_path, monkeypatch):
    (tmp_path / "tokenfuse.yaml").write_text(
        "topic_prefix: file.\nlog_level: debug\ninstance_id: file\nport: 1\n"
    )
    (tmp_path / "secret").write_text("secret.\n")
    monkeypatch.setenv("TOKENFUSE_TOPIC_PREFIX_FILE", "secret")
    monkeypatch.setenv("TOKENFUSE_INSTANCE_ID", "variable")
    monkeypatch.setenv("TOKENFUSE_PORT", "2")
    found = read_settings(port=3)
    assert (found.log_level, found.topic_prefix, found.instance_id, found.port) == (
        "debug",
        "secret.",
        "variable",
        3,
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "TOKENFUSE_SLACK_CHANNEL_FILE: cannot read given: No such file or directory"),
        (b"", "TOKENFUSE_SLACK_CHANNEL_FILE: given is empty"),
        (b"\n", "TOKENFUSE_SLACK_CHANNEL_FILE: given is empty"),
        (b"\xff", "TOKENFUSE_SLACK_CHANNEL_FILE: given is no text in UTF-8"),
    ],
)
def test_a_secret_file_that_holds_nothing_is_named(tmp_path, monkeypatch, content, sentence):
    if content is not None:
        (tmp_path / "given").write_bytes(content)
    monkeypatch.setenv("TOKENFUSE_SLACK_CHANNEL_FILE", "given")
    assert sentence in problem()


def test_an_empty_file_variable_is_one_that_is_not_set(monkeypatch):
    monkeypatch.setenv("TOKENFUSE_SLACK_BOT_TOKEN_FILE", "")
    assert read_settings().slack_bot_token is None


def test_a_setting_and_its_file_at_once_are_refused(monkeypatch):
    monkeypatch.setenv("TOKENFUSE_TOPIC_PREFIX", "a.")
    monkeypatch.setenv("TOKENFUSE_TOPIC_PREFIX_FILE", "somewhere")
    assert "both TOKENFUSE_TOPIC_PREFIX and TOKENFUSE_TOPIC_PREFIX_FILE are set" in problem()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "bootstrap_server: kafka:9092\n",
            "there is no setting bootstrap_server: did you mean bootstrap_servers?",
        ),
        ("kafka:\n  servers: x\n", "tokenfuse.yaml: there is no setting kafka"),
        ("log_level: [\n", "tokenfuse.yaml:2:1: this is not YAML"),
        ("- log_level\n", "tokenfuse.yaml: lines `name: value` are expected"),
        ("port: eighty\n", "TOKENFUSE_PORT: Input should be a valid integer"),
    ],
)
def test_a_wrong_settings_file_is_one_sentence_with_its_place(tmp_path, text, sentence):
    (tmp_path / "tokenfuse.yaml").write_text(text)
    assert sentence in problem()


def test_an_empty_settings_file_sets_nothing(tmp_path):
    (tmp_path / "tokenfuse.yaml").write_text("# nothing yet\n")
    assert read_settings().log_level == "info"


@pytest.mark.parametrize("servers", ["kafka", "http://kafka:9092", "kafka:9092,other", "kafka:http", ":9092"])
def test_a_broker_is_a_host_and_a_port(servers):
    assert "TOKENFUSE_BOOTSTRAP_SERVERS: host:port is expected" in problem(bootstrap_servers=servers)


@pytest.mark.parametrize("servers", ["kafka:9092", "a:1, b:2", "[::1]:9092"])
def test_brokers_with_ports_are_taken(servers):
    assert read_settings(bootstrap_servers=servers).bootstrap_servers == servers


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"security_protocol": "SASL_SSL"}, "needs TOKENFUSE_SASL_PLAIN_USERNAME and _PASSWORD"),
        (
            {"sasl_plain_username": "u", "sasl_plain_password": "p"},
            "TOKENFUSE_SECURITY_PROTOCOL is PLAINTEXT",
        ),
        (
            {"ssl_cafile": "pyproject"},
            "TOKENFUSE_SSL_CAFILE is set, but TOKENFUSE_SECURITY_PROTOCOL is PLAINTEXT",
        ),
        (
            {"security_protocol": "SSL", "ssl_cafile": "nowhere"},
            "TOKENFUSE_SSL_CAFILE: there is no file nowhere",
        ),
        ({"security_protocol": "SSL", "ssl_keyfile": "key"}, "without TOKENFUSE_SSL_CERTFILE"),
        ({"slack_bot_token": "xoxb-hidden"}, "SLACK_BOT_TOKEN and SLACK_CHANNEL go together"),
    ],
)
def test_settings_that_belong_together_are_asked_for(given, sentence):
    assert sentence in problem(**given)


def test_no_secret_is_ever_in_a_message(tmp_path):
    (tmp_path / "tokenfuse.yaml").write_text(
        "slack_bot_token: xoxb-hidden\nport: xoxb-hidden\nxoxb: xoxb-hidden\n"
    )
    assert "xoxb-hidden" not in problem()
    assert "xoxb-hidden" not in repr(
        read_settings_of("slack_bot_token: xoxb-hidden\nslack_channel: C1\n", tmp_path)
    )


def read_settings_of(text: str, directory):
    (directory / "tokenfuse.yaml").write_text(text)
    return read_settings()


def test_a_variable_that_nobody_reads_is_said_with_what_was_meant():
    environment = {
        "TOKENFUSE_BOOTSTRAP_SERVER": "x", "TOKENFUSE_SLACK_BOT_TOKEN_FILE": "x", "TOKENFUSE_LOG_LEVEL": "x",
        "TOKENFUSE_PARENT_PID": "1", "TOKENFUSE_ZZZ": "", "PATH": "x",
    }  # fmt: skip
    assert list(unknown_variables(environment)) == [
        "TOKENFUSE_BOOTSTRAP_SERVER is no setting and is ignored: did you mean TOKENFUSE_BOOTSTRAP_SERVERS?",
        "TOKENFUSE_ZZZ is no setting and is ignored",
    ]
