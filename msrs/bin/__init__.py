"""The commands: each parses, calls one room, returns an exit code."""
