"""What the instruments of one maker have in common in their remote control."""
