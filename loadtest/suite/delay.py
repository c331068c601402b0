"""A way to a server that takes a fixed time: what round trips cost is then far more than anything else, and can be counted."""

import asyncio
import contextlib
import threading

CHUNK = 1 << 16


async def _now(reader, writer):
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


async def _take(reader, pieces, seconds):
    """Each piece with the time when it is due; the last is empty."""
    data = b"-"
    while data:
        try:
            data = await reader.read(CHUNK)
        except OSError:
            data = b""
        pieces.put_nowait((asyncio.get_running_loop().time() + seconds, data))


async def _give(pieces, writer):
    """In their order: pieces that came together go together."""
    with contextlib.suppress(OSError):
        while True:
            due, data = await pieces.get()
            await asyncio.sleep(max(0, due - asyncio.get_running_loop().time()))
            if not data:
                break
            writer.write(data)
            await writer.drain()
        writer.write_eof()


@contextlib.contextmanager
def delayed(port, seconds):
    """The port of 127.0.0.1 that leads to `port`; what is sent there arrives `seconds` later, what comes back at once."""
    loop = asyncio.new_event_loop()
    tasks = set()

    async def connected(reader, writer):
        tasks.add(asyncio.current_task())
        pieces, there = asyncio.Queue(), None
        try:
            back, there = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_take(reader, pieces, seconds), _give(pieces, there), _now(back, writer))
        except (OSError, asyncio.CancelledError):
            pass  # The server is gone, or the block has ended.
        finally:
            writer.close()
            if there is not None:
                there.close()
            tasks.discard(asyncio.current_task())

    async def end(server):
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(connected, "127.0.0.1", 0), loop).result()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(end(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
