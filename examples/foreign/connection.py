"""A connection after its handshake, for either side: calls in both directions, streams and credit, shutdown."""

import asyncio
import contextlib
import inspect
from collections import deque

import frames
from frames import CALL, CANCEL, CREDIT, END, ERROR, GOAWAY, ITEM, NOT_STARTED, PING, PONG, REPLY, RpcError, Violation

FIRST_ITEMS, FIRST_BYTES = 64, 262_144
FRAME_TIMEOUT, WRITE_TIMEOUT, HEARTBEAT_TIMEOUT, LINGER = 30, 10, 10, 1
LINGER_BYTES = 1_048_576
UNSENT = 4_194_304


class RecvStream:
    """Receiving half of a stream: buffered items and the credit granted to the sender."""

    def __init__(self, grant):
        self.grant, self.buffer, self.arrived = grant, deque(), asyncio.Event()
        self.items, self.bytes, self.taken = FIRST_ITEMS, FIRST_BYTES, [0, 0]
        self.started = self.ended = False
        self.error = None

    def spend(self, size):
        if self.ended:
            raise frames.malformed("An Item after the End of its stream")
        if self.items <= 0 or self.bytes <= 0:
            raise Violation("resource_exhausted", "An Item without credit")
        self.started, self.items, self.bytes = True, self.items - 1, self.bytes - size

    def push(self, value, size):
        self.buffer.append((value, size))
        self.arrived.set()

    def end(self, error=None):
        if self.ended and error is None:
            raise frames.malformed("A second End")
        self.ended, self.error = True, self.error or error
        self.arrived.set()

    def __aiter__(self):
        return self

    async def __anext__(self):
        while not self.buffer:
            if self.ended:
                if self.error:
                    raise self.error
                raise StopAsyncIteration
            self.arrived.clear()
            await self.arrived.wait()
        value, size = self.buffer.popleft()
        self.taken = [self.taken[0] + 1, self.taken[1] + size]
        if not self.ended and (self.taken[0] >= FIRST_ITEMS // 2 or self.taken[1] >= FIRST_BYTES // 2):
            items, size = self.taken
            self.items, self.bytes, self.taken = self.items + items, self.bytes + size, [0, 0]
            self.grant(items, size)
        return value


class SendStream:
    """Sending half of a stream: the remaining credit, and waiting for more."""

    def __init__(self):
        self.items, self.bytes, self.more, self.error = FIRST_ITEMS, FIRST_BYTES, asyncio.Event(), None

    def credit(self, items, size):
        self.items, self.bytes = self.items + items, self.bytes + size
        if max(self.items, self.bytes) > frames.LARGEST:
            raise frames.malformed("The credit of a stream is above 2^53-1")
        self.more.set()

    def end(self, error):
        self.error = error
        self.more.set()

    async def wait(self):
        while self.items <= 0 or self.bytes <= 0:
            if self.error:
                raise self.error
            self.more.clear()
            await self.more.wait()


class Call:
    """A call in flight, made or handled by this side."""

    def __init__(self, recv_stream=None):
        self.recv_stream, self.send_stream, self.task, self.closed = recv_stream, SendStream(), None, False
        self.result = None  # for a call made by this side: a future


class Connection:
    """`methods` maps names to handlers `f(args, connection)`; those with `f.streams` take an async iterator."""

    def __init__(self, reader, writer, *, dialled, codec, max_frame, methods, max_in_flight=1024, handle_timeout=0,
                 heartbeat=30_000):
        self.reader, self.writer, self.dialled, self.max_frame = reader, writer, dialled, max_frame
        self.encode, self.decode = frames.CODECS[codec]
        self.methods, self.max_in_flight, self.handle_timeout = methods, max_in_flight, handle_timeout
        self.heartbeat = heartbeat / 1000 or None
        self.data, self.frame_at = bytearray(), None
        self.last_seq, self.next_seq = 0, 1 if dialled else 2
        self.made, self.handling = {}, {}
        self.draining = self.peer_draining = self.peer_ended = self.finished = False
        self.my_max_frame = frames.MAX_FRAME
        self.idle = asyncio.Event()

    # -- calls made by this side

    async def call(self, method, args=None, timeout=30_000, metadata=None, *, items=None):
        """Make a call and return its result; `items` is a stream of arguments."""
        call, seq = self.begin(method, args, timeout, metadata, items, None)
        try:
            async with asyncio.timeout(timeout and timeout / 1000):
                return await call.result
        except TimeoutError:
            raise RpcError("deadline_exceeded", f"{method} was not answered within {timeout} ms") from None
        finally:
            self.abandon(seq, call)

    async def stream(self, method, args=None, timeout=30_000, metadata=None, *, items=None):
        """Make a call and iterate over the items of its response."""
        call, seq = self.begin(method, args, timeout, metadata, items,
                               RecvStream(lambda *credit: self.send([CREDIT, seq, *credit])))
        try:
            async for item in call.recv_stream:
                yield item
        finally:
            self.abandon(seq, call)

    def begin(self, method, args, timeout, metadata, items, recv_stream):
        if self.draining or self.peer_draining or self.finished:
            raise RpcError("unavailable", "The connection accepts no more calls", not_started=True)
        seq, call = self.next_seq, Call(recv_stream)
        header = [CALL, seq, method, timeout and max(1, int(timeout))] + ([metadata] if metadata else [])
        try:
            self.send(header, None if items is not None else self.encode(args))
        except RpcError as error:
            error.not_started = True
            raise
        self.next_seq += 2
        call.result = asyncio.get_running_loop().create_future()
        self.made[seq] = call
        if items is not None:
            call.task = asyncio.create_task(self.send_arguments(seq, call, items))
        return call, seq

    async def send_arguments(self, seq, call, items):
        with contextlib.suppress(RpcError):
            await self.send_items(seq, call, items)
            self.send([END, seq])

    def abandon(self, seq, call):
        """The caller stops waiting: cancel the call if it has not been answered."""
        if self.made.pop(seq, None) is not None:
            self.send([CANCEL, seq])
        if call.task:
            call.task.cancel()
        if call.result.done() and not call.result.cancelled():
            call.result.exception()  # mark the exception as retrieved
        self.finish_if_idle()

    def settle(self, seq, call, result=None, error=None):
        self.made.pop(seq, None)
        if call.recv_stream:
            call.recv_stream.end(error)
        elif not call.result.done():
            call.result.set_exception(error) if error else call.result.set_result(result)

    def expect(self, seq):
        """The call of a response; None if it has ended."""
        if seq % 2 != self.next_seq % 2 or seq >= self.next_seq:
            raise frames.malformed(f"Call {seq} was never made")
        return self.made.get(seq)

    def on_answer(self, header, body):
        kind, seq = header[:2]
        call = self.expect(seq)
        if call is None:
            return
        if kind == ERROR:
            code, message, metadata = header[2:5]
            try:
                details = self.decode(body) if body else None
            except ValueError:
                details = None
            code = code if code in frames.CODES else "unknown"
            return self.settle(seq, call, error=RpcError(code, message, details, "not-started" in metadata))
        if call.recv_stream is None and kind in (ITEM, END):
            if kind == ITEM:
                self.send([CANCEL, seq])
            return self.settle(seq, call, error=RpcError("unimplemented", "The method responds with a stream"))
        if kind == END:
            return self.settle(seq, call)
        if kind == REPLY and call.recv_stream and call.recv_stream.started:
            raise frames.malformed("A Reply after Items")
        if kind == ITEM:
            call.recv_stream.spend(len(body))
        try:
            value = self.decode(body) if body else None
        except ValueError as error:
            if kind == ITEM:
                self.send([CANCEL, seq])
            return self.settle(seq, call, error=RpcError("data_loss", str(error)))
        if kind == ITEM:
            return call.recv_stream.push(value, len(body))
        if call.recv_stream:
            call.recv_stream.push(value, 0)  # a single value is a stream of one item
        self.settle(seq, call, value)

    # -- calls handled by this side

    def on_call(self, seq, method, timeout, body):
        if seq % 2 == self.next_seq % 2 or seq <= self.last_seq:
            raise frames.malformed(f"Call {seq} has a wrong number")
        if self.draining:
            return
        self.last_seq = seq
        try:
            if len(self.handling) >= self.max_in_flight:
                raise RpcError("resource_exhausted", f"More than {self.max_in_flight} calls are in flight")
            handler = self.find(method)
            streams = getattr(handler, "streams", False)
            if streams == bool(body):
                raise RpcError("invalid_argument", f"{method} takes {'a stream' if streams else 'one value'}")
            call = Call()
            if streams:
                call.recv_stream = RecvStream(lambda *credit: call.closed or self.send([CREDIT, seq, *credit]))
            args = call.recv_stream if streams else self.decode(body)
        except ValueError as error:
            return self.fail(seq, RpcError("invalid_argument", str(error)), NOT_STARTED)
        except RpcError as error:
            return self.fail(seq, error, NOT_STARTED)
        self.handling[seq] = call
        limits = [ms / 1000 for ms in (timeout, self.handle_timeout) if ms]
        call.task = asyncio.create_task(self.answer(seq, call, handler, args, min(limits, default=None)))
        call.task.add_done_callback(lambda _: self.returned(seq))

    def find(self, method):
        service, dot, name = method.rpartition(".")
        if not (service and dot and name):
            raise RpcError("unimplemented", "A method's name has the form Service.Method")
        if method not in self.methods:
            raise RpcError("unimplemented", "Unknown service or method")
        return self.methods[method]

    async def answer(self, seq, call, handler, args, limit):
        try:
            async with asyncio.timeout(limit):
                result = handler(args, self)
                if inspect.isasyncgen(result):
                    async with contextlib.aclosing(result):
                        await self.send_items(seq, call, result)
                    self.reply(seq, call, [END, seq])
                else:
                    self.reply(seq, call, [REPLY, seq], self.encode(await result))
        except asyncio.CancelledError:
            pass  # the canceler has sent the response, if one is needed
        except TimeoutError:
            self.fail(seq, RpcError("deadline_exceeded", "The call was not answered within its timeout"), None, call)
        except RpcError as error:
            self.fail(seq, error, None, call)
        except Exception:  # an unexpected exception of the handler
            self.fail(seq, RpcError("internal", "The handler failed"), None, call)

    def returned(self, seq):
        """The handler has returned, or was never started."""
        self.handling.pop(seq).closed = True
        self.finish_if_idle()

    def reply(self, seq, call, header, body=b""):
        if not call.closed:
            call.closed = True
            try:
                self.send(header, body)
            except RpcError as error:
                self.fail(seq, error)

    def fail(self, seq, error, metadata=None, call=None):
        """Send an Error, shortened if the peer does not accept its length."""
        if call and call.closed:
            return
        if call:
            call.closed = True
        rest = [metadata] if metadata else []
        try:
            details = b"" if error.details is None else self.encode(error.details)
        except (TypeError, ValueError):
            details = b""
        for message, body in ((frames.cut(error.message), details), (frames.cut(error.message), b"")):
            with contextlib.suppress(RpcError):
                return self.send([ERROR, seq, error.code, message, *rest], body)
        self.send([ERROR, seq, error.code, frames.cut(error.message, 64), *rest])

    def reject(self, seq, call, error):
        self.fail(seq, error, None, call)
        call.task.cancel()

    def on_argument(self, kind, seq, body):
        if seq > self.last_seq and not self.draining:
            raise frames.malformed(f"Call {seq} was never made")
        call = self.handling.get(seq)
        if call is None or call.closed:
            return
        if call.recv_stream is None:
            return self.reject(seq, call, RpcError("invalid_argument", "The method does not take a stream"))
        if kind == END:
            return call.recv_stream.end()
        call.recv_stream.spend(len(body))
        try:
            value = self.decode(body) if body else None
        except ValueError as error:
            return self.reject(seq, call, RpcError("invalid_argument", str(error)))
        call.recv_stream.push(value, len(body))

    async def send_items(self, seq, call, items):
        """Send items as credit allows. The next item is awaited before there is credit, because End needs none."""
        async for item in items:
            await call.send_stream.wait()
            body = self.encode(item)
            self.send([ITEM, seq], body)
            call.send_stream.items -= 1
            call.send_stream.bytes -= len(body)
            await self.writer.drain()

    # -- the connection

    def send(self, header, body=b""):
        """Send a frame; RpcError if it exceeds the peer's maximum length."""
        data = frames.frame(header, body or b"")
        if data is None or len(data) - 5 > self.max_frame:
            raise RpcError("resource_exhausted", "The frame exceeds the peer's maximum length")
        if not self.finished:
            self.writer.write(data)

    async def run(self):
        """Read until the end, and return when the connection is closed."""
        self.writer.transport.set_write_buffer_limits(high=UNSENT)
        try:
            await self.read()
        except Violation as violation:
            self.send_goaway(violation.code, str(violation))
            self.abort(RpcError("unavailable", f"The connection was closed: {violation}"))
        except (OSError, TimeoutError) as error:
            self.abort(RpcError("unavailable", f"The connection was lost: {error}"))
            return self.writer.transport.abort()
        await close(self.reader, self.writer, self.peer_ended)

    async def read(self):
        finished = asyncio.create_task(self.idle.wait())
        try:
            while not self.finished and not self.peer_ended:
                reading = asyncio.create_task(self.receive())
                await asyncio.wait((reading, finished), return_when=asyncio.FIRST_COMPLETED)
                if finished.done():
                    reading.cancel()
                    await asyncio.wait((reading,))
                    return
                await self.take(reading.result())
            await finished
        finally:
            finished.cancel()

    async def receive(self):
        """Receive bytes, b"" at the end. Ping after a silence, and give up if there is no response."""
        if self.frame_at is not None:
            remaining = self.frame_at + FRAME_TIMEOUT + len(self.data) // 65_536 - asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(remaining):
                    return await self.reader.read(65_536)
            except TimeoutError:
                raise Violation("deadline_exceeded", "A frame was not completed within the timeout") from None
        try:
            async with asyncio.timeout(self.heartbeat):
                return await self.reader.read(65_536)
        except TimeoutError:
            self.send([PING, 0])
            async with asyncio.timeout(HEARTBEAT_TIMEOUT):
                return await self.reader.read(65_536)

    async def take(self, chunk):
        if not chunk:
            return self.on_end()
        self.data += chunk
        while self.data and not self.finished:
            if self.data[0] != 0x5A:
                raise malformed_head()
            length = int.from_bytes(self.data[1:5], "big")
            if len(self.data) >= 5 and length == 0:
                raise malformed_head()
            if len(self.data) >= 5 and length > self.my_max_frame:
                raise Violation("resource_exhausted", f"A frame of {length} bytes")
            if len(self.data) < 5 or len(self.data) < 5 + length:
                break
            content = bytes(self.data[5:5 + length])
            del self.data[:5 + length]
            self.frame_at = None
            header, body = frames.read_header(content)
            self.on_frame(header, body)
            if header[0] in (CALL, PING):
                async with asyncio.timeout(WRITE_TIMEOUT):
                    await self.writer.drain()  # backpressure: stop reading from a peer that does not read
        if self.data and self.frame_at is None:
            self.frame_at = asyncio.get_running_loop().time()
        self.finish_if_idle()

    def on_frame(self, header, body):
        kind, n = header[:2]
        mine = n % 2 == self.next_seq % 2
        if kind == CALL:
            self.on_call(n, header[2], header[3], body)
        elif kind in (REPLY, ERROR) or kind in (ITEM, END) and mine:
            self.on_answer(header, body)
        elif kind in (ITEM, END):
            self.on_argument(kind, n, body)
        elif kind == CANCEL and n in self.handling:
            self.handling[n].closed = True
            self.handling[n].task.cancel()
        elif kind == CREDIT:
            call = (self.made if mine else self.handling).get(n)
            if call and not call.closed:
                call.send_stream.credit(*header[2:4])
        elif kind == PING:
            self.send([PONG, n])
        elif kind == GOAWAY:
            self.on_goaway(*header[1:4])

    def on_goaway(self, last_seq, code, message):
        self.peer_draining = True
        for seq, call in list(self.made.items()):
            if seq > last_seq:
                self.settle(seq, call, error=RpcError("unavailable", message, not_started=True))
            elif code != "unavailable":
                self.settle(seq, call, error=RpcError("unavailable", message))

    def on_end(self):
        if self.data:
            raise OSError("the stream ended inside a frame")
        self.peer_ended = True
        lost = RpcError("unavailable", "The other side has ended the connection")
        for seq, call in list(self.made.items()):
            self.settle(seq, call, error=lost)
        for call in self.handling.values():
            call.send_stream.end(lost)
            if call.recv_stream and not call.recv_stream.ended:
                call.recv_stream.end(lost)
        self.finish_if_idle()

    def drain(self):
        """Accept no further calls, finish those in flight, then end."""
        if not self.draining and not self.finished:
            self.send_goaway("unavailable", "Shutting down")
            self.finish_if_idle()

    def send_goaway(self, code, message):
        self.draining = True
        self.send([GOAWAY, self.last_seq, code, frames.cut(message, 128)])

    def finish_if_idle(self):
        if (self.draining or self.peer_draining or self.peer_ended) and not self.made and not self.handling:
            self.finished = True
            self.idle.set()

    def abort(self, error):
        """End every call: fail those made by this side with `error`, cancel the handlers of the others."""
        self.finished = True
        for seq, call in list(self.made.items()):
            self.settle(seq, call, error=error)
        for call in self.handling.values():
            call.closed = True
            call.task.cancel()


def malformed_head():
    return frames.malformed("A frame must begin with 0x5a and a length above 0")


async def close(reader, writer, peer_ended=False):
    """End this side, drain the input, then close: closing with unread input would discard sent data."""
    try:
        async with asyncio.timeout(WRITE_TIMEOUT):
            await writer.drain()
        writer.write_eof()
        async with asyncio.timeout(LINGER):
            remaining = 0 if peer_ended else LINGER_BYTES
            while remaining > 0 and (chunk := await reader.read(65_536)):
                remaining -= len(chunk)
    except (OSError, TimeoutError):
        pass
    writer.close()
