"""The way from the machine into a cluster: TCP connections to 127.0.0.1, carried to the API server.

Run as a program inside the control plane's network namespace, with a listening socket that was
opened outside. A socket stays in the namespace it was made in, so what is accepted comes from the
machine, and what is opened here goes to the cluster.
"""

import asyncio
import socket
import sys
from contextlib import closing, suppress

_CHUNK = 1 << 16
_CONNECT_TIMEOUT = 10.0


async def relay(listener: socket.socket, host: str, port: int) -> None:
    """Serve until cancelled. A connection that breaks ends alone."""

    async def serve(client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError), closing(client_out):
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                server_in, server_out = await asyncio.open_connection(host, port)
            with closing(server_out):
                await _join((client_in, server_out), (server_in, client_out))

    async with await asyncio.start_server(serve, sock=listener) as server:
        await server.serve_forever()


async def _join(*ways: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    """Copy in both directions until both have ended, or one has broken."""
    try:
        async with asyncio.TaskGroup() as group:
            for source, sink in ways:
                group.create_task(_copy(source, sink))
    except* OSError:
        pass  # somebody hung up; the caller closes both sides


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(_CHUNK):
        sink.write(data)
        await sink.drain()
    sink.write_eof()  # the other direction may well go on
    await sink.drain()


def main() -> None:
    """Relay the listening socket number `argv[1]` to address `argv[2]`, port `argv[3]`."""
    _, number, host, port = sys.argv
    asyncio.run(relay(socket.socket(fileno=int(number)), host, int(port)))


if __name__ == "__main__":
    main()
