// Command quickstart shows the sidecar at work, with no set-up beyond Go: an embedded broker, a handler that fails at times, and the real
// engine between them, configured by the same environment variables as the container.
//
//	go run ./examples/quickstart
//	KAFKA_BOOTSTRAP_SERVERS=localhost:9092 go run ./examples/quickstart --real
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/signal"
	"time"

	"github.com/kafka-sidecar/kafka-sidecar/envconfig"
	"github.com/kafka-sidecar/kafka-sidecar/sidecar"
)

const (
	customers = 20
	orders    = 400
)

func main() {
	real := flag.Bool("real", false, "use the broker of KAFKA_BOOTSTRAP_SERVERS instead of an embedded one")
	verbose := flag.Bool("v", false, "show the sidecar's own log")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *real, *verbose, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, real, verbose bool, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()

	fmt.Fprintln(out, "1. a broker")
	broker, err := startBroker(ctx, real)
	if err != nil {
		return err
	}
	defer broker.close()
	fmt.Fprintf(out, "   %s at %s, topic %q with 4 partitions\n\n", broker.kind, broker.bootstrap, broker.topic)

	fmt.Fprintln(out, "2. a handler: one in ten orders is answered 503 at first, and one customer's orders twice")
	h := newHandler()
	server := httptest.NewServer(h)
	defer server.Close()
	fmt.Fprintf(out, "   %s/orders\n\n", server.URL)

	fmt.Fprintln(out, "3. the sidecar, configured by its environment")
	environ := []string{
		"KAFKA_BOOTSTRAP_SERVERS=" + broker.bootstrap,
		"SUBSCRIPTION_ID=" + broker.topic,
		"SUBSCRIPTION_SOURCE=kafka://my-cluster/" + broker.topic,
		"SUBSCRIPTION_SINK=" + server.URL + "/orders",
		"START_AT=earliest",
		"ADMIN_ADDR=off",
	}
	for _, kv := range environ {
		fmt.Fprintln(out, "   "+kv)
	}
	cfg, err := envconfig.Parse(environ)
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	if verbose {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	s, err := sidecar.New(cfg, log, "quickstart")
	if err != nil {
		return err
	}
	engine, stopEngine := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(engine) }()

	fmt.Fprintf(out, "\n4. %d orders of %d customers, each customer's numbered\n\n", orders, customers)
	err = broker.produce(ctx)
	if err == nil {
		err = watch(ctx, h, ended, out)
	}
	stopEngine()
	if runErr := <-ended; err == nil {
		err = runErr
	}
	if err != nil {
		return err
	}
	return summary(h, out)
}

// watch shows progress until every order is delivered.
func watch(ctx context.Context, h *handler, ended chan error, out io.Writer) error {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the orders: %w", context.Cause(ctx))
		case err := <-ended:
			ended <- err
			return errors.New("the sidecar ended before every order was delivered")
		case <-tick.C:
		case <-h.complete:
		}
		delivered, retried := h.progress()
		fmt.Fprintf(out, "   delivered %3d of %d, retried %d\n", delivered, orders, retried)
		if delivered == orders {
			return nil
		}
	}
}

func summary(h *handler, out io.Writer) error {
	delivered, retried := h.progress()
	fmt.Fprintf(out, "\ndelivered %d, retried %d, order kept for %d of %d customers, stopped cleanly\n", delivered, retried, h.ordered(), customers)
	fmt.Fprint(out, `
where to look next
   README.md                            the guarantees, and the request that a handler receives
   docs/reference/environment.md        every variable (kafka-sidecar help env)
   DESIGN.md                            how it works inside
   http://localhost:9464/subscription   a running sidecar's state; /metrics beside it
`)
	if n := h.ordered(); n != customers {
		return fmt.Errorf("order was kept for %d of %d customers only", n, customers)
	}
	return nil
}
