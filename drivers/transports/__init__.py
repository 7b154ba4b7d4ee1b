"""How drivers talk to instruments: bytes over sockets, serial ports and VISA, one link per box."""
