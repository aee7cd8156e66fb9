package example;

import dev.restate.sdk.WorkflowContext;
import dev.restate.sdk.annotation.Workflow;

/** Runs once for each key, however often the record comes. */
@Workflow
public class Signup {
    @Workflow
    public String run(WorkflowContext ctx, String name) {
        // What must not happen twice: an e-mail, say.
        return ctx.run("welcome", String.class, () -> "Welcome, " + name);
    }
}
