"""What the twins of one maker have in common in their remote control."""
