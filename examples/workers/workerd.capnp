# Runs both Workers with workerd: request.js on port 8787, object.js on port 8788. Bundle them first:
#   deno bundle --platform browser -o request.js request.ts
#   deno bundle --platform browser -o object.js object.ts
#   SERVER=ws@127.0.0.1:9000 npx workerd serve workerd.capnp
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "request", worker = .request),
    (name = "object", worker = .object),
    # By default Workers cannot reach private addresses.
    (name = "internet", network = (allow = ["public", "private"])),
  ],
  sockets = [
    (name = "request", address = "127.0.0.1:8787", http = (), service = "request"),
    (name = "object", address = "127.0.0.1:8788", http = (), service = "object"),
  ],
);

const request :Workerd.Worker = (
  modules = [(name = "request.js", esModule = embed "request.js")],
  compatibilityDate = "2026-01-01",
  bindings = [(name = "SERVER", fromEnvironment = "SERVER")],
);

const object :Workerd.Worker = (
  modules = [(name = "object.js", esModule = embed "object.js")],
  compatibilityDate = "2026-01-01",
  bindings = [
    (name = "SERVER", fromEnvironment = "SERVER"),
    (name = "CALLER", durableObjectNamespace = "Caller"),
  ],
  durableObjectNamespaces = [(className = "Caller", uniqueKey = "caller")],
  durableObjectStorage = (inMemory = void),
);
