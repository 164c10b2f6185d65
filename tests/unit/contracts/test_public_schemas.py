"""The published schemas: in step with the code, valid by their dialect, and true of what we write."""

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from tokenfuse.cli.schema import SchemaName, schema_text
from tokenfuse.contracts import alert, command, expectation, killswitch, rollup
from tokenfuse.contracts.event import decode_event, encode_event
from tokenfuse.contracts.measures import MEASURES
from tokenfuse.contracts.public.alert import Alert
from tokenfuse.contracts.public.command import Command
from tokenfuse.contracts.public.expectation import Expectation
from tokenfuse.contracts.public.killswitch import KillSwitch
from tokenfuse.contracts.public.rollup import Rollup

SCHEMAS = Path(__file__).parents[3] / "schemas"
AT = "2025-11-24T16:00:00Z"

ALERT = alert.Alert(
    fingerprint="0123456789abcdef", seq=7, rule="tenant-cap", kind="cap", driver="volume", scope={"tenant": "acme"},
    state="firing", starts_at=AT, at=AT, severity="page", value=120.5, threshold=100, unit="usd", excess_usd="20.5",
    excess_usd_per_hour="3.25", summary="acme is over its cap.", drivers=(alert.DriverUsd(driver="volume", usd="20.5"),),
    contributors=(alert.ContributorUsd(axis="feature", value="chat", usd="20.5", share=1.0),), examples=("e-1",),
    enforcement=alert.Enforcement(action="block", mode="enforce", expires_at=AT, generation=7),
    cost_change=alert.CostChange(starts_at=AT, ends_at=AT, spent_usd="30.5", usual_usd="10"),
)  # fmt: skip
SWITCH = killswitch.Switch(
    scope={"tenant": "acme"}, action="block", mode="enforce", reason="cap", engaged_at=AT, expires_at=AT,
    engaged_by="tenant-cap", generation=7,
)  # fmt: skip
COMMAND = command.Command(
    id="c-1", kind="engage", at=AT, by="alice@cli", scope={}, action="block", ttl_seconds=60
)
EXPECTATION = expectation.Expectation(
    id="change-1", kind="change", scope={"tenant": "acme"}, by="alice@cli", reason="launch", starts_at=AT, ends_at=AT,
    factor=3.0, generation=7,
)  # fmt: skip
ROLLUP = rollup.Rollup("tenant", "acme", "1m", 1764000000, 3, tuple(range(len(MEASURES))))

WRITTEN = {
    "alert": (Alert, alert.encode_alert(ALERT)),
    "killswitch": (KillSwitch, killswitch.encode_switch(SWITCH)),
    "command": (Command, command.encode_command(COMMAND)),
    "expectation": (Expectation, expectation.encode_expectation(EXPECTATION)),
    "rollup": (Rollup, rollup.encode_rollup(ROLLUP)),
}


@pytest.mark.parametrize("name", [name.value for name in SchemaName])
def test_the_checked_in_schema_is_what_the_code_says(name):
    """After a change: `tokenfuse schema --write schemas`."""
    assert (SCHEMAS / f"{name}.json").read_text(encoding="utf-8") == schema_text(name)


@pytest.mark.parametrize("name", [name.value for name in SchemaName])
def test_a_schema_is_valid_has_an_identity_and_describes_every_field(name):
    schema = json.loads(schema_text(name))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"].endswith("2020-12/schema")
    assert schema["$id"] == f"urn:tokenfuse:schema:{name}:v1"
    assert schema["title"]
    if name != "rule":
        assert [field for field, spec in schema["properties"].items() if "description" not in spec] == []


@pytest.mark.parametrize("name", list(WRITTEN))
def test_what_the_product_writes_is_valid_by_schema_and_model(name):
    model, data = WRITTEN[name]
    jsonschema.validate(json.loads(data), json.loads(schema_text(name)))
    assert model.from_json(data)


@pytest.mark.parametrize(
    ("struct", "model"),
    [(alert.Alert, Alert), (killswitch.Switch, KillSwitch), (command.Command, Command),
     (expectation.Expectation, Expectation), (alert.Held, Alert.model_fields["held"].annotation.__args__[0]),
     (alert.CostChange, Alert.model_fields["cost_change"].annotation.__args__[0]),
     (alert.Forecast, Alert.model_fields["forecast"].annotation.__args__[0]),
     (alert.Enforcement, Alert.model_fields["enforcement"].annotation.__args__[0])],
)  # fmt: skip
def test_struct_and_model_have_the_same_fields_in_the_same_order(struct, model):
    fields = msgspec.structs.fields(struct)
    assert [field.name for field in fields] == list(model.model_fields)
    assert [field.required for field in fields] == [
        field.is_required() for field in model.model_fields.values()
    ]


def test_every_measure_of_a_rollup_is_published():
    assert list(Rollup.model_fields)[-len(MEASURES) :] == list(MEASURES)


@pytest.mark.parametrize("cost", ["0.5", "1e-7", 0.25, 1, None])
def test_an_accepted_event_is_valid_by_the_schema(cost):
    event = {
        "id": "e",
        "time": AT,
        "tenant": "t",
        "feature": "f",
        "model": "m",
        "input_tokens": 1,
        "output_tokens": 1,
    }
    event["cost_usd"] = cost
    schema = json.loads(schema_text("event"))
    jsonschema.validate(event, schema)
    jsonschema.validate(json.loads(encode_event(decode_event(json.dumps(event).encode()))), schema)


@pytest.mark.parametrize(
    "bad", [{"input_tokens": -1}, {"cost_usd": -1}, {"cost_usd": "a"}, {"tenant": ""}, {"status": "x"}]
)
def test_a_refused_event_is_invalid_by_the_schema(bad):
    event = {
        "id": "e",
        "time": AT,
        "tenant": "t",
        "feature": "f",
        "model": "m",
        "input_tokens": 1,
        "output_tokens": 1,
    }
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**event, **bad}, json.loads(schema_text("event")))
