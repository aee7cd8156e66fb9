package example;

import dev.restate.sdk.Context;
import dev.restate.sdk.annotation.Handler;
import dev.restate.sdk.annotation.Service;

/** Its records have no order, and may have no key. It finds the counter in the value. */
@Service
public class Router {
    public record Adjustment(String counter, long amount) {}

    @Handler
    public void route(Context ctx, Adjustment value) {
        CounterClient.fromContext(ctx, value.counter()).send().add(value.amount());
    }
}
