"""Twins: emulators that speak an instrument's remote control and act on the shared scene."""
