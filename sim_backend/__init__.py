"""Simulated light: links and receivers that implement the interfaces of `drivers`."""
