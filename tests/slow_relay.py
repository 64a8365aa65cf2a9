"""A slow line: slow_relay.py PORT HOST HOSTPORT SECONDS passes on bytes that come to 127.0.0.1:PORT, each piece that much
later, in its order. A line on standard output says that it listens."""

import asyncio
import sys

PORT, HOST, HOSTPORT, DELAY = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])


async def passes(reader, writer):
    pieces = asyncio.Queue(maxsize=64)
    now = asyncio.get_running_loop().time

    async def later():
        while True:
            due, piece = await pieces.get()
            await asyncio.sleep(max(0, due - now()))
            if not piece:
                writer.close()
                return
            writer.write(piece)
            await writer.drain()

    task = asyncio.create_task(later())
    while piece := await reader.read(65536):
        await pieces.put((now() + DELAY, piece))
    await pieces.put((now() + DELAY, b""))
    await task


async def connected(reader, writer):
    try:
        far_reader, far_writer = await asyncio.open_connection(HOST, HOSTPORT)
    except OSError:
        writer.close()
        return
    await asyncio.gather(passes(reader, far_writer), passes(far_reader, writer), return_exceptions=True)
    for end in (writer, far_writer):
        end.close()


async def main():
    server = await asyncio.start_server(connected, "127.0.0.1", PORT)
    print("listening", flush=True)
    await server.serve_forever()


asyncio.run(main())
