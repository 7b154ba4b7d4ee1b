"""Drivers of digitisers and power meters."""
