"""Drivers of what the light passes: attenuators, amplifiers, polarisation controllers, switches."""
