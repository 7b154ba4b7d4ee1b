"""Secure deep-learning inference over light."""
