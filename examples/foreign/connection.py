"""One connection behind its handshake, for either side: calls both ways, streams and credit, and every way to end."""

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


class Inflow:
    """Items that come, for whoever iterates, and the credit that is given for them."""

    def __init__(self, grant):
        self.grant, self.held, self.arrived = grant, deque(), asyncio.Event()
        self.items, self.bytes, self.taken = FIRST_ITEMS, FIRST_BYTES, [0, 0]
        self.begun = self.ended = False
        self.error = None

    def spend(self, size):
        if self.ended:
            raise frames.malformed("An Item behind the End of its stream")
        if self.items <= 0 or self.bytes <= 0:
            raise Violation("resource_exhausted", "An Item without credit")
        self.begun, self.items, self.bytes = True, self.items - 1, self.bytes - size

    def push(self, value, size):
        self.held.append((value, size))
        self.arrived.set()

    def end(self, error=None):
        if self.ended and error is None:
            raise frames.malformed("A second End")
        self.ended, self.error = True, self.error or error
        self.arrived.set()

    def __aiter__(self):
        return self

    async def __anext__(self):
        while not self.held:
            if self.ended:
                if self.error:
                    raise self.error
                raise StopAsyncIteration
            self.arrived.clear()
            await self.arrived.wait()
        value, size = self.held.popleft()
        self.taken = [self.taken[0] + 1, self.taken[1] + size]
        if not self.ended and (self.taken[0] >= FIRST_ITEMS // 2 or self.taken[1] >= FIRST_BYTES // 2):
            items, size = self.taken
            self.items, self.bytes, self.taken = self.items + items, self.bytes + size, [0, 0]
            self.grant(items, size)
        return value


class Outflow:
    """The credit of items that go, and the waiting for it."""

    def __init__(self):
        self.items, self.bytes, self.more, self.dry = FIRST_ITEMS, FIRST_BYTES, asyncio.Event(), None

    def credit(self, items, size):
        self.items, self.bytes = self.items + items, self.bytes + size
        if max(self.items, self.bytes) > frames.LARGEST:
            raise frames.malformed("The credit of a stream is above 2^53-1")
        self.more.set()

    def end(self, error):
        self.dry = error
        self.more.set()

    async def wait(self):
        while self.items <= 0 or self.bytes <= 0:
            if self.dry:
                raise self.dry
            self.more.clear()
            await self.more.wait()


class Call:
    """A call under way, made or answered here."""

    def __init__(self, inflow=None):
        self.inflow, self.outflow, self.task, self.over = inflow, Outflow(), None, False
        self.result = None  # of one that is made here: a future


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
        self.made, self.answering = {}, {}
        self.leaving = self.peer_leaving = self.peer_ended = self.finished = False
        self.my_max_frame = frames.MAX_FRAME
        self.idle = asyncio.Event()

    # -- calls made here

    async def call(self, method, args=None, timeout=30_000, metadata=None, *, items=None):
        """The result of a call; `items` are arguments that stream."""
        call, seq = self.begin(method, args, timeout, metadata, items, None)
        try:
            async with asyncio.timeout(timeout and timeout / 1000):
                return await call.result
        except TimeoutError:
            raise RpcError("deadline_exceeded", f"No answer within {timeout} ms") from None
        finally:
            self.leave(seq, call)

    async def stream(self, method, args=None, timeout=30_000, metadata=None, *, items=None):
        """The items of an answer."""
        call, seq = self.begin(method, args, timeout, metadata, items,
                               Inflow(lambda *credit: self.send([CREDIT, seq, *credit])))
        try:
            async for item in call.inflow:
                yield item
        finally:
            self.leave(seq, call)

    def begin(self, method, args, timeout, metadata, items, inflow):
        if self.leaving or self.peer_leaving or self.finished:
            raise RpcError("unavailable", "The connection takes no more calls", not_started=True)
        seq, call = self.next_seq, Call(inflow)
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

    def leave(self, seq, call):
        """Nobody waits any more: if there was no answer, the other side is told so."""
        if self.made.pop(seq, None) is not None:
            self.send([CANCEL, seq])
        if call.task:
            call.task.cancel()
        if call.result.done() and not call.result.cancelled():
            call.result.exception()  # seen, be it by nobody
        self.finish_if_idle()

    def settle(self, seq, call, result=None, error=None):
        self.made.pop(seq, None)
        if call.inflow:
            call.inflow.end(error)
        elif not call.result.done():
            call.result.set_exception(error) if error else call.result.set_result(result)

    def expect(self, seq):
        """The call that an answer belongs to; None if it is over."""
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
        if call.inflow is None and kind in (ITEM, END):
            if kind == ITEM:
                self.send([CANCEL, seq])
            return self.settle(seq, call, error=RpcError("unimplemented", "It answers with a stream"))
        if kind == END:
            return self.settle(seq, call)
        if kind == REPLY and call.inflow and call.inflow.begun:
            raise frames.malformed("A Reply behind Items")
        if kind == ITEM:
            call.inflow.spend(len(body))
        try:
            value = self.decode(body) if body else None
        except ValueError as error:
            if kind == ITEM:
                self.send([CANCEL, seq])
            return self.settle(seq, call, error=RpcError("data_loss", str(error)))
        if kind == ITEM:
            return call.inflow.push(value, len(body))
        if call.inflow:
            call.inflow.push(value, 0)  # one value is a stream of one
        self.settle(seq, call, value)

    # -- calls answered here

    def on_call(self, seq, method, timeout, body):
        if seq % 2 == self.next_seq % 2 or seq <= self.last_seq:
            raise frames.malformed(f"Call {seq} has a wrong number")
        if self.leaving:
            return
        self.last_seq = seq
        try:
            if len(self.answering) >= self.max_in_flight:
                raise RpcError("resource_exhausted", f"More than {self.max_in_flight} calls are in flight")
            handler = self.find(method)
            streams = getattr(handler, "streams", False)
            if streams == bool(body):
                raise RpcError("invalid_argument", f"{method} takes {'a stream' if streams else 'one value'}")
            call = Call(Inflow(lambda *credit: call.over or self.send([CREDIT, seq, *credit])) if streams else None)
            args = call.inflow if streams else self.decode(body)
        except ValueError as error:
            return self.fail(seq, RpcError("invalid_argument", str(error)), NOT_STARTED)
        except RpcError as error:
            return self.fail(seq, error, NOT_STARTED)
        self.answering[seq] = call
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
            pass  # whoever canceled it has said what there was to say
        except TimeoutError:
            self.fail(seq, RpcError("deadline_exceeded", "The call took too long"), None, call)
        except RpcError as error:
            self.fail(seq, error, None, call)
        except Exception:  # what a handler throws without meaning it for its caller
            self.fail(seq, RpcError("internal", "The handler failed"), None, call)

    def returned(self, seq):
        """Its handler has returned, or was never started."""
        self.answering.pop(seq).over = True
        self.finish_if_idle()

    def reply(self, seq, call, header, body=b""):
        if not call.over:
            call.over = True
            try:
                self.send(header, body)
            except RpcError as error:
                self.fail(seq, error)

    def fail(self, seq, error, metadata=None, call=None):
        """Sends an Error: with all that it carries, or with as much as the other side takes."""
        if call and call.over:
            return
        if call:
            call.over = True
        rest = [metadata] if metadata else []
        try:
            details = b"" if error.details is None else self.encode(error.details)
        except (TypeError, ValueError):
            details = b""
        for message, body in ((frames.cut(error.message), details), (frames.cut(error.message), b"")):
            with contextlib.suppress(RpcError):
                return self.send([ERROR, seq, error.code, message, *rest], body)
        self.send([ERROR, seq, error.code, frames.cut(error.message, 64), *rest])

    def give_up(self, seq, call, error):
        self.fail(seq, error, None, call)
        call.task.cancel()

    def on_argument(self, kind, seq, body):
        if seq > self.last_seq and not self.leaving:
            raise frames.malformed(f"Call {seq} was never made")
        call = self.answering.get(seq)
        if call is None or call.over:
            return
        if call.inflow is None:
            return self.give_up(seq, call, RpcError("invalid_argument", "The method takes no stream"))
        if kind == END:
            return call.inflow.end()
        call.inflow.spend(len(body))
        try:
            value = self.decode(body) if body else None
        except ValueError as error:
            return self.give_up(seq, call, RpcError("invalid_argument", str(error)))
        call.inflow.push(value, len(body))

    async def send_items(self, seq, call, items):
        """Sends items as credit allows. The next is asked for before there is: it may be the End, which needs none."""
        async for item in items:
            await call.outflow.wait()
            body = self.encode(item)
            self.send([ITEM, seq], body)
            call.outflow.items, call.outflow.bytes = call.outflow.items - 1, call.outflow.bytes - len(body)
            await self.writer.drain()

    # -- the connection

    def send(self, header, body=b""):
        """Sends a frame. RpcError if the other side takes none of this length."""
        data = frames.frame(header, body or b"")
        if data is None or len(data) - 5 > self.max_frame:
            raise RpcError("resource_exhausted", "The other side takes no frame of this length")
        if not self.finished:
            self.writer.write(data)

    async def run(self):
        """Reads until the end, and returns when nothing of the connection is left."""
        self.writer.transport.set_write_buffer_limits(high=UNSENT)
        try:
            await self.read()
        except Violation as violation:
            self.say_goaway(violation.code, str(violation))
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
        """Some bytes, b"" at the end. Pings when nothing comes, and gives up when that does not help."""
        if self.frame_at is not None:
            left = self.frame_at + FRAME_TIMEOUT + len(self.data) // 65_536 - asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(left):
                    return await self.reader.read(65_536)
            except TimeoutError:
                raise Violation("deadline_exceeded", "A frame was not complete in time") from None
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
                    await self.writer.drain()  # who does not read is not read from
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
        elif kind == CANCEL and n in self.answering:
            self.answering[n].over = True
            self.answering[n].task.cancel()
        elif kind == CREDIT:
            call = (self.made if mine else self.answering).get(n)
            if call and not call.over:
                call.outflow.credit(*header[2:4])
        elif kind == PING:
            self.send([PONG, n])
        elif kind == GOAWAY:
            self.on_goaway(*header[1:4])

    def on_goaway(self, last_seq, code, message):
        self.peer_leaving = True
        for seq, call in list(self.made.items()):
            if seq > last_seq:
                self.settle(seq, call, error=RpcError("unavailable", message, not_started=True))
            elif code != "unavailable":
                self.settle(seq, call, error=RpcError("unavailable", message))

    def on_end(self):
        if self.data:
            raise OSError("it ended inside a frame")
        self.peer_ended = True
        lost = RpcError("unavailable", "The other side has ended the connection")
        for seq, call in list(self.made.items()):
            self.settle(seq, call, error=lost)
        for call in self.answering.values():
            call.outflow.end(lost)
            if call.inflow and not call.inflow.ended:
                call.inflow.end(lost)
        self.finish_if_idle()

    def drain(self):
        """Takes up no further calls, finishes those under way, and then ends."""
        if not self.leaving and not self.finished:
            self.say_goaway("unavailable", "Shutting down")
            self.finish_if_idle()

    def say_goaway(self, code, message):
        self.leaving = True
        self.send([GOAWAY, self.last_seq, code, frames.cut(message, 128)])

    def finish_if_idle(self):
        if (self.leaving or self.peer_leaving or self.peer_ended) and not self.made and not self.answering:
            self.finished = True
            self.idle.set()

    def abort(self, error):
        """Every call ends: those made here with `error`, those answered here are told to stop."""
        self.finished = True
        for seq, call in list(self.made.items()):
            self.settle(seq, call, error=error)
        for call in self.answering.values():
            call.over = True
            call.task.cancel()


def malformed_head():
    return frames.malformed("A frame begins with 0x5a and a length above 0")


async def close(reader, writer, peer_ended=False):
    """Ends this side, reads what still comes, then closes: closing over unread input would destroy what was sent."""
    try:
        async with asyncio.timeout(WRITE_TIMEOUT):
            await writer.drain()
        writer.write_eof()
        async with asyncio.timeout(LINGER):
            left = 0 if peer_ended else LINGER_BYTES
            while left > 0 and (chunk := await reader.read(65_536)):
                left -= len(chunk)
    except (OSError, TimeoutError):
        pass
    writer.close()
