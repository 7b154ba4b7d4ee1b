"""Calibration routines: what a physicist measures before a run may be trusted."""
