"""What crosses a border: events, blocks, signals, alerts, switches, rollups, commands and topic names.

Everything here but `public/` is msgspec and standard library only, so that a gateway stays light.
"""
