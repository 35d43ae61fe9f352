"""An emulator of Globus Auth and the Globus Transfer API: a program of its own, spoken to by the real SDK, moving real bytes.

`__main__` starts it; `app` is the HTTP face; `world` holds the tasks and `transfer` runs one; `faults` is what tests break it with;
`client` is the remote control. docs/globus-emulator.md says how to use it and where it differs from Globus.
"""
