// Runs a server's interceptors around a handler: creates the call that they see, and the context that the handler sees after
// they changed it. Used by the service table.

import type { CallContext, Handler, IdentifiedContext } from "./handler.ts";
import { type Call, compose, type Interceptor, type Origin, type Reply } from "./interceptor.ts";
import type { Metadata } from "./metadata.ts";
import { Items } from "./source.ts";
import { isAsyncIterable, isStreamable } from "./streamable.ts";
import { isThenable } from "./thenable.ts";

/** One call on its way to the handler. */
interface Incoming extends Origin {
  readonly context: CallContext;
  /** The call that the first interceptor receives. */
  readonly call: Call;
  /** The handler's reply, if it returned synchronously. */
  reply: Reply | undefined;
  /** The same as a promise, which interceptors receive. */
  answer: Promise<Reply> | undefined;
}

/** Wraps a handler in interceptors. */
export function intercepted(interceptors: readonly Interceptor[], handler: Handler): Handler {
  const run = compose<Incoming>(interceptors, (call, incoming) => {
    const { context } = incoming;
    try {
      const value: unknown = handler(call.args, call === incoming.call ? context : passedOn(call, context));
      if (isThenable(value)) return Promise.resolve(value).then((value) => replyOf(value, incoming));
      return incoming.answer = Promise.resolve(incoming.reply = replyOf(value, incoming));
    } catch (error) {
      return Promise.reject(error);
    }
  });
  return (args, context) => {
    const { method, metadata, deadline, peer, signal } = context;
    const { address, identity } = peer;
    const call: Call = { method, args, metadata, signal, deadline, peer: address, identity };
    const incoming: Incoming = { plain: false, context, call, answer: undefined, reply: undefined };
    const answer = run(call, incoming);
    // All interceptors returned the reply unchanged, and the handler returned synchronously: nothing to wait for.
    if (answer === incoming.answer) return incoming.reply!.value;
    return answer.then((reply) => valueOf(reply, context));
  };
}

/** The handler's context for a call that interceptors have changed. */
function passedOn(call: Call, context: CallContext): CallContext {
  const { method, metadata, deadline, signal, identity } = call;
  const { peer, replyMetadata } = context;
  if (identity !== peer.identity) (context as IdentifiedContext).identify?.(identity);
  return {
    method,
    metadata,
    deadline,
    signal,
    peer,
    replyMetadata,
    // Created only if it is used.
    get draining() {
      return context.draining;
    },
  };
}

function replyOf(value: unknown, incoming: Incoming): Reply {
  const { signal, replyMetadata: metadata } = incoming.context;
  if (!isStreamable(value)) {
    incoming.plain = true;
    return { value, metadata };
  }
  if (!isAsyncIterable(value)) return { value, metadata };
  // An interceptor may wrap it in a generator, which cannot be ended while it waits for an item; Items can.
  const items = new Items(value);
  const stop = () => items.stop(signal.reason);
  if (signal.aborted) stop();
  else signal.addEventListener("abort", stop);
  return { value: items, metadata };
}

function valueOf({ value, metadata }: Reply, { replyMetadata }: CallContext): unknown {
  if (metadata !== replyMetadata) takeOver(metadata, replyMetadata);
  return value;
}

function takeOver(metadata: Metadata, replyMetadata: CallContext["replyMetadata"]): void {
  replyMetadata.clear();
  for (const [name, value] of metadata) replyMetadata.set(name, value);
}
