"""The Faust shell that makes a pure core exact: state is a function of a prefix of one input partition.

Read in this order: `core` (what a core must offer), `rows` and `ledger` (what stands in the changelog), `recovery`
(back from it), `partition` and `checkpoint` (the loop), `app` and `run` (inside Faust), `watchdog`, `exits`.
The protocol and why each step is needed: docs/adr/0003.
"""
