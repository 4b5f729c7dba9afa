"""A server with the service Conformance of docs/CONFORMANCE.md: `python3 server.py [PORT]`."""

import asyncio
import collections
import json
import sys

import frames
from connection import Connection, close
from frames import RpcError

HANDSHAKE_TIMEOUT, MAX_IN_FLIGHT, HEARTBEAT = 5, 1_024, 500


def streams(handler):
    """Mark a handler whose arguments are a stream."""
    handler.streams = True
    return handler


def conformance(drain):
    """The handlers by name. A canceled handler sets the event of the key that it was called with."""
    stops = collections.defaultdict(asyncio.Event)

    async def features(_, __):
        return ["streams", "callbacks", "json", "values", "limits", "drain"]

    async def echo(value, _):
        return value

    async def length(value, _):
        return len(value) if isinstance(value, (list, str)) else 1

    async def fail(error, _):
        raise RpcError(error["code"], error["message"], error.get("details"))

    async def crash(text, _):
        raise RuntimeError(text)

    async def text(size, _):
        return "x" * size

    async def sleep(ms, _):
        await asyncio.sleep(ms / 1000)

    async def hang(key, _):
        try:
            await asyncio.Event().wait()
        finally:
            stops[key].set()

    async def stopped(key, _):
        await stops[key].wait()

    async def count(args, _):
        n = 0
        try:
            while n < args["to"]:
                n += 1
                yield n
        finally:
            if n < args["to"]:
                stops[args.get("key")].set()

    async def texts(args, _):
        for _ in range(args["items"]):
            yield "x" * args["of"]

    @streams
    async def sum(numbers, _):
        total = 0
        async for n in numbers:
            if not isinstance(n, (int, float)):
                raise RpcError("invalid_argument", "Cannot sum: expected numbers")
            total += n
        return total

    @streams
    async def chat(items, _):
        async for item in items:
            yield item

    @streams
    async def stall(_, __):
        await asyncio.Event().wait()

    async def callBack(args, connection):
        return await connection.call(args["method"], args["args"])

    async def drain_all(_, __):
        asyncio.get_running_loop().call_later(0.01, drain)

    handlers = [features, echo, length, fail, crash, text, sleep, hang, stopped, count, texts, sum, chat, stall, callBack]
    return {f"Conformance.{handler.__name__}": handler for handler in handlers} | {"Conformance.drain": drain_all}


class Server:
    def __init__(self):
        self.connections, self.listener = set(), None
        self.methods = conformance(self.drain)

    async def serve(self, port=0):
        """Listen, print the address, and return after draining."""
        self.listener = await asyncio.start_server(self.accept, "127.0.0.1", port)
        print("tcp@127.0.0.1:%d" % self.listener.sockets[0].getsockname()[1], flush=True)
        await self.listener.wait_closed()

    def drain(self):
        self.listener.close()
        for connection in list(self.connections):
            connection.drain()

    async def accept(self, reader, writer):
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT):
                line = await frames.read_line(reader)
                if line is None:
                    return writer.close()
                option = frames.check_option(line)
        except TimeoutError:
            return await self.refuse(reader, writer, RpcError("deadline_exceeded", "The handshake timed out"))
        except RpcError as error:
            return await self.refuse(reader, writer, error)
        except OSError:
            return writer.close()
        self.write_line(writer, {
            "magicNumber": frames.MAGIC, "version": frames.VERSION, "codecType": option["codecType"],
            "handleTimeout": option["handleTimeout"], "maxFrameBytes": frames.MAX_FRAME,
            "maxInFlight": MAX_IN_FLIGHT, "heartbeatInterval": HEARTBEAT})
        connection = Connection(reader, writer, dialled=False, codec=option["codecType"],
                                max_frame=option["maxFrameBytes"], methods=self.methods,
                                max_in_flight=MAX_IN_FLIGHT, handle_timeout=option["handleTimeout"],
                                heartbeat=HEARTBEAT)
        self.connections.add(connection)
        try:
            await connection.run()
        finally:
            self.connections.discard(connection)

    def write_line(self, writer, fields):
        writer.write(json.dumps(fields).encode() + b"\n")

    async def refuse(self, reader, writer, error):
        self.write_line(writer, {"error": {"code": error.code, "message": error.message}})
        await close(reader, writer)


if __name__ == "__main__":
    sys.setrecursionlimit(10_000)  # a line of 4096 bytes may contain 2000 nested arrays
    asyncio.run(Server().serve(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
