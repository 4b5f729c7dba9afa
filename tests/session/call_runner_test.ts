// Calls answered without a session: everything that a handler is promised holds for any entrance to a server.

import { assert, assertEquals, assertInstanceOf, assertRejects, assertThrows } from "@std/assert";
import { ambient } from "../../call/ambient.ts";
import { type Code, RpcError } from "../../call/error.ts";
import type { CallContext, Handler, Identity, Method } from "../../call/handler.ts";
import { intercepted } from "../../call/intercept_incoming.ts";
import type { Interceptor } from "../../call/interceptor.ts";
import type { Metadata } from "../../call/metadata.ts";
import { ServiceTable } from "../../call/service.ts";
import { CallRunner, type RunnerOptions } from "../../session/call_runner.ts";
import { CallSlots, PeerCallSlots } from "../../session/call_slots.ts";
import { IncomingCall, type Requester } from "../../session/incoming_call.ts";
import { LimitCounters } from "../../session/limit_counters.ts";
import { sessionLimits } from "../../session/limits.ts";
import { RecvStream } from "../../session/recv_stream.ts";
import { SendStream } from "../../session/send_stream.ts";
import { refuseCallBack } from "../../session/session_peer.ts";
import { until } from "../support/waiting.ts";

/** What a requester received, in order. */
type Received =
  | { answer: unknown; metadata?: Metadata }
  | { item: unknown }
  | { end: true; metadata?: Metadata }
  | { error: Code; message: string; notStarted: boolean };

/** A requester without a connection, such as one HTTP request. */
class Request implements Requester {
  readonly address = "http@192.0.2.1";
  readonly certificate = undefined;
  readonly identity: Identity = { name: "alice" };
  readonly received: Received[] = [];
  readonly #door: Door;

  constructor(door: Door) {
    this.#door = door;
  }

  now(): number {
    return this.#door.now();
  }

  readonly callBack = refuseCallBack;

  answer(_: IncomingCall, answer: unknown, metadata?: Metadata): RpcError | undefined {
    if (typeof answer === "function") return new RpcError("invalid_argument", "functions cannot be sent");
    this.received.push({ answer, metadata });
    return undefined;
  }

  end(_: IncomingCall, metadata?: Metadata): undefined {
    this.received.push({ end: true, metadata });
  }

  fail(_: IncomingCall, { code, message }: RpcError, __: unknown, notStarted: boolean): undefined {
    this.received.push({ error: code, message, notStarted });
  }

  openStream(call: IncomingCall): SendStream {
    return new SendStream({
      hasRoom: () => true,
      streaming: () => {},
      writeItem: (item) => {
        if (typeof item === "function") {
          const error = new RpcError("invalid_argument", "functions cannot be sent");
          return void this.#door.runner.failUnsent(call, error, "an item");
        }
        this.received.push({ item });
        return 1;
      },
    });
  }
}

interface DoorOptions extends Partial<Omit<RunnerOptions, "limits">> {
  limits?: { maxInFlight?: number; maxQueueTime?: number };
  interceptors?: Interceptor[];
}

/** An entrance to a server that is not a session. */
class Door {
  readonly table = new ServiceTable();
  readonly counters = new LimitCounters();
  readonly log: string[] = [];
  readonly runner: CallRunner;
  time = 1_000;
  #calls = 0;

  constructor(methods: Record<string, Handler>, { limits = {}, interceptors, ...options }: DoorOptions = {}) {
    if (interceptors !== undefined) this.table.wrap((handler) => intercepted(interceptors, handler));
    if (Object.keys(methods).length > 0) this.table.register("S", methods);
    this.runner = new CallRunner({
      limits: sessionLimits(limits),
      counters: this.counters,
      log: (message, error) => this.log.push(`${message}: ${error}`),
      ...options,
    }, { countsByTurn: false, onUnanswered() {}, onSettled() {} });
  }

  now(): number {
    return this.time;
  }

