"""One twin per driver, written from the maker's documents and not from the driver."""
