// A handler for CloudEvents: the SDK of that standard reads what the sidecar sends, in binary mode (HANDLER_FORMAT=cloudevents)
// and in structured mode (cloudevents-structured) alike.
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { HTTP, type CloudEvent } from "cloudevents";

interface Order {
  customer: string;
  number: number;
}

// The newest order of each customer. The key of the record is the event's partitionkey.
const newest = new Map<string, { event: string; order: Order }>();

createServer(async (request, response) => {
  try {
    if (request.method === "GET") {
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(Object.fromEntries(newest)));
      return;
    }
    const event = HTTP.toEvent<Order>({ headers: request.headers, body: await text(request) }) as CloudEvent<Order>;
    if (event.data === undefined) {
      response.writeHead(204).end(); // a tombstone: the record has no value
      return;
    }
    newest.set(String(event.partitionkey), { event: `${event.source} ${event.id} ${event.time}`, order: event.data });
    response.writeHead(204).end();
  } catch (error) {
    // 400 says that trying again will not help: the record fails, and ON_FAILURE says what becomes of it.
    response.writeHead(400).end(String(error));
  }
}).listen(Number(process.env.PORT ?? 8080), "localhost");
