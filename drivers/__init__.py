"""Ground floor: the backend interfaces and everything that touches an instrument."""
