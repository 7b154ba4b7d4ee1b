"""Calibration routines: what is measured before a run may be trusted."""
