// WebSockets for the peers that use them: Deno's own, where it does not slow them down.

/** Listens on a free port. Returns the port. */
export function listenWebSocket(onSocket) {
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const { socket, response } = Deno.upgradeWebSocket(request);
    socket.binaryType = "arraybuffer";
    onSocket(socket);
    return response;
  });
  return server.addr.port;
}

/** Resolves when the WebSocket is open. */
export async function dialWebSocket(port, WebSocket = globalThis.WebSocket) {
  const socket = new WebSocket(`ws://127.0.0.1:${port}`);
  socket.binaryType = "arraybuffer";
  await new Promise((resolve, reject) => {
    socket.addEventListener("open", resolve, { once: true });
    socket.addEventListener("error", reject, { once: true });
  });
  return socket;
}
