// Command restate-go is a service, a virtual object and a workflow of Restate, each of which the sidecar can call for the
// records of a topic.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	restate "github.com/restatedev/sdk-go"
	"github.com/restatedev/sdk-go/server"
)

// Counter is a virtual object: one number for each key. Its calls for one key run one after the other, in the order of the
// topic.
type Counter struct{}

func (Counter) Add(ctx restate.ObjectContext, amount int64) (int64, error) {
	total, err := restate.Get[int64](ctx, "total")
	if err != nil {
		return 0, err
	}
	total += amount
	restate.Set(ctx, "total", total)
	return total, nil
}

func (Counter) Get(ctx restate.ObjectSharedContext) (int64, error) {
	return restate.Get[int64](ctx, "total")
}

// Adjustment is the value of a record for Router.
type Adjustment struct {
	Counter string `json:"counter"`
	Amount  int64  `json:"amount"`
}

// Router is a service: its records have no order, and may have no key. It finds the counter in the value.
type Router struct{}

func (Router) Route(ctx restate.Context, a Adjustment) error {
	restate.ObjectSend(ctx, "Counter", a.Counter, "Add").Send(a.Amount)
	return nil
}

// Signup is a workflow: it runs once for each key, however often the record comes.
type Signup struct{}

func (Signup) Run(ctx restate.WorkflowContext, name string) (string, error) {
	return restate.Run(ctx, func(restate.RunContext) (string, error) {
		return fmt.Sprintf("Welcome, %s", name), nil // what must not happen twice: an e-mail, say
	})
}

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "9080"
	}
	services := server.NewRestate().
		Bind(restate.Reflect(Counter{})).
		Bind(restate.Reflect(Router{})).
		Bind(restate.Reflect(Signup{}))
	if err := services.Start(context.Background(), "localhost:"+port); err != nil {
		log.Fatal(err)
	}
}
