"""A client of the wire: `python3 client.py HOST:PORT METHOD [JSON]` calls, `python3 client.py` takes orders.

Orders are the control protocol of docs/CONFORMANCE.md: lines of JSON on standard input, answered on standard output.
"""

import asyncio
import json
import sys

import frames
from connection import Connection, close
from frames import RpcError

closing = set()  # connections that are being closed: a task that nobody holds may vanish
FEATURES = ["streams", "callbacks", "json", "concurrent", "idle"]


async def echo(value, _):
    return value


async def connect(host, port, connectTimeout=10_000, methods=None, **option):
    """A connection to the server there, and the task that reads it. `option` has further fields of the option."""
    writer = None
    try:
        async with asyncio.timeout(connectTimeout and connectTimeout / 1000):
            reader, writer = await asyncio.open_connection(host, port)
            option = {"magicNumber": frames.MAGIC, "version": frames.VERSION, "connectTimeout": connectTimeout, **option}
            codec = option.setdefault("codecType", "application/cbor")
            writer.write(json.dumps(option).encode() + b"\n")
            line = await frames.read_line(reader)
            if line is None:
                raise RpcError("unavailable", "The server has closed the connection")
            answer = frames.judge_answer(line, codec)
    except (OSError, TimeoutError, RpcError) as error:
        if writer:
            closing.add(task := asyncio.create_task(close(reader, writer)))
            task.add_done_callback(closing.discard)
        raise error if isinstance(error, RpcError) else RpcError("unavailable", f"Cannot connect: {error}") from None
    connection = Connection(reader, writer, dialled=True, codec=codec, max_frame=answer["maxFrameBytes"],
                            methods=methods or {}, handle_timeout=answer["handleTimeout"])
    connection.my_max_frame = option.get("maxFrameBytes", frames.MAX_FRAME)
    return connection, asyncio.create_task(connection.run())


class Orders:
    """Does what it is told, one connection at a time, and tells what came of it."""

    def __init__(self):
        self.connection, self.running, self.tasks = None, None, {}

    async def follow(self):
        self.say({"features": FEATURES})
        reader = asyncio.StreamReader(limit=1 << 26)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async for line in reader:
            order = json.loads(line)
            self.tasks[order["id"]] = asyncio.create_task(self.obey(order))

    async def obey(self, order):
        said = {"id": order["id"]}
        try:
            said |= await getattr(self, order["do"])(order)
        except RpcError as error:
            said["error"] = self.error(error)
        except asyncio.CancelledError:
            said["error"] = self.error(RpcError("canceled", "The call was canceled"))
        self.say(said)

    def say(self, message):
        print(json.dumps(message), flush=True)

    def error(self, error):
        told = {"code": error.code, "message": error.message, "notStarted": error.not_started}
        return told if error.details is None else told | {"details": error.details}

    async def connect(self, order):
        option = {name: value for name, value in order.items() if name not in ("id", "do")}
        self.connection = None
        self.connection, self.running = await connect(**option, methods={"Client.echo": echo})
        return {"result": None}

    async def close(self, _):
        if self.connection:
            connection, self.connection = self.connection, None
            connection.drain()
            connection.abort(RpcError("canceled", "The client was closed"))
            connection.idle.set()
            await self.running
        return {"result": None}

    async def cancel(self, order):
        self.tasks[order["call"]].cancel()
        return {"result": None}

    def arguments(self, order):
        items = order.get("items")

        async def each():
            for item in items:
                yield item

        return {"method": order["method"], "args": order.get("args"), "timeout": order.get("timeout", 30_000),
                "metadata": order.get("metadata"), "items": each() if items is not None else None}

    async def call(self, order):
        return {"result": await self.connection.call(**self.arguments(order))}

    async def stream(self, order):
        items, stream = [], self.connection.stream(**self.arguments(order))
        try:
            if order.get("hold"):
                await anext(stream)
                await asyncio.Event().wait()
            async for item in stream:
                items.append(item)
                if len(items) == order.get("take"):
                    break
        except RpcError as error:
            return {"items": items, "error": self.error(error)}
        finally:
            await stream.aclose()
        return {"items": items}


async def call_once(address, method, args="null"):
    host, _, port = address.rpartition(":")
    connection, running = await connect(host.removeprefix("tcp@"), int(port))
    try:
        print(json.dumps(await connection.call(method, json.loads(args))))
    finally:
        connection.drain()
        await running


if __name__ == "__main__":
    asyncio.run(call_once(*sys.argv[1:]) if len(sys.argv) > 2 else Orders().follow())
