"""The parts of every service: claimed jobs, workers, start and stop, and requests between services.

Imports every other room.
"""
