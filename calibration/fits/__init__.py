"""Fits from data to quantities, each with an interval that covers the truth as often as it says."""
