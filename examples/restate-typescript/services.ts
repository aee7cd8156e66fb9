// A service, a virtual object and a workflow of Restate, each of which the sidecar can call for the records of a topic.
import * as restate from "@restatedev/restate-sdk";

// A virtual object: one number for each key. Its calls for one key run one after the other, in the order of the topic.
const counter = restate.object({
  name: "Counter",
  handlers: {
    Add: async (ctx: restate.ObjectContext, amount: number): Promise<number> => {
      const total = ((await ctx.get<number>("total")) ?? 0) + amount;
      ctx.set("total", total);
      return total;
    },
    Get: restate.handlers.object.shared(async (ctx: restate.ObjectSharedContext): Promise<number> => {
      return (await ctx.get<number>("total")) ?? 0;
    }),
  },
});

// A service: its records have no order, and may have no key. It finds the counter in the value.
const router = restate.service({
  name: "Router",
  handlers: {
    Route: async (ctx: restate.Context, value: { counter: string; amount: number }): Promise<void> => {
      ctx.objectSendClient<typeof counter>({ name: "Counter" }, value.counter).Add(value.amount);
    },
  },
});

// A workflow: it runs once for each key, however often the record comes.
const signup = restate.workflow({
  name: "Signup",
  handlers: {
    run: async (ctx: restate.WorkflowContext, name: string): Promise<string> => {
      return ctx.run("welcome", () => `Welcome, ${name}`); // what must not happen twice: an e-mail, say
    },
  },
});

await restate.serve({ services: [counter, router, signup], port: Number(process.env.PORT ?? 9080) });
