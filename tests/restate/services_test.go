package restate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"

	restate "github.com/restatedev/sdk-go"
	"github.com/restatedev/sdk-go/encoding"
	"github.com/restatedev/sdk-go/server"
)

// MyWorkflow runs once for a key, and keeps a promise that a shared handler fulfils.
type MyWorkflow struct{}

// Run is the workflow itself.
func (MyWorkflow) Run(_ restate.WorkflowContext, input string) (string, error) {
	return "Run " + input, nil
}

// SetPromise fulfils the promise of the workflow's key.
func (MyWorkflow) SetPromise(ctx restate.WorkflowSharedContext, value string) error {
	return restate.Promise[string](ctx, "promise").Resolve(value)
}

// GetPromise waits for the promise of the workflow's key.
func (MyWorkflow) GetPromise(ctx restate.WorkflowSharedContext) (string, error) {
	return restate.Promise[string](ctx, "promise").Result()
}

// Counter adds up numbers for a key.
type Counter struct{}

// Add adds a number.
func (Counter) Add(ctx restate.ObjectContext, n int64) error {
	sum, err := restate.Get[int64](ctx, "sum")
	if err != nil {
		return err
	}
	restate.Set(ctx, "sum", sum+n)
	return nil
}

// Get returns the sum.
func (Counter) Get(ctx restate.ObjectSharedContext) (int64, error) {
	return restate.Get[int64](ctx, "sum")
}

// EventHandler is a service without a key that passes its events on.
type EventHandler struct{}

// Event names the counter that a number is for.
type Event struct {
	Key   string `json:"key"`
	Value int64  `json:"value"`
}

// OneWayCall adds the event's number to its counter, without waiting for that.
func (EventHandler) OneWayCall(ctx restate.Context, e Event) error {
	restate.ObjectSend(ctx, "Counter", e.Key, "Add").Send(e.Value)
	return nil
}

// TracingCounter holds a value that is to be set once.
type TracingCounter struct{}

// Set keeps the first value. An event that comes twice shows in Get.
func (TracingCounter) Set(ctx restate.ObjectContext, value string) error {
	before, err := restate.Get[*string](ctx, "value")
	if err != nil {
		return err
	}
	if before != nil {
		restate.Set(ctx, "repeated", true)
		return nil
	}
	restate.Set(ctx, "value", value)
	return nil
}

// Get returns the value, and says if it was ever set again.
func (TracingCounter) Get(ctx restate.ObjectSharedContext) (string, error) {
	repeated, err := restate.Get[bool](ctx, "repeated")
	if err != nil {
		return "", err
	}
	if repeated {
		return "set more than once", nil
	}
	return restate.Get[string](ctx, "value")
}

// Sequence checks that the numbers of a key come in order, none missing and none twice: 0, 1, 2 and so on.
type Sequence struct{}

// SequenceState is what a key has seen.
type SequenceState struct {
	Next   int64  `json:"next"`
	Broken string `json:"broken,omitempty"` // the first number that was not the next
}

// Take takes the next number.
func (Sequence) Take(ctx restate.ObjectContext, n int64) error {
	state, err := restate.Get[SequenceState](ctx, "state")
	if err != nil {
		return err
	}
	if n != state.Next && state.Broken == "" {
		state.Broken = fmt.Sprintf("%d came in place of %d", n, state.Next)
	}
	state.Next++
	restate.Set(ctx, "state", state)
	return nil
}

// Get returns what the key has seen.
func (Sequence) Get(ctx restate.ObjectSharedContext) (SequenceState, error) {
	return restate.Get[SequenceState](ctx, "state")
}

// Seen is one invocation of a witness, as its handler saw it.
type Seen struct {
	Service string
	Key     string // empty for the service
	Body    string
	Headers map[string]string
}

// endpoint serves the services, and remembers what the witnesses have seen: the service Witness and the object KeyedWitness,
// which take raw bytes.
type endpoint struct {
	url string

	mu   sync.Mutex
	seen []Seen
}

func (e *endpoint) saw(s Seen) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seen = append(e.seen, s)
}

// Seen returns the invocations of the witnesses so far.
func (e *endpoint) Seen() []Seen {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]Seen(nil), e.seen...)
}

// rawCodec hands over whatever comes as bytes, also nothing, whatever its content type.
type rawCodec struct{ encoding.Codec }

// ContentType is what the ingress lets through to the handler.
func (rawCodec) ContentType() string { return "*/*" }

// JsonSchema has nothing to say about bytes.
func (rawCodec) JsonSchema(any) any { return nil }

// InputRequired lets empty bodies through.
func (rawCodec) InputRequired() bool { return false }

// serve starts an endpoint with all services on a free port, until the test ends.
func serve(t testing.TB) *endpoint {
	t.Helper()
	e := &endpoint{}
	raw := restate.WithInputCodec(rawCodec{encoding.BinaryCodec})
	witness := restate.NewService("Witness").Handler("See", restate.NewServiceHandler(
		func(ctx restate.Context, body []byte) (restate.Void, error) {
			e.saw(Seen{Service: "Witness", Body: string(body), Headers: ctx.Request().Headers.ToMap()})
			return restate.Void{}, nil
		}, raw))
	keyed := restate.NewObject("KeyedWitness").Handler("See", restate.NewObjectHandler(
		func(ctx restate.ObjectContext, body []byte) (restate.Void, error) {
			e.saw(Seen{Service: "KeyedWitness", Key: restate.Key(ctx), Body: string(body), Headers: ctx.Request().Headers.ToMap()})
			return restate.Void{}, nil
		}, raw))
	handler, err := server.NewRestate().WithLogger(slog.DiscardHandler, true).
		Bind(restate.Reflect(MyWorkflow{})).Bind(restate.Reflect(Counter{})).Bind(restate.Reflect(EventHandler{})).
		Bind(restate.Reflect(TracingCounter{})).Bind(restate.Reflect(Sequence{})).Bind(witness).Bind(keyed).Handler()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	// The server speaks HTTP/2 without TLS to its deployments.
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	base, cancel := context.WithCancel(context.Background())
	srv := &http.Server{Handler: handler, Protocols: &protocols, BaseContext: func(net.Listener) context.Context { return base }}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := srv.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve the services under test: %v", err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		_ = srv.Close()
		<-served
	})
	e.url = "http://" + listener.Addr().String()
	return e
}
