"""The receive window of a socket stream."""

import socket

from drivers.transports.socket_stream import SocketStream


def test_socket_stream_leaves_the_window_to_the_system_when_connected() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()[:2]
        with socket.create_connection((host, port)) as plain:
            stream = SocketStream.connect(host, port, 2.0)
            try:
                windows = [
                    one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
                    for one in (plain, stream._socket)
                ]
            finally:
                stream.close()
    assert windows[0] == windows[1]
