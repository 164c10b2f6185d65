"""The decider: signals in; alerts, kill switches and control blocks out (DESIGN section 3). Pure."""

from tokenfuse.decide.decider.core import DeciderCore
from tokenfuse.decide.decider.outputs import ExpectationChange, Outputs, Reason, Refusal, SwitchChange

__all__ = ["DeciderCore", "ExpectationChange", "Outputs", "Reason", "Refusal", "SwitchChange"]
