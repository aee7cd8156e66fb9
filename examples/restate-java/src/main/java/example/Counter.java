package example;

import dev.restate.sdk.ObjectContext;
import dev.restate.sdk.SharedObjectContext;
import dev.restate.sdk.annotation.Handler;
import dev.restate.sdk.annotation.Shared;
import dev.restate.sdk.annotation.VirtualObject;
import dev.restate.sdk.common.StateKey;

/** One number for each key. Its calls for one key run one after the other, in the order of the topic. */
@VirtualObject
public class Counter {
    private static final StateKey<Long> TOTAL = StateKey.of("total", Long.class);

    @Handler
    public long add(ObjectContext ctx, long amount) {
        long total = ctx.get(TOTAL).orElse(0L) + amount;
        ctx.set(TOTAL, total);
        return total;
    }

    @Shared
    public long get(SharedObjectContext ctx) {
        return ctx.get(TOTAL).orElse(0L);
    }
}