  /** Answers a call that has just arrived, or arrived at `arrived`. */
  call(method: string, args?: unknown, deadline = Infinity, arrived = this.time) {
    const name = `S.${method}`;
    const request = new Request(this);
    this.runner.admit(name, arrived, deadline, this.time);
    const target = this.table.find(name, request);
    const call = new IncomingCall(name, request, new Map(), deadline, ++this.#calls, target, arrived);
    if (args instanceof RecvStream) call.recvStream = args;
    this.runner.run(call, args);
    return { call, received: request.received };
  }

  stats(method: string) {
    const { calls, errorCodes, inFlight } = this.table.stats().find((each) => each.method === `S.${method}`)!;
    return { calls, errorCodes, inFlight };
  }
}

const wait: Handler = (_, { signal }) => new Promise((resolve) => signal.addEventListener("abort", resolve));

Deno.test("call without a session: a value is answered at once, with the handler's metadata", () => {
  const door = new Door({
    hello(name: string, { peer, replyMetadata }: CallContext) {
      replyMetadata.set("greeted", "yes");
      return `Hello ${name}, ${(peer.identity as { name: string }).name} at ${peer.address}`;
    },
  });
  const { received } = door.call("hello", "Bob");
  assertEquals(received, [
    { answer: "Hello Bob, alice at http@192.0.2.1", metadata: new Map([["greeted", "yes"]]) },
  ]);
  assertEquals(door.stats("hello"), { calls: 1, errorCodes: {}, inFlight: 0 });
  assertEquals(door.table.stats()[0]!.latency.count, 1, "it is counted without an end of a turn");
});

Deno.test("call without a session: a promise is answered when it resolves, and is in flight until then", async () => {
  const result = Promise.withResolvers<number>();
  const door = new Door({ later: () => result.promise });
  const { call, received } = door.call("later");
  assertEquals([...door.runner.inFlight.values()], [call]);
  assertEquals(received, []);
  result.resolve(3);
  await until(() => received.length > 0, "the answer");
  assertEquals(received, [{ answer: 3, metadata: undefined }]);
  assertEquals([door.runner.inFlight.size, door.runner.inFlight.unanswered], [0, 0]);
});

Deno.test("call without a session: a stream of answers sends as many items as there is credit for", async () => {
  const door = new Door({
    async *count(_: unknown, { replyMetadata }: CallContext) {
      for (let i = 0; i < 100; i++) yield i;
      replyMetadata.set("last", "99");
    },
  });
  const { call, received } = door.call("count");
  await until(() => call.sendStream?.stats().waitsFor === "credit", "the end of its credit");
  assertEquals(received.length, 64);
  call.sendStream!.credit(100, 100);
  await until(() => call.answered, "the end");
  assertEquals(received.length, 101);
  assertEquals(received.at(-1), { end: true, metadata: new Map([["last", "99"]]) });
  assertEquals(door.stats("count"), { calls: 1, errorCodes: {}, inFlight: 0 });
});

Deno.test("call without a session: a stream of arguments ends with its call", async () => {
  const door = new Door({
    async sum(numbers: AsyncIterable<number>) {
      let sum = 0;
      for await (const n of numbers) sum += n;
      return sum;
    },
    first: async (numbers: AsyncIterator<number>) => (await numbers.next()).value,
  });
  const all = new RecvStream();
  const { received } = door.call("sum", all);
  for (const n of [1, 2, 3]) {
    all.spend(1);
    all.push(n, 1);
  }
  all.end();
  await until(() => received.length > 0, "the sum");
  assertEquals(received, [{ answer: 6, metadata: undefined }]);

  const some = new RecvStream();
  const first = door.call("first", some);
  some.spend(1);
  some.push(7, 1);
  await until(() => first.received.length > 0, "the first");
  assertEquals(first.received, [{ answer: 7, metadata: undefined }]);
  assert(some.closed, "arguments that are not wanted any more are not accepted");
});

Deno.test("call without a session: an async iterable of any kind will do for arguments", async () => {
  const door = new Door({ list: (items: AsyncIterable<unknown>) => Array.fromAsync(items) });
  const { received } = door.call("list", ReadableStream.from([1, 2]));
  await until(() => received.length > 0, "the list");
  assertEquals(received, [{ answer: [1, 2], metadata: undefined }]);
});

Deno.test("call without a session: what handlers throw is mapped, and logged if it is private", async () => {
  const door = new Door({
    refuse() {
      throw new RpcError("permission_denied", "Not you");
    },
    fail: () => Promise.reject(new Error("the password is wrong")),
    range() {
      throw new RangeError("too far");
    },
    async *items() {
      yield 1;
      throw new RangeError("no more");
    },
  }, {
    mapError: (error) =>
      error instanceof RangeError ? new RpcError("out_of_range", error.message) : undefined,
  });
  const answers = ["refuse", "fail", "range", "items"].map((method) => door.call(method).received);
  await until(() => answers.flat().length === 5, "the errors");
  const failed = (error: Code, message: string) => ({ error, message, notStarted: false });
  assertEquals(answers, [
    [failed("permission_denied", "Not you")],
    [failed("internal", "The handler failed")],
    [failed("out_of_range", "too far")],
    [{ item: 1 }, failed("out_of_range", "no more")],
  ]);
  assertEquals(door.log, ["Handler of S.fail failed, called by alice: Error: the password is wrong"]);
  assertEquals(door.stats("items"), { calls: 1, errorCodes: { out_of_range: 1 }, inFlight: 0 });
});

Deno.test("call without a session: a name that there is not fails as not started", async () => {
  const door = new Door({ get: () => 1 }, { interceptors: [(call, next) => next(call)] });
  const { received } = door.call("gone");
  await until(() => received.length > 0, "the error");
  const [error] = received as { error: Code; notStarted: boolean }[];
  assertEquals([error?.error, error?.notStarted], ["unimplemented", true]);
});

Deno.test("call without a session: a result or an item that cannot be sent fails, and is logged", async () => {
  const door = new Door({
    value: () => () => {},
    async *items() {
      yield 1;
      yield () => {};
    },
  });
  const [value, items] = [door.call("value"), door.call("items")];
  await until(() => items.received.length === 2, "the error");
  const error = {
    error: "internal",
    message: "Cannot send the result: functions cannot be sent",
    notStarted: false,
  } as const;
  assertEquals([value.received, items.received], [[error], [{ item: 1 }, error]]);
  assertEquals(door.log.map((line) => line.split(":")[0]), [
    "Cannot send the result of S.value",
    "Cannot send an item of S.items",
  ]);
});

Deno.test("call without a session: one that is abandoned is aborted and gets no answer", async () => {
  const door = new Door({ wait });
  const { call, received } = door.call("wait");
  const reason = new RpcError("canceled", "The request was closed");
  door.runner.abandon(call, reason);
  assertEquals(call.signal.reason, reason);
  await until(() => door.runner.inFlight.size === 0, "the handler to return");
  assertEquals(received, []);
  assertEquals(door.stats("wait"), { calls: 1, errorCodes: { canceled: 1 }, inFlight: 0 });
});

Deno.test("call without a session: one whose deadline has passed is not started, or fails and is aborted", async () => {
  const door = new Door({ wait });
  const late = assertThrows(() => door.call("wait", undefined, 1_000), RpcError);
  assertEquals([late.code, door.counters.expired], ["deadline_exceeded", 1]);

  const { call, received } = door.call("wait", undefined, 1_500);
  assertEquals(door.runner.expire(1_499), 1_500);
  assertEquals(received, []);
  assertEquals(door.runner.expire(1_500), Infinity);
  assertEquals(received.map((each) => (each as { error: Code }).error), ["deadline_exceeded"]);
  assert(call.signal.aborted);
  await until(() => door.runner.inFlight.size === 0, "the handler to return");
  assertEquals(received.length, 1);
});

Deno.test("call without a session: maxInFlight, slots, maxQueueTime and stallTimeout hold", () => {
  const slots = new CallSlots(4, () => {});
  const full = (door: Door, arrived?: number) => {
    return assertThrows(() => door.call("wait", undefined, Infinity, arrived), RpcError).message;
  };
  try {
    const door = new Door({ wait }, { slots: new PeerCallSlots(slots, () => "one") });
    for (let i = 0; i < 4; i++) door.call("wait");
    assertEquals(
      full(door),
      "Cannot start S.wait: too many calls are in flight on all connections (maxInFlightTotal)",
    );
    door.runner.endAll(new RpcError("unavailable", "The server is closing"));

    const small = new Door({ wait }, { limits: { maxInFlight: 16, maxQueueTime: 10 } });
    for (let i = 0; i < 16; i++) small.call("wait");
    assertEquals(full(small), "Cannot start S.wait: more than 16 calls are in flight (maxInFlight)");
    small.runner.endAll(new RpcError("unavailable", "The server is closing"));

    const busy = new Door({ get: () => 1, wait }, { limits: { maxQueueTime: 10 } });
    busy.call("get", undefined, Infinity, busy.time - 20);
    busy.time += 1_001;
    assertEquals(full(busy, busy.time - 20), "Cannot start S.wait: it has waited 20 ms (maxQueueTime)");

    const stalling = new Door({ list: (items: AsyncIterable<unknown>) => Array.fromAsync(items) });
    const { received } = stalling.call("list", new RecvStream());
    stalling.runner.endStalled(1_000, 500);
    assertEquals(received, []);
    stalling.runner.endStalled(1_500, 500);
    assertEquals(received.map((each) => (each as { error: Code }).error), ["resource_exhausted"]);
  } finally {
    slots.close();
  }
});

Deno.test("call without a session: after endAll, calls that are run are abandoned", async () => {
  const door = new Door({ wait });
  const reason = new RpcError("unavailable", "The server was closed");
  door.runner.endAll(reason);
  const { call, received } = door.call("wait");
  assertEquals(call.signal.reason, reason);
  await until(() => door.runner.inFlight.size === 0, "the handler to return");
  assertEquals(received, []);
});

Deno.test("call without a session: its caller cannot be called back", async () => {
  const calls: Promise<unknown>[] = [];
  const door = new Door({
    ask(_: unknown, { peer }: CallContext) {
      calls.push(peer.call("Screen.show", 1), peer.stream("Screen.follow").next());
    },
  });
  door.call("ask");
  assertEquals(calls.length, 2);
  for (const call of calls) {
    const error = await assertRejects(() => call, RpcError, "this peer cannot be called back");
    assertEquals([error.code, error.notStarted], ["failed_precondition", true]);
  }
});

Deno.test("call without a session: interceptors see it, and what the handler calls is part of it", async () => {
  await ambient.enable();
  const seen: unknown[] = [];
  const door = new Door({
    async outer(_: unknown, context: CallContext) {
      await null;
      seen.push(ambient.current() === context);
    },
  }, {
    interceptors: [(call, next) => {
      seen.push([call.method, call.identity]);
      return next(call);
    }],
  });
  const { call, received } = door.call("outer");
  await until(() => received.length > 0, "the answer");
  assertEquals(seen, [["S.outer", { name: "alice" }], true]);
  assertInstanceOf(call, IncomingCall);
});

Deno.test("call without a session: the observer of its method runs the handler and sees the end", () => {
  const events: string[] = [];
  const door = new Door({});
  const request = new Request(door);
  const target: Method = {
    observer: {
      back: { observe: () => undefined },
      begin: ({ method }) => ({
        run(answer) {
          events.push(`run ${method}`);
          return answer();
        },
        end: (error) => events.push(`end ${error?.code}`),
      }),
      answered() {},
    },
    start: () => events.push("start"),
    answered: (code, _, count) => events.push(`answered ${code} ${count}`),
    returned: () => events.push("returned"),
  };
  door.runner.run(new IncomingCall("S.get", request, new Map(), Infinity, 1, target, 1_000), undefined);
  assertEquals(events, ["run S.get", "start", "end undefined", "answered undefined 1", "returned"]);
});

Deno.test("call without a session: one that ends while its result is being encoded is counted once", async () => {
  const door = new Door({ get: () => Promise.resolve() });
  const { call } = door.call("get");
  assertEquals(door.runner.inFlight.unanswered, 1);
  // As a getter in the result may do that closes the connection.
  (call.requester as Request).answer = () => {
    door.runner.abandon(call, new RpcError("unavailable", "The connection was closed"));
    return undefined;
  };
  await until(() => door.runner.inFlight.size === 0, "the handler to return");
  assertEquals(door.runner.inFlight.unanswered, 0);
  assertEquals(door.stats("get"), { calls: 1, errorCodes: { unavailable: 1 }, inFlight: 0 });
});
