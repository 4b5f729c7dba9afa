// Headless Chromium, driven over its DevTools protocol. Tests with it are skipped, and say so, where it is absent.
// https://chromedevtools.github.io/devtools-protocol/

import { installed } from "./programs.ts";
import { soon } from "./waiting.ts";

const CHROMIUM = "chromium";

/** Whether there is a browser to test with. */
export const browserPresent: boolean = await installed(CHROMIUM);
/** For the names of tests. */
export const browserSkipped: string = browserPresent ? "" : ` [SKIPPED: ${CHROMIUM} cannot be run]`;

interface Message {
  id?: number;
  method?: string;
  sessionId?: string;
  // deno-lint-ignore no-explicit-any -- as the protocol has it
  params?: any;
  // deno-lint-ignore no-explicit-any -- as above
  result?: any;
  error?: { message: string };
}

/** A browser of a test's own. */
export class Browser implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #directory: string;
  readonly #socket: WebSocket;
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #pages = new Map<string, Page>();
  #sent = 0;

  private constructor(process: Deno.ChildProcess, directory: string, socket: WebSocket) {
    this.#process = process;
    this.#directory = directory;
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
  }

  static async start(): Promise<Browser> {
    const directory = await Deno.makeTempDir();
    const process = new Deno.Command(CHROMIUM, {
      args: [
        ..."--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync".split(" "),
        "--disable-background-networking",
        "--disable-component-update",
        "--remote-debugging-port=0",
        `--user-data-dir=${directory}`,
        "about:blank",
      ],
      stdout: "null",
      stderr: "null",
    }).spawn();
    const socket = new WebSocket(await soon(addressIn(directory), "the browser's address"));
    await soon(new Promise((resolve) => socket.onopen = resolve), "the browser's protocol");
    return new Browser(process, directory, socket);
  }

  /** Opens a page in a tab of its own. */
  async open(url: string): Promise<Page> {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" }) as {
      targetId: string;
    };
    const attached = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const { sessionId } = attached as { sessionId: string };
    const page = new Page((method, params) => this.send(method, params, sessionId));
    this.#pages.set(sessionId, page);
    for (const domain of ["Page", "Runtime", "Log"]) await page.send(`${domain}.enable`);
    await page.send("Page.navigate", { url });
    return page;
  }

  send(method: string, params: unknown = {}, sessionId?: string): Promise<unknown> {
    const id = ++this.#sent;
    const answer = Promise.withResolvers<unknown>();
    this.#pending.set(id, answer);
    this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    return soon(answer.promise, method);
  }

  #take({ id, method, params, result, error, sessionId }: Message): void {
    if (id !== undefined) {
      const answer = this.#pending.get(id);
      this.#pending.delete(id);
      if (error === undefined) answer?.resolve(result);
      else answer?.reject(new Error(error.message));
    } else this.#pages.get(sessionId ?? "")?.hear(method!, params);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise((resolve) => this.#socket.onclose = resolve);
    this.#process.kill("SIGKILL");
    await this.#process.status;
    this.#socket.close();
    await closed;
    // Its children may be about to write something.
    await Deno.remove(this.#directory, { recursive: true }).catch(() => {});
  }
}

/** A tab. */
export class Page {
  readonly send: (method: string, params?: unknown) => Promise<unknown>;
  /** What the browser did not like: errors, and what a policy forbade. */
  readonly complaints: string[] = [];

  constructor(send: Page["send"]) {
    this.send = send;
  }

  // deno-lint-ignore no-explicit-any -- as the protocol has it
  hear(method: string, params: any): void {
    if (method === "Runtime.exceptionThrown") this.complaints.push(params.exceptionDetails.text);
    if (method === "Log.entryAdded" && params.entry.level === "error") {
      this.complaints.push(params.entry.text);
    }
  }

  /** The value of an expression in the page. */
  async evaluate(expression: string): Promise<unknown> {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", {
      expression,
      returnByValue: true,
      awaitPromise: true,
      // deno-lint-ignore no-explicit-any -- as above
    }) as any;
    if (exceptionDetails !== undefined) {
      throw new Error(exceptionDetails.exception?.description ?? "It threw");
    }
    return result.value;
  }

  /** Waits until an expression is true. */
  async until(expression: string): Promise<void> {
    const end = performance.now() + 60_000;
    while (await this.evaluate(expression).catch(() => false) !== true) {
      if (performance.now() > end) throw new Error(`Waited in vain for ${expression}; ${this.complaints}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async text(selector: string): Promise<string> {
    return await this.evaluate(`document.querySelector(${JSON.stringify(selector)}).textContent`) as string;
  }

  async texts(selector: string): Promise<string[]> {
    const all = `document.querySelectorAll(${JSON.stringify(selector)})`;
    return await this.evaluate(`[...${all}].map(({ textContent }) => textContent)`) as string[];
  }
}

/** Where the browser listens, which it writes into its directory. */
async function addressIn(directory: string): Promise<string> {
  for (;;) {
    try {
      const [port, path] = (await Deno.readTextFile(`${directory}/DevToolsActivePort`)).split("\n");
      if (path) return `ws://127.0.0.1:${port}${path}`;
    } catch {
      // Not yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
