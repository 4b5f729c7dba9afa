// The body of a streamed answer: holds what the client has not taken yet, and reports what it takes, so that the handler
// is asked for further items only then.

/** How often a comment is sent while there are no items, in ms. */
const COMMENT_INTERVAL = 15_000;

/** The owner of a body. */
export interface AnswerBodyOwner {
  /** The client's side has taken so many items. */
  onTaken(items: number, bytes: number): void;
  /** The client has left before the end. */
  onLeft(): void;
}

/** The body of a streamed answer. */
export class AnswerBody {
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  #controller!: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;
  readonly #owner: AnswerBodyOwner;
  #parts: Uint8Array<ArrayBuffer>[] = [];
  #items = 0;
  #bytes = 0;
  /** Whether the client's side waits for more. */
  #wanted = false;
  #ended = false;
  #canceled = false;
  #commenting: ReturnType<typeof setInterval> | undefined;

  /** @param comment What is sent at intervals while there are no items */
  constructor(owner: AnswerBodyOwner, comment?: Uint8Array<ArrayBuffer>) {
    this.#owner = owner;
    this.readable = new ReadableStream({
      start: (controller) => void (this.#controller = controller),
      pull: () => {
        this.#wanted = true;
        this.#flush();
      },
      cancel: () => {
        this.#canceled = true;
        this.#stop();
        owner.onLeft();
      },
    }, { highWaterMark: 0 });
    if (comment === undefined) return;
    this.#commenting = setInterval(() => {
      if (this.#wanted) this.#push(comment);
    }, COMMENT_INTERVAL);
  }

  /** Adds an item. */
  write(item: Uint8Array<ArrayBuffer>): void {
    if (this.#ended) return;
    this.#items++;
    this.#bytes += item.length;
    this.#push(item);
  }

  /** Adds the last bytes, and ends the body. */
  finish(last: Uint8Array<ArrayBuffer>): void {
    if (this.#ended) return;
    this.#stop();
    if (last.length > 0) this.#parts.push(last);
    if (this.#parts.length === 0) this.#close();
    else this.#flush();
  }

  #push(part: Uint8Array<ArrayBuffer>): void {
    this.#parts.push(part);
    this.#flush();
  }

  /** Hands over all that waits, if the client's side wants it. */
  #flush(): void {
    const parts = this.#parts;
    if (!this.#wanted || parts.length === 0) return;
    this.#wanted = false;
    this.#parts = [];
    this.#controller.enqueue(parts.length === 1 ? parts[0]! : joined(parts));
    if (this.#ended) this.#close();
    if (this.#items === 0) return;
    const [items, bytes] = [this.#items, this.#bytes];
    this.#items = this.#bytes = 0;
    this.#owner.onTaken(items, bytes);
  }

  #close(): void {
    if (!this.#canceled) this.#controller.close();
  }

  #stop(): void {
    this.#ended = true;
    clearInterval(this.#commenting);
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
