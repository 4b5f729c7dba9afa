"""A client: `python3 client.py HOST:PORT METHOD [JSON]` makes a call, `python3 client.py` executes commands.

Commands are those of docs/CONFORMANCE.md: lines of JSON on standard input, answered on standard output.
"""

import asyncio
import json
import sys

import frames
from connection import Connection, close
from frames import RpcError

closing = set()  # keeps references to closing tasks: asyncio may discard unreferenced ones
FEATURES = ["streams", "callbacks", "json", "concurrent", "idle"]


async def echo(value, _):
    return value


async def connect(host, port, connectTimeout=10_000, methods=None, **option):
    """Connect to a server; returns the connection and the task that reads it. `option` adds fields to the option."""
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
            answer = frames.check_response(line, codec)
    except (OSError, TimeoutError, RpcError) as error:
        if writer:
            closing.add(task := asyncio.create_task(close(reader, writer)))
            task.add_done_callback(closing.discard)
        raise error if isinstance(error, RpcError) else RpcError("unavailable", f"Cannot connect: {error}") from None
    connection = Connection(reader, writer, dialled=True, codec=codec, max_frame=answer["maxFrameBytes"],
                            methods=methods or {}, handle_timeout=answer["handleTimeout"])
    connection.my_max_frame = option.get("maxFrameBytes", frames.MAX_FRAME)
    return connection, asyncio.create_task(connection.run())


class Commands:
    """Executes commands, on one connection at a time, and reports their outcomes."""

    def __init__(self):
        self.connection, self.running, self.tasks = None, None, {}

    async def run(self):
        self.report({"features": FEATURES})
        reader = asyncio.StreamReader(limit=1 << 26)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async for line in reader:
            command = json.loads(line)
            self.tasks[command["id"]] = asyncio.create_task(self.execute(command))

    async def execute(self, command):
        response = {"id": command["id"]}
        try:
            response |= await getattr(self, command["do"])(command)
        except RpcError as error:
            response["error"] = self.error(error)
        except asyncio.CancelledError:
            response["error"] = self.error(RpcError("canceled", "The call was canceled"))
        self.report(response)

    def report(self, message):
        print(json.dumps(message), flush=True)

    def error(self, error):
        reported = {"code": error.code, "message": error.message, "notStarted": error.not_started}
        return reported if error.details is None else reported | {"details": error.details}

    async def connect(self, command):
        option = {name: value for name, value in command.items() if name not in ("id", "do")}
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

    async def cancel(self, command):
        self.tasks[command["call"]].cancel()
        return {"result": None}

    def arguments(self, command):
        items = command.get("items")

        async def each():
            for item in items:
                yield item

        return {"method": command["method"], "args": command.get("args"), "timeout": command.get("timeout", 30_000),
                "metadata": command.get("metadata"), "items": each() if items is not None else None}

    async def call(self, command):
        return {"result": await self.connection.call(**self.arguments(command))}

    async def stream(self, command):
        items, stream = [], self.connection.stream(**self.arguments(command))
        try:
            if command.get("hold"):
                await anext(stream)
                await asyncio.Event().wait()
            async for item in stream:
                items.append(item)
                if len(items) == command.get("take"):
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
    asyncio.run(call_once(*sys.argv[1:]) if len(sys.argv) > 2 else Commands().run())
