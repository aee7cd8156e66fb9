import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.URLDecoder;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;

import static java.nio.charset.StandardCharsets.UTF_8;

/**
 * A handler with nothing but the JDK: a counter for each key. The sidecar calls it for the records of a topic, and everybody
 * else calls it by HTTP, on the same paths.
 */
public final class Handler {
    /**
     * The state of one key. In production it is a row, and the identities it has seen are written in the same transaction
     * as the total.
     */
    private static final class Counter {
        private final List<Long> amounts = new ArrayList<>();
        private final Set<String> seen = new HashSet<>();
        private long total;

        /** Counts each record once: a record may be delivered again, then with the same idempotency key. */
        synchronized long add(long amount, String identity) {
            if (identity == null || seen.add(identity)) {
                total += amount;
                amounts.add(amount);
            }
            return total;
        }

        synchronized String json() {
            return "{\"total\":" + total + ",\"amounts\":" + amounts + "}";
        }
    }

    private static final Map<String, Counter> COUNTERS = new ConcurrentHashMap<>();

    public static void main(String[] args) throws IOException {
        int port = Integer.parseInt(System.getenv().getOrDefault("PORT", "8080"));
        HttpServer server = HttpServer.create(new InetSocketAddress("localhost", port), 0);
        server.setExecutor(Executors.newCachedThreadPool());
        server.createContext("/Counter/", Handler::handle);
        server.start();
    }

    private static void handle(HttpExchange exchange) throws IOException {
        try (exchange) {
            String body = new String(exchange.getRequestBody().readAllBytes(), UTF_8).trim();
            String[] path = exchange.getRequestURI().getRawPath().split("/"); // "", Counter, key, handler
            if (path.length != 4 || !exchange.getRequestMethod().equals("POST")) {
                reply(exchange, 404, "{\"message\":\"no such handler\"}");
                return;
            }
            // In a path, unlike in a form, a plus is a plus.
            String key = URLDecoder.decode(path[2].replace("+", "%2B"), UTF_8);
            Counter counter = COUNTERS.computeIfAbsent(key, k -> new Counter());
            switch (path[3]) {
                case "add" -> {
                    try {
                        String identity = exchange.getRequestHeaders().getFirst("idempotency-key");
                        reply(exchange, 200, Long.toString(counter.add(Long.parseLong(body), identity)));
                    } catch (NumberFormatException e) {
                        // 400 says that trying again will not help: the record fails, and ON_FAILURE says what becomes of it.
                        reply(exchange, 400, "{\"message\":\"the body is no whole number\"}");
                    }
                }
                case "get" -> reply(exchange, 200, counter.json());
                default -> reply(exchange, 404, "{\"message\":\"no such handler\"}");
            }
        }
    }

    private static void reply(HttpExchange exchange, int status, String json) throws IOException {
        byte[] body = json.getBytes(UTF_8);
        exchange.getResponseHeaders().set("content-type", "application/json");
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
    }
}
