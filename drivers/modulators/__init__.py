"""Drivers of what moves modulators: waveform generators, bias controllers and phase drivers."""
