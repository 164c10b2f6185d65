"""Settings: `TOKENFUSE_*` in the environment, an optional `tokenfuse.yaml`, secrets also from `..._FILE`.

Kafka's own names are kept (`SECURITY_PROTOCOL`, `SASL_MECHANISM`, ...) and mapped to both clients in `runtime.kafka`.
`settings_sources` has where values come from, and `read_settings`, which says what is wrong in words.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from tokenfuse.contracts.axes import AXES, FURTHER_AXES, FURTHER_AXES_MAX
from tokenfuse.runtime.settings_sources import PREFIX, YAML_FILE, FileSecretsSource, YamlSource

__all__ = ["PREFIX", "Settings"]


class Settings(BaseSettings):
    """Every setting of every role; the description of each is its documentation."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, yaml_file=YAML_FILE, extra="forbid", env_ignore_empty=True
    )

    bootstrap_servers: str | None = Field(None, description="Kafka brokers; unset: the embedded broker.")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_plain_username: str | None = None
    sasl_plain_password: SecretStr | None = None
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    topic_prefix: str = Field("", description="Put before every topic and group name, e.g. `staging.`.")
    source_partitions: int = Field(
        4, ge=1, le=1024, description="Partitions of the source topic, at creation."
    )
    deltas_partitions: int = Field(
        8, ge=1, le=1024, description="Partitions of the deltas topic; fixed for ever."
    )
    replication_factor: int = Field(1, ge=1, le=9)
    instance_id: str = Field(
        default_factory=socket.gethostname,
        description="Static membership: one id must never live twice. Each role appends its own name.",
    )
    further_axes: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Up to six more axes that become scopes, e.g. `cost_center,labels.squad`, or a JSON array.",
    )
    rules_dir: Path = Field(Path("rules"), description="Rule files; watched, reloaded whole or not at all.")
    state_dir: Path = Field(
        Path(".tokenfuse"), description="Local state: broker.json, the embedded broker's log."
    )
    host: str = Field("127.0.0.1", description="Where /livez, /readyz and /metrics listen.")
    port: int = Field(0, ge=0, le=65535, description="Port of health and metrics; 0: a free one, in the log.")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    slice_ms: int = Field(
        250,
        ge=10,
        le=5000,
        description="A source slice is cut this often; under load up to four times as long.",
    )
    slice_records_max: int = Field(20_000, ge=1, le=200_000)
    dedup_horizon_seconds: int = Field(
        600, ge=10, le=86_400, description="How long an event id is remembered."
    )
    event_age_seconds_max: int = Field(30 * 86_400, ge=60, description="Older events are dead-lettered.")
    event_ahead_seconds_max: int = Field(
        600, ge=0, description="Events further in the future are dead-lettered."
    )
    checkpoint_seconds: float = Field(
        2.0,
        gt=0,
        le=60,
        description="Between two checkpoints; more where they would take over a tenth of a worker.",
    )
    rollup_seconds: int = Field(10, ge=1, le=15, description="Open panes go out at least this often.")
    scopes_per_axis_max: int = Field(
        100_000, ge=10, description="Per deltas partition; more fold into `~other`."
    )
    slack_bot_token: SecretStr | None = None
    slack_channel: str | None = None
    slack_base_url: str = "https://slack.com/api/"
    pagerduty_routing_key: SecretStr | None = None
    pagerduty_base_url: str = "https://events.pagerduty.com"

    @field_validator("bootstrap_servers")
    @classmethod
    def _hosts_and_ports(cls, servers: str | None) -> str | None:
        for server in servers.split(",") if servers is not None else ():
            host, _, port = server.strip().rpartition(":")
            if not host or not port.isdecimal() or "/" in host:
                msg = f"host:port is expected, several with commas between, not {server!r}"
                raise ValueError(msg)
        return servers

    @field_validator("further_axes", mode="before")
    @classmethod
    def _list_of_axes(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            try:
                return json.loads(value)
            except ValueError:
                msg = "an array in JSON, or names with commas between, is expected"
                raise ValueError(msg) from None
        return [axis.strip() for axis in value.split(",") if axis.strip()]

    @field_validator("further_axes")
    @classmethod
    def _known_axes(cls, axes: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [a for a in axes if a not in FURTHER_AXES and not a.startswith("labels.")]
        if unknown or len(axes) > FURTHER_AXES_MAX or len(set(axes)) < len(axes):
            wrong = f"{', '.join(unknown)} is no axis: " if unknown else ""
            known = f"{', '.join(FURTHER_AXES)} or labels.<name>"
            msg = f"{wrong}at most {FURTHER_AXES_MAX} different ones of {known}"
            raise ValueError(msg)
        return axes

    @model_validator(mode="after")
    def _slack_is_whole(self) -> Settings:
        if (self.slack_bot_token is None) != (self.slack_channel is None):
            msg = "SLACK_BOT_TOKEN and SLACK_CHANNEL go together: set both or neither"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _sasl_is_whole(self) -> Settings:
        given = (self.sasl_plain_username is not None, self.sasl_plain_password is not None)
        if self.security_protocol.startswith("SASL") and not all(given):
            needed = f"{PREFIX}SASL_PLAIN_USERNAME and _PASSWORD"
            msg = f"{PREFIX}SECURITY_PROTOCOL={self.security_protocol} needs {needed}"
            raise ValueError(msg)
        if any(given) and not self.security_protocol.startswith("SASL"):
            # Going on would send everything without the protection that somebody asked for.
            wrong = f"{PREFIX}SECURITY_PROTOCOL is {self.security_protocol}"
            msg = f"{PREFIX}SASL_PLAIN_* are set, but {wrong}: set SASL_SSL or SASL_PLAINTEXT"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _ssl_is_whole(self) -> Settings:
        files = {"CAFILE": self.ssl_cafile, "CERTFILE": self.ssl_certfile, "KEYFILE": self.ssl_keyfile}
        given = {name: path for name, path in files.items() if path is not None}
        if given and not self.security_protocol.endswith("SSL"):
            wrong = f"{PREFIX}SECURITY_PROTOCOL is {self.security_protocol}"
            msg = f"{PREFIX}SSL_{min(given)} is set, but {wrong}: set SSL or SASL_SSL"
            raise ValueError(msg)
        if self.ssl_keyfile is not None and self.ssl_certfile is None:
            msg = f"{PREFIX}SSL_KEYFILE is set without {PREFIX}SSL_CERTFILE: a client certificate needs both"
            raise ValueError(msg)
        for name, path in given.items():
            if not os.access(path, os.R_OK) or path.is_dir():
                msg = f"{PREFIX}SSL_{name}: there is no file {path} that can be read"
                raise ValueError(msg)
        return self

    @property
    def axes(self) -> tuple[str, ...]:
        """The six axes and the further ones."""
        return (*AXES, *self.further_axes)

    def topic(self, name: str) -> str:
        """A topic's or group's full name."""
        return self.topic_prefix + name

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, that over secret files, those over `tokenfuse.yaml`."""
        return (
            init_settings,
            env_settings,
            FileSecretsSource(settings_cls),
            YamlSource(settings_cls),
        )
