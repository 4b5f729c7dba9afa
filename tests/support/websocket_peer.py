"""The package websockets as a peer. `serve` echoes what comes, in fragments and with pings between, and prints its port;
`client PORT` shakes hands with a server of RPC, pings it, and prints what it saw as JSON."""
import asyncio, json, sys
import websockets


async def echo(socket, path=None):
    async for message in socket:
        half = len(message) // 2
        await socket.ping()
        async def parts():
            yield message[:half]
            yield message[half:]
        await socket.send(parts())


async def serve():
    async with websockets.serve(echo, "127.0.0.1", 0, compression=None, max_size=2**20) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


async def client(port):
    async with websockets.connect("ws://127.0.0.1:%s/_rpc_" % port, max_size=2**20) as socket:
        await socket.send([b'{"magicNumber":', b"3927900}\n"])
        answer = json.loads(await socket.recv())
        await asyncio.wait_for(await socket.ping(b"are you there"), 5)
        # A Ping of RPC, number 7.
        await socket.send(bytes([0x5A, 0, 0, 0, 3, 0x82, 8, 7]))
        pong = await socket.recv()
    print(json.dumps({"version": answer["version"], "pong": list(pong), "closed": socket.close_code}), flush=True)


asyncio.run(serve() if sys.argv[1] == "serve" else client(sys.argv[2]))
