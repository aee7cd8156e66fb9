// A handler with nothing but Node: a counter for each key. The sidecar calls it for the records of a topic, and everybody else
// calls it by HTTP, on the same paths.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { json } from "node:stream/consumers";

// The state of one key. In production it is a row, and the identities it has seen are written in the same transaction as the
// total.
class Counter {
  total = 0;
  readonly amounts: number[] = [];
  readonly #seen = new Set<string>();

  /** Counts each record once: a record may be delivered again, then with the same idempotency key. */
  add(amount: number, identity?: string): number {
    if (identity === undefined || !this.#seen.has(identity)) {
      if (identity !== undefined) this.#seen.add(identity);
      this.total += amount;
      this.amounts.push(amount);
    }
    return this.total;
  }
}

const counters = new Map<string, Counter>();

function counterOf(key: string): Counter {
  let counter = counters.get(key);
  if (counter === undefined) counters.set(key, (counter = new Counter()));
  return counter;
}

function reply(response: ServerResponse, status: number, value: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
}

async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body: unknown = await json(request).catch(() => undefined);
  const [, service, key, handler] = (request.url ?? "").split("/");
  if (request.method !== "POST" || service !== "Counter" || key === undefined) {
    return reply(response, 404, { message: "no such handler" });
  }
  const counter = counterOf(decodeURIComponent(key));
  switch (handler) {
    case "add": {
      if (!Number.isInteger(body)) {
        // 400 says that trying again will not help: the record fails, and ON_FAILURE says what becomes of it.
        return reply(response, 400, { message: "the body is no whole number" });
      }
      const identity = request.headers["idempotency-key"] as string | undefined;
      return reply(response, 200, counter.add(body as number, identity));
    }
    case "get":
      return reply(response, 200, counter);
    default:
      return reply(response, 404, { message: "no such handler" });
  }
}

createServer((request, response) => {
  handle(request, response).catch(() => response.destroy());
}).listen(Number(process.env.PORT ?? 8080), "localhost");
