// Interceptors around a handler: the call that they see, and what the handler sees of the call that they pass on.
// Used by the service table for servers that have interceptors.

import type { CallContext, Handler } from "./dispatch.ts";
import { type Call, compose, type Interceptor } from "./interceptor.ts";

/** Answers a call by way of the interceptors. */
export async function intercepted(
  interceptors: readonly Interceptor[],
  handler: Handler,
  args: unknown,
  context: CallContext,
): Promise<unknown> {
  const { method, metadata, deadline, peer, replyMetadata } = context;
  const call: Call = {
    method,
    args,
    metadata,
    deadline,
    peer: peer.address,
    get signal() {
      return context.signal;
    },
  };
  const reply = await compose(interceptors, async (call) => {
    const value: unknown = await handler(call.args, passedOn(call, context));
    return { value, metadata: replyMetadata };
  })(call);
  if (reply.metadata !== replyMetadata) {
    replyMetadata.clear();
    for (const [name, value] of reply.metadata) replyMetadata.set(name, value);
  }
  return reply.value;
}

/** What the handler is told of a call that interceptors may have changed. */
function passedOn(call: Call, { peer, replyMetadata }: CallContext): CallContext {
  const { method, metadata, deadline } = call;
  return {
    method,
    metadata,
    deadline,
    peer,
    replyMetadata,
    get signal() {
      return call.signal;
    },
  };
}
