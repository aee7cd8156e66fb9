package examples

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/kafka-sidecar/kafka-sidecar/tests/harness"
)

// state is what a counter of the plain handlers tells.
type state struct {
	Total   int64   `json:"total"`
	Amounts []int64 `json:"amounts"`
}

// TestPlainHandlersServeKafkaAndHTTPAlike: the records of a topic are counted once and in the order of their key, while another
// program calls the same handler; and what is delivered a second time is not counted a second time.
func TestPlainHandlersServeKafkaAndHTTPAlike(t *testing.T) {
	for _, name := range []string{"handler-go", "handler-typescript", "handler-java", "handler-python"} {
		t.Run(name, func(t *testing.T) {
			e := read(t, name)
			handler := e.run(t)
			b := harness.Fake(t)
			topic := b.CreateTopic(3)
			keys := []string{"alice", "bob/ü %", "c+d"}
			const perKey = 20
			var records []*kgo.Record
			for n := range perKey {
				for _, key := range keys {
					records = append(records, harness.Record(topic, key, strconv.Itoa(n+1)))
				}
			}
			b.Produce(records...)
			env := e.sidecar(t, b, topic, handler)
			counter := func(key, method string) string {
				return "http://" + handler + "/Counter/" + url.PathEscape(key) + "/" + method
			}
			get := func(key string) (s state) {
				if err := json.Unmarshal([]byte(post(t, counter(key, "get"), "")), &s); err != nil {
					t.Fatal(err)
				}
				return s
			}
			first := harness.Start(t, env)
			b.WaitCommitted(env.Group(), topic)
			want := make([]int64, perKey)
			for n := range want {
				want[n] = int64(n + 1)
			}
			for _, key := range keys {
				if got := get(key); !slices.Equal(got.Amounts, want) || got.Total != perKey*(perKey+1)/2 {
					t.Errorf("counter %q is %+v, want the amounts 1 to %d in order", key, got, perKey)
				}
			}
			if got := post(t, counter("alice", "add"), "1000"); got != "1210" {
				t.Errorf("a call by HTTP answers %s, want 1210", got)
			}
			// The same records again: the group's positions are taken away from it, as a replay does.
			first.Signal(syscall.SIGTERM)
			first.Exit(0)
			if _, err := b.Admin().DeleteGroup(t.Context(), env.Group()); err != nil {
				t.Fatal(err)
			}
			harness.Start(t, env)
			b.WaitCommitted(env.Group(), topic)
			if got := get("alice"); got.Total != 1210 {
				t.Errorf("after a replay the counter is %d, want 1210: repeats were counted", got.Total)
			}
			bad := harness.Record(topic, "alice", `"no number"`)
			b.Produce(bad)
			b.Produce(harness.Record(topic, "bob/ü %", "5"))
			harness.Eventually(t, harness.Patience, func() (bool, string) {
				got := get("bob/ü %").Total
				return got == 215, fmt.Sprintf("a record of another key, behind a bad one: %d", got)
			})
		})
	}
}
