"""The compiled rules by kind: one file each, one struct per kind. `contracts.ruleset` lists them all."""
