"""An emulator of Globus Auth and the Globus Transfer API. It is its own program, serves the real SDK, and moves real bytes.

`__main__` starts it. `app` is the HTTP side, `world` holds the tasks, and `transfer` runs one task. Tests break the emulator
with `faults`, through the remote control in `client`. docs/globus-emulator.md explains its use and its differences from Globus.
"""
