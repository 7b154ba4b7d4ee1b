"""Drivers of lasers, one file per model or family."""
