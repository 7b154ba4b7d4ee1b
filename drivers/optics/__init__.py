"""From instruments to quadratures: bursts, synchronisation, phase, shot-noise units."""
